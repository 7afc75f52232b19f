"""A scheduler as a searchable system: the moves of its environment, copies, and its watchers.

Guarantees: `moves` lists every choice of the environment within the bounds; `do` carries one out
and judges every invariant after it, those of tables and those that need a history. A world that
was thawed is the one that was frozen. It knows nothing about the order of a search.

A move is a tuple of plain data, so a trace can be written down:

    ("submit", k)            the k-th shape arrives
    ("abort", k)             the k-th live request, by age, is aborted
    ("schedule",)            the next step
    ("commit", (c, ...))     the oldest step in flight; for each position of `plan.sampling`
                             "go", "stop", "fork", "fork stop" (the child ends), "prune", or "=k"
                             for k tokens of a draft; "-" where nothing is kept
    ("complete", k)          the k-th open copy that a plan has carried is done
    ("fail", k)              that copy has failed
"""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable, Iterator
from typing import Any

from lineclear.audit import audit
from lineclear.explore.bounds import Bounds
from lineclear.explore.orders import least, remembers, request_of, shifted
from lineclear.explore.witnesses import Notes, noted
from lineclear.observer import Observer
from lineclear.oracle import Oracle
from lineclear.plan import Plan
from lineclear.policies import make
from lineclear.probe import reads
from lineclear.request import Rejected
from lineclear.scheduler import Scheduler
from lineclear_spec.records import SWAP_IN, SWAP_OUT

__all__ = ["Executor", "Move", "Trace", "World"]

Move = tuple[Any, ...]
Trace = tuple[Move, ...]
Journal = Callable[[str, tuple[Any, ...]], None]
#: Told of each plan when it is made, before anything else happens.
Executor = Callable[[Plan], object]


