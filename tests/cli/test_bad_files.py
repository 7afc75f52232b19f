"""A damaged file: one line on standard error that says what to do, exit code 2."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from pathlib import Path

import pytest
from refusals import refused

from lineclear.cli import main

JOURNAL = (
    '{"journal":"lineclear journal 2","limits":{"block_size":4,"chunked":true,"cpu_blocks":2,"max_steps_in_flight":1,'
    '"gpu_blocks":%s,"max_model_len":64,"max_num_batched_tokens":64,"max_num_seqs":4}}\n'
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: journal is missing, it must be"),
        ("hello\n", "line 1: it is not JSON"),
        ("[]\n", "line 1: journal is "),
        ("[" * 20_000 + "\n", "line 1: it is not JSON"),
        ("[" * 20_000 + "]" * 20_000 + "\n", "line 1: it is not JSON"),
        (JOURNAL % 4 + "[" * 20_000 + "]" * 20_000 + "\n", "line 2: it is not JSON"),
        (JOURNAL % -4, "gpu_blocks is -4: it must be at least 1"),
        (JOURNAL % 99999999999999, "gpu_blocks is 99999999999999, at most"),
        (JOURNAL % 4 + '["new",1,2]\n', "line 2: a request has four numbers"),
        (JOURNAL % 4 + '["fly"]\n', "line 2: 'fly' is no action"),
        (JOURNAL % 4 + '["submit","r1"]\n', "line 2: 'r1' was not introduced"),
        (JOURNAL % 4 + '["submit"]\n', "line 2: submit takes 1 arguments"),
        (
            JOURNAL % 4 + '["admit","s1"]\n',
            "line 2: request is 's1': it must be the name of a record",
        ),
        (JOURNAL % 4 + '["prune","r1"]\n', "line 2: sequence is 'r1': it must be the name of"),
        (JOURNAL % 4 + '["complete_copy","r1"]\n', "line 2: number is 'r1': it must be a whole"),
        (JOURNAL % 4 + '["name_blocks",3,[1]]\n', "line 2: sequence is 3: it must be the name of"),
        (JOURNAL % 4 + '{"a": 1}\n', "line 2: {'a': 1} is no last line"),
        (JOURNAL % 4 + '{"end": "x", "digest": "y"}\n', "is no last line"),
        (JOURNAL % 4 + '{"end": 0}\n', "is no last line"),
    ],
)
def test_a_file_that_is_not_a_journal_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(text)
    assert words in refused(capsys, "replay", str(path))


def test_bytes_that_are_no_text_are_called_that(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(b"\xff\xfe")
    for arguments in (("--config", path), ("--step-time", f"fit={path}")):
        said = refused(capsys, "simulate", *map(str, arguments))
        assert said.endswith(f"cannot read {path}: not valid UTF-8")


def test_a_journal_whose_action_is_refused_is_refuted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(JOURNAL % 4 + '["new",1,2,4,1]\n["finish","r1"]\n')
    assert main(("replay", str(path))) == 1
    assert "line 3: finish is refused" in capsys.readouterr().out


def test_a_journal_that_was_cut_off_within_a_line_is_replayed_up_to_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(JOURNAL % 4 + '["new",1,2,4,1]\n["submit","r1"]\n["adm')
    assert main(("replay", str(path))) == 3
    printed = capsys.readouterr().out
    assert "1 action, 0 steps" in printed
    assert "the journal is truncated here" in printed
    path.write_text(JOURNAL % 4 + '["new",1,2,4,1]\n["adm\n["submit","r1"]\n')
    assert "line 3: it is not JSON" in refused(capsys, "replay", str(path))
    path.write_text((JOURNAL % 4)[:40])
    assert "line 1: it is not JSON" in refused(capsys, "replay", str(path))


@pytest.mark.parametrize("command", ["replay", "conform", "why"])
def test_a_journal_comes_from_a_pipe(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pipe = str(tmp_path / "pipe")  # as of `lineclear replay <(zcat run.jsonl.gz)`
    os.mkfifo(pipe)
    text = JOURNAL % 4 + '["new",1,2,4,1]\n["submit","r1"]\n'
    writer = threading.Thread(target=Path(pipe).write_text, args=(text,))
    writer.start()
    assert main((command, pipe)) == (3 if command == "replay" else 0)
    writer.join(timeout=10)
    assert pipe in capsys.readouterr().out


def test_a_journal_comes_from_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys, "stdin", io.StringIO(JOURNAL % 4 + '["new",1,2,4,1]\n["reject","r1"]\n')
    )
    assert main(("replay", "-")) == 3  # it has no last line
    assert "1 action, 0 steps" in capsys.readouterr().out


def test_an_error_of_the_settings_names_their_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("num_gpu_blocks = -3\n")
    assert f"{path}: num_gpu_blocks must be" in refused(capsys, "simulate", "--config", str(path))
    mended = ("--num-gpu-blocks", "64", "--num-requests", "3")
    assert main(("simulate", "--config", str(path), *mended)) == 0


@pytest.mark.parametrize("name", ["preset", "broken"])
@pytest.mark.parametrize("value", ['["x"]', "{a = 1}", "[1]", "false"])
def test_a_table_or_a_list_for_a_name_is_one_line(
    name: str, value: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(f"{name} = {value}\n")
    assert f"{path}: {name} must be one of" in refused(capsys, "simulate", "--config", str(path))


@pytest.mark.parametrize(
    ("flag", "names"),
    [
        (("--block-size", "8"), True),
        (("--num-gpu-blocks", "-5"), False),
        (("--num-gpu-blocks", "9", "--block-size", "0"), False),
    ],
)
def test_an_error_names_the_file_if_no_flag_has_mended_it(
    flag: tuple[str, ...], names: bool, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(f"num_gpu_blocks = {1 << 40}\n")
    line = refused(capsys, "simulate", "--config", str(path), *flag)
    assert line.startswith(f"lineclear simulate: {path}: num_gpu_blocks must be") == names


def test_settings_that_are_nested_too_deep_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Found by fuzzing; an option of a policy is then text, which the policy refuses."""
    path, deep = tmp_path / "deep.toml", "[" * 5000
    path.write_text(f"num_gpu_blocks = {deep}\n")
    assert main(["simulate", "--config", str(path)]) == 2
    said = capsys.readouterr().err
    assert "nested too deep" in said
    assert said.count("\n") == 1
    assert (
        main(["simulate", "--scheduling-policy", "aging", "--policy-options", f"base={deep}"]) == 2
    )
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("rules", ["os:path", "os:PathLike"])
def test_rules_that_build_no_steps_are_refused(
    rules: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Found by fuzzing."""
    assert "builds steps" in refused(capsys, "explore", "--rules", rules)


@pytest.fixture(scope="module")
def kept(counterexample: tuple[Path, str]) -> str:
    """The text of a saved counterexample."""
    return counterexample[0].read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "value"), [("block_size", 1 << 70), ("block_size", -4), ("gpu_blocks", "x")]
)
def test_a_counterexample_with_damaged_limits_is_refused(
    name: str, value: object, kept: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Found by fuzzing."""
    path = tmp_path / "damaged.itf.json"
    content = json.loads(kept)
    content["#meta"]["counterexample"]["limits"][name] = value
    path.write_text(json.dumps(content))
    capsys.readouterr()
    assert name in refused(capsys, "replay", str(path))


@pytest.mark.parametrize("value", [1.5, 1 << 70, {}, [[0.5]]], ids=str)
def test_a_counterexample_with_damaged_arguments_is_refused(
    value: object, kept: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Found by fuzzing: a prompt of half a token was submitted, and the picture could not be drawn."""
    path = tmp_path / "damaged.itf.json"
    content = json.loads(kept)
    trace = content["#meta"]["counterexample"]["trace"]
    assert trace[0][0] == "submit"
    trace[0][1] = value
    path.write_text(json.dumps(content))
    capsys.readouterr()
    assert "action 1: submit" in refused(capsys, "replay", str(path))


def test_a_counterexample_whose_names_would_take_all_memory_is_refused(
    kept: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "damaged.itf.json"
    content = json.loads(kept)
    saved = content["#meta"]["counterexample"]
    saved["limits"]["max_model_len"] = 1 << 30
    saved["trace"][0] = ["submit", 1, 1, 1, 1]
    path.write_text(json.dumps(content))
    capsys.readouterr()
    assert "max_model_len" in refused(capsys, "replay", str(path))


@pytest.mark.parametrize("number", ["1" + "0" * 5000, "0x" + "f" * 5000, "[[1" + "0" * 30 + "]]"])
def test_a_number_that_toml_does_not_have_is_one_line(
    number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python reads none of more than 4,300 digits, and prints none either."""
    path = tmp_path / "large.toml"
    path.write_text(f"num_gpu_blocks = {number}\n")
    for flags in (["--config", str(path)], ["--policy-options", f"base={number}"]):
        assert main(["simulate", *flags]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "more than 64 bits" in line
