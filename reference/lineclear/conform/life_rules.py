"""Rules of a request's life: submitted once, ended once, preempted and resumed alternately.

Guarantees: each function checks an event and applies it only if no rule is broken.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from lineclear.conform.block_rules import repeated
from lineclear.conform.cache_rules import conserve
from lineclear.conform.rule_context import RuleContext
from lineclear.conform.state import DEFAULT, PREEMPTED, RUNNING, SWAPPED, WAITING, LoggedRequest


def submit(check: RuleContext, event: dict[str, Any]) -> None:
    """A request enters the waiting queue."""
    state, r = check.state, event["r"]
    if r in state.live:
        check.broken("once.again", f"{r!r} is submitted, but a request with this id is live", (r,))
    elif r in state.leaving:
        check.broken(
            "once.again",
            f"{r!r} is submitted, but the last request with this id still holds blocks",
            (r,),
        )
    if not check.found:
        wait(check, state.submit(event))


def wait(check: RuleContext, live: LoggedRequest) -> None:
    """Puts the request into the waiting queue."""
    if check.header.order is not None:
        heapq.heappush(check.queue, (live.place, live.arrival, live))


def reject(check: RuleContext, event: dict[str, Any]) -> None:
    """A request is rejected."""
    r = event["r"]
    if r in check.state.live:
        check.broken("once.again", f"{r!r} is rejected, but a request with this id is live", (r,))


def lives(check: RuleContext, event: dict[str, Any]) -> LoggedRequest | None:
    """The request if it is live; else reports a violation."""
    r, kind = event["r"], event["e"]
    live = check.state.live.get(r)
    if live is None and "submit" not in check.omitted:
        check.broken("once.live", f"{kind} of {r!r}: {check.state.history(r)}", (r,))
    return live


def end(check: RuleContext, event: dict[str, Any]) -> None:
    """A request ends."""
    live = lives(check, event)
    if live is None:
        return
    held = [table for q in live.sequences.values() for table in q.holds()]
    if held and not check.header.late_release:
        names = [f"{[b for b in t.blocks if b >= 0]} of {t.pool.name}" for t in held]
        check.broken(
            "once.holds",
            f"{event['e']} of {live.r!r}, which still holds blocks {' and '.join(names)}",
            (live.r,),
            tuple((t.pool.name, b) for t in held for b in t.blocks if b >= 0),
        )
    if check.found:
        return
    check.state.leave(live, event["e"], check.number)
    check.state.dry = check.state.idle = 0


def fork(check: RuleContext, event: dict[str, Any]) -> None:
    """A sequence starts with the table of another."""
    live = lives(check, event)
    if live is None:
        return
    parent = live.sequences.get(event["of"])
    if parent is None:
        check.broken(
            "once.live",
            f"{live.r!r} forks from sequence {event['of']}, which is not live",
            (live.r,),
        )
    if event["s"] in live.sequences or event["s"] in live.gone:
        check.broken(
            "once.again",
            f"{live.r!r} forks into sequence {event['s']}, which is or was one of its sequences",
            (live.r,),
        )
    if parent is not None and (known := event.get("known", 0)) > parent.num_tokens:
        check.broken(
            "length.known",
            f"{live.r!r} forks into sequence {event['s']} with {known} tokens, but sequence {event['of']} has "
            f"{parent.num_tokens}",
            (live.r,),
            known=known,
            has=parent.num_tokens,
        )
    if check.found or parent is None:
        return
    state = check.state
    parent.sync()
    child = state.begin(live, event["s"])
    child.num_tokens = child.best = event.get("known", parent.num_tokens)
    child.frontier = child.synced = parent.frontier
    for (pool, group), table in parent.tables.items():
        mine = state.table(child, pool, group)
        entries = event.get("entries", len(table.blocks))
        for block in table.blocks[:entries]:
            state.name(mine, block)
        if pool == DEFAULT:
            child.frontier = child.synced = min(child.frontier, entries * table.size)
    parent.safe_to = 0


def prune(check: RuleContext, event: dict[str, Any]) -> None:
    """A sequence of several ends."""
    live = lives(check, event)
    if live is None:
        return
    sequence = live.sequences.get(event["s"])
    if sequence is None:
        check.broken(
            "once.live", f"{live.r!r} ends sequence {event['s']}, which is not live", (live.r,)
        )
        return
    if len(live.sequences) == 1:
        check.broken(
            "once.again",
            f"{live.r!r} ends sequence {event['s']}, its only one: finish or abort it instead",
            (live.r,),
        )
        return
    if sequence.holds() and not check.broken(
        "once.holds", f"{live.r!r} ends sequence {event['s']}, which still holds blocks", (live.r,)
    ):
        return
    if not check.found:
        check.state.close(live, event["s"])


def preempt(check: RuleContext, event: dict[str, Any]) -> None:
    """A running request stops running."""
    live = lives(check, event)
    if live is None:
        return
    holds = any(q.holds() for q in live.sequences.values())
    discards = live.phase == SWAPPED and event["how"] != "swap"
    if not discards and (live.phase != RUNNING and not (live.phase == WAITING and holds)):
        check.broken(
            "phase.preempt",
            f"{live.r!r} is preempted, but it is not running: it is {live.phase}",
            (live.r,),
            phase=live.phase,
        )
    if check.found:
        return
    if event.get("lost", False):
        check.state.lose(live)
    live.phase = SWAPPED if event["how"] == "swap" else PREEMPTED
    for sequence in live.sequences.values():
        sequence.safe_to = 0
        if event["how"] == "restart" and sequence.num_tokens < 1 << 59:
            sequence.num_tokens = live.prompt
    if live.phase == PREEMPTED:
        wait(check, live)


def resume(check: RuleContext, event: dict[str, Any]) -> None:
    """A preempted request runs again."""
    live = lives(check, event)
    if live is None:
        return
    if live.phase not in (PREEMPTED, SWAPPED):
        check.broken(
            "phase.resume",
            f"{live.r!r} resumes, but it was not preempted: it is {live.phase}",
            (live.r,),
            phase=live.phase,
        )
    if not check.found:
        live.phase = RUNNING


def check_event(check: RuleContext, event: dict[str, Any]) -> None:
    """Checks the engine's own queues and free lists."""
    conserve(check, event)
    live = check.state.live
    lists = {name: event[name] for name in ("waiting", "running") if name in event}
    for name, ids in lists.items():
        for r in ids:
            if r not in live and "submit" not in check.omitted:
                check.broken(
                    "queues.lists",
                    f"the engine's {name} queue names {r!r}, which is not live: "
                    f"{check.state.history(r)}",
                    (r,),
                )
        for r in repeated(ids):
            check.broken("queues.lists", f"the engine's {name} queue names {r!r} twice", (r,))
    if len(lists) < 2:
        return
    waiting, running = set(lists["waiting"]), set(lists["running"])
    for r in waiting & running:
        check.broken("queues.lists", f"{r!r} is in both queues of the engine", (r,))
    for r in waiting & live.keys() - running:
        if live[r].phase == RUNNING and "preempt" not in check.omitted:
            check.broken(
                "queues.lists",
                f"{r!r} runs and was not preempted, but the engine's waiting queue names it",
                (r,),
            )
    for r in live.keys() - waiting - running:
        if live[r].phase != SWAPPED:
            check.broken(
                "queues.lists",
                f"{r!r} is live ({live[r].phase}), but no queue of the engine names it",
                (r,),
            )


HANDLERS: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "submit": submit,
    "reject": reject,
    "fork": fork,
    "prune": prune,
    "preempt": preempt,
    "resume": resume,
    "finish": end,
    "abort": end,
    "fail": end,
    "check": check_event,
}
