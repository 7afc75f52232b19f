"""The real scheduler under memory pressure, for Hypothesis, on a device of the test.

After every call the invariants are recomputed (`audit` and `observer`), and the scheduler is compared with
the bench: a device that knows plans only and runs what their waits leave open in an order that Hypothesis
chooses, and a model of what a user sees. The model says what is accepted, who is live, how many tokens
each branch has and who is finished.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from typing import Any

import numpy as np
import pytest
from device_orders import ORDERS, order_named
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from kv_replay import kv_of_a_journal

from lineclear.config import Config
from lineclear.journal.memory import Ring
from lineclear.monitor.audit import audit
from lineclear.monitor.hazards import Hazards
from lineclear.monitor.observer import Observer
from lineclear.oracle import Oracle
from lineclear.plan import Plan
from lineclear.policies import Policy
from lineclear.request import InvalidRequest, Request
from lineclear.scheduler import Scheduler
from lineclear.testing.bench import Bench, BenchFlight, BenchRequest, Sizes
from lineclear.testing.device import Device

SIZE = 4
#: Of so many examples the journal of one is done again for the theorem of KV.
KV_EVERY = 8
TOTALS: Counter[str] = Counter()


class World:
    """Scheduler, device and model."""

    replays = True  # the journal of some, for the theorem of KV
    stops = 0.02  # how often a continuation is the last

    def __init__(
        self, config: Config, seed: int, policy: Policy | None = None, order: str = "random"
    ) -> None:
        self.config = config
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.ring = Ring(1 << 20)
        self.seed = seed
        self.scheduler = Scheduler(config, policy, journal=self.note)
        self.observer = Observer(self.scheduler.ledger)
        self.device = Device(config.block_size, order_named(order, seed), Hazards())
        # Judges every call; of a policy that means harm no copy can be asked.
        oracle = Oracle(self.scheduler) if policy is None else None
        self.bench = Bench(self.scheduler, self.device, oracle)

    @property
    def live(self) -> dict[Any, BenchRequest]:
        return self.bench.live

    @property
    def flights(self) -> deque[BenchFlight]:
        return self.bench.flights

    @property
    def copies(self) -> list[int]:
        return self.device.record.swaps()

    def note(self, name: str, arguments: tuple[object, ...]) -> None:
        self.counts[name] += 1
        self.ring(name, arguments)
        self.observer(name, arguments)

    def check(self) -> None:
        audit(self.scheduler)
        self.observer.check()
        self.bench.agree()
        stats = self.scheduler.stats()
        phases = ("running", "waiting", "swapped")
        assert sum(stats[f"num_requests_{name}"] for name in phases) == len(self.live)

    # ---- what a user does ----------------------------------------------------------------------

    def add(self, prompt: int, most: int, n: int, priority: int, name: int) -> None:
        request = Request(
            request_id=name,
            prompt_tokens=prompt,
            max_tokens=most,
            n=n,
            priority=priority,
            may_fork_later=n > 1 and prompt % 2 == 0,
        )
        if name in self.live:
            with pytest.raises(InvalidRequest):
                self.scheduler.add(request)
            return
        self.bench.add(request)

    def abort(self, name: int) -> None:
        self.bench.abort(name)

    # ---- what an executor does -----------------------------------------------------------------

    def schedule(self) -> Plan:
        plan = self.bench.schedule()
        rows = list(plan.scheduled_seq_groups)
        assert (plan.step is None) == (not rows)
        if plan.step is None:
            assert self.bench.called.commit(plan, []) == []
            return plan
        assert sum(row.tokens for row in rows) == plan.num_batched_tokens
        assert plan.num_batched_tokens <= self.config.max_num_batched_tokens
        assert [row.prefill for row in rows] == sorted((r.prefill for r in rows), reverse=True)
        assert plan.num_prefill_groups == sum(row.prefill for row in rows)
        return plan

    def continuations(self, live: BenchRequest, drafts: int, room: int) -> Sizes:
        """Mostly one; a request that may have branches forks or prunes now and then."""
        own = 1 + self.random.randint(0, drafts)
        if live.request.n > 1:
            draw = self.random.random()
            if room > 0 and draw < 0.6:
                return (own, *[1] * min(room, self.random.randint(1, 2)))
            if draw > 0.96:
                return ()
        return (own,)

    def commit(self) -> None:
        """Answers the oldest step; the bench says what must come of it."""
        flight = self.flights[0]
        room = self.bench.room(flight)
        sizes: list[Sizes] = []
        for live, row in zip(flight.owners, flight.forward.sampling, strict=True):
            chosen = self.continuations(live, len(row.guesses), room[live])
            room[live] -= max(len(chosen) - 1, 0)
            sizes.append(chosen)
        stopped: list[int | tuple[int, int]] = [
            (k, self.random.randrange(len(size))) if len(size) > 1 else k
            for k, size in enumerate(sizes)
            if self.random.random() < self.stops
        ]
        self.bench.commit(sizes, stopped, self.answer)

    def answer(self, plan: Plan, given: list[list[list[int]]]) -> Any:
        """The same in each form that `commit` takes."""
        if all([len(a) for a in answers] == [1] for answers in given):
            form = self.random.randrange(3)
            if form == 0:
                return [answers[0][0] for answers in given]
            if form == 1:
                return np.array([answers[0][0] for answers in given], np.int64)
        names = [(row.request_id, row.branch) for row in plan.sampling]
        if self.random.random() < 0.2 and len(set(names)) == len(names):
            return dict(zip(names, given, strict=True))
        return given

    def complete(self, count: int, failing: bool) -> None:
        """Copies end in any order; some fail, while that can still be reported."""
        copies = self.copies
        self.random.shuffle(copies)
        for number in copies[:count]:
            failed = failing and self.random.random() < 0.5
            self.bench.report(() if failed else (number,), (number,) if failed else ())


CONFIGS = st.builds(
    Config,
    num_gpu_blocks=st.integers(9, 14),
    num_cpu_blocks=st.sampled_from([0, 5, 8, 8, 20]),
    block_size=st.just(SIZE),
    max_num_seqs=st.integers(4, 6),
    max_num_batched_tokens=st.sampled_from([18, 36, 64]),
    max_model_len=st.sampled_from([36, 60]),
    enable_chunked_prefill=st.booleans(),
    num_lookahead_slots=st.sampled_from([0, 0, 2]),
    watermark=st.sampled_from([0.0, 0.1]),
    scheduling_policy=st.sampled_from(["fcfs", "priority"]),
    preemption_mode=st.sampled_from(["swap", "swap", "swap", "recompute", "by_length", "auto"]),
    swap_threshold=st.just(12),
    victim=st.sampled_from(["last", "lowest_priority", "longest", "newest"]),
    max_waiting=st.sampled_from([None, None, 5]),
    max_steps_in_flight=st.sampled_from([1, 2]),
    max_bypasses=st.sampled_from([0, 0, 2]),
    swapped_first=st.booleans(),
)
REQUESTS = st.tuples(
    st.one_of(st.integers(1, 9), st.integers(1, 24)),
    st.integers(4, 24),
    st.sampled_from([1, 1, 1, 2, 3]),
    st.integers(0, 2),
    st.integers(0, 15),
)


class Machine(RuleBasedStateMachine):
    """Requests come and go; the pool is full from the start."""

    world: World

    @initialize(
        config=CONFIGS,
        seed=st.integers(0, 1 << 16),
        first=st.lists(REQUESTS, min_size=6, max_size=10),
        order=st.sampled_from(list(ORDERS)),
    )
    def start(
        self,
        config: Config,
        seed: int,
        first: list[tuple[int, int, int, int, int]],
        order: str,
    ) -> None:
        self.world = World(config, seed, order=order)
        for request in first:
            self.world.add(*request)
        for _ in range(4):
            self.turn(True)

    @rule(request=REQUESTS)
    def add(self, request: tuple[int, int, int, int, int]) -> None:
        self.world.add(*request)
        self.world.check()

    @rule(name=st.integers(0, 15), likely=st.integers(0, 2))
    def abort(self, name: int, likely: int) -> None:
        if likely == 0:
            self.world.abort(name)
            self.world.check()

    @rule(count=st.integers(1, 4), eager=st.booleans())
    def turns(self, count: int, eager: bool) -> None:
        for _ in range(count):
            self.turn(eager)

    def turn(self, eager: bool) -> None:
        """One step more; `eager` commits at once, otherwise a second step may be in flight."""
        world = self.world
        if len(world.flights) < world.config.max_steps_in_flight:
            world.schedule()
            world.check()
        if world.flights and (eager or len(world.flights) == world.config.max_steps_in_flight):
            world.commit()
            world.check()

    @rule(count=st.integers(1, 5), failing=st.booleans())
    def complete(self, count: int, failing: bool) -> None:
        self.world.complete(count, failing)
        self.world.check()

    def teardown(self) -> None:
        """Everything that was accepted comes to its end, and nothing is kept."""
        if not hasattr(self, "world"):
            return
        world = self.world
        for _ in range(600):
            if not world.live and not world.flights:
                break
            world.complete(len(world.copies), failing=world.random.random() < 0.2)
            self.turn(True)
        assert not world.live, "it never ends"
        ledger = world.scheduler.ledger
        assert ledger.gpu.free == ledger.gpu.total
        assert ledger.cpu.free == ledger.cpu.total
        assert not world.scheduler.of
        assert not world.scheduler.batch.explicit
        TOTALS.update(world.counts)
        if world.replays and world.seed % KV_EVERY == 0:
            wrong, asked = kv_of_a_journal(world.ring, ledger.limits)
            assert wrong == []
            TOTALS["tokens of the theorem of KV"] += asked
