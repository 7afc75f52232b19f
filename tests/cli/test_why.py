"""`lineclear why`: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conforming import written
from refusals import printed

from lineclear.cli import main
from lineclear.conform import Header

HANG = [
    {"e": "submit", "r": "a", "prompt": 3, "max": 4},
    {"e": "alloc", "r": "a", "blocks": [0, 1]},
    {"e": "step", "n": 1, "rows": [["a", 0, 3, 1]]},
    {"e": "settle", "n": 1},
    {"e": "submit", "r": "b", "prompt": 5, "max": 2},
    *[{"e": "idle"}] * 6,
]


def test_why_an_engine_stands_still(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "hang.jsonl", Header(4, 2), HANG)
    text = printed(capsys, "why", path, code=1)
    assert "LC511 progress: nothing was scheduled in 6 calls in a row" in text
    assert "STANDSTILL: 2 requests are live and nothing was scheduled in 6 calls" in text
    assert "the last token was kept 6 calls ago" in text  # the call that breaks the rule counts
    assert "  blocks: too few blocks are free (needs 3, free 2, cached 0)" in text
    assert "  smallest change: abort 'a', or 1 more block" in text
    content = json.loads(printed(capsys, "why", path, "--at", "5", "--format", "json"))
    assert content["standstill"] is False
    assert [row["guard"] for row in content["requests"]] == ["none", "blocks"]
    assert main(["why", path, "--at", "99"]) == 1
    assert main(["why", path, "--at", "-1"]) == 2


def test_a_log_whose_every_request_is_hopeless_is_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hopeless, other = ({"e": "submit", "r": "c", "prompt": 9, "max": 1}, HANG[0])
    one = [*[{"e": "idle"}] * 2]
    assert main(["why", written(tmp_path / "a.jsonl", Header(4, 2), [hopeless, *one])]) == 1
    assert "STANDSTILL" not in capsys.readouterr().out
    both = [hopeless, other, *one]
    assert main(["why", written(tmp_path / "b.jsonl", Header(4, 2), both)]) == 0


def test_why_of_a_journal(journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "why", journal)
    assert "requests are live" in text
    assert "waiting: helps" in text
    assert main(["why", journal, "--at", "999999"]) == 2
