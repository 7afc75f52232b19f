"""Which files an answer of `lineclear check` depends on, so that an edit forgets what it must."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lineclear.checks.registry import POLICY_STAGES, STAGES
from lineclear.checks.sources import closure, files, folder_of

TOP = folder_of("reference")


def named(module: str) -> set[str]:
    """The closure, by paths below the package."""
    return {path.relative_to(TOP).as_posix() for path in closure(module)}


def of_stage(name: str) -> set[Path]:
    """Files of `lineclear` that the answer of a stage depends on."""
    (stage,) = [stage for stage in STAGES if stage.name == name]
    return {path for part in stage.sources if part != "spec" for path in closure(part)}


def test_proofs_depend_on_policies_and_on_what_runs_on_formulas() -> None:
    proofs = {path.relative_to(TOP).as_posix() for path in of_stage("proofs")}
    assert {
        "policies/vtc.py",
        "policies/fcfs.py",
        "policies/view.py",
        "checks/__init__.py",
    } <= proofs
    assert {
        "theorems/entering.py",
        "scheduling/room.py",
        "scheduling/sequence_demand.py",
    } <= proofs  # their methods are run on formulas
    assert not proofs & {"scheduler.py", "simulation/simulate.py", "cli/check.py"}
    assert not named("lineclear.checks.table") & {
        "scheduling/step.py",
        "scheduling/room.py",
        "scheduler.py",
        "policies/vtc.py",
    }


def test_runs_depend_on_the_scheduler() -> None:
    assert {"scheduling/step.py", "scheduler.py", "policies/vtc.py"} <= named(
        "lineclear.checks.walks"
    )


@pytest.mark.parametrize("module", ["proofs", "table"])
def test_whatever_an_import_loads_is_in_the_closure(module: str) -> None:
    import subprocess

    code = (
        f"import sys; import lineclear.checks.{module}\n"
        "from lineclear.policies import load_claims\n"
        + ("load_claims()\n" if module == "proofs" else "")
        + "print(*[m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'lineclear'], "
        "sep='\\n')"
    )
    if module == "table":
        code = code.replace("from lineclear.policies import load_claims\n", "")
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": f"{TOP.parent}:{folder_of('spec').parent}"},
    )
    loaded = {Path(line) for line in run.stdout.splitlines()}
    assert len(loaded) >= 5
    stage = {"proofs": "proofs", "table": "mutants"}[module]
    assert loaded <= of_stage(stage)


def tree(top: Path, **texts: str) -> Path:
    """A package with these files; `__` in a name is a folder."""
    for name, text in {"__init__": "", **texts}.items():
        path = top / (name if name == "__init__" else name.replace("__", "/"))
        path = path.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        (path.parent / "__init__.py").touch()
    return top


def test_imports_inside_functions_and_whole_packages_count(tmp_path: Path) -> None:
    top = tree(
        tmp_path,
        start="def f():\n    from lineclear.middle import x\n",
        middle="from lineclear import rules\n",
        rules__one="",
        rules__two="import lineclear.last\n",
        last="",
        other="",
    )
    found = {path.relative_to(top).as_posix() for path in closure("lineclear.start", top)}
    assert {"start.py", "middle.py", "rules/one.py", "rules/two.py", "last.py"} <= found
    assert "other.py" not in found


@pytest.mark.parametrize("text", ["from lineclear import Lazy\n", "from . import other\n"])
def test_an_import_that_cannot_be_told_brings_everything(tmp_path: Path, text: str) -> None:
    top = tree(tmp_path, start=text, other="")
    assert closure("lineclear.start", top) == files(top)


def test_every_stage_names_what_exists() -> None:
    for stage in (*STAGES, *POLICY_STAGES):
        for part in stage.sources:
            assert part in ("spec", "reference") or closure(part)
