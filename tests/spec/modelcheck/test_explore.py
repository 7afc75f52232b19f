# pyright: basic
"""The search of the table: every action, every rule in every state, and mutants that break one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lineclear.checks.table import explored
from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel.records import Broken, Limits, Refused
from lineclear_spec.modelcheck.concrete import breaches
from lineclear_spec.modelcheck.explore import nearest, replay, search
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.modelcheck.keys import state_key
from lineclear_spec.modelcheck.worlds import BOUNDS, Bounds

SMALL = Bounds(
    "small", gpu_blocks=3, cpu_blocks=2, live=1, shapes=((1, 3, 1),), tokens=(1,), max_states=800
)


def running() -> GhostLedger:
    """A running request with a computed prompt and a child that shares it."""
    return replay(
        Bounds("one", gpu_blocks=5, cpu_blocks=4, max_num_seqs=3),
        (
            ("submit", (2, 5, 2)),
            ("admit", ("r1",)),
            ("schedule_tokens", ("s1", 2, 0)),
            ("issue_step", ()),
            ("commit_step", ()),
            ("fork", ("s1", 1)),
        ),
    )


def test_every_invariant_holds_in_every_state_of_a_small_world() -> None:
    found = search(SMALL)
    assert found.states == SMALL.max_states or found.complete
    assert found.violations == []
    assert found.states == len({state_key(replay(SMALL, trace)) for trace in found.traces})


def test_no_state_is_stuck_and_one_that_is_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds = next(b for b in BOUNDS if b.name == "one draft")
    sound = search(bounds)
    assert sound.complete
    assert sound.stuck == []
    failing = GhostLedger.failing

    def never_admits(self: GhostLedger, name: str, arguments: Any) -> tuple[str, ...]:
        return ("never",) if name == "admit" else failing(self, name, arguments)

    monkeypatch.setattr(GhostLedger, "failing", never_admits)
    found = search(bounds)
    assert found.stuck[0] == (("submit", bounds.shapes[0]),)
    (finding,) = [f for f in explored([found]).findings if f.code == "LC501"]
    assert finding.title.startswith("the table allows nothing but an arrival or an abort after")


def test_every_action_happens_somewhere() -> None:
    happened: set[str] = set()
    for bounds in BOUNDS:
        if happened >= set(ACTIONS):
            break
        near = replace(bounds, max_states=min(300, bounds.max_states))
        happened |= set(search(near, check=False).witnesses)
    assert happened >= set(ACTIONS)


def test_traces_replay_to_a_state_that_satisfies_every_invariant() -> None:
    for bounds in BOUNDS:
        assert breaches(replay(bounds, bounds.start)) == []


CORRUPTIONS: dict[str, Callable[[Any], Any]] = {
    "conservation": lambda v: v.gpu.take(1),
    "references": lambda v: setattr(v.sequences[0].table[0], "ref", 1),
    "holdings": lambda v: v.requests[0].held.clear(),
    "residency": lambda v: setattr(v.sequences[0].table[0], "tier", 1),
    "capacity": lambda v: setattr(v.sequences[0], "own_slots", 4),
    "limit": lambda v: setattr(v.sequences[0], "own_tokens", 9),
    "tokens_exist": lambda v: setattr(v.sequences[1], "own_tokens", 0),
    "pending_samples": lambda v: setattr(v.sequences[0], "late_drafts", -1),
    "drafts": lambda v: setattr(v.sequences[0], "drafts", 1),
    "sent": lambda v: v.reader.clear(),
    "members": lambda v: v.requests[0].members.pop(),
    "queue": lambda v: v.waiting.__setitem__(v.requests[0], None),
    "once": lambda v: v.releases.__setitem__(v.requests[0], 1),
    "budget": lambda v: setattr(v, "step_tokens", 99),
    "clocks": lambda v: setattr(v, "committed", 3),
    "pending": lambda v: setattr(v, "dispatched", -1),
    "fits": lambda v: setattr(v.requests[0], "parallel", 99),
    "group_local": lambda v: setattr(v.sequences[0].table[0], "request", v.new_request(1, 2, 1)),
    "decode_batch": lambda v: v.decode_batch.__setitem__(v.sequences[0], None),
    "free_list": lambda v: setattr(v.gpu, "free", 99),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corrupted_ledger_breaks_the_invariant(name: str) -> None:
    ledger = running()
    assert breaches(ledger) == []
    CORRUPTIONS[name](ledger)
    assert name in {breach.rule.split(".")[0] for breach in breaches(ledger)}


@pytest.mark.parametrize(
    ("clause", "field", "value"),
    [("older", "own_samples", 3), ("void", "void", 9), ("valid", "void", 1)],
)
def test_each_clause_of_owed_samples_is_false_of_a_broken_state(
    clause: str, field: str, value: int
) -> None:
    ledger = running()
    setattr(ledger.sequences[0], field, value)
    assert f"pending_samples.{clause}" in {breach.rule for breach in breaches(ledger)}


@pytest.mark.parametrize("calendar", ["boundaries", "endings"])
def test_a_calendar_that_lists_a_steady_sequence_wrongly_is_seen(calendar: str) -> None:
    """Under another step, under two, or not at all."""
    bounds = next(b for b in BOUNDS if b.name == "decoding step")
    trace = next(t for t in nearest(bounds) if t and t[-1][0] == "join_batch")
    rule = "decode_batch.boundary" if calendar == "boundaries" else "decode_batch.ending"
    for change in ("later", "twice", "gone"):
        ledger = replay(bounds, trace)
        assert breaches(ledger) == []
        days = getattr(ledger, calendar)
        ((step, bucket),) = days.items()
        if change != "gone":
            days[step + 1] = dict(bucket)
        if change != "twice":
            del days[step]
        assert rule in {breach.rule for breach in breaches(ledger)}, change


def test_guards_are_collected_one_by_one() -> None:
    ledger = running()
    assert ledger.failing("swap_in", (ledger.requests[0],)) == ("the request is swapped out",)
    assert ledger.failing("swap_out", (ledger.requests[0],)) == ()


def test_a_refused_action_changes_nothing() -> None:
    ledger = running()
    before = state_key(ledger)
    for name in ("admit", "swap_in", "discard_swapped", "submit"):
        with pytest.raises(Refused):
            ACTIONS[name].body(ledger, ledger.requests[0])
    assert state_key(ledger) == before


def test_primitives_assert_their_preconditions() -> None:
    ledger = running()
    (first, *_) = ledger.gpu.take(ledger.gpu.free)
    with pytest.raises(Broken, match="1 GPU blocks to take, 0 are free"):
        ledger.gpu.take(1)
    with pytest.raises(Broken, match="-1 GPU blocks to take"):
        ledger.gpu.take(-1)
    ledger.gpu.put([first], 0)
    with pytest.raises(Broken, match=f"GPU block {first} is free already"):
        ledger.gpu.put([first], 0)
    with pytest.raises(ValueError, match="block"):
        Limits(block_size=0, gpu_blocks=1)


def test_two_hash_seeds_agree() -> None:
    program = (
        "from lineclear_spec.modelcheck.explore import search; from lineclear_spec.modelcheck.worlds import Bounds;"
        "f = search(Bounds('x', live=1, shapes=((1, 3, 1),), max_states=200), check=False);"
        "print(f.states, f.transitions, f.depth, f.traces[-1])"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "spec"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1
