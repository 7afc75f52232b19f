# pyright: basic
"""What a device holds and what was decided of it, read through the accessors of the symbolic state.

Guarantees: as `modelcheck/snapshot.py`, whose view this is a part of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear_spec.kernel.records import Request, Sequence
from lineclear_spec.modelcheck.accessors import NO_SEQUENCE, contains, entry
from lineclear_spec.modelcheck.kv_ghosts import Kv, KvDevice, KvRow

NO_ROW = KvRow(0, 0, (), (), 0)
NOTHING: Kv = ("nothing",)


def of_row(name: str) -> Callable[[Any, int, Sequence], int]:
    """An accessor: a number that the plan of a forward has of a sequence."""
    return lambda view, o, q: getattr(view._row(o, q), name)


class DeviceView:
    """What a view reads of a device."""

    device: KvDevice
    sequences: list[Sequence]
    block_size: int

    def one(self, kv: Kv) -> Kv:
        """KV that got a name later is that of the name."""
        return self.device.one(kv)

    version = entry("device.version", 0)
    expected = entry("device.expected", 0)
    actual = entry("device.actual", 0)
    ran = contains("device.ran")
    good = contains("device.good")
    slot_written = contains("device.slots")

    def writes(self, tier: int, o: int, p: int) -> bool:
        """Whether the operation writes the block id."""
        return p in self.device.writes.get((tier, o), ())

    def content(self, tier: int, o: int, p: int, k: int) -> Kv:
        """What a slot holds after the operation, decided.

        Args:
            tier, o, p, k: pool, operation, block id in the pool and slot of the block.
        """
        return self.one(self.device.content_of(tier, o, p, k)[0])

    def relies(self, tier: int, o: int, p: int, k: int) -> int:
        """The copy on which that relies.

        Args:
            tier, o, p, k: pool, operation, block id in the pool and slot of the block.
        """
        return self.device.content_of(tier, o, p, k)[1]

    def memory(self, tier: int, p: int, k: int) -> Kv:
        """What lies in the slot."""
        return self.one(self.device.lies(tier, p, k))

    def fails(self, o: int) -> bool:
        """Whether it is a copy that fails."""
        return o == -1 or o in self.device.fails

    def right(self, o: int, q: Sequence) -> bool:
        """Whether all that the forward read of the sequence was right."""
        return self.device.right.get((o, q.id), False)

    def _row(self, o: int, q: Sequence) -> KvRow:
        return self.device.rows.get((o, q.id), NO_ROW)

    def takes(self, o: int, q: Sequence) -> bool:
        """Whether the sequence takes part in the forward."""
        return (o, q.id) in self.device.rows

    row_first = of_row("first")
    row_last = of_row("last")
    row_relies = of_row("relies")

    def row_length(self, o: int, q: Sequence) -> int:
        """Entries of its block table."""
        return len(self._row(o, q).block_ids)

    def row_block_id(self, o: int, q: Sequence, k: int) -> int:
        """Block id of its k-th block."""
        block_ids = self._row(o, q).block_ids
        return block_ids[k] if 0 <= k < len(block_ids) else -1

    def row_kv(self, o: int, q: Sequence, i: int) -> Kv:
        """The KV of a position that the forward takes or computes."""
        row = self._row(o, q).kv
        return self.one(row[i]) if 0 <= i < len(row) else NOTHING

    def _writer(self, o: int, p: int) -> tuple[int, int]:
        found = [self.device.slots.get((o, p, k)) for k in range(self.block_size)]
        return next((one for one in found if one is not None), (0, -1))

    def writer(self, o: int, p: int) -> Sequence:
        """For which sequence the forward writes slots of the block id."""
        number = self._writer(o, p)[0]
        return self.sequences[number - 1] if number else NO_SEQUENCE

    def written_as(self, o: int, p: int) -> int:
        """As which of its blocks."""
        return self._writer(o, p)[1]

    def token_kv(self, q: Sequence, i: int) -> Kv:
        """The KV of a position of the sequence after exactly its own tokens."""
        return self.device.token(q, i) if i >= 0 else NOTHING

    def prompt_kv(self, r: Request, i: int) -> Kv:
        """The KV of a token of the prompt."""
        return self.one(self.device.of_prompt(r, i))

    @staticmethod
    def name_kv(name: int, i: int) -> Kv:
        """The KV of a position in a block with the name."""
        return ("name", name, i)

    def slot_of(self, i: int) -> int:
        """The slot of a position in its block."""
        return i % self.block_size

    def position_of(self, k: int, s: int) -> int:
        """The position of a slot of the k-th block."""
        return k * self.block_size + s

    def kv_domains(self) -> dict[str, list[Any]]:
        """Slots of a block, and positions that some sequence has or some plan takes."""
        reached = [row.last for row in self.device.rows.values()]
        known = [s.own_tokens + s.own_dispatched for s in self.sequences]
        most = max([*reached, *known, 0]) + 2
        return {"kv_slot": list(range(self.block_size)), "position": list(range(most))}
