"""Reports about swaps: which are complete, and which have failed.

Invariant: a report that is refused has changed nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from lineclear.request import SchedulerError
from lineclear.scheduling.live_requests import LiveRequests
from lineclear.scheduling.transitions import Transitions
from lineclear_spec import actions
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.records import SWAP_IN, SWAP_OUT


@dataclass(eq=False, slots=True)
class SwapReports:
    """Takes reports.

    Attributes:
        ledger: the state that the table's actions change.
        live: finds the request of a swap.
        transitions: makes a request wait whose copy failed.
    """

    ledger: Ledger
    live: LiveRequests
    transitions: Transitions

    def complete(self, operations: Iterable[int], failed: Iterable[int]) -> list[Hashable]:
        """Completes the swaps; returns the ids of requests whose copy failed.

        Raises:
            SchedulerError: a number is no swap that a plan has dispatched, or is reported as failed after
                a commit completed it; or these are no lists of numbers; nothing has changed.
        """
        ledger = self.ledger
        try:
            bad = dict.fromkeys(failed)
            good = [number for number in dict.fromkeys(operations) if number not in bad]
        except TypeError as error:
            raise SchedulerError(
                f"operations and failed must be lists of numbers, not {operations!r} and {failed!r}"
            ) from error
        for number in (*good, *bad):
            known = type(number) is int and 0 < number <= ledger.dispatched
            operation = ledger.operations.get(number) if known else None
            if known and operation is None and number in bad:
                raise SchedulerError(
                    f"operation {number} is complete already; report a failed copy before the "
                    "commit of the step that waited for it"
                )
            if not known or (operation and operation.kind not in (SWAP_IN, SWAP_OUT)):
                raise SchedulerError(
                    f"operation {number!r} is no swap of a plan: plans have dispatched the operations up "
                    f"to {ledger.dispatched}; report numbers of their swap_in and swap_out operations"
                )
        for number in good:
            if number in ledger.operations:
                actions.complete_copy(ledger, number)
        failed_requests: list[Hashable] = []
        for number in bad:
            record = ledger.operations[number].request
            entry = (
                None if record is None or record.open_swap != number else self.live.of.get(record)
            )
            if entry is None:  # what it moved is freed already
                actions.complete_copy(ledger, number)
                continue
            self.transitions.lose(entry)
            failed_requests.append(entry.request_id)
        return failed_requests
