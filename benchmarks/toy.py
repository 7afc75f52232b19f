"""Seconds to exhaust the toy, without reduction and by classes: the table's own actions, one core.

    python benchmarks/toy.py           three sizes
    python benchmarks/toy.py --deep    also 3 requests, 6 and 4 blocks without reduction
    python benchmarks/toy.py --json    for scripts

docs/toy.md says what the toy is. Time is the thread's own, the median of three runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "spec"))

from lineclear_spec.toy import ToyResult, search_toy  # noqa: E402

SIZES = (((3, 4, 2), False), ((3, 6, 4), True), ((4, 6, 4), True))
DEEP = (((3, 6, 4), False),)
#: Maximum seconds for 4 requests, 6 and 4 blocks, by classes.
BAR = 3.0


def measure(size: tuple[int, int, int], *, reduced: bool, repeat: int) -> dict[str, Any]:
    """One row."""

    def timed() -> tuple[float, ToyResult]:
        start = time.thread_time()
        found = search_toy(*size, reduced=reduced)
        return time.thread_time() - start, found

    runs = [timed() for _ in range(repeat)]
    took, found = statistics.median(seconds for seconds, _ in runs), runs[0][1]
    return {
        **found.as_dict(),
        "seconds": round(took, 2),
        "states_per_second": round(found.states / took),
        "moves_per_second": round(found.transitions / took),
    }


def main() -> int:
    """Measures and prints; 1 if the limit is exceeded."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--deep", action="store_true", help="also the size that takes half a minute"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    rows = [measure(size, reduced=reduced, repeat=3) for size, reduced in SIZES]
    if arguments.deep:
        rows += [measure(size, reduced=reduced, repeat=1) for size, reduced in DEEP]
    held = rows[2]["seconds"] <= BAR and all(row["complete"] for row in rows)
    if arguments.json:
        print(json.dumps({"rows": rows, "bar": BAR, "held": held}, indent=2))
        return int(not held)
    for row in rows:
        bounds = row["bounds"]
        size = f"{bounds['requests']}, {bounds['gpu_blocks']}, {bounds['cpu_blocks']}"
        kind = "classes" if bounds["reduced"] else "states"
        print(
            f"{size}: {row['states']:,} {kind} for {row['represented']:,} states, "
            f"{row['transitions']:,} moves in {row['seconds']} s: {row['states_per_second']:,} "
            f"{kind} and {row['moves_per_second']:,} moves a second"
        )
    print(f"{'held' if held else 'NOT HELD'}: 4, 6, 4 in {rows[2]['seconds']} s, at most {BAR}")
    return int(not held)


if __name__ == "__main__":
    sys.exit(main())
