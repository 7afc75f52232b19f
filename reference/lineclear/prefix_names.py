"""Names for the tokens of blocks, so that requests that begin with the same tokens find the same blocks.

Invariant: two blocks have one name only if their tokens, all tokens before them, and what else their KV
depends on are equal. Names are kept with what they stand for and compared for equality, so two different
prefixes never collide. Equal prefixes have one name as long as it is in use or a block is found under it.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Container, Hashable, Sequence

__all__ = ["PrefixNames"]

#: Names that are kept beside those in use before the others are looked for.
SPARE = 1024
#: The name before the first block.
ROOT = 0
#: What a name stands for: the name before it, its tokens as 64-bit numbers, and what else it depends on.
Meaning = tuple[int, bytes, Hashable]


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
        self.uses: Counter[int] = Counter()  # live requests that have the name
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
            extra: what the KV depends on besides, such as a tenant's salt, an adapter, or the epoch of the
                weights; part of the first block's name, and so of all. Equal as Python compares: 1 and True are
                one salt.
        """
        names = self.names
        name = before[-1] if before else ROOT
        if name:
            extra = None  # it is part of the name before
        content = struct.pack(f"{len(tokens)}q", *tokens)
        width = 8 * self.block_size
        found: list[int] = []
        look_up, add = names.get, found.append
        for start in range(0, len(content) // width * width, width):
            key = (name, content[start : start + width], extra)
            extra = None
            known = look_up(key)
            if known is None:
                self.made += 1
                known = names[key] = self.made
                if self.meanings is not None:
                    self.meanings[known] = key
            name = known
            add(name)
        self.uses.update(found)
        if len(names) > 2 * self.swept + SPARE:
            self.sweep()
        return tuple(found)

    def release(self, names: Sequence[int]) -> None:
        """A request that had these names has ended."""
        self.uses.subtract(names)

    def sweep(self) -> None:
        """Forgets the names that no live request has and under which no block can be found.

        A name is never given twice, so tokens whose name was forgotten get a new one: they are not found
        under the old name, and never anything else is.
        """
        self.uses = +self.uses
        uses, cached = self.uses, self.cached
        self.names = {
            key: name for key, name in self.names.items() if name in uses or name in cached
        }
        self.swept = len(self.names)
        if self.meanings is not None:
            kept = {name: key for key, name in self.names.items()}
            self.meanings.clear()
            self.meanings.update(kept)
