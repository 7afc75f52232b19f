# pyright: basic
"""The tag runner on a GPU under memory pressure: many seeds, in several processes.

Every slot that is read is checked; a wrong one raises, with the seed and the settings of its run.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch

from lineclear_gpu.graphs import CudaGraphs
from lineclear_gpu.tag_run import Load, TagRun
from lineclear_gpu.tag_run import pressure as under_pressure

Result = dict[str, Any]
DEVICE = torch.device("cuda")
#: Processes that run tags in parallel, and their total number of steps.
PROCESSES, TAG_STEPS = 8, 200_000


def tag_worker(
    number: int, steps: int, seconds: float, caching: bool = False, device: str = "cuda"
) -> list[Result]:
    """Runs seed after seed until it has this many steps.

    Args:
        number: of the process.
        steps: of all its runs together.
        seconds: after which it stops anyway.
        caching: whether requests share blocks, with resets and salts.
        device: of the pools.
    """
    begin = time.perf_counter()
    runs: list[Result] = []
    seed = number
    while steps > 0 and time.perf_counter() - begin < seconds:
        config = under_pressure(
            max_steps_in_flight=1 + seed // 2 % 2,
            scheduling_policy=("fcfs", "priority")[seed % 2],
            preemption_mode=("auto", "swap", "recompute")[seed % 3],
        )
        fail = (0.0, 0.02)[seed // 4 % 2]
        load = Load(fail=fail, abort=0.02)
        if caching:
            blocks = {"block_size": 4, "num_gpu_blocks": (64, 120)[seed % 2]}
            config = replace(config, prefix_caching="all", **blocks)
            load = replace(load, waiting=1 + seed % 3, prompt=60, output=24, shared=0.9)
        graphs = None if seed % 5 == 4 or device == "cpu" else CudaGraphs(DEVICE)
        run = TagRun(config, seed, device=device, check=False, poison=64, load=load, graphs=graphs)
        wanted = min(5_000, steps)
        while run.figures.steps < wanted and time.perf_counter() - begin < seconds:
            try:
                run.run(min(500, wanted - run.figures.steps))
            except Exception as error:
                recorded = "recorded" if graphs else "launched"
                raise AssertionError(
                    f"seed {seed}, {recorded}, {load}, {config}: {error}"
                ) from error
        run.pool.close()
        steps -= run.figures.steps
        settings_of_run = {
            "seed": seed,
            "policy": config.scheduling_policy,
            "depth": config.max_steps_in_flight,
        }
        figures = {"steps": run.figures.steps, "slots": run.figures.slots}
        figures["recorded"] = graphs is not None
        events = {"mode": config.preemption_mode, "fail": fail, "events": dict(run.figures.events)}
        runs.append(settings_of_run | figures | events)
        seed += PROCESSES
    return runs


def tags(_: Result, steps: int = TAG_STEPS, caching: bool = False, device: str = "cuda") -> Result:
    """The tag runner under memory pressure; checks every slot that is read.

    Args:
        steps: of all runs together.
        caching: whether requests share blocks.
        device: of the pools; on a CPU all runs are in this process.
    """
    start = time.perf_counter()
    if device == "cpu":
        runs = tag_worker(0, steps, 240.0, caching, device)
    else:
        context = torch.multiprocessing.get_context("spawn")
        with context.Pool(PROCESSES) as workers:
            share = [(k, steps // PROCESSES, 240.0, caching) for k in range(PROCESSES)]
            runs = [run for made in workers.starmap(tag_worker, share) for run in made]
    seconds = time.perf_counter() - start
    events: dict[str, int] = {}
    for run in runs:
        for name, count in run["events"].items():
            events[name] = events.get(name, 0) + count
    done = sum(run["steps"] for run in runs)
    return {
        "steps": done,
        "of them in runs of recorded steps": sum(r["steps"] for r in runs if r["recorded"]),
        "of them in runs with failing copies": sum(r["steps"] for r in runs if r["fail"]),
        "slots checked": sum(run["slots"] for run in runs),
        "wrong": 0,  # a wrong one raises
        "seconds": seconds,
        "steps a second": done / seconds,
        **{f"events: {name}": count for name, count in sorted(events.items())},
        "runs": runs,
    }
