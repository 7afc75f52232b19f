"""Names for the tokens of blocks, so that requests that begin with the same tokens find the same blocks.

Invariant: two blocks have one name only if their tokens, all tokens before them, and what else their KV
depends on are equal. Names are kept with what they stand for and compared for equality, so two different
prefixes never collide. Equal prefixes have one name as long as it is in use or a block is found under it.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Container, Hashable, Iterable, Sequence
from itertools import chain, islice

#: Names that are kept beside those in use before the others are looked for.
SPARE = 1024
#: The name before the first block.
ROOT = 0
#: What a name stands for: the name before it, its tokens as `packed` has them, and what else it depends on if
#: that is not None.
Meaning = tuple[int, bytes] | tuple[int, bytes, Hashable]


def packed(tokens: Sequence[int], size: int) -> Sequence[bytes]:
    """The tokens of each full block: 32-bit numbers, or 64-bit ones if one of them needs that."""
    count = len(tokens) // size
    used = tokens if len(tokens) == count * size else tokens[: count * size]
    try:
        content = struct.pack(f"{count * size}i", *used)
    except struct.error:
        blocks = [used[at : at + size] for at in range(0, len(used), size)]
        if count > 1:
            return [part for block in blocks for part in packed(block, size)]
        return [struct.pack(f"{size}q", *used)]
    return struct.unpack(f"{4 * size}s" * count, content)


def unpacked(content: bytes, size: int) -> list[int]:
    """The tokens of a block."""
    return list(struct.unpack(f"{size}{'i' if len(content) == 4 * size else 'q'}", content))


class PrefixNames:
    """The names in use.

    Args:
        block_size: tokens of a block.
        cached: names under which blocks can be found (`Scheduler.ledger.cached`): a name that neither a
            live request has nor a block is found under is forgotten.
        meanings: whether to keep what each name stands for, for `kv_events.py`.
    """

    def __init__(
        self, block_size: int, cached: Container[int] = (), *, meanings: bool = False
    ) -> None:
        """No name is given yet."""
        self.block_size = block_size
        self.cached = cached
        self.names: dict[Meaning, int] = {}
        self.meanings: dict[int, Meaning] | None = {} if meanings else None
        self.others: Counter[int] = Counter()  # live requests that have the name, less one
        self.made = 0
        self.swept = 0  # names that were left by the last sweep

    def __len__(self) -> int:
        """How many names are kept."""
        return len(self.names)

    def of(
        self, tokens: Sequence[int], before: Sequence[int] = (), extra: Hashable = None
    ) -> tuple[int, ...]:
        """Names of the full blocks of these tokens.

        The caller gives each name back with `release` when the request has ended.

        Args:
            tokens: of the blocks.
            before: names of the blocks before the first of these, of the same sequence.
            extra: what the KV depends on besides, such as a tenant's salt, an adapter, or the epoch of the weights;
                part of the first block's name, and so of all. Equal as Python compares: 1 and True are one salt.
        """
        parts = packed(tokens, self.block_size)
        name = before[-1] if before else ROOT
        if name:
            extra = None  # it is part of the name before
        found: list[int] = []
        look_up, add = self.names.get, found.append
        for part in parts:
            known = look_up((name, part) if extra is None else (name, part, extra))
            if known is None:
                break
            name, extra = known, None
            add(name)
        if found:
            self.others.update(found)
        if len(found) < len(parts):
            found += self._give(name, parts[len(found) :], extra)
        return tuple(found)

    def _give(self, name: int, parts: Sequence[bytes], extra: Hashable) -> Iterable[int]:
        """New names for blocks behind a name. What follows a new name has none, so nothing is looked up."""
        given = list(range(self.made + 1, self.made + 1 + len(parts)))
        self.made += len(parts)
        meant: Iterable[Meaning] = zip(chain((name,), given), parts, strict=False)
        if extra is not None:
            meant = chain([(name, parts[0], extra)], islice(meant, 1, None))
        if self.meanings is not None:
            meant = list(meant)
            self.meanings.update(zip(given, meant, strict=True))
        self.names.update(zip(meant, given, strict=False))
        if len(self.names) > 2 * self.swept + SPARE:
            self.sweep()
        return given

    def release(self, names: Sequence[int]) -> None:
        """A request that had these names has ended."""
        self.others.subtract(names)

    def in_use(self, name: int) -> bool:
        """Whether a live request has a name that is kept."""
        return self.others.get(name, 0) >= 0

    def sweep(self) -> None:
        """Forgets the names that no live request has and under which no block can be found.

        A name is never given twice, so tokens whose name was forgotten get a new one: they are not found
        under the old name, and never anything else is.
        """
        in_use, cached = self.in_use, self.cached
        self.names = {
            key: name for key, name in self.names.items() if name in cached or in_use(name)
        }
        self.swept = len(self.names)
        kept = {name: key for key, name in self.names.items()}
        self.others = Counter({name: n for name, n in self.others.items() if n and name in kept})
        if self.meanings is not None:
            self.meanings.clear()
            self.meanings.update(kept)
