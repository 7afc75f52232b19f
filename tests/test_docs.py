"""The documents name only what there is, and their lists are those of the source."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lineclear_spec.actions import ACTIONS
from lineclear_spec.invariants import INVARIANTS

ROOT = Path(__file__).resolve().parents[1]
TRUST = (ROOT / "docs/trust.md").read_text()
PAGES = ("README.md", "ARCHITECTURE.md", "docs/trust.md", "docs/mutants.md")


def row(name: str) -> str:
    (found,) = [line for line in TRUST.splitlines() if line.startswith(f"| {name} |")]
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_test_and_file_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text()
    tests = "".join(p.read_text() for p in (ROOT / "tests").rglob("test_*.py"))
    missing = [t for t in re.findall(r"`(test_\w+)`", text) if f"def {t}(" not in tests]
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    here = (ROOT / page).parent
    missing += [k for k in links if "://" not in k and not (here / k).exists()]
    assert missing == []


@pytest.mark.parametrize("name", [f"P{n}" for n in range(1, 17)] + [f"F{n}" for n in range(1, 9)])
def test_every_property_and_premise_has_its_row(name: str) -> None:
    kinds = {
        "defined",
        "refusal",
        "audit",
        "observer",
        "worst_case",
        "copied",
        "kept",
        "bypass",
        "ranking",
        "progress",
    }
    known = kinds | set(INVARIANTS) | set(ACTIONS)
    cells = row(name).split(" | ")
    assert all(cells[1:3])
    if name.startswith("P"):
        named = set(re.findall(r"`(\w+)`", cells[2]))
        assert named or "not yet" in cells[2]
        assert named <= known


def test_the_lists_that_need_no_solver_are_those_of_the_source() -> None:
    script = [sys.executable, str(ROOT / "docs/make_trust.py"), "--quick", "--check"]
    answer = subprocess.run(script, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout) == (0, "")


def test_every_mutant_has_its_row() -> None:
    pytest.importorskip("z3")
    from lineclear_spec.mutants import generate

    page = (ROOT / "docs/mutants.md").read_text()
    rows: list[str] = []
    function = ""
    for line in page.splitlines():
        if line.startswith("## "):
            function = line[3:]
        elif match := re.match(r"\| ((?:guard|effect) \d+) \|", line):
            rows.append(f"{function}.{match[1].replace(' ', '.')}")
    assert rows == [mutant.name for mutant in generate()]
