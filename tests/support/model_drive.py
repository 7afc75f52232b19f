"""Runs prompts through a scheduler and a model: a minimal engine.

Guarantees: the scheduler decides, the book and the executor see only its plans, and unreadable
blocks hold NaN.
"""
# pyright: basic

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from lineclear.config import Config
from lineclear.plan import Plan
from lineclear.request import Request
from lineclear.scheduler import Scheduler
from lineclear_gpu.batch import Batch, Sampling
from lineclear_gpu.book import Book
from lineclear_gpu.executor import Executor
from lineclear_gpu.model import Model
from lineclear_gpu.pool import KVPool
from lineclear_gpu.runner import ModelRunner
from lineclear_gpu.shape import KVShape
from lineclear_gpu.streams import Streams


@dataclass
class Drive:
    """One run of some prompts.

    Attributes:
        model: the model.
        config: the scheduler's settings.
        streams: where operations run; default: those of the device.
        priorities: priority of each prompt, 0 if absent.
        temperature: of sampling, with the prompt's number as sequence; 0 is greedy.
        events: number of preemptions, by mode; steps; rows.
    """

    model: Model
    config: Config
    streams: Streams | None = None
    priorities: Sequence[int] = ()
    temperature: float = 0.0
    events: Counter[str] = field(default_factory=Counter)

    def __call__(self, prompts: Sequence[list[int]], max_tokens: int) -> list[list[int]]:
        """The tokens generated for each prompt."""
        config, model = self.config, self.model
        shape = KVShape(
            model.layers, model.kv_heads, model.head_dim, config.block_size, model.dtype
        )
        pool = KVPool(shape, config.num_gpu_blocks, config.num_cpu_blocks, model.device)
        pool.poison(list(range(config.num_gpu_blocks)))
        scheduler = Scheduler(config)
        book = Book(config.block_size, config.max_model_len)
        runner = ModelRunner(model, pool, lanes=max(64, len(prompts)), check=True)
        executor = Executor(pool, self.streams)
        for index, prompt in enumerate(prompts):
            request = Request(
                request_id=index,
                prompt_tokens=len(prompt),
                max_tokens=max_tokens,
                priority=self.priorities[index] if index < len(self.priorities) else 0,
            )
            accepted = scheduler.add(request)
            assert accepted, accepted
            book.add(index, prompt)
        outputs: dict[Any, list[int]] = {index: [] for index in range(len(prompts))}
        flights: deque[Plan] = deque()
        while scheduler.entries or flights:
            if len(flights) < config.max_steps_in_flight and scheduler.entries:
                plan = scheduler.schedule()
                self.events.update(mode for _, mode in plan.preempted)
                batch = self._sampled(book.batch(plan), plan)
                executor.launch(plan, partial(runner.forward, batch))
                if plan.step is not None:
                    flights.append(plan)
                    self.events["steps"] += 1
                    self.events["rows"] += batch.rows
                elif not flights:
                    scheduler.complete(executor.drain()[0])
            if len(flights) == config.max_steps_in_flight or (flights and plan.step is None):
                self._commit(scheduler, executor, book, outputs, flights.popleft())
                self._poison(scheduler, pool, len(flights))
            scheduler.complete(executor.poll()[0])
        return [outputs[index] for index in range(len(prompts))]

    def _sampled(self, batch: Batch, plan: Plan) -> Batch:
        """The batch with its sampling parameters."""
        if not self.temperature:
            return batch
        count = len(batch.sample_rows)
        how = Sampling(
            lanes=batch.lanes[batch.sample_rows],
            seeds=np.full(count, 12345),
            sequences=np.array([row.request_id for row in plan.sampling], dtype=np.int64),
            temperatures=np.full(count, self.temperature, dtype=np.float32),
            top_ps=np.full(count, 0.95, dtype=np.float32),
            top_ks=np.zeros(count, dtype=np.int64),
        )
        return replace(batch, sampling=how)

    def _commit(
        self,
        scheduler: Scheduler,
        executor: Executor,
        book: Book,
        outputs: dict[Any, list[int]],
        plan: Plan,
    ) -> None:
        """Commits the oldest step and stores its tokens."""
        done, failed = executor.wait_for(plan)
        scheduler.complete([*done, *failed], failed)
        tokens: list[int] = executor.result(plan).tolist()
        for row, token in zip(plan.sampling, tokens, strict=True):
            if row.request_id in scheduler.entries:
                outputs[row.request_id].append(token)
                book.learn(book.lane[row.request_id, 0], [token])
        for finished in scheduler.commit(plan, tokens):
            book.drop_request(finished.request_id, (0,))

    def _poison(self, scheduler: Scheduler, pool: KVPool, in_flight: int) -> None:
        """Overwrites blocks that are free and that no open operation may touch."""
        if in_flight:
            return
        ledger = scheduler.ledger
        gpu = ledger.gpu
        pool.poison(
            [
                block_id
                for block_id in gpu.order[: gpu.free]
                if gpu.last_use[block_id] <= ledger.done
            ]
        )


def prompts_of(
    model: Model, count: int, longest: int, seed: int = 0, shortest: int = 1
) -> list[list[int]]:
    """Random prompts of random lengths, the same for one seed."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(shortest, longest + 1, (count,), generator=generator).tolist()
    return [
        torch.randint(model.vocab_size, (length,), generator=generator).tolist()
        for length in lengths
    ]
