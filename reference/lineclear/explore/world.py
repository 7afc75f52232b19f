"""A scheduler as a searchable system: the moves of its environment, copies, and its watchers.

Guarantees: `moves` lists every choice of the environment within the bounds; `do` carries one out and judges every
invariant after it, those of tables and those that need a history, and compares the scheduler with a device that knows
plans only. A world that was thawed is the one that was frozen.

The device runs each plan at once, and holds every access against the rule of order: no conflicting
access is left unordered, so every other order that the waits allow reads and writes the same. Whether a
copy fails is decided when it is reported, whatever ran meanwhile. Which copies may be reported, and
whose samples count, is read from the device's record and never from the ledger.

A move is a tuple of plain data, so a trace can be written down:

    ("submit", k)            the k-th shape arrives
    ("abort", k)             the k-th live request, by age, is aborted
    ("schedule",)            the next step
    ("commit", (c, ...))     the oldest step in flight; for each position of `plan.sampling`
                             "go", "stop", "fork", "fork stop" (the child ends), "stop fork" (the parent ends),
                             "prune", or "=k" for k tokens of a draft; "-" where nothing is kept
    ("complete", k)          the k-th open copy that a plan has dispatched is done
    ("fail", k)              that copy has failed
    ("reset",)               the prefix cache forgets every block
    ("hold", k)              a reader holds the k-th block that can be found, by name
    ("let_go", k)            one of those that hold the k-th block lets it go
    ("wrong", k)             the k-th report, and a request, that must be refused; `moves` never yields it, the random
                             walks of `walks.py` insert it
"""

from __future__ import annotations

import copyreg
import io
import itertools
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import repeat
from typing import Any

from lineclear.explore.bounds import SearchBounds
from lineclear.explore.orders import least, remembers, request_of, shifted, tokens_of
from lineclear.explore.output_names import OutputNames
from lineclear.explore.witnesses import Notes, noted
from lineclear.monitor.audit import audit
from lineclear.monitor.hazards import Hazards
from lineclear.monitor.liveness import Watch
from lineclear.monitor.observer import Observer
from lineclear.oracle import Oracle
from lineclear.oracle.books import has_room
from lineclear.plan import Plan
from lineclear.policies import make
from lineclear.policies.probe import reads
from lineclear.request import Rejected
from lineclear.scheduler import Scheduler
from lineclear.testing.bench import ONE, Bench, Sizes
from lineclear.testing.device import Device

Move = tuple[Any, ...]
Trace = tuple[Move, ...]
Journal = Callable[[str, tuple[Any, ...]], None]
#: Called with each plan when it is made, before anything else happens.
Executor = Callable[[Plan], object]


def again(same: repeat[Any]) -> tuple[Any, tuple[Any]]:
    """How the record of which a ledger says that it is always the same one is written down: itertools does not say."""
    return repeat, (next(same),)


