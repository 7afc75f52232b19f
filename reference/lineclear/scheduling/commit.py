"""The result of a step: tokens, branches, ends.

Invariant: `check_output.py` finds whatever may be wrong with the sampled tokens before anything changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lineclear.request import Finished, Sampled, SampledError
from lineclear.scheduling.check_output import (
    NOTHING,
    ONE,
    Lengths,
    Stops,
    lengths_of,
    positions_of,
)
from lineclear.scheduling.counters import Counters
from lineclear.scheduling.decode_batch import DecodeBatch
from lineclear.scheduling.flight import IssuedStep
from lineclear.scheduling.live_request import LiveRequest
from lineclear.scheduling.live_requests import LiveRequests
from lineclear.scheduling.prefix_cache import PrefixCache
from lineclear.scheduling.transitions import Transitions
from lineclear_spec import actions
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import Sequence


class CommitParts(NamedTuple):
    """The parts of a scheduler that a commit changes.

    Attributes:
        ledger: the state that the table's actions change.
        live: finds the request of a sequence.
        batch: which sequences are in the decode batch.
        transitions: ends requests.
        counters: of what happened.
        joins: whether sequences may join the decode batch.
        joins_alone: whether only those of requests with one sequence may.
        cache: publishes what the step has computed.
    """

    ledger: Ledger
    live: LiveRequests
    batch: DecodeBatch
    transitions: Transitions
    counters: Counters
    joins: bool
    joins_alone: bool
    cache: PrefixCache


class Commit:
    """The result of one step, checked and not yet applied.

    Args:
        parts: what a commit changes.
        flight: the oldest step in flight.
        sampled: what it sampled, see `Scheduler.commit`.
        stopped: positions of `plan.sampling` that end, each alone or with the index of a continuation.

    Raises:
        SampledError: tokens or positions do not match the plan.
    """

    def __init__(
        self,
        parts: CommitParts,
        flight: IssuedStep,
        sampled: Sampled,
        stopped: Iterable[int | tuple[int, int]],
    ) -> None:
        """Checks everything."""
        self.parts = parts
        self.ledger = parts.ledger
        self.flight = flight
        self.lengths: Lengths = lengths_of(flight, sampled, parts.live.of)
        self.stops: Stops = {}
        if stopped is not NOTHING:
            self.stops = positions_of(flight, stopped, self.lengths)
        self.ends: dict[Sequence, str] = {}
        self.forked: dict[Sequence, Sequence] = {}  # from which one each new branch did
        self.touched: list[Sequence] = []  # may end, may join the decode batch
        self.finished: list[Finished] = []
        self.regrouped: dict[LiveRequest, None] = {}  # have other sequences than before
        self.time: float | None = None

    @staticmethod
    def of_nothing(sampled: Sampled, stopped: Iterable[object]) -> list[Finished]:
        """The result of a plan without a step: nothing, and nothing may be said of it."""
        try:
            given = len(sampled) + len(list(stopped))
        except TypeError as error:
            raise SampledError(
                f"sampled is {sampled!r}; it must be a list, empty for a plan without a step"
            ) from error
        if given:
            raise SampledError(
                f"the plan has no step: sampled and stopped must be empty, they have {given} entries"
            )
        return []

    def apply(self, time: float | None) -> list[Finished]:
        """Commits the step; returns the requests that it finished."""
        parts, ledger, flight = self.parts, self.ledger, self.flight
        self.time = time
        base = len(flight.sampling)
        learning = list(range(base))  # positions whose tokens are recorded one by one
        batched = len(flight.plan.sampling.second)
        implied = batched - len(flight.left)  # tokens that the clock counts
        for (
            position
        ) in self.lengths:  # one in the decode batch that forks or ends counts its tokens itself
            sequence = flight.sequence(position)
            if sequence.in_decode_batch:
                parts.batch.leave(sequence)
                implied -= position >= base
            if position >= base:
                learning.append(position)
        parts.counters.generated_tokens += implied
        self._commit_step()
        if parts.cache.pending:
            parts.cache.publish()  # before branches fork, which name the same blocks
        if learning or flight.left:
            self._learn(learning)
        for position, which in self.stops.items():
            sequence = flight.sequence(position)
            if (which is None or 0 in which) and flight.counts(sequence):
                self.ends[sequence] = "stop"
        for sequence in self.touched:
            if sequence.alive and sequence.own_tokens >= sequence.request.limit:
                self.ends.setdefault(sequence, "length")
        if ledger.endings:
            for sequence in ledger.endings.get(ledger.committed, ()):
                self.ends.setdefault(sequence, "length")
        ends = self._in_order() if len(self.ends) > 1 else self.ends.items()
        together = parts.transitions.end_each()
        for sequence, reason in ends:
            if sequence in together:
                self._over(together[sequence], sequence, reason)
            else:
                self._end(sequence, reason)
        for entry in self.regrouped:
            if entry.record.phase == Phase.RUNNING:
                parts.live.count_seats(entry)
        if self.touched:
            self._join()
        return self.finished

    def _commit_step(self) -> None:
        """Completes the copies that have run: those up to the forward's wait, and the plan's block copies.

        The latter run on the stream of the forward, before it, so it need not wait for them.
        """
        ledger = self.ledger
        forward = ledger.forward_of(self.flight.step)
        wait = ledger.operations[forward].wait
        done = [number for number in ledger.operations if number <= wait]
        if done or self.flight.copies:
            for number in sorted({*done, *self.flight.copies}):
                if number in ledger.operations and ledger.is_copy(number):
                    actions.complete_copy(ledger, number)
        actions.commit_step(ledger)

    def _learn(self, learning: list[int]) -> None:
        """Pruned branches go first, so that others may fork in their place; then all learn."""
        flight, lengths = self.flight, self.lengths
        for position, sizes in lengths.items():
            if sizes == ():
                sequence = flight.sequence(position)
                if flight.counts(sequence):
                    self._end(sequence, "pruned")
        for position in learning:
            sizes = lengths.get(position, ONE)
            sequence = flight.sequence(position)
            if sizes and flight.counts(sequence):
                self._sample(sequence, sizes, self.stops.get(position, frozenset()))
        apart = {flight.sequence(position) for position in lengths}
        for sequence in flight.left:
            if sequence not in apart and flight.counts(sequence):
                self._sample(sequence, ONE, frozenset())

    def _sample(
        self, sequence: Sequence, sizes: tuple[int, ...], ending: frozenset[int] | None
    ) -> None:
        """One sequence learns its first continuation, and a branch forks for each other one."""
        parts, ledger = self.parts, self.ledger
        parts.counters.generated_tokens += sum(sizes)
        if sequence.in_decode_batch:
            return  # its clock has counted the token
        self.touched.append(sequence)
        entry = parts.live.of[sequence.request]
        entry.kept_a_token = True  # here before any of its sequences can be in the decode batch
        others = sizes[1:]
        if others:  # blocks that two tables name cannot be published
            parts.cache.publish_output(entry, (sequence,))
            for k, size in enumerate(others, start=1):
                child = actions.fork(ledger, sequence, size)
                entry.name_branch(child)
                self.regrouped[entry] = None
                self.touched.append(child)
                self.forked[child] = sequence
                if ending is None or k in ending:
                    self.ends[child] = "stop"
                if entry.record.phase == Phase.RUNNING:
                    parts.batch.explicit[child] = None
        rejected = max(0, sequence.drafts + 1 - sizes[0])
        actions.sample(ledger, sequence, self.flight.step, sizes[0], rejected)

    def _in_order(self) -> Iterable[tuple[Sequence, str]]:
        """What ends and why: branches in the order of the plan, as the last of those that share output publishes it."""
        ends = self.ends.items()
        if all(sequence.request.width < 2 for sequence in self.ends):
            return ends
        flight, forked = self.flight, self.forked
        places = {flight.sequence(k): k for k in range(len(flight.plan.sampling))}
        return sorted(ends, key=lambda end: (places[forked.get(end[0], end[0])], end[0].id))

    def _end(self, sequence: Sequence, reason: str) -> None:
        """One branch ends, and with the last one its request."""
        parts, ledger = self.parts, self.ledger
        entry: LiveRequest = parts.live.of[sequence.request]
        if sequence.in_decode_batch:
            parts.batch.leave(sequence)
        if entry.record.width >= 2:
            entry.add_output(sequence, reason)
            parts.cache.publish_output(entry, (sequence,))
            actions.prune(ledger, sequence)
            parts.batch.explicit.pop(sequence, None)
            entry.forget_branch(sequence)
            self.regrouped[entry] = None
            return
        parts.transitions.end(entry)
        self._over(entry, sequence, reason)

    def _over(self, entry: LiveRequest, sequence: Sequence, reason: str) -> None:
        """The request has ended with its last sequence."""
        outputs = entry.add_output(sequence, reason)
        self.parts.counters.finished[reason] += 1
        finished = Finished(entry.request_id, reason, tuple(outputs), entry.preemptions, self.time)
        self.finished.append(finished)

    def _join(self) -> None:
        """Sequences that decode one token in every step from now on join the decode batch."""
        parts = self.parts
        if not parts.joins:
            return
        batch, alone = parts.batch, parts.joins_alone
        for sequence in self.touched:
            if sequence in batch.explicit and not (alone and sequence.request.parallel > 1):
                batch.join(sequence)
