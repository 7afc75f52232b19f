"""How Hypothesis draws its examples in this test suite.

Guarantees: without being asked otherwise every run draws the same examples, so a red build is red
again on any machine. `LINECLEAR_RANDOM=1`, or `-m random`, draws new ones.
"""

from __future__ import annotations

import os

import pytest


def draws_new_examples(config: pytest.Config) -> bool:
    """Whether this run was asked for examples that no run before it drew."""
    if os.environ.get("LINECLEAR_RANDOM", "") not in ("", "0"):
        return True
    return str(config.getoption("markexpr", "")).split()[:1] == ["random"]


def pytest_configure(config: pytest.Config) -> None:
    """Loads the profile before a test module is imported: its decorators copy the settings."""
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
