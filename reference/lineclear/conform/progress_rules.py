"""Rules over many steps: the order of the queue, and progress.

Guarantees: a call costs one comparison, except for rare calls that recompute the bound.
"""

from __future__ import annotations

import heapq

from lineclear.conform.rule_context import RuleContext
from lineclear.conform.state import PREEMPTED, WAITING, LoggedRequest

#: Calls in a row that schedule nothing, with nothing in flight, before the rule is broken.
IDLE = 4


def in_order(check: RuleContext, admitted: list[LoggedRequest]) -> None:
    """No waiting request precedes an admitted one in the order."""
    if check.header.order is None or not check.state.live:
        return
    queue = check.queue
    while queue and (
        queue[0][2].phase not in (WAITING, PREEMPTED)
        or check.state.live.get(queue[0][2].r) is not queue[0][2]
    ):
        heapq.heappop(queue)
    if not queue:
        return
    head: LoggedRequest = queue[0][2]
    last = max(admitted, key=lambda live: live.place)
    if head.place < last.place:
        check.broken(
            "queue_order.passed",
            f"{last.r!r} is admitted while {head.r!r}, which precedes it "
            f"({check.header.order}), waits",
            (last.r, head.r),
            admitted=list(last.place),
            waits=list(head.place),
        )


def called(check: RuleContext, kept: int) -> None:
    """Counts a call of the engine and the tokens kept in it."""
    state = check.state
    if kept or not state.live:
        state.dry = 0
        check.allowed = check.header.patience
        return
    state.dry += 1
    if state.dry > check.allowed:
        check.allowed = bound = allowed(check)
        if state.dry > bound:
            check.broken(
                "progress.kept",
                f"no request kept a token in {state.dry} calls; by the lengths of the "
                f"{len(state.live)} live requests {bound} suffice",
                tuple(state.live),
                calls=state.dry,
                bound=bound,
            )


def allowed(check: RuleContext) -> int:
    """Calls within which every known token can be computed, plus the header's patience."""
    header = check.header
    chunk = header.chunk or header.max_tokens or 1
    known = [
        min(q.num_tokens, 1 << 40)
        for live in check.state.live.values()
        for q in live.sequences.values()
    ]
    return header.patience + sum(4 + -(-tokens // chunk) for tokens in known)


def idle(check: RuleContext) -> None:
    """The engine scheduled nothing."""
    state = check.state
    called(check, 0)
    flying = state.flights and "settle" not in check.omitted
    if not state.live or flying or state.copies:
        state.idle = 0
        return
    state.idle += 1
    if state.idle > IDLE + check.header.max_steps_in_flight:
        check.broken(
            "progress.moves",
            f"nothing was scheduled in {state.idle} calls in a row, though no step is in flight, "
            f"no copy is open and {len(state.live)} requests are live",
            tuple(state.live),
            calls=state.idle,
            allowed=IDLE + check.header.max_steps_in_flight,
        )
