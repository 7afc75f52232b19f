"""Rules of steps: budget, rows, numbers, and each row.

Guarantees: a row that continues where its sequence's last one ended, in a block already found writable, costs a
handful of comparisons; any other is fully checked. A step with a wrong row is applied only up to the row before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear.conform.copy_rules import steps_wait
from lineclear.conform.progress_rules import called, idle, in_order
from lineclear.conform.row_rules import Issue, look, past_end, promises
from lineclear.conform.rule_context import RuleContext
from lineclear.conform.state import ENDLESS, LoggedSequence


def step(check: RuleContext, event: dict[str, Any]) -> None:
    """A forward pass over some rows."""
    state, header = check.state, check.header
    n: int = event["n"]
    rows: list[list[Any]] = event["rows"]
    numbered(check, n, event.get("after_step", 0))
    leader = state.leaders.get
    issue = Issue(n, event.get("after_step", 0))
    tokens_in_step = kept = 0
    drafts = header.drafts
    for row in rows:
        q: LoggedSequence | None = None
        if len(row) == 4:
            r, start, tokens, samples = row
            q = leader(r)
            end = start + tokens
            if (  # the common row: continues where the last one ended, and samples
                q is not None
                and start == q.frontier
                and end == q.num_tokens
                and end <= q.safe_to
                and start >= q.safe_from
                and samples == 1
                and q.step != n
                and tokens > 0
            ):
                q.step = n
                q.frontier = end
                q.num_tokens = end = end + 1
                tokens_in_step += tokens
                if end > q.best:
                    q.best = end
                    kept += 1
                if end > q.limit:
                    past_end(check, q)
                continue
        start, tokens, samples = row[1:4]
        end = start + tokens
        if (
            q is None
            or end > q.safe_to
            or start < q.safe_from
            or start > q.frontier
            or tokens < 1
            or end > q.num_tokens + drafts
            or (samples and end < q.num_tokens)
            or q.step == n
        ):
            q = look(check, issue, row, q)
            if q is None:
                continue
        q.step = n
        if end > q.frontier:
            q.frontier = end
        tokens_in_step += tokens
        if samples and q.num_tokens < ENDLESS:
            q.num_tokens = known = q.num_tokens + samples
            if known > q.limit:
                past_end(check, q)
            if known > q.best:
                q.best = known
                kept += 1
        elif samples:
            kept += 1
    if header.max_tokens is not None and tokens_in_step > header.max_tokens:
        check.broken(
            "budget.tokens",
            f"step {n} computes {tokens_in_step} tokens, max_tokens is {header.max_tokens}",
            tuple(dict.fromkeys(row[0] for row in rows)),
            tokens=tokens_in_step,
            max_tokens=header.max_tokens,
        )
    if header.max_seqs is not None and len(rows) > header.max_seqs:
        check.broken(
            "budget.seats",
            f"step {n} has {len(rows)} rows, max_seqs is {header.max_seqs}",
            tuple(dict.fromkeys(row[0] for row in rows)),
            rows=len(rows),
            max_seqs=header.max_seqs,
        )
    if issue.expected:
        promises(check, issue)
    if state.copies:
        steps_wait(check, event)
    if check.found:
        return
    state.steps = n
    state.flights.append((n, rows))
    if "settle" in check.omitted:
        while len(state.flights) > header.max_steps_in_flight:
            state.settled = state.flights.popleft()[0]
    if issue.admitted:
        in_order(check, issue.admitted)
    if rows:
        state.idle = 0
        called(check, kept)
    else:
        idle(check)


def numbered(check: RuleContext, n: int, after_step: int) -> None:
    """Steps are numbered consecutively and wait for earlier ones, and at most `max_steps_in_flight` are in flight.

    A log may begin in the middle of a run, so the first step may have any number.
    """
    state, header = check.state, check.header
    if state.steps and n != state.steps + 1:
        check.broken(
            "ordered.number", f"step {n} follows step {state.steps}", step=n, last=state.steps
        )
    if after_step >= n > 0:
        check.broken(
            "ordered.number", f"step {n} waits for step {after_step}", after_step=after_step
        )
    if len(state.flights) >= header.max_steps_in_flight and "settle" not in check.omitted:
        check.broken(
            "ordered.max_steps_in_flight",
            f"step {n} is issued with {len(state.flights)} steps not settled, max_steps_in_flight is "
            f"{header.max_steps_in_flight}",
            in_flight=len(state.flights),
            max_steps_in_flight=header.max_steps_in_flight,
        )


def settle(check: RuleContext, event: dict[str, Any]) -> None:
    """The oldest step in flight is over."""
    state, n = check.state, event["n"]
    if not state.flights or state.flights[0][0] != n:
        flying = [number for number, _ in state.flights]
        check.broken(
            "ordered.settle",
            f"step {n} is settled, but the steps in flight are {flying or 'none'}, in this order",
            step=n,
            in_flight=flying,
        )
    if check.found:
        return
    if not state.flights:  # the log omits steps
        state.settled = n
        return
    _, rows = state.flights.popleft()
    state.settled = n
    state.idle = 0
    if "kept" in event:
        corrected(check, rows, event["kept"])


def corrected(check: RuleContext, rows: list[list[Any]], kept: list[list[Any]]) -> None:
    """Rows of a settled step that kept another number of tokens than scheduled."""
    samples = {(row[0], row[4] if len(row) == 5 else 0): row[3] for row in rows}
    for row in kept:
        r, tokens, s = row[0], row[1], row[2] if len(row) == 3 else 0
        sampled = samples.pop((r, s), None)
        live = check.state.live.get(r)
        q = None if live is None else live.sequences.get(s)
        if q is None or q.num_tokens >= ENDLESS:
            continue
        most = 0 if sampled is None else sampled + check.header.drafts
        if tokens > most:
            check.broken(
                "length.kept",
                f"{r!r} keeps {tokens} tokens of step {check.state.settled}, which gives it at most {most}",
                (r,),
                kept=tokens,
                most=most,
            )
        change = tokens - (sampled or 0)
        q.num_tokens += change
        q.best = max(q.num_tokens, q.best + min(change, 0))
        if q.num_tokens > q.limit:
            past_end(check, q)
        if change < 0 or check.header.drafts:
            q.lower(min(q.frontier, q.num_tokens - 1))


HANDLERS: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "step": step,
    "idle": lambda check, _: idle(check),
    "settle": settle,
}
