"""Compares the simulator with the log of a real engine, and writes docs/validation.md.

    python benchmarks/vllm_log.py FOLDER            with requests.jsonl and timeseries.csv
    python benchmarks/vllm_log.py FOLDER --check    exit 1 if docs/validation.md is stale
    python benchmarks/vllm_log.py FOLDER --json     print the figures and write nothing

Exit code 1 if a stated tolerance is not met. Guarantees: the step times are fitted on the log,
never on what the simulator gives; the scheduler runs with every invariant checked. The settings
are those of this log. The log is not part of this repository; docs/validation.md says where it
comes from.
"""

from __future__ import annotations

import argparse
import json
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from vllm_page import page
from vllm_record import (
    BLOCK_SIZE,
    BLOCKS,
    BUDGET,
    Second,
    Served,
    clock,
    fit,
    read,
    single_steps,
)

from lineclear.config import Config
from lineclear.plan import Plan
from lineclear.simulation.metrics import spread
from lineclear.simulation.simulate import Simulation
from lineclear.simulation.steptime import StepTime
from lineclear.theorems.service import Service
from lineclear.workload.workload import Arrival, Workload

PAGE = Path(__file__).resolve().parents[1] / "docs" / "validation.md"

#: The engine's settings: steps overlap, no watermark, the last admitted request is preempted and
#: recomputed.
CONFIG = Config(
    num_gpu_blocks=BLOCKS,
    num_cpu_blocks=0,
    block_size=BLOCK_SIZE,
    max_num_seqs=256,
    max_num_batched_tokens=BUDGET,
    max_model_len=8192,
    long_prefill_token_threshold=0,
    watermark=0.0,
    preemption_mode="recompute",
    victim="last",
    max_steps_in_flight=2,
)

#: Tolerances: shares of the log's value, unless it says requests.
PEAK_WAITING = 0.02
PEAK_RUNNING = 0.15
DECAY = 3.0  # requests, in each second of `FIRST_WAVE`
FIRST_WAVE = (5, 17)  # seconds of the log in which 40 running requests become 23
RUNNING = 0.15  # of the peak, mean absolute difference over all seconds
WAITING = 0.10
TIMES_OFF = 0.20


class Curve(Service):
    """Counts running and waiting requests after each scheduled step."""

    def __init__(self, simulation: Simulation) -> None:
        """Starts before the first step."""
        super().__init__([""])
        self.simulation = simulation
        self.when: list[float] = []
        self.rows: list[tuple[int, int]] = []

    def step(self, plan: Plan, now: float) -> None:
        """Counts one plan."""
        super().step(plan, now)
        ledger = self.simulation.scheduler.ledger
        self.when.append(now)
        self.rows.append((len(ledger.running), len(ledger.waiting)))

    def at(self, moment: float) -> tuple[int, int]:
        """Running and waiting requests after the last step before a moment."""
        place = bisect_right(self.when, moment)
        return self.rows[place - 1] if place else (0, 0)


def simulate(
    requests: Sequence[Served], model: StepTime, config: Config = CONFIG, check_every: int = 1
) -> tuple[Simulation, Curve, Any]:
    """Runs the same requests through the scheduler."""
    workload = Workload(
        "vLLM 0.19.0 log",
        "vllm_log",
        tuple(Arrival(r.name, r.queued, r.prompt, (r.output,), r.output) for r in requests),
    )
    simulation = Simulation(workload, config, model=model, check_every=check_every)
    curve = Curve(simulation)
    simulation.service = curve
    return simulation, curve, simulation.run()


def served(requests: Sequence[Served], simulation: Simulation) -> list[Served]:
    """The requests' outcomes in the simulator; all of them have ended."""
    found: list[Served] = []
    for request in requests:
        t = simulation.collector.times[request.name]
        if t.scheduled is None or t.first_token is None or t.finished is None:
            raise SystemExit(f"request {request.name} did not end in the simulator")
        found.append(
            Served(
                request.name,
                request.prompt,
                request.output,
                t.arrived,
                t.scheduled,
                t.first_token,
                t.finished,
            )
        )
    return found


def inversions(one: Sequence[Served], two: Sequence[Served]) -> int:
    """Pairs first scheduled in opposite order; requests of the same step are unordered."""
    first, second = ({r.name: r.scheduled for r in rows} for rows in (one, two))
    names = list(first)
    return sum(
        (first[a] - first[b]) * (second[a] - second[b]) < 0
        for k, a in enumerate(names)
        for b in names[:k]
    )


def overtaken(requests: Sequence[Served]) -> int:
    """Pairs whose later request was scheduled first."""
    starts: list[float] = []
    found = 0
    for request in sorted(requests, key=lambda r: r.queued):
        found += len(starts) - bisect_right(starts, request.scheduled)
        starts.insert(bisect_left(starts, request.scheduled), request.scheduled)
    return found


