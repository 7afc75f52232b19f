# pyright: basic
"""Scheduler, pools and copies under memory pressure, with tags instead of a model.

Guarantees: the same seed makes the same choices on any device; a run ends without a wrong tag, or
reports the first one by request, step and count.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

import torch

from lineclear.config import Config
from lineclear.monitor.audit import audit
from lineclear.monitor.hazards import Hazards
from lineclear.plan import BlockOperation, Plan
from lineclear.request import Accepted, Rejected, Request
from lineclear.scheduler import Scheduler
from lineclear_gpu.batch import Batch
from lineclear_gpu.block_names import BlockNames
from lineclear_gpu.book import Book
from lineclear_gpu.executor import Executor
from lineclear_gpu.graphs import Graphs
from lineclear_gpu.pool import KVPool
from lineclear_gpu.shape import KVShape
from lineclear_gpu.streams import Streams
from lineclear_gpu.tag_load import EventCounts, Load, pressure
from lineclear_gpu.tags import TagRunner
from lineclear_gpu.transfer import Transfer

__all__ = ["EventCounts", "FailingTransfer", "Load", "TagRun", "WrongTag", "pressure"]


class WrongTag(AssertionError):
    """A row read KV that is not its own."""


class FailingTransfer(Transfer):
    """Copies, some of which raise.

    Args:
        pool: both pools.
        fails: asked before each copy.
    """

    def __init__(self, pool: KVPool, fails: Callable[[], bool]) -> None:
        super().__init__(pool)
        self.fails = fails

    def _copy(self, source: torch.Tensor, target: torch.Tensor, pairs: Any) -> int:
        if self.fails():
            raise RuntimeError("this copy fails by design of the test")
        return super()._copy(source, target, pairs)


@dataclass(slots=True)
class TaggedFlight:
    """A plan in flight."""

    plan: Plan
    batch: Batch
    names: list[tuple[Hashable, int]]  # of its rows
    lives: list[int]  # of its rows
    launch: int  # number of the plan, from 1


class TagRun:
    """One run.

    Args:
        config: the scheduler's settings.
        seed: seed of every choice.
        device: device of the pool.
        shape: what a block holds; two small layers if None.
        load: what users do.
        streams: where operations run; default: those of the device.
        check: whether to check every invariant and the access order in each step.
        wait: replaces the wait of an operation, in tests that remove one.
        graphs: records steps, None to launch kernel by kernel.
        poison: steps between overwriting unreadable blocks with NaN, 0 for never.
    """

    def __init__(
        self,
        config: Config,
        seed: int = 0,
        *,
        device: str = "cpu",
        shape: KVShape | None = None,
        load: Load | None = None,
        streams: Streams | None = None,
        check: bool = True,
        wait: Callable[[BlockOperation], int] | None = None,
        poison: int = 1,
        graphs: Graphs | None = None,
    ) -> None:
        """Starts without requests."""
        self.config = config
        self.seed = seed
        self.random = random.Random(seed)
        self.load = load or Load()
        self.scheduler = Scheduler(config)
        shape = shape or KVShape(2, 1, 4, config.block_size)
        self.pool = KVPool(shape, config.num_gpu_blocks, config.num_cpu_blocks, device)
        self.book = Book(config.block_size, config.max_model_len)
        self.tags = TagRunner(
            self.pool, self.book, seed, graphs, config.max_num_seqs, config.max_num_batched_tokens
        )
        self.hazards = Hazards() if check else None
        load = self.load
        transfer = FailingTransfer(self.pool, lambda: self.random.random() < load.fail)
        self.executor = Executor(self.pool, streams, transfer, self.hazards, wait)
        self.poison = poison
        self.figures = EventCounts()
        self.flights: deque[TaggedFlight] = deque()
        self.launches = 0
        # A copy is of the life it was launched for: when its failure is reported, the id may be another's.
        self.copies: dict[int, tuple[int | None, int]] = {}  # open copy -> life, launch
        self.excused: dict[int, list[tuple[int, int]]] = {}  # life -> first and last launch
        self.life = 0
        self.lives: dict[Hashable, int] = {}
        self.made: dict[Hashable, int] = {}  # branches that a request ever had
        caching = config.prefix_caching != "off"
        self.names = BlockNames(self.scheduler, self.book) if caching else None
        self.roots: dict[Hashable, int] = {}  # what the tags of a request that shares begin from
        self.said: deque[list[int]] = deque(maxlen=12)  # prompts, and sequences that ended
        self._wrong: list[tuple[TaggedFlight, torch.Tensor]] = []

    # ---- the users -----------------------------------------------------------------------------

    def _ask(self) -> None:
        """Keeps some requests waiting; aborts one now and then."""
        draw, load, config = self.random, self.load, self.config
        while len(self.scheduler.ledger.waiting) < load.waiting:
            self.life += 1
            name = self.life % (4 * config.max_num_seqs + load.waiting)  # ids are reused
            if name in self.scheduler.entries:
                continue
            n = draw.choice((2, 3)) if draw.random() < load.groups else 1
            prompt = draw.randint(1, load.prompt)
            request = Request(
                request_id=name,
                prompt_tokens=prompt,
                max_tokens=draw.randint(1, load.output),
                n=n,
                priority=draw.randint(0, 2),
                may_fork_later=n > 1 and self.life % 2 == 0,
            )
            tokens = None if self.names is None else self._prompt(prompt)
            if self._add(request, tokens or []):
                lane = self.book.add(name, tokens or self._prompt(prompt))
                self.tags.lane(lane, self.life, 0, self.roots.get(name))
                self.lives[name] = self.life
                self.made[name] = 1
                if tokens is not None:
                    self.said.append(tokens)
        if self.names is not None and draw.random() < load.reset:
            self.names.reset()
            self.figures.events["reset"] += 1
        if self.scheduler.entries and draw.random() < load.abort:
            self._abort(draw.choice(list(self.scheduler.entries)))

    def _prompt(self, length: int) -> list[int]:
        """The tokens of a prompt; with prefix caching often a beginning that was there before."""
        draw = self.random
        begin: list[int] = []
        if self.said and draw.random() < self.load.shared:
            begin = draw.choice(self.said)[: draw.randint(1, length)]
        return begin + [draw.randrange(1 << 20) for _ in range(length - len(begin))]

    def _add(self, request: Request, tokens: list[int]) -> Accepted | Rejected:
        """Submits a request; with prefix caching under a salt, or without sharing blocks."""
        draw, load = self.random, self.load
        if self.names is None or draw.random() < load.private:
            return self.scheduler.add(request)
        salt = draw.randrange(load.salts)
        name = request.request_id
        self.roots[name] = -1 - salt

        def submit(names: tuple[int, ...]) -> Accepted | Rejected:
            return self.scheduler.add(replace(request, prefix_names=names))

        return self.names.add(name, tokens, salt, submit)

    def _abort(self, name: Hashable) -> None:
        """Aborts a request."""
        self.scheduler.abort(name)
        self._forget(name)
        self.figures.events["abort"] += 1

    def _forget(self, name: Hashable) -> None:
        """Deletes all state of a request."""
        if self.names is not None:
            lanes = [b for b in range(self.made[name]) if (name, b) in self.book.lane]
            self.said.append(self.book.history(name, self.random.choice(lanes)))
            self.names.end(name)
            self.roots.pop(name, None)
        self.book.drop_request(name, range(self.made.pop(name)))
        del self.lives[name]

    # ---- steps ---------------------------------------------------------------------------------

    def run(self, steps: int, on_step: Callable[[], object] = lambda: None) -> EventCounts:
        """Runs this many more steps; whatever it raises names the seed and the settings.

        Raises:
            WrongTag: a row read KV that is not its own.
            InvariantViolation: an invariant does not hold.
            Hazard: two conflicting accesses are unordered.
        """
        try:
            self._run(steps, on_step)
        except Exception as error:
            error.add_note(f"seed {self.seed}, {self.load}, {self.config}")
            raise
        return self.figures

    def _run(self, steps: int, on_step: Callable[[], object]) -> None:
        until = self.figures.steps + steps
        while self.figures.steps < until:
            self._ask()
            if len(self.flights) < self.config.max_steps_in_flight:
                self._launch()
            if len(self.flights) >= self.config.max_steps_in_flight or not self._more():
                self._commit()
                on_step()
            self._report(*self.executor.poll())
        while self.flights:
            self._commit()
        self._report(*self.executor.drain())
        self._look()
        if self.names is not None:
            counters = self.scheduler.counters
            self.figures.events["hits"] = counters.prefix_hits
            self.figures.events["evict"] = counters.evicted

    def _more(self) -> bool:
        """Whether to launch another step before the oldest is committed."""
        return bool(self.flights) and self.random.random() < 0.5

    def _launch(self) -> None:
        """Launches the next plan."""
        plan = self.scheduler.schedule()
        batch = self.book.batch(plan)
        events = self.figures.events
        for _, mode in plan.preempted:
            events[mode] += 1
        events["copy"] += len(plan.blocks_to_copy)
        forward = self.tags.prepare(batch) if plan.step is not None else None
        touched = self.book.accesses(batch) if self.hazards is not None else ()
        self.executor.launch(plan, forward, touched)
        self.launches += 1
        for operation in plan.operations:
            if operation.kind in ("swap_out", "swap_in"):
                life = self.lives.get(operation.request_id)
                self.copies[operation.number] = (life, self.launches)
        if plan.step is not None:
            names = [(row.request_id, row.branch) for row in plan.scheduled_seq_groups]
            lives = [self.lives[name] for name, _ in names]
            self.flights.append(TaggedFlight(plan, batch, names, lives, self.launches))
        elif not self.flights:
            self._report(*self.executor.drain())  # nothing else is running meanwhile
        if self.hazards is not None:
            audit(self.scheduler)

    def _report(self, done: list[int], failed: list[int]) -> None:
        """Reports copies to the scheduler."""
        if not done and not failed:
            return
        for number in done:
            del self.copies[number]
        for number in failed:
            life, first = self.copies.pop(number)
            if life is not None:
                self.excused.setdefault(life, []).append((first, self.launches))
        reset = self.scheduler.complete([*done, *failed], failed)
        self.figures.events["failed"] += len(reset)

    def _commit(self) -> None:
        """Commits the oldest step in flight."""
        if not self.flights:
            return
        flight = self.flights.popleft()
        self._report(*self.executor.wait_for(flight.plan))
        tokens, wrong = self.executor.result(flight.plan)
        self._wrong.append((flight, wrong))
        if self.pool.device.type == "cpu" or len(self._wrong) >= 256:
            self._look()
        self._decide(flight, tokens.tolist())
        self.figures.steps += 1
        self.figures.rows += len(flight.names)
        self.figures.slots += int((flight.batch.context_lens - flight.batch.lengths).sum())
        if self.hazards is not None:
            audit(self.scheduler)
        if self.poison and self.figures.steps % self.poison == 0:
            self._poison()

    def _decide(self, flight: TaggedFlight, tokens: list[int]) -> None:
        """Forks, prunes and stops, decided from the tokens."""
        draw, load, scheduler = self.random, self.load, self.scheduler
        plan = flight.plan
        dropped = set(scheduler.dropped(plan))
        sampled: list[Any] = []
        stopped: list[int] = []
        more: Counter[Hashable] = Counter()
        learned: list[tuple[Hashable, int, list[int]]] = []
        for position, row in enumerate(plan.sampling):
            name, token = row.request_id, tokens[position]
            entry = scheduler.entries.get(name)
            alive = entry is not None and (name, row.branch) in self.book.lane
            if position in dropped or not alive or entry is None:
                sampled.append(token)
                continue
            width = entry.record.width + more[name]
            room = entry.seats - width
            new = [token]
            if room > 0 and draw.random() < load.fork:
                new += [draw.randrange(1 << 20) for _ in range(draw.randint(1, room))]
            elif width > 1 and draw.random() < load.prune:
                new = []
                self.figures.events["prune"] += 1
            more[name] += len(new) - 1
            sampled.append([[each] for each in new])
            learned.append((name, row.branch, new))
            if new and draw.random() < load.stop:
                stopped.append(position)
        finished = scheduler.commit(plan, sampled, stopped)
        for name, branch, new in learned:
            for token in new[1:]:
                child = self.made[name]
                self.made[name] += 1
                lane = self.book.fork(name, branch, child)
                self.book.learn(lane, [token])
                self.tags.lane(lane, self.lives[name], child, self.roots.get(name))
                self.figures.events["fork"] += 1
            if new:
                self.book.learn(self.book.lane[name, branch], new[:1])
        for ended in finished:
            self._forget(ended.request_id)
            self.figures.events["finished"] += 1
        for name in dict.fromkeys(name for name, _, _ in learned):
            entry = scheduler.entries.get(name)
            if entry is not None and name in self.lives:
                living = {entry.branch(sequence) for sequence in entry.record.members}
                for other in range(self.made[name]):
                    if other not in living and (name, other) in self.book.lane:
                        self.book.drop(name, other)

    # ---- checks --------------------------------------------------------------------------------

    def _look(self) -> None:
        """Reads the results of the device.

        A row may read what a failed copy left only from the plan that carried the copy up to the
        last plan before the failure was reported.
        """
        for flight, wrong in self._wrong:
            if not bool(wrong.any()):
                continue
            for row, count in enumerate(wrong.tolist()):
                if not count:
                    continue
                spans = self.excused.get(flight.lives[row], ())
                if any(first <= flight.launch <= last for first, last in spans):
                    self.figures.events["excused"] += 1
                    continue
                name, branch = flight.names[row]
                who = f"step {flight.plan.step}: request {name!r}, branch {branch}"
                raise WrongTag(f"{who} read {count} slots whose content is not its own")
        self._wrong.clear()

    def _poison(self) -> None:
        """Overwrites blocks that are free and that no open operation may touch."""
        ledger = self.scheduler.ledger
        gpu = ledger.gpu
        quiet = [
            block_id for block_id in gpu.order[: gpu.free] if gpu.last_use[block_id] <= ledger.done
        ]
        self.pool.poison(quiet)  # done before any other launch, so it needs no wait
