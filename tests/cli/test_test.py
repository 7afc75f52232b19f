"""`lineclear test`: what it prints, how it ends, and what it writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from refusals import printed

from lineclear.cli import main
from lineclear.cli.exits import INCONCLUSIVE, INTERRUPTED, PASSED, REFUTED, USAGE
from lineclear.testing import Failure

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "examples/tiny_scheduler.py")
BROKEN = f"{TINY}:make_broken"
SOUND = f"{TINY}:make_scheduler"
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(
        str(ROOT / part) for part in ("spec", "reference", "gpu_backend")
    ),
}


def test_a_finding_is_told_with_the_command_that_finds_it_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = printed(capsys, "test", BROKEN, "--workers", "1", code=REFUTED)
    assert "LC411 allocation.published: block 0 of gpu is allocated to 'r4'" in out
    assert "('submit', 'r3', (0,), 2)" in out
    assert "shrunk from 10 actions to 2" in out
    again = next(line for line in out.splitlines() if line.startswith("again:"))
    assert f"lineclear test {BROKEN} --seed 0 --run 0" in again
    assert main(["test", BROKEN, "--seed", "0", "--run", "0"]) == REFUTED
    assert "block 0 of gpu is allocated to 'r4'" in capsys.readouterr().out


def test_the_finding_does_not_depend_on_the_number_of_workers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output: list[dict[str, object]] = []
    for workers in ("1", "3"):
        assert main(["test", BROKEN, "--workers", workers, "--format", "json"]) == REFUTED
        output.append(json.loads(capsys.readouterr().out)["finding"])
    assert {**output[0], "shrinking_seconds": 0} == {**output[1], "shrinking_seconds": 0}


def test_a_sound_scheduler_passes_and_says_what_was_tried(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = printed(capsys, "test", SOUND, "--seconds", "0.5", "--workers", "1", code=PASSED)
    assert "requests accepted" in out
    assert "no rule was broken; this is a test, not a proof" in out
    assert main(["test", SOUND, "--run", "3", "--format", "json"]) == PASSED
    result = json.loads(capsys.readouterr().out)
    assert (result["runs"], result["finding"], result["exit_code"]) == (1, None, PASSED)


def test_an_exhaustive_search_that_does_not_end_is_inconclusive(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["test", SOUND, "--exhaustive", "--seconds", "0.3"]) == INCONCLUSIVE
    assert "not exhausted" in capsys.readouterr().out
    assert main(["test", BROKEN, "--exhaustive", "--requests", "2"]) == REFUTED
    assert "allocation.published" in capsys.readouterr().out


def test_a_worker_that_dies_is_inconclusive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dies.py").write_text(
        "import os\nfrom tiny_scheduler import TinyScheduler\n"
        "class Dies(TinyScheduler):\n"
        "    def step(self, execute):\n        os._exit(0)\n"
    )
    target = f"{tmp_path / 'dies.py'}:Dies"
    assert main(["test", target, "--workers", "2"]) == INCONCLUSIVE
    assert "INCONCLUSIVE: a worker process died during runs 0 to 7" in capsys.readouterr().out


def test_a_scheduler_that_refuses_everything_is_not_tested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "refuses.py").write_text(
        "from tiny_scheduler import TinyScheduler\n"
        "class Refuses(TinyScheduler):\n"
        "    def submit(self, name, prompt, max_new):\n"
        "        return False\n"
    )
    target = f"{tmp_path}/refuses.py:Refuses"
    sys.path.insert(0, str(ROOT / "examples"))
    assert main(["test", target, "--seconds", "0.2", "--workers", "1"]) == INCONCLUSIVE
    assert "no request was accepted" in capsys.readouterr().out


@pytest.mark.parametrize(("aborts", "code"), [(True, USAGE), (False, 0)])
def test_a_scheduler_that_cannot_abort_needs_no_method_for_it(
    aborts: bool, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lasting.py").write_text(
        "from dataclasses import replace\n"
        "from tiny_scheduler import TinyScheduler\n"
        "class Lasting(TinyScheduler):\n"
        "    abort = None\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        f"        self.limits = replace(self.limits, aborts={aborts})\n"
    )
    sys.path.insert(0, str(ROOT / "examples"))
    assert main(["test", f"{tmp_path}/lasting.py:Lasting", "--run", "1"]) == code
    assert aborts == ("without abort;" in capsys.readouterr().err)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("tiny_scheduler", "write MODULE:FUNCTION or FILE.py:FUNCTION"),
        ("no_such_module:make", "No module named 'no_such_module'"),
        ("no/such/file.py:make", "no such file"),
        (f"{TINY}:nothing", "has no function nothing"),
        (f"{TINY}:Counter", "returns an object of Counter without submit, abort, step, observe"),
    ],
)
def test_what_can_not_be_tested_is_a_wrong_call(
    target: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", target]) == USAGE
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_file_that_can_not_be_written_is_refused_before_any_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "no/such/folder/test_found.py")
    assert main(["test", BROKEN, "--emit-test", target]) == USAGE
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert "cannot write" in error


@pytest.mark.parametrize("wrong", [["--seconds", "0"], ["--run", "-1"], ["--workers", "0"]])
def test_numbers_that_mean_nothing_are_refused(wrong: list[str]) -> None:
    assert main(["test", SOUND, *wrong]) == USAGE


def test_the_formats_for_machines_name_the_rule(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["test", BROKEN, "--run", "0", "--format"]
    suites = ElementTree.fromstring(printed(capsys, *command, "junit", code=REFUTED))
    failure = suites.find(".//failure")
    assert failure is not None
    assert "allocation.published" in failure.attrib["message"]
    out = printed(capsys, *command, "github", code=REFUTED)
    assert out.startswith("::error title=LC411 ")
    assert out.splitlines()[-1].startswith("lineclear test: FAILED")


def test_a_finding_becomes_a_test_and_a_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test, log = tmp_path / "test_found.py", tmp_path / "found.jsonl"
    command = ["test", BROKEN, "--run", "0", "--emit-test", str(test), "--log", str(log)]
    assert main(command) == REFUTED
    capsys.readouterr()
    assert main(command) == USAGE
    assert "exists: remove it first" in capsys.readouterr().err
    scope: dict[str, Any] = {}
    exec(compile(test.read_text(), str(test), "exec"), scope)
    with pytest.raises(
        Failure, match=r"allocation.published: block 0 of gpu is allocated to 'r4'"
    ):
        scope["test_allocation_published"]()
    mended = tmp_path / "test_mended.py"
    mended.write_text(test.read_text().replace("make_broken", "make_scheduler"))
    exec(compile(mended.read_text(), str(mended), "exec"), scope)
    scope["test_allocation_published"]()
    assert "still published" in printed(capsys, "conform", str(log), code=REFUTED)


def test_an_interrupt_ends_cleanly(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    (tmp_path / "slow.py").write_text(
        "from pathlib import Path\n"
        "from tiny_scheduler import TinyScheduler\n"
        "class Slow(TinyScheduler):\n"
        "    def step(self, execute):\n"
        f"        Path({str(begun)!r}).touch()\n"
        "        return super().step(execute)\n"
    )
    path = os.pathsep.join((ENVIRONMENT["PYTHONPATH"], str(ROOT / "examples"), str(tmp_path)))
    running = subprocess.Popen(
        [sys.executable, "-m", "lineclear", "test", "slow:Slow", "--workers", "2"],
        env={**ENVIRONMENT, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A job in the background inherits that interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not begun.exists():  # the workers run
        assert running.poll() is None
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGINT)
    out, error = running.communicate(timeout=60)
    assert running.returncode == INTERRUPTED
    assert out == ""
    assert error.startswith("interrupted: ")
    assert "Traceback" not in error
