"""Microseconds per scheduling step: schedule and commit, every guard and the journal on.

    python benchmarks/scheduler.py               a table
    python benchmarks/scheduler.py --json        for scripts
    python benchmarks/scheduler.py --adds 1000000

Besides, what a waiting request costs: seconds to add so many, and bytes that each holds. In the
table N requests are present at the start, each generates 256 tokens, blocks hold 16.

quiet       prompts of 512 tokens; only steps in which no block is needed and nothing ends count
Besides, what a waiting request costs: seconds to add so many, and bytes that each holds. In the
            steps in which all N decode count
overload    the staggered prompts in 60 % of the blocks needed, 8,192 tokens in a step; every step
            counts but the ones before all that fits was admitted for the first time

Time is the thread's own (neighbours on the machine are left out), the mean over the steps of a run
and the median of the runs; the heap is frozen after the first prefills, the collector stays on.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("spec", "reference", "benchmarks")]

import numpy as np  # noqa: E402
from baselines import LessonSimulator, PlainLoop  # noqa: E402

from lineclear.config import Config  # noqa: E402
from lineclear.request import Request  # noqa: E402
from lineclear.scheduler import Scheduler  # noqa: E402

CASES = ("quiet", "staggered", "overload")
RUNNING = (64, 256, 1024, 4096)
OUTPUT = 256
BLOCK_SIZE = 16
#: Steps after which a run has shown enough.
ENOUGH = {"quiet": 200, "staggered": 250, "overload": 1 << 30}

Result = dict[str, Any]


def prompts(case: str, running: int) -> list[int]:
    """Prompt lengths."""
    return [512 if case == "quiet" else 505 + i % 16 for i in range(running)]


def pool(case: str, lengths: list[int]) -> int:
    """Blocks of the pool."""
    need = sum(-(-(prompt + OUTPUT) // BLOCK_SIZE) for prompt in lengths)
    return int(need * (0.6 if case == "overload" else 1.05))


def budget(case: str, lengths: list[int]) -> int:
    """Tokens in a step: all prompts at once unless short of memory."""
    return max(8192, len(lengths)) if case == "overload" else sum(lengths) + len(lengths)


def lineclear(case: str, running: int) -> tuple[list[float], int]:
    """Nanoseconds of each step that counts, and preemptions."""
    lengths = prompts(case, running)
    scheduler = Scheduler(
        Config(
            num_gpu_blocks=pool(case, lengths),
            num_cpu_blocks=0,
            block_size=BLOCK_SIZE,
            max_num_seqs=running,
            max_num_batched_tokens=budget(case, lengths),
            max_model_len=4096,
            watermark=0.0,
            preemption_mode="recompute",
        )
    )
    for number, prompt in enumerate(lengths):
        scheduler.add(Request(request_id=number, prompt_tokens=prompt, max_tokens=OUTPUT))
    tokens = np.zeros(running, dtype=np.int64)
    clock = time.thread_time_ns
    times: list[float] = []
    admitting = True
    while scheduler.entries:
        start = clock()
        plan = scheduler.schedule()
        middle = clock()
        count = len(plan.sampling)
        sampled = tokens[:count]
        again = clock()
        finished = scheduler.commit(plan, sampled)
        end = clock()
        if admitting and plan.num_prefill_groups == 0:
            admitting = False  # this step is the first that only decodes
            settle()
            continue
        if (
            (case == "overload" and not admitting)
            or (case == "staggered" and count == running and not finished and not admitting)
            or (case == "quiet" and not plan.new_blocks and not finished and not admitting)
        ):
            times.append(middle - start + end - again)
            if len(times) >= ENOUGH[case]:
                break
    gc.unfreeze()
    return times, scheduler.counters.preemptions.total()


def settle() -> None:
    """What lives now is set-up; the collector need not look at it again."""
    gc.collect()
    gc.freeze()


def baseline(
    kind: type[PlainLoop] | type[LessonSimulator], case: str, running: int
) -> tuple[list[float], int]:
    """The same workload on a baseline; it decodes no more than some tens of steps."""
    lengths = prompts(case, running)
    other = kind(pool(case, lengths), BLOCK_SIZE, running, budget(case, lengths))
    for prompt in lengths:
        other.add(prompt, OUTPUT)
    clock = time.thread_time_ns
    times: list[float] = []
    first = True
    most = ENOUGH[case] if case == "overload" else 64
    while other.live and len(times) < most:
        waiting = len(other.waiting)
        free = len(other.free)
        start = clock()
        other.schedule()
        middle = clock()
        grew = free != len(other.free)
        again = clock()
        other.commit()
        end = clock()
        if first and len(other.waiting) < waiting:
            continue
        if first:
            first = False
            settle()
            continue
        if case != "quiet" or not grew:
            times.append(middle - start + end - again)
    gc.unfreeze()
    return times, other.preemptions


def measure(name: str, case: str, running: int, repeat: int) -> Result:
    """One row of the table."""
    runs: dict[str, Callable[[], tuple[list[float], int]]] = {
        "lineclear": lambda: lineclear(case, running),
        PlainLoop.name: lambda: baseline(PlainLoop, case, running),
        LessonSimulator.name: lambda: baseline(LessonSimulator, case, running),
    }
    means: list[float] = []
    middles: list[float] = []
    late: list[float] = []
    steps = preemptions = 0
    for _ in range(repeat):
        times, preemptions = runs[name]()
        steps = len(times)
        ordered = sorted(times)
        means.append(statistics.fmean(ordered) / 1000)
        middles.append(ordered[steps // 2] / 1000)
        late.append(ordered[steps * 99 // 100] / 1000)
    return {
        "scheduler": name,
        "case": case,
        "running": running,
        "us_per_step": round(statistics.median(means), 2),
        "us_p50": round(statistics.median(middles), 2),
        "us_p99": round(statistics.median(late), 2),
        "steps": steps,
        "preemptions": preemptions,
    }


def waiting(count: int) -> Result:
    """What it costs to add requests that wait."""
    scheduler = Scheduler(Config(num_gpu_blocks=1024, max_model_len=4096))
    traced = min(count, 20_000)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(traced):
        scheduler.add(Request(request_id=number, prompt_tokens=500, max_tokens=100))
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    scheduler = Scheduler(Config(num_gpu_blocks=1024, max_model_len=4096))
    start = time.perf_counter()
    for number in range(count):
        scheduler.add(Request(request_id=number, prompt_tokens=500, max_tokens=100))
    return {
        "requests": count,
        "seconds": round(time.perf_counter() - start, 3),
        "bytes_per_waiting_request": held // traced,
    }


def main() -> int:
    """Runs what was asked for and prints it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="for scripts")
    parser.add_argument("--case", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--running", nargs="+", type=int, default=RUNNING, metavar="N")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each row (default: 3)")
    parser.add_argument("--only", action="store_true", help="lineclear without the baselines")
    parser.add_argument("--adds", type=int, default=50_000, metavar="N", help="0 leaves it out")
    arguments = parser.parse_args()
    if arguments.repeat < 1 or arguments.adds < 0 or min(arguments.running) < 1:
        parser.error("--repeat and --running are at least 1, --adds at least 0")
    names = (
        ["lineclear"] if arguments.only else ["lineclear", PlainLoop.name, LessonSimulator.name]
    )
    results: list[Result] = []
    for case in arguments.case:
        for running in arguments.running:
            for name in names:
                repeat = arguments.repeat if name == "lineclear" else 1
                results.append(measure(name, case, running, repeat))
                if not arguments.json:
                    row = results[-1]
                    print(
                        f"{row['case']:10} {row['running']:5} {row['scheduler']:17}"
                        f"{row['us_per_step']:10.1f} us a step, p50 {row['us_p50']:.1f}, "
                        f"p99 {row['us_p99']:.1f}, {row['preemptions']} preemptions",
                        flush=True,
                    )
    report: Result = {
        "python": platform.python_version(),
        "machine": platform.processor() or platform.machine(),
        "results": results,
    }
    if arguments.adds:
        report["adds"] = waiting(arguments.adds)
        if not arguments.json:
            print(
                "{requests} adds in {seconds} s, {bytes_per_waiting_request} bytes each".format(
                    **report["adds"]
                )
            )
    if arguments.json:
        print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
