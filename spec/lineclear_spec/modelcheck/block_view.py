# pyright: basic
"""The block ids and blocks of a concrete ledger, and names, read through the accessors of the symbolic state.

Guarantees: as `modelcheck/snapshot.py`, whose view this is a part of.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from lineclear_spec.kernel.records import NO_REQUEST, Block, Request, Sequence

__all__ = ["NO_BLOCK", "NO_REQUEST", "NO_SEQUENCE", "BlockView", "entry", "field"]

NO_SEQUENCE = Sequence(-1, NO_REQUEST)
NO_BLOCK = Block(NO_REQUEST, -1, -1)


def field(records: str, name: str, missing: Any) -> Callable[[Any, Any], Any]:
    """An accessor: a field of a record as it was, or of one that stands for what is not there.

    Args:
        records: attribute of the view: what each record was.
        name: of the field.
        missing: stands for what is not there.
    """
    read = attrgetter(name)
    return lambda view, record: read(getattr(view, records).get(record, missing))


def entry(rows: str, missing: Any) -> Callable[[Any, Any], Any]:
    """An accessor: what a dict of the view has under a key, or what stands for nothing."""
    return lambda view, key: getattr(view, rows).get(key, missing)


class BlockView:
    """What a view reads of block ids, blocks and names."""

    _pools: dict[int, tuple[int, int, list[int], dict[int, int], list[int]]]
    _owners: dict[tuple[int, int], Block]
    _touch: set[tuple[int, int, int]]
    _sources: dict[tuple[int, int, int], int]
    _block: dict[Block, Block]
    _held: dict[Request, list[Block]]
    _holders: dict[Block, list[Sequence]]
    _cached: dict[int, Block]
    _block_names: dict[Sequence, tuple[int, ...]]
    _preceding: dict[int, int]

    # ---- block ids -----------------------------------------------------------------------------------

    def free(self, tier: int) -> int:
        """Free block ids."""
        return self._pools[tier][0]

    def total(self, tier: int) -> int:
        """Block ids."""
        return self._pools[tier][1]

    def order(self, tier: int, j: int) -> int:
        """Block id at index j: the free ones first."""
        order = self._pools[tier][2]
        return order[j] if 0 <= j < len(order) else -1

    def position(self, tier: int, p: int) -> int:
        """Index of block id p."""
        return self._pools[tier][3].get(p, -1)

    def last_use(self, tier: int, p: int) -> int:
        """Last operation that might touch p when it was freed."""
        last_use = self._pools[tier][4]
        return last_use[p] if 0 <= p < len(last_use) else 0

    def owner(self, tier: int, p: int) -> Block:
        """The block that p backs."""
        return self._owners.get((tier, p), NO_BLOCK)

    def touch(self, tier: int, o: int, p: int) -> bool:
        """Whether operation o touches p."""
        return (tier, o, p) in self._touch

    def source(self, tier: int, o: int, p: int) -> int:
        """The block id that operation o copies to block id p of the tier."""
        return self._sources.get((tier, o, p), -1)

    # ---- blocks -----------------------------------------------------------------------------------

    ref = field("_block", "ref", NO_BLOCK)
    tier = field("_block", "tier", NO_BLOCK)
    block_id = field("_block", "block_id", NO_BLOCK)
    group = field("_block", "request", NO_BLOCK)
    readers = field("_block", "readers", NO_BLOCK)
    cached = entry("_cached", NO_BLOCK)
    preceding = entry("_preceding", -1)

    def name(self, b: Block) -> int:
        """Its name; one that is gone keeps its own, as on formulas."""
        return self._block.get(b, b).name

    def listed(self, b: Block) -> bool:
        """Whether it can be found under its name."""
        return b in self._block and self._cached.get(self._block[b].name) is b

    def block_name(self, s: Sequence, i: int) -> int:
        """The name of its block i."""
        words = self._block_names.get(s, ())
        return words[i] if 0 <= i < len(words) else 0

    def prompt_names(self, r: Request, i: int) -> int:
        """The name of block i of its prompt."""
        return r.prompt_names[i] if 0 <= i < len(r.prompt_names) else 0

    def held_index(self, b: Block) -> int:
        """Its index among the blocks of its request."""
        held = self._held.get(self.group(b), [])
        return held.index(b) if b in held else -1

    def holder(self, b: Block, k: int) -> Sequence:
        """The k-th sequence that names it."""
        holders = self._holders.get(b, [])
        return holders[k] if 0 <= k < len(holders) else NO_SEQUENCE
