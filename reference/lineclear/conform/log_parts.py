"""Parts of a log: the events of some requests and of the blocks that they name.

Guarantees: a part keeps the order of the log and invents nothing but numbers of steps and, in a check, the free
blocks that the part leads to. Whether it is still a log of an engine is decided by the checker.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from lineclear.conform.checker import Checker
from lineclear.conform.events import Event, RequestId
from lineclear.conform.rule_context import Violation
from lineclear.conform.schema import free_lists
from lineclear.conform.state import DEFAULT


def upto(events: Iterable[Event], number: int) -> list[Event]:
    """The first events."""
    return [event for _, event in zip(range(number), events, strict=False)]


def touching(
    events: Iterable[Event], violation: Violation, block_ids: set[tuple[str, int]]
) -> set[RequestId]:
    """Requests that ever named one of these blocks."""
    found: set[RequestId] = set()
    for _, event in zip(range(violation.number), events, strict=False):
        if event["e"] in ("alloc", "hit"):
            pool = event.get("pool", DEFAULT)
            if any((pool, block) in block_ids for block in event["blocks"]):
                found.add(event["r"])
    return found


def filtered(
    events: Iterable[Event],
    violation: Violation,
    requests: set[RequestId],
    block_ids: set[tuple[str, int]],
) -> list[Event]:
    """The events of these requests, of the blocks they name, and of these blocks.

    Args:
        events: the log.
        violation: its last event broke a rule; that event is kept in part even if it concerns no request here.
        requests: ids of requests.
        block_ids: (pool, block id) of blocks.
    """
    named = set(block_ids)
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
    """The part of one event that concerns these requests.

    Args:
        event: the event.
        requests: ids of requests.
        named: (pool, block id) of the blocks that they have named; grows.
        copies: numbers of copies that concern them; grows.
        last: whether it is the event that broke the rule.
        violation: the broken rule.
    """
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


def about(event: Event, r: RequestId) -> bool:
    """Whether an event concerns a request."""
    if event["e"] == "step":
        return any(row[0] == r for row in event["rows"])
    return event.get("r") == r and event["e"] != "submit"


def without(event: Event, r: RequestId) -> Event | None:
    """An event without a request's part."""
    rows = [row for row in event.get("rows", ()) if row[0] != r]
    return {**event, "rows": rows} if rows else None


def named_by(events: Iterable[Event]) -> set[tuple[str, int]]:
    """The blocks that these events name, but for checks."""
    return {
        (event.get("pool", DEFAULT), block)
        for event in events
        for block in event.get("blocks", ())
    }


def completed(event: Event, violation: Violation, checker: Checker) -> Event:
    """A check that keeps the original statement on these blocks and is correct on all others."""
    free: dict[str, list[int]] = {}
    for name, ids in free_lists(event["free"]).items():
        wrong = {block for pool, block in violation.blocks if pool == name}
        others = checker.state.pools[name].free() - wrong
        free[name] = sorted([*[block for block in ids if block in wrong], *others])
    return {**event, "free": free}
