"""Run time of `lineclear conform`: 100,000 events, rows of 128 sequences.

    python benchmarks/conform.py                       writes a log and checks it; prints both times
    python benchmarks/conform.py --events 240000       a longer log: time grows, memory does not
    python benchmarks/conform.py --write FILE          the log only, for `time lineclear conform FILE`

The log is of a synthetic engine with ample memory: 128 sequences decode in every step,
and one that ends is replaced. CPU time is that of the process, reading and JSON included; the peak is
what Python has allocated beyond what it had before, measured in a second reading.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lineclear.conform import Checker, Header, Reader

ROWS, SIZE, PROMPT, OUTPUT = 128, 16, 64, 160
PER_REQUEST = -(-(PROMPT + OUTPUT) // SIZE)


def events(count: int) -> Iterator[dict[str, Any]]:
    """Events of an engine that runs 128 sequences in every step."""
    free = list(range(ROWS * PER_REQUEST))
    live: dict[int, tuple[int, int, list[int]]] = {}  # position, tokens left, blocks
    made = said = n = 0

    def say(event: dict[str, Any]) -> dict[str, Any]:
        nonlocal said
        said += 1
        return event

    while said < count:
        while len(live) < ROWS:
            made += 1
            most = OUTPUT - made % 61
            blocks = [free.pop() for _ in range(PROMPT // SIZE)]
            live[made] = (0, most, blocks)
            yield say({"e": "submit", "r": made, "prompt": PROMPT, "max": most})
            yield say({"e": "alloc", "r": made, "blocks": list(blocks)})
        rows: list[list[Any]] = []
        for r, (at, left, blocks) in live.items():
            tokens = PROMPT if at == 0 else 1
            if at + tokens > len(blocks) * SIZE:
                blocks.append(free.pop())
                yield say({"e": "alloc", "r": r, "blocks": blocks[-1:]})
            rows.append([r, at, tokens, 1])
            live[r] = (at + tokens, left - 1, blocks)
        n += 1
        yield say({"e": "step", "n": n, "rows": rows})
        yield say({"e": "settle", "n": n})
        for r in [r for r, (_, left, _) in live.items() if left == 0]:
            blocks = live.pop(r)[2]
            free += blocks
            yield say({"e": "free", "r": r, "at": 0, "blocks": blocks})
            yield say({"e": "finish", "r": r})
        if n % 64 == 0:
            yield say({"e": "check", "free": sorted(free)})


def write(path: Path, count: int) -> None:
    """Writes a log with this many events."""
    header = Header(ROWS * PER_REQUEST, SIZE, engine="made up", max_seqs=ROWS, max_tokens=8192)
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps(header.json()) + "\n")
        for event in events(count):
            file.write(json.dumps(event, separators=(",", ":")) + "\n")


def check(path: Path) -> tuple[int, int]:
    """Checks a log; returns the number of events and steps."""
    with path.open(encoding="utf-8") as file:
        reader = Reader(file)
        checker = Checker(reader.header)
        assert checker.run(reader) == []
    return checker.number, checker.counts["step"]


def main() -> None:
    """Writes, checks, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--write", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if arguments.write is not None:
        write(arguments.write, arguments.events)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        write(path, arguments.events)
        started = time.process_time()
        count, steps = check(path)
        took = time.process_time() - started
        megabytes = path.stat().st_size / 1e6
        print(
            f"{count:,} events, {steps:,} steps of {ROWS} rows, {megabytes:.1f} MB: {took:.2f} s"
        )
        started = time.process_time()
        with path.open(encoding="utf-8") as file:
            for line in file:
                json.loads(line)
        print(f"of these json.loads alone: {time.process_time() - started:.2f} s")
        tracemalloc.start()
        check(path)
        print(f"peak memory: {tracemalloc.get_traced_memory()[1] / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