def latencies(requests: Sequence[Served]) -> dict[str, dict[str, float]]:
    """TTFT, TPOT and end to end, from when the engine queued the request."""
    kinds: dict[str, Callable[[Served], float]] = {
        "TTFT": lambda r: r.first - r.queued,
        "TPOT": lambda r: (r.last - r.first) / max(1, r.output - 1),
        "end to end": lambda r: r.last - r.queued,
    }
    return {name: spread([of(r) for r in requests]) or {} for name, of in kinds.items()}


def validate(folder: Path, config: Config = CONFIG, check_every: int = 1) -> dict[str, Any]:
    """Fits, runs and compares; returns everything for the page."""
    requests, seconds = read(folder)
    model = fit(requests, seconds)
    simulation, curve, result = simulate(requests, model, config, check_every)
    if result.violations or result.stalled:
        raise SystemExit("; ".join([*result.violations, result.stalled]))
    ours = served(requests, simulation)
    offset = clock(requests, seconds)
    pairs = [(now, curve.at(now.moment + offset)) for now in seconds]
    real, found = latencies(requests), latencies(ours)
    duration = [max(r.last for r in rows) for rows in (requests, ours)]
    tokens = sum(r.output for r in requests)
    checks = [
        check("pairs first scheduled in opposite order", 0, inversions(requests, ours), 0),
        check("pairs first scheduled against the order of arrival", 0, overtaken(ours), 0),
        share("peak of waiting requests", [n.waiting for n in seconds], pairs, 1, PEAK_WAITING),
        share("peak of running requests", [n.running for n in seconds], pairs, 0, PEAK_RUNNING),
        check("running requests in seconds 5 to 17, greatest difference", 0,
              max(abs(n.running - run) for n, (run, _) in pairs
                  if FIRST_WAVE[0] <= n.moment <= FIRST_WAVE[1]), DECAY),
        check("running requests over all seconds, mean difference", 0,
              fmean(abs(now.running - run) for now, (run, _) in pairs),
              RUNNING * max(now.running for now in seconds)),
        check("waiting requests over all seconds, mean difference", 0,
              fmean(abs(now.waiting - wait) for now, (_, wait) in pairs),
              WAITING * max(now.waiting for now in seconds)),
        check("seconds from first request to last token", duration[0], duration[1],
              TIMES_OFF * duration[0]),
    ]  # fmt: skip
    for name in real:
        checks += [
            check(f"{name} {part}, s", real[name][part], found[name][part],
                  TIMES_OFF * real[name][part])
            for part in ("p50", "p90", "p99")
        ]  # fmt: skip
    return {
        "model": {key: getattr(model, key) for key in ("base", "per_token", "per_context")},
        "single_steps": len(single_steps(requests)),
        "offset": offset,
        "overtaken_in_log": overtaken(requests),
        "preemptions": result.preemptions["recompute"],
        "steps": result.steps,
        "invariant_checks": result.checks,
        "tokens_per_second": [tokens / each for each in duration],
        "latencies": {"log": real, "simulator": found},
        "curve": [[now.moment, now.running, run, now.waiting, wait] for now, (run, wait) in pairs],
        "checks": checks,
        "passed": all(each["within"] for each in checks),
    }


def check(what: str, log: float, found: float, tolerance: float) -> dict[str, Any]:
    """One comparison; the tolerance is in the unit of the value."""
    within = abs(found - log) <= tolerance
    return {"what": what, "log": log, "found": found, "tolerance": tolerance, "within": within}


def share(
    what: str,
    values: Sequence[int],
    pairs: Sequence[tuple[Second, tuple[int, int]]],
    place: int,
    tolerance: float,
) -> dict[str, Any]:
    """The peak of a curve, both read at the seconds of the log."""
    return check(what, max(values), max(p[place] for _, p in pairs), tolerance * max(values))


def main() -> int:
    """Runs everything, then prints, writes or compares the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the two files")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    parser.add_argument("--json", action="store_true", help="print the figures, write nothing")
    arguments = parser.parse_args()
    for name in ("requests.jsonl", "timeseries.csv"):
        if not (arguments.folder / name).is_file():
            parser.error(f"{arguments.folder} has no {name}")
    result = validate(arguments.folder)
    if arguments.json:
        print(json.dumps(result, indent=2))
        return int(not result["passed"])
    text = page(result)
    if arguments.check:
        stale = not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text
        print(f"docs/validation.md is {'stale' if stale else 'up to date'}")
        return int(stale)
    PAGE.write_text(text, encoding="utf-8")
    return int(not result["passed"])


if __name__ == "__main__":
    sys.exit(main())
