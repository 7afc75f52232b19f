"""Checks event logs of any engine against the rules that every paged scheduler must obey.

Guarantees: the names below are the library; `lineclear conform` and the test harness use no other.
"""

from __future__ import annotations

from lineclear.conform.checker import Checker
from lineclear.conform.events import Event, EventError, RequestId
from lineclear.conform.header import FORMAT, Header, LayerGroup, PoolSize
from lineclear.conform.reader import Reader, Writer
from lineclear.conform.rule_context import Violation
from lineclear.conform.rules import RULES, Rule, RuleCoverage
from lineclear.conform.schema import check_event

__all__ = [
    "FORMAT", "RULES", "Checker", "Event", "EventError", "Header", "LayerGroup", "PoolSize", "Reader",
    "RequestId", "Rule", "RuleCoverage", "Violation", "Writer", "check_event",
]  # fmt: skip
