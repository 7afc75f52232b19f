"""Checks an event log against the rules, one event at a time.

Guarantees: `feed` checks an event in the state before it and applies it only if no rule is
broken; memory does not grow with the length of the log. After a violation the checker takes no
more events, because an impossible event leads to no state.

    checker = Checker(Header(blocks=8, block_size=4))
    for event in events:
        violations = checker.feed(event)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from lineclear.conform import block_rules, cache_rules, copy_rules, life_rules, step_rules
from lineclear.conform.events import EventError
from lineclear.conform.header import Header
from lineclear.conform.rule_context import RuleContext, Violation
from lineclear.conform.rules import RuleCoverage, standings
from lineclear.conform.schema import check_event, free_lists

#: The function that checks and applies an event, by kind.
HANDLERS = {
    **life_rules.HANDLERS,
    **block_rules.HANDLERS,
    **cache_rules.HANDLERS,
    **step_rules.HANDLERS,
    **copy_rules.HANDLERS,
}


class Checker(RuleContext):
    """Checks the rules and keeps the state after the events so far.

    Args:
        header: the header of the log.
        validate: whether to check each event's form; unnecessary for events built by a correct program.

    Attributes:
        counts: number of events so far, by kind, and of check events that have all that a rule needs.
        found: violations of the last event.
    """

    def __init__(self, header: Header, *, validate: bool = True) -> None:
        """Starts before the first event."""
        super().__init__(header)
        self.counts: Counter[str] = Counter()
        self._validate = validate

    def feed(self, event: dict[str, Any]) -> list[Violation]:
        """Checks one event, and applies it if no rule is broken.

        Returns:
            Its violations, or an empty list.

        Raises:
            EventError: it is malformed, or the header says that the log omits events of its kind.
            ValueError: an event before it broke a rule.
        """
        if self.found:
            raise ValueError(
                f"event {self.number} broke {self.found[0].rule}: start again with a new Checker"
            )
        if self._validate:
            check_event(event)
        kind = event["e"]
        if kind in self.omitted:
            raise EventError(
                f"e: the header's omits lists {kind}, but the log has one; remove one of the two"
            )
        self.number += 1
        self.event = event
        self.counts[kind] += 1
        if kind == "check":
            every = self.state.pools.keys() <= free_lists(event.get("free", {})).keys()
            self.counts["check event with the free blocks of every pool"] += every
            self.counts["check event with both queues"] += (
                "waiting" in event and "running" in event
            )
        HANDLERS[kind](self, event)
        return self.found

    def run(self, events: Iterable[dict[str, Any]]) -> list[Violation]:
        """Feeds events until one breaks a rule; returns its violations."""
        for event in events:
            if self.feed(event):
                return self.found
        return []

    def standings(self) -> list[RuleCoverage]:
        """For each rule whether it was checked, how often, and what the log lacks for it."""
        return standings(self.header, self.counts)
