"""A project in which `lineclear check` has one stage, which counts its runs; a journal; a folder of modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conforming import journal_of
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


@pytest.fixture
def journal(tmp_path: Path) -> str:
    """The path of a journal: 60 calls with two steps in flight."""
    path = tmp_path / "journal.jsonl"
    path.write_text("\n".join(journal_of("two_in_flight", 1, 60)) + "\n")
    return str(path)


@pytest.fixture
def module_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("mine", "my_policy")):
            del sys.modules[name]
