"""A wrong argument: one line on standard error that says what to do, exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from refusals import refused

from lineclear.cli import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("explore", "--shapes", "0+0"), "request 0+0: prompt must be at least 1, not 0"),
        (("explore", "--shapes", "1+1x0"), "n must be at least 1, not 0"),
        (("explore", "--shapes", "1+300"), "is rejected"),
        (
            ("explore", "--shapes", "3+1x999"),
            "3+1x999 is rejected: this does not hold: its sequences",
        ),
        (
            ("explore", "--requests", "0"),
            "--requests: must be a whole number from 1 to 1000, not '0'",
        ),
        (("explore", "--max-states", "0"), "--max-states: must be a whole number of at least 1"),
        (("simulate", "--num-gpu-blocks", "999999999999"), "num_gpu_blocks must be at most"),
        (("simulate", "--num-cpu-blocks", "999999999999"), "num_cpu_blocks must be at most"),
        (
            ("simulate", "--preemption-mode", "swap", "--num-cpu-blocks", "0"),
            "so no request can be swapped",
        ),
        (
            ("compare", "--scheduling-policy", "sjf"),
            "those of sjf, which --policies does not name",
        ),
        (
            ("compare", "--scheduling-policy", "aging", "--policy-options", "seconds_per_level=1"),
            "those of aging, which --policies does not name",
        ),
        (("compare", "--policies", "fcfs,,sjf"), "'fcfs,,sjf' names no policy beside a comma"),
        (("compare", "--policies", "sjf,fcfs, sjf"), "names sjf more than once"),
        (("compare", "--picture", "png"), "--picture is the format of --plot"),
        (
            ("simulate", "--enable-prefix-caching", "--prefix-caching", "off"),
            "--prefix-caching: not allowed with argument --enable-prefix-caching",
        ),
        (("simulate", "--policy-options", "a=1", "a=2"), "--policy-options has a twice"),
        (
            ("simulate", "--policy-options", "a-b=1", "--policy-options", "a_b=2"),
            "--policy-options has a_b twice",
        ),
        (
            ("check", "--policy", "aging", "--policy-options", "a=1", "a=2"),
            "--policy-options has a twice",
        ),
        (("conform", ""), "LOG: it is empty: give it a value, or omit it"),
        (("simulate", "--config", ""), "--config: it is empty"),
        (("prove", "kv", "swap_out"), "kv is no unit, but all that its theorem rests on"),
        (
            ("explain", "swap_out", "swap_in"),
            "unrecognized arguments: swap_in (see lineclear explain",
        ),
        (
            ("run", "--temperature", "-1"),
            "--temperature: must be a number of at least 0, not '-1'",
        ),
        (("explain", "finish", "--save", "x"), "--save needs the name of a mutant"),
    ],
)
def test_an_argument_that_leaves_nothing_to_do_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert words in refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("line", "omit"),
    [
        ("conform --rules nofile --reduced zz --format json", "LOG, --reduced, --format"),
        ("prove kv swap_out --operators", "UNIT"),
        ("prove --theorems --operators", "--theorems"),
        ("prove --theorems --export d", "--theorems"),
        ("prove swap_out --export d --seeds 2", "--seeds"),
        ("explain --page swap_out", "NAME"),
        ("simulate --lesson queues --seed 5 --journal j", "--seed, --journal"),
        ("simulate --lesson list --num-gpu-blocks 4", "--num-gpu-blocks"),
        ("explore --deep --requests 3 --victim longest", "--requests, --victim"),
        ("test a:b --run 1 --exhaustive", "--run"),
        ("test a:b --run 1 --workers 3 --seconds 5", "--seconds, --workers"),
        ("test a:b --exhaustive --seed 3 --workers 2", "--seed, --workers"),
        ("test a:b --requests 2", "--requests"),
        ("explain --page --save x.json --format json", "--save, --format"),
        ("policies --show priority.P7 -o F --format markdown", "-o"),
        ("policies --show priority.P7 -o F --check", "-o, --check"),
        ("conform --rules --format text --level rules", "--level, --format"),
        ("test a:b --exhaustive --seed 0", "--seed"),
        ("explore --deep --requests 2", "--requests"),
        ("simulate --max-tokens 2048", "--max-tokens"),
        ("compare --max-tokens 7 --generate tenants", "--max-tokens"),
        ("run --device cpu --max-tokens 7", "--max-tokens"),
        ("run --device cpu --model none --temperature 0", "--temperature"),
        ("simulate --step-time help --journal j", "--journal"),
        ("compare --step-time help --seed 0", "--seed"),
    ],
)
def test_what_would_have_no_effect_is_refused(
    line: str, omit: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert refused(capsys, *line.split()).endswith(f": omit {omit}")
    assert list(tmp_path.iterdir()) == []


def test_a_seed_of_a_file_with_times_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("arrival_time,prompt_tokens,output_tokens\n0,5,2\n1,5,2\n")
    for command in ("simulate", "compare"):
        said = refused(capsys, command, str(trace), "--seed", "0")
        assert said.endswith("nothing is drawn for a file with times: omit --seed")
    trace.write_text("num_prefill_tokens,num_decode_tokens\n5,2\n5,2\n")
    assert main(("simulate", str(trace), "--seed", "0", "--request-rate", "1")) == 0


def test_of_an_option_given_twice_the_last_value_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = ("--num-requests", "3", "--num-requests", "2", "--format", "json")
    assert main(("simulate", *few)) == 0
    assert json.loads(capsys.readouterr().out)["requests"] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("prove", "dispatch_copies", "--export"),
        ("explore", "-o"),
        ("explore", "--journal"),
        ("simulate", "--journal"),
        ("diagram", "lifecycle", "-o"),
        ("explain", "finish.guard.1", "--save"),
    ],
)
def test_a_target_that_cannot_be_written_is_refused_before_the_work(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "file").write_text("kept")
    target = str(tmp_path / "file" / "below.md")
    assert target in refused(capsys, *arguments, target)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "kept"


def test_a_suffix_without_a_format_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = refused(capsys, "diagram", "lifecycle", "-o", str(tmp_path / "x.pdf"))
    assert "no format has the suffix .pdf" in line
    line = refused(
        capsys, "diagram", "lifecycle", "--format", "json", "-o", str(tmp_path / "x.svg")
    )
    assert "its suffix is that of svg, not of json: omit --format" in line
    assert list(tmp_path.iterdir()) == []


def test_nothing_asked_of_a_solver_is_inconclusive(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("z3")
    assert main(("prove", "--invariant", "conservation", "swap_out")) == 3
    assert "no obligation: these actions" in capsys.readouterr().out


def test_a_project_without_diagrams_has_none_that_is_stale(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(("check", "--stage", "diagrams", "--no-cache")) == 0
    assert "no generated file" in capsys.readouterr().out


def test_a_mutant_without_a_counterexample_is_inconclusive_where_one_is_to_be_saved(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("z3")

    def nothing(mutant: object, found: object) -> None:
        """No execution breaks a rule."""

    monkeypatch.setattr("lineclear_spec.mutation.trial.try_mutant", nothing)
    path = tmp_path / "race.itf.json"
    assert main(("explain", "finish.guard.1", "--save", str(path))) == 3
    assert f"no execution violates a rule: {path} was not written" in capsys.readouterr().out
    assert not path.exists()
    assert main(("explain", "finish.guard.1")) == 0


def test_the_counterexample_to_a_mutant_is_kept_and_replays(
    capsys: pytest.CaptureFixture[str], counterexample: tuple[Path, str]
) -> None:
    path, said = counterexample
    assert f"saved: lineclear replay {path}" in said
    assert main(("replay", str(path))) == 1
    capsys.readouterr()
    again = refused(capsys, "explain", "finish.guard.1", "--save", str(path))
    assert f"{path} exists" in again
