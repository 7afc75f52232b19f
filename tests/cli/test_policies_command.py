"""`lineclear policies`: the table, one refutation, journals, the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("z3")

from refusals import printed

from lineclear.cli import main, policies
from lineclear.evidence.refutations import REFUTATIONS, Refutation
from lineclear_spec.proof.answers import Result


@pytest.fixture
def at_once(
    all_proofs: list[Result],
    all_refutations: tuple[dict[str, Any], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The command gets the answers and the runs of this test run; returns the folder of the journals."""
    shown, folder = all_refutations

    def prove(names: Any, seeds: Any, progress: Any) -> list[Result]:
        assert (list(names), list(seeds)) == ([], [0])  # every unit, as `all_proofs` has them
        return all_proofs

    def seen(refutation: Refutation, _: Path | None) -> Any:
        return shown[refutation.name]

    monkeypatch.setattr("lineclear_spec.proof.prove.prove", prove)
    monkeypatch.setattr(policies, "seen", seen)
    return folder


def test_the_table_in_json_and_every_journal(
    at_once: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(printed(capsys, "policies", "--format", "json"))
    assert {cell["verdict"] for cell in content["cells"]} <= {
        "proved", "refuted", "both", "not applicable",
    }  # fmt: skip
    assert all(one["shown"] for one in content["refutations"])
    assert {path.stem for path in at_once.iterdir()} == {one.name for one in REFUTATIONS}
    assert main(["replay", str(at_once / "vllm_v0.P1.D1.jsonl")]) == 0
    assert "request 1 (SWAPPED) holds 0 GPU and 100 CPU blocks" in capsys.readouterr().out


def test_one_refutation(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = printed(capsys, "policies", "--show", "priority.P7", "--journals", str(tmp_path))
    assert "the victim computes nothing while" in text
    assert f"lineclear replay {tmp_path}/priority.P7.jsonl" in text


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--show", "fcfs.P7"], "there is no refutation 'fcfs.P7'"),
        (["--check"], "--check needs the file to compare"),
        (["--show", "priority.P7", "--format", "markdown"], "--show has no page"),
        (["-o", "page.md"], "-o writes the page: add --format markdown"),
    ],
)
def test_what_is_not_understood_is_one_line(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policies", *flags]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("at_once")
def test_a_page_of_somebody_else_is_left_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text("mine\n", encoding="utf-8")
    flags = ["policies", "--format", "markdown", "-o", str(page)]
    assert "is stale" in printed(capsys, *flags, "--check", code=1)
    absent = [*flags[:-1], str(tmp_path / "absent.md"), "--check"]
    assert "is missing" in printed(capsys, *absent, code=1)
    assert main(flags) == 2
    assert page.read_text(encoding="utf-8") == "mine\n"
