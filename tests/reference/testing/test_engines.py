"""Engines whose sources are given: a run ends and reports.

No test asserts that a bug of an engine is there. The one finding that is asserted is public and fixed:
its sources are those of a commit before the fix.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
#: The folder of each engine's sources is given by an environment variable.
ENGINES = {"NANO_VLLM": "nano_vllm_adapter.py", "MINI_SGLANG": "mini_sglang_adapter.py"}


def given(variable: str) -> str:
    folder = os.environ.get(variable, "")
    if not folder:
        pytest.skip(f"{variable} names no folder with the engine's sources: see the adapter")
    return str(Path(folder).resolve())


def called(adapter: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    parts = [str(ROOT / part) for part in ("spec", "reference", "gpu_backend")]
    command = ("-m", "lineclear", "test", f"examples/{adapter}:make_scheduler")
    return subprocess.run(
        [sys.executable, *command, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(parts), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def search(adapter: str, *arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
    done = called(adapter, "--format", "json", *arguments, **environment)
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("variable", ENGINES)
def test_a_run_ends_and_reports(variable: str) -> None:
    code, result = search(ENGINES[variable], "--seconds", "5", **{variable: given(variable)})
    assert code in (0, 1)
    assert result["accepted"] > 0
    assert (result["finding"] is None) == (code == 0)


def test_the_bug_that_nano_vllm_has_fixed_is_found_in_its_older_sources() -> None:
    variable = "NANO_VLLM_F64D821"
    folder = given(variable)
    for search_as in ((), ("--exhaustive",)):
        code, result = search(ENGINES["NANO_VLLM"], *search_as, NANO_VLLM=folder)
        assert code == 1
        assert result["finding"]["rule"] == "read.own"


def test_an_adapter_says_where_it_looks_for_the_sources() -> None:
    done = called(ENGINES["NANO_VLLM"], NANO_VLLM="/nowhere")
    assert done.returncode == 2
    assert "set NANO_VLLM" in done.stderr
