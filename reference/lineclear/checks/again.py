# pyright: basic
"""Saves what led to a finding of the scheduler, and repeats those moves on the current scheduler.

Guarantees: `occurs` returns text only if the named finding occurs, so a test made of it fails
until the error is fixed. If a move is no longer possible, the finding does not occur. What
`bounds_of` and `moves_of` parse is equal to what was saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lineclear.checks.counterexample import CounterexampleError
from lineclear.config import Config, in_todays_words
from lineclear.explore.bounds import UNSAID, RequestShape, SearchBounds
from lineclear.explore.findings import ROUNDS, made, unserved
from lineclear.explore.keys import world_key
from lineclear.explore.world import Trace, World
from lineclear.monitor.liveness import Stalled


def by_moves(
    code: str, rule: str, bounds: SearchBounds, trace: Iterable[Any], cycle: Iterable[Any] = ()
) -> dict[str, Any]:
    """The input of `occurs` to repeat the moves of a search or a walk.

    Args:
        code: code of the finding.
        rule: what the last move raises, up to its first figures; "" for a finding about a cycle.
        bounds: the world.
        trace: moves from the start.
        cycle: moves that repeat forever after them.
    """
    return {
        "how": "moves",
        "code": code,
        "rule": rule,
        "bounds": bounds.as_dict(),
        "trace": [list(move) for move in trace],
        "cycle": [list(move) for move in cycle],
    }


def config_of(settings: Mapping[str, Any]) -> Config:
    """Parses saved settings."""
    options = settings.get("policy_options", ())
    whole: dict[str, Any] = {**UNSAID, **in_todays_words(settings)}
    whole["policy_options"] = tuple((str(name), value) for name, value in options)
    return Config(**whole)


def bounds_of(saved: Mapping[str, Any]) -> SearchBounds:
    """Parses a saved world."""
    content = dict(saved)
    shapes = tuple(RequestShape(**shape) for shape in content.pop("shapes"))
    return SearchBounds(config=config_of(content.pop("config")), shapes=shapes, **content)


def moves_of(rows: Iterable[Any]) -> Trace:
    """Parses saved moves: turns lists back into tuples."""
    found: list[tuple[Any, ...]] = []
    for row in rows:
        parts: list[Any] = list(row)
        found.append(tuple([tuple(part) if type(part) is list else part for part in parts]))
    return tuple(found)


def occurs(saved: Mapping[str, Any]) -> str:
    """Repeats the environment's moves; returns what is found, "" if not the named finding.

    Raises:
        CounterexampleError: it was saved by a version that repeated workloads.
    """
    if saved["how"] != "moves":
        raise CounterexampleError("it was saved by an older lineclear check: save it again")
    cycle = moves_of(saved["cycle"])
    world = World(bounds_of(saved["bounds"]), watched=saved["code"] == "LC501" and not cycle)
    for move in moves_of(saved["trace"]):
        try:
            world.do(move)
        except Stalled as alarm:
            return alarm.text()
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            return what if saved["rule"] and what.startswith(saved["rule"]) else ""
        if saved["rule"] and saved["rule"] in world.notes.against:
            return str(saved["rule"])
    if saved["code"] == "LC804":
        return world.scheduler.policy_failures[0] if world.scheduler.policy_failures else ""
    if not cycle:
        return ""
    return {"LC501": stuck, "LC502": goes_round, "LC503": starves}[saved["code"]](world, cycle)


def stuck(world: World, cycle: Trace) -> str:
    """Nothing is outstanding, a request is live, and every step is empty."""
    for _ in range(ROUNDS):
        for move in cycle:
            world.do(move)
            if world.scheduler.flights or world.copies or world.plan is None:
                return ""
            if not world.plan.is_idle:
                return ""
    return f"{len(world.live())} requests are live and nothing moves" if world.live() else ""


def goes_round(world: World, cycle: Trace) -> str:
    """Whether the same state recurs and no token is kept in between."""
    before = world_key(world)
    for _ in range(ROUNDS):
        if not made(world, cycle) or world_key(world) != before:
            return ""
    return "the same states come again"


def starves(world: World, cycle: Trace) -> str:
    """Whether one request that is live throughout gets no token."""
    hungry = unserved(world, cycle)
    return f"request {hungry[0]!r} is never served while others come and go" if hungry else ""
