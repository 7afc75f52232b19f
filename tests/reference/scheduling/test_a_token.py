"""P6a held against runs: however requests arrive and however a policy ranks them, tokens are kept.

The runs are drawn to be hostile: pools of a few blocks, orders at random or with each arrival before
all others, groups that fork, drafts, swaps that take their time, two steps in flight.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Any

import pytest

import lineclear.scheduling.step as step_module
from lineclear.config import MODES, VICTIMS, Config
from lineclear.plan import Plan
from lineclear.policies import BUILT_IN
from lineclear.request import Rejected, Request
from lineclear.scheduler import Scheduler
from lineclear.theorems.starvation import Sizes, steps_to_a_token

Draw = random.Random


class Whim:
    """A place at random, or before all others; every request displaces whatever stands behind it."""

    name = "whim"

    def __init__(self, draw: Draw, descending: bool) -> None:
        self.draw, self.descending, self.asked = draw, descending, 0

    def key(self, request: object) -> float:
        self.asked += 1
        return -self.asked if self.descending else self.draw.random()

    def may_displace(self, waiting: object, running: object) -> bool:
        return True


class Two(Whim):
    """One order for those that wait, another for those that run."""

    def rank(self, request: object) -> float:
        return self.key(request)


@dataclass
class Run:
    """One run, and the most steps in a row without a token or an end, beside what P6a allows."""

    seed: int
    longest: int = 0
    most: int = 0

    def __post_init__(self) -> None:
        draw = Draw(self.seed)
        seats, drafts = draw.randint(1, 4), draw.choice((0, 0, 0, 1, 2))
        blocks, size = draw.randint(2, 8), draw.choice((1, 2, 4))
        name = draw.choice((*BUILT_IN, "priority", "edf", "aging", *["whim"] * 4))
        config = Config(
            num_gpu_blocks=blocks,
            num_cpu_blocks=draw.choice((0, 2, 2 * blocks)),
            block_size=size,
            max_num_seqs=seats,
            max_num_batched_tokens=seats * (1 + drafts) + draw.randint(0, 6),
            max_model_len=blocks * size,
            watermark=draw.choice((0.0, 0.3)),
            preemption_mode=draw.choice(MODES),
            victim=draw.choice(VICTIMS),
            enable_chunked_prefill=draw.random() < 0.8,
            num_lookahead_slots=drafts,
            max_steps_in_flight=draw.choice((1, 1, 2)),
            long_prefill_token_threshold=(0, 1, 2)[self.seed % 3],
            max_bypasses=0 if name == "fair" else draw.choice((0, 0, 1)),
            scheduling_policy="fcfs" if name == "whim" else name,
            policy_options=(("promote_after", draw.choice((2, 5, 20))),) if name == "mlfq" else (),
        )
        policy = draw.choice((Whim, Two))(draw, draw.random() < 0.5) if name == "whim" else None
        scheduler = Scheduler(config, policy)
        width, rate = draw.choice((1, 1, 2, 3)), draw.choice((1.0, 1.0, 0.5))
        flights: deque[Plan] = deque()
        copies: list[int] = []
        without = live = 0
        sizes = Sizes(2, 1, 1, 1, 40)
        for k in range(80):
            if draw.random() < rate and len(scheduler.entries) < 30:
                prompt = draw.randint(1, blocks * size - 1)
                output = draw.randint(1, blocks * size - prompt)
                n = draw.randint(1, width)
                answer = scheduler.add(
                    Request(
                        request_id=k, prompt_tokens=prompt, max_tokens=output, n=n, priority=k,
                        deadline=1e6 - k, tenant=draw.randint(0, 3), arrival_time=k / 100,
                    )
                )  # fmt: skip
                if not isinstance(answer, Rejected):
                    longest, widest = max(sizes.tokens, prompt + output), max(sizes.width, n)
                    sizes = Sizes(longest, longest, longest, widest, 40)
            live = max(live, len(scheduler.entries))
            if len(flights) < config.max_steps_in_flight:
                plan = scheduler.schedule()
                copies += [o.number for o in plan.operations if o.kind.startswith("swap")]
                if plan.step is not None:
                    flights.append(plan)
                    without += 1
            if draw.random() < 0.6:
                scheduler.complete(copies)
                copies = []
            if flights and (len(flights) >= config.max_steps_in_flight or draw.random() < 0.5):
                plan = flights.popleft()
                before = scheduler.counters.generated_tokens
                scheduler.commit(
                    plan, [self.sample(draw, scheduler, plan, r) for r in plan.sampling]
                )
                if scheduler.counters.generated_tokens > before:
                    self.longest = max(self.longest, without - len(flights))
                    without = len(flights)
        self.longest = max(self.longest, without)
        shares, changes = hasattr(scheduler.policy, "share"), scheduler.live.reviews is not None
        self.most = steps_to_a_token(config, sizes, shares, changes)
        assert not scheduler.policy_failures

    @staticmethod
    def sample(draw: Draw, scheduler: Scheduler, plan: Plan, row: Any) -> Any:
        """One token; a group that has room for a branch may fork."""
        entry = scheduler.entries.get(row.request_id)
        alone = sum(r.request_id == row.request_id for r in plan.sampling) == 1
        forks = entry is not None and alone and len(entry.record.members) < entry.seats
        return [[0], [0]] if forks and draw.random() < 0.5 else 0


def test_a_token_is_kept_within_the_bound_whatever_arrives() -> None:
    runs = [Run(seed) for seed in range(60)]
    assert [run for run in runs if run.longest > run.most] == []
    assert sum(run.longest > 1 for run in runs) > 10


@pytest.mark.deep
def test_a_token_is_kept_within_the_bound_whatever_arrives_in_many_runs() -> None:
    assert [run for run in map(Run, range(60, 6000)) if run.longest > run.most] == []


def test_without_the_rule_runs_pass_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    def always(sheltered: bool, kept_a_token: bool) -> bool:
        return True

    monkeypatch.setattr(step_module, "may_be_displaced", always)
    assert any(run.longest > run.most for run in map(Run, PASSED))


#: Runs that pass the bound when the rule is off.
PASSED = (6, 14, 73, 180)
