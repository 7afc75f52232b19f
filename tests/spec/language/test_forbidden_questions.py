"""A question that runs on formulas reads and calls what is listed, and asks no value what it is.

Each case here was proved once although an execution shows that it is wrong.
"""

# pyright: basic

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import pytest

from lineclear.policies import accounts, load_claims
from lineclear.theorems.entering import EmptyRoom
from lineclear_spec.language.forbidden_questions import ENTERING_FIELDS, refuse_questions
from lineclear_spec.language.source import Forbidden
from lineclear_spec.liveness.entering import STEP
from lineclear_spec.liveness.theorems import CLAIMS
from lineclear_spec.proof.obligations import build


class Honest:
    def have(self) -> Any:
        return self._left

    @property
    def _left(self) -> Any:
        return 0


class OfTypes(Honest):
    def have(self) -> Any:
        return 0 if isinstance(self, int) else 1


class OfIdentity(Honest):
    @property
    def _left(self) -> Any:
        return 0 if self is None else 1


class OfFailures(Honest):
    def have(self) -> Any:
        return helper_that_tries()


def helper_that_tries() -> Any:
    try:
        return 0
    except TypeError:
        return 1


class OfTerms(Honest):
    def want(self, entry: Any) -> Any:
        return entry.record.blocks.z


class OfArguments(Honest):
    def want(self, entry: Any) -> Any:
        return entry.tokens.bit_length()


@dataclass
class Asking:
    tokens: Any

    def __post_init__(self) -> None:
        self.tokens = 0 if isinstance(self.tokens, int) else self.tokens


class OfRecords(Honest):
    def want(self, entry: Any) -> Any:
        return Asking(entry.tokens)


class OfModules(Honest):
    def want(self, entry: Any) -> Any:
        return inspect.isclass(entry)


class OfFunctions(Honest):
    def want(self, entry: Any) -> Any:
        return sorted([entry.tokens], key=lambda one: 0)


class OfHelpers(Honest):
    def want(self, entry: Any) -> Any:
        return helper_that_reads(entry)


def helper_that_reads(entry: Any) -> Any:
    return entry.symbolic


@pytest.mark.parametrize(
    ("step", "what"),
    [
        (OfTerms, "reads `z`"),
        (OfArguments, "calls `entry.tokens.bit_length`|reads `bit_length`"),
        (OfRecords, "calls `Asking`"),
        (OfModules, "calls `inspect.isclass`|reads `isclass`"),
        (OfFunctions, "calls `sorted`|a function"),
        (OfHelpers, "helper_that_reads.* reads `symbolic`"),
    ],
)
def test_what_runs_when_a_request_enters_reads_and_calls_what_is_listed(
    step: Any, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refuse_questions(step, (step.have, step.want))
    with pytest.raises(Forbidden, match=what):
        refuse_questions(step, (step.have, step.want), fields=ENTERING_FIELDS)
    monkeypatch.setattr("lineclear_spec.liveness.progress_units.STEP", [step])
    with pytest.raises(Forbidden, match=what):
        build("room")


def test_what_runs_when_a_request_enters_does_not_ask_what_a_value_is() -> None:
    assert [f.__name__ for f in refuse_questions(Honest, (Honest.have,))] == ["have", "_left"]
    for step in (OfTypes, OfIdentity, OfFailures):
        with pytest.raises(Forbidden, match="asks what a value is"):
            refuse_questions(step, (step.have,))
    step, *runs = STEP
    assert step is EmptyRoom
    seen = {f.__name__ for f in refuse_questions(step, (step.have, step.want, *runs))}
    assert {"have", "want", "sized", "room", "asked_tokens", "left"} <= seen


@pytest.mark.parametrize("unit", ["admission", "room"])
def test_the_units_about_entering_look_at_the_source_first(
    unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lineclear_spec.liveness.progress_units.STEP", [OfTypes])
    monkeypatch.setattr(OfTypes, "want", Honest.have, raising=False)
    with pytest.raises(Forbidden, match="asks what a value is"):
        build(unit)


def test_what_a_tenant_is_charged_at_most_is_checked_as_it_runs() -> None:
    load_claims()
    for name in ("vtc", "drr"):
        assert accounts.most_charged in CLAIMS[name].runs