def written(whole: object) -> bytes:
    """A state as bytes. What other code pickles is left as it is: a `repeat` with an end is written as one without."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, 5)
    pickler.dispatch_table = {**copyreg.dispatch_table, repeat: again}
    pickler.dump(whole)
    return buffer.getvalue()


class World:
    """One scheduler, what its environment may do, and what watches it.

    Args:
        bounds: scope.
        journal: called with every action as well, in a replay.
        executor: given every plan, in a replay.
        kind: the scheduler's class; a broken one in tests.
        watched: whether `do` raises Stalled when progress ends; do not call `freeze` on such a world.
    """

    def __init__(
        self,
        bounds: SearchBounds,
        journal: Journal | None = None,
        executor: Executor | None = None,
        kind: type[Scheduler] = Scheduler,
        *,
        watched: bool = False,
    ) -> None:
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
        config = bounds.config  # a policy that remembers nothing is not part of a frozen world
        plain = (
            None if self.remembers else make(config.scheduling_policy, dict(config.policy_options))
        )
        self.unasked = pickle.dumps(plain, 5)
        self.oracle = Oracle(self.scheduler)
        self.observer = Observer(self.scheduler.ledger)
        device = Device(bounds.config.block_size, hazards=Hazards())
        self.bench = Bench(self.scheduler, device, self.oracle)
        self.outputs: OutputNames | None = None
        if bounds.config.prefix_caching == "all":
            self.outputs = OutputNames(bounds.config.block_size)
        self.notes = Notes()
        self.arrived = 0
        self.names = 0  # submits so far, rejected ones among them: the next request has the next number as its name
        self.plan: Plan | None = None
        self.watch = Watch(self.scheduler) if watched else None
        self._step = noted(self.scheduler, self.notes)
        self._name_outputs()

    # ---- copies --------------------------------------------------------------------------------

    def freeze(self) -> bytes:
        """The state that moves change, to be thawed any number of times: without config and limits, and without the
        policy unless it remembers something.
        """
        scheduler, observer = self.scheduler, self.observer
        ledger, config, policy = scheduler.ledger, scheduler.config, scheduler.policy
        limits = ledger.limits
        observer.ended.clear()
        scheduler.cache.ask = None
        scheduler.config = scheduler.journal = ledger.journal = ledger.limits = None  # type: ignore[assignment]
        if not self.remembers:  # one that remembers is part of the state
            scheduler.adapter.policy = None  # type: ignore[assignment]
        scheduler._step = None  # type: ignore[assignment] # pyright: ignore
        self.bench.judge = None
        try:
            parts = self.arrived, self.names, self.oracle.memory, self.outputs
            whole = (scheduler, observer, self.bench, *parts)
            return written(whole)
        finally:
            scheduler.config, scheduler.adapter.policy, ledger.limits = config, policy, limits
            self._attach()

    def thaw(self, frozen: bytes) -> None:
        """Goes back to what was frozen by a world of equal bounds."""
        old = self.scheduler
        (
            self.scheduler,
            self.observer,
            self.bench,
            self.arrived,
            self.names,
            memory,
            self.outputs,
        ) = pickle.loads(frozen)
        scheduler = self.oracle.scheduler = self.scheduler
        self.oracle.memory = memory
        scheduler.config, scheduler.ledger.limits = old.config, old.ledger.limits
        if not self.remembers:
            scheduler.adapter.policy = pickle.loads(self.unasked)
        self._attach()

    def _attach(self) -> None:
        scheduler = self.scheduler
        scheduler.journal = scheduler.ledger.journal = self._told
        scheduler._step = self._step  # pyright: ignore[reportPrivateUsage]
        self.bench.judge = self.oracle
        self._name_outputs()

    def _name_outputs(self) -> None:
        """The scheduler and the oracle ask for names of output in a world that shares it."""
        if self.outputs is not None:
            self.scheduler.ask_for_names(self.outputs.following)
            self.oracle.asked = self.outputs.following

    def _told(self, name: str, arguments: tuple[Any, ...]) -> None:
        """The journal: the observer judges each action, and the notes look at it."""
        self.observer(name, arguments)
        self.notes.action(self.scheduler.ledger, name, arguments)
        if self.also is not None:
            self.also(name, arguments)

    # ---- what may happen -----------------------------------------------------------------------

    @property
    def copies(self) -> list[int]:
        """Numbers of the swaps that a plan has dispatched and whose end was not reported."""
        return self.bench.device.record.swaps()

    @property
    def findable(self) -> list[int]:
        """Names under which a block can be found."""
        return sorted(self.scheduler.ledger.cached.keys() - self.scheduler.cache.forgotten)

    @property
    def held(self) -> list[int]:
        """Names of the blocks that readers hold."""
        return sorted(self.scheduler.cache.held)

    def live(self) -> list[Any]:
        """Entries of the live requests, the oldest first."""
        return sorted(self.scheduler.entries.values(), key=lambda entry: entry.record.id)

    def moves(self) -> Iterator[Move]:
        """Every choice of the environment."""
        bounds, scheduler = self.bounds, self.scheduler
        flights = scheduler.flights
        if len(flights) < scheduler.config.max_steps_in_flight:
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
            return  # copies are reported before any request arrives or ends and before the cache changes
        if len(scheduler.entries) < bounds.live and (
            bounds.arrivals is None or self.arrived < bounds.arrivals
        ):
            for k in range(len(bounds.shapes)):
                yield ("submit", k)
        for k in range(len(self.held)):
            yield ("let_go", k)
        if scheduler.cache.held.total() < bounds.readers:
            for k in range(len(self.findable)):
                yield ("hold", k)
        if bounds.aborts:
            for k in range(len(scheduler.entries)):
                yield ("abort", k)
            if scheduler.ledger.cached:
                yield ("reset",)

    def choices(self) -> list[tuple[str, ...]]:
        """For each position of the oldest step in flight what may come of it."""
        flight = self.bench.flights[0]
        dropped = self.bench.expected(flight)
        found: list[tuple[str, ...]] = []
        for position, row in enumerate(flight.forward.sampling):
            if position in dropped:
                found.append(("-",))
                continue
            choices = ["go", *(f"={k}" for k in range(2, 2 + len(row.guesses)))]
            if self.bounds.stops:
                choices.append("stop")
            if flight.owners[position].request.n > 1:
                choices += ["fork", "prune"]
                if self.bounds.stops:
                    choices += ["fork stop", "stop fork"]
            found.append(tuple(choices))
        return found

    def _fits(self, choices: tuple[str, ...]) -> bool:
        """No request forks into more sequences than it has seats."""
        more: dict[Any, int] = {}
        for owner, choice in zip(self.bench.flights[0].owners, choices, strict=True):
            if "fork" in choice:
                more[owner] = more.get(owner, 0) + 1
            elif choice == "prune":
                more[owner] = more.get(owner, 0) - 1
        return all(len(owner.branches) + count <= owner.seats for owner, count in more.items())

    # ---- what happens --------------------------------------------------------------------------

    def do(self, move: Move) -> None:
        """Carries a move out.

        Raises:
            InvariantViolation: an invariant does not hold after it, or after one of its actions; or it is not the
            step, or not the answer, that the rules give (`oracle`).
            Stalled: progress has ended, in a world that is watched.
            ValueError: there is no such move; or a shape of the bounds is rejected although there is room: mend the
            bounds, not the scheduler.
            Exception: whatever else the scheduler raises is a finding too.
        """
        kind, *rest = move or ("",)
        handler = getattr(self, f"_do_{kind}", None)
        if handler is None:
            raise ValueError(f"{move!r} is no move: `moves` yields those that are possible")
        self.plan = None
        self.notes.begin(self.scheduler, move)
        if self.outputs is not None:
            self.outputs.look(self.bench)
        handler(*rest)
        audit(self.scheduler)
        self.observer.check()
        self.bench.agree()
        self.notes.end(self.scheduler, self.plan)
        if self.watch is not None and move[0] == "commit":
            self.watch.committed()
        elif self.watch is not None and self.plan is not None:
            self.watch.scheduled(self.plan)

    def _do_submit(self, which: int) -> None:
        shape = self.bounds.shapes[which]
        self.names += 1
        self.arrived += self.bounds.arrivals is not None
        full = not has_room(self.scheduler)
        request, tokens = request_of(shape, self.names, timed=self.timed), tokens_of(shape)
        if self.outputs is not None and tokens:
            tokens = self.outputs.prompt(tokens, self.names)
            request = replace(request, prefix_names=self.outputs.of(tokens))
        answer = self.bench.add(request, tokens)
        if isinstance(answer, Rejected) and not full:
            raise ValueError(f"{shape} is rejected: {answer.reason}; leave it out of the bounds")
        if self.watch is not None and not isinstance(answer, Rejected):
            self.watch.added(answer.request_id)

    def _do_abort(self, which: int) -> None:
        entry = self.live()[which]
        self.notes.aborted(self.scheduler, entry)
        self.bench.abort(entry.request_id)

    def _do_reset(self) -> None:
        self.scheduler.reset_prefix_cache()

    def _do_hold(self, which: int) -> None:
        name = self.findable[which]
        if self.scheduler.hold(name) is None:
            raise ValueError(f"no block is found under the name {name}")

    def _do_let_go(self, which: int) -> None:
        self.scheduler.let_go(self.held[which])

    def _do_schedule(self) -> None:
        plan = self.plan = self.bench.schedule()
        if self.executor is not None:
            self.executor(plan)

    def _do_commit(self, choices: tuple[str, ...]) -> None:
        sizes: list[Sizes] = []
        stopped: list[int | tuple[int, int]] = []
        for position, choice in enumerate(choices):
            if "fork" in choice:
                sizes.append((1, 1))
                if choice != "fork":
                    stopped.append((position, int(choice == "fork stop")))
            elif choice == "prune":
                sizes.append(())
            elif choice.startswith("="):
                sizes.append((int(choice[1:]),))
            else:
                sizes.append(ONE)
                if choice == "stop":
                    stopped.append(position)
        self.bench.commit(sizes, stopped)

    def _do_wrong(self, which: int) -> None:
        self.bench.misreport(which)
        shape = self.bounds.shapes[which % len(self.bounds.shapes)]
        self.bench.overask(request_of(shape, self.names + 1, timed=self.timed))

    def _do_complete(self, which: int) -> None:
        self.bench.report([self.copies[which]])

    def _do_fail(self, which: int) -> None:
        number = self.copies[which]
        operation = self.bench.device.record.unknown[number]
        owner = self.bench.owner(number)
        entry = None if owner is None else self.scheduler.entries.get(owner)
        if entry is not None:
            self.notes.failed(entry, operation.kind)
        self.bench.report([], [number])
