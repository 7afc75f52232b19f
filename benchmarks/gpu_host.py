# pyright: basic
"""What a step costs the host: plans, batches and commits of many sequences, without a model."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import torch

from lineclear.request import Request
from lineclear.scheduler import Config, Scheduler
from lineclear_gpu.book import Book
from lineclear_gpu.executor import Executor
from lineclear_gpu.pool import KVPool
from lineclear_gpu.shape import KVShape

Result = dict[str, Any]
DEVICE = torch.device("cuda")


def host(_: Result) -> Result:
    """Host time of the backend for a step of 256 sequences without swaps."""
    count = 256
    config = Config(
        num_gpu_blocks=count * 40, num_cpu_blocks=0, max_num_seqs=count, max_model_len=640,
        max_num_batched_tokens=count * 16, watermark=0.0, max_steps_in_flight=2,
    )  # fmt: skip
    scheduler = Scheduler(config)
    book = Book(config.block_size, config.max_model_len, count)
    pool = KVPool(KVShape(1, 1, 8, config.block_size), config.num_gpu_blocks, 0, DEVICE)
    executor = Executor(pool)
    for number in range(count):
        scheduler.add(Request(request_id=number, prompt_tokens=16 + number % 16, max_tokens=512))
        book.add(number, range(16 + number % 16))
    backend: list[float] = []
    whole: list[float] = []
    flights: list[Any] = []
    for step in range(300):
        begin = time.perf_counter()
        plan = scheduler.schedule()
        middle = time.perf_counter()
        batch = book.batch(plan)
        executor.launch(plan, lambda: None)
        spent = time.perf_counter() - middle
        flights.append((plan, batch))
        if len(flights) == 2:
            old, had = flights.pop(0)
            middle = time.perf_counter()
            executor.wait_for(old)
            executor.result(old)
            spent += time.perf_counter() - middle
            lanes = had.sample_lanes
            scheduler.commit(old, np.zeros(len(lanes), dtype=np.int64))
            middle = time.perf_counter()
            book.learn_all(lanes, 0)
            spent += time.perf_counter() - middle
        if step >= 50:
            backend.append(spent)
            whole.append(time.perf_counter() - begin)
    return {
        "us": statistics.median(backend) * 1e6,
        "mean us": statistics.mean(backend) * 1e6,
        "with the scheduler us": statistics.median(whole) * 1e6,
        "sequences": count,
    }
