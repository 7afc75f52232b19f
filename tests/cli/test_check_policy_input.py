"""What `--policy` and `--policy-options` name, or are refused for in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("z3")

from own_policies import check

from lineclear.cli import main

pytestmark = pytest.mark.usefixtures("module_folder")

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "policy", "complaint"),
    [
        ("", "mine:Missing", "has no attribute 'Missing'"),
        ("", "nowhere_at_all:Policy", "No module named"),
        ("def", "mine:P", "SyntaxError"),
        ("1 / 0", "mine:P", "ZeroDivisionError"),
        ("raise SystemExit(7)", "mine:P", "SystemExit: 7"),
        ("class P:\n    pass", "mine:P", "it has no `name`"),
        ("class P:\n    name = 'p'", "mine:P", "no method key(view)"),
        ("class P:\n    name = 'p'\n    key = 3\n    may_displace = 3", "mine:P", "`key` is 3"),
        (
            "class P:\n    name = 'p'\n    def key(self): return 0\n    def may_displace(self, a, b): 0",
            "mine:P",
            "`key` is called as key(view): too many positional arguments",
        ),
        (
            "class P:\n    name = 'p'\n    def key(self, v): yield 0\n"
            "    def may_displace(self, a, b): 0",
            "mine:P",
            "no generator and no coroutine",
        ),
        (
            "class P:\n    def __init__(self): raise OSError('no disk')",
            "mine:P",
            "OSError: no disk",
        ),
        ("P = 3", "mine:P", "3 is not a callable object"),
        ("", "mine", "or module:Class"),
    ],
)
def test_what_is_no_policy_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], text: str, policy: str, complaint: str
) -> None:
    Path("mine.py").write_text(text)
    for command in (
        ["check", "--policy", policy],
        ["simulate", "--scheduling-policy", policy],
    ):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert complaint in said
        assert said.count("\n") == 1


def test_options_reach_the_policy_or_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    sys.path.insert(0, str(ROOT / "docs/examples"))
    policy = "my_policy:ShortAnswersFirst"
    assert (
        check(capsys, policy, "--policy-options", "seconds_per_token=2", "--stage", "order")[0]
        == 0
    )
    assert main(["check", "--policy", policy, "--policy-options", "speed=2"]) == 2
    assert "has no option speed; it has seconds_per_token" in capsys.readouterr().err
    assert main(["check", "--policy-options", "speed=2"]) == 2
