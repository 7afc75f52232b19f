"""How the command starts, rejects arguments and ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from refusals import printed

import lineclear
from lineclear.cli import COMMANDS, main, make_parser
from lineclear.cli.exits import BROKEN_PIPE, DEFECT, EXTRAS, INTERRUPTED, missing_extra
from lineclear.pytest_plugin import pytest_configure

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(
        str(ROOT / part) for part in ("spec", "reference", "gpu_backend")
    ),
}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a fresh interpreter that sees this checkout."""
    return subprocess.run(
        [sys.executable, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from lineclear.cli import main; main(['--help'])\n"
        "print(*sorted(set(sys.modules) & "
        "{'statemachine', 'numpy', 'rich', 'z3', 'cvc5', 'hypothesis', 'torch', 'pytest'}),"
        " file=sys.stderr)"
    )
    done = python("-c", code)
    assert done.returncode == 0
    assert done.stderr.strip() == ""
    assert done.stdout.startswith("usage: lineclear")


def test_help_imports_the_commands_and_nothing_that_they_run() -> None:
    """What `--help` costs is what it imports: the parsers, and no module of what a command does."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "from lineclear.cli import main; main(['--help'])\n"
        "print(*sorted(set(sys.modules) - before), sep='\\n', file=sys.stderr)"
    )
    done = python("-c", code)
    assert done.returncode == 0
    loaded = done.stderr.split()
    ours = [name for name in loaded if name.split(".")[0].startswith("lineclear")]
    assert "lineclear.cli.check" in ours
    beside = {"lineclear", "lineclear.cli", "lineclear_gpu", "lineclear_gpu.command"}
    beside |= {"lineclear_gpu.calibrate", "lineclear_gpu.model_arguments"}
    assert [n for n in ours if n not in beside and not n.startswith("lineclear.cli.")] == []
    foreign = {name.split(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert {name for name in foreign if not name.startswith("lineclear")} == set()
    assert len(loaded) < 150  # those of argparse, json and re


def test_help_documents_every_command_and_exit_code() -> None:
    text = make_parser().format_help()
    for command in COMMANDS:
        assert re.search(rf"\n    {command}\s", text)
    for code in range(4):
        assert f"\n  {code}  " in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_of_its_own(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(capsys, command, "--help")
    assert text.startswith(f"usage: lineclear {command}")
    assert "--format" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "--version") == f"lineclear {lineclear.__version__}\n"


@pytest.mark.parametrize(
    "argv", [[], ["fly"], ["explain", "--format", "yaml"], ["diagram"], ["--format"]]
)
def test_a_command_that_is_not_understood_ends_with_2(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert "error:" in written.err


@pytest.mark.parametrize("module", sorted(EXTRAS))
def test_a_missing_extra_is_one_line(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: object) -> int:
        raise ModuleNotFoundError(f"No module named '{module}'", name=f"{module}.part")

    monkeypatch.setattr("lineclear.cli.explain.run", run)
    assert main(["explain", "admit"]) == 2
    written = capsys.readouterr()
    package, extra = EXTRAS[module]
    assert written.err == f'lineclear explain needs {package}: pip install "lineclear[{extra}]"\n'
    assert written.out == ""


def test_the_matrix_without_a_solver_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['z3'] = None\n"
        "from lineclear.cli import main; sys.exit(main(['diagram', 'matrix']))"
    )
    done = python("-c", code)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'lineclear diagram needs z3-solver: pip install "lineclear[verify]"\n'


def test_a_module_of_our_own_that_is_missing_is_not_called_an_extra() -> None:
    assert missing_extra("check", ModuleNotFoundError("no", name="lineclear.nothing")) is None
    assert missing_extra("check", ModuleNotFoundError("no")) is None


def test_an_interrupt_ends_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("lineclear.cli.explain.run", run)
    assert main(["explain"]) == INTERRUPTED
    assert capsys.readouterr() == ("", "lineclear explain: interrupted\n")


def test_an_error_of_its_own_is_not_the_code_of_a_refutation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: object) -> int:
        raise OSError("no file is named")  # so that it is no line about a file

    monkeypatch.setattr("lineclear.cli.explain.run", run)
    monkeypatch.setattr(sys, "argv", ["lineclear", "explain"])
    assert main() == DEFECT
    assert "OSError: no file is named" in capsys.readouterr().err
    with pytest.raises(OSError, match="no file is named"):
        main(["explain"])


def test_a_closed_pipe_ends_without_a_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "lineclear", "explain"],
        env=ENVIRONMENT,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writer)
    assert done.returncode == BROKEN_PIPE
    assert done.stderr == ""


def test_python_m_is_the_command() -> None:
    done = python("-m", "lineclear", "diagram", "lifecycle", "--format", "json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["phases"][0] == "NEW"


def test_unknown_public_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="'lineclear' has no attribute 'Signal'"):
        lineclear.Signal  # noqa: B018
    assert set(lineclear.__all__) <= set(dir(lineclear))


def test_the_pytest_plugin_loads_nothing_heavy_and_registers_its_marker(
    pytestconfig: pytest.Config,
) -> None:
    code = (
        "import sys; import pytest; before = set(sys.modules)\n"
        "import lineclear.pytest_plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    assert python("-c", code).stdout.split() == ["lineclear", "lineclear.pytest_plugin"]
    pytest_configure(pytestconfig)
    markers: list[str] = pytestconfig.getini("markers")
    assert any(marker.startswith("lineclear: ") for marker in markers)


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("explain >&-", 2, "lineclear: standard output is closed: open it"),
        ("replay - <&-", 2, "line 1: journal is missing"),
        ("simulate - <&-", 2, "standard input: it is empty"),
        ("explain LC401 2>&- <&-", 0, ""),
        ("simulate nofile 2>&-", 2, ""),
    ],
)
def test_a_closed_stream_is_no_error_of_the_command(line: str, code: int, said: str) -> None:
    command = f"{sys.executable} -m lineclear {line}"
    done = subprocess.run(
        command, shell=True, env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.count("\n") == (1 if said else 0)
