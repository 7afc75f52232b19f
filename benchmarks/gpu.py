# pyright: basic
"""Measures the device code on a GPU: speed, copies, tags; and the machine's limits in the same run.

    python benchmarks/gpu.py                        every section, a table
    python benchmarks/gpu.py --part speed           attention, a decode step, the engine and its peer
    python benchmarks/gpu.py --part copies          swaps, copies on write, the host, swap or recompute
    python benchmarks/gpu.py --part long            models, parity under memory pressure, tags
    python benchmarks/gpu.py --part caching         prefix caching: a second turn, parity, tags
    python benchmarks/gpu.py --only limits,swaps    some sections
    python benchmarks/gpu.py --json FILE --markdown FILE

Each part takes less than 8 minutes, and has both sides of each of its ratios.

Times are medians; a copy's runs from before it is submitted until the GPU has passed it. Bytes are
checked after every measured copy. A failed section is reported and the others run; exit code 1
then, or if a required figure is missed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [
    str(ROOT / name)
    for name in ("spec", "reference", "gpu_backend", "benchmarks", "tests/support")
]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from gpu_attention import SHAPES, attention  # noqa: E402
from gpu_caching import caching  # noqa: E402
from gpu_copies import GIB, both, cow, limits, overlap, swaps  # noqa: E402
from gpu_host import host  # noqa: E402
from gpu_models import models  # noqa: E402
from gpu_parity import parity  # noqa: E402
from gpu_serving import decode, pressure, serving  # noqa: E402
from gpu_swapping import WORKLOADS, swapping  # noqa: E402
from gpu_tags import tags  # noqa: E402

Result = dict[str, Any]

#: (row, section, key, required, aim, unit); a figure is a share of a limit or a time.
TABLE = (
    ("swap out, scattered 2 MiB blocks", "swaps", "2048 KiB out share", 0.92, 0.97, "of the link"),
    ("swap in, scattered 2 MiB blocks", "swaps", "2048 KiB in share", 0.92, 0.97, "of the link"),
    ("swap out, scattered 64 KiB blocks", "swaps", "64 KiB out share", 0.90, 0.90, "of the link"),
    ("swap in, scattered 64 KiB blocks", "swaps", "64 KiB in share", 0.90, 0.90, "of the link"),
    ("both ways at once", "both", "share", 0.95, 0.95, "of the two-way total"),
    ("copy on write, 64 MiB", "cow", "64 MiB share", 0.90, 0.95, "of the device copy"),
    ("copy on write, 512 MiB", "cow", "512 MiB share", 0.80, 0.88, "of the device copy"),
    (
        "slowdown of an HBM-bound kernel while swapping",
        "overlap",
        "slowdown",
        -1.05,
        -1.01,
        "times",
    ),
    ("host time of a step, 256 sequences", "host", "us", -300, -100, "us"),
    ("end to end, ample memory, beside the peer", "serving", "times the peer", 2.5, 4.0, "times"),
    ("the same under memory pressure", "pressure", "times the peer", 2.0, 4.0, "times"),
    ("swap over recompute there", "pressure", "swap over recompute", 1.0, 1.05, "times"),
    *(
        (
            f"auto over the better of swap and recompute, {name} requests",
            "swapping",
            f"{name}: auto over the better",
            0.95,
            1.0,
            "times",
        )
        for name in WORKLOADS
    ),
    (
        "a decode step of 128 sequences, over its floor",
        "decode",
        "over floor",
        -3.0,
        -2.0,
        "times",
    ),
    ("GPU idle between decode steps", "decode", "idle share", -0.08, -0.03, ""),
    ("memory of recorded steps", "decode", "graphs GiB", -2.0, -1.0, "GiB"),
    (
        "host of the engine a step, 256 sequences",
        "decode",
        "host ms, 256 sequences",
        -0.7,
        -0.4,
        "ms",
    ),
    (
        "second turn of a conversation, over one chunk",
        "caching",
        "turns: second over a chunk",
        -2.0,
        -1.2,
        "times",
    ),
    *(
        (
            f"attention of decodes, head {head}, GQA {shared}, {rows} x {context}",
            "attention",
            f"head {head}, GQA {shared}, {rows} x {context} share",
            required,
            aim,
            "of the device copy",
        )
        for head, shared, rows, context, required, aim in SHAPES
    ),
)

SECTIONS: dict[str, Callable[[Result], Result]] = {
    "limits": limits,
    "swaps": swaps,
    "both": both,
    "cow": cow,
    "overlap": overlap,
    "host": host,
    "attention": attention,
    "decode": decode,
    "serving": serving,
    "pressure": pressure,
    "swapping": swapping,
    "models": models,
    "parity": parity,
    "tags": tags,
    "caching": caching,
}
#: Sections that run together; each part takes less than 8 minutes.
PARTS = {
    "copies": ("limits", "swaps", "both", "cow", "overlap", "host", "swapping"),
    "speed": ("attention", "decode", "serving", "pressure"),
    "long": ("models", "parity", "tags"),
    "caching": ("caching",),
}


# ---- reports ---------------------------------------------------------------------------------------


def machine() -> Result:
    """The machine and the versions."""
    import triton

    return {
        "date": datetime.date.today().isoformat(),
        "gpu": torch.cuda.get_device_name(),
        "memory GiB": round(torch.cuda.get_device_properties(0).total_memory / GIB, 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "triton": triton.__version__,
        "numpy": np.__version__,
    }


def judged(found: Result) -> list[tuple[str, str, str, str, bool]]:
    """Name, measured, required, aim and verdict of each table row whose section ran."""
    rows = []
    for title, section, key, required, aim, unit in TABLE:
        if section not in found:
            continue
        value = found[section].get(key)
        share = unit.startswith("of ") or not unit

        def shown(number: float, share: bool = share, unit: str = unit) -> str:
            return f"{number:.1%} {unit}".strip() if share else f"{number:.3g} {unit}"

        bounds = shown(abs(required)), shown(abs(aim))
        if value is None:
            rows.append((title, "not measured", *bounds, False))
            continue
        holds = value <= -required if required < 0 else value >= required
        rows.append((title, shown(value), *bounds, holds))
    return rows


def markdown(found: Result, part: str | None = None, only: str | None = None) -> str:
    """The page of the documentation."""
    chosen = (f" --only {only}" if only else "") + (f" --part {part}" if part else "")
    where = found["machine"]
    lines = [
        "# On a GPU",
        "",
        f"Made by `python benchmarks/gpu.py{chosen} --markdown FILE`; "
        + ", ".join(f"{key} {value}" for key, value in where.items())
        + ".",
        "",
        "| what | measured | required | aim |",
        "|---|---|---|---|",
    ]
    for title, value, required, aim, holds in judged(found):
        lines.append(f"| {title} | {value}{'' if holds else ' (missed)'} | {required} | {aim} |")
    for name, section in found.items():
        if name in ("machine",):
            continue
        lines += ["", f"## {name}", "", "| figure | value |", "|---|---|"]
        for key, value in section.items():
            if isinstance(value, (list, dict)):
                continue
            shown = f"{value:,.4g}" if isinstance(value, float) else f"{value}"
            lines.append(f"| {key} | {shown} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Runs the sections."""
    parser = argparse.ArgumentParser(description="Device code on a GPU.")
    parser.add_argument("--only", help="names of sections, comma separated")
    parser.add_argument("--part", choices=tuple(PARTS), help="some sections that belong together")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--markdown", metavar="FILE")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",") if arguments.only else list(SECTIONS)
    if unknown := [name for name in chosen if name not in SECTIONS]:
        parser.error(f"no section {', '.join(unknown)}; sections: {', '.join(SECTIONS)}")
    if arguments.part:
        chosen = [*(chosen if arguments.only else ()), *PARTS[arguments.part]]
    if not torch.cuda.is_available():
        print("there is no CUDA device here", file=sys.stderr)
        return 2
    found: Result = {"machine": machine()}
    failed = False
    stream = torch.cuda.Stream()  # the driver takes no batch of copies on the default stream
    for name in chosen:
        start = time.perf_counter()
        try:
            with torch.cuda.stream(stream):
                found[name] = SECTIONS[name](found)
        except Exception as error:
            failed = True
            found[name] = {"error": f"{type(error).__name__}: {error}"}
            traceback.print_exc()
        print(f"{name}: {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
        if arguments.json:
            Path(arguments.json).write_text(json.dumps(found, indent=1) + "\n")
        if arguments.markdown:
            Path(arguments.markdown).write_text(markdown(found, arguments.part, arguments.only))
    print(markdown(found, arguments.part, arguments.only))
    missed = [row[0] for row in judged(found) if not row[4]]
    return 1 if failed or missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
