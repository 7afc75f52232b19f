"""The containers of a ledger that are more than a list or a dict.

Guarantees: a calendar lists a sequence under one step at most as long as `mark` is asked of sequences
that are not listed, which the proofs show of every action; no step has an empty bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from lineclear_spec.records import Broken, Several

if TYPE_CHECKING:
    from lineclear_spec.records import Sequence

__all__ = ["Calendar", "Numbered", "SteadyBatch"]

T = TypeVar("T")


class SteadyBatch(dict["Sequence", None]):
    """The steady sequences, in the order in which they joined.

    Attributes:
        changes: grows whenever a sequence joins or leaves.
    """

    __slots__ = ("changes",)

    def __init__(self) -> None:
        self.changes = 0

    def add(self, sequence: Sequence) -> None:
        """One more, which was not there."""
        self[sequence] = None
        self.changes += 1

    def remove(self, sequence: Sequence) -> None:
        """One less, which was there."""
        del self[sequence]
        self.changes += 1


class Calendar(dict[int, dict["Sequence", None]]):
    """Steady sequences by the one step under which they are listed."""

    __slots__ = ()

    def mark(self, step: int, sequence: Sequence) -> None:
        """List a sequence, which is not listed, under the step."""
        self.setdefault(step, {})[sequence] = None

    def unmark(self, step: int, sequence: Sequence) -> None:
        """List a sequence, which is listed under the step, no more."""
        bucket = self[step]
        del bucket[sequence]
        if not bucket:
            del self[step]

    def postpone(self, step: int, by: int) -> None:
        """What is listed under the step is listed so many steps later."""
        late = self.pop(step, None)
        if late:
            bucket = self.get(step + by)
            if bucket is None:
                self[step + by] = late
            else:
                bucket.update(late)

    def bucket(self, step: int) -> Several[Sequence]:
        """The sequences that are listed under the step, as they are now."""
        return Several(self.get(step, ()))


class Numbered(dict[int, T]):
    """A dict by number, in which nothing is looked up that is not there.

    Args:
        missing: the error's text, with {} for the number.
    """

    __slots__ = ("missing",)

    def __init__(self, missing: str) -> None:
        self.missing = missing

    def __missing__(self, number: int) -> T:
        raise Broken(self.missing.format(number))
