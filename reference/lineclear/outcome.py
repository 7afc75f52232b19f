"""What a commit brings: tokens, branches, ends.

Guarantees: everything that may be wrong with the sampled tokens is found before anything changes. It knows nothing about
how steps are built.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from lineclear.entry import Entry
from lineclear.request import Finished, Output, SampledError
from lineclear_spec import actions
from lineclear_spec.ledger import Request as Record
from lineclear_spec.ledger import Sequence
from lineclear_spec.lifecycle import Phase

if TYPE_CHECKING:
    from lineclear.scheduler import Flight, Scheduler

__all__ = ["Outcome"]

ONE = (1,)


class Outcome:
    """The result of one step, checked.

    Raises:
        SampledError: tokens or positions do not match the plan.
    """

    def __init__(
        self, scheduler: Scheduler, flight: Flight, sampled: Any, stopped: Iterable[int]
    ) -> None:
        self.scheduler = scheduler
        self.ledger = scheduler.ledger
        self.flight = flight
        count = len(flight.plan.sampling)
        try:
            given = len(sampled)
        except TypeError as error:
            raise SampledError("sampled must be an array or a list, one entry per position") from error
        if given != count:
            raise SampledError(f"the plan samples {count} sequences, {given} entries were given")
        self.lengths = self._lengths(sampled)
        self.stopped = self._positions(stopped, count)
        self.finished: list[Finished] = []

    def _lengths(self, sampled: Any) -> dict[int, tuple[int, ...]]:
        """Lengths of the continuations at each position where they are not simply one token."""
        if isinstance(sampled, np.ndarray):
            if sampled.ndim != 1 or sampled.dtype.kind not in "iu":
                raise SampledError("an array of sampled tokens has one dimension and whole numbers")
            return {}
        if set(map(type, sampled)) <= {int}:
            return {}
        lengths: dict[int, tuple[int, ...]] = {}
        more: Counter[Record] = Counter()
        for position, continuations in enumerate(sampled):
            if isinstance(continuations, int | np.integer):
                continue
            try:
                sizes = tuple(len(tokens) for tokens in continuations)
            except TypeError as error:
                raise SampledError(
                    f"position {position}: a token or a list of lists of tokens, not {continuations!r}"
                ) from error
            sequence = self.flight.sequence(position)
            row = self.flight.plan.sampling[position]
            most = 1 + row.drafts
            for size in sizes:
                if not 1 <= size <= most:
                    raise SampledError(
                        f"position {position}: a continuation has 1 to {most} tokens here, not {size}"
                    )
            if sizes == ONE:
                continue
            lengths[position] = sizes
            if sequence.alive:
                more[sequence.request] += len(sizes) - 1
        for record, extra in more.items():
            if record.width + extra > record.parallel:
                name = self.scheduler.of[record].user.request_id
                raise SampledError(
                    f"request {name!r} may have {record.parallel} sequences at once, "
                    f"these continuations would make it {record.width + extra}"
                )
        return lengths

    def _positions(self, stopped: Iterable[int], count: int) -> list[int]:
        positions = [int(p) for p in stopped]
        for position in positions:
            if not 0 <= position < count:
                raise SampledError(f"stopped position {position} is not in 0..{count - 1}")
        return positions

    def apply(self) -> list[Finished]:
        """Settles the step; what is finished by it."""
        scheduler, ledger, flight = self.scheduler, self.ledger, self.flight
        actions.settle_step(ledger)
        for number in flight.copies:
            if number in ledger.operations:
                actions.settle_copy(ledger, number)
        ends: dict[Sequence, str] = {}
        for position in self.stopped:
            ends[flight.sequence(position)] = "stop"
        pruned: dict[Sequence, None] = {}
        explicit = list(enumerate(flight.sampling))
        base = len(flight.sampling)
        for position, sizes in self.lengths.items():
            sequence = flight.sequence(position)
            if not sizes:
                pruned[sequence] = None
            elif position >= base and sequence.steady:
                scheduler.leave(sequence)  # it forks
                explicit.append((position, sequence))
        candidates: list[Sequence] = []
        for position, sequence in explicit:
            if not sequence.alive or sequence in pruned:
                continue
            candidates.append(sequence)
            self._sample(sequence, self.lengths.get(position, ONE), position >= base, ends, candidates)
        for sequence in flight.left:
            if sequence.alive and sequence not in pruned and sequence not in candidates:
                candidates.append(sequence)
                self._sample(sequence, ONE, False, ends, candidates)
        for sequence in pruned:
            if sequence.alive:
                self._end(sequence, "pruned")
        for sequence in candidates:
            if (
                sequence not in ends
                and not sequence.steady
                and sequence.known_tokens >= sequence.request.limit
            ):
                ends[sequence] = "length"
        bucket = ledger.endings.get(ledger.settled)
        if bucket:
            for sequence in bucket:
                ends.setdefault(sequence, "length")
        for sequence, reason in ends.items():
            if sequence.alive:
                self._end(sequence, reason)
        if scheduler.config.num_lookahead_slots == 0:
            for sequence in candidates:
                if sequence in scheduler.explicit and (
                    scheduler.config.depth == 1 or sequence.request.parallel == 1
                ):
                    scheduler.join(sequence)
        scheduler.counters.generated_tokens += len(flight.plan.sampling)
        return self.finished

    def _sample(
        self,
        sequence: Sequence,
        sizes: tuple[int, ...],
        counted: bool,
        ends: dict[Sequence, str],
        candidates: list[Sequence],
    ) -> None:
        """One sequence learns its tokens; `counted` if the step's clock has told it one already."""
        scheduler, ledger, step = self.scheduler, self.ledger, self.flight.step
        if sequence.steady:
            return  # its clock has counted the token
        if not counted and (sequence.void >= step or sequence.promised_samples < 1):
            return  # the token was computed on a copy that failed
        entry = scheduler.of[sequence.request]
        own, *others = sizes
        room = sequence.request.limit - sequence.known_tokens + counted
        for size in others:
            known = min(size, room) - counted
            if known < 1:
                continue
            child = actions.fork(ledger, sequence, known)
            entry.name_branch(child)
            candidates.append(child)
            if entry.record.phase == Phase.RUNNING:
                scheduler.explicit[child] = None
                scheduler.replaced[child] = None
        if not counted:
            accepted = min(own, room)
            drafts = sequence.drafts
            rejected = drafts + 1 - accepted if drafts else 0
            actions.sample(ledger, sequence, step, accepted, rejected)

    def _end(self, sequence: Sequence, reason: str) -> None:
        """One branch ends, and with the last one its request."""
        scheduler, ledger = self.scheduler, self.ledger
        entry: Entry = scheduler.of[sequence.request]
        if sequence.steady:
            scheduler.leave(sequence)
        generated = sequence.known_tokens - entry.record.prompt
        output = Output(entry.branches[sequence], generated, reason)
        if entry.outputs is None:
            entry.outputs = []
        entry.outputs.append(output)
        if entry.record.width >= 2:
            actions.prune(ledger, sequence)
            scheduler.explicit.pop(sequence, None)
            scheduler.replaced.pop(sequence, None)
            del entry.branches[sequence]
            return
        scheduler.end(entry)
        scheduler.counters.finished[reason] += 1
        self.finished.append(
            Finished(entry.user.request_id, reason, tuple(entry.outputs), entry.preemptions)
        )
