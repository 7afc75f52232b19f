"""Command lines and damaged files, drawn from the command's own parser and from valid files.

A flag or a command that is added is drawn without being listed here.
"""

# pyright: basic

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from lineclear.cli import COMMANDS, main, make_parser

#: Examples of a long search: about an hour by default.
LONG = int(os.environ.get("LINECLEAR_FUZZ", "20000"))
#: Seconds that the long searches of one run share; 0 for no limit.
SECONDS = float(os.environ.get("LINECLEAR_FUZZ_SECONDS", "0"))
#: Examples of one round. Hypothesis remembers all that it drew: a million in one round would be slow.
ROUND = 500
#: Seconds after which an example that still runs is shown.
STUCK = 20

#: Where each command's long work begins: a command line that comes so far was accepted.
WORK: Mapping[str, tuple[str, ...]] = {
    "check": ("lineclear.cli.check.run_stages",),
    "prove": ("lineclear_spec.proof.prove.prove", "lineclear_spec.crosscheck.smtlib.export"),
    "explore": ("lineclear_spec.parallel.in_parallel",),
    "simulate": (
        "lineclear.simulation.simulate.Simulation.run",
        "lineclear.lessons.tell",
        "lineclear.lessons.errata.tell_all",
    ),
    "compare": ("lineclear.simulation.compare.compare",),
    "policies": (
        "lineclear.cli.policies.asked",
        "lineclear.cli.policies.seen_all",
        "lineclear.cli.policies.seen",
    ),
    "run": ("lineclear_gpu.model.load_model", "lineclear_gpu.tag_run.TagRun.run"),
    "calibrate": ("lineclear_gpu.model.load_model",),
    "test": (
        "lineclear.testing.campaign.search_all",
        "lineclear.testing.campaign.search_random",
        "lineclear.testing.campaign.once",
    ),
    "replay": (),
    "conform": (),
    "why": (),
    "explain": ("lineclear.cli.explain.explain_mutant",),
    "diagram": ("lineclear.report.diagrams.draw",),
}

NUMBERS = [
    *("0", "1", "2", "3", "7", "-1", "1.5", "1e3", "1e400", "nan", "-inf", "", " ", "x"),
    *("0x10", "1_0", "٣", "9" * 30, "9" * 5000, "-" + "9" * 30),
]
WORDS = [
    *(
        "all",
        "fcfs",
        "priority",
        "vtc",
        "fcfs,priority",
        "swap",
        "recompute",
        "cpu",
        "none",
        "list",
    ),
    *("help", "proofs", "finish", "finish.guard.1", "conservation", "WAITING", "LC401", "LC999"),
    *("a:b", "os:path", "math:pi", "json:loads", ":", "a=1", "=", "weight=[", "base=1", "fit=x"),
    *("1+3", "0+0", "2+2x9p-1", "poisson", "tenants", "hostile:fcfs", "hostile:x", "lesson"),
    *("vllm_v0", "priority.P7", "float32", "tiny-llama", "\udcff", "\n", "a\nb", "é" * 300),
]
PATHS = [
    *(
        "-",
        ".",
        "..",
        "/",
        "none",
        "none/none",
        "file",
        "file/below",
        "locked",
        "a" * 300,
        "x.pdf",
    ),
    *("journal.jsonl", "log.jsonl", "kv.jsonl", "trace.csv", "trace.jsonl", "settings.toml"),
    *("steps.csv", "race.itf.json", "empty", "out.md", "new.jsonl"),
]


class Began(BaseException):
    """The command accepted its arguments, and its work would begin."""


def began(*_: object, **__: object) -> Any:
    """Instead of the work."""
    raise Began


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """The arguments of one command: some of its flags, and values good and bad."""
    name = draw(st.sampled_from(COMMANDS))
    values = st.one_of(*(st.sampled_from(pool) for pool in (NUMBERS, WORDS, PATHS)))
    line = [name]
    actions = parsers()[name]._actions
    flags = [each for each in actions if each.option_strings and each.dest != "help"]
    for flag in draw(st.lists(st.sampled_from(flags), max_size=4, unique_by=id)):
        line.append(draw(st.sampled_from(flag.option_strings)))
        if flag.nargs != 0:
            line += draw(
                st.lists(fitting(flag, values), min_size=1, max_size=2 if flag.nargs else 1)
            )
    for place in (each for each in actions if not each.option_strings):
        if place.nargs is None or draw(st.booleans()):
            line.append(draw(fitting(place, values)))
    return line


