"""Microseconds per scheduling step: schedule and commit, every guard and the journal on.

    python benchmarks/scheduler.py                             a table
    python benchmarks/scheduler.py --json                      as JSON
    python benchmarks/scheduler.py --markdown docs/speed.md    the page of the documentation
    python benchmarks/scheduler.py --check                     exit 1 if a limit is exceeded

N requests are present at the start, each generates 256 tokens, a block holds 16.

quiet       prompts of 512 tokens; the steps in which all N decode, no block is needed and nothing
            ends
staggered   prompts of 505 to 520 tokens, so that N/16 need a block in each step; every step in
            which all N decode, the last one, which finishes all of them, included
overload    the staggered prompts in 60 % of the blocks that they need and 8,192 tokens (or N, if
            more) in a step; every step of the run, prefills and preemptions included

Time is the thread's own (neighbours on the machine are left out), the mean over the steps of a run
and the median of the runs; the heap is frozen when the requests have started (overload: been
added), the collector stays on. Each run must generate every token and finish every request.

Also: the cost of a waiting request, and whether anything grows with finished ones.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("spec", "reference", "benchmarks")]

import numpy as np  # noqa: E402
import speed_page  # noqa: E402
from baselines import LessonSimulator, PlainLoop  # noqa: E402
from lasting import finished, waiting  # noqa: E402

from lineclear.config import Config  # noqa: E402
from lineclear.request import Request  # noqa: E402
from lineclear.scheduler import Scheduler  # noqa: E402

CASES = ("quiet", "staggered", "overload")
SIZES = (64, 256, 1024, 4096)
OUTPUT = 256
BLOCK_SIZE = 16
#: Bytes per finished request of tolerance for memory that hash tables may have reserved; keeping
#: anything of a request costs a hundred bytes or more.
SLACK = 16

Result = dict[str, Any]


class Lineclear:
    """The scheduler, with the input of the baselines."""

    name = "lineclear"

    def __init__(self, blocks: int, block_size: int, seats: int, budget: int) -> None:
        """Starts without requests."""
        self.scheduler = Scheduler(
            Config(
                num_gpu_blocks=blocks,
                num_cpu_blocks=0,
                block_size=block_size,
                max_num_seqs=seats,
                max_num_batched_tokens=budget,
                max_model_len=4096,
                watermark=0.0,
                preemption_mode="recompute",
            )
        )
        self.waiting = self.scheduler.ledger.waiting
        self.tokens = np.zeros(seats, dtype=np.int64)
        self.unbacked = 0  # the table would refuse this

    def add(self, prompt: int, output: int) -> None:
        """Adds a waiting request."""
        number = self.scheduler.arrivals
        self.scheduler.add(Request(request_id=number, prompt_tokens=prompt, max_tokens=output))

    def schedule(self) -> None:
        """Schedules one plan."""
        self.plan = self.scheduler.schedule()

    def prepare(self) -> None:
        """The executor samples, and the benchmark reads the plan."""
        self.computing = len(self.plan.scheduled_seq_groups)
        self.admitted = self.plan.num_prefill_groups
        self.sampled = self.tokens[: len(self.plan.sampling)]

    def commit(self) -> None:
        """Commits one token for each entry that samples."""
        self.scheduler.commit(self.plan, self.sampled)

    @property
    def spare(self) -> int:
        """Free blocks."""
        return self.scheduler.ledger.gpu.free

    @property
    def live(self) -> int:
        """Requests that are not finished."""
        return len(self.scheduler.entries)

    @property
    def generated(self) -> int:
        """Number of tokens so far."""
        return self.scheduler.counters.generated_tokens

    @property
    def finished(self) -> int:
        """Requests that have all their tokens."""
        return self.scheduler.counters.finished["length"]

    @property
    def preemptions(self) -> int:
        """Number of preemptions."""
        return self.scheduler.counters.preemptions.total()


SCHEDULERS = {kind.name: kind for kind in (Lineclear, PlainLoop, LessonSimulator)}


def workload(case: str, size: int) -> tuple[list[int], int, int]:
    """Prompt lengths, blocks of the pool, and tokens per step."""
    prompts = [512 if case == "quiet" else 505 + i % 16 for i in range(size)]
    need = sum(-(-(prompt + OUTPUT) // BLOCK_SIZE) for prompt in prompts)
    if case == "overload":
        return prompts, int(need * 0.6), max(8192, size)
    return prompts, int(need * 1.05), sum(prompts)


def settle() -> None:
    """Freezes the heap: the collector need not scan set-up data again."""
    gc.collect()
    gc.freeze()


def run(name: str, case: str, size: int) -> tuple[list[float], int, int]:
    """Nanoseconds of each counted step, preemptions, and steps without a block to write to."""
    prompts, blocks, budget = workload(case, size)
    subject = SCHEDULERS[name](blocks, BLOCK_SIZE, size, budget)
    for prompt in prompts:
        subject.add(prompt, OUTPUT)
    clock = time.thread_time_ns
    times: list[float] = []
    every = case == "overload"
    settle()
    settled = every
    while subject.live:
        spare, live = subject.spare, subject.live
        start = clock()
        subject.schedule()
        middle = clock()
        subject.prepare()
        grew = subject.spare < spare
        decodes = subject.computing == size and not subject.admitted
        again = clock()
        subject.commit()
        end = clock()
        quiet = not grew and subject.live == live
        if every or (decodes and (case == "staggered" or quiet)):
            times.append(middle - start + end - again)
        if not settled and not subject.waiting:
            settle()
            settled = True
    gc.unfreeze()
    if (subject.generated, subject.finished) != (size * OUTPUT, size):
        raise SystemExit(
            f"{name}, {case}, {size}: {subject.generated} tokens and {subject.finished} finished, "
            f"expected {size * OUTPUT} and {size}"
        )
    return times, subject.preemptions, subject.unbacked


def measure(name: str, case: str, size: int, repeat: int) -> Result:
    """One row of the table."""
    runs = [run(name, case, size) for _ in range(repeat)]
    ordered = [sorted(times) for times, _, _ in runs]
    _, preemptions, unbacked = runs[0]
    steps = len(ordered[0])

    def median(of: list[float]) -> float:
        return round(statistics.median(of) / 1000, 2)

    return {
        "scheduler": name,
        "case": case,
        "running": size,
        "us_per_step": median([statistics.fmean(times) for times in ordered]),
        "p50": median([times[steps // 2] for times in ordered]),
        "p99": median([times[steps * 99 // 100] for times in ordered]),
        "steps": steps,
        "preemptions": preemptions,
        "unbacked": unbacked,
    }


def bars(report: Result) -> list[Result]:
    """The limits, as far as they were measured."""
    times = {
        (row["case"], row["running"]): row["us_per_step"]
        for row in report["results"]
        if row["scheduler"] == Lineclear.name
    }
    measured: list[tuple[str, float | None, float]] = [
        ("microseconds of a staggered step at 1,024", times.get(("staggered", 1024)), 150),
        ("microseconds of a quiet step at 1,024", times.get(("quiet", 1024)), 40),
    ]
    for case, most in (("quiet", 1.4), ("staggered", 4)):
        if (case, 1024) in times and (case, 4096) in times:
            ratio = round(times[case, 4096] / times[case, 1024], 2)
            measured.append((f"a {case} step at 4,096, over one at 1,024", ratio, most))
    if "waiting" in report:
        row = report["waiting"]
        measured.append(("bytes of a waiting request", row["bytes_per_request"], 2048))
        if row["requests"] == 1_000_000:
            measured.append(("seconds to add 1,000,000 requests", row["seconds"], 15))
    if "finished" in report:
        grown = report["finished"]["bytes_per_request"]
        measured.append(("bytes more for each request that finished", grown, SLACK))
    return [
        {"what": what, "value": value, "limit": limit, "held": value <= limit}
        for what, value, limit in measured
        if value is not None
    ]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write a page")
    parser.add_argument("--check", action="store_true", help="exit 1 if a limit is exceeded")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), metavar="N")
    parser.add_argument("--schedulers", nargs="+", choices=SCHEDULERS, default=list(SCHEDULERS))
    parser.add_argument("--repeat", type=int, default=3, help="runs of each row (default: 3)")
    parser.add_argument(
        "--adds", type=int, default=1_000_000, metavar="N",
        help="waiting requests to add; 0 skips their cost (default: 1,000,000)",
    )  # fmt: skip
    parser.add_argument(
        "--ends", type=int, default=20_000, metavar="N",
        help="requests to finish; 0 skips the memory they leave behind (default: 20,000)",
    )  # fmt: skip
    parser.add_argument("--machine", default="", help="name of the machine, for the report")
    parser.add_argument("--smoke", action="store_true", help="take seconds instead of minutes")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.sizes, arguments.repeat = [8, 32], 1
        arguments.adds, arguments.ends = 2_000, 4_000
    counts = (arguments.adds, arguments.ends)
    if arguments.repeat < 1 or min(arguments.sizes) < 1 or min(counts) < 0:
        parser.error("--repeat and --sizes are at least 1, --adds and --ends at least 0")
    if arguments.markdown is not None and not arguments.markdown.parent.is_dir():
        parser.error(f"folder {arguments.markdown.parent} does not exist")
    if arguments.markdown is not None and Lineclear.name not in arguments.schedulers:
        parser.error("a page needs lineclear among --schedulers")
    return arguments


def main() -> int:
    """Runs and prints the requested measurements."""
    arguments = parse()
    report: Result = {
        "python": platform.python_version(),
        "machine": arguments.machine or f"{platform.machine()}, {os.cpu_count()} CPUs",
        "block_size": BLOCK_SIZE,
        "output_tokens": OUTPUT,
        "results": [],
    }

    def tell(text: str) -> None:
        print(text, file=sys.stderr if arguments.json else sys.stdout, flush=True)

    for case in arguments.cases:
        for size in arguments.sizes:
            for name in arguments.schedulers:
                repeat = arguments.repeat if name == Lineclear.name else 1
                row = measure(name, case, size, repeat)
                report["results"].append(row)
                tell(
                    f"{case:9} {size:5} {name:9} {row['us_per_step']:9.1f} us a step, "
                    f"p50 {row['p50']:.1f}, p99 {row['p99']:.1f}, {row['preemptions']} preemptions"
                )
    if arguments.adds:
        report["waiting"] = row = waiting(arguments.adds)
        tell(
            f"{row['requests']:,} requests added in {row['seconds']} s, "
            f"{row['bytes_per_request']} bytes for each that waits"
        )
    if arguments.ends:
        report["finished"] = row = finished(arguments.ends)
        tell(f"{row['requests']:,} requests finished, {row['bytes']} bytes more than before")
    report["bars"] = bars(report)
    for bar in report["bars"]:
        word = "held" if bar["held"] else "NOT HELD"
        tell(f"{word}: {bar['what']}: {bar['value']}, at most {bar['limit']}")
    if arguments.json:
        print(json.dumps(report, indent=2))
    if arguments.markdown is not None:
        arguments.markdown.write_text(speed_page.page(report), encoding="utf-8")
    return int(arguments.check and not all(bar["held"] for bar in report["bars"]))


if __name__ == "__main__":
    sys.exit(main())
