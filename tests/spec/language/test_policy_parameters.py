"""A parameter of a policy counts as a constant on formulas only if nothing changes it.

Each case here was proved once although an execution shows that it is wrong.
"""

# pyright: basic

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scripts import module_of

from lineclear_spec.language.dialect import objection

POLICY = """
SIGN = 1
def bump(policy):
    policy.weight = -policy.weight
class Mine:
    name = "mine"
    def __init__(self):
        self.weight = 1
    def key(self, request):
        return {key} * request.number
    def may_displace(self, waiting, running):
        return False
    def share(self, request, budget, sharers):
        {share}
        return budget
"""


def policy_of(folder: Path, key: str, share: str, more: str = "") -> Any:
    path = folder / "changing.py"
    text = POLICY.format(key=key, share=share)
    path.write_text(
        text + more if more else text.replace("    policy.weight = -policy.weight", "    pass")
    )
    return module_of(path, listed=True).Mine()


def test_a_parameter_that_nothing_changes_is_allowed(tmp_path: Path) -> None:
    assert objection(policy_of(tmp_path, "self.weight", "pass")) == ""
    assert objection(policy_of(tmp_path, "SIGN", "pass")) == ""


@pytest.mark.parametrize(
    ("key", "share", "what"),
    [
        ("self.weight", "bump(self)", "`weight`, which the policy changes"),
        ("self.weight", "Other.bump(self)", "`weight`, which the policy changes"),
        ("SIGN", "globals()['SIGN'] = -1", "`SIGN`, which the module changes"),
        ("self.weight", "globals()['bump'] = None", "`weight`, which the policy changes"),
    ],
)
def test_a_parameter_that_the_module_changes_is_refused(
    key: str, share: str, what: str, tmp_path: Path
) -> None:
    other = ""
    if share.startswith("Other"):
        other = "class Other:\n    @staticmethod\n    def bump(it): it.weight = -1\n"
    elif share == "bump(self)":
        other = "\n"
    assert what in objection(policy_of(tmp_path, key, share, other))
