"""`lineclear policies`: the table, one refutation, journals, the page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("z3")

from lineclear.cli import main
from lineclear.refutations import REFUTATIONS

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_what_the_command_would_write() -> None:
    """In a process of its own: other tests enter claims of policies that they make up."""
    page = str(ROOT / "docs" / "policies.md")
    argv = ["policies", "--format", "markdown", "-o", page, "--check"]
    done = subprocess.run(
        [sys.executable, "-m", "lineclear", *argv], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_table_in_json_and_every_journal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["policies", "--format", "json", "--journals", str(tmp_path)]) == 0
    content = json.loads(capsys.readouterr().out)
    assert {cell["verdict"] for cell in content["cells"]} <= {
        "proved", "refuted", "both", "not applicable",
    }  # fmt: skip
    assert all(one["shown"] for one in content["refutations"])
    assert {path.stem for path in tmp_path.iterdir()} == {one.name for one in REFUTATIONS}
    assert main(["replay", str(tmp_path / "vllm_v0.P1.D1.jsonl")]) == 0
    assert "request 1 (SWAPPED) holds 0 GPU and 100 CPU blocks" in capsys.readouterr().out


def test_one_refutation(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["policies", "--show", "priority.P7", "--journals", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "the victim computes nothing while" in text
    assert f"lineclear replay {tmp_path}/priority.P7.jsonl" in text


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--show", "fcfs.P7"], "there is no refutation 'fcfs.P7'"),
        (["--check"], "--check needs the file to compare"),
        (["-o", "page.md"], "-o writes the page: add --format markdown"),
    ],
)
def test_what_is_not_understood_is_one_line(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policies", *flags]) == 2
    assert said in capsys.readouterr().err


def test_a_page_of_somebody_else_is_left_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text("mine\n", encoding="utf-8")
    flags = ["policies", "--format", "markdown", "-o", str(page)]
    assert main([*flags, "--check"]) == 1
    assert "is stale" in capsys.readouterr().out
    assert main(flags) == 2
    assert page.read_text(encoding="utf-8") == "mine\n"
