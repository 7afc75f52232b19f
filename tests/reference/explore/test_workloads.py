"""The family of small workloads: all of them end, whichever request is preempted; one that goes round is seen."""

from __future__ import annotations

import pytest
from faulty import BROKEN, Livelocked
from small_workloads import BLOCKS, BUDGETS, WorkloadRun, family, run, settings

from lineclear.config import VICTIMS, Config

LONGEST = BROKEN["broken_longest_victim"]


def runs(config: Config, blocks: tuple[int, ...], budgets: tuple[int, ...]) -> list[WorkloadRun]:
    return [
        run(settings(config, many, budget), work)
        for many in blocks
        for budget in budgets
        for work in family(many)
    ]


def test_with_the_longest_victim_and_no_pause_every_small_workload_ends() -> None:
    found = runs(LONGEST, (4,), (3,))
    assert len(found) == 810
    assert all(one.ended for one in found)
    assert sum(one.preemptions for one in found) > 100


@pytest.mark.deep
def test_the_whole_family_ends_although_the_longest_is_preempted() -> None:
    found = runs(LONGEST, BLOCKS, BUDGETS)
    assert len(found) == 16_536
    assert all(one.ended for one in found)
    assert max(one.steps for one in found) == 18
    assert sum(one.preemptions for one in found) == 4_021


@pytest.mark.deep
@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("pause", [True, False])
def test_the_whole_family_ends_by_every_rule(victim: str, pause: bool) -> None:
    config = Config(victim=victim, pause_after_preemption=pause)
    assert all(one.ended for one in runs(config, BLOCKS, BUDGETS))


def test_a_workload_that_goes_round_is_seen() -> None:
    config = settings(LONGEST, 4, 2)
    work = ((1, 2), (3, 1))
    assert run(config, work).ended
    assert not run(config, work, Livelocked).ended


def test_a_request_that_cannot_fit_is_told() -> None:
    with pytest.raises(ValueError, match=r"request 4\+3 is rejected"):
        run(settings(LONGEST, 4, 3), ((4, 3),))
