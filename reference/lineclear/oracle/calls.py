# pyright: basic
"""Computes the state that every call but `schedule` must produce, on plain data.

Guarantees: each function changes a state as the call must change it and returns what the call must answer.
A call changes what it is about and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lineclear.oracle.orders import Orders
from lineclear.oracle.preempting import forget, void
from lineclear.oracle.publishing import publish_computed, publish_output
from lineclear.oracle.state import OracleRequest, OracleSequence, OracleState, ceil_div
from lineclear.request import Output
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import FORWARD

if TYPE_CHECKING:
    from lineclear.plan import Plan, Scheduled

#: By request, why branches of it ended in this commit, every branch, preemptions.
Ended = dict[Hashable, tuple[set[str], list[Output], int]]


def sizes_of(plan: Plan, sampled: Any) -> list[tuple[int, ...]]:
    """Lengths of the continuations at each position of `plan.sampling`."""
    rows = list(plan.sampling)
    if isinstance(sampled, Mapping):
        sampled = [sampled[row.request_id, row.branch] for row in rows]
    return [
        tuple(len(tokens) for tokens in entry) if hasattr(entry, "__iter__") else (1,)
        for entry in sampled
    ]


def stops_of(stopped: Iterable[Any], sizes: list[tuple[int, ...]]) -> set[tuple[int, int]]:
    """(position, continuation) of everything that ends; a bare position ends all of them."""
    found: set[tuple[int, int]] = set()
    for entry in stopped:
        if isinstance(entry, tuple):
            position, *which = entry
            found |= {(position, k) for k in which or range(len(sizes[position]))}
        else:
            found |= {(int(entry), k) for k in range(len(sizes[int(entry)]))}
    return found


def completed(
    state: OracleState, orders: Orders, done: Iterable[int], failed: Iterable[int]
) -> list[OracleRequest]:
    """Copies end; the requests whose copy failed.

    Args:
        state: before the call; it is changed.
        orders: of the policy.
        done: numbers of copies that are complete.
        failed: numbers of copies that failed.
    """
    bad = list(dict.fromkeys(failed))
    for live in state.lives:
        if live.open_swap and live.open_swap in set(done) - set(bad):
            live.open_swap = 0
    lost: list[OracleRequest] = []
    for number in bad:
        for live in state.lives:
            if live.open_swap == number:
                lost.append(live)
                if live.phase == Phase.RUNNING:
                    void(live)
                orders.stops(live)
                waited = live.phase != Phase.RUNNING
                state.let_go(live)
                forget(live)
                if waited:
                    live.since = state.steps
                    orders.look(live)
                else:
                    orders.waits(live)
    return lost


def settle(state: OracleState, plan: Plan) -> None:
    """A forward ran, so every copy up to the one that it waited for is complete."""
    waited = max(o.wait for o in plan.operations if o.kind == FORWARD)
    for live in state.lives:
        if live.open_swap <= waited:
            live.open_swap = 0


def committed(
    state: OracleState,
    plan: Plan,
    kept: Callable[[Scheduled], bool],
    sampled: Any,
    stopped: Iterable[Any],
    later: Mapping[tuple[Hashable, int], int],
) -> tuple[Ended, int]:
    """A step is committed: tokens, branches, ends.

    Args:
        state: before the call; it is changed.
        plan: of the step.
        kept: whether what the step sampled for a row is kept.
        sampled: as `commit` was given it.
        stopped: as `commit` was given it.
        later: tokens that steps in flight behind it compute, by request and branch.

    Returns:
        By request that ended: why, every branch, preemptions; and how many tokens were generated.
    """
    settle(state, plan)
    for each in state.lives:
        for branch in each.branches:
            branch.num_computed_tokens = max(
                0, branch.num_dispatched_tokens - later.get((each.name, branch.number), 0)
            )
    publish_computed(state)
    sizes = sizes_of(plan, sampled)
    stops = stops_of(stopped, sizes)
    lives = {live.name: live for live in state.lives}
    ended: Ended = {}
    reasons: dict[Hashable, set[str]] = {}
    generated = 0

    def end(live: OracleRequest, branch: OracleSequence, reason: str) -> None:
        publish_output(state, live, [branch])
        state.let_go(live, branch)
        live.branches.remove(branch)
        live.outputs = (
            *live.outputs,
            Output(branch.number, branch.num_tokens - live.prompt, reason),
        )
        reasons.setdefault(live.name, set()).add(reason)
        if not live.branches:
            ended[live.name] = (reasons[live.name], sorted(live.outputs), live.preemptions)
            state.lives.remove(live)

    rows: list[tuple[int, Any, OracleRequest, OracleSequence]] = []
    for position, row in enumerate(plan.sampling):
        live = lives.get(row.request_id)
        if live is not None and kept(row):
            mine = [branch for branch in live.branches if branch.number == row.branch]
            rows += [(position, row, live, branch) for branch in mine]
    for position, _, live, branch in rows:
        if not sizes[position]:
            end(live, branch, "pruned")
    ends: list[tuple[OracleRequest, OracleSequence, str]] = []
    for position, row, live, branch in rows:
        if not sizes[position]:
            continue
        generated += sum(sizes[position])
        first, *others = sizes[position]
        mine = [branch]
        if others:
            publish_output(state, live, [branch])
        for size in others:
            table = branch.table[: ceil_div(branch.num_dispatched_tokens, state.config.block_size)]
            reach, known = branch.num_dispatched_tokens, branch.num_tokens + size
            child = OracleSequence(
                branch.sequence, live.made, known, reach, reach, reach, 0, table, False
            )
            child.block_names = branch.block_names[: branch.num_tokens // state.config.block_size]
            live.made += 1
            live.branches.append(child)
            mine.append(child)
        branch.num_tokens += first
        branch.scheduled_samples -= 1
        if row.drafts:  # rejected ones are computed no more
            branch.num_dispatched_tokens = min(branch.num_dispatched_tokens, branch.num_tokens - 1)
            branch.num_computed_tokens = min(
                branch.num_computed_tokens, branch.num_dispatched_tokens
            )
        for k, one in enumerate(mine):
            if (position, k) in stops:
                ends.append((live, one, "stop"))
            elif one.num_tokens >= live.limit:
                ends.append((live, one, "length"))
    for live, branch, reason in ends:
        end(live, branch, reason)
    return ended, generated
