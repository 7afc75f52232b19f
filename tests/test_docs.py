"""The documents name only what there is, and their lists are those of the source."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lineclear_spec.actions import ACTIONS
from lineclear_spec.invariants import INVARIANTS
from lineclear_spec.kernel.operators import OPERATORS

ROOT = Path(__file__).resolve().parents[1]
TRUST = (ROOT / "docs/trust.md").read_text()
PAGES = (
    "README.md",
    "ARCHITECTURE.md",
    "docs/words.md",
    "docs/trust.md",
    "docs/mutants.md",
    "docs/not_covered.md",
)


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


def tracked() -> list[str]:
    """Paths of the project's own files; a source archive has no git, so the tree is walked there."""
    walked = (p for p in ROOT.rglob("*") if p.is_file())
    inside = [p.relative_to(ROOT) for p in walked]
    return [
        p.as_posix()
        for p in inside
        if not p.parts[0].startswith(".v") and "." not in p.parts[0][:1]
    ]


FILES = tracked()
PROSE = [name for name in FILES if name.endswith((".py", ".md"))]
#: A path in backticks: a file with a known ending, or a folder.
PATH = re.compile(
    r"`((?:[\w.-]+/)*[\w-]+(?:\.[\w-]+)*\.(?:py|md|json|toml|yml|svg|png)|(?:[\w-]+/)+)`"
)
#: What is said of other projects' files.
FOREIGN = {"reference/lineclear/evidence/vllm_v0.py"}


def exists(path: str) -> bool:
    """Whether a file, or a folder that has a file, ends with the path."""
    if path.endswith("/"):
        return any(f"/{path}" in f"/{name}" for name in FILES)
    return any(f"/{name}".endswith(f"/{path}") for name in FILES)


def test_every_path_in_prose_exists() -> None:
    missing: list[tuple[str, str]] = []
    for page in sorted(set(PROSE) - FOREIGN):
        named = PATH.findall((ROOT / page).read_text(encoding="utf-8"))
        missing += [(page, path) for path in named if not exists(path)]
    assert missing == []


def broken_rows(text: str) -> list[str]:
    """Rows of Markdown tables that have more or fewer cells than the first row of their table."""
    width, code = 0, False
    broken: list[str] = []
    for line in text.splitlines():
        code ^= line.startswith("```")
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") and not code else 0
        if (cells and width and cells != width) or (width and not cells and line.strip()):
            broken.append(line)  # the last case: a row that goes on in another line
        width = cells
    return broken


def test_every_row_of_a_table_has_the_cells_of_its_head() -> None:
    assert broken_rows("| a | b |\n| --- | --- |\n| c |\n") == ["| c |"]
    assert broken_rows("| a | b |\n| --- | --- |\n| c | d\n    and e |\n") != []
    pages = [name for name in PROSE if name.endswith(".md")]
    found = {name: broken_rows((ROOT / name).read_text(encoding="utf-8")) for name in pages}
    assert {name: rows for name, rows in found.items() if rows} == {}


def test_the_first_page_counts_actions_invariants_and_operators() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    said = re.findall(r"(\d+) guarded\s+actions|(\d+) actions|(\d+) invariants", page)
    counts = [(int(a or b or 0), int(c or 0)) for a, b, c in said]
    assert len(counts) == 5
    assert {a for a, _ in counts if a} == {len(ACTIONS)}
    assert {c for _, c in counts if c} == {len(INVARIANTS)}
    assert len(OPERATORS) == 20
    assert "Twenty groups of operators" in page


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
        "max_bypasses",
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


def test_every_mutant_has_its_row_with_the_text_that_is_gone() -> None:
    pytest.importorskip("z3")
    from lineclear_spec.mutation.mutants import generate

    page = (ROOT / "docs/mutants.md").read_text()
    rows: list[tuple[str, str]] = []
    function = ""
    for line in page.splitlines():
        if line.startswith("## "):
            function = line[3:]
        elif match := re.match(
            r"\| ((?:guard|effect) \d+) \| (.*?) \| (refuted|equivalent)", line
        ):
            text = match[2].strip("`").replace("\\|", "|")
            rows.append((f"{function}.{match[1].replace(' ', '.')}", text))
    assert rows == [(mutant.name, mutant.text) for mutant in generate()]


def test_the_page_on_hosts_shows_the_example_as_it_is() -> None:
    page = (ROOT / "docs/integrate.md").read_text()
    assert f"```python\n{(ROOT / 'examples/host.py').read_text()}```" in page
