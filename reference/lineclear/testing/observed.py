"""What a scheduler under test says of its state: the types that it must have, a copy that stays, and a drawing.

Guarantees: what is returned is an `Observation` of plain values that later calls cannot change; what is drawn is
what was observed and the model's data alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lineclear.conform.schema import shown
from lineclear.testing.model import SlotModel
from lineclear.testing.protocol import Observation


def frozen(seen: Observation) -> Observation:
    """A copy that later calls of the scheduler cannot change.

    Raises:
        TypeError: it is not an observation; the message names the field and the value.
    """
    if wrong := malformed(seen):
        raise TypeError(f"observe returned {wrong}")
    return Observation(
        tables={name: tuple(table) for name, table in seen.tables.items() if table},
        free=tuple(seen.free),
        cached=dict(seen.cached),
        waiting=None if seen.waiting is None else tuple(seen.waiting),
        running=None if seen.running is None else tuple(seen.running),
        extra=dict(seen.extra),
    )


def malformed(seen: Any) -> str:
    """What is wrong with the types of an observation; "" if nothing."""
    if not isinstance(seen, Observation):
        return f"{shown(seen)}; it must return a lineclear.testing.Observation"
    for name, mapping, good, what in FIELDS:
        value = getattr(seen, name)
        if mapping != isinstance(value, Mapping) or not good(value):
            return f"{name} = {shown(value)}; it must be {what}"
    return ""


def each(value: Any, kind: type[Any]) -> bool:
    """Whether it is a list, tuple, set or deque of values of exactly this type."""
    return (
        hasattr(value, "__len__")
        and type(value) is not str
        and {kind}.issuperset(map(type, value))
    )


def ids(value: Any) -> bool:
    """Whether they are whole numbers, not True or 1.0."""
    return each(value, int)


def names(value: Any) -> bool:
    """Whether they are request ids, or None."""
    return value is None or each(value, str)


def all_ids(value: Any) -> bool:
    """Whether each value of a mapping is a list of block ids."""
    return all(map(ids, value.values()))


def hashed(value: Any) -> bool:
    """Whether each value of a mapping can be compared and counted."""
    try:
        hash(tuple(value.values()))
    except TypeError:
        return False
    return True


#: Each field of an observation: whether it is a mapping, what its values are, and that in words.
FIELDS: tuple[tuple[str, bool, Callable[[Any], bool], str], ...] = (
    ("tables", True, all_ids, "block ids (int) by request id"),
    ("free", False, ids, "block ids (int)"),
    ("cached", True, hashed, "keys by block id"),
    ("waiting", False, names, "request ids, or None"),
    ("running", False, names, "request ids, or None"),
    ("extra", True, hashed, "hashable values by name"),
)


def picture(seen: Observation, model: SlotModel | None) -> list[str]:
    """One line for each request that is live or holds blocks, and one for the free blocks."""
    if model is None:
        return []
    lines = ["request   tokens known   blocks"]
    names = [n for n, one in model.sequences.items() if one.over is None or n in seen.tables]
    for name in dict.fromkeys([*names, *seen.tables]):
        sequence = model.sequences.get(name)
        known = "" if sequence is None else f"{sequence.prompt}+{sequence.sampled}"
        most = "" if sequence is None else f" of {sequence.prompt}+{sequence.max_new}"
        where = "waits" if name in (seen.waiting or ()) else "runs"
        if seen.waiting is not None and name not in (*seen.waiting, *(seen.running or ())):
            where = "in no queue"
        if sequence is not None and sequence.over is not None:
            where = "ended"
        blocks = " ".join(map(str, seen.tables.get(name, ()))) or "none"
        lines.append(f"{name:<9} {known + most:<14} {blocks}  ({where})")
    free = " ".join(map(str, seen.free)) or "none"
    cached = " ".join(map(str, seen.cached))
    lines.append(f"free: {free}" + (f"   cached: {cached}" if cached else ""))
    lines += [f"{name}: {value!r}" for name, value in seen.extra.items()]
    return lines
