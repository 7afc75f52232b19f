"""`lineclear simulate`: runs the scheduler on a workload and reports what users would see.

Guarantees: exit code 0 only if requests were accepted, the run completed and no invariant was violated; workload and
configuration are read completely before anything runs or is written.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from lineclear.cli.exits import INCONCLUSIVE, PASSED, REFUTED, UsageError
from lineclear.cli.files import need_distinct, writing
from lineclear.cli.numbers import SEED, real, shown, whole
from lineclear.cli.output import add_format, write_json, write_text
from lineclear.cli.progress import Progress
from lineclear.cli.settings import add_settings, read_settings
from lineclear.cli.summary import summary

if TYPE_CHECKING:
    from lineclear.config import Config
    from lineclear.simulation.steptime import StepTime
    from lineclear.theorems.bound_checks import BoundCheck
    from lineclear.workload.workload import Workload

EPILOG = """\
WORKLOAD is a CSV or JSONL file, identified by its columns, or - for standard input:
  arrival_time,prompt_tokens,output_tokens    seconds and tokens; optional columns are request_id,
                                              max_tokens, priority, n, client,
                                              predicted_tokens, deadline
  Azure 2023 (CSV), Mooncake (JSONL), and the traces of VTC, Vidur and LLMServingSim as published

The scheduler sees a request's max_tokens, never its actual number of output tokens.

examples:
  lineclear simulate                                         an embedded workload, short of memory
  lineclear simulate trace.csv --num-gpu-blocks 2048 --num-cpu-blocks 1024 --preemption-mode swap
  lineclear simulate trace.jsonl --config scheduler.toml --format json
  lineclear simulate --journal run.jsonl                     then: lineclear replay run.jsonl
  lineclear simulate --scheduling-policy aging --guarantees  theorems, bounds, observed maxima
  lineclear simulate --lesson list                           the lesson's worked examples
  lineclear simulate --lesson all                            all of them, in the lesson's order
