"""The table with its features off is the toy that other checkers count, and every rule of it bites."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from toy import plain_toy

from lineclear_spec import saved as saved_state
from lineclear_spec import toy as table_toy
from lineclear_spec.records import Refused
from lineclear_spec.toy import FROM, MOVES, Toy, capacity_breaches, search_toy

MODEL = Path(__file__).parent.parent / "support" / "toy.pml"


def test_the_table_gives_the_states_of_the_toy_and_no_other() -> None:
    """2 requests in 3 and 2 blocks, state by state."""
    visited: set[Any] = set()
    found = search_toy(2, 3, 2, visited=visited)
    plain, transitions = plain_toy(2, 3, 2)
    assert visited == plain
    assert found.transitions == transitions
    assert (found.states, found.complete, found.violations) == (len(plain), True, ())


@pytest.mark.slow
def test_9082_states() -> None:
    visited: set[Any] = set()
    found = search_toy(3, 4, 2, visited=visited)
    assert (found.states, found.transitions, found.depth) == (9_082, 58_512, 21)
    assert found.complete
    assert found.violations == ()
    assert visited == plain_toy(3, 4, 2)[0]


@pytest.mark.deep
def test_131414_states() -> None:
    found = search_toy(3, 6, 4)
    assert (found.states, found.transitions) == (131_414, 1_005_470)
    assert found.complete
    assert found.violations == ()


def test_the_plain_toy_has_the_counts_that_other_checkers_gave() -> None:
    states, transitions = plain_toy(3, 4, 2)
    assert (len(states), transitions) == (9_082, 58_512)


@pytest.mark.deep
@pytest.mark.parametrize(
    ("size", "states"), [((3, 4, 2), 9_082), ((3, 6, 4), 131_414), ((4, 6, 4), 6_490_490)]
)
def test_spin_counts_the_same(size: tuple[int, int, int], states: int, tmp_path: Path) -> None:
    """A model written in Promela, every state stored, no reduction."""
    if shutil.which("spin") is None or shutil.which("gcc") is None:
        pytest.skip("spin or gcc is not installed: apt-get install spin gcc")
    sizes = [f"-D{name}={value}" for name, value in zip("NGC", size, strict=True)]
    subprocess.run(["spin", *sizes, "-a", MODEL], cwd=tmp_path, check=True)
    options = ["-O2", "-DSAFETY", "-DNOREDUCE", "-o", "pan", "pan.c"]
    subprocess.run(["gcc", *options], cwd=tmp_path, check=True)
    run = subprocess.run(
        ["./pan", "-m10000000", "-w24", "-E"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    stored = re.search(r"(\d+) states, stored", run.stdout)
    assert stored is not None, run.stdout
    assert int(stored[1]) == states
    assert "errors: 0" in run.stdout
    if states == 9_082:
        made = re.search(r"(\d+) transitions", run.stdout)
        assert made is not None
        assert int(made[1]) == 58_512 + 1  # Spin counts the way into the first state


# ---- the projection ----------------------------------------------------------------------------


def branch_out(toy: Toy) -> dict[tuple[str, int], Any]:
    """Where every move leads, and which are refused."""
    saved = toy.save()
    found: dict[tuple[str, int], Any] = {}
    for move in MOVES:
        for k in range(len(toy.requests)):
            try:
                toy.do(move, k)
            except Refused:
                found[move, k] = None
            else:
                found[move, k] = toy.state()
            toy.restore(saved, k)
    return found


def walk(seed: int, steps: int) -> Iterator[Toy]:
    """One toy, in the states of a run of random moves."""
    choices = random.Random(seed)
    toy = Toy(3, 4, 2)
    for _ in range(steps):
        enabled = [step for step, after in branch_out(toy).items() if after is not None]
        kept = [step for step in enabled if step[0] != "abort"] or enabled
        if not kept:
            break
        toy.do(*choices.choice(kept))
        yield toy


def everything(toy: Toy) -> Any:
    """Every field of the ledger and of all records, by value; records by the order of first sight."""
    numbers: dict[int, int] = {}

    def value(thing: Any) -> Any:
        kind: Any = thing.__class__
        if kind in (list, tuple):
            return [value(part) for part in thing]
        if kind is dict:
            return [(value(key), value(part)) for key, part in thing.items()]
        slots: list[str] = [n for c in kind.__mro__ for n in getattr(c, "__slots__", ())]
        names = slots or list(getattr(thing, "__dict__", ()))
        if isinstance(thing, int | str) or not names:
            return thing
        if id(thing) in numbers:
            return f"#{numbers[id(thing)]}"
        numbers[id(thing)] = len(numbers)
        return [(name, value(getattr(thing, name))) for name in names]

    return value((toy.requests, toy.ledger))


def test_a_move_that_is_undone_or_refused_leaves_nothing_behind() -> None:
    """Moves of every kind, refused ones among them, from the states of some runs."""
    undone = refused = 0
    for seed in range(4):
        for toy in walk(seed, 20):
            kept, before = toy.save(), everything(toy)
            for move in MOVES:
                for k in range(len(toy.requests)):
                    try:
                        toy.do(move, k)
                        undone += 1
                    except Refused:
                        refused += 1
                    toy.restore(kept, k)
                    assert everything(toy) == before
            toy.restore(kept)
            assert everything(toy) == before
    assert undone > 200
    assert refused > 200


def test_a_field_that_is_not_put_back_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = next(walk(0, 1))
    kept, before = toy.save(), everything(toy)
    monkeypatch.setattr(saved_state, "OF_REQUEST", ("phase",))
    monkeypatch.setattr(saved_state, "REQUEST", attrgetter("phase"))
    request = toy.requests[0]
    assert request is not None
    request.copy += 1
    toy.restore((*kept[:3], tuple([(r[0], (r[1][0],), *r[2:]) for r in kept[3]])))
    assert everything(toy) != before
    monkeypatch.undo()
    toy.restore(kept)
    assert everything(toy) == before


def test_ledgers_with_one_projection_have_the_same_moves() -> None:
    """Reached by different runs, so that clocks, calendars and pool orders differ."""
    met: dict[Any, Any] = {}
    ledgers: dict[Any, set[Any]] = {}
    for seed in range(8):
        for toy in walk(seed, 25):
            state, here = toy.state(), branch_out(toy)
            assert met.setdefault(state, here) == here
            inside = (toy.ledger.steps, toy.ledger.issued, tuple(toy.ledger.gpu.order))
            ledgers.setdefault(state, set()).add(inside)
    assert sum(len(different) > 1 for different in ledgers.values()) >= 10


def test_a_move_that_no_phase_offers_is_refused_by_the_table() -> None:
    refused = 0
    for toy in walk(3, 20):
        for (move, k), after in branch_out(toy).items():
            request = toy.requests[k]
            if request is None or move not in FROM[request.phase]:
                assert after is None
                refused += 1
    assert refused > 100


# ---- reduction ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "classes", "represented"), [((2, 3, 2), 158, 472), ((3, 4, 2), 1_006, 11_188)]
)
def test_classes_stand_for_the_states_of_the_toy_with_any_free_place(
    size: tuple[int, int, int], classes: int, represented: int
) -> None:
    found = search_toy(*size, reduced=True)
    assert (found.states, found.represented) == (classes, represented)
    unreduced, _ = plain_toy(*size, any_free=True)
    assert len(unreduced) == represented
    assert plain_toy(*size)[0] <= unreduced


def test_a_lowest_first_pool_reaches_fewer_states_than_its_classes_stand_for() -> None:
    """So no size of an orbit gives 9,082: places are not interchangeable where the lowest goes first."""
    assert len(plain_toy(3, 4, 2)[0]) == 9_082 < search_toy(3, 4, 2, reduced=True).represented


# ---- what is seen to fail ----------------------------------------------------------------------


def test_a_bound_is_reported() -> None:
    found = search_toy(2, 3, 2, max_states=50)
    assert (found.states, found.complete) == (50, False)


def test_a_leak_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    def leak(ledger: Any, request: Any) -> None:
        MOVES_BEFORE["recompute"](ledger, request)
        ledger.gpu.free -= 1

    MOVES_BEFORE = dict(MOVES)
    monkeypatch.setitem(table_toy.MOVES, "recompute", leak)
    found = search_toy(1, 3, 2, max_states=60)
    assert any("conservation" in what for _, what in found.violations)


def test_a_block_too_few_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(ledger: Any, request: Any) -> None:
        MOVES_BEFORE["admit"](ledger, request)
        request.members[0].table.pop()

    MOVES_BEFORE = dict(MOVES)
    monkeypatch.setitem(table_toy.MOVES, "admit", short)
    toy = Toy(1, 3, 2)
    toy.do("submit", 0)
    assert capacity_breaches(toy) == []
    toy.do("admit", 0)
    assert any("capacity" in what for what in capacity_breaches(toy))


def test_a_result_says_its_bounds_and_whether_they_were_exhausted() -> None:
    found = search_toy(2, 3, 2, reduced=True).as_dict()
    assert found["bounds"] == {"requests": 2, "gpu_blocks": 3, "cpu_blocks": 2, "reduced": True}
    assert (found["complete"], found["violations"]) == (True, [])
    assert (found["states"], found["represented"]) == (158, 472)
