"""Files of the command: checked before the work, written whole, and one line if that can't be."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from refusals import refused

from lineclear.cli import main
from lineclear.cli.files import need_distinct, read
from lineclear.simulation.simulate import Simulation

LOG = (
    '{"e":"engine","log":"lineclear event log 1","blocks":4,"block_size":4}\n'
    '{"e":"submit","r":1,"prompt":4}\n'
)


def never(*_: object, **__: object) -> Any:
    """Work that must not begin."""
    raise AssertionError("the work began")


@pytest.mark.parametrize(
    ("work", "arguments"),
    [
        ("lineclear.cli.policies.asked", ("policies", "--format", "markdown", "-o")),
        ("lineclear.cli.policies.seen_all", ("policies", "--journals")),
        ("lineclear.cli.policies.seen", ("policies", "--show", "priority.P7", "--journals")),
        ("lineclear.checks.codes.markdown", ("explain", "--page", "-o")),
        ("lineclear.cli.check.run_stages", ("check", "--junit")),
        ("lineclear.cli.check.run_stages", ("check", "--save")),
        ("lineclear.simulation.compare.compare", ("compare", "--plot")),
        ("lineclear.conform.result.conform", ("conform", "LOG", "--reduced")),
        ("lineclear.conform.result.conform", ("conform", "LOG", "--write-log")),
        ("lineclear.testing.target.make_of", ("test", "a:b", "--emit-test")),
        ("lineclear.testing.target.make_of", ("test", "a:b", "--log")),
        ("lineclear.simulation.simulate.Simulation.run", ("simulate", "--journal")),
        ("lineclear_gpu.model.load_model", ("calibrate", "--device", "cpu", "--file")),
    ],
)
def test_a_target_is_checked_before_the_work(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    work: str,
    arguments: tuple[str, ...],
) -> None:
    if arguments[0] == "calibrate":
        pytest.importorskip("torch")
        pytest.importorskip("transformers")
    monkeypatch.setattr(work, never)
    (tmp_path / "log").write_text(LOG)
    (tmp_path / "file").write_text("kept")
    target = str(tmp_path / "file" / "below")
    given = [str(tmp_path / "log") if argument == "LOG" else argument for argument in arguments]
    assert target in refused(capsys, *given, target)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "log"}
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("conform LOG --write-log F --reduced F", "--reduced F is the file of --write-log"),
        ("explore --journal F -o F", "--journal F is the file of --output"),
        ("explore --config F -o ./F", "--output ./F is the file of --config"),
        (
            "test broken_schedulers:make --log F --emit-test F",
            "--log F is the file of --emit-test",
        ),
        ("simulate F --journal F", "--journal F is the file of WORKLOAD"),
        ("simulate --config F --journal F", "--journal F is the file of --config"),
    ],
)
def test_one_file_has_one_use(
    line: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    if line.startswith(("explore --config", "simulate")):
        (tmp_path / "F").write_text("kept")
    before = {path: path.read_text() for path in tmp_path.iterdir()}
    assert refused(capsys, *line.split()).endswith(f"{said}: name another file")
    assert {path: path.read_text() for path in tmp_path.iterdir()} == before


def test_a_device_may_have_two_uses_and_is_not_read_before_it_is_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    need_distinct(output=os.devnull, journal=os.devnull)
    assert read(os.devnull) is None
    assert main(["explain", "--page", "-o", os.devnull]) == 0


def test_the_job_summary_is_checked_before_the_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("lineclear.cli.check.run_stages", never)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "none" / "summary"))
    assert "GITHUB_STEP_SUMMARY" in refused(capsys, "check", "--format", "github")


@pytest.mark.parametrize("ending", [KeyboardInterrupt, RuntimeError])
def test_an_output_file_is_whole_or_as_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ending: type[BaseException]
) -> None:
    """A run that ends in the middle leaves the old file, and nothing beside it."""

    def broken(self: Simulation, _: Callable[[], None]) -> None:
        assert self.scheduler.ledger.journal is not None
        raise ending

    monkeypatch.setattr(Simulation, "run", broken)
    path = tmp_path / "run.jsonl"
    path.write_text("old")
    if ending is KeyboardInterrupt:
        assert main(("simulate", "--num-requests", "2", "--journal", str(path))) == 130
    else:
        with pytest.raises(ending):
            main(("simulate", "--num-requests", "2", "--journal", str(path)))
    assert [each.name for each in tmp_path.iterdir()] == ["run.jsonl"]
    assert path.read_text() == "old"


def test_a_link_is_written_through_and_a_device_directly(tmp_path: Path) -> None:
    path, link = tmp_path / "run.jsonl", tmp_path / "link"
    path.write_text("old")
    link.symlink_to(path)
    assert main(("simulate", "--num-requests", "2", "--journal", str(link))) == 0
    assert link.is_symlink()
    assert path.read_text().startswith('{"journal"')
    assert main(("simulate", "--num-requests", "2", "--journal", os.devnull)) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
@pytest.mark.parametrize("arguments", [("explain",), ("explain", "--format", "json")])
def test_a_full_disk_under_the_result_is_one_line(arguments: tuple[str, ...]) -> None:
    root = Path(__file__).parents[2]
    paths = os.pathsep.join(str(root / part) for part in ("spec", "reference", "gpu_backend"))
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "lineclear", *arguments],
            env={**os.environ, "PYTHONPATH": paths},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith("cannot write the result: No space left on device")


@pytest.mark.parametrize("command", ["replay", "conform", "why"])
def test_standard_input_that_is_no_text_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(b"\xff\xfe{}"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stream)
    assert "cannot read -: not valid UTF-8" in refused(capsys, command, "-")


@pytest.mark.parametrize("command", ["replay", "conform", "why"])
@pytest.mark.parametrize("text", ["[" * 20_000, "9" * 5000, '{"#meta":' * 20_000])
def test_a_line_that_python_cannot_parse_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str, text: str
) -> None:
    path = tmp_path / "log"
    path.write_text(text + "\n")
    assert "line 1" in refused(capsys, command, str(path))


@pytest.fixture(scope="module")
def saved(counterexample: tuple[Path, str]) -> dict[str, Any]:
    """The content of a saved counterexample."""
    content: dict[str, Any] = json.loads(counterexample[0].read_text())
    return content


def cut(content: dict[str, Any]) -> None:
    """Without the last state."""
    content["states"].pop()


def replaced(content: dict[str, Any]) -> None:
    """The states are another thing."""
    content["states"] = "none"


def edited(content: dict[str, Any]) -> None:
    """One value of one state is another."""
    content["states"][0]["steps"] = 7


def without(content: dict[str, Any]) -> None:
    """No states at all."""
    del content["states"]


@pytest.mark.parametrize("damage", [cut, replaced, edited, without])
def test_a_counterexample_whose_states_were_changed_is_refused(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    saved: dict[str, Any],
    damage: Callable[[dict[str, Any]], None],
) -> None:
    content = json.loads(json.dumps(saved))
    path = tmp_path / "race.itf.json"
    path.write_text(json.dumps(content))
    assert main(("replay", str(path))) == 1
    capsys.readouterr()
    damage(content)
    path.write_text(json.dumps(content))
    assert "its states" in refused(capsys, "replay", str(path))
