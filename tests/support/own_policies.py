"""Policies of a user's own, written into a module of the working folder, and `check` on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lineclear.cli import main

POLICY = """
from lineclear_spec.liveness.theorems import CLAIMS, Claims, Fact, claim
from lineclear_spec.logic import if_else, given, implies

class {name}:
    name = "{name}"
{body}
"""
PLAIN = """
    def may_displace(self, waiting, running):
        return False
"""
BODIES = {
    "Fifo": "    def key(self, request):\n        return request.number" + PLAIN,
    "Lifo": "    def key(self, request):\n        return -request.number" + PLAIN,
    "Meant": "    may_starve = True\n    def key(self, request):\n        return -request.number"
    + PLAIN,
    "Lots": "    def key(self, request):\n        import random\n        return random.random()"
    + PLAIN,
    "Sly": "    def key(self, request):\n"
    "        return request.number if type(request.n) is not int else -request.number" + PLAIN,
    "Sometimes": "    def key(self, request):\n        return {0: 0}[request.priority]" + PLAIN,
    "Late": "    def key(self, request):\n        return 0\n"
    "    def share(self, request, budget, sharers):\n        return request.generated" + PLAIN,
    "NoDeadline": "    def key(self, request):\n"
    "        return if_else(given(request.deadline), request.number, -request.number)" + PLAIN,
}


def write(name: str, module: str = "mine", more: str = "") -> str:
    text = POLICY.format(name=name, body=BODIES[name]) + more
    Path(f"{module}.py").write_text(text)
    return f"{module}:{name}"


def check(capsys: pytest.CaptureFixture[str], policy: str, *more: str) -> tuple[int, Any]:
    """The exit code, and outcomes by stage."""
    capsys.readouterr()
    code = main(["check", "--fast", "--policy", policy, "--format", "json", *more])
    stages = json.loads(capsys.readouterr().out)["stages"]
    return code, {stage["name"]: stage for stage in stages}


def codes(stage: Any) -> list[str]:
    return [finding["code"] for finding in stage["findings"]]
