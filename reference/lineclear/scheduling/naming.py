"""Which sequences a caller gives names for.

Guarantees: what is asked is refused before anything has changed: names are given in the order of a
sequence's blocks, to live requests.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from lineclear.request import SchedulerError
from lineclear.scheduling.entry import Entry
from lineclear_spec.kernel.records import Sequence

__all__ = ["check_next", "next_to_name"]


def next_to_name(entries: Mapping[Hashable, Entry], request_id: Hashable, branch: int) -> Sequence:
    """The sequence of a branch.

    Raises:
        SchedulerError: the request is not live, or has no such branch.
    """
    entry = entries.get(request_id)
    if entry is None:
        raise SchedulerError(f"request_id {request_id!r} is not live")
    sequence = entry.first
    if branch or not sequence.alive:
        found = [s for s in entry.record.members if entry.branch(s) == branch]
        if not found:
            raise SchedulerError(f"request_id {request_id!r} has no branch {branch}")
        sequence = found[0]
    return sequence


def check_next(request_id: Hashable, branch: int, sequence: Sequence, first: int) -> None:
    """The names are those of the next blocks.

    Args:
        request_id: for the message.
        branch: for the message.
        sequence: the sequence that gets names.
        first: index of the first block that gets one.

    Raises:
        SchedulerError: the branch has names for fewer or more blocks than `first`.
    """
    known = len(sequence.block_names)
    if first != known:
        raise SchedulerError(
            f"request_id {request_id!r}, branch {branch} has names for {known} blocks: the next ones begin "
            f"at {known}, not {first!r}"
        )
