"""Runs a family of small workloads to their ends, and reports one that never ends.

Guarantees: every workload of the family is run, with every request there from the start and every
token at once, so that the run is a function of the settings alone; what has not ended after far
more steps than the longest run is reported.

The family is one in which schedulers that admit a request by its first chunk, and take blocks from
the largest holder, repeat the same work for ever: two or three requests with prompts of 1 to 4 tokens that generate
1 to 3, in 4 to 6 blocks of one token, with 1, 2, 3 or 6 tokens a step; each fits alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from lineclear.config import Config
from lineclear.request import Rejected, Request
from lineclear.scheduler import Scheduler

#: Prompt and tokens to generate, of each request in the order of arrival.
Work = tuple[tuple[int, int], ...]
SHAPES = tuple(itertools.product(range(1, 5), range(1, 4)))
BLOCKS = (4, 5, 6)
BUDGETS = (1, 2, 3, 6)
#: Steps of a run, at most; the longest of the family takes 18.
MOST_STEPS = 400


@dataclass(frozen=True, slots=True)
class WorkloadRun:
    """The result of a workload.

    Attributes:
        ended: whether every request came to its end.
        steps: calls of `schedule`.
        preemptions: how many there were.
    """

    ended: bool
    steps: int
    preemptions: int


def settings(config: Config, blocks: int, budget: int) -> Config:
    """These settings in a small machine that gives blocks up by recompute alone.

    As many sequences may run as have a token each in every step, three at most.
    """
    return replace(
        config,
        num_gpu_blocks=blocks,
        num_cpu_blocks=0,
        block_size=1,
        max_num_batched_tokens=budget,
        max_num_seqs=min(3, budget),
        max_model_len=8,
        watermark=0.0,
        preemption_mode="recompute",
    )


def family(blocks: int) -> Iterator[Work]:
    """Two or three requests that each fit alone into so many blocks, in every order."""
    fitting = [(prompt, most) for prompt, most in SHAPES if prompt + most - 1 <= blocks]
    for count in (2, 3):
        yield from itertools.product(fitting, repeat=count)


def run(config: Config, work: Work, kind: type[Scheduler] = Scheduler) -> WorkloadRun:
    """Runs a workload until no request is left.

    Args:
        config: settings.
        work: the requests.
        kind: the scheduler's class; a broken one in tests.

    Raises:
        ValueError: a request is rejected.
    """
    scheduler = kind(config)
    for name, (prompt, most) in enumerate(work):
        answer = scheduler.add(Request(request_id=name, prompt_tokens=prompt, max_tokens=most))
        if isinstance(answer, Rejected):
            raise ValueError(f"request {prompt}+{most} is rejected: {answer.reason}")
    steps = 0
    while scheduler.entries and steps < MOST_STEPS:
        steps += 1
        plan = scheduler.schedule()
        if plan.step is not None:
            scheduler.commit(plan, [0] * len(plan.sampling))
    return WorkloadRun(not scheduler.entries, steps, sum(scheduler.counters.preemptions.values()))
