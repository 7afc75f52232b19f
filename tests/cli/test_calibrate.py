"""`lineclear calibrate`, and what `lineclear run` reads of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from refusals import printed, refused

from lineclear.cli import main

pytest.importorskip("torch")
pytest.importorskip("transformers")

SMALL = ("calibrate", "--device", "cpu", "--block-size", "16")


@pytest.fixture(autouse=True)
def few_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures a step of 64 tokens, not of 2,048."""
    monkeypatch.setattr("lineclear_gpu.costs.TOKENS", 64)
    monkeypatch.setattr("lineclear_gpu.costs.LENGTH", 32)


def test_costs_are_kept_and_run_reads_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "costs.json"
    monkeypatch.setenv("LINECLEAR_CALIBRATION", str(path))
    result: dict[str, Any] = json.loads(printed(capsys, *SMALL, "--format", "json"))
    assert result["file"] == str(path)
    assert result["swap_token_cost"] > 0
    assert result["recompute_token_cost"] > 0
    assert result["unit"] == "microseconds per token"
    assert (result["device"], result["block_size"]) == ("cpu", 16)
    run = ["run", "--device", "cpu", "--num-requests", "3", "--preemption-mode", "auto"]
    assert main([*run, "--calibration", str(path), "--format", "json"]) == 0
    read = json.loads(capsys.readouterr().out)["costs"]
    assert read["source"].endswith(f"from {path}")
    for name in ("swap_token_cost", "recompute_token_cost"):
        assert read[name] == result[name]
    assert main([*run, "--format", "json"]) == 0  # on a CPU the file must be named
    assert json.loads(capsys.readouterr().out)["costs"]["source"] == "costs of the settings"


def test_the_text_names_the_costs_and_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "costs.json"
    lines = printed(capsys, *SMALL, "--file", str(path)).splitlines()
    assert lines[0].startswith("a token costs ")
    assert "512 bytes a token in blocks of 16, steps launched" in lines[1]
    assert lines[2] == f"kept in {path}"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--model", "./no/such/model"], "no model"),
        (["--dtype", "int8"], "--dtype is one of float32, float16, bfloat16"),
        (["--eager"], "a CPU records no steps, fuses no layers and has pools"),
        (["--block-size", "0"], "--block-size: must be a whole number from 1 to 256"),
        (["--file", "FOLDER"], "it is a folder; name another file"),
        (["--file", "FOLDER/text/costs.json"], "name another file"),
    ],
)
def test_what_cannot_be_measured_or_kept_is_one_line(
    argv: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").write_text("no folder")
    argv = [each.replace("FOLDER", str(tmp_path)) for each in argv]
    assert main(["calibrate", "--device", "cpu", *argv]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert said in written.err
    assert written.err.count("\n") == 1


def test_a_broken_file_stops_a_run_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "costs.json"
    path.write_text("{")
    run = ["run", "--device", "cpu", "--num-requests", "3", "--preemption-mode", "auto"]
    assert main([*run, "--calibration", str(path)]) == 2
    assert f"{path} holds no measured costs" in capsys.readouterr().err


def test_a_device_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "link"
    path.symlink_to(os.devnull)
    for asked in ([*SMALL, "--file"], ["run", "--preemption-mode", "auto", "--calibration"]):
        assert f"{path} is no file" in refused(capsys, *asked, str(path))
    assert path.is_symlink()


def test_costs_that_nothing_weighs_are_no_costs_for_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", "--device", "cpu", "--num-requests", "3"]
    assert main([*run, "--calibration", str(tmp_path / "costs.json")]) == 2
    written = capsys.readouterr()
    assert "is read only if --preemption-mode is auto" in written.err
    assert written.err.count("\n") == 1
