"""Events of a prefix cache for routers: blocks that are stored, removed, and all of them cleared.

Invariant: the events so far, applied in order, give exactly the names under which blocks can be found now. They are
those of vLLM (`BlockStored`, `BlockRemoved`, `AllBlocksCleared`), with a name where vLLM has a hash.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple

from lineclear.prefix_names import PrefixNames, unpacked


class Stored(NamedTuple):
    """Blocks can be found under these names, each after the one before; `parent` comes before the first, 0 for none."""

    names: tuple[int, ...]
    parent: int


class Removed(NamedTuple):
    """No block can be found under these names any more."""

    names: tuple[int, ...]


class Cleared(NamedTuple):
    """No block can be found under any name."""


CacheEvent = Stored | Removed | Cleared


class KVEventLog:
    """Events in vLLM's shape, until they are taken.

    Args:
        names: what each name stands for; made with `meanings`.
        clock: seconds, stamped on each batch.
        keys: texts for what a first block depends on beside its tokens; None for nothing.
    """

    def __init__(
        self,
        names: PrefixNames,
        clock: Callable[[], float],
        keys: Callable[[Hashable], list[str] | None] = lambda extra: [str(extra)],
    ) -> None:
        """Nothing has happened."""
        if names.meanings is None:
            raise ValueError("events name tokens: make PrefixNames with meanings=True")
        self.meanings = names.meanings
        self.block_size = names.block_size
        self.clock = clock
        self.keys = keys
        self.events: list[dict[str, Any]] = []

    def __call__(self, event: CacheEvent) -> None:
        """One event of the scheduler's cache, at the moment at which it happens."""
        if isinstance(event, Cleared):
            self.events.append({"type": "AllBlocksCleared"})
        elif isinstance(event, Removed):
            removed = {"block_hashes": list(event.names), "medium": "GPU"}
            self.events.append({"type": "BlockRemoved", **removed})
        else:
            self.events.append(self._stored(event))

    def _stored(self, event: Stored) -> dict[str, Any]:
        """Tokens, and what else the first block of a sequence depends on."""
        tokens: list[int] = []
        extra: list[Any] = []
        for name in event.names:
            _, content, *key = self.meanings[name]
            tokens += unpacked(content, self.block_size)
            extra.append(self.keys(key[0]) if key else None)
        return {
            "type": "BlockStored",
            "block_hashes": list(event.names),
            "parent_block_hash": event.parent or None,
            "token_ids": tokens,
            "block_size": self.block_size,
            "lora_id": None,
            "medium": "GPU",
            "lora_name": None,
            "extra_keys": extra,
        }

    def take(self) -> list[Any]:
        """The batch `[seconds, events]` of all events since the last call."""
        events, self.events = self.events, []
        return [self.clock(), events]


def written(batches: Iterable[list[Any]]) -> str:
    """Batches as lines of JSON, without those that are empty, as `lineclear conform` reads them."""
    return "".join(f"{json.dumps(batch)}\n" for batch in batches if batch[1])
