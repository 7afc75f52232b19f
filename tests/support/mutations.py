"""Event logs with one event dropped, duplicated or altered.

Guarantees: every mutant differs from the log in one event; the same log gives the same mutants.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lineclear.conform.schema import free_lists

Event = dict[str, Any]


def altered(event: Event, others: list[Any], blocks: list[int]) -> Iterator[tuple[str, Event]]:
    """An event with one field changed, by what was changed."""
    kind = event["e"]
    if "r" in event:
        for other in [r for r in others if r != event["r"]][:1]:
            yield "request", {**event, "r": other}
    if "blocks" in event:
        for block in [b for b in blocks if b not in event["blocks"]][:2]:
            yield "block", {**event, "blocks": [block, *event["blocks"][1:]]}
        if len(event["blocks"]) > 1:
            rest = {"keys": event["keys"][:-1]} if event.get("keys") else {}
            yield "one block less", {**event, "blocks": event["blocks"][:-1], **rest}
            yield "order of blocks", {**event, "blocks": event["blocks"][::-1]}
    if event.get("keys"):
        yield "key", {**event, "keys": ["other", *event["keys"][1:]]}
    if kind == "free":
        yield "entry", {**event, "at": event["at"] + 1}
    if kind == "step" and event["rows"]:
        row, rest = event["rows"][0], event["rows"][1:]
        yield "start earlier", {**event, "rows": [[row[0], max(row[1] - 1, 0), *row[2:]], *rest]}
        yield "start later", {**event, "rows": [[row[0], row[1] + 1, *row[2:]], *rest]}
        yield "tokens more", {**event, "rows": [[*row[:2], row[2] + 1, *row[3:]], *rest]}
        yield "tokens none", {**event, "rows": [[*row[:2], 0, *row[3:]], *rest]}
        yield "samples more", {**event, "rows": [[*row[:3], row[3] + 1, *row[4:]], *rest]}
        yield "row twice", {**event, "rows": [row, row, *rest]}
        yield "row less", {**event, "rows": rest}
    if kind in ("step", "settle"):
        yield "number", {**event, "n": event["n"] + 1}
    if kind in ("step", "copy") and event.get("after"):
        yield "wait less", {name: v for name, v in event.items() if name != "after"}
    if kind == "copy" and event.get("after_step"):
        yield "wait for step less", {name: v for name, v in event.items() if name != "after_step"}
    if kind == "copy":
        yield "target", {**event, "dst": event["dst"][::-1]} if len(event["dst"]) > 1 else event
    if kind == "submit":
        yield "prompt less", {**event, "prompt": max(event["prompt"] - 1, 1)}
        if "max" in event:
            yield "max less", {**event, "max": max(event["max"] - 1, 1)}
    if kind == "check":
        free = free_lists(event["free"])
        if free["gpu"]:
            yield "free less", {**event, "free": {**free, "gpu": free["gpu"][1:]}}
        held = [b for b in blocks if b not in free["gpu"]]
        if held:
            yield "free more", {**event, "free": {**free, "gpu": [*free["gpu"], held[0]]}}
        if event.get("running"):
            yield "queue less", {**event, "running": event["running"][1:]}


def mutants(events: list[Event], blocks: int) -> Iterator[tuple[str, str, int, list[Event]]]:
    """Every mutant: the change, the kind of the event, its number, and the log."""
    names = list(dict.fromkeys(event["r"] for event in events if "r" in event))
    for at, event in enumerate(events):
        yield "drop", event["e"], at, [*events[:at], *events[at + 1 :]]
        yield "double", event["e"], at, [*events[: at + 1], *events[at:]]
        near = [e["r"] for e in events[max(0, at - 30) : at + 30] if "r" in e] or names
        for what, other in altered(event, list(dict.fromkeys(near)), list(range(blocks))):
            if other != event:
                yield what, event["e"], at, [*events[:at], other, *events[at + 1 :]]


def verdict(checker: Any, events: list[Event]) -> str:
    """The rule that a log breaks first, or an empty text."""
    found = checker.run(events)
    return found[0].rule if found else ""