"""

#: Defaults for the embedded workload: a pool that is too small, so that it preempts.
EMBEDDED_POOL = {"num_gpu_blocks": 256, "num_cpu_blocks": 48, "max_model_len": 2048}


def check_every(text: str) -> int:
    """Number of steps between two checks; 0 is never."""
    if text in ("every", "off"):
        return 1 if text == "every" else 0
    try:
        return whole(1)(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is not every, off or a number of steps"
        ) from None


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "simulate",
        help="run the scheduler on a workload",
        description="Run the scheduler on a workload in simulated time, every invariant checked.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "workload", nargs="?", metavar="WORKLOAD", help="default: an embedded workload"
    )
    parser.add_argument(
        "--lesson",
        metavar="NAME",
        help="run a worked example of the lesson instead, or all; list shows their names",
    )
    add_settings(parser)
    add_workload(parser)
    running = parser.add_argument_group("run")
    add_run(running, check="every")
    running.add_argument(
        "--journal", metavar="FILE", help="write every action, for lineclear replay"
    )
    running.add_argument(
        "--guarantees",
        action="store_true",
        help="print the status of each theorem of the policy under these settings, and each bound "
        "beside the maximum observed",
    )
    add_format(parser)


def add_run(running: Any, check: str) -> None:
    """Adds the options of the run to their group; `check` is the default of --check."""
    running.add_argument(
        "--step-time",
        action="append",
        default=[],
        metavar="NAME=SECONDS",
        help="change the step-time model; 'help' explains it",
    )
    running.add_argument(
        "--check",
        type=check_every,
        default=check_every(check),
        metavar="every|N|off",
        help=f"check every invariant after every step, every N steps, or never (default: {check})",
    )


def add_workload(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the workload."""
    drawing = parser.add_argument_group("workload")
    drawing.add_argument(
        "--seed",
        type=SEED,
        default=0,
        metavar="N",
        help="seed of a generated workload (default: 0)",
    )
    drawing.add_argument(
        "--num-requests",
        type=whole(1, 100_000_000),
        metavar="N",
        help="number of requests to generate or to read",
    )
    drawing.add_argument(
        "--request-rate",
        type=real(above=1e-9, most=1e9),
        metavar="R",
        help="arrivals per second of a generated workload, or of a file without times; users "
        "of a closed workload",
    )
    drawing.add_argument(
        "--generate",
        metavar="KIND",
        help="generate poisson, bursty, heavy_tail, closed, tenants or hostile:POLICY requests",
    )
    drawing.add_argument(
        "--max-tokens",
        type=whole(1, 1 << 31),
        default=2048,
        metavar="N",
        help="max_tokens of rows without one; longer outputs are cut (default: 2048)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs a lesson or a simulation."""
    if arguments.lesson is not None:
        from lineclear.cli.lesson import run_lesson

        return run_lesson(arguments)
    from lineclear.simulation.garbage import seldom_collected
    from lineclear.simulation.simulate import Simulation
    from lineclear.theorems.bound_checks import Holding, broken_bounds

    if "help" in arguments.step_time:
        arguments.parser.refuse_idle("--step-time help explains the model alone", "step_time")
        write_text(explain_step_time())
        return PASSED
    need_distinct(WORKLOAD=arguments.workload, config=arguments.config, journal=arguments.journal)
    defaults = EMBEDDED_POOL if arguments.workload is None else {}
    config = read_settings(arguments, defaults)
    model = step_time(arguments.step_time)
    workload = load(arguments)
    holding = Holding(config, workload) if arguments.guarantees else None
    check_prefix_ids(workload, config)
    journal_file = nullcontext() if arguments.journal is None else writing(arguments.journal)
    with journal_file as journal:
        simulation = Simulation(
            workload,
            config,
            model=model,
            check_every=arguments.check,
            journal=journal,
            policy=None if holding is None else holding.policy,
            service=holding,
        )
        with Progress("requests", len(workload.requests)) as progress, seldom_collected():
            result = simulation.run(progress.step)
    held = [] if holding is None else holding.rows()
    if arguments.format == "json":
        content = result.json()
        content["lost_theorems"] = lost_theorems(config, workload)
        if held:
            content["theorems"] = [row.json() for row in held]
        write_json(content)
    else:
        write_text("\n".join([summary(result, progress=not held), *bound_lines(held)]))
    if result.violations or broken_bounds(held):
        return REFUTED
    return INCONCLUSIVE if result.stalled or result.none_accepted else PASSED


def check_prefix_ids(workload: Workload, config: Config) -> None:
    """Checks that the workload's prefix ids can name blocks, if they are to.

    Raises:
        UsageError: they cannot.
    """
    from lineclear.workload.prefixes import check_prefixes
    from lineclear.workload.workload import WorkloadError

    if config.prefix_caching != "off":
        try:
            check_prefixes(workload, config.block_size)
        except WorkloadError as error:
            raise UsageError(str(error)) from error


def lost_theorems(config: Config, workload: Workload) -> dict[str, str]:
    """Theorems of the policy that do not hold here, and why."""
    from lineclear.theorems.guarantees import guarantees

    return {row.theorem: row.why for row in guarantees(config, workload) if row.lost}


def bound_lines(held: list[BoundCheck]) -> list[str]:
    """Lines for the theorems and the observed maxima; none if they were not asked for."""
    from lineclear.theorems.bound_checks import broken_bounds, lines

    if not held:
        return []
    return ["", *lines(held), *[f"bound exceeded: {line}" for line in broken_bounds(held)]]


def load(arguments: argparse.Namespace, *, seeded: bool = False) -> Workload:
    """Loads the requested workload.

    Args:
        arguments: of the command.
        seeded: whether the command itself draws by the seed, too.

    Raises:
        UsageError: it cannot be read or drawn, or an argument would have no effect on it.
    """
    from lineclear.workload.generators import generate
    from lineclear.workload.readers import read_workload
    from lineclear.workload.workload import (
        EMBEDDED_RATE,
        EMBEDDED_REQUESTS,
        WorkloadError,
        spread_out,
        synthetic,
    )

    try:
        if arguments.workload is None:
            arguments.parser.refuse("a generated workload has limits of its own", "max_tokens")
            count = arguments.num_requests or EMBEDDED_REQUESTS
            rate = EMBEDDED_RATE if arguments.request_rate is None else arguments.request_rate
            if arguments.generate is not None:
                return generate(arguments.generate, count, rate, arguments.seed)
            return synthetic(count, rate, arguments.seed)
        if arguments.generate is not None:
            raise WorkloadError("--generate makes a workload: omit the file")
        read = read_workload(
            arguments.workload, max_tokens=arguments.max_tokens, limit=arguments.num_requests
        )
        if arguments.request_rate is None:
            if not seeded:
                arguments.parser.refuse("nothing is drawn for a file with times", "seed")
            return read
        return spread_out(read, arguments.request_rate, arguments.seed)
    except WorkloadError as error:
        raise UsageError(str(error)) from error


def step_time(settings: list[str]) -> StepTime:
    """The requested step-time model, with its changes."""
    from dataclasses import fields, replace

    from lineclear.simulation.steptime import StepTime

    names = [field.name for field in fields(StepTime)]
    model = StepTime()
    for setting in sorted(settings, key=lambda one: one.partition("=")[0] not in MODELS):
        name, _, value = setting.partition("=")
        try:
            if name in MODELS:
                model = named_model(name, value)
            elif name in names:
                model = replace(model, **{name: real()(value)})
            else:
                raise ValueError(f"NAME is one of {', '.join((*MODELS, *names))}")
        except (argparse.ArgumentTypeError, ValueError) as error:
            raise UsageError(f"--step-time {shown(setting)}: {error}") from error
    return model


#: Complete models, by their `--step-time` names.
MODELS = ("constant", "linear", "fit")


def named_model(name: str, value: str) -> StepTime:
    """One of `MODELS`.

    Raises:
        ValueError: its numbers or its file are invalid.
    """
    from lineclear.simulation import stepmodels

    if name == "fit":
        if not value:
            raise ValueError("fit needs a file: write fit=FILE")
        return stepmodels.fitted(value)
    parts = value.split(",")
    if len(parts) != (1 if name == "constant" else 2):
        raise ValueError("write constant=SECONDS or linear=BASE,PER_TOKEN")
    numbers = list(map(real(), parts))
    return stepmodels.constant(*numbers) if name == "constant" else stepmodels.linear(*numbers)


def explain_step_time() -> str:
    """The model and its numbers."""
    from dataclasses import fields
    from inspect import cleandoc

    from lineclear.simulation.steptime import StepTime

    numbers = [f"  {field.name}={field.default:g}" for field in fields(StepTime)]
    models = (
        "Complete models: constant=SECONDS, linear=BASE,PER_TOKEN, and fit=FILE, a CSV of measured steps "
        "with a column\nseconds and those of tokens, sequences, context, pairs that were measured."
    )
    return "\n".join([cleandoc(StepTime.__doc__ or ""), "", "Defaults:", *numbers, "", models])
