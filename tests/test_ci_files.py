"""The files that put the check into CI: what they run is run, in a foreign project."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from lineclear.checks.registry import STAGES

ROOT = Path(__file__).resolve().parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
DEFAULTS = {name: str(row["default"]) for name, row in ACTION["inputs"].items()}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty project, with `lineclear` and `python` on the path; pip only notes its arguments."""
    tools = tmp_path / "bin"
    tools.mkdir()
    python = f'exec "{sys.executable}" "$@"\n'
    pip = f'if [ "$1 $2" = "-m pip" ]; then echo "$*" >> "{tmp_path}/pip.txt"; exit 0; fi\n'
    for name, text in (
        ("lineclear", f'exec "{sys.executable}" -m lineclear "$@"\n'),
        ("python", pip + python),
    ):
        (tools / name).write_text("#!/bin/sh\n" + text)
        (tools / name).chmod(0o755)
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def shell(project: Path, script: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs a script as a runner does."""
    roots = os.pathsep.join(str(ROOT / part) for part in ("spec", "reference", "gpu_backend"))
    environment = {
        **os.environ,
        "PYTHONPATH": roots,
        "PATH": f"{project.parent / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_STEP_SUMMARY": str(project.parent / "summary.md"),
        **more,
    }
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def act(project: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Every `run` step of the action, in order, with these inputs; the last one that ran."""
    given = {**DEFAULTS, **inputs}
    assert given.keys() == DEFAULTS.keys()
    done = shell(project, "true")
    for step in ACTION["runs"]["steps"]:
        if "run" not in step:
            continue
        assert step["shell"] == "bash"
        environment = {
            name: given[value.removeprefix("${{ inputs.").removesuffix(" }}")]
            for name, value in step.get("env", {}).items()
        }
        done = shell(project, step["run"], **environment)
        if done.returncode:
            return done
    return done


def test_the_action_checks_a_configuration_and_reports(project: Path) -> None:
    (project / "scheduler.toml").write_text('scheduling_policy = "priority"\n')
    done = act(
        project,
        mode="fast",
        config="scheduler.toml",
        arguments="--stage scheduler",
        junit="report.xml",
    )
    # On a slow machine a line of progress is written now and then.
    said = [line for line in done.stderr.splitlines() if not line.startswith("stages: ")]
    assert (done.returncode, said) == (0, [])
    assert done.stdout == "lineclear check: passed: 1 passed\n"
    assert (project.parent / "pip.txt").read_text() == f"-m pip install --quiet {ROOT}[verify]\n"
    assert "| scheduler | passed |" in (project.parent / "summary.md").read_text()
    suites = ElementTree.parse(project / "report.xml").getroot()
    assert [suite.get("name") for suite in suites] == ["scheduler"]
    assert list((project / ".lineclear" / "check").glob("scheduler-*.json"))


def test_the_action_without_inputs_calls_the_whole_check(project: Path) -> None:
    tool = project.parent / "bin" / "lineclear"
    tool.write_text('#!/bin/sh\necho "$@"\n')
    assert act(project).stdout == "check --format github\n"
    assert act(project, mode="deep").stdout == "check --format github --deep\n"


def test_the_action_fails_where_the_check_fails(project: Path) -> None:
    assert act(project, mode="quick").returncode == 2
    assert act(project, config="missing.toml").returncode == 2
    text = "<!-- lineclear diagram actions --format md -->\nold\n<!-- end of diagram -->\n"
    (project / "actions.md").write_text(text)
    done = act(project, arguments="--stage diagrams")
    assert done.returncode == 1
    assert done.stdout.startswith("::error file=actions.md,line=1,title=LC701 ")


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: str(hook["id"]))
def test_a_hook_runs_its_entry(hook: dict[str, Any], project: Path) -> None:
    assert hook["pass_filenames"] is False
    (project / "page.md").write_text("a page\n")
    made = shell(project, "lineclear diagram lifecycle -o lifecycle.svg")
    assert (made.returncode, made.stderr) == (0, "")
    # The whole of --fast takes half a minute: here the shortest of its stages.
    more = "" if "--stage" in hook["entry"] else " --stage diagrams"
    done = shell(project, hook["entry"] + more)
    assert done.returncode == 0, done.stderr
    # A slow machine may say how far it is; nothing else belongs on standard error.
    assert all(
        re.fullmatch(r"[\w ]+: \d+ of \d+, \d+ s", line) for line in done.stderr.splitlines()
    )
    assert done.stdout.rstrip().endswith("passed")


def test_a_hook_fails_on_a_stale_file(project: Path) -> None:
    shell(project, "lineclear diagram lifecycle -o lifecycle.svg")
    path = project / "lifecycle.svg"
    path.write_text(path.read_text().replace("WAITING", "STANDING"))
    (entry,) = [hook["entry"] for hook in HOOKS if hook["id"] == "lineclear-diagrams"]
    assert shell(project, entry).returncode == 1


def test_what_is_named_in_the_files_exists() -> None:
    named = [hook["entry"].split("--stage ")[1] for hook in HOOKS if "--stage" in hook["entry"]]
    assert set(named) <= {stage.name for stage in STAGES}
    for job in WORKFLOW["jobs"].values():
        for step in job["steps"]:
            uses = step.get("uses", "./")
            # A tag can be moved; a commit can't.
            assert uses == "./" or len(uses.partition("@")[2]) == 40
            if uses == "./":
                assert set(step.get("with", {})) <= DEFAULTS.keys()
    for step in ACTION["runs"]["steps"]:
        assert "uses" not in step or len(step["uses"].partition("@")[2]) == 40
        assert "${{" not in step.get("run", "")  # inputs come by the environment, never as text


def test_our_own_workflow_uses_the_action_and_runs_all_of_ci() -> None:
    steps = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
    assert [step["with"] for step in steps if step.get("uses") == "./"]
    assert ".ci/run" in [step.get("run") for step in steps]
    assert os.access(ROOT / ".ci/run", os.X_OK)
