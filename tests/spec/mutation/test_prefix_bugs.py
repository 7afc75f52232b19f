"""Bugs of prefix caches in other engines, each as a mutant that is refuted: the table of docs/prefix_caching.md."""

# pyright: basic

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lineclear_spec.mutation.judge import judge_all
from lineclear_spec.mutation.mutants import DROPS, generate

PAGE = Path(__file__).resolve().parents[3] / "docs" / "prefix_caching.md"


def rows_of_page() -> list[tuple[str, str]]:
    """Mutant and statement of each row of the page."""
    text = PAGE.read_text(encoding="utf-8").partition("## Bugs of other engines")[2]
    rows = re.findall(
        r"^\|.*\| `(\w+)` without (.+?) \|$", text.partition("\n## ")[0], re.MULTILINE
    )
    return [(action, statement.strip("`*")) for action, statement in rows]


def test_every_row_names_a_statement_of_the_table() -> None:
    known = {(m.name.split(".")[0], m.text) for m in generate(DROPS)}
    rows = rows_of_page()
    assert len(rows) >= 14
    assert [row for row in rows if row not in known] == []


@pytest.mark.deep
def test_every_one_of_them_is_refuted() -> None:
    rows = set(rows_of_page())
    mutants = [m for m in generate(DROPS) if (m.name.split(".")[0], m.text) in rows]
    assert {v.status for v in judge_all(mutants)} == {"refuted"}
