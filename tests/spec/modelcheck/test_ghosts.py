# pyright: basic
"""The ghost ledger does what the plain one does, its copies are independent, and only actions write."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from drive import Drive
from spare_records import assert_apart
from storage import everything, fields_of
from trap import Trespass, write_trap

from lineclear_spec import actions
from lineclear_spec.actions import ACTIONS
from lineclear_spec.actions.table import Action
from lineclear_spec.kernel.ledger import Ledger, pairs_of
from lineclear_spec.kernel.records import GPU, Limits, Refused
from lineclear_spec.language.statements import statements
from lineclear_spec.modelcheck.choices import arguments_of
from lineclear_spec.modelcheck.concrete import breaches
from lineclear_spec.modelcheck.explore import apply, nearest, prepare, replay, search
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.modelcheck.keys import state_key
from lineclear_spec.modelcheck.kv_ghosts import KvRow
from lineclear_spec.modelcheck.snapshot import ConcreteView
from lineclear_spec.modelcheck.worlds import BOUNDS, Bounds, Trace

BRANCHES = Bounds("branches", gpu_blocks=5, cpu_blocks=4, max_num_seqs=3, max_num_batched_tokens=8)
PROMPT: Trace = (
    ("submit", (2, 5, 2)),
    ("admit", ("r1",)),
    ("schedule_tokens", ("s1", 2, 0)),
    ("issue_step", ()),
)
FORKED: Trace = (
    *PROMPT,
    ("commit_step", ()),
    ("fork", ("s1", 1)),
    ("sample", ("s1", 1, 1, 0)),
)
REJOINED: Trace = (
    ("submit", (3, 5, 2)),
    ("admit", ("r1",)),
    ("schedule_tokens", ("s1", 3, 0)),
    ("issue_step", ()),
    ("commit_step", ()),
    ("fork", ("s1", 1)),
    ("sample", ("s1", 1, 1, 0)),
    ("recompute", ("r1",)),
    ("admit", ("r1",)),
    ("schedule_tokens", ("s1", 4, 0)),
    ("issue_step", ()),
    ("commit_step", ()),
    ("rejoin", ("s2", 2)),
)


# ---- copies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bounds", BOUNDS, ids=lambda bounds: bounds.name)
def test_a_copy_is_equal_and_nothing_done_to_copies_reaches_the_original(bounds: Bounds) -> None:
    """The nearest 60 states of every world."""
    for trace in nearest(replace(bounds, max_states=60)):
        ledger = replay(bounds, trace)
        before = everything(ledger)
        copy = ledger.clone()
        assert everything(copy) == before
        for name in ACTIONS:
            for arguments in arguments_of(bounds, ledger, name):
                other = ledger.clone()
                with contextlib.suppress(Refused):
                    apply(other, (name, arguments))
                assert_apart(other, other.requests)
        assert everything(ledger) == before
        assert everything(copy) == before


def test_a_copy_shares_no_record_and_no_container() -> None:
    ledger = replay(BRANCHES, (*FORKED, ("swap_out", ("r1",))))
    copy = ledger.clone()
    for one in (ledger, copy):
        one.records.clear()  # each has its own, to which nothing leads while a block id is free
        one.grown = [([s], [p]) for s, p in pairs_of(one.grown)]

    def reached(root: Any, seen: dict[int, Any]) -> dict[int, Any]:
        if id(root) in seen or isinstance(
            root, int | str | frozenset | tuple | KvRow | type | None
        ):
            return seen
        if type(root).__name__ in ("Limits", "Phase", "builtin_function_or_method"):
            return seen
        seen[id(root)] = root
        if isinstance(root, dict):
            inside: list[Any] = [*root, *root.values()]
        elif isinstance(root, set | deque):
            inside = list(root)
        elif isinstance(root, list):
            inside = [x for row in root for x in (row if isinstance(row, tuple) else (row,))]
        else:
            inside = [getattr(root, name) for name in fields_of(root)]
        for value in inside:
            reached(value, seen)
        return seen

    ours, theirs = reached(ledger, {}), reached(copy, {})
    assert len(ours) == len(theirs) > 30
    assert not [record for key, record in ours.items() if key in theirs]


# ---- ghosts ----------------------------------------------------------------------------------------


def test_the_ghost_ledger_does_what_the_plain_one_does() -> None:
    """Every action of the longest traces, each answer and each refusal, on both at once."""
    for bounds in BOUNDS[:8]:
        for trace in nearest(replace(bounds, max_states=250))[-25:]:
            plain, ghost = Ledger(bounds.limits()), GhostLedger(bounds.limits())
            twins: dict[Any, Any] = {}
            for name, arguments in trace:
                if name in ("submit", "reject"):
                    own = (ghost.new_request(*arguments),)
                    twins[own[0]] = plain.new_request(*arguments)
                else:
                    own = prepare(ghost, (name, arguments))
                made = ACTIONS[name].body(ghost, *own)
                twin = ACTIONS[name].body(plain, *[twins.get(a, a) for a in own])
                if made is not None:
                    twins[made] = twin
            for pool, other in ((plain.gpu, ghost.gpu), (plain.cpu, ghost.cpu)):
                assert (pool.order, pool.taken, pool.last_use) == (
                    other.order,
                    other.taken,
                    other.last_use,
                )
            assert [repr(s.table) for s in ghost.sequences if s in twins] == [
                repr(twins[s].table) for s in ghost.sequences if s in twins
            ]
            for name in ("issued", "done", "dispatched", "barrier", "steps", "committed"):
                assert getattr(plain, name) == getattr(ghost, name)


def test_a_forward_touches_every_gpu_place_that_is_held() -> None:
    ledger = replay(BRANCHES, PROMPT)
    (block,) = ledger.sequences[0].table
    assert ledger.touched == {1: frozenset({(GPU, block.block_id)})}


def test_a_request_that_ended_was_released_once() -> None:
    ledger = replay(BRANCHES, (*FORKED, ("finish", ("r1",))))
    assert ledger.releases == {ledger.requests[0]: 1}
    assert ledger.gpu.free == ledger.gpu.total


def test_the_calendars_say_who_is_due_and_who_ends() -> None:
    """Sequences in the decode batch, in every state of three worlds: looked up as they are counted."""
    seen = 0
    for bounds in (
        b for b in BOUNDS if b.name in ("decoding step", "decoding branches", "drafts")
    ):
        for trace in nearest(bounds):
            ledger = replay(bounds, trace)
            steady = list(ledger.decode_batch)
            due = [
                s for s in steady if ledger.num_allocated_slots(s) == s.length * bounds.block_size
            ]
            assert set(ledger.due().records) == set(due)
            assert ledger.ended() == any(
                ledger.num_allocated_slots(s) == s.request.limit - 1 for s in steady
            )
            seen += len(due)
    assert seen > 50


# ---- guards ----------------------------------------------------------------------------------------


def test_every_false_guard_is_named_not_only_the_first() -> None:
    ledger = GhostLedger(Limits(block_size=2, gpu_blocks=1, max_model_len=4))
    request = ledger.new_request(0, 9, 0)
    assert ledger.failing("submit", (request,)) == (
        "the prompt has a token",
        "the request fits into max_model_len",
        "the request has a sequence",
    )


@pytest.mark.parametrize("name", ACTIONS)
def test_every_guard_comes_before_the_first_write(name: str) -> None:
    kinds = [kind for _, kind, _, _ in statements(name)]
    assert kinds == sorted(kinds, key=["guard", "effect"].index)
    assert kinds.count("guard") >= 1


def test_the_first_false_guard_is_the_one_that_refuses() -> None:
    """Every action with every argument in the nearest 150 states of a world with branches."""
    bounds = next(b for b in BOUNDS if b.name == "branches")
    refused = 0
    for trace in nearest(replace(bounds, max_states=150)):
        ledger = replay(bounds, trace)
        for name in ACTIONS:
            if name in ("submit", "reject"):
                continue
            for arguments in arguments_of(bounds, ledger, name):
                failing = ledger.failing(name, prepare(ledger, (name, arguments)))
                step = (name, arguments)
                if not failing:
                    apply(ledger.clone(), step)
                    continue
                with pytest.raises(Refused) as refusal:
                    apply(ledger.clone(), step)
                assert refusal.value.guard == failing[0]
                refused += 1
    assert refused > 1000


def test_a_table_that_names_a_block_twice_is_broken() -> None:
    ledger = replay(BRANCHES, PROMPT)
    (sequence,) = ledger.sequences
    ledger.count_up(sequence, sequence.table)
    sequence.table.extend(sequence.table)
    assert "references.entry" in {breach.rule for breach in breaches(ledger)}


# ---- the write trap --------------------------------------------------------------------------------


def test_no_action_writes_before_a_guard_and_nothing_else_writes_at_all() -> None:
    """The nearest 40 states of every world."""
    with write_trap() as trap:
        for bounds in BOUNDS:
            search(replace(bounds, max_states=40), check=False)
        replay(BRANCHES, REJOINED)
    assert set(trap.writes) == set(ACTIONS)


def test_the_scheduler_writes_the_ledger_through_actions_only() -> None:
    """Branches, sequences in the decode batch and both kinds of preemption, two steps in flight."""
    with write_trap() as trap:
        drive = Drive(
            num_gpu_blocks=6, num_cpu_blocks=6, preemption_mode="swap", max_steps_in_flight=2
        )
        trap.watch(drive.ledger)
        for number in range(4):
            drive.add(number, prompt=5, most=6, n=1 + number % 2)
        for _ in range(60):
            plan = drive.schedule()
            if plan.step is not None:
                drive.commit(plan)
            elif not drive.ledger.operations:
                break
    assert {"submit", "admit", "schedule_tokens", "issue_step", "finish"} <= set(trap.writes)
    assert sum(trap.writes.values()) > 200


WRITES: dict[str, Callable[[GhostLedger], None]] = {
    "a sequence": lambda v: setattr(v.sequences[0], "own_tokens", 3),
    "a request": lambda v: setattr(v.requests[0], "open_swap", 1),
    "a block": lambda v: setattr(v.sequences[0].table[0], "ref", 2),
    "a pool": lambda v: setattr(v.gpu, "free", 2),
    "a clock": lambda v: setattr(v, "committed", 1),
    "an operation": lambda v: v.order(1, 0),
    "an operator": lambda v: v.gpu.put([v.sequences[0].table[0].block_id], 0),
}


@pytest.mark.parametrize("what", WRITES)
def test_the_trap_catches_a_write_outside_an_action(what: str) -> None:
    ledger = replay(BRANCHES, PROMPT)
    with write_trap(), pytest.raises(Trespass, match="is written outside of an action"):
        WRITES[what](ledger)


def test_the_trap_catches_a_container_that_changed_between_actions() -> None:
    with write_trap() as trap:
        ledger = replay(BRANCHES, PROMPT)
        trap.watch(ledger)
        actions.commit_step(ledger)
        ledger.sequences[0].table.pop()
        with pytest.raises(Trespass, match="a container changed before lift_fences"):
            actions.lift_fences(ledger)


def test_the_trap_catches_a_guard_after_a_write(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(ledger: Any) -> None:
        """An action that looks after it leapt."""
        ledger.dispatched = ledger.issued
        ledger.require(ledger.issued >= 0, "too late")

    monkeypatch.setitem(ACTIONS, "late", Action("late", None, late, ()))
    monkeypatch.setattr("trap.BODIES", {late.__code__: "late"})
    ledger = replay(BRANCHES, PROMPT)
    with write_trap(), pytest.raises(Trespass, match="a guard after a write: too late"):
        late(ledger)


def test_the_trap_is_gone_afterwards() -> None:
    ledger = replay(BRANCHES, PROMPT)
    with write_trap():
        pass
    ledger.sequences[0].own_tokens = 4
    assert state_key(ledger) != state_key(replay(BRANCHES, PROMPT))
    assert ConcreteView(ledger).num_tokens(ledger.sequences[0]) == 4


# ---- poisoned ghosts -------------------------------------------------------------------------------

GHOSTS = (
    "touched",
    "sources",
    "history",
    "releases",
    "born",
    "totals",
    "reader",
    "device",
    "completing",
    "unfound",
)


class Poisoned(AssertionError):
    """A ghost field was read where none may be."""


class Poison:
    """What stands in a ghost field while guards are asked."""

    def _read(self, *_: Any) -> Any:
        raise Poisoned("a ghost field is read")

    __getitem__ = __contains__ = __iter__ = __len__ = __bool__ = __eq__ = __getattr__ = _read
    __hash__ = None  # type: ignore[assignment]


def poisoned(ledger: GhostLedger) -> GhostLedger:
    """The same ledger, whose ghost fields can't be read."""
    copy = ledger.clone()
    for name in GHOSTS:
        setattr(copy, name, Poison())
    return copy


