"""Runs two Mooncake traces with and without prefix caching, and writes the figures into its page.

    python benchmarks/prefix.py FOLDER            with mooncake_conversation.jsonl and mooncake_synthetic.jsonl
    python benchmarks/prefix.py FOLDER --check    exit 1 if docs/prefix_caching.md is stale

The traces are not part of this repository; the page says where they come from. It takes about ten
minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[1] / "docs" / "prefix_caching.md"
BEGIN, END = "<!-- figures: traces -->", "<!-- end of figures -->"
#: Blocks of 16 tokens in the pool; the longest prompt needs 8,000.
POOLS = (16_384, 65_536, 262_144)
TRACES = ("mooncake_conversation.jsonl", "mooncake_synthetic.jsonl")
#: A device four times as fast as the default one, which can just serve the traces without caching.
FASTER = "base=1.4e-3 per_token=8.2e-6 per_sequence=1e-6 per_context=1.1e-8 per_pair=2.7e-10"
COMMAND = (
    "{trace} --num-gpu-blocks {blocks} --max-model-len 163840 --preemption-mode recompute "
    "--prefix-caching {caching} --check off "
    + " ".join(f"--step-time {number}" for number in FASTER.split())
)


def simulate(folder: Path, command: str) -> dict[str, Any]:
    """The JSON result of one run."""
    trace, *rest = shlex.split(command)
    done = subprocess.run(
        [sys.executable, "-m", "lineclear", "simulate", str(folder / trace), *rest, "--format", "json"],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def table(folder: Path) -> str:
    """The figures, with the command that gives each row."""
    lines = [
        "Every row is one run of `lineclear simulate` in simulated time, by `python benchmarks/prefix.py FOLDER`:",
        "",
        "```",
        "lineclear simulate " + COMMAND.format(
            trace="TRACE", blocks="BLOCKS", caching="CACHING"
        ),
        "```",
        "",
        "| trace | blocks | prompt tokens found | without bound | evicted | TTFT p50, s | off | "
        "TTFT p99, s | off |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    for trace in TRACES:
        for blocks in POOLS:
            on, off = (
                simulate(folder, COMMAND.format(trace=trace, blocks=blocks, caching=caching))
                for caching in ("all", "off")
            )
            for run in (on, off):
                if run["finished"] + run["rejected"] != run["requests"]:
                    raise SystemExit(f"{trace}, {blocks} blocks: {run['stalled']}")
            found, plain = on["metrics"], off["metrics"]
            cells = (
                f"`{trace.removesuffix('.jsonl').removeprefix('mooncake_')}`",
                f"{blocks:,}",
                f"{found['prefix_hit_rate']:.1%}",
                f"{found['prefix_hit_rate_unbounded']:.1%}",
                f"{found['prefix_evicted_blocks']:,}",
                f"{found['ttft']['p50']:.2f}",
                f"{plain['ttft']['p50']:.2f}",
                f"{found['ttft']['p99']:.2f}",
                f"{plain['ttft']['p99']:.2f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> int:
    """Writes the page, or compares it."""
    parser = argparse.ArgumentParser(description="Prefix caching on two traces.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    rows = table(arguments.folder)
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page = f"{before}{BEGIN}\n\n{rows}\n\n{END}{after}"
    if arguments.check:
        if page != text:
            print(f"{PAGE} is stale", file=sys.stderr)
        return int(page != text)
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
