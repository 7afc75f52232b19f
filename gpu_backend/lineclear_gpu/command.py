# pyright: basic
"""`lineclear run`: the scheduler drives a real block pool, with a model or with tags.

Here are its arguments and the run with tags; `model_run` runs a model.

Guarantees: exit code 0 only if every request ended as expected, no invariant was violated and, with --compare, the
tokens equal those under ample memory. torch and transformers are imported only when it runs.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from lineclear.cli.exits import PASSED, REFUTED, UsageError
from lineclear.cli.numbers import real, whole
from lineclear.cli.output import add_format, write_json, write_text
from lineclear.cli.settings import SETTINGS, add_settings, read_settings
from lineclear.cli.simulate import add_workload
from lineclear_gpu.model_arguments import SMALL, add_model, device_of

EPILOG = """\
Prompts are random tokens; prompt and output lengths come from the workload. All requests are added
at once, in order.

examples:
  lineclear run                                     a tiny model on the CPU, short of memory
  lineclear run --compare                           the same, and again with an ample pool: equal?
  lineclear run --compare --preemption-mode swap    victims are swapped out, blocks not shared
  lineclear run --model none --steps 5000           no model: tags in every slot, checked when read
  lineclear run trace.csv --model ./llama --device cuda --gpu-memory-utilization 0.8
  lineclear run --verify-each-step --format json    every invariant in every step
"""

#: What a run with tags uses, besides the settings.
OF_TAGS = ("model", "device", "seed", "steps", "verify_each_step", "config", "preset", "format")


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "run",
        help="run a model on this scheduler, short of memory or not",
        description="Run a model, or tags instead of one, over real block pools.",
        epilog=EPILOG,
    )
    parser.add_argument("workload", nargs="?", metavar="WORKLOAD", help="default: a random one")
    add_model(parser, "a preset with random weights, a folder, an id of the hub, or none")
    parser.add_argument(
        "--gpu-memory-utilization",
        type=real(above=0, most=1),
        default=0.9,
        metavar="SHARE",
        help="share of the GPU memory that weights, blocks and activations may take (default: 0.9)",
    )
    parser.add_argument(
        "--eager",
        action="store_true",
        help="on a GPU: no recorded steps and no fused layers; the host launches every kernel",
    )
    parser.add_argument(
        "--calibration",
        metavar="FILE",
        help="measured costs for --preemption-mode auto (default: on a GPU the file of "
        "`lineclear calibrate`; measured at start if it lacks them)",
    )
    parser.add_argument(
        "--temperature",
        type=real(least=0),
        default=0.0,
        metavar="T",
        help="0 is greedy (default: 0)",
    )
    parser.add_argument("--steps", type=whole(1), metavar="N", help="stop after this many steps")
    parser.add_argument(
        "--verify-each-step",
        action="store_true",
        help="check every invariant and the order of all accesses after each step",
    )
    parser.add_argument(
        "--compare", action="store_true", help="run again with ample memory and compare tokens"
    )
    add_settings(parser)
    add_workload(parser)
    add_format(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs with tags or with a model."""
    device = device_of(arguments)
    if arguments.model == "none":
        return run_tags(arguments, device)
    from lineclear_gpu.model_run import run_model

    return run_model(arguments, device)


def run_tags(arguments: argparse.Namespace, device: str) -> int:
    """Random requests, forks and aborts; checks every slot that is read."""
    from lineclear.monitor.audit import InvariantViolation
    from lineclear.monitor.hazards import Hazard
    from lineclear_gpu.block_names import serving_settings
    from lineclear_gpu.engine import EngineError
    from lineclear_gpu.pool import PoolError
    from lineclear_gpu.tag_run import TagRun, WrongTag, pressure

    arguments.parser.refuse_idle(
        "--model none generates its own requests and runs no model", *OF_TAGS, *SETTINGS
    )
    defaults = {name: getattr(pressure(), name) for name in SMALL}
    config = read_settings(arguments, defaults, serving_settings)
    steps = arguments.steps or 2000
    start = time.perf_counter()
    try:
        made = TagRun(config, arguments.seed, device=device, check=arguments.verify_each_step)
    except (PoolError, EngineError) as error:
        raise UsageError(str(error)) from error
    try:
        figures = made.run(steps)
    except (WrongTag, InvariantViolation, Hazard) as violation:
        notes = getattr(violation, "__notes__", [])
        found = "; ".join([str(violation), *notes])
        if arguments.format == "json":
            write_json(
                {"model": None, "device": device, "seed": arguments.seed, "violations": [found]}
            )
        else:
            write_text(f"violated: {found}")
        return REFUTED
    seconds = time.perf_counter() - start
    result = {
        "model": None,
        "device": device,
        "seed": arguments.seed,
        "steps": figures.steps,
        "rows": figures.rows,
        "slots_checked": figures.slots,
        "wrong_slots": 0,
        "events": dict(sorted(figures.events.items())),
        "seconds": seconds,
    }
    if arguments.format == "json":
        write_json(result)
    else:
        events = ", ".join(f"{count:,} {name}" for name, count in result["events"].items())
        write_text(
            f"{figures.steps:,} steps on {device} in {seconds:.1f} s, {figures.rows:,} rows\n"
            f"{figures.slots:,} slots read and checked, none wrong\n{events}"
        )
    return PASSED
