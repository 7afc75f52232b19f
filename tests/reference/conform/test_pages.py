"""The pages about event logs run, and name every kind, field and rule."""

from __future__ import annotations

import doctest
from dataclasses import fields
from pathlib import Path

import pytest

from lineclear.conform import FORMAT, RULES, Checker, Header, Reader
from lineclear.conform.header import ORDERS, PARTS
from lineclear.conform.schema import FIELDS

DOCS = Path(__file__).resolve().parents[3] / "docs"
LOG = (DOCS / "event_log.md").read_text()


@pytest.mark.parametrize("page", ["event_log.md", "conform.md"])
def test_the_examples_run(page: str) -> None:
    failed, tried = doctest.testfile(str(DOCS / page), module_relative=False)
    assert (failed, tried > 0) == (0, True)


def test_the_log_on_the_page_conforms() -> None:
    lines = LOG.split("```\n", 2)[1].splitlines()
    reader = Reader(lines)
    assert Checker(reader.header).run(reader) == []
    assert reader.line == len(lines) == 10


def test_every_field_of_every_event_is_on_the_page() -> None:
    for kind, rules in FIELDS.items():
        (row,) = [
            line
            for line in LOG.splitlines()
            if line.startswith("| `") and f"`{kind}`" in line.split("|")[1]
        ]
        named = {part.strip() for part in row.split("|")[2].split(",")} - {""}
        assert named == {f"`{name}`" + "?" * optional for name, (_, _, optional) in rules.items()}


def test_the_header_is_on_the_page() -> None:
    for field in fields(Header):
        assert f"`{field.name}`" in LOG
    for word in (*ORDERS, *PARTS, FORMAT):
        assert f"`{word}`" in LOG


def test_every_rule_is_on_the_page() -> None:
    page = (DOCS / "conform.md").read_text()
    for rule in RULES.values():
        assert f"| {rule.code} | {rule.name} | {rule.sentence} |" in page
