# pyright: basic
"""Compares a plan, and the counters after it, with the step that the rules give.

Invariant: the first difference raises `Undone` with the rule that it breaks, causes before consequences.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lineclear.oracle.cache import OracleCache
from lineclear.oracle.compare import compare, same
from lineclear.oracle.serving import ServedRow
from lineclear.oracle.state import observe
from lineclear.oracle.step import Expected
from lineclear_spec.kernel.lifecycle import Phase

if TYPE_CHECKING:
    from lineclear.plan import Plan
    from lineclear.scheduler import Scheduler


def rows_of(plan: Plan) -> list[ServedRow]:
    """The rows of a plan in plain form; for one in the decode batch the first position is left out."""
    return [
        (r.request_id, r.branch, r.tokens, r.drafts, r.start, r.samples, r.prefill)  # type: ignore[misc]
        for r in plan.scheduled_seq_groups
    ]


def counters_of(scheduler: Scheduler) -> dict[str, int]:
    """Counters that a step may change."""
    counters = scheduler.counters
    return {
        "swap": counters.preemptions["swap"],
        "recompute": counters.preemptions["recompute"],
        "discarded": counters.discarded,
        "recomputed tokens": counters.recomputed_tokens,
        "preempted alone": counters.preempted_alone,
        "steps": counters.steps,
        "tokens": counters.batched_tokens,
        "evicted": counters.evicted,
        "tokens found": counters.prefix_hits,
        "tokens asked for": counters.prefix_queries,
    }


def judge(scheduler: Scheduler, expected: Expected, plan: Plan, before: dict[str, int]) -> None:
    """Compares a step with the one that it should be, the first cause first.

    Args:
        scheduler: the scheduler, after the step.
        expected: the oracle's step.
        plan: the scheduler's plan of it.
        before: the scheduler's counters before the step.

    Raises:
        Undone: they differ.
    """
    made, mine = list(plan.preempted), expected.preempted
    rule = "displacement" if expected.displaced else "growth"
    same(rule, "preempted", [name for name, _ in made], [name for name, _ in mine])
    after = counters_of(scheduler)
    grew = {name: after[name] - before[name] for name in after}
    for name in expected.discarded:
        phase = scheduler.entries[name].record.phase if name in scheduler.entries else None
        same("discard", f"the copy of request {name!r} is kept", phase == Phase.SWAPPED, False)
    same("discard", "copies discarded", grew["discarded"], len(expected.discarded))
    for (name, mode), (_, wanted) in zip(made, mine, strict=True):
        same("mode", f"preemption of request {name!r}", mode, wanted)
    rules = {live.name: "discard" for live in expected.state.lives}
    phases = {live.name: live.phase for live in expected.state.lives}
    for name, entry in scheduler.entries.items():
        if Phase.RUNNING in (phases.get(name), entry.record.phase):
            same("admission", f"phase of request {name!r}", entry.record.phase, phases.get(name))
    judge_rows(expected, plan)
    compare(scheduler, expected.state, rules)
    enabled = scheduler.config.prefix_caching != "off"
    judge_cache(scheduler, expected.state.cache, "eviction")
    if expected.state.of_phase(Phase.WAITING, Phase.SWAPPED):
        same("reason", "why nothing enters", scheduler.admission_blocked_by, expected.reason)
    modes = Counter(mode for _, mode in mine)
    tokens = sum(row[2] for row in expected.rows)
    wanted_counts = {
        "swap": modes["swap"],
        "recompute": modes["recompute"],
        "discarded": len(expected.discarded),
        "recomputed tokens": expected.lost,
        "preempted alone": expected.alone,
        "steps": int(tokens > 0),
        "tokens": tokens,
        "evicted": expected.state.cache.evicted,
        "tokens found": expected.state.cache.hits,
        "tokens asked for": expected.state.cache.queries if enabled else 0,
    }
    same("counts", "counters", grew, wanted_counts)


def judge_cache(scheduler: Scheduler, cache: OracleCache, rule: str, *, sure: bool = True) -> None:
    """What can be found afterwards is what was published and not evicted, and it rests in the order that is to be.

    Args:
        scheduler: after a call.
        cache: as it should be.
        rule: that a difference breaks.
        sure: whether the order of those at rest is stated.

    Raises:
        Undone: other blocks can be found, or rest, or they rest in another order.
    """
    found = observe(scheduler).cache
    same(rule, "names that can be found", {*found.names}, {*cache.names})
    orders = [
        [name for block in each.resting for name, other in each.names.items() if other == block]
        for each in (found, cache)
    ]
    if not sure:
        orders = [sorted(order) for order in orders]
    same(rule, "names of blocks at rest, the first to be evicted first", *orders)


def judge_rows(expected: Expected, plan: Plan) -> None:
    """Every sequence that can be served is, with the tokens that are its due.

    Raises:
        Undone: one is left out, or gets more or less.
    """
    rows, wanted = rows_of(plan), expected.rows
    same(
        "service",
        "sequences in the plan",
        sorted((str(row[0]), row[1]) for row in rows),
        sorted((str(row[0]), row[1]) for row in wanted),
    )
    by_sequence = {(row[0], row[1]): row for row in rows}
    for row in wanted:
        their = by_sequence[row[0], row[1]]
        mine = (*row[:4], their[4] if their[4] is None else row[4], *row[5:])
        same("shares", f"row of request {row[0]!r}, branch {row[1]}", their, mine)
    orders = [[row[:2] for row in some if row[6]] for some in (rows, wanted)]
    same("shares", "order of the prefills", *orders)
    figures = plan.num_batched_tokens, plan.num_prefill_groups, plan.step is not None
    due = sum(row[2] for row in wanted), sum(row[6] for row in wanted), bool(wanted)
    same("service", "tokens and prefills of the plan, and whether it has a step", figures, due)
