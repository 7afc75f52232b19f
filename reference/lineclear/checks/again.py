# pyright: basic
"""Reproduces a finding of the scheduler: repeats the environment's moves on the current scheduler.

Guarantees: `occurs` returns text only if the named finding occurs, so a test made of it fails
until the error is fixed. If a move is no longer possible, the finding does not occur.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lineclear.config import Config
    from lineclear.explore.bounds import SearchBounds
    from lineclear.explore.world import Trace, World

__all__ = ["by_moves", "by_run", "occurs"]

#: How often a cycle is repeated before it counts as endless.
ROUNDS = 12


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


def by_run(
    how: str, code: str, rule: str, config: Config, seed: int, order: str = ""
) -> dict[str, Any]:
    """The input of `occurs` to repeat a random workload.

    Args:
        how: `run` (`driven.drive`) or `device` (`on_device.under_pressure`).
        code: code of the finding.
        rule: the broken rule; "" if the code alone counts.
        config: settings.
        seed: seed of the workload.
        order: how the device orders operations that waits leave unordered; "" without a device.
    """
    content = {"how": how, "code": code, "rule": rule, "config": settings_of(config)}
    return {**content, "seed": seed, "order": order}


def settings_of(config: Config) -> dict[str, Any]:
    """Every setting by name."""
    return {field.name: getattr(config, field.name) for field in fields(config)}


def occurs(saved: Mapping[str, Any]) -> str:
    """Repeats the environment's moves; returns what is found, "" if not the named finding."""
    if saved["how"] == "moves":
        return again(saved)
    from lineclear.checks.driven import drive
    from lineclear.checks.on_device import under_pressure

    config, seed = config_of(saved["config"]), int(saved["seed"])
    finding = (
        drive("again", config, seed)[0]
        if saved["how"] == "run"
        else under_pressure("again", config, str(saved["order"]), seed)[0]
    )
    if finding is None or finding.code != saved["code"] or saved["rule"] not in finding.title:
        return ""
    return finding.title


def config_of(settings: Mapping[str, Any]) -> Config:
    """Parses saved settings."""
    from lineclear.config import Config
    from lineclear.explore.bounds import UNSAID

    options = settings.get("policy_options", ())
    whole: dict[str, Any] = {**UNSAID, **settings}
    whole["policy_options"] = tuple((str(name), value) for name, value in options)
    return Config(**whole)


def bounds_of(saved: Mapping[str, Any]) -> SearchBounds:
    """Parses a saved world."""
    from lineclear.explore.bounds import RequestShape, SearchBounds

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


def again(saved: Mapping[str, Any]) -> str:
    """Repeats the moves."""
    from lineclear.explore.world import World

    world = World(bounds_of(saved["bounds"]))
    for move in moves_of(saved["trace"]):
        try:
            world.do(move)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            return what if saved["rule"] and what.startswith(saved["rule"]) else ""
        if saved["rule"] and saved["rule"] in world.notes.against:
            return str(saved["rule"])
    cycle = moves_of(saved["cycle"])
    if not cycle:
        return ""
    return {"LC501": stuck, "LC502": goes_round, "LC503": starves}[saved["code"]](world, cycle)


def made(world: World, cycle: Trace) -> bool:
    """Whether each move of a cycle is still a choice of the environment; makes the moves."""
    for move in cycle:
        if move not in set(world.moves()):
            return False
        world.do(move)
    return True


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
    from lineclear.explore.keys import world_key

    before = world_key(world)
    for _ in range(ROUNDS):
        if not made(world, cycle) or world_key(world) != before:
            return ""
    return "the same states come again"


def starves(world: World, cycle: Trace) -> str:
    """Whether one request that is live throughout gets no token."""
    known = tokens(world)
    for _ in range(ROUNDS):
        if not made(world, cycle):
            return ""
    now = tokens(world)
    hungry = [name for name, count in known.items() if now.get(name) == count]
    return f"request {hungry[0]!r} is never served while others come and go" if hungry else ""


def tokens(world: World) -> dict[Any, int]:
    """Known tokens of each live request."""
    return {entry.name: entry.tokens(world.scheduler.ledger) for entry in world.live()}
