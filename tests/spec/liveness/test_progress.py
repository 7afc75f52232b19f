"""Every decision of progress is proved, and its lemma is seen to fail when it is broken."""

# pyright: basic

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
import z3
from edits import written
from progress_lemmas import failing

from lineclear.policies import load_claims
from lineclear.scheduling import room, sequence_demand, step
from lineclear.theorems import entering
from lineclear_spec import logic
from lineclear_spec.crosscheck.second_solver import crosscheck_unit
from lineclear_spec.kernel import progress
from lineclear_spec.liveness.progress_units import ENTERING, PROGRESS
from lineclear_spec.proof.obligations import Goal, build
from lineclear_spec.proof.prove import prove_unit

#: A method or a function of the scheduler, one statement of it, and what it is changed to.
PLANTED: dict[str, tuple[Callable[..., Any], str, str]] = {
    "one block short when no request runs": (
        room.Room.have,
        "self._available()",
        "self._available() - (not live.running)",
    ),
    "a seat short": (room.Room.have, "live.seats,", "live.seats + 1,"),
    "the watermark is kept when no request runs": (
        room.Room.have,
        "kept_free(self._kept(), len(live.running))",
        "self.config.watermark_blocks",
    ),
    "a waiting request wants a block more": (
        room.Room.want,
        "return Need(blocks,",
        "return Need(blocks + 1,",
    ),
    "a swapped request wants a block more": (
        room.Room.want,
        "record.blocks + growth",
        "record.blocks + growth + 1",
    ),
    "a request that waits wants two tokens": (
        room.Room.want,
        "asked_tokens(tokens,",
        "asked_tokens(tokens + 1,",
    ),
    "a sequence wants a block more": (sequence_demand.sized, "+ copy\n", "+ copy + 1\n"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_runs_when_a_request_enters_is_what_is_proved(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_claims()
    function, text, other = PLANTED[name]
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(text) == 1
    names = dict(vars(inspect.getmodule(function)))
    annotated = "from __future__ import annotations\n" + source.replace(text, other)
    written(f"<{name}>", annotated, names)
    owner = room.Room if function.__qualname__.startswith("Room.") else entering
    assert not any(failing(build(unit)) for unit in ENTERING)
    monkeypatch.setattr(owner, function.__name__, names[function.__name__])
    assert any(failing(build(unit)) for unit in ENTERING)


@pytest.mark.parametrize("name", [*PROGRESS, *ENTERING])
def test_the_decisions_are_proved_by_both_solvers(name: str) -> None:
    assert [r for r in prove_unit(build(name)) if r.status != "proved"] == []
    assert [r for r in crosscheck_unit(build(name)) if r.status != "proved"] == []


@pytest.mark.parametrize("name", [*PROGRESS, *ENTERING])
def test_the_hypotheses_of_decisions_do_not_contradict_each_other(name: str) -> None:
    unit = build(name)
    unit.goals = [Goal("progress", "false", 0, z3.BoolVal(False))]
    assert [r.status for r in prove_unit(unit)] != ["proved"]
    assert [r.status for r in crosscheck_unit(unit, budget=20_000)] != ["proved"]


#: A decision, how it is broken, and a lemma that is not proved any more.
BROKEN: dict[str, tuple[str, str, str]] = {
    "a victim among all": ("behind", "b, o: not_(o < o)", "no request precedes the first"),
    "a victim ahead": ("behind", "b, o: o < b", "no request precedes the first in the order"),
    "growth beside no request": ("grows", "p, w, f: w < f - p", "runs alone can grow"),
    "growth that grows dearer": ("grows", "p, w, f: p + w + f <= 9", "every victim lowers"),
    "any-fit skipping": ("may_be_passed", "by, most: by >= 0", "with no bypass no request"),
    "one bypass more": ("may_be_passed", "by, most: by <= most", "passed at most `max_bypasses`"),
    "no pause when blocked": (
        "admits_others",
        "p, pause, d, b: and_(not_(and_(p, pause)), not_(d))",
        "does not get its share admits no other",
    ),
    "no request is ever let in": (
        "admits_others",
        "p, pause, d, b: and_(not_(p), not_(d), not_(b), pause, not_(pause))",
        "lets the head in",
    ),
    "a request is displaced before it has kept a token": (
        "may_be_displaced",
        "displacing, kept: or_(displacing, not_(displacing))",
        "that entered by displacing is not displaced",
    ),
    "none is displaced that entered by displacing": (
        "may_be_displaced",
        "displacing, kept: not_(displacing)",
        "any other request may be displaced",
    ),
    "a head that asks for no token": (
        "asked_tokens",
        "tokens, budget: smaller(tokens, budget) - 1",
        "no request displaces without the first that runs",
    ),
    "a first prompt that leaves tokens": (
        "chunk",
        "t, left, c: if_else(t <= left, t, larger(0, left - 1))",
        "no request displaces without the first that runs",
    ),
    "a watermark that is never waived": ("kept_free", "w, r: w", "no block is kept free"),
    "a whole group's tokens at once": (
        "asked_tokens",
        "tokens, budget: tokens",
        "never asked for more tokens than a step has",
    ),
    "a first prompt beyond its limit": (
        "share_of",
        "tokens, decode, most: tokens",
        "gets the least of what it lacks",
    ),
    "a first prompt that gets less than its limit": (
        "share_of",
        "tokens, decode, most: if_else(decode, tokens, smaller(tokens, most - 1))",
        "gets the least of what it lacks",
    ),
    "a chunk of nothing": ("chunk", "t, left, c: if_else(t <= left, t, 0)", "and so a token"),
    "a chunk too large": ("chunk", "t, left, c: t", "never more than there is"),
    "a whole prompt is put off": (
        "chunk",
        "t, left, c: if_else(t < left, t, if_else(c, larger(0, left - 1), 0))",
        "is computed whole",
    ),
    "slots beyond the limit": (
        "wanted_slots",
        "slots, reach, tokens: slots + tokens",
        "runs alone can grow",
    ),
    "tokens beyond the last": (
        "wanted_tokens",
        "exist, last, reach, drafts: exist - reach + drafts",
        "runs alone can grow",
    ),
    "a block too many": (
        "wanted_blocks",
        "need, length, shared: need - length + 1",
        "one sequence that runs alone can grow",
    ),
    "no sharing": ("beside", "need, full: need", "a further branch asks"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_decision_is_refuted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, text, lemma = BROKEN[name]
    arguments, answer = text.split(":")
    names = dict(vars(logic))
    written(f"<{name}>", f"def {function}({arguments}):\n    return {answer.strip()}\n", names)
    broken = names[function]
    for module in (progress, step, room, sequence_demand):  # where the scheduler has it from
        if hasattr(module, function):
            monkeypatch.setattr(module, function, broken)
    load_claims()
    lost = {label for unit in (*PROGRESS, *ENTERING) for label in failing(build(unit))}
    assert any(lemma in label for label in lost), lost
