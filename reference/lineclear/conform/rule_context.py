"""A broken rule, and what the rules see of the checker that runs them.

Guarantees: the rules of a log change nothing of a checker but the fields of `RuleContext`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lineclear.conform.events import RequestId
from lineclear.conform.header import Header
from lineclear.conform.rules import CLAUSES, RULES, Rule, off
from lineclear.conform.state import LogState


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule.

    Attributes:
        rule: name of the rule.
        clause: the clause of the rule.
        message: what is wrong, with its values.
        number: number of the event; the first after the header is 1.
        event: the event.
        requests: requests involved.
        blocks: blocks involved, as (pool, block id).
        values: the values that the rule compares.
    """

    rule: str
    clause: str
    message: str
    number: int
    event: dict[str, Any]
    requests: tuple[RequestId, ...] = ()
    blocks: tuple[tuple[str, int], ...] = ()
    values: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def code(self) -> str:
        """The finding code of its rule."""
        return self.about.code

    @property
    def about(self) -> Rule:
        """The rule."""
        return RULES[self.rule]

    @property
    def key(self) -> tuple[str, str, str]:
        """What a reduced log must break as well: rule, clause and kind of event."""
        return self.rule, self.clause, self.event["e"]

    def json(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "rule": self.rule,
            "clause": self.clause,
            "code": self.code,
            "sentence": self.about.sentence,
            "message": self.message,
            "event_number": self.number,
            "event": self.event,
            "requests": list(self.requests),
            "blocks": [list(block) for block in self.blocks],
            "values": self.values,
        }


class RuleContext:
    """What the rules see of a checker.

    Args:
        header: the header of the log.

    Attributes:
        state: the state before the event.
        number: number of the event; the first after the header is 1.
        event: the event.
        found: violations of the event so far.
        on: clauses that are checked.
        omitted: kinds of events that the log leaves out.
        allowed: calls without a kept token before the bound is recomputed.
        queue: waiting requests in the order that the header states, as a heap.
    """

    def __init__(self, header: Header) -> None:
        """Starts before the first event."""
        self.header = header
        self.state = LogState(header)
        self.number: int = 0
        self.event: dict[str, Any] = {}
        self.found: list[Violation] = []
        self.on = frozenset(CLAUSES) - off(header).keys()
        self.omitted = frozenset(header.omits)
        self.allowed = header.patience
        self.queue: list[tuple[tuple[int, int], int, Any]] = []

    def broken(
        self,
        clause: str,
        message: str,
        requests: tuple[RequestId, ...] = (),
        blocks: tuple[tuple[str, int], ...] = (),
        **values: Any,
    ) -> bool:
        """Reports a violation of a clause, unless the log lacks what it needs.

        Args:
            clause: `rule.clause`.
            message: what is wrong, with its values.
            requests: requests involved.
            blocks: blocks involved, as (pool, block id).
            values: the values that the rule compares.

        Returns:
            Whether it counts.
        """
        if clause not in self.on:
            return False
        rule, _, part = clause.partition(".")
        self.found.append(
            Violation(rule, part, message, self.number, self.event, requests, blocks, values)
        )
        return True
