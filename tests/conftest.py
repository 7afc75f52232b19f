"""How Hypothesis draws its examples in this test suite.

Guarantees: without being asked otherwise every run draws the same examples, so a red build is red
again on any machine. `LINECLEAR_RANDOM=1`, or `-m random`, draws new ones. Interrupts reach the tests, also in the
background. The tests of the specification need what the extra `verify` installs; without it none of them is collected.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

VERIFY = ("z3", "cvc5", "hypothesis")
collect_ignore = [] if all(map(find_spec, VERIFY)) else ["spec"]

if TYPE_CHECKING:
    from lineclear.evidence.refutations import Demonstration, NotShown
    from lineclear_spec.proof.answers import Result


def draws_new_examples(config: pytest.Config) -> bool:
    """Whether this run was asked for examples that no run before it drew."""
    if os.environ.get("LINECLEAR_RANDOM", "") not in ("", "0"):
        return True
    return str(config.getoption("markexpr", "")).split()[:1] == ["random"]


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What was imported and collected stays: the collector of garbage need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def pytest_configure(config: pytest.Config) -> None:
    """Loads the profile before a test module is imported: its decorators copy the settings."""
    if (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ):  # as a shell starts what runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.disable()  # until everything is collected
    try:
        from hypothesis import HealthCheck, settings
    except ModuleNotFoundError:
        return  # Tests that draw examples import it themselves and then say what is missing.
    slow = [HealthCheck.too_slow]
    settings.register_profile(
        "ci", derandomize=True, database=None, deadline=None, suppress_health_check=slow
    )
    settings.register_profile("random", deadline=None, print_blob=True, suppress_health_check=slow)
    settings.load_profile("random" if draws_new_examples(config) else "ci")


@pytest.fixture
def long_search(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> Callable[[Any, Callable[[Any], object]], int]:
    """A search of many examples that says on the terminal how far it is.

    The tests of one run that ask for it share LINECLEAR_FUZZ_SECONDS equally.
    """
    from fuzz import SECONDS, search_long

    sharing = sum("long_search" in getattr(i, "fixturenames", ()) for i in request.session.items)

    def report(line: str) -> None:
        with capsys.disabled():
            print(f"\n{request.node.name}: {line}", end="", flush=True)

    def searched(strategy: Any, test: Callable[[Any], object]) -> int:
        return search_long(strategy, test, report, SECONDS / sharing)

    return searched


@pytest.fixture(scope="session")
def all_proofs(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    """The answer to every obligation, asked once in this run."""
    from shared import once

    def asked(_: Path) -> list[Result]:
        from lineclear.policies import load_claims
        from lineclear_spec.proof.prove import prove

        load_claims()
        return prove()

    return once(tmp_path_factory, "proofs", asked)


@pytest.fixture(scope="session")
def all_refutations(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, Demonstration | NotShown], Path]:
    """What each refutation showed, by name, and the folder with their journals; run once in this run."""
    from shared import once

    def run(folder: Path) -> tuple[dict[str, Demonstration | NotShown], Path]:
        from lineclear.cli.policies import seen_all

        journals = folder / "journals"
        return {one.name: seen for one, seen in seen_all(journals)}, journals

    return once(tmp_path_factory, "refutations", run)
