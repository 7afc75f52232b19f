"""The ordering rule of operations, and a recorder that checks accesses against it.

Two accesses to the same block id of a tier conflict if at least one of them writes. The rule:

    conflicting accesses are ordered, the later operation after the earlier one.

What orders two operations o < n is, and is only,

    n waits for every operation up to its `wait`, and o <= wait(n); or both run on one stream, which runs them as they
    were issued; or a chain of such pairs leads from o to n.

The specification proves, as the invariant `ordered`, that any two operations that touch one block id while the
earlier is open have o <= wait(n) or are both on the compute stream. That is a special case of the rule here (reads
that do not conflict are ordered too, and no chain is needed), so a backend that issues a plan's operations under
their waits obeys the rule; this module checks that it did, from what was really issued.

Guarantees: a conflict that nothing orders is found when the later access is recorded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Access:
    """One operation touches one block id.

    Attributes:
        tier: gpu or cpu.
        block_id: which block.
        write: whether it writes there.
    """

    tier: str
    block_id: int
    write: bool


class Hazard(AssertionError):
    """Two accesses conflict and nothing orders them."""


@dataclass(frozen=True, slots=True)
class Issued:
    """An operation as it was issued: on which stream, and after which others."""

    number: int
    stream: str | None
    after: frozenset[int]
    what: str
    block_ids: frozenset[tuple[str, int]]


class Hazards:
    """Operations that are issued and not known to be complete, with their accesses.

    Attributes:
        checked: pairs of conflicting accesses that were found to be ordered.
    """

    def __init__(self) -> None:
        """Nothing was issued."""
        self._open: dict[int, Issued] = {}
        self._touched: dict[tuple[str, int], list[tuple[int, bool]]] = {}
        self._last: dict[str, int] = {}  # stream -> its last operation
        self.checked = 0

    def issue(
        self,
        number: int,
        stream: str | None,
        after: Iterable[int],
        accesses: Iterable[Access],
        what: str = "operation",
    ) -> None:
        """An operation is issued on a stream, after others that it was really made to wait for.

        Args:
            number: of the operation; ascending.
            stream: where it runs; None for one of its own, behind nothing but `after`.
            after: operations of other streams that it was made to wait for.
            accesses: what it touches.
            what: for the message.

        Raises:
            Hazard: one of its accesses conflicts with an open one that nothing orders before it.
        """
        before = set(after)
        if stream is not None and stream in self._last:
            before.add(self._last[stream])
        reached = self._reached(before)
        touched = list(dict.fromkeys(accesses))
        block_ids = frozenset([(access.tier, access.block_id) for access in touched])
        mine = Issued(number, stream, frozenset(before), what, block_ids)
        for access in touched:
            block_id = (access.tier, access.block_id)
            earlier = self._touched.setdefault(block_id, [])
            for other, writes in earlier:
                if other == number or other not in self._open or not (writes or access.write):
                    continue
                if other not in reached:
                    first = self._open[other]
                    raise Hazard(
                        f"{access.tier} block {access.block_id}: {what} {number} on stream {stream} "
                        f"{'writes' if access.write else 'reads'} what {first.what} {other} on "
                        f"stream {first.stream} {'writes' if writes else 'reads'}, and nothing "
                        "orders the two"
                    )
                self.checked += 1
            earlier.append((number, access.write))
        self._open[number] = mine
        if stream is not None:
            self._last[stream] = number

    def complete(self, number: int) -> None:
        """The host has seen that the operation, and so every one before it, has ended."""
        left: set[tuple[str, int]] = set()
        for other in self._reached({number}):
            issued = self._open.pop(other, None)
            if issued is not None:
                left |= issued.block_ids
        for block_id in left:
            kept = [pair for pair in self._touched[block_id] if pair[0] in self._open]
            if kept:
                self._touched[block_id] = kept
            else:
                del self._touched[block_id]

    def _reached(self, numbers: set[int]) -> set[int]:
        """These operations and all open ones that come before them."""
        found: set[int] = set()
        ahead = list(numbers)
        while ahead:
            number = ahead.pop()
            if number in found:
                continue
            found.add(number)
            issued = self._open.get(number)
            if issued is not None:
                ahead.extend(issued.after)
        return found
