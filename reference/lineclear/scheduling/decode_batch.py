"""The sequences in the decode batch, which decode one token in every step, and the other ones that run.

Invariant: a sequence of a running request is in exactly one of `members` and `explicit`, and `members` are
the ledger's batch in its order. A step costs nothing for a member.
"""

from __future__ import annotations

from lineclear.plan import Scheduled, new_row
from lineclear.scheduling.flight import InFlight
from lineclear.scheduling.live_request import LiveRequest
from lineclear.scheduling.live_requests import LiveRequests
from lineclear.scheduling.policy_adapter import PolicyAdapter
from lineclear_spec import actions
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.records import Refused, Sequence


class DecodeBatch:
    """Which sequences are in the decode batch.

    Args:
        ledger: the state that the table's actions change.
        live: finds the request of a sequence.
        in_flight: steps that a sequence may leave while they are computed.
        adapter: tells a policy that shares among tenants.

    Attributes:
        explicit: sequences that run and are not in the decode batch; a step has to look at each.
        members: sequences in the decode batch and their rows.
        joined: sequences in the decode batch, and how many steps were issued when each joined.
        rows: of all members, as plans share them; made again by `refresh`.
    """

    def __init__(
        self, ledger: Ledger, live: LiveRequests, in_flight: InFlight, adapter: PolicyAdapter
    ) -> None:
        """No sequence runs."""
        self.ledger = ledger
        self.live = live
        self.in_flight = in_flight
        self.adapter = adapter
        self.explicit: dict[Sequence, None] = {}
        self.members: dict[Sequence, Scheduled] = {}
        self.joined: dict[Sequence, int] = {}
        self.rows: tuple[Scheduled, ...] = ()
        self._changes = 0  # of the ledger's batch, when the rows were made

    def refresh(self) -> None:
        """Makes the rows again if a sequence has joined or left."""
        if self._changes != self.ledger.batch_changes:
            self._changes = self.ledger.batch_changes
            self.rows = tuple(self.members.values())

    def join(self, sequence: Sequence) -> None:
        """The sequence joins the decode batch, if it may."""
        ledger = self.ledger
        if sequence.own_dispatched >= sequence.request.limit - 1:
            return  # it has every position that it needs
        try:
            actions.join_batch(ledger, sequence)
        except Refused:
            return  # it is not in every step in flight, say, or writes a shared block first
        entry = self.live.of[sequence.request]
        del self.explicit[sequence]
        self.joined[sequence] = ledger.steps
        if self.adapter.tenants is not None:
            self.adapter.tell("decode_batch_changed", entry.tenant, 1, ledger.steps)
        branch = entry.branch(sequence)
        offset: int = sequence.offset
        self.members[sequence] = new_row(
            Scheduled, (entry.request_id, branch, 1, 0, None, True, False, offset)
        )

    def leave(self, sequence: Sequence) -> None:
        """Takes the sequence out of the decode batch, and notes that in each step in flight that samples for it."""
        actions.leave_batch(self.ledger, sequence)
        self.explicit[sequence] = None
        if self.adapter.tenants is not None:
            tenant = self.live.of[sequence.request].tenant
            self.adapter.tell("decode_batch_changed", tenant, -1, self.ledger.steps)
        joined = self.joined.pop(sequence)
        for flight in self.in_flight.flights:
            if flight.step > joined:
                flight.leave(sequence)
        del self.members[sequence]

    def forget(self, sequence: Sequence, entry: LiveRequest) -> None:
        """The sequence, which no step in flight has, has ended."""
        if self.adapter.tenants is not None:
            self.adapter.tell("decode_batch_changed", entry.tenant, -1, self.ledger.steps)
        del self.joined[sequence]
        del self.members[sequence]

    def leave_all(self, entry: LiveRequest) -> None:
        """None of the request's sequences is in the decode batch any longer."""
        for sequence in entry.record.members:
            if sequence.in_decode_batch:
                self.leave(sequence)

    def leave_at_their_last_token(self) -> None:
        """Members that reach their limit in the next step leave."""
        ended = self.ledger.endings.get(self.ledger.steps)
        if ended:
            for sequence in list(ended):
                self.leave(sequence)

    @property
    def alone(self) -> bool:
        """Whether only sequences in the decode batch run, and a block is free for each that needs one now."""
        ledger = self.ledger
        return (
            not self.explicit
            and bool(ledger.decode_batch)
            and len(ledger.boundaries.get(ledger.steps, ())) <= ledger.gpu.free
        )
