"""Reduces a log to a short part that still breaks the same rule at the same kind of event.

Guarantees: the result was fed to a new checker; its last event breaks the same clauses and no
other, and no earlier event breaks any. A result of up to 40 events breaks them with the same
values; if that takes more, the values may differ. Events of irrelevant requests are dropped first,
then single events; the result is locally minimal unless the budget of events ran out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from lineclear.conform.checker import Checker
from lineclear.conform.events import Event, RequestId
from lineclear.conform.header import Header
from lineclear.conform.log_parts import (
    about,
    completed,
    filtered,
    named_by,
    renumbered,
    touching,
    upto,
    without,
)
from lineclear.conform.rule_context import Violation

#: Budget of events for all trials together.
BUDGET = 400_000
#: Up to this many events, a reduced log keeps the values of the violation.
FAITHFUL = 40
#: Values that a shorter log changes: numbers of steps, and amounts over a limit.
RELATIVE = frozenset(
    (
        *("step", "settled", "after_step", "last", "in_flight", "admitted", "waits", "calls"),
        *("bound", "holders", "entries", "tokens", "rows"),
        *("free_for_the_engine", "free_by_the_log"),
    )
)
#: Above this many events, single events are not dropped one by one.
LONGEST = 4_000
#: Clauses on step numbers.
STEPS = {("ordered", "number"), ("ordered", "settle"), ("ordered", "max_steps_in_flight")}


@dataclass(frozen=True, slots=True)
class Reduced:
    """A reduced log.

    Attributes:
        header: header of the log.
        events: the last one breaks the rule.
        violation: the violation by the reduced log.
        before: number of events of the full log up to there.
    """

    header: Header
    events: list[Event]
    violation: Violation
    before: int

    def json(self) -> dict[str, Any]:
        """JSON form: a log that breaks the rule at its last line."""
        return {"log": [self.header.json(), *self.events], "message": self.violation.message}


def reduce_log(
    header: Header, events: Callable[[], Iterable[Event]], violations: Sequence[Violation]
) -> Reduced:
    """Drops irrelevant events.

    Args:
        header: header of the log.
        events: iterates over the log's events from the start.
        violations: violations of the last event, from `Checker.feed`.
    """
    found = reduce_with(ReductionTrial(header, violations, faithful=True), events, violations)
    if len(found.events) <= FAITHFUL:
        return found
    loose = reduce_with(ReductionTrial(header, violations, faithful=False), events, violations)
    return loose if len(loose.events) < len(found.events) else found


def reduce_with(
    trial: ReductionTrial, events: Callable[[], Iterable[Event]], violations: Sequence[Violation]
) -> Reduced:
    """Drops what the trial does not need."""
    header, violation = trial.header, violations[0]
    if violation.rule == "conservation":
        trial.touched = named_by(islice(events(), violation.number - 1)) & set(violation.blocks)
    if any(found.key[:2] in STEPS for found in violations):
        # Renumbering steps would repair wrong step numbers.
        found = last_steps(trial, events())
        if found is None:
            found = trial(upto(events(), violation.number), renumber=False)
        return Reduced(header, sure(found), trial.broken, violation.number)
    block_ids = set(violation.blocks)
    requests: set[RequestId] = set(violation.requests)
    found = trial(filtered(events(), violation, requests, block_ids))
    if found is None:
        requests |= touching(events(), violation, block_ids)
        found = trial(filtered(events(), violation, requests, block_ids))
    if found is None:
        found = trial(upto(events(), violation.number))
    found = sure(found)
    length = -1
    while length != len(found):
        length = len(found)
        found = fewer_requests(trial, found, violation, block_ids)
        if len(found) <= LONGEST:
            found = fewer_events(trial, found)
            for r in dict.fromkeys(event["r"] for event in found if "r" in event):
                found = less_of(trial, found, r)
    return Reduced(header, found, trial.broken, violation.number)


def sure(found: list[Event] | None) -> list[Event]:
    """The unreduced log, which broke its rule when read before."""
    if found is None:
        raise AssertionError("the log does not break the rule a second time")
    return found


def last_steps(trial: ReductionTrial, events: Iterable[Event]) -> list[Event] | None:
    """Only the last steps and their ends: nothing else affects the order of steps."""
    steps: list[Event] = [
        {**event, "rows": []} if event["e"] == "step" else {"e": "settle", "n": event["n"]}
        for event in upto(events, trial.first.number)
        if event["e"] in ("step", "settle")
    ]
    for count in range(1, min(len(steps), 64) + 1):
        found = trial(steps[-count:], renumber=False)
        if found is not None:
            return found
    return trial(steps, renumber=False)


class ReductionTrial:
    """Tries candidates; keeps the last that broke the rule."""

    def __init__(self, header: Header, violations: Sequence[Violation], *, faithful: bool) -> None:
        self.header = header
        self.faithful = faithful
        self.touched: set[tuple[str, int]] = set()  # blocks whose events have to stay
        self.first = self.broken = violations[0]
        self.keys = {violation.key for violation in violations}
        self.left = BUDGET

    def __call__(self, events: list[Event], *, renumber: bool = True) -> list[Event] | None:
        """The candidate with steps renumbered, if it breaks the same rule at its end."""
        if not events or self.left < len(events):
            return None
        if self.touched and not self.touched <= named_by(events[:-1]):
            return None
        numbered = renumbered(events) if renumber else list(events)
        checker = Checker(self.header, validate=False)
        for event in numbered[:-1]:
            self.left -= 1
            if checker.feed(event):
                return None
        if self.first.rule == "conservation":
            numbered[-1] = completed(numbered[-1], self.first, checker)
        found = checker.feed(numbered[-1])
        same = [violation for violation in found if self.same(violation)]
        if not same or {violation.key for violation in found} != self.keys:
            return None
        self.broken = same[0]
        return numbered

    def same(self, found: Violation) -> bool:
        """Whether it is the same violation, not another of the same rule."""
        first = self.first
        if found.key != first.key or bool(found.requests) != bool(first.requests):
            return False
        if self.faithful and fixed(found.values) != fixed(first.values):
            return False
        about = set(first.requests) | set(first.blocks)
        return not about or bool(about & (set(found.requests) | set(found.blocks)))


def fixed(values: dict[str, Any]) -> dict[str, Any]:
    """The values that a shorter log keeps."""
    return {name: value for name, value in values.items() if name not in RELATIVE}


def fewer_requests(
    trial: ReductionTrial,
    events: list[Event],
    violation: Violation,
    block_ids: set[tuple[str, int]],
) -> list[Event]:
    """Drops irrelevant requests, several at once and then one by one.

    Args:
        trial: returns the events up to the same violation, None if it does not come.
        events: a log that breaks the rule.
        violation: the broken rule.
        block_ids: (pool, block id) of the blocks that it names.
    """
    names = list(dict.fromkeys(event["r"] for event in events if "r" in event))
    size = len(names) // 2
    while size >= 1 and len(names) > 1:
        at = 0
        while at < len(names):
            rest = names[:at] + names[at + size :]
            shorter = replace(violation, number=len(events))
            found = trial(filtered(events, shorter, set(rest), block_ids)) if rest else None
            if found is None:
                at += size
            else:
                names, events = rest, found
        size //= 2
    return events


def fewer_events(trial: ReductionTrial, events: list[Event]) -> list[Event]:
    """Drops irrelevant events, many at once and then one by one."""
    size = max(1, (len(events) - 1) // 2)
    while True:
        at, shorter = 0, False
        while at < len(events) - 1:
            found = trial([*events[:at], *events[min(at + size, len(events) - 1) :]])
            if found is None:
                at += size
            else:
                events, shorter = found, True
        if size == 1 and not shorter:
            return fewer_rows(trial, events)
        size = max(1, size // 2)


def less_of(trial: ReductionTrial, events: list[Event], r: RequestId) -> list[Event]:
    """Drops parts of one request's life: what it allocated, computed and freed."""
    size = len(events)
    while size >= 1:
        at = 0
        while True:
            mine = [k for k, event in enumerate(events[:-1]) if about(event, r)]
            if at >= len(mine):
                break
            out = set(mine[at : at + size])
            kept = [without(event, r) if k in out else event for k, event in enumerate(events)]
            found = trial([event for event in kept if event is not None])
            if found is None:
                at += size
            else:
                events = found
        size //= 2
    return events


def fewer_rows(trial: ReductionTrial, events: list[Event]) -> list[Event]:
    """Drops irrelevant rows of steps."""
    for at, event in enumerate(events):
        if event["e"] != "step":
            continue
        k = 0
        while len(events[at]["rows"]) > 1 and k < len(events[at]["rows"]):
            rows = events[at]["rows"]
            shorter = {**events[at], "rows": rows[:k] + rows[k + 1 :]}
            found = trial([*events[:at], shorter, *events[at + 1 :]])
            if found is None:
                k += 1
            else:
                events = found
    return events
