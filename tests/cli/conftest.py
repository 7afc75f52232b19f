"""A project in which `lineclear check` has one stage, which counts its runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from staged import Counted, stage

from lineclear.checks import registry


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Counted:
    """The only stage of the command, in an empty project."""
    counted = Counted("passed")
    monkeypatch.setattr(registry, "STAGES", (stage(counted),))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return counted
