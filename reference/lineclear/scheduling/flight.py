"""Steps in flight: issued, and not yet committed.

Invariant: they stand in the order in which they were issued, at most `max_steps_in_flight` of them, and are committed
in that order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice

from lineclear.plan import Plan
from lineclear.request import PlanError, SchedulerError
from lineclear_spec.kernel.records import Sequence


class IssuedStep:
    """A step in flight: what `commit` must know about it.

    Args:
        plan: its plan.
        step: its number.
        sampling: sequences that it samples for and that were not in the decode batch when it was issued.
        members: the sequences in the decode batch as they are at any time, in the order in which they joined.
        copies: numbers of its block copies, complete when its forward is.

    Attributes:
        left: sequences that were in the decode batch when the step was issued and have left it since, as keys.
    """

    __slots__ = ("_decode_batch", "_members", "copies", "left", "plan", "sampling", "step")

    def __init__(
        self,
        plan: Plan,
        step: int,
        sampling: tuple[Sequence, ...],
        members: Iterable[Sequence],
        copies: list[int],
    ) -> None:
        """The step was issued."""
        self.plan = plan
        self.step = step
        self.sampling = sampling
        self._members = members
        self._decode_batch: tuple[Sequence, ...] | None = None
        self.left: dict[Sequence, None] = {}
        self.copies = copies

    @property
    def decode_batch(self) -> tuple[Sequence, ...]:
        """Sequences that were in the decode batch when it was issued; it samples for all of them.

        They are the first members until one of them leaves, and are listed then, or when they are asked for.
        """
        if self._decode_batch is None:
            self._decode_batch = tuple(islice(self._members, len(self.plan.sampling.second)))
        return self._decode_batch

    def leave(self, sequence: Sequence) -> None:
        """One of `decode_batch`, which is a member still, has left the decode batch."""
        self._decode_batch = self.decode_batch
        self.left[sequence] = None

    def sequence(self, position: int) -> Sequence:
        """The sequence at a position of `plan.sampling`."""
        size = len(self.sampling)
        return self.sampling[position] if position < size else self.decode_batch[position - size]

    def counts(self, sequence: Sequence) -> bool:
        """Whether what the step sampled for it is kept: it lives, and its KV was valid."""
        return sequence.alive and (sequence.in_decode_batch or sequence.void < self.step)

    def dropped(self) -> list[int]:
        """Positions of `plan.sampling` whose tokens are not kept."""
        positions = [k for k, q in enumerate(self.sampling) if not self.counts(q)]
        lost = {sequence for sequence in self.left if not self.counts(sequence)}
        if lost:
            base = len(self.sampling)
            positions += [base + k for k, q in enumerate(self.decode_batch) if q in lost]
        return positions


class InFlight:
    """The steps in flight, the oldest first.

    Args:
        max_steps_in_flight: how many there may be.
    """

    def __init__(self, max_steps_in_flight: int) -> None:
        """Nothing is in flight."""
        self.max_steps_in_flight = max_steps_in_flight
        self.flights: deque[IssuedStep] = deque()

    def check_room(self) -> None:
        """Refuses another step if there is no room for one.

        Raises:
            SchedulerError: `max_steps_in_flight` steps are in flight.
        """
        if len(self.flights) >= self.max_steps_in_flight:
            raise SchedulerError(
                f"{len(self.flights)} of {self.max_steps_in_flight} steps are in flight; "
                "commit the oldest plan first"
            )

    def oldest(self, plan: Plan) -> IssuedStep:
        """The oldest step in flight, which the plan must be of.

        Raises:
            PlanError: the plan is foreign, stale or out of order.
        """
        flights = self.flights
        if flights and flights[0].plan is plan:
            return flights[0]
        if any(flight.plan is plan for flight in flights):
            raise PlanError(
                f"plans commit in order: step {flights[0].step} comes before step {plan.step}"
            )
        raise PlanError(
            f"step {plan.step} is not in flight here: it is committed already, another scheduler's, or the plan is "
            "a copy (pickle, _replace): commit the one that schedule returned"
        )

    def of(self, plan: Plan) -> IssuedStep:
        """The step of a plan.

        Raises:
            PlanError: the plan is not in flight.
        """
        for flight in self.flights:
            if flight.plan is plan:
                return flight
        raise PlanError(
            "the plan is not in flight here, or is a copy of the one that schedule returned"
        )
