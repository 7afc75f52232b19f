"""A scheduler under memory pressure on a test device; users and copies do all they may.

Guarantees: the same settings, seed and order make the same calls; after each call every invariant
is recomputed and the scheduler is compared with the device. Runs are sampled, not exhaustive.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace

from lineclear.config import Config
from lineclear.monitor.audit import audit
from lineclear.monitor.hazards import Hazards
from lineclear.monitor.liveness import Watch
from lineclear.monitor.observer import Observer
from lineclear.oracle import Oracle
from lineclear.request import Rejected, Request
from lineclear.scheduler import Scheduler
from lineclear.testing.bench import ONE, Bench, BenchFlight, Sizes
from lineclear.testing.device import Device
from lineclear.testing.operations import Order

__all__ = ["Habits", "Pressure", "with_drafts"]


def with_drafts(config: Config) -> Config:
    """The same with drafts, if these rules take any."""
    drafts = 2
    most = max(config.max_num_batched_tokens, config.max_num_seqs * (1 + drafts))
    return replace(config, num_lookahead_slots=drafts, max_num_batched_tokens=most)


@dataclass(frozen=True, slots=True)
class Habits:
    """How often users and copies do something.

    Attributes:
        live: number of live requests to keep up.
        prompt: maximum tokens of a prompt.
        output: maximum tokens to generate.
        groups: share of requests with several sequences.
        fork: probability that a sequence forks when its request has room for another.
        prune: probability that a sequence of several is pruned.
        stop: probability that a continuation stops.
        abort: probability that a request is aborted, before a step.
        fail: probability that a copy fails.
        report: probability that a copy is reported, after a step.
        too_large: probability that a request is one token too large.
        wrong: probability of an invalid report, after a step.
    """

    live: int = 6
    prompt: int = 12
    output: int = 9
    groups: float = 0.3
    fork: float = 0.5
    prune: float = 0.05
    stop: float = 0.05
    abort: float = 0.04
    fail: float = 0.15
    report: float = 0.5
    too_large: float = 0.1
    wrong: float = 0.1


class Pressure:
    """One run.

    Args:
        scheduler: the scheduler to run, without live requests.
        order: how the device orders operations that waits leave unordered.
        seed: seed of every choice.
        habits: habits of users and copies.
        hazards: whether to check the order of every access as well.
        judge: receives the scheduler's calls and judges them; None for none.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        order: Order,
        seed: int,
        habits: Habits | None = None,
        *,
        hazards: bool = False,
        judge: Oracle | None = None,
    ) -> None:
        """Starts without requests."""
        self.scheduler = scheduler
        self.config: Config = scheduler.config
        self.random = random.Random(seed)
        self.habits = habits or Habits()
        device = Device(self.config.block_size, order, Hazards() if hazards else None)
        self.bench = Bench(scheduler, device, judge)
        self.observer = Observer(scheduler.ledger)
        self.watch = Watch(scheduler)
        self.before = scheduler.journal
        scheduler.journal = scheduler.ledger.journal = self._note
        self.made = 0
        self.moves: list[str] = []
        self.seen: Counter[str] = Counter()

    def _note(self, name: str, arguments: tuple[object, ...]) -> None:
        self.before(name, arguments)
        self.seen[name] += 1
        self.observer(name, arguments)

    def check(self) -> None:
        """Checks every invariant, and that scheduler and device agree."""
        audit(self.scheduler)
        self.observer.check()
        self.bench.agree()

    # ---- one turn ------------------------------------------------------------------------------

    def run(self, turns: int) -> None:
        """Runs this many turns: arrivals, perhaps an abort, steps, reports.

        Raises:
            AssertionError: a check failed.
        """
        for _ in range(turns):
            self.turn()

    def turn(self) -> None:
        """Users act, then a step is made or committed, then copies may be reported."""
        draw, habits, bench = self.random, self.habits, self.bench
        while len(bench.live) < habits.live:
            self._ask()
        if draw.random() < habits.abort:
            name = draw.choice(list(bench.live))
            self.moves.append(f"abort {name}")
            bench.abort(name)
            self.check()
        if len(bench.flights) < self.config.max_steps_in_flight:
            plan = bench.schedule()
            self.moves.append(f"schedule: step {plan.step}, {[str(o) for o in plan.operations]}")
            self.check()
            self.watch.scheduled(plan)
            if plan.step is None and not bench.flights:
                self._report(always=True)  # nothing else happens before
        if bench.flights and (
            len(bench.flights) == self.config.max_steps_in_flight or draw.random() < 0.5
        ):
            self._commit()
        self._report()
        if draw.random() < habits.wrong:
            self.bench.misreport(draw.randrange(8))
            self.check()

    def end(self, turns: int = 600) -> bool:
        """No more arrivals or failures; returns whether all requests end within this many turns."""
        for _ in range(turns):
            if not self.bench.live and not self.bench.flights:
                break
            if len(self.bench.flights) < self.config.max_steps_in_flight:
                self.watch.scheduled(self.bench.schedule())
                self.check()
            if self.bench.flights:
                self.bench.commit()
                self.check()
                self.watch.committed()
            self._report(always=True, fail=0.0)
        self._report(always=True, fail=0.0)
        return not self.bench.live

    def _ask(self) -> None:
        draw, habits, config = self.random, self.habits, self.config
        n = min(draw.choice((2, 3)), config.max_num_seqs) if draw.random() < habits.groups else 1
        prompt, most = draw.randint(1, habits.prompt), draw.randint(1, habits.output)
        if draw.random() < habits.too_large:
            most = self._least_too_large(prompt, n)
        self.made += 1
        request = Request(
            request_id=self.made % (4 * habits.live) if draw.random() < 0.5 else f"r{self.made}",
            prompt_tokens=prompt,
            max_tokens=most,
            n=n,
            priority=draw.randint(0, 2),
            tenant=f"client {self.made % 3}",
            may_fork_later=n > 1 and self.made % 2 == 0,
        )
        if request.request_id in self.bench.live:
            return
        answer = self.bench.add(request)
        if not isinstance(answer, Rejected):
            self.watch.added(request.request_id)
        word = "rejected" if isinstance(answer, Rejected) else "submit"
        self.moves.append(
            f"{word} {request.request_id!r}: prompt {prompt}, at most {most} tokens, n {n}"
        )
        self.check()

    def _least_too_large(self, prompt: int, n: int) -> int:
        """Tokens to generate of the shortest request that no longer fits because of its blocks."""
        config = self.config
        size = config.block_size
        shared = prompt // size
        positions = ((config.num_gpu_blocks - shared) // n + shared) * size
        return max(1, positions + 2 - prompt)

    def _commit(self) -> None:
        flight = self.bench.flights[0]
        sizes, stopped = self._choose(flight)
        self.moves.append(f"commit step {flight.plan.step}: {sizes}, stopped {stopped}")
        self._fail_some(flight)
        self.bench.commit(sizes, stopped)
        self.check()
        self.watch.committed()

    def _fail_some(self, flight: BenchFlight) -> None:
        """Lets some copies that the forward waits for fail before it runs."""
        record = self.bench.device.record
        needed = record.needed(flight.forward.number)
        for number in record.swaps():
            if number in needed and self.random.random() < self.habits.fail:
                self.bench.device.spoil(number)
                self.moves.append(f"copy {number} fails")

    def _choose(self, flight: BenchFlight) -> tuple[list[Sizes], list[int | tuple[int, int]]]:
        """Chooses forks, prunes and stops."""
        draw, habits = self.random, self.habits
        room = self.bench.room(flight)
        alive: Counter[object] = Counter()
        sizes: list[Sizes] = []
        stopped: list[int | tuple[int, int]] = []
        for position, row in enumerate(flight.forward.sampling):
            live = flight.owners[position]
            alive[live] += 0
            accepted = draw.randint(0, len(row.guesses))
            size: Sizes = (1 + accepted,)
            if room[live] > 0 and draw.random() < habits.fork:
                others = draw.randint(1, room[live])
                room[live] -= others
                size = (1, *ONE * others)
            elif len(live.branches) + alive[live] > 1 and draw.random() < habits.prune:
                alive[live] -= 1
                size = ()
            sizes.append(size)
            for k in range(len(size)):
                if draw.random() < habits.stop:
                    stopped.append((position, k) if len(size) > 1 else position)
        return sizes, stopped

    def _report(self, *, always: bool = False, fail: float | None = None) -> None:
        """Copies end in any order; some are reported."""
        draw, device = self.random, self.bench.device
        chance = self.habits.fail if fail is None else fail
        for number in device.record.swaps():
            ends = always or device.record.has_run(number) or draw.random() < self.habits.report
            if ends and draw.random() < chance:
                device.spoil(number)
        ended = [n for n in device.record.swaps() if always or draw.random() < self.habits.report]
        draw.shuffle(ended)
        for number in ended:
            if number in device.record.unknown:
                failed = number in device.record.failed
                self.moves.append(f"report {number}{' failed' if failed else ''}")
                self.bench.report(() if failed else (number,), (number,) if failed else ())
                self.check()
