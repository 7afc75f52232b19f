"""Checks a whole file: its violations, and what could not be checked.

Guarantees: memory is bounded by the engine's size; the file is read again only to reduce a
violation. A result is conclusive only if every rule was checked or does not apply.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import Any

from lineclear.conform.checker import Checker
from lineclear.conform.events import EventError
from lineclear.conform.header import Header
from lineclear.conform.reduce import Reduced, reduce_log
from lineclear.conform.rule_context import Violation
from lineclear.conform.rules import RULES, RuleCoverage
from lineclear.conform.source import Source

CUT = "the journal was cut off: its last line, which holds the digest, is missing"


@dataclass(frozen=True, slots=True)
class Conformance:
    """The result for one log.

    Attributes:
        path: name of the log: its path, or `standard input`.
        kind: event log, journal or KV events.
        header: header of the log.
        events: number of events checked.
        standings: every rule, with what the log lacks for it.
        violations: violations of the last event.
        line: line of that event, 0 without a violation.
        reduced: the reduced log, None without a violation.
        before: the state before that event, as lines of text.
        cut: whether the log is a journal that was cut off: what it recorded behind its last event is not known.
    """

    path: str
    kind: str
    header: Header
    events: int
    standings: tuple[RuleCoverage, ...]
    violations: tuple[Violation, ...]
    line: int
    reduced: Reduced | None
    before: tuple[str, ...] = ()
    cut: bool = False

    @property
    def inconclusive(self) -> list[RuleCoverage]:
        """Rules that apply but were not checked, or only in part."""
        return [row for row in self.standings if row.status in ("partly", "unchecked")]

    def json(self) -> dict[str, Any]:
        """JSON form."""
        engine = self.header.json()
        return {
            "log": self.path,
            "kind": self.kind,
            "engine": {name: value for name, value in engine.items() if name not in ("e", "log")},
            "events": self.events,
            "conforms": not self.violations,
            "cut": self.cut,
            "line": self.line or None,
            "violations": [violation.json() for violation in self.violations],
            "before": list(self.before),
            "reduced": None if self.reduced is None else self.reduced.json(),
            "rules": [
                {
                    "rule": row.rule,
                    "code": RULES[row.rule].code,
                    "sentence": RULES[row.rule].sentence,
                    "status": row.status,
                    "asked": row.asked,
                    "lacks": list(row.lacks),
                }
                for row in self.standings
            ],
        }


def conform(source: Source) -> Conformance:
    """Checks a file up to the first event that breaks a rule.

    Raises:
        EventError, lineclear.journal.file.JournalError: a line is malformed.
    """
    checker = Checker(source.header, validate=source.kind == "event log")
    violations: list[Violation] = []
    for event in source.events():
        try:
            violations = checker.feed(event)
        except EventError as error:
            raise source.error(error) from None
        if violations:
            break
    line = source.line
    reduced = reduce_log(source.header, source.events, violations) if violations else None
    return Conformance(
        source.name,
        source.kind,
        source.header,
        checker.number,
        tuple(checker.standings()),
        tuple(violations),
        line if violations else 0,
        reduced,
        tuple(state_before(source, violations[0])) if violations else (),
        source.cut,
    )


def state_before(source: Source, violation: Violation) -> list[str]:
    """The state before the event that breaks a rule; the file is read again up to there."""
    from lineclear.conform.picture import draw_state

    checker = Checker(source.header, validate=False)
    checker.run(islice(source.events(), violation.number - 1))
    return draw_state(checker.state, violation)


def lines(result: Conformance) -> list[str]:
    """The result as text."""
    engine = " ".join(part for part in (result.header.engine, result.header.version) if part)
    checked = sum(row.status == "checked" for row in result.standings)
    text = [
        f"{result.path}: {result.kind}" + (f" of {engine}" if engine else "") + ", "
        f"{result.events:,} events, {checked} of {len(result.standings)} rules fully checked"
    ]
    if result.cut:
        text.append(f"  {CUT}")
    for row in result.standings:
        if row.status != "checked":
            text.append(f"  {row.status:<10} {row.rule:<15} {'; '.join(row.lacks)}")
    for violation in result.violations:
        text += ["", *describe(violation, result.line)]
    return [*text, *pictures(result)]


def describe(violation: Violation, line: int) -> list[str]:
    """A violation without its picture."""
    text = [
        f"{violation.code} {violation.rule}: {violation.message}",
        f"  violated  {violation.about.sentence}",
        f"  event     {violation.number}, line {line}: {json.dumps(violation.event)}"[:400],
    ]
    if violation.values:
        values = ", ".join(f"{name} {value!r}" for name, value in violation.values.items())
        text.append(f"  values    {values}"[:400])
    return [*text, f"  remedy    {violation.about.todo}"]


def pictures(result: Conformance) -> list[str]:
    """The state before the event, and the reduced log, block by block; empty without a violation.

    Those of KV events have no holders and no pool to draw.
    """
    from lineclear.conform.picture import draw

    reduced = result.reduced
    if reduced is None or result.kind == "KV events":  # their block ids are made up by the reader
        return []
    text = ["", f"  before event {result.events:,}", "", *result.before, ""]
    text.append(f"  reduced to {len(reduced.events):,} of {reduced.before:,} events")
    if reduced.violation.message != result.violations[0].message:
        text.append(f"  there: {reduced.violation.message}")
    return [*text, "", *draw(reduced)]
