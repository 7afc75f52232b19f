"""The cost of a step under each policy, with many requests running and many more waiting.

Guarantees: all policies see the same requests, and the two that a ratio compares run alternately
in one process. The executor is a loop that samples one token per step.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Iterator
from typing import Any

from lineclear.config import Config
from lineclear.policies import BUILT_IN
from lineclear.request import Request
from lineclear.scheduler import Scheduler

BLOCK_SIZE = 16
PROMPT = (64, 512)
OUTPUT = (200, 600)
TENANTS = 27


def requests(count: int) -> list[Request]:
    """The same for every policy: lengths, tenants, priorities, guesses and deadlines."""
    draw = random.Random(7)
    found: list[Request] = []
    for k in range(count):
        output = draw.randint(*OUTPUT)
        found.append(
            Request(
                request_id=k,
                prompt_tokens=draw.randint(*PROMPT),
                max_tokens=output,
                priority=draw.randint(0, 3),
                arrival_time=k * 1e-3,
                tenant=f"tenant {draw.randrange(TENANTS)}",
                predicted_tokens=max(1, round(output * draw.uniform(0.7, 1.4))),
                deadline=k * 1e-3 + draw.uniform(5.0, 60.0),
            )
        )
    return found


class Run:
    """One scheduler with this many running and waiting requests, and an arrival for every end."""

    def __init__(self, policy: str, running: int, waiting: int) -> None:
        """All requests have arrived; the first ones run."""
        most = PROMPT[1] + OUTPUT[1]
        self.scheduler = Scheduler(
            Config(
                num_gpu_blocks=running * (-(-most // BLOCK_SIZE)) * 4 // 5,
                num_cpu_blocks=0,
                block_size=BLOCK_SIZE,
                max_num_seqs=running,
                max_num_batched_tokens=running * 4,
                max_model_len=2 * most,
                preemption_mode="recompute",
                scheduling_policy=policy,
            )
        )
        self.coming = iter(requests(running + 40 * waiting))
        for _ in range(running + waiting):
            self.scheduler.add(next(self.coming))
        while len(self.scheduler.ledger.running) < running * 9 // 10:
            self.step()

    def step(self) -> int:
        """Nanoseconds of `schedule` and `commit`; replaces every ended request by an arrival."""
        clock = time.thread_time_ns
        start = clock()
        plan = self.scheduler.schedule()
        middle = clock()
        sampled = [0] * len(plan.sampling)
        again = clock()
        ended = self.scheduler.commit(plan, sampled)
        end = clock()
        for _ in ended:
            self.scheduler.add(next(self.coming))
        return middle - start + end - again


def policy_steps(
    running: int, waiting: int, steps: int, rounds: int = 4
) -> Iterator[dict[str, Any]]:
    """Microseconds of a step for each policy, and the ratio to first come, first served.

    Args:
        running: sequences that may run at once; nine tenths of them do before anything counts.
        waiting: requests that wait.
        steps: that count, for each policy; at least `rounds`.
        rounds: turns in which the two that are compared take them.
    """
    for policy in BUILT_IN:
        pair = (Run("fcfs", running, waiting), Run(policy, running, waiting))
        gc.collect()
        gc.freeze()
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for run, kept in zip(pair, times, strict=True):
                kept.append(
                    statistics.fmean(run.step() for _ in range(max(1, steps // rounds))) / 1000
                )
        gc.unfreeze()
        fcfs, own = statistics.median(times[0]), statistics.median(times[1])
        counters = pair[1].scheduler.counters
        if pair[1].scheduler.policy_failures:
            raise SystemExit(f"{policy}: {pair[1].scheduler.policy_failures[0]}")
        yield {
            "policy": policy,
            "us_per_step": round(own, 1),
            "fcfs_us_per_step": round(fcfs, 1),
            "ratio": round(own / fcfs, 2),
            "preemptions": counters.preemptions.total(),
            "ended": counters.finished.total(),
        }
