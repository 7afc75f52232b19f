"""The examples of the page are what the code does."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/test_your_scheduler.md"


def test_the_examples_of_the_page_run() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert failed == 0
    assert tried > 8


def test_every_switch_of_the_page_is_a_field_and_every_field_is_named() -> None:
    from dataclasses import fields

    from lineclear.testing import Limits

    page = PAGE.read_text(encoding="utf-8")
    known = {field.name for field in fields(Limits)}
    switches = {
        name
        for row in re.findall(r"^\| (`.+?`) \|", page.split("## Where schedulers differ")[1], re.M)
        for name in re.findall(r"`(\w+)", row)
    }
    assert switches <= known
    sizes = {"blocks", "block_size", "max_seqs", "max_tokens", "aborts"}
    assert known - sizes == switches


def test_what_the_page_shows_is_printed(tmp_path: Path) -> None:
    import contextlib
    import io
    import os

    from lineclear.cli import main

    shown = PAGE.read_text(encoding="utf-8").split("```\nLC511")[1].split("```")[0]
    out = io.StringIO()
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        with contextlib.redirect_stdout(out):
            code = main(["test", "examples/friday_scheduler.py:make_scheduler", "--workers", "1"])
    finally:
        os.chdir(before)
    assert code == 1
    assert "LC511" + shown.rstrip() in out.getvalue()
