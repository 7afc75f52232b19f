"""The pytest plugin: loaded in every project that has lineclear installed.

Guarantees: importing it imports nothing but pytest, and no option of the project is changed; without
an entry of `lineclear_schedulers` in the project's configuration nothing is collected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lineclear.testing import SchedulerUnderTest

#: Random runs of an item, and of the fixture unless another number is asked for.
RUNS = 200


def pytest_addoption(parser: pytest.Parser) -> None:
    """Names of schedulers that are tested as items of their own."""
    parser.addini(
        "lineclear_schedulers",
        "schedulers that lineclear tests, one a line: MODULE:FUNCTION or FILE.py:FUNCTION",
        type="linelist",
    )
    parser.addini(
        "lineclear_runs", f"random runs of each of them (default: {RUNS})", default=str(RUNS)
    )


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker: `--strict-markers` accepts it and `-m lineclear` selects by it."""
    config.addinivalue_line(
        "markers", "lineclear: checks a scheduler against lineclear's actions and invariants"
    )


class SchedulerItem(pytest.Item):
    """One scheduler, driven at random by seed 0."""

    def __init__(self, *, target: str, runs: int, **rest: Any) -> None:
        super().__init__(**rest)  # pyright: ignore[reportUnknownMemberType]
        self.target = target
        self.runs = runs
        self.add_marker("lineclear")

    def runtest(self) -> None:
        """Fails with the shrunk finding."""
        from lineclear.testing.target import make_of

        examine(make_of(self.target), self.runs, 0, f"lineclear test {self.target} --seed 0")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The finding without a traceback, which would be that of the machine."""
        if isinstance(excinfo.value, AssertionError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Where it comes from."""
        return self.path, None, f"lineclear test {self.target}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Adds an item for each scheduler that the project names; -k and -m select among them too."""
    if config.args_source is config.ArgsSource.ARGS:
        return  # certain files were asked for
    for target in config.getini("lineclear_schedulers"):
        runs = int(config.getini("lineclear_runs"))
        make: Any = getattr(SchedulerItem, "from_parent")  # noqa: B009 - pytest leaves its type open
        items.append(make(session, name=target, target=target, runs=runs))


Check = Callable[..., None]


@pytest.fixture
def check_scheduler() -> Check:
    """Tests a scheduler: `check_scheduler(make_scheduler, runs=200, seed=0)`."""

    def check(make: Callable[[], SchedulerUnderTest], *, runs: int = RUNS, seed: int = 0) -> None:
        examine(make, runs, seed, f"seed {seed}")

    return check


def examine(make: Callable[[], SchedulerUnderTest], runs: int, seed: int, again: str) -> None:
    """Random runs; fails with the shrunk finding, or if nothing was accepted.

    Args:
        make: creates the scheduler.
        runs: number of runs.
        seed: seed of all runs.
        again: the command that repeats them, without its run.
    """
    from functools import partial

    from lineclear.testing import random_runs, shrink
    from lineclear.testing.random_search import failure_of

    found, tally = random_runs(make, range(runs), seed=seed)
    if found is None:
        if not tally.accepted:
            pytest.fail(f"none of {tally.submitted} requests was accepted: nothing was tested")
        return
    shrunk = shrink(partial(failure_of, make), found.failure)
    trace = "\n".join(f"  {action!r}" for action in shrunk.actions)
    raise AssertionError(
        f"{shrunk.failure.code} {shrunk.failure}\n"
        f"actions, then steps until every request has ended:\n{trace}\n"
        f"again: {again} --run {found.number}"
    )
