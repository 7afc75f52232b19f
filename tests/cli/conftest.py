"""A project in which `lineclear check` has one stage, which counts its runs; a journal; a saved counterexample; a
folder of modules.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from conforming import journal_of
from shared import once
from staged import Counted, stage

from lineclear.checks import registry
from lineclear.cli import main


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


@pytest.fixture(scope="session")
def counterexample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A counterexample that was saved, and what the command printed; searched for once in this run."""
    pytest.importorskip("z3")

    def search(folder: Path) -> tuple[Path, str]:
        path, said = folder / "race.itf.json", io.StringIO()
        with redirect_stdout(said):
            assert main(("explain", "finish.guard.1", "--save", str(path))) == 0
        return path, said.getvalue()

    return once(tmp_path_factory, "counterexample", search)


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
