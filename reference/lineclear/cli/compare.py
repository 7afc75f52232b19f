"""`lineclear compare`: one workload under several policies, as a table and as plots.

Guarantees: exit code 0 only if every run accepted requests and completed without a violation.
matplotlib is imported only for --plot.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lineclear.cli.exits import INCONCLUSIVE, NONE_ACCEPTED, PASSED, REFUTED, UsageError
from lineclear.cli.files import need_folder, reason
from lineclear.cli.numbers import real
from lineclear.cli.output import add_backend, add_format, write_json, write_text
from lineclear.cli.progress import Progress
from lineclear.cli.settings import add_settings, import_from_here, read_settings
from lineclear.cli.simulate import (
    EMBEDDED_POOL,
    add_run,
    add_workload,
    check_prefix_ids,
    explain_step_time,
    load,
    step_time,
)
from lineclear.cli.summary import prefix_line

if TYPE_CHECKING:
    from lineclear.simulation.compare import PolicyRow

EPILOG = """\
Times are in seconds. `passed` is the most requests that overtook one that arrived before them,
`gap` the largest difference in service between two tenants while both had requests waiting, and
`bound` the policy's stated bound on it. Below the table: each bound that a theorem states for these
settings and requests, as a formula and a number, beside the observed maximum; and the theorems that
the settings invalidate, with the premise that fails.

examples:
  lineclear compare --policies fcfs,priority,mlfq
  lineclear compare trace.csv --policies fcfs,vtc,drr --num-gpu-blocks 512 --plot pictures
  lineclear compare --generate tenants --policies fcfs,vtc --format json
  lineclear compare trace.csv --policies fcfs,my_module:MyPolicy
"""

COLUMNS = (
    ("policy", "<12"),
    ("finished", ">9"),
    ("TTFT mean", ">10"),
    ("p99", ">9"),
    ("TPOT p50", ">9"),
    ("e2e mean", ">9"),
    ("p99", ">9"),
    ("queue max", ">10"),
    ("tokens/s", ">9"),
    ("swaps", ">6"),
    ("recomputes", ">11"),
    ("passed", ">7"),
    ("SLO", ">6"),
    ("gap", ">10"),
    ("bound", ">11"),
)


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "compare",
        help="run a workload under several policies",
        description="Run one workload under several policies in simulated time.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "workload", nargs="?", metavar="WORKLOAD", help="default: an embedded workload"
    )
    parser.add_argument(
        "--policies",
        default="fcfs,priority",
        metavar="A,B,...",
        help="built-in names or module:Class, comma separated (default: fcfs,priority)",
    )
    parser.add_argument(
        "--plot", metavar="FOLDER", help="write plots to this folder (extra: plot)"
    )
    parser.add_argument(
        "--picture",
        choices=("svg", "png"),
        help="format of the plots (default: svg)",
    )
    add_settings(parser)
    add_workload(parser)
    running = parser.add_argument_group("run")
    add_run(running, check="off")
    running.add_argument(
        "--slo-ttft",
        type=real(above=0),
        default=1.0,
        metavar="S",
        help="goal: time to first token (default: 1)",
    )
    running.add_argument(
        "--slo-tpot",
        type=real(above=0),
        default=0.05,
        metavar="S",
        help="goal: time per further token (default: 0.05)",
    )
    add_backend(parser)
    add_format(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs every policy and prints one table."""
    from lineclear.simulation.compare import ServiceGoal, compare
    from lineclear.theorems.bound_checks import broken_bounds

    if "help" in arguments.step_time:
        arguments.parser.refuse_idle("--step-time help explains the model alone", "step_time")
        write_text(explain_step_time())
        return PASSED
    policies = [name.strip() for name in arguments.policies.split(",")]
    for name in policies:
        if not name or policies.count(name) > 1:
            wrong = f"{name} more than once" if name else "no policy beside a comma"
            raise UsageError(f"--policies {arguments.policies!r} names {wrong}: write A,B,...")
    if arguments.picture is not None and arguments.plot is None:
        raise UsageError("--picture is the format of --plot: omit it, or add --plot FOLDER")
    if any(":" in name for name in policies):
        import_from_here()
    config = read_settings(arguments, EMBEDDED_POOL if arguments.workload is None else {})
    one = config.scheduling_policy
    if (arguments.scheduling_policy or arguments.policy_options) and one not in policies:
        raise UsageError(
            f"--scheduling-policy and --policy-options are those of {one}, which --policies does not name: "
            "omit them, or name it there"
        )
    workload = load(arguments)
    check_prefix_ids(workload, config)
    draw: Callable[[list[PolicyRow], str, str], list[str]] | None = None
    if arguments.plot is not None:  # report a missing extra before the runs, not after
        draw = import_module("lineclear.report.plots").draw
        need_folder(arguments.plot)
    try:
        with Progress("policies", len(policies)) as progress:
            rows = compare(
                workload,
                config,
                policies,
                model=step_time(arguments.step_time),
                goal=ServiceGoal(arguments.slo_ttft, arguments.slo_tpot),
                check_every=arguments.check,
                on_row=progress.step,
            )
    except ValueError as error:
        raise UsageError(str(error)) from error
    drawn: list[str] = []
    if draw is not None:
        try:
            drawn = draw(rows, str(arguments.plot), arguments.picture or "svg")
        except OSError as error:
            raise UsageError(f"cannot write plots to {arguments.plot}: {reason(error)}") from error
    if arguments.format == "json":
        compared = {"workload": workload.name, "policies": [row.json() for row in rows]}
        write_json({**compared, "pictures": drawn})
    else:
        write_text("\n".join([f"{workload.name}", "", *table(rows), "", *bounds(rows), *drawn]))
    if any(row.result.violations or broken_bounds(row.held) for row in rows):
        return REFUTED
    stopped = any(row.result.stalled or row.result.none_accepted for row in rows)
    return INCONCLUSIVE if stopped else PASSED