class World:
    """One scheduler, what its environment may do, and what watches it.

    Args:
        bounds: scope.
        journal: told of every action as well, in a replay.
        executor: given every plan, in a replay.
        kind: the scheduler's class; a broken one in tests.
    """

    def __init__(
        self,
        bounds: Bounds,
        journal: Journal | None = None,
        executor: Executor | None = None,
        kind: type[Scheduler] = Scheduler,
    ) -> None:
        """Nothing is live."""
        self.bounds = bounds
        self.also = journal
        self.executor = executor
        self.scheduler = kind(bounds.config, journal=self._told)
        self.looks = reads(self.scheduler.policy) if bounds.own else frozenset[str]()
        if bounds.own:  # one that was asked nothing yet
            self.scheduler = kind(bounds.config, journal=self._told)
        self.timed = shifted(bounds.config)
        self.least = least(bounds) if self.timed else 0.0
        self.remembers = bounds.own or remembers(bounds.config)
        self.oracle = Oracle(self.scheduler)
        self.observer = Observer(self.scheduler.ledger)
        self.handlers = self.observer.handlers
        self.notes = Notes()
        self.arrived = 0
        self.names = 0
        self.plan: Plan | None = None
        self._plain_step, self._step = noted(self.scheduler, self.notes)

    # ---- copies --------------------------------------------------------------------------------

    def freeze(self) -> bytes:
        """The whole state, to be thawed any number of times."""
        scheduler, observer = self.scheduler, self.observer
        ledger, config, policy = scheduler.ledger, scheduler.config, scheduler.policy
        limits = ledger.limits
        observer.ended.clear()
        scheduler.config = scheduler.journal = ledger.journal = ledger.limits = None  # type: ignore[assignment]
        if not self.remembers:  # one that remembers is part of the state
            scheduler.policy = None  # type: ignore[assignment]
        scheduler._step = None  # type: ignore[assignment] # pyright: ignore
        observer.handlers = {}
        try:
            return pickle.dumps(
                (scheduler, observer, self.arrived, self.names, self.oracle.memory), 5
            )
        finally:
            scheduler.config, scheduler.policy, ledger.limits = config, policy, limits
            self._attach()

    def thaw(self, frozen: bytes) -> None:
        """Goes back to what was frozen by a world of equal bounds."""
        old = self.scheduler
        self.scheduler, self.observer, self.arrived, self.names, memory = pickle.loads(frozen)
        scheduler = self.oracle.scheduler = self.scheduler
        self.oracle.memory = memory
        scheduler.config, scheduler.ledger.limits = old.config, old.ledger.limits
        if not self.remembers:
            scheduler.policy = make(old.config.scheduling_policy, dict(old.config.policy_options))
        self._attach()

    def _attach(self) -> None:
        scheduler, observer = self.scheduler, self.observer
        scheduler.journal = scheduler.ledger.journal = self._told
        scheduler._step = self._step  # pyright: ignore[reportPrivateUsage]
        observer.handlers = {
            name: getattr(observer, handler.__name__) for name, handler in self.handlers.items()
        }

    def _told(self, name: str, arguments: tuple[Any, ...]) -> None:
        """The journal: the observer judges each action, and the notes look at it."""
        self.observer(name, arguments)
        self.notes.action(self.scheduler.ledger, name, arguments)
        if self.also is not None:
            self.also(name, arguments)

    # ---- what may happen -----------------------------------------------------------------------

    @property
    def copies(self) -> list[int]:
        """Numbers of the open copies that a plan has carried."""
        ledger = self.scheduler.ledger
        return [
            number
            for number, operation in ledger.operations.items()
            if operation.kind in (SWAP_OUT, SWAP_IN) and number <= ledger.carried
        ]

    def live(self) -> list[Any]:
        """Entries of the live requests, the oldest first."""
        return sorted(self.scheduler.entries.values(), key=lambda entry: entry.record.id)

    def moves(self) -> Iterator[Move]:
        """Every choice of the environment."""
        bounds, scheduler = self.bounds, self.scheduler
        flights = scheduler.flights
        if len(flights) < scheduler.config.depth:
            yield ("schedule",)
        if flights:
            for choices in itertools.product(*self.choices()):
                if self._fits(choices):
                    yield ("commit", choices)
        copies = self.copies
        for k in range(len(copies)):
            yield ("complete", k)
            if bounds.fails:
                yield ("fail", k)
        if not bounds.late and copies:
            return  # nothing else happens before they are told of
        if len(scheduler.entries) < bounds.live and (
            bounds.arrivals is None or self.arrived < bounds.arrivals
        ):
            for k in range(len(bounds.shapes)):
                yield ("submit", k)
        if bounds.aborts:
            for k in range(len(scheduler.entries)):
                yield ("abort", k)

    def choices(self) -> list[tuple[str, ...]]:
        """For each position of the oldest step in flight what may come of it."""
        flight = self.scheduler.flights[0]
        found: list[tuple[str, ...]] = []
        for position, row in enumerate(flight.plan.sampling):
            sequence = flight.sequence(position)
            if not flight.counts(sequence):
                found.append(("-",))
                continue
            choices = ["go", *(f"={k}" for k in range(2, 2 + row.drafts))]
            if self.bounds.stops:
                choices.append("stop")
            if sequence.request.parallel > 1:
                choices += ["fork", "prune"]
                if self.bounds.stops:
                    choices.append("fork stop")
            found.append(tuple(choices))
        return found

    def _fits(self, choices: tuple[str, ...]) -> bool:
        """No request forks into more sequences than it may have."""
        flight = self.scheduler.flights[0]
        more: dict[Any, int] = {}
        for position, choice in enumerate(choices):
            request = flight.sequence(position).request
            if choice.startswith("fork"):
                more[request] = more.get(request, 0) + 1
            elif choice == "prune":
                more[request] = more.get(request, 0) - 1
        return all(
            not request.width or request.width + count <= request.parallel
            for request, count in more.items()
        )

    # ---- what happens --------------------------------------------------------------------------

    def do(self, move: Move) -> None:
        """Carries a move out.

        Raises:
            Violation: an invariant does not hold after it, or after one of its actions; or it is not the
            step, or not the answer, that the rules give (`oracle`).
            Exception: whatever else the scheduler raises is a finding too.
        """
        self.plan = None
        self.notes.begin(self.scheduler, move)
        getattr(self, f"_{move[0]}")(*move[1:])
        audit(self.scheduler)
        self.observer.check()
        self.notes.end(self.scheduler, self.plan)

    def _submit(self, which: int) -> None:
        shape = self.bounds.shapes[which]
        self.names += 1
        self.arrived += self.bounds.arrivals is not None
        answer = self.oracle.add(request_of(shape, self.names, timed=self.timed))
        if isinstance(answer, Rejected):
            raise ValueError(f"{shape} is rejected: {answer.reason}; leave it out of the bounds")

    def _abort(self, which: int) -> None:
        entry = self.live()[which]
        self.notes.aborted(self.scheduler, entry)
        self.oracle.abort(entry.name)

    def _schedule(self) -> None:
        plan = self.plan = self.oracle.schedule()
        if self.executor is not None:
            self.executor(plan)

    def _commit(self, choices: tuple[str, ...]) -> None:
        flight = self.scheduler.flights[0]
        sampled: list[Any] = []
        stopped: list[Any] = []
        for position, choice in enumerate(choices):
            if choice.startswith("fork"):
                sampled.append([[0], [0]])
                if choice == "fork stop":
                    stopped.append((position, 1))
            elif choice == "prune":
                sampled.append([])
            elif choice.startswith("="):
                sampled.append([[0] * int(choice[1:])])
            else:
                sampled.append([[0]])
                if choice == "stop":
                    stopped.append(position)
        self.oracle.commit(flight.plan, sampled, stopped)

    def _complete(self, which: int) -> None:
        self.oracle.complete([self.copies[which]])

    def _fail(self, which: int) -> None:
        number = self.copies[which]
        operation = self.scheduler.ledger.operations[number]
        record = operation.request
        entry = None if record is None or record.copy != number else self.scheduler.of.get(record)
        if entry is not None:
            self.notes.failed(entry, operation.kind)
        self.oracle.complete([], [number])
