# pyright: basic
"""The form in which a finding of the scheduler saves what led to it; `again` repeats it.

Guarantees: what `bounds_of` and `moves_of` parse is equal to what was saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lineclear.config import Config
    from lineclear.explore.bounds import SearchBounds
    from lineclear.explore.world import Trace


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
    from lineclear.config import Config, in_todays_words
    from lineclear.explore.bounds import UNSAID

    options = settings.get("policy_options", ())
    whole: dict[str, Any] = {**UNSAID, **in_todays_words(settings)}
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
