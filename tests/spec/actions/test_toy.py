"""The table with its features off is the toy that other checkers count, and every rule of it bites."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import table_toy
from table_toy import FROM, MOVES, Toy, capacity_breaches, search_toy
from toy import plain_toy

from lineclear_spec.kernel.records import Refused

MODEL = Path(__file__).parent.parent / "support" / "toy.pml"


def test_the_table_gives_the_states_of_the_toy_and_no_other() -> None:
    """2 requests in 3 and 2 blocks, state by state."""
    found = search_toy(2, 3, 2)
    assert (found.visited, found.transitions) == plain_toy(2, 3, 2)
    assert found.violations == ()


@pytest.mark.slow
def test_9082_states() -> None:
    found = search_toy(3, 4, 2)
    assert (len(found.visited), found.transitions, found.depth) == (9_082, 58_512, 21)
    assert found.violations == ()
    assert found.visited == plain_toy(3, 4, 2)[0]


@pytest.mark.deep
def test_131414_states() -> None:
    found = search_toy(3, 6, 4)
    assert (len(found.visited), found.transitions) == (131_414, 1_005_470)
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
            toy.restore(saved)
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


# ---- what is seen to fail ----------------------------------------------------------------------


def test_a_leak_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    def leak(ledger: Any, request: Any) -> None:
        MOVES_BEFORE["recompute"](ledger, request)
        ledger.gpu.free -= 1

    MOVES_BEFORE = dict(MOVES)
    monkeypatch.setitem(table_toy.MOVES, "recompute", leak)
    found = search_toy(1, 3, 2, most=60)
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