def fitting(action: argparse.Action, values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Values of one argument: mostly of its kind, so that one bad argument is beside good ones."""
    if action.choices is not None:
        return st.sampled_from([*map(str, action.choices), "x"])
    pools: dict[Any, list[str]] = {None: WORDS, str: WORDS, Path: PATHS}
    pool = pools.get(action.type, NUMBERS)
    return st.one_of(st.sampled_from(pool), values)


@cache
def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    (chosen,) = [a for a in make_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(chosen.choices)


def called(line: list[str], *, stop: bool = True) -> int | None:
    """The exit code of a command line, after its rules were checked; None if work would begin.

    Args:
        line: the arguments.
        stop: whether to end where the command's long work begins.

    Raises:
        AssertionError: a rule is broken: a traceback, another exit code, more or less than one line.
    """
    out, error = io.StringIO(), io.StringIO()
    before = folder_state()
    with (
        contextlib.ExitStack() as stack,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(error),
    ):
        stack.enter_context(mock.patch.object(sys, "stdin", io.StringIO("")))
        stack.enter_context(mock.patch.object(sys, "path", list(sys.path)))
        for place in WORK[line[0]] if stop else ():
            stack.enter_context(mock.patch(place, began))
        try:
            code = main(line)
        except Began:
            assert folder_state() == before, f"{line}: something was written although it was ended"
            return None
    assert code in (0, 1, 2, 3), f"{line}: exit code {code}"
    if code == 2:
        lines = error.getvalue().splitlines()
        assert len(lines) == 1, f"{line}: {lines}"
        assert lines[0].startswith("lineclear"), lines
        assert out.getvalue() == "", f"{line}: {out.getvalue()[:200]!r} beside an error"
        assert folder_state() == before, f"{line}: something was written beside an error"
    return code


def folder_state() -> dict[str, bytes]:
    """Every file here, with its content."""
    found: dict[str, bytes] = {}
    for folder, _, files in os.walk("."):
        if "__pycache__" in folder:
            continue
        for name in files:
            path = Path(folder, name)
            found[str(path)] = path.read_bytes() if os.access(path, os.R_OK) else b""
    return found


VALUES: list[Any] = [
    *(None, True, -1, 0, 1, 2, 7, 1.5, 10**30, -(10**30), 1e300, "", "x", "r1", "s1", "é\n"),
    *([], {}, [[]], {"a": 1}, ["finish", "r1"], [0, 1]),
]


@st.composite
def damaged(draw: st.DrawFn, text: str) -> str:
    """A valid file with a few changes: of its characters, its lines, or the values of its JSON."""
    for _ in range(draw(st.integers(1, 3))):
        change = draw(st.sampled_from(CHANGES))
        text = change(text, draw)
    return text


def at(text: str, draw: st.DrawFn) -> int:
    """A place in a text."""
    return draw(st.integers(0, max(0, len(text) - 1)))


def cut(text: str, draw: st.DrawFn) -> str:
    """Without some characters."""
    start = at(text, draw)
    return text[:start] + text[start + draw(st.integers(1, 40)) :]


def truncated(text: str, draw: st.DrawFn) -> str:
    """Only the beginning."""
    return text[: at(text, draw)]


def inserted(text: str, draw: st.DrawFn) -> str:
    """With something in between."""
    piece = draw(
        st.sampled_from(
            ["0", "-", "9" * 40, "9" * 5000, '"', "{", "[" * 3000, ",", "\n", "\0", "é", "=x"]
        )
    )
    start = at(text, draw)
    return text[:start] + piece + text[start:]


def lines_moved(text: str, draw: st.DrawFn) -> str:
    """With a line dropped, doubled or moved."""
    lines = text.splitlines(keepends=True) or [""]
    taken = lines.pop(draw(st.integers(0, len(lines) - 1)))
    for _ in range(draw(st.integers(0, 2))):
        lines.insert(draw(st.integers(0, len(lines))), taken)
    return "".join(lines)


def value_changed(text: str, draw: st.DrawFn) -> str:
    """With another value somewhere in the JSON of one line, or in one cell."""
    lines = text.splitlines() or [""]
    number = draw(st.integers(0, len(lines) - 1))
    try:
        content = json.loads(lines[number])
    except (ValueError, RecursionError):
        cells = lines[number].split(",")
        cells[draw(st.integers(0, len(cells) - 1))] = str(draw(st.sampled_from([*VALUES, "nan"])))
        lines[number] = ",".join(cells)
        return "\n".join(lines) + "\n"
    places = list(walk(content))
    if places:
        owner, key = draw(st.sampled_from(places))
        owner[key] = draw(st.sampled_from(VALUES))
    lines[number] = json.dumps(content)
    return "\n".join(lines) + "\n"


def walk(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a value in JSON."""
    keys = range(len(content)) if isinstance(content, list) else content
    if isinstance(content, list | dict):
        for key in keys:
            yield content, key
            yield from walk(content[key])


CHANGES: list[Callable[[str, st.DrawFn], str]] = [
    *(cut, truncated, inserted, lines_moved),
    *(value_changed, value_changed, value_changed),
]


def search(
    strategy: st.SearchStrategy[Any],
    examples: int,
    test: Callable[[Any], object],
    phases: tuple[Phase, ...] = (Phase.generate, Phase.shrink),
    begun: str | None = None,
) -> None:
    """Runs a test on drawn examples.

    Args:
        strategy: draws them.
        examples: how many.
        test: what is run on each.
        phases: of Hypothesis.
        begun: where its random numbers begin; None for what the profile says.
    """

    @settings(
        settings.default,
        max_examples=examples,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.function_scoped_fixture,
            HealthCheck.data_too_large,
            HealthCheck.filter_too_much,
            HealthCheck.large_base_example,
        ],
        phases=phases,
    )
    @given(strategy)
    def every(drawn: Any) -> None:
        test(drawn)

    (every if begun is None else seed(begun)(every))()