def test_no_guard_reads_a_ghost_field() -> None:
    """Every action with every argument in the nearest 25 states of every world."""
    asked = 0
    for bounds in BOUNDS:
        for trace in nearest(replace(bounds, max_states=25)):
            ledger = replay(bounds, trace)
            blind = poisoned(ledger)
            for name in ACTIONS:
                if name in ("submit", "reject"):
                    continue
                for arguments in arguments_of(bounds, ledger, name):
                    step = (name, arguments)
                    expected = ledger.failing(name, prepare(ledger, step))
                    assert blind.failing(name, prepare(blind, step)) == expected
                    asked += 1
    assert asked > 3000


@pytest.mark.parametrize("name", GHOSTS)
def test_a_guard_that_reads_a_ghost_field_is_seen(name: str) -> None:
    """Looked up, asked for its size, or used as a truth value."""
    ghost = getattr(poisoned(replay(BRANCHES, PROMPT)), name)
    for read in (lambda: ghost[1], lambda: len(ghost), lambda: 1 in ghost, lambda: bool(ghost)):
        with pytest.raises(Poisoned):
            read()


def test_every_ghost_field_is_poisoned() -> None:
    """What the ghost ledger has beyond the plain one, but for what tests and searches look up."""
    limits = BRANCHES.limits()
    beyond = set(vars(GhostLedger(limits)))  # the others have slots
    assert beyond - {"requests", "sequences", "collecting", "branching"} == set(GHOSTS)


def test_a_planted_guard_on_a_ghost_field_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def planted(ledger: Any, request: Any) -> None:
        ledger.require(ledger.releases.get(request, 0) == 0, "the request was never released")

    monkeypatch.setattr("lineclear_spec.modelcheck.ghosts.guards_of", lambda _: planted)
    ledger = replay(BRANCHES, PROMPT)
    assert ledger.failing("recompute", (ledger.requests[0],)) == ()
    with pytest.raises(Poisoned):
        poisoned(ledger).failing("recompute", (ledger.requests[0],))
