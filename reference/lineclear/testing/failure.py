"""A rule broken by a scheduler under test.

Guarantees: failures with equal keys broke the same rule at the same place, so a shorter trace of
one bug is not mistaken for that of another.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from lineclear.conform.rules import RULES as LOG_RULES

#: ("submit", request id, prompt, new tokens), ("abort", request id) or ("step",).
Action = tuple[object, ...]

#: The rules of the model and the machine, besides the rules of the log.
RULES = {
    "raises": "no call raises, and each returns what the protocol allows",
    "returns": "every call returns: a run takes at most 20 seconds",
    "step.once": "a step runs at most one forward pass",
    "row.live": "a row belongs to a live request",
    "row.tokens": "a row computes at least one token, and none past the last known one",
    "row.table": "a row names the blocks that its request holds, on the device, and they have room",
    "row.samples": "a row samples exactly if it reaches the last known token",
    "read.own": "every position that a row reads holds the request's own token after its own prefix",
    "end.early": "a request ends when it has all its tokens, not before",
    "end.late": "a request that has all its tokens is reported as ended",
    "end.once": "a request ends once, and only a live one",
    "refused": "a request that can never fit is rejected",
}

HERE = Path(__file__).parent


class Failure(AssertionError):
    """A rule is broken.

    Attributes:
        rule: a key of RULES, or a rule of the log.
        place: file:line of the scheduler's code for what it raised, else the rule.
        message: the message, with the values.
        state: the holders of blocks, line by line.
        actions: the actions so far.
    """

    def __init__(
        self,
        rule: str,
        message: str,
        *,
        place: str = "",
        state: Sequence[str] = (),
        actions: Sequence[Action] = (),
    ) -> None:
        super().__init__(rule, message)
        self.rule = rule
        self.message = message
        self.place = place or rule
        self.state = tuple(state)
        self.actions = tuple(actions)

    @property
    def code(self) -> str:
        """The finding code of the rule."""
        about = LOG_RULES.get(self.rule.partition(".")[0])
        if self.rule == "read.own":
            return "LC403"
        if self.rule in ("raises", "returns"):
            return "LC406"
        return "LC407" if about is None else about.code

    @property
    def meaning(self) -> str:
        """The rule's sentence."""
        about = LOG_RULES.get(self.rule.partition(".")[0])
        return RULES[self.rule] if about is None else about.sentence

    @property
    def key(self) -> tuple[str, str]:
        """Equal for the same bug, as far as visible from outside."""
        return self.rule, self.place

    def __str__(self) -> str:
        """The rule, the values, the state."""
        lines = [f"{self.rule}: {self.message}", f"  rule   {self.meaning}"]
        if self.place != self.rule:
            lines.append(f"  place  {self.place}")
        return "\n".join([*lines, *[f"  {line}" for line in self.state]])

    def __reduce__(self) -> tuple[object, ...]:
        """For worker processes."""
        return rebuild, (self.rule, self.message, self.place, self.state, self.actions)


def rebuild(
    rule: str, message: str, place: str, state: Sequence[str], actions: Sequence[Action]
) -> Failure:
    """Rebuilds a failure from its parts.

    Args:
        rule: see `Failure`.
        message: see `Failure`.
        place: see `Failure`.
        state: see `Failure`.
        actions: see `Failure`.
    """
    return Failure(rule, message, place=place, state=state, actions=actions)


def place_of(trace: TracebackType | None) -> str:
    """file:line of the innermost frame outside the tests; "" if there is none."""
    frames = [f for f in traceback.extract_tb(trace) if Path(f.filename).parent != HERE]
    # A library that the scheduler calls is less telling than the scheduler's own line, but the two
    # look alike from outside: take the innermost frame that is not in a library.
    own = [
        f for f in frames if "site-packages" not in f.filename and "/lib/python" not in f.filename
    ]
    chosen = (own or frames)[-1:]
    return "".join(f"{Path(f.filename).name}:{f.lineno}" for f in chosen)