def search_long(
    strategy: st.SearchStrategy[Any],
    test: Callable[[Any], object],
    report: Callable[[str], object],
    seconds: float = 0,
) -> int:
    """Runs a test on LONG drawn examples, or on what time allows; how many they were.

    LINECLEAR_FUZZ_SEED says where the random numbers begin. Without it that is 0, or with
    LINECLEAR_RANDOM something new.

    Args:
        strategy: draws them.
        test: what is run on each.
        report: is called with a line of progress each half minute, and with the last count.
        seconds: after these no example is tested; 0 for no limit.
    """
    fresh = "0" if settings().derandomize else str(random.SystemRandom().getrandbits(32))
    begun = os.environ.get("LINECLEAR_FUZZ_SEED") or fresh
    start = reported = time.monotonic()
    tested, failed = 0, False

    def late() -> bool:
        return seconds > 0 and time.monotonic() - start >= seconds

    def limited(drawn: Any) -> None:
        nonlocal tested, failed, reported
        # What failed is shrunk to the end: an example that failed and is then skipped looks flaky.
        if late() and not failed:
            return
        if time.monotonic() - reported >= 30:
            reported = time.monotonic()
            report(f"seed {begun}: {tested:,} examples in {reported - start:.0f} s")
        # A caller of the engine once took all memory: the search was killed, and said nothing.
        stuck = threading.Timer(
            STUCK, report, [f"seed {begun}: no end in {STUCK} s: {repr(drawn)[:3000]}"]
        )
        stuck.daemon = True
        stuck.start()
        try:
            test(drawn)
        except BaseException:
            if not failed:
                report(f"seed {begun}: example {tested + 1:,} failed; it is shrunk now")
            failed = True
            raise
        finally:
            stuck.cancel()
        tested += 1

    rounds = 0
    while tested < LONG and not late():
        search(strategy, min(ROUND, LONG - tested), limited, begun=f"{begun}.{rounds}")
        rounds += 1
    report(f"seed {begun}: {tested:,} examples in {time.monotonic() - start:.0f} s, no finding")
    return tested