def bounds(rows: list[PolicyRow]) -> list[str]:
    """Each bound beside the observed maximum, and lost guarantees, by policy."""
    from lineclear.theorems.bound_checks import bound_lines, broken_bounds
    from lineclear.theorems.guarantees import verdict

    lines = bound_lines([held for row in rows for held in row.held])
    for row in rows:
        lines.append(f"{row.policy}: {verdict(held.guarantee for held in row.held)}")
        lines += [f"  bound exceeded: {line}" for line in broken_bounds(row.held)]
    return [*lines, ""]


def table(rows: list[PolicyRow]) -> list[str]:
    """One line for each policy."""
    lines = ["".join(format(title, width) for title, width in COLUMNS)]
    for row in rows:
        metrics, result = row.result.metrics, row.result

        def seconds(name: str, part: str, metrics: dict[str, Any] = metrics) -> str:
            values = metrics[name]
            return "-" if values is None else f"{values[part]:.3f}"

        rate = metrics["generated_tokens_per_second"]
        cells = (
            row.policy,
            f"{result.finished:,}",
            seconds("ttft", "mean"),
            seconds("ttft", "p99"),
            seconds("tpot", "p50"),
            seconds("e2e", "mean"),
            seconds("e2e", "p99"),
            seconds("queue_delay", "max"),
            "-" if rate is None else f"{rate:,.0f}",
            f"{result.preemptions['swap']:,}",
            f"{result.preemptions['recompute']:,}",
            f"{row.passed:,}",
            f"{row.attained:.0%}",
            "-"
            if row.service.gap is None or len(row.service.tenants) < 2
            else f"{row.service.gap:,.0f}",
            "-" if row.bound is None else f"{row.bound:,.0f}",
        )
        lines.append(
            "".join(format(cell, width) for cell, (_, width) in zip(cells, COLUMNS, strict=True))
        )
        found = prefix_line(result)
        lines += [f"  prefix cache: {found}"] if found else []
        lines += [f"  violated: {violation}" for violation in result.violations]
        lines += [f"  policy failed: {failure}" for failure in result.failures]
        lines += [f"  stalled: {result.stalled}"] if result.stalled else []
        lines += [f"  {NONE_ACCEPTED}"] if result.none_accepted else []
    return lines
