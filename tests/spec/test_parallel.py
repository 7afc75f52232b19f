"""The same results in the same order, wherever they are computed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lineclear_spec.parallel import BACKENDS, cores, in_parallel, on_backend


def square(number: int) -> int:
    return number * number


def fail_at_three(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    return number


met: list[int] = []


def meet(number: int) -> list[int]:
    """What this process has met, this number included."""
    met.append(number)
    return list(met)


def die_once(job: tuple[str, int]) -> int:
    """Ends its process the first time."""
    folder, number = job
    mark = Path(folder) / str(number)
    if number == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_jobs(workers: int) -> None:
    assert list(in_parallel(square, range(20), workers)) == [n * n for n in range(20)]
    assert list(in_parallel(square, [], workers)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_job_is_raised_in_its_turn(workers: int) -> None:
    results = iter(in_parallel(fail_at_three, range(5), workers))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


@pytest.mark.parametrize("workers", [None, 2])
def test_a_fresh_process_has_met_nothing_before(workers: int | None) -> None:
    met[:] = [7]
    assert list(in_parallel(meet, range(4), workers, fresh=True)) == [[0], [1], [2], [3]]
    assert list(in_parallel(meet, [5], workers, fresh=True)) == [[5]]
    assert list(in_parallel(meet, [], workers, fresh=True)) == []
    assert list(in_parallel(meet, [5], 1, fresh=True)) == [[7, 5]]
    results = iter(in_parallel(fail_at_three, range(5), workers, fresh=True))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_there_is_a_core_and_no_other_backend() -> None:
    assert cores() >= 1
    assert BACKENDS == ("processes", "ray")
    with pytest.raises(ValueError, match="choose one of processes, ray"), on_backend("threads"):
        pass


@pytest.fixture(scope="module")
def two_workers() -> Any:
    """A cluster on this machine with two workers."""
    ray = pytest.importorskip("ray")
    parts = [str(Path(__file__).parents[2] / part) for part in ("spec", "reference", "tests/spec")]
    paths = os.pathsep.join([*parts, str(Path(__file__).parents[2] / "examples")])
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": paths}},
    )
    yield ray
    ray.shutdown()


@pytest.mark.deep
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_gives_the_same_and_a_worker_that_dies_costs_a_retry(
    two_workers: Any, tmp_path: Path
) -> None:
    here = list(in_parallel(square, range(8), 1))
    with on_backend("ray"):
        assert cores() == 2
        assert list(in_parallel(square, range(8))) == here
        assert list(in_parallel(partial(pow, 2), range(8))) == [2**n for n in range(8)]
        assert list(in_parallel(meet, range(3), fresh=True)) == [[0], [1], [2]]
        jobs = [(str(tmp_path), number) for number in range(5)]
        assert list(in_parallel(die_once, jobs)) == list(range(5))
        assert (tmp_path / "2").exists()
        with pytest.raises(ValueError, match="three"):
            list(in_parallel(fail_at_three, range(5)))


@pytest.mark.deep
@pytest.mark.filterwarnings("ignore")
def test_a_search_on_a_cluster_finds_what_it_finds_here(
    two_workers: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    from lineclear.cli import main

    target = str(Path(__file__).parents[2] / "examples/tiny_scheduler.py") + ":make_broken"
    output: list[Any] = []
    for backend in BACKENDS:
        command = ["test", target, "--backend", backend, "--format", "json", "--seconds", "30"]
        assert main(command) == 1
        output.append(json.loads(capsys.readouterr().out)["finding"])
        output[-1].pop("shrinking_seconds")
    assert output[0] == output[1]


@pytest.mark.deep
@pytest.mark.filterwarnings("ignore")
def test_a_command_on_a_cluster_prints_what_it_prints_here(
    two_workers: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from lineclear.cli import main

    command = "compare --num-requests 20 --generate tenants --policies vtc,fcfs,drr"
    output: list[str] = []
    for backend in BACKENDS:
        assert main([*command.split(), "--backend", backend]) == 0
        output.append(capsys.readouterr().out)
    assert output[0] == output[1] != ""


def test_an_interrupt_that_comes_while_workers_begin_ends_none_of_them() -> None:
    """Each worker interrupts itself before it is deaf to interrupts, as a terminal may."""
    text = (
        "import os, signal\n"
        "from multiprocessing.process import BaseProcess\n"
        "from lineclear_spec.parallel import in_parallel\n"
        "run = BaseProcess.run\n"
        "def interrupted(self):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    run(self)\n"
        "BaseProcess.run = interrupted\n"
        "print(list(in_parallel(abs, [-1, -2, -3], 2)))\n"
    )
    path = os.pathsep.join(p for p in sys.path if p)
    ran = subprocess.run(
        [sys.executable, "-c", text],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (ran.returncode, ran.stdout) == (0, "[1, 2, 3]\n"), ran.stderr
