"""Schedulers that a project names are collected as items, and the fixture tests one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    parts = [str(ROOT / part) for part in ("spec", "reference", "examples")]
    plugin = ("-p", "lineclear.pytest_plugin")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *plugin, *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(parts),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": "",  # those of who runs this test, which may change what is printed
        },
        capture_output=True,
        text=True,
        timeout=120,
    )


def project(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(
        "[tool.pytest.ini_options]\n"
        'lineclear_schedulers = ["tiny_scheduler:make_scheduler", "tiny_scheduler:make_broken"]\n'
        'lineclear_runs = "20"\n'
    )
    (folder / "test_mine.py").write_text(
        "import pytest\n"
        "from tiny_scheduler import TinyScheduler, make_broken, make_scheduler\n"
        "def test_sound(check_scheduler):\n"
        "    check_scheduler(make_scheduler, runs=10)\n"
        "def test_broken(check_scheduler):\n"
        "    with pytest.raises(AssertionError, match='allocation.published'):\n"
        "        check_scheduler(make_broken, runs=10)\n"
        "class Refuses(TinyScheduler):\n"
        "    def submit(self, name, prompt, max_new):\n"
        "        return False\n"
        "def test_refuses(check_scheduler):\n"
        "    with pytest.raises(pytest.fail.Exception, match='nothing was tested'):\n"
        "        check_scheduler(Refuses, runs=2)\n"
    )


def test_items_of_named_schedulers_run_with_the_whole_suite(tmp_path: Path) -> None:
    project(tmp_path)
    done = pytest_in(tmp_path, "-v")
    assert done.returncode == 1
    assert "4 passed" in done.stdout
    assert "1 failed" in done.stdout
    assert "LC411 allocation.published: block 0 of gpu is allocated to 'r4'" in done.stdout
    assert "again: lineclear test tiny_scheduler:make_broken --seed 0 --run 0" in done.stdout
    assert "Traceback" not in done.stdout


def test_items_are_selected_like_any_other_and_left_out_for_certain_files(tmp_path: Path) -> None:
    project(tmp_path)
    marked = pytest_in(tmp_path, "-m", "lineclear", "--collect-only").stdout
    assert marked.count("<SchedulerItem") == 2
    assert "3 deselected" in marked
    alone = pytest_in(tmp_path, "test_mine.py", "--collect-only", "-q")
    assert "make_broken" not in alone.stdout
    (tmp_path / "pyproject.toml").unlink()
    assert "3 tests collected" in pytest_in(tmp_path, "--collect-only", "-q").stdout
