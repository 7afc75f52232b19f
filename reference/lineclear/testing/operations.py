"""Operations that plans dispatched: which have run, which runs next, which the host knows to have ended.

Guarantees: an operation is offered only when every operation that it waits for has run; what the host
may know is a consequence of what was reported and committed, never of what a scheduler says.

This is the one place that says what waits allow. Operation n may run when

    every operation up to `wait` has run, and every operation of `after` has run.

A plan fills in `wait`; the operation before it on the compute stream goes into `after`, because a
stream runs its operations in order. Streams of a real executor use `after` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

#: A tier and a block id in it.
Where = tuple[str, int]
NOWHERE: frozenset[Where] = frozenset()


class RecordError(AssertionError):
    """Something was said of an operation that the record shows to be false."""


@dataclass(frozen=True, slots=True)
class Dispatched:
    """One operation that was handed to the device.

    Attributes:
        number: of the operation; ascending.
        kind: forward, copy_block, swap_out or swap_in.
        wait: it starts after every operation up to this number.
        after: it starts after these as well.
        reads: blocks that it reads.
        writes: blocks that it writes.
    """

    number: int
    kind: str
    wait: int = 0
    after: tuple[int, ...] = ()
    reads: frozenset[Where] = NOWHERE
    writes: frozenset[Where] = NOWHERE


@dataclass(slots=True)
class OperationRecord:
    """Every operation that was dispatched and is not over for everybody.

    Attributes:
        newest: number of the last operation that was dispatched.
        waiting: dispatched and not yet run, ascending.
        unknown: dispatched, and the host does not know that it is over; ascending.
        failed: copies that failed, whether the host knows or not.
    """

    newest: int = 0
    waiting: dict[int, Dispatched] = field(default_factory=dict[int, Dispatched])
    unknown: dict[int, Dispatched] = field(default_factory=dict[int, Dispatched])
    failed: set[int] = field(default_factory=set[int])

    # ---- the device ----------------------------------------------------------------------------

    def dispatch(self, operation: Dispatched) -> None:
        """An operation was handed over.

        Raises:
            RecordError: its number does not come after every other, or it waits for a later one.
        """
        number = operation.number
        if number <= self.newest:
            raise RecordError(f"operation {number} is dispatched after operation {self.newest}")
        if not 0 <= operation.wait < number or any(n >= number for n in operation.after):
            raise RecordError(
                f"operation {number} waits for {operation.wait}, which is no earlier one"
            )
        self.newest = number
        self.waiting[number] = self.unknown[number] = operation

    def has_run(self, number: int) -> bool:
        """Whether the operation was dispatched and has run."""
        return 0 < number <= self.newest and number not in self.waiting

    def may_run(self, operation: Dispatched) -> bool:
        """Whether everything that the operation waits for has run."""
        first = next(iter(self.waiting))
        return first > operation.wait and not any(n in self.waiting for n in operation.after)

    def ready(self) -> list[Dispatched]:
        """The operations that may run now, in the order of their numbers."""
        return [operation for operation in self.waiting.values() if self.may_run(operation)]

    def needed(self, number: int) -> frozenset[int]:
        """The operation and everything that has to run before it, of what has not run."""
        return before(self.waiting, number)

    def ran(self, number: int) -> None:
        """The operation has run.

        Raises:
            RecordError: it has run already, or waits for one that has not.
        """
        operation = self.waiting.get(number)
        if operation is None or not self.may_run(operation):
            raise RecordError(f"operation {number} may not run now")
        del self.waiting[number]

    # ---- the host ------------------------------------------------------------------------------

    def swaps(self) -> list[int]:
        """Swaps of which the host does not know that they are over, run or not."""
        return [n for n, o in self.unknown.items() if o.kind in ("swap_out", "swap_in")]

    def urgent(self, forward: int) -> list[int]:
        """Failed swaps that have to be reported before the commit of the step of this forward."""
        return [n for n in self.swaps() if n in self.failed and n in before(self.unknown, forward)]

    def reported(self, numbers: Iterable[int]) -> None:
        """Reports these to the host as ended."""
        for number in numbers:
            if not self.has_run(number):
                raise RecordError(f"operation {number} is reported and has not run")
            self.unknown.pop(number, None)

    def committed(self, forward: int) -> frozenset[int]:
        """A step is committed: its forward has run, and so has everything that comes before it.

        Returns:
            What the host knows to be over because of it.

        Raises:
            RecordError: the forward has not run, or a failure is not reported yet.
        """
        if not self.has_run(forward):
            raise RecordError(f"forward {forward} is committed and has not run")
        urgent = self.urgent(forward)
        if urgent:
            raise RecordError(
                f"forward {forward} is committed before failed copy {urgent[0]} is reported"
            )
        over = before(self.unknown, forward)
        for number in over:
            del self.unknown[number]
        return over


def before(operations: dict[int, Dispatched], number: int) -> frozenset[int]:
    """The operation and everything among these that it waits for, directly or through others."""
    found: set[int] = set()
    ahead = [number]
    while ahead:
        operation = operations.get(ahead.pop())
        if operation is None or operation.number in found:
            continue
        found.add(operation.number)
        ahead += [n for n in operations if n <= operation.wait and n < operation.number]
        ahead += operation.after
    return frozenset(found)


class Order:
    """The order in which operations run, a base for others: each runs as soon as it may.

    It is asked after everything that happens.
    """

    def pick(
        self, ready: Sequence[Dispatched], wanted: frozenset[int], record: OperationRecord
    ) -> Dispatched | None:
        """The operation that runs next.

        Args:
            ready: operations that may run, in the order of their numbers; at least one.
            wanted: what the host waits for; if there is any, one of `ready` is in it.
            record: of the device.

        Returns:
            One of `ready`, or None; None only if nothing is wanted.
        """
        return ready[0]
