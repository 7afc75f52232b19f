"""Converts vLLM's KV cache events to an event log: which contents are cached.

Guarantees: `BlockStored` is a store, `BlockRemoved` an evict, `AllBlocksCleared` an evict of everything. Every other
rule is listed as unchecked, because these events name contents, but no requests, tables or block ids.

A line is one batch, `[time, [event, ...]]` with an optional rank, or one event. An event is an object with a `type`,
or a list that begins with it: vLLM has published both. Hashes are whole numbers or texts (a subscriber writes the
bytes of a hash as text). Several blocks may store the same content; each copy gets its own number here.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator
from typing import Any

from lineclear.conform.events import EventError
from lineclear.conform.header import Header
from lineclear.conform.schema import KINDS, is_id, is_list, is_object, shown

TYPES = ("BlockStored", "BlockRemoved", "AllBlocksCleared")
#: Fields of an event that is a list, after its type.
FIELDS = {
    "BlockStored": (
        *("block_hashes", "parent_block_hash", "token_ids", "block_size", "lora_id", "medium"),
        *("lora_name", "extra_keys", "group_idx"),
    ),
    "BlockRemoved": ("block_hashes", "medium", "group_idx"),
    "AllBlocksCleared": (),
}
#: Block ids are numbers of copies, so there is no largest one.
HEADER = Header(
    blocks=1 << 40,
    block_size=1,
    engine="vLLM KV cache events",
    omits=(*(kind for kind in KINDS if kind not in ("store", "evict")), "free_ids", "lengths"),
)


def is_kv_line(content: Any) -> bool:
    """Whether a line of JSON is a batch of these events, or one of them."""
    try:
        return all(kind_of(event)[0] in TYPES for event in batch(content))
    except EventError:
        return False


def batch(content: Any) -> list[Any]:
    """The events of a line.

    Raises:
        EventError: the line is neither a batch nor an event.
    """
    row: list[Any] = content if is_list(content) else []
    if len(row) >= 2 and type(row[0]) in (int, float) and is_list(row[1]):
        events: list[Any] = row[1]
        return events
    kind_of(content)
    return [content]


def kind_of(event: Any) -> tuple[str, dict[str, Any]]:
    """The type of an event and its fields.

    Raises:
        EventError: it is not one of `TYPES`.
    """
    content: dict[str, Any]
    if is_list(event):
        row: list[Any] = event or [None]
        kind = row[0]
        names = FIELDS.get(kind, ()) if type(kind) is str else ()
        content = dict(zip(names, row[1:], strict=False))
    else:
        content = event if is_object(event) else {}
        kind = content.get("type")
    if type(kind) is not str or kind not in TYPES:
        raise EventError(
            f"type: {shown(kind)} is not one of {', '.join(TYPES)}; a line is a batch "
            "[time, [event, ...]] or one event"
        )
    return kind, content


def hashes(kind: str, content: dict[str, Any]) -> list[str]:
    """What the events store or remove, distinguished by medium and group of layers.

    Raises:
        EventError: there is none, or one is neither a text nor a whole number.
    """
    found: Any = content.get("block_hashes")
    if not is_list(found) or not all(is_id(one) for one in found):
        raise EventError(
            f"{kind}.block_hashes: {shown(found)} is not a list of texts or whole numbers"
        )
    medium, group = content.get("medium") or "GPU", content.get("group_idx")
    where = ("" if medium == "GPU" else f"{medium}:") + ("" if group is None else f"{group}:")
    return [f"{where}{one}" for one in found]


class Numbers:
    """Numbers the copies of a stored content."""

    def __init__(self) -> None:
        self.copies: dict[str, list[int]] = {}
        self.unused: list[int] = []
        self.made = 0

    def take(self, key: str) -> int:
        """A number for a new copy."""
        if self.unused:
            number = heapq.heappop(self.unused)
        else:
            number, self.made = self.made, self.made + 1
        self.copies.setdefault(key, []).append(number)
        return number

    def give(self, key: str) -> int:
        """The number of the removed copy; an unused one if there is none."""
        numbers = self.copies.get(key)
        if not numbers:
            return HEADER.blocks - 1
        number = numbers.pop()
        if not numbers:
            del self.copies[key]
        heapq.heappush(self.unused, number)
        return number


def kv_events(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each event of the log with the number of its line.

    Raises:
        EventError: a line is not JSON, or not a batch of these events.
    """
    numbers = Numbers()
    for line_number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            raise EventError(f"line {line_number}: not valid JSON, or truncated") from None
        try:
            for event in batch(content):
                yield from ((line_number, one) for one in translated(event, numbers))
        except EventError as error:
            raise EventError(f"line {line_number}: {error}") from None


def translated(event: Any, numbers: Numbers) -> Iterator[dict[str, Any]]:
    """Converts one event to stores and evicts."""
    kind, content = kind_of(event)
    if kind == "AllBlocksCleared":
        keys = [key for key, copies in numbers.copies.items() for _ in copies]
    else:
        keys = hashes(kind, content)
    if not keys:
        return
    take = numbers.take if kind == "BlockStored" else numbers.give
    verb = "store" if kind == "BlockStored" else "evict"
    yield {"e": verb, "blocks": [take(key) for key in keys], "keys": keys}
