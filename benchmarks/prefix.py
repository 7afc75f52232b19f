"""Runs workloads with and without prefix caching in simulated time, and writes figures and picture of its page.

    python benchmarks/prefix.py            prompts that begin alike and arrive together; a minute
    python benchmarks/prefix.py FOLDER     two Mooncake traces too: mooncake_conversation.jsonl and
                                           mooncake_synthetic.jsonl, some ten minutes of one core
    ... --check                            exit 1 if docs/prefix_caching.md is stale

The traces are not part of this repository; the page says where they come from.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE, PICTURE = ROOT / "docs" / "prefix_caching.md", ROOT / "docs" / "pictures" / "hit-rate.png"
#: Blocks of 16 tokens in the pool; the longest prompt needs 8,000.
POOLS = (16_384, 32_768, 65_536, 131_072, 262_144)
ORDERS = ("lru", "lfu", "lfu_aging")
TRACES = ("mooncake_conversation.jsonl", "mooncake_synthetic.jsonl")
#: A device four times as fast as the default one, which can just serve the traces without caching.
FASTER = "base=1.4e-3 per_token=8.2e-6 per_sequence=1e-6 per_context=1.1e-8 per_pair=2.7e-10"
COMMAND = (
    "{file} --num-gpu-blocks {blocks} --max-model-len 163840 --preemption-mode recompute {settings} --check off "
    + " ".join(f"--step-time {number}" for number in FASTER.split())
)
#: What is compared on prompts that begin alike.
WAITS = (
    "--prefix-caching off",
    "--prefix-caching all",
    "--prefix-caching all --wait-for-prefix",
    "--prefix-caching all --long-prefill-token-threshold 512",
    "--prefix-caching all --long-prefill-token-threshold 512 --wait-for-prefix",
)


def simulate(file: Path, blocks: int, settings: str) -> dict[str, Any]:
    """The metrics of one run, in which every request was served or turned away."""
    command = shlex.split(COMMAND.format(file=file, blocks=blocks, settings=settings))
    done = subprocess.run(
        [sys.executable, "-m", "lineclear", "simulate", *command, "--format", "json"],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    run: dict[str, Any] = json.loads(done.stdout)
    if run["finished"] + run["rejected"] != run["requests"]:
        raise SystemExit(f"{file.name}, {blocks} blocks, {settings}: {run['stalled']}")
    metrics: dict[str, Any] = run["metrics"]
    return metrics


def row(*cells: str) -> str:
    """One row of a table, which is printed, too."""
    line = f"| {' | '.join(cells)} |"
    print(line, flush=True)
    return line


def traces(folder: Path) -> Iterator[str]:
    """Hit rates by size and order, and times to the first token with and without caching; and the picture."""
    yield row("trace", "blocks", *(f"found, {order}" for order in ORDERS), "without bound",
              "TTFT p50, s", "off", "TTFT p99, s", "off")  # fmt: skip
    yield row("---", *["---:"] * (len(ORDERS) + 6))
    curves: dict[str, dict[str, list[float]]] = {}
    for trace in TRACES:
        name = trace.removesuffix(".jsonl").removeprefix("mooncake_")
        rates = curves[name] = {order: [] for order in (*ORDERS, "without bound")}
        for blocks in POOLS:
            plain = simulate(folder / trace, blocks, "--prefix-caching off")
            runs = {
                order: simulate(
                    folder / trace, blocks, f"--prefix-caching all --prefix-eviction {order}"
                )
                for order in ORDERS
            }
            for order, run in runs.items():
                rates[order].append(run["prefix_hit_rate"])
            lru = runs["lru"]
            rates["without bound"].append(lru["prefix_hit_rate_unbounded"])
            times = [f"{run['ttft'][p]:.2f}" for p in ("p50", "p99") for run in (lru, plain)]
            found = [f"{of[-1]:.1%}" for of in rates.values()]
            yield row(f"`{name}`", f"{blocks:,}", *found, *times)
    draw(curves)


def draw(curves: dict[str, dict[str, list[float]]]) -> None:
    """Hit rates by the size of the pool, one part for each trace."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6))
    for axis, (name, rates) in zip(figure.subplots(1, len(curves)), curves.items(), strict=True):
        for order, values in rates.items():
            style = "k:" if order == "without bound" else "o-"
            axis.plot(
                POOLS, [100 * v for v in values], style, label=order, linewidth=1, markersize=4
            )
        axis.set_xscale("log", base=2)
        axis.set_xticks(POOLS, [f"{blocks:,}" for blocks in POOLS])
        axis.set_title(name)
        axis.set_xlabel("blocks of 16 tokens")
        axis.set_ylabel("prompt tokens found, %")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=80)  # pyright: ignore[reportUnknownMemberType]


def bursts(path: Path, seed: int = 0) -> int:
    """Writes 200 bursts of 4 to 24 prompts that begin alike, 1,024 to 4,096 tokens; how many tokens."""
    draw, rows, made, moment = random.Random(seed), list[dict[str, Any]](), 0, 0.0
    for _ in range(200):
        moment += draw.expovariate(1.0)
        shared = draw.choice((2, 4, 8))
        begin = range(made, made + shared)
        made += shared
        for _ in range(draw.randint(4, 24)):
            rows.append({
                "timestamp": int(1000 * moment),
                "input_length": 512 * (shared + 1) - draw.randint(0, 500),
                "output_length": draw.randint(20, 300),
                "hash_ids": [*begin, made],
            })  # fmt: skip
            made += 1
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return sum(each["input_length"] for each in rows)


def alike() -> Iterator[str]:
    """What waiting for a prefix saves where prompts that begin alike arrive together."""
    yield row(
        "settings", "prompt tokens found", "computed, millions", "TTFT p50, s", "TTFT p99, s"
    )
    yield row("---", *["---:"] * 4)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bursts.jsonl"
        asked, bound = bursts(path), 0.0
        for settings in WAITS:
            run = simulate(path, 65_536, settings)
            rate = run["prefix_hit_rate"] or 0.0
            bound = run["prefix_hit_rate_unbounded"] or bound
            times = [f"{run['ttft'][p]:.3f}" for p in ("p50", "p99")]
            yield row(f"`{settings}`", f"{rate:.1%}", f"{(1 - rate) * asked / 1e6:.2f}", *times)
    yield ""
    yield f"A cache without bound would find {bound:.1%}."


def filled(text: str, name: str, lines: list[str]) -> str:
    """The page with other lines between the marks of this name."""
    begin, end = f"<!-- figures: {name} -->", "<!-- end of figures -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return "".join([before, begin, "\n\n", "\n".join(lines), "\n\n", end, after])


def main() -> int:
    """Writes the page, or compares it."""
    parser = argparse.ArgumentParser(description="Prefix caching in simulated time.")
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    text = page = PAGE.read_text(encoding="utf-8")
    page = filled(page, "alike", list(alike()))
    if arguments.folder is not None:
        page = filled(page, "traces", list(traces(arguments.folder)))
    if arguments.check:
        if page != text:
            print(f"{PAGE} is stale", file=sys.stderr)
        return int(page != text)
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
