"""Long work says now and then how far it is, and short work says nothing."""

from __future__ import annotations

import time

import pytest

from lineclear.cli import main, progress
from lineclear.cli.progress import Progress
from lineclear_spec.parallel import in_parallel, while_waiting


def slow(number: int) -> int:
    time.sleep(1.5)
    return number


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_long_job_does_not_silence_the_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    """What takes long is one world or one unit, and no step is counted before it ends."""
    monkeypatch.setattr(progress, "SILENCE", 0.5)
    with Progress("searching", jobs):
        assert list(in_parallel(slow, range(jobs))) == list(range(jobs))
    assert f"searching: 0 of {jobs}, " in capsys.readouterr().err
    assert while_waiting == []


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("work", 3) as work:
        for _ in range(3):
            work.step()
    assert capsys.readouterr() == ("", "")


def test_work_without_a_known_end_is_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SILENCE", 0.0)
    with Progress("events read", None) as work:
        work.step()
    assert capsys.readouterr().err == "events read: 1, 0 s\n"


def test_a_bound_is_said_once_and_is_that_of_the_guarantee(
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = ("simulate", "--num-requests", "4")
    assert main(few) == 0
    (alone,) = [line for line in capsys.readouterr().out.splitlines() if "proved bound" in line]
    assert main((*few, "--guarantees")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert not [line for line in lines if "proved bound" in line]
    (row,) = [line for line in lines if line.startswith("fcfs.P6b ") and "T1 =" in line]
    assert row.split()[1] == alone.split()[-1]
