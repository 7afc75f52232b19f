"""Reduces a log to a short part that still breaks the same rule at the same kind of event.

Guarantees: the result was fed to a new checker; its last event breaks the same clauses and no
other, and no earlier event breaks any. Events of irrelevant requests are dropped first, then
single events; the result is locally minimal unless the budget of events ran out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lineclear.conform.checker import Checker, Violation
from lineclear.conform.events import RequestId
from lineclear.conform.header import Header
from lineclear.conform.schema import free_lists
from lineclear.conform.state import DEFAULT

__all__ = ["Reduced", "reduce_log"]

Event = dict[str, Any]
#: Budget of events for all trials together.
BUDGET = 400_000
#: Above this many events, single events are not dropped one by one.
LONGEST = 4_000
#: Clauses on step numbers.
STEPS = {("ordered", "number"), ("ordered", "settle"), ("ordered", "depth")}


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
    trial = ReductionTrial(header, violations)
    violation = violations[0]
    if any(found.key[:2] in STEPS for found in violations):
        # Renumbering steps would repair wrong step numbers.
        found = last_steps(trial, events())
        if found is None:
            found = trial(upto(events(), violation.number), renumber=False)
        return Reduced(header, sure(found), trial.broken, violation.number)
    places = set(violation.blocks)
    requests: set[RequestId] = set(violation.requests)
    found = trial(filtered(events(), violation, requests, places))
    if found is None:
        requests |= touching(events(), violation, places)
        found = trial(filtered(events(), violation, requests, places))
    if found is None:
        found = trial(upto(events(), violation.number))
    found = sure(found)
    length = -1
    while length != len(found):
        length = len(found)
        found = fewer_requests(trial, found, violation, places)
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

    def __init__(self, header: Header, violations: Sequence[Violation]) -> None:
        self.header = header
        self.first = self.broken = violations[0]
        self.keys = {violation.key for violation in violations}
        self.left = BUDGET

    def __call__(self, events: list[Event], *, renumber: bool = True) -> list[Event] | None:
        """The candidate with steps renumbered, if it breaks the same rule at its end."""
        if not events or self.left < len(events):
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
        if found.key != first.key:
            return False
        about = set(first.requests) | set(first.blocks)
        return not about or bool(about & (set(found.requests) | set(found.blocks)))


def completed(event: Event, violation: Violation, checker: Checker) -> Event:
    """A check that keeps the original statement on these blocks and is correct on all others."""
    free: dict[str, list[int]] = {}
    for name, ids in free_lists(event["free"]).items():
        wrong = {block for pool, block in violation.blocks if pool == name}
        others = checker.state.pools[name].free() - wrong
        free[name] = sorted([*[block for block in ids if block in wrong], *others])
    return {**event, "free": free}


def upto(events: Iterable[Event], number: int) -> list[Event]:
    """The first events."""
    return [event for _, event in zip(range(number), events, strict=False)]


def touching(
    events: Iterable[Event], violation: Violation, places: set[tuple[str, int]]
) -> set[RequestId]:
    """Requests that ever named one of these blocks."""
    found: set[RequestId] = set()
    for _, event in zip(range(violation.number), events, strict=False):
        if event["e"] in ("alloc", "hit"):
            pool = event.get("pool", DEFAULT)
            if any((pool, block) in places for block in event["blocks"]):
                found.add(event["r"])
    return found


def filtered(
    events: Iterable[Event],
    violation: Violation,
    requests: set[RequestId],
    places: set[tuple[str, int]],
) -> list[Event]:
    """The events of these requests, of the blocks they name, and of these blocks."""
    named = set(places)
    copies: set[int] = set()
    found: list[Event] = []
    for number, event in enumerate(events, start=1):
        last = number == violation.number
        kept = of_requests(event, requests, named, copies, last, violation)
        if kept is not None:
            found.append(kept)
        if last:
            break
    return found


def of_requests(
    event: Event,
    requests: set[RequestId],
    named: set[tuple[str, int]],
    copies: set[int],
    last: bool,
    violation: Violation,
) -> Event | None:
    """The part of one event that concerns these requests."""
    kind = event["e"]
    if "r" in event:
        if event["r"] not in requests:
            return event if last else None
        if kind in ("alloc", "hit"):
            pool = event.get("pool", DEFAULT)
            named.update((pool, block) for block in event["blocks"])
        return event
    if kind == "step":
        rows = [row for row in event["rows"] if row[0] in requests]
        return {**event, "rows": rows} if rows or last else None
    if kind == "settle":
        if "kept" not in event:
            return event
        return {**event, "kept": [row for row in event["kept"] if row[0] in requests]}
    if kind in ("store", "evict"):
        return of_blocks(event, named, last)
    if kind == "copy":
        ends = {(pool, block) for pool, block in (*event["src"], *event["dst"])}
        if not last and not ends & named:
            return None
        copies.add(event["op"])
        return event
    if kind == "done":
        return event if last or event["op"] in copies else None
    if kind == "idle":
        return event if last or violation.rule == "progress" else None
    return checked(event, requests, violation) if last else None


def of_blocks(event: Event, named: set[tuple[str, int]], last: bool) -> Event | None:
    """A store or an evict, restricted to these blocks."""
    pool = event.get("pool", DEFAULT)
    keys = event.get("keys")
    at = [k for k, block in enumerate(event["blocks"]) if (pool, block) in named]
    if not at:
        return event if last else None
    kept = {**event, "blocks": [event["blocks"][k] for k in at]}
    return kept if keys is None else {**kept, "keys": [keys[k] for k in at]}


def checked(event: Event, requests: set[RequestId], violation: Violation) -> Event:
    """A check, restricted to these requests and the wrong blocks."""
    kept = dict(event)
    for name in ("waiting", "running"):
        if name in event:
            kept[name] = [r for r in event[name] if r in requests]
    if violation.rule != "conservation":
        kept.pop("free", None)
    return kept


def renumbered(events: list[Event]) -> list[Event]:
    """Renumbers the steps; the last event stays unchanged."""
    new: dict[int, int] = {}
    order: list[int] = []  # the old numbers, ascending
    found: list[Event] = []
    for position, event in enumerate(events):
        kind = event["e"]
        last = position == len(events) - 1
        changed = dict(event) if kind in ("step", "settle", "copy") else event
        if "after_step" in changed:
            changed["after_step"] = bisect_right(order, event["after_step"])
        if kind == "step":
            wrong = last and order != [] and event["n"] <= order[-1]
            changed["n"] = len(new) + 1 + (event["n"] - order[-1] - 1 if wrong else 0)
            if not wrong:
                new[event["n"]] = len(new) + 1
                order.append(event["n"])
        elif kind == "settle":
            if event["n"] in new:
                changed["n"] = new[event["n"]]
            elif not last:
                continue
        found.append(changed)
    return found


def fewer_requests(
    trial: ReductionTrial, events: list[Event], violation: Violation, places: set[tuple[str, int]]
) -> list[Event]:
    """Drops irrelevant requests, several at once and then one by one."""
    names = list(dict.fromkeys(event["r"] for event in events if "r" in event))
    size = len(names) // 2
    while size >= 1 and len(names) > 1:
        at = 0
        while at < len(names):
            rest = names[:at] + names[at + size :]
            shorter = replace(violation, number=len(events))
            found = trial(filtered(events, shorter, set(rest), places)) if rest else None
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


def about(event: Event, r: RequestId) -> bool:
    """Whether an event concerns a request."""
    if event["e"] == "step":
        return any(row[0] == r for row in event["rows"])
    return event.get("r") == r and event["e"] != "submit"


def without(event: Event, r: RequestId) -> Event | None:
    """An event without a request's part."""
    rows = [row for row in event.get("rows", ()) if row[0] != r]
    return {**event, "rows": rows} if rows else None


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
