"""Counterexamples: the actions, the rule they break, and a replay.

Guarantees: a counterexample holds everything that a replay needs: limits, actions and the rule; for a run of the
scheduler its moves and its journal. A replay executes; it never repeats the file's claim of what was seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from lineclear_spec.kernel.records import Limits
    from lineclear_spec.modelcheck.ghosts import GhostLedger
    from lineclear_spec.mutation.trial import Evidence

FORMAT = "lineclear counterexample 1"
#: Blocks and slots that an execution lists at most, so that a damaged file takes no memory.
MOST = 10_000


class CounterexampleError(ValueError):
    """The file is not a counterexample; the message is one line."""


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A trace and the rule that it breaks.

    Attributes:
        kind: table, mutant or scheduler.
        rule: a clause of an invariant, `ACTION ensures PART`, or `definedness`; for a scheduler
            also any rule that its finding names.
        what: the values, or the error.
        limits: the ledger's constants, by name.
        trace: (action, arguments) from the start state; see `lineclear_spec.modelcheck.explore`.
        mutant: the name of the broken table, or "".
        tweaks: counters written before the last action, none if the trace is reachable.
        moves: the environment's moves, for a run of the scheduler.
        journal: the lines of its journal, for a run of the scheduler.
        again: the input of `again.occurs`; empty if the run cannot be repeated.
    """

    kind: str
    rule: str
    what: str
    limits: Mapping[str, int]
    trace: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    mutant: str = ""
    tweaks: tuple[tuple[str, str, int], ...] = ()
    moves: tuple[str, ...] = ()
    journal: tuple[str, ...] = ()
    again: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "kind": self.kind,
            "rule": self.rule,
            "what": self.what,
            "limits": dict(self.limits),
            "trace": [[name, *arguments] for name, arguments in self.trace],
            "mutant": self.mutant,
            "tweaks": [list(row) for row in self.tweaks],
            "moves": list(self.moves),
            "journal": list(self.journal),
            "again": dict(self.again),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Counterexample:
        """Parses the form of `as_dict`.

        Raises:
            CounterexampleError: something is missing.
        """
        try:
            again = dict(content.get("again", {}))
            return cls(
                kind=str(content["kind"]),
                rule=str(content["rule"]),
                what=str(content["what"]),
                limits=dict(content["limits"]),
                trace=tuple((str(row[0]), tuple(row[1:])) for row in content["trace"]),
                mutant=str(content["mutant"]),
                tweaks=tuple((str(s), str(n), int(v)) for s, n, v in content["tweaks"]),
                moves=tuple(map(str, content["moves"])),
                journal=tuple(map(str, content["journal"])),
                again=again if again.get("how") == "moves" else {},  # older: a workload
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise CounterexampleError(f"not a {FORMAT!r}: {error}") from error

    def execute(self, stop: int | None = None) -> ExecutionResult:
        """Executes the trace; the last action with the mutant installed, if there is one.

        Args:
            stop: stop after this many actions.

        Raises:
            CounterexampleError: it cannot be executed, because the table has changed.
        """
        return Execution(self).run(stop)

    def picture(self) -> list[str]:
        """One row for each action, one column for each block."""
        from lineclear_spec.report.picture import table

        return table(self.execute().rows)


@dataclass(slots=True)
class ExecutionResult:
    """The result of an execution.

    Attributes:
        ledger: the ledger after the last executed action.
        rows: rows of the picture.
        states: states after 0, 1, ... actions.
        broken: rules that are false at the end; `definedness` if the last action failed.
        refused: the guard that refused the last action, or "".
    """

    ledger: GhostLedger
    rows: list[tuple[str, str, list[str], list[str], str]]
    states: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    broken: tuple[str, ...] = ()
    refused: str = ""

    @property
    def breaks(self) -> bool:
        """Whether a rule was broken."""
        return bool(self.broken)


class Execution:
    """One run of a trace."""

    def __init__(self, saved: Counterexample) -> None:
        from lineclear_spec.kernel.records import Limits
        from lineclear_spec.modelcheck.ghosts import GhostLedger

        self.saved = saved
        for name in ("block_size", "gpu_blocks", "cpu_blocks"):
            value: Any = saved.limits.get(name, 0)  # as a file says
            if type(value) is not int or value > MOST:
                raise CounterexampleError(
                    f"its {name} is {value!r}: a whole number of at most {MOST}, as all its places are listed"
                )
        try:
            self.ledger = GhostLedger(Limits(**cast("dict[str, Any]", saved.limits)))
        except (TypeError, ValueError) as error:
            raise CounterexampleError(f"its limits are not the ledger's: {error}") from error
        from lineclear_spec.report.picture import Picture

        self.picture = Picture(self.ledger)
        self.seen = ExecutionResult(self.ledger, self.picture.rows)
        self._note()

    def run(self, stop: int | None) -> ExecutionResult:
        """Every action in order."""
        from lineclear_spec.mutation.trial import write as write_counters

        last = len(self.saved.trace)
        for number, step in enumerate(self.saved.trace, 1):
            if stop is not None and number > stop:
                break
            if number == last and self.saved.tweaks:
                write_counters(self.ledger, self.saved.tweaks)
                tweaks = ", ".join(f"{s}.{name} = {value}" for s, name, value in self.saved.tweaks)
                self._row("*", "a good state", tweaks)
            if not self._step(number, step, final=number == last):
                break
        return self.seen

    def _step(self, number: int, step: tuple[str, tuple[Any, ...]], *, final: bool) -> bool:
        """One action; False if the trace cannot continue."""
        from lineclear_spec.actions import ACTIONS
        from lineclear_spec.kernel.records import Refused
        from lineclear_spec.modelcheck.explore import broken_by, prepare
        from lineclear_spec.report.picture import call

        name = step[0]
        if name not in ACTIONS:
            raise CounterexampleError(f"action {number}: the table has no {name}")
        self._check_arguments(number, step)
        try:
            own = prepare(self.ledger, step)
        except (IndexError, ValueError) as error:
            raise CounterexampleError(f"action {number}: {name}: no such record") from error
        try:
            with self._installed(final=final) as body:
                found = broken_by(self.ledger, step, own, body, kv=final)
        except Refused as refused:
            if not final:
                raise CounterexampleError(
                    f"action {number}: {name} is refused now: {refused.guard}"
                ) from None
            self.seen.refused = refused.guard
            self._row(str(number), call(step), f"refused: {refused.guard}")
            return False
        self.seen.broken = tuple(breach.rule for breach in found)
        failed = found[0].values[0] if self.seen.broken == ("definedness",) else None
        self._row(str(number), call(step), failed)
        return not found

    def _check_arguments(self, number: int, step: tuple[str, tuple[Any, ...]]) -> None:
        """Rejects arguments that no trace has: fractions, objects, and numbers that would take all memory.

        Raises:
            CounterexampleError: names the action and the value.
        """
        name, arguments = step
        values = list(arguments)
        while values:
            value = values.pop()
            if isinstance(value, list | tuple):
                values += cast("list[Any]", value)
            elif not isinstance(value, str | int | None) or (
                isinstance(value, int) and abs(value) > MOST
            ):
                raise CounterexampleError(
                    f"action {number}: {name} has {repr(value)[:60]}: a record, or a whole number of at most {MOST}"
                )
        length = self.ledger.limits.max_model_len
        if len(arguments) > 3 and name in ("submit", "reject") and length > MOST:
            raise CounterexampleError(
                f"its max_model_len is {length}: at most {MOST} where requests have names, as all are listed"
            )

    @contextmanager
    def _installed(self, *, final: bool) -> Generator[Callable[..., Any] | None]:
        """Within the block the last action is the mutant's, if there is one."""
        from lineclear_spec.mutation.mutants import generate, installed
        from lineclear_spec.mutation.variants import FAMILIES

        if not (final and self.saved.mutant):
            yield None
            return
        mutants = {mutant.name: mutant for mutant in generate(FAMILIES)}
        if self.saved.mutant not in mutants:
            raise CounterexampleError(f"the table no longer has the statement {self.saved.mutant}")
        with installed(mutants[self.saved.mutant]) as body:
            yield body

    def _row(self, mark: str, action: str, text: str | None) -> None:
        """Records the state."""
        self.picture.add(mark, action, text)
        self._note()

    def _note(self) -> None:
        """The state of the newest row."""
        from lineclear.journal.file import state

        _, action, gpu, cpu, _ = self.picture.rows[-1]
        shown = {"action": action, **state(self.ledger)}
        self.seen.states.append({**shown, "gpu_blocks": gpu, "cpu_blocks": cpu})


def names_of(limits: Limits) -> dict[str, int]:
    """The constants of a ledger by name."""
    from lineclear.journal.file import LIMITS

    return {name: int(getattr(limits, name)) for name in LIMITS}


def from_table(limits: Limits, trace: Sequence[Any], rule: str, what: str) -> Counterexample:
    """A trace of the unchanged table whose last state breaks a rule.

    Args:
        limits: constants of the ledger.
        trace: (action, arguments) from the empty ledger on.
        rule: the broken rule.
        what: what is wrong, on one line.
    """
    rows = tuple((name, tuple(arguments)) for name, arguments in trace)
    return Counterexample("table", rule, what, names_of(limits), rows)


def from_mutant(name: str, evidence: Evidence) -> Counterexample:
    """A trace whose last action is broken on purpose."""
    from lineclear_spec.report.picture import world

    saved = from_table(
        world(evidence.bounds).limits(), evidence.trace, evidence.rule, evidence.what
    )
    return replace(saved, kind="mutant", mutant=name, tweaks=evidence.tweaks)


def from_scheduler(
    rule: str,
    what: str,
    moves: Iterable[str],
    journal: Iterable[str],
    again: Mapping[str, Any] | None = None,
) -> Counterexample:
    """A run of the scheduler: the environment's moves, and every action that they led to.

    Args:
        rule: the broken rule.
        what: the values.
        moves: one line of text each.
        journal: lines as `record.JournalFile` writes them.
        again: the input of `again.occurs`.
    """
    lines = tuple(line.rstrip("\n") for line in journal)
    limits: dict[str, int] = json.loads(lines[0])["limits"] if lines else {}
    return Counterexample(
        "scheduler", rule, what, limits, moves=tuple(moves), journal=lines, again=again or {}
    )
