"""The walks: written down, made for one rule, drawn; each edit that one of them was made for turns it red."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from sweep import ROOT, judged

from lineclear.checks.stage import Context
from lineclear.checks.walks import OF_ONE_RULE, jobs
from lineclear.explore.bounds import SearchBounds
from lineclear.explore.covered import covered
from lineclear.explore.scripts import move_of, scripts
from lineclear.explore.walk_worlds import special
from lineclear.explore.world import World
from lineclear_spec.kernel.lifecycle import Phase

#: Name -> (module, text, what stands there instead, words of the names of the walks that show it).
EDITS: dict[str, tuple[str, str, str, str]] = {
    "swapped requests are no sharers": (
        "scheduling.step",
        "len(ledger.running) + len(ledger.waiting) + len(ledger.swapped)",
        "len(ledger.running) + len(ledger.waiting)",
        "shares beside a swapped request",
    ),
    "only with chunking is a sequence that is longer than a step cut": (
        "scheduling.step",
        "tokens > left and self.ledger.divisible(demand.sequence)",
        "self.config.enable_chunked_prefill",
        "a recompute that is longer than a step",
    ),
    "a sequence that is longer than a step enters only with tokens for all of a step": (
        "scheduling.room",
        "tokens = least_tokens(tokens, False, ledger.divisible(leader))",
        "tokens = least_tokens(tokens, False, self.config.enable_chunked_prefill)",
        "a recompute that is longer than a step",
    ),
    "a group that decodes in every step gives one token": (
        "scheduling.step",
        "batched = sum([sequence.in_decode_batch for sequence in entry.record.members])",
        "batched = any([sequence.in_decode_batch for sequence in entry.record.members])",
        "branches that decode in every step",
    ),
    "a stale failure hits the request again": (
        "scheduling.swap_reports",
        "None if record is None or record.open_swap != number else self.live.of.get(record)",
        "None if record is None or not record.open_swap else self.live.of.get(record)",
        "a copy that was freed",
    ),
    "what a request kept before counts when it enters again": (
        "scheduling.transitions",
        "        entry.kept_a_token = False\n",
        "",
        "promotions",
    ),
    "the heap of those that wait is climbed by wrong steps": (
        "scheduling.queues",
        "heap[(len(heap) - 1) >> 1]",
        "heap[len(heap) >> 1]",
        "a deep queue",
    ),
    "copies are discarded in the order of their swaps": (
        "scheduling.transitions",
        "        others.sort(key=lambda other: other.rank, reverse=True)\n",
        "",
        "one of two copies",
    ),
    "branches enter beside a prompt that lacks tokens": (
        "scheduling.step",
        "enters_beside(True, entry.record.width)",
        "enters_beside(True, 1)",
        "branches wait beside a prompt",
    ),
    "a request that may fork later gives seats back": (
        "scheduling.live_request",
        "self.branches_made, self.may_fork_later)",
        "self.branches_made, False)",
        "branches that end give their seats back",
    ),
    "demands go in the order of the queue": (
        "scheduling.step",
        "found.sort(key=lambda demand: demand.entry.rank)",
        "found.sort(key=lambda demand: demand.entry.order)",
        "branches come back",
    ),
}


def walks_of(words: str) -> Callable[[], str]:
    """The walks of `check --fast` whose names have these words; the first finding, or ""."""

    def found() -> str:
        from lineclear.checks.stage import Context
        from lineclear.checks.walks import jobs, walked

        chosen = [job for job in jobs(Context("fast")) if words in job[0].name]
        for job in chosen:
            finding = walked(job)[1]
            if finding is not None:
                return f"{finding.code} {finding.title}"
        return f"{len(chosen)} walks"

    return found


@pytest.mark.parametrize("name", EDITS)
def test_the_walk_that_was_made_for_an_edit_turns_red(name: str) -> None:
    module, old, new, words = EDITS[name]
    text = (ROOT / "reference" / "lineclear" / f"{module.replace('.', '/')}.py").read_text()
    assert text.count(old) == 1
    found, seconds = judged(f"lineclear.{module}", text.replace(old, new), walks_of(words))
    assert found.startswith(("LC405", "LC403")), found
    assert seconds < 20


def test_a_walk_depends_on_its_own_world_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made = jobs(Context("fast"))
    monkeypatch.setattr("lineclear.explore.walk_worlds.special", lambda: special()[1:])
    fewer = jobs(Context("fast"))
    assert len(made) - len(fewer) == OF_ONE_RULE
    assert [job for job in fewer if job not in made] == []


def test_a_world_of_one_rule_is_walked_with_early_and_with_late_copies() -> None:
    seeds: dict[str, set[int]] = {}
    for bounds, seed, *_ in jobs(Context("fast")):
        seeds.setdefault(bounds.name, set()).add(seed % 2)
    assert all(seeds[bounds.name] == {0, 1} for bounds in special())
    assert all(len(seeds[bounds.name]) == 1 for bounds in covered())


#: Name -> (module, text, what stands there instead, encounters where short batches begin that show it,
#: which are tried first), for edits that only some situations show.
MET: dict[str, tuple[str, str, str, tuple[int, ...]]] = {
    "the least important is spared first": (
        "scheduling.victims",
        "for entry in reversed(tuple(chosen)):",
        "for entry in tuple(chosen):",
        (950, 0, 250),
    ),
    "one copy more is discarded": (
        "scheduling.transitions",
        "if room >= entry.record.blocks:\n                break",
        "if room > entry.record.blocks:\n                break",
        (950, 100, 550),
    ),
    "a request displaces one of equal priority": (
        "policies.aging",
        "running.priority < waiting.priority",
        "running.priority <= waiting.priority",
        (250, 550, 700),
    ),
    "the watermark is waived while others run": (
        "scheduling.step",
        "if victims is None and candidates and len(candidates) == len(running):",
        "if victims is None and candidates:",
        (200, 450, 150),
    ),
}


#: So many batches are to find an edit, or the luck of one seed is what finds it.
ENOUGH = 3


def encounters(known: tuple[int, ...]) -> str:
    """How many batches of the encounters of `check --fast` find something, up to `ENOUGH`.

    Args:
        known: batches to begin with.
    """
    from lineclear.checks.walks import BATCH, ENCOUNTERS, met

    found = 0
    for start in dict.fromkeys((*known, *range(0, ENCOUNTERS["fast"], BATCH))):
        found += met(range(start, start + BATCH))[1] is not None
        if found == ENOUGH:
            break
    return str(found)


@pytest.mark.parametrize("name", MET)
def test_an_edit_is_met_in_more_than_one_batch_of_encounters(name: str) -> None:
    module, old, new, known = MET[name]
    text = (ROOT / "reference" / "lineclear" / f"{module.replace('.', '/')}.py").read_text()
    assert text.count(old) == 1
    found, _ = judged(f"lineclear.{module}", text.replace(old, new), partial(encounters, known))
    assert int(found) == ENOUGH


@pytest.mark.parametrize(
    ("setting", "old"),
    [
        ("max_waiting", "len(self.ledger.waiting) >= most"),
        ("max_waiting_tokens", "self.queued_tokens >= most"),
    ],
)
def test_a_queue_that_takes_one_more_than_it_may_is_seen(setting: str, old: str) -> None:
    module = "scheduling/live_requests.py"
    text = (ROOT / "reference" / "lineclear" / module).read_text()
    assert text.count(old) == 1
    edited = text.replace(old, old.replace(">=", ">"))
    worlds = [b.name for b in covered() if getattr(b.config, setting) is not None]
    found = (
        judged(
            "lineclear.scheduling.live_requests", edited, walks_of(f"{name.partition(':')[0]}:")
        )
        for name in worlds
    )
    assert any(one.startswith("LC405") for one, _ in found)


def after(name: str) -> tuple[World, SearchBounds]:
    """The world after a script."""
    (script,) = [script for script in scripts() if name in script.bounds.name]
    world = World(script.bounds)
    for move in script.moves:
        world.do(move_of(world, move))
    return world, script.bounds


def test_the_copy_that_fails_was_given_up_and_the_request_has_another() -> None:
    world, _ = after("a copy that was freed")
    second = next(entry for entry in world.live() if entry.request_id == 2)
    assert second.preemptions == 2
    assert second.record.open_swap > 0
    assert world.scheduler.counters.discarded == 1
    assert world.scheduler.counters.failed_copies == 0
    assert second.record.open_swap in world.copies


def test_one_of_two_copies_is_discarded() -> None:
    world, _ = after("one of two copies")
    swapped = [entry.request_id for entry in world.live() if entry.record.phase == Phase.SWAPPED]
    assert world.scheduler.counters.discarded == 1
    assert swapped == [2, 3]
