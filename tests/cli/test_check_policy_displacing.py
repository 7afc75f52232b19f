"""`lineclear check --policy` on policies that let requests displace each other, and on a careless scheduler."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("z3")

from own_policies import BODIES, PLAIN, check, codes, write

from lineclear.checks import walks
from lineclear.cli import main

pytestmark = pytest.mark.usefixtures("module_folder")

#: Orders that turn round in every step, by policies that let any request be displaced.
TURNING = {
    "Flip": "request.number if request.step % 2 else -request.number",
    "Waits": "0 if request.waiting is not None else 1",
}


def write_turning(monkeypatch: pytest.MonkeyPatch, name: str) -> str:
    body = f"""    def key(self, request):
        return {TURNING[name]}
    def may_displace(self, waiting, running):
        return True
    def review(self, request):
        return 1
"""
    monkeypatch.setitem(BODIES, name, body)
    return write(name)


@pytest.fixture
def one_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage runs its first configuration alone; what it does with a finding is the same."""
    every = walks.configurations
    monkeypatch.setattr(walks, "configurations", lambda context: islice(every(context), 1))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]


def anybody_may_be_displaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler without the rule that each displacement is paid for by a token."""
    from lineclear.scheduling import step

    def always(sheltered: bool, kept_a_token: bool) -> bool:
        return True

    monkeypatch.setattr(step, "may_be_displaced", always)


@pytest.mark.parametrize("name", TURNING)
def test_orders_that_turn_round_in_every_step_are_no_end_of_progress(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A request that displaced another keeps a token before it is displaced, whatever the order does."""
    code, stages = check(capsys, write_turning(monkeypatch, name), "--stage", "scheduler")
    assert (code, codes(stages["scheduler"])) == (0, [])


@pytest.mark.parametrize("name", TURNING)
def test_without_the_rule_the_first_wrong_displacement_is_found(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The oracle keeps the rule by itself, so that no run gets as far as the livelock."""
    policy = write_turning(monkeypatch, name)
    anybody_may_be_displaced(monkeypatch)
    code, stages = check(capsys, policy, "--stage", "scheduler")
    assert code == 1
    assert set(codes(stages["scheduler"])) == {"LC405"}


@pytest.mark.usefixtures("one_configuration")
def test_requests_that_displace_each_other_for_ever_are_found(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the rule off in the scheduler and in the oracle, the watch sees that no request gets a token. The bound of
    the theorem is some 4,000 steps here: a smaller one is seen to be passed in the same way.
    """
    from lineclear.monitor import liveness
    from lineclear.oracle import state

    def soon(*_: Any) -> int:
        return 300

    monkeypatch.setattr(liveness, "steps_to_a_token", soon)

    policy = write_turning(monkeypatch, "Flip")
    anybody_may_be_displaced(monkeypatch)
    live_of: Any = state.live_of

    def unprotected(*arguments: Any) -> Any:
        return live_of(*arguments[:3], False, *arguments[4:])

    monkeypatch.setattr(state, "live_of", unprotected)
    code, stages = check(capsys, policy, "--stage", "scheduler")
    assert code == 1
    assert set(codes(stages["scheduler"])) == {"LC501"}
    (saved, *_) = Path(".lineclear").glob("LC501-*.itf.json")
    capsys.readouterr()
    assert main(["replay", str(saved)]) == 1
    said = capsys.readouterr().out
    assert "found again with the same environment" in said
    assert "no request advances: no request learned a token" in said


def test_a_policy_that_breaks_the_scheduler_is_found(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search of small worlds finds what this policy could do to an unsafe scheduler."""
    from lineclear.scheduling.live_request import LiveRequest
    from lineclear.scheduling.queues import RunningOrder
    from lineclear.scheduling.step import Step

    right = Step._displace  # pyright: ignore[reportPrivateUsage]

    def careless(self: Step, jobs: list[Any]) -> list[Any]:
        def from_the_last(running: RunningOrder, entry: LiveRequest) -> Iterator[LiveRequest]:
            for other in reversed(list(running.entries.values())):
                self.ledger.gpu.free -= other.number > 1
            return iter(())

        with monkeypatch.context() as patch:
            patch.setattr(RunningOrder, "from_the_last", from_the_last)
            return right(self, jobs)

    monkeypatch.setattr(Step, "_displace", careless)
    body = "    def key(self, request):\n        return -request.priority" + PLAIN
    monkeypatch.setitem(BODIES, "Urgent", body)
    from lineclear.checks.behaviours import chosen, look
    from lineclear.checks.stage import Context
    from lineclear.cli.check import set_policy

    context = Context("fast")
    set_policy(context, write("Urgent"), {})
    findings = [row for bounds in chosen(context) for row in look(bounds)[4]]
    assert "LC401" in {finding.code for finding in findings}
