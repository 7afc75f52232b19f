"""Ctrl-C ends a command and every process of it, with one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from lineclear.cli import main
from lineclear.cli.exits import INTERRUPTED

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join(str(ROOT / part) for part in ("spec", "reference", "gpu_backend"))
#: Seconds after which a command has ended; measured on an idle machine it is under 2.
MOST = 10
CODE = """
import sys
from lineclear.cli import main
print("ready", flush=True)
sys.exit(main(sys.argv[1:]))
"""


#: Seconds after which a command is at work, with every process that it starts.
BEGUN = {"check": 3, "explore": 1.5, "prove": 1.5, "simulate": 1.5, "run": 3}


def interrupted(folder: Path, *arguments: str) -> tuple[int, list[str]]:
    """The exit code and the lines on standard error of a command that is interrupted at work."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": PATHS},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(BEGUN[arguments[0]])
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, lines = process.communicate(timeout=MOST)
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)  # none of its processes is left
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, lines.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "--fast", "--no-cache"),
        ("explore", "--requests", "9"),
        ("prove", "--no-mutants"),
        ("simulate", "--num-requests", "100000", "--journal", "run.jsonl"),
        ("run", "--num-requests", "9999"),
    ],
)
def test_an_interrupt_ends_every_process_with_one_line(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    if find_spec("torch" if arguments[0] == "run" else "z3") is None:
        pytest.skip("the command needs a package that is not installed")
    code, lines = interrupted(tmp_path, *arguments)
    assert code == INTERRUPTED
    assert lines == [f"lineclear {arguments[0]}: interrupted"]
    assert [path.name for path in tmp_path.iterdir()] == []


class Interrupting:
    """Is interrupted in its finalizer, where Python drops what is raised."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)  # the handler runs before the next call at the latest


def test_an_interrupt_in_a_finalizer_is_not_dropped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: object) -> int:
        Interrupting()
        started = time.monotonic()
        while time.monotonic() - started < MOST:
            pass
        return 0

    monkeypatch.setattr("lineclear.cli.explain.run", run)
    before = signal.getsignal(signal.SIGALRM), sys.unraisablehook
    assert main(["explain"]) == INTERRUPTED
    assert capsys.readouterr() == ("", "lineclear explain: interrupted\n")
    assert (signal.getsignal(signal.SIGALRM), sys.unraisablehook) == before


def test_a_solver_that_is_interrupted_gives_no_answer() -> None:
    """It would say unknown, which is a finding."""
    z3 = pytest.importorskip("z3")
    from lineclear_spec.proof.prove import ask

    solver = z3.Solver()
    numbers = z3.Ints("a b c d")
    solver.add(z3.Product(*numbers) == 7 * 11 * 13 * 10007**3, *[n > 1 for n in numbers])
    solver.add(z3.Sum(*[n**5 for n in numbers]) == 10**40 + 3)
    child = os.fork()
    if child == 0:
        time.sleep(0.5)
        os.kill(os.getppid(), signal.SIGINT)
        os._exit(0)
    try:
        with pytest.raises(KeyboardInterrupt):
            ask(solver)
    finally:
        os.waitpid(child, 0)


def test_an_interrupt_of_a_short_question_reaches_python() -> None:
    """A question with a budget ends as if that were used up when z3 itself takes the signal."""
    build = pytest.importorskip("lineclear_spec.proof.obligations").build
    prove_unit = import_module("lineclear_spec.proof.prove").prove_unit
    unit, sent, seen = build("swap_in"), 8, list[int]()

    def interrupt() -> None:
        for _ in range(sent):
            time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    try:
        thread = threading.Thread(target=interrupt)
        thread.start()
        while thread.is_alive():
            prove_unit(unit, budget=100_000)
        thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(seen) == sent
