"""`lineclear check`: every check for continuous integration, with a one-screen summary.

Guarantees: exit code 0 only if at least one stage passed and none failed or remained unknown; a failed stage takes
precedence over an inconclusive one. A skipped stage decides nothing: the summary lists what it would have checked.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineclear.cli.exits import INCONCLUSIVE, PASSED, REFUTED, UsageError
from lineclear.cli.files import need_file, need_folder, replace
from lineclear.cli.output import add_backend, write_json, write_text
from lineclear.cli.progress import Progress
from lineclear.cli.settings import option, options_of, usable

if TYPE_CHECKING:
    from lineclear.checks.stage import Context, Outcome, Stage

#: Where counterexamples go unless asked otherwise; `cache.FOLDER` too.
FOLDER = ".lineclear"
#: Equals `formats.FORMATS`, which `--help` does not import.
FORMATS = ("text", "json", "junit", "github", "markdown")

EPILOG = """\
--fast runs every proof with one solver and a representative part of the rest; --deep runs everything,
with five seeds, the stability run and larger bounds. The summary lists what was not run.

Passes are cached in .lineclear/ until something that they depend on changes; failures always run again.

examples:
  lineclear check                            what CI runs
  lineclear check --fast                     before a commit
  lineclear check --config scheduler.toml    also under your own configuration
  lineclear check --format junit > report.xml
  lineclear check --format github            annotations; a table in $GITHUB_STEP_SUMMARY
  lineclear check --stage proofs --stage scheduler
  lineclear check --policy my_module:MyPolicy --policy-options weight=3

--policy checks only what depends on the policy: its answers, its order on formulas, every behaviour
in small worlds, runs under memory pressure, and whether others can starve a request. The working
folder is searched for the module first. A policy with `may_starve = True` declares starvation.
"""


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "check",
        help="what CI runs: prove everything, search, refute every mutant; one screen",
        description="Prove every obligation with two solvers, search small worlds, exhaustively "
        "where the bounds allow, refute every mutant, run the scheduler under memory pressure, and "
        "list what was not run.",
        epilog=EPILOG,
    )
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--fast", action="store_true", help="a representative part")
    modes.add_argument("--deep", action="store_true", help="everything; takes long")
    parser.add_argument("--config", metavar="FILE.toml", help="your scheduler's settings")
    parser.add_argument(
        "--policy", metavar="MODULE:CLASS", help="check your policy, or a built-in one"
    )
    parser.add_argument(
        "--policy-options",
        action="extend",
        nargs="+",
        type=option,
        metavar="NAME=VALUE",
        help="arguments of the policy",
    )
    parser.add_argument(
        "--stage",
        action="append",
        default=[],
        metavar="NAME",
        help="run only this stage; repeatable",
    )
    parser.add_argument("--no-cache", action="store_true", help="ignore cached results")
    parser.add_argument(
        "--save", metavar="DIR", help="folder for counterexamples (default: .lineclear)"
    )
    parser.add_argument("--junit", metavar="FILE", help="also write a JUnit report")
    parser.add_argument("--format", choices=FORMATS, default="text", help="(default: text)")
    add_backend(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs the stages."""
    from lineclear.checks import formats
    from lineclear.checks.registry import POLICY_STAGES, STAGES

    need_targets(arguments)
    context = make_context(arguments)
    stages = chosen(POLICY_STAGES if context.policy else STAGES, arguments.stage)
    outcomes = run_stages(stages, context, cached=not arguments.no_cache)
    code = code_of(outcomes)
    files = save_counterexamples(outcomes, Path(arguments.save or FOLDER))
    if arguments.junit is not None:
        replace(Path(arguments.junit), formats.junit(outcomes))
    form: str = arguments.format
    if form == "json":
        write_json(formats.as_json(outcomes, context.mode, code))
    elif form == "junit":
        write_text(formats.junit(outcomes))
    elif form == "github":
        write_text(formats.github(outcomes, code))
        summarize(formats.markdown(outcomes, context.mode, code))
    elif form == "markdown":
        write_text(formats.markdown(outcomes, context.mode, code))
    else:
        write_text(formats.text(outcomes, context.mode, code, files))
    return code


def need_targets(arguments: argparse.Namespace) -> None:
    """Raises, before any stage runs, if what they find could not be written."""
    if arguments.save is not None:
        need_folder(arguments.save)
    if arguments.junit is not None:
        need_file(arguments.junit)
    table = os.environ.get("GITHUB_STEP_SUMMARY")
    if arguments.format == "github" and table:
        try:
            need_file(table)
        except UsageError as error:
            raise UsageError(f"$GITHUB_STEP_SUMMARY: {error}") from error


