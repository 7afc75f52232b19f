"""The oracle knows prefix caching: it agrees with the scheduler, and every edit makes it disagree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import pytest
from caching_edits import EDITS
from edits import edited

from lineclear.explore.encounters import encounter
from lineclear.explore.scripts import begin_alike, script_alike
from lineclear.explore.walk_worlds import drawn
from lineclear.explore.walks import WalkResult, walk


def walks(seeds: Iterable[int]) -> Iterator[WalkResult]:
    """Encounters and long walks in which most prompts begin as others do."""
    for seed in seeds:
        script = script_alike(encounter(seed), seed)
        yield walk(script.bounds, seed, len(script.moves) + 8, script.moves)
        if seed % 4 == 0:
            yield walk(begin_alike(drawn(seed), seed), seed, 150)


#: Of the worlds that share tokens or turns, some in which much is evicted.
SHARING = (76, 620, 712, 764, 776)
#: Branches of a group end in one step, one of them in the decode batch: the last in the plan publishes what they share.
ENDS_TOGETHER = 3120


def run(seeds: Iterable[int]) -> Counter[str]:
    """What the walks met, and by policy how many blocks were evicted."""
    met: Counter[str] = Counter()
    for done in walks(seeds):
        assert done.error is None, (done.world.bounds, done.error, done.trace)
        oracle, counters = done.world.oracle, done.world.scheduler.counters
        met["judged"] += oracle.judged
        met["found"] += counters.prefix_hits
        met["evicted"] += counters.evicted
        met[done.world.bounds.config.scheduling_policy] += counters.evicted
        met["preempted"] += sum(counters.preemptions.values())
        met.update(oracle.limits)
        assert not oracle.exempt
        assert not counters.preempted_alone
    return met


def test_the_scheduler_does_what_the_rules_say_where_prompts_begin_alike() -> None:
    met = run([*range(48), *SHARING, ENDS_TOGETHER])
    for what, least in (("judged", 700), ("found", 300), ("evicted", 80), ("preempted", 60)):
        assert met[what] >= least, met
    assert met["displaced"] >= 5, met
    assert min(met["fair"], met["vtc"], met["drr"]) >= 20, met


@pytest.mark.deep
@pytest.mark.parametrize("part", range(4))
def test_thousands_of_steps_are_as_the_rules_say(part: int) -> None:
    assert run(range(1000 * part + 40, 1000 * part + 700))["judged"] > 10_000


#: Of edits that few walks show, the first that does: it goes first, and all others follow if it does not any more.
SHOWN_BY = {
    "no block grows older": 184,
    "one that is swapped in publishes nothing more": 292,
    "one that was admitted computes drafts": 52,
    "what one behind it computes is waited for": 47,
    "a block that is computed anew counts as found before": 40,
    "branches of a group are not watched": 36,
    "a victim publishes no output": 23,
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_is_seen(what: str) -> None:
    kind, name, old, new = EDITS[what]
    seeds = (SHOWN_BY.get(what, 0), *range(400))
    with edited((kind.__module__, f"{kind.__name__}.{name}", old, new)):
        assert any(done.error is not None for done in walks(seeds)), what


def test_a_function_that_is_edited_to_itself_is_the_function() -> None:
    for kind, name, old, _ in EDITS.values():
        with edited((kind.__module__, f"{kind.__name__}.{name}", old, old)):
            run(range(1, 3))
