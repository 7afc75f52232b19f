"""The containers of a ledger that are more than a list or a dict.

Guarantees: if `mark` is called only for sequences that are not listed, which is proved of every action, a
calendar lists each sequence under one step at most; no step has an empty bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from lineclear_spec.records import Broken, Several

if TYPE_CHECKING:
    from lineclear_spec.records import Sequence

__all__ = ["Calendar", "Numbered", "SteadyBatch"]

T = TypeVar("T")
#: What is listed under most steps; it cannot be changed.
EMPTY: Several[Sequence] = Several(())


class SteadyBatch(dict["Sequence", None]):
    """The steady sequences, in the order in which they joined.

    Attributes:
        changes: grows whenever a sequence joins or leaves.
    """

    __slots__ = ("changes",)

    def __init__(self) -> None:
        self.changes = 0

    def add(self, sequence: Sequence) -> None:
        """Add a sequence that is not in the batch."""
        self[sequence] = None
        self.changes += 1

    def remove(self, sequence: Sequence) -> None:
        """Remove a sequence.

        Raises:
            KeyError: it is not in the batch.
        """
        del self[sequence]
        self.changes += 1


class Calendar(dict[int, dict["Sequence", None]]):
    """Steady sequences by the one step under which they are listed."""

    __slots__ = ()

    def mark(self, step: int, sequence: Sequence) -> None:
        """Add the sequence to the step's bucket; it must be in none."""
        self.setdefault(step, {})[sequence] = None

    def unmark(self, step: int, sequence: Sequence) -> None:
        """Remove the sequence from the step's bucket.

        Raises:
            KeyError: it is not there.
        """
        bucket = self[step]
        del bucket[sequence]
        if not bucket:
            del self[step]

    def postpone(self, step: int, by: int) -> None:
        """Move the step's bucket so many steps further."""
        late = self.pop(step, None)
        if late:
            bucket = self.get(step + by)
            if bucket is None:
                self[step + by] = late
            else:
                bucket.update(late)

    def bucket(self, step: int) -> Several[Sequence]:
        """The sequences in the step's bucket now."""
        found = self.get(step)
        return Several(found) if found else EMPTY


class Numbered(dict[int, T]):
    """A dict by number; to look a missing one up raises `Broken`.

    Args:
        missing: the error's text, with {} for the number.
    """

    __slots__ = ("missing",)

    def __init__(self, missing: str) -> None:
        self.missing = missing

    def __missing__(self, number: int) -> T:
        raise Broken(self.missing.format(number))