def chosen(stages: Sequence[Stage], names: Sequence[str]) -> list[Stage]:
    """The requested stages, in their own order.

    Raises:
        UsageError: there is no stage of a name.
    """
    known = {stage.name: stage for stage in stages}
    for name in names:
        if name not in known:
            raise UsageError(f"unknown stage {name!r}; known: {', '.join(known)}")
    return [stage for stage in stages if not names or stage.name in names]


def make_context(arguments: argparse.Namespace) -> Context:
    """The input of the stages, with the user's configuration or policy.

    Raises:
        UsageError: the configuration or the policy is invalid.
    """
    from lineclear.checks.stage import Context

    mode = "fast" if arguments.fast else "deep" if arguments.deep else "default"
    context = Context(mode, root=Path.cwd())
    if arguments.config is not None:
        from lineclear.cli.settings import read_toml
        from lineclear.config import Config, ConfigError

        settings = read_toml(arguments.config)
        try:
            context.config = Config.from_mapping(settings)
        except ConfigError as error:
            raise UsageError(f"LC801 {arguments.config}: {error}") from error
        context.config_text = repr(sorted(settings.items()))
    if arguments.policy is not None:
        set_policy(context, arguments.policy, options_of(arguments.policy_options or ()))
    elif arguments.policy_options is not None:
        raise UsageError("--policy-options needs --policy")
    elif context.config is not None:
        usable(context.config)
    return context


def set_policy(context: Context, policy: str, options: dict[str, Any]) -> None:
    """Sets the context to check one policy.

    Raises:
        UsageError: the policy cannot be created.
    """
    import dataclasses

    from lineclear.checks import cache
    from lineclear.config import Config, ConfigError

    try:
        context.config = dataclasses.replace(
            context.config or Config(),
            scheduling_policy=policy,
            policy_options=tuple(sorted(options.items())),
        )
    except ConfigError as error:
        raise UsageError(str(error)) from error
    usable(context.config)
    context.policy = policy
    context.policy_text = cache.modules_of(policy)


def run_stages(stages: Sequence[Stage], context: Context, *, cached: bool = True) -> list[Outcome]:
    """The outcome of each stage, in order; from the cache if nothing has changed."""
    from lineclear.checks import cache
    from lineclear.checks.stage import run_stage

    # A user's policy module is not part of the sources of the cache key, except with --policy.
    own = context.config is not None and ":" in context.config.scheduling_policy
    cached = cached and (not own or bool(context.policy_text))
    if cached:
        context.answers = cache.folder(context.root) / "answers"
    outcomes: list[Outcome] = []
    with Progress("stages", len(stages)) as progress:
        context.step = progress.tick
        for stage in stages:
            name = cache.key(stage, context) if cached else ""
            outcome = cache.load(stage, context, name) if cached else None
            if outcome is None:
                outcome = run_stage(stage, context)
                if cached:
                    cache.save(stage, context, name, outcome)
            outcomes.append(outcome)
            progress.step()
            for finding in outcome.findings[:1]:  # the rest, and its trace, come with the summary
                progress.say(f"{stage.name}: {finding.code} {finding.title}")
    return outcomes


def code_of(outcomes: Sequence[Outcome]) -> int:
    """The exit code: never 0 if no stage passed; skipped ones decide nothing."""
    statuses = [o.status for o in outcomes]
    if "refuted" in statuses:
        return REFUTED
    if "unknown" in statuses or not any(status == "passed" for status in statuses):
        return INCONCLUSIVE
    return PASSED


def save_counterexamples(outcomes: Sequence[Outcome], folder: Path) -> dict[int, str]:
    """Saves each counterexample; returns the files by the identity of their findings.

    A folder that cannot be written is reported on standard error, and the rest is left out.
    """
    from lineclear.checks.stage import Finding

    findings: list[Finding] = [
        f for o in outcomes for f in o.findings if f.content.get("kind") is not None
    ]
    if not findings:
        return {}
    import hashlib

    from lineclear.checks.counterexample import Counterexample
    from lineclear.checks.itf import write

    files: dict[int, str] = {}
    for finding in findings:
        saved = Counterexample.from_dict(finding.content)
        digest = hashlib.sha256(repr(saved).encode()).hexdigest()[:8]
        path = folder / f"{finding.code}-{digest}.itf.json"
        try:
            write(saved, path)
        except OSError as error:
            sys.stderr.write(f"cannot write {path}: {error.strerror or error}\n")
            return files
        files[id(finding)] = str(path)
    return files


def summarize(table: str) -> None:
    """Appends the table to the job summary of GitHub, if there is one."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(table + "\n")
        except OSError as error:
            raise UsageError(f"cannot write $GITHUB_STEP_SUMMARY: {error.strerror}") from error
