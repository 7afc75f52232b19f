"""What prefix caching costs: steps beside the same without it, finding blocks, and naming tokens.

    python benchmarks/caching.py             the figures
    python benchmarks/caching.py --check     exit 1 if a limit is exceeded
    python benchmarks/caching.py --smoke     in seconds, at small sizes

The workloads are those of `benchmarks/scheduler.py`, quiet and staggered. No prompt begins as another
does, so nothing is found: every full block is named and published. The calls that give names are part of
the time, those of output when a request ends. Runs without caching, with prompts named, and with outputs
named too, alternate; a ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("spec", "reference", "benchmarks")]

import numpy as np  # noqa: E402
import scheduler as plain  # noqa: E402

from lineclear.config import Config  # noqa: E402
from lineclear.prefix_names import PrefixNames  # noqa: E402
from lineclear.request import Request  # noqa: E402
from lineclear.scheduler import Scheduler  # noqa: E402

#: Figure -> most that it may be.
LIMITS = {
    "quiet, prompts": 1.25,
    "quiet, outputs too": 1.25,
    "staggered, prompts": 1.25,
    "staggered, outputs too": 1.25,
    "microseconds to find 256 blocks": 25.0,
    "microseconds to name 4,096 new tokens": 120.0,
    "bytes of a name": 450.0,
}


def run(case: str, size: int, caching: str) -> float:
    """Mean microseconds of the counted steps of one run."""
    prompts, blocks, budget = plain.workload(case, size)
    made = Scheduler(
        Config(
            num_gpu_blocks=blocks, num_cpu_blocks=0, block_size=plain.BLOCK_SIZE, max_num_seqs=size,
            max_num_batched_tokens=budget, max_model_len=4096, watermark=0.0,
            preemption_mode="recompute", prefix_caching=caching,
        )
    )  # fmt: skip
    longest = 1 + (max(prompts) + plain.OUTPUT) // plain.BLOCK_SIZE

    def following(request: Any, first: int) -> range:
        """Names of the full blocks of all that the request knows, from one on."""
        number = int(request)
        full = (prompts[number] + generated) // plain.BLOCK_SIZE
        return range(1 + number * longest + first, 1 + number * longest + full)

    generated = 0
    for number, prompt in enumerate(prompts):
        first, full = 1 + number * longest, prompt // plain.BLOCK_SIZE
        names = range(first, first + full) if caching != "off" else ()
        made.add(
            Request(
                request_id=number,
                prompt_tokens=prompt,
                max_tokens=plain.OUTPUT,
                prefix_names=names,
            )
        )
    if caching == "all":
        made.ask_for_names(lambda number, _, names: following(number, len(names)))
    clock, times = time.thread_time_ns, list[int]()
    tokens = np.zeros(size, dtype=np.int64)
    plain.settle()
    while made.entries:
        spare, live = made.ledger.gpu.free, len(made.entries)
        start = clock()
        plan = made.schedule()
        middle = clock()
        decodes = len(plan.sampling) == size and not plan.num_prefill_groups
        grew = made.ledger.gpu.free < spare
        again = clock()
        made.commit(plan, tokens[: len(plan.sampling)])
        end = clock()
        generated += 1
        if decodes and (case == "staggered" or (not grew and len(made.entries) == live)):
            times.append(middle - start + end - again)
    gc.unfreeze()
    if caching != "off" and made.counters.prefix_hits:
        raise SystemExit("something was found")
    return statistics.fmean(times) / 1000


def paired(case: str, size: int, repeat: int) -> dict[str, float]:
    """Steps with and without caching, by turns."""
    runs: dict[str, list[float]] = {"off": [], "prompt": [], "all": []}
    for _ in range(repeat):
        for caching, found in runs.items():
            found.append(run(case, size, caching))
    return {caching: statistics.median(found) for caching, found in runs.items()}


def finding(blocks: int = 256, repeat: int = 200) -> float:
    """Median microseconds to look up a prompt's blocks, all of which are found."""
    made = Scheduler(
        Config(
            num_gpu_blocks=2 * blocks, num_cpu_blocks=0, block_size=16, max_num_batched_tokens=8192,
            max_model_len=8192, watermark=0.0, prefix_caching="all", preemption_mode="recompute",
        )
    )  # fmt: skip
    names = range(1, blocks + 1)
    for number in range(2):
        made.add(
            Request(
                request_id=number, prompt_tokens=16 * blocks + 1, max_tokens=1, prefix_names=names
            )
        )
        if number == 0:
            plan = made.schedule()
            made.commit(plan, [0])
    sequence = made.entries[1].first
    times: list[float] = []
    for _ in range(repeat):
        begin = time.thread_time_ns()
        found = made.cache.hits(sequence)
        times.append((time.thread_time_ns() - begin) / 1000)
        assert found == blocks
    return statistics.median(times)


def naming(tokens: int = 4096, repeat: int = 200) -> tuple[float, float]:
    """Median microseconds to name the blocks of a prompt, new ones, and bytes of a name that is kept."""
    draw = np.random.default_rng(0)
    prompts = [draw.integers(0, 128_000, tokens).tolist() for _ in range(repeat)]
    names = PrefixNames(16)
    times: list[float] = []
    for prompt in prompts:
        begin = time.thread_time_ns()
        names.of(prompt)
        times.append((time.thread_time_ns() - begin) / 1000)
    gc.collect()
    tracemalloc.start()
    kept = PrefixNames(16)
    held = [kept.of(prompt) for prompt in prompts]
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return statistics.median(times), size / sum(map(len, held))


def figures(size: int, repeat: int) -> dict[str, Any]:
    """Everything."""
    found: dict[str, Any] = {}
    for case in ("quiet", "staggered"):
        row = paired(case, size, repeat)
        print(
            f"{case}, {size}: {row['off']:.1f} us a step off, {row['prompt']:.1f} with prompts named, "
            f"{row['all']:.1f} with outputs too",
            flush=True,
        )
        found[f"{case}, prompts"] = row["prompt"] / row["off"]
        found[f"{case}, outputs too"] = row["all"] / row["off"]
    found["microseconds to find 256 blocks"] = finding()
    times, size_ = naming()
    found["microseconds to name 4,096 new tokens"] = times
    found["bytes of a name"] = size_
    return found


def main() -> int:
    """Prints the figures beside their limits."""
    parser = argparse.ArgumentParser(description="What prefix caching costs.")
    parser.add_argument("--check", action="store_true", help="exit 1 if a limit is exceeded")
    parser.add_argument("--smoke", action="store_true", help="small sizes")
    parser.add_argument("--size", type=int, default=1024, help="requests (default: 1,024)")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each kind (default: 5)")
    arguments = parser.parse_args()
    small = arguments.smoke
    found = figures(8 if small else arguments.size, 1 if small else arguments.repeat)
    held = True
    for name, most in LIMITS.items():
        held = held and found[name] <= most
        word = "held" if found[name] <= most else "NOT HELD"
        print(f"{word}: {name}: {found[name]:.2f}, at most {most:g}")
    return int(arguments.check and not held)


if __name__ == "__main__":
    raise SystemExit(main())
