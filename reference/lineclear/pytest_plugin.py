"""What pytest loads in every project that has lineclear installed.

Guarantees: importing it imports nothing but pytest, and no option of the project is changed. It
knows nothing about schedulers.
"""

from __future__ import annotations

import pytest

__all__ = ["pytest_configure"]


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker: `--strict-markers` accepts it and `-m lineclear` selects by it."""
    config.addinivalue_line(
        "markers", "lineclear: checks a scheduler against lineclear's actions and invariants"
    )
