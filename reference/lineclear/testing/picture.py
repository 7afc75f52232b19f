"""The state of a scheduler under test, drawn block by block.

Guarantees: one line for each request that is live or holds blocks, one for the pool; shows only
what was observed and the model's data.
"""

from __future__ import annotations

from lineclear.testing.model import SlotModel
from lineclear.testing.protocol import Observation

__all__ = ["picture"]


def picture(seen: Observation, model: SlotModel | None) -> list[str]:
    """The holders of blocks, and the free blocks."""
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
