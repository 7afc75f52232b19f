# pyright: basic
"""What the oracle remembers of a scheduler's past, since no single moment shows it.

Guarantees: it is plain data, which can be pickled and put back with the scheduler that it is of.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from lineclear.oracle.books import Charges
from lineclear.oracle.cache import Uses
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import Sequence

if TYPE_CHECKING:
    from lineclear.plan import Plan, Scheduled
    from lineclear.scheduler import Scheduler


class Memory:
    """What cannot be seen from a scheduler at one moment.

    Attributes:
        live: requests that were accepted and have not ended, with the number of their arrival.
        aborted: ids of requests that were aborted since the last plan.
        sheltered: requests that displaced another, or entered beside a prompt that could use more than its
            share, and have kept no token since.
        void: by request, its number and the last step whose samples are worthless for it.
        charges: what tenants were served.
        issued: by step in flight, what was live when it was issued.
        uses: of the blocks that can be found.
        looked: sequences with blocks that may get names, and the first of them.
        rows: by step in flight, the tokens of each request and branch in it.
        own: the oracle's statement of the policy; None of one that is not built in.
    """

    def __init__(self, own: Any = None) -> None:
        self.own = own
        self.live: dict[Hashable, int] = {}
        self.aborted: dict[Hashable, None] = {}
        self.sheltered: dict[Hashable, None] = {}
        self.void: dict[Hashable, tuple[int, int]] = {}
        self.issued: dict[int, dict[Hashable, int]] = {}
        self.charges = Charges()
        self.uses = Uses()
        self.looked: dict[Sequence, int] = {}
        self.rows: dict[int, dict[tuple[Hashable, int], int]] = {}

    def forget_shelters(self, scheduler: Scheduler) -> None:
        """A request that no longer runs displaces anew when it enters."""
        for name in tuple(self.sheltered):
            entry = scheduler.entries.get(name)
            if entry is None or entry.record.phase != Phase.RUNNING:
                del self.sheltered[name]

    def issue(self, plan: Plan) -> None:
        """A step is in flight from now on, if the plan has one."""
        if plan.step is None:
            return
        self.issued[plan.step] = dict(self.live)
        self.rows[plan.step] = {
            (row.request_id, row.branch): row.tokens for row in plan.scheduled_seq_groups
        }

    def keeps(self, plan: Plan, row: Scheduled, issued: Mapping[Hashable, int]) -> bool:
        """Whether a sample is kept: its request is the one of that time, and is not void.

        Args:
            plan: of the step.
            row: that samples.
            issued: what was live when the step was issued, with the number of its arrival.
        """
        name = row.request_id
        number, until = self.void.get(name, (0, 0))
        void = number == self.live.get(name) and plan.step is not None and plan.step <= until
        alive = name in self.live and self.live[name] == issued.get(name)
        return alive and not void
