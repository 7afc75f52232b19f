"""The arguments that are on paper, and what was done against them."""

from __future__ import annotations

from figures.page import table

#: Every argument that is on paper: what it says, what of it solvers were asked, how it was attacked, and
#: what came out.
PAPER: tuple[tuple[str, str, str, str], ...] = (
    (
        "**First**: from some moment on there is a first unfinished request",
        "where it is proved or from which premises it follows: see W",
        "`lineclear policies --show priority.P6b` and the same of edf and aging: 400 requests, each of "
        "which comes before the one before it",
        "it was false, and with it the old theorem that some request always advances: 399 preemptions and no "
        "token. Now there is a rule (F12), P6a without such a premise, and W in P6b",
    ),
    (
        "**A token**: at most C6 steps in a row keep no token (P6a)",
        "of each decision: who displaced is spared until it keeps a token; a first prompt that takes the "
        "whole budget is displaced or no request is; one that displaces it comes before all that run; a request "
        "that lacks tokens admits no other; growth spares the first",
        "`test_a_token_is_kept_within_the_bound_whatever_arrives` (60 hostile runs; deep: 5,940 more): "
        "random and descending orders, ranks apart from keys, every policy, groups that fork, drafts, "
        "swaps, two steps in flight, bypass; with the rule off the bound is passed "
        "(`test_without_the_rule_runs_pass_the_bound`)",
        "no run passed it. The bound for mlfq, whose order changes, counts promotions and is far from tight",
    ),
    (
        "**Order**: the first in the order is the head where it waits and no victim where it runs",
        "`behind` and `may_be_passed`, with any strict total order; each policy's order is one",
        "`test_the_first_in_order_is_never_a_victim` over policies, victim rules and modes; searches that "
        "judge by ranks alone; victims chosen by length planted (`test_preempting_the_longest_is_seen`)",
        "held; the plant is seen",
    ),
    (
        "**Progress**: what those that run have left descends with every step, in the order of multisets",
        "per action: nothing raises what another has left, and a step lowers what it computes",
        "each lemma's effect broken (`test_a_broken_effect_is_refuted`); runs with `tail_requeue` and "
        "`any_fit` pass the bounds (`test_a_rule_of_progress_that_is_off_is_seen`); stuck states and "
        "cycles are searched at small scope",
        "held. That multisets of natural numbers are well-founded is not mechanised",
    ),
    (
        "**A bound**: T1 steps for the first in the order (P6b), and k + 1 times that (P7)",
        "the seat's share, the chunk, the last token for a first prompt",
        "every bound is held against runs in `test_bounds.py`, and `lineclear simulate` prints it beside "
        "what it saw",
        "held. The sum itself is on paper (`starvation.py`)",
    ),
    (
        "**Alone**: a request that runs alone can grow, so that it never preempts itself",
        "of one sequence, on the scheduler's own methods (unit `admission`); of a group branch by branch",
        "`Counters.preempted_alone` counts; `test_a_group_that_lacks_more_than_a_step_of_tokens_comes_back`",
        "held. That a group's tables share the full blocks of the prompt is not proved",
    ),
    (
        "**No starvation**: those before a request end one after the other",
        "which later arrivals may come before it, from each policy's key",
        "a request starves in a run of each policy that has no such theorem (`lineclear policies`); "
        "searches call starvation a finding elsewhere",
        "held, where W is had",
    ),
    (
        "**Sharing**: transitions of one tenant and any other join to any number of tenants",
        "each transition of the lemmas",
        "`test_tenant_queue.py` and `test_sharing.py` break one transition after the other; bounds of service "
        "are held against runs",
        "held for the transitions that the lemmas have; see the file of each policy for what runs beside "
        "them",
    ),
    (
        "**Levels**: who generates nothing for long is the first until it has a quantum",
        "levels, promotions and the order of a moment, for six levels",
        "`test_a_queue_that_never_promotes_is_found`; P7's bound is held against runs",
        "held",
    ),
    (
        "**Asking**: `step.py` asks growth, displacement, decodes, prompts, admission in this order, and "
        "`demand_of` finds a demand wherever something is left and nothing in flight",
        "all arithmetic of a demand (`sized`), of `have` and of `want`; not the loops around it",
        "stuck states are searched; a watch raises an alarm if nothing moves; each of `PLANTED` in "
        "`tests/spec/liveness/test_progress.py`",
        "tested only",
    ),
    (
        "**Python**: `heapq`, `bisect`, `sorted` and tuples compare as the order does",
        "the order of tuples, on formulas (`test_the_order_on_formulas_is_that_of_tuples`, tested)",
        "`audit` sorts again in every checked step; keys that are no numbers are refused",
        "tested only; floats in a key are taken for the numbers that they are",
    ),
)


def paper() -> str:
    """The arguments that join lemmas, and what was done against them."""
    head = ("argument on paper", "asked of solvers", "attacked by", "outcome")
    return table(head, PAPER)
