"""What theorems presume, and who sees to it: a guard, a monitor, or only the caller."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Premise:
    """What a theorem presumes.

    Attributes:
        name: F1 and on, of the scheduler; A1 and on, of what callers say.
        sentence: what is presumed.
        seen_to: guard, monitored or assumed.
        where: the guard, the monitor, or why nothing sees to it.
    """

    name: str
    sentence: str
    seen_to: str
    where: str


PREMISES: dict[str, Premise] = {
    premise.name: premise
    for premise in (
        Premise(
            "F1",
            "a request fits alone into the empty pool and into every budget",
            "guard",
            "`submit` and the invariant `fits`; `progress.kept_free` waives the watermark when "
            "no request runs. That a group shares the full blocks of its prompt is monitored: "
            "`Counters.preempted_alone`",
        ),
        Premise(
            "F2",
            "no request behind the head of the queue enters before it",
            "guard",
            "`progress.may_be_passed` and one heap in the policy's order; off if `max_bypasses` is above "
            "0 (then bounded) or with `swapped_first`",
        ),
        Premise(
            "F3",
            "a preempted request comes later in the order than the one it makes room for, or is that one",
            "guard",
            "`progress.behind`, asked in `step.py` of every victim that a rule names",
        ),
        Premise(
            "F4",
            "a request keeps its place in the order for as long as it lives",
            "guard",
            "`LiveRequest.order` is made once, on arrival; a policy that fails is replaced by the order "
            "of arrival, which is counted: `policy_failures`",
        ),
        Premise(
            "F5",
            "tokens are dealt in the policy's order, to each prompt up to its share, and every decode gets one",
            "monitored",
            "the budget is a guard: `Config` demands max_num_batched_tokens >= max_num_seqs * "
            "(1 + num_lookahead_slots), `progress.share_of` and `chunk` deal; the order is `step.py`'s, "
            "and `Watch` raises an alarm if the first request does not advance",
        ),
        Premise(
            "F6",
            "preempting is always possible",
            "guard",
            "`recompute` asks only that the request runs and is not in the step being built; "
            "`swap_out` falls back to it",
        ),
        Premise(
            "F7",
            "preempting loses no token that was generated",
            "guard",
            "proved of every action: ranking, 'no token that is known is forgotten'",
        ),
        Premise(
            "F8",
            "the environment answers: steps are committed; copies, pauses and holds of cached blocks end; copies fail "
            "and requests are restarted only finitely often",
            "monitored",
            "`stall_report` names what is not answered, a pause too, and counts blocks held; "
            "`Counters.failed_copies` and `restarted` count; lengths are finite by `submit`, a step that is "
            "issued computes a token by `issue_step`",
        ),
        Premise(
            "F9",
            "a tenant's requests are first admitted in the order of their arrival, so that those "
            "that were admitted and have not ended never have more sequences than run at once",
            "guard",
            "`TenantQueue` asks one heap for each tenant, whose order is proved to be that of arrival, and "
            "`progress.seats_of` gives no request more seats than it had; off if `max_bypasses` is above 0, and from "
            "`restart` of a request with several sequences on, which makes all of them again",
        ),
        Premise(
            "F10",
            "a tenant is charged for its prompts once, and for no more tokens than its requests "
            "may generate",
            "monitored",
            "`LiveRequest.started` charges a prompt once; a sampled token is charged when its step is "
            "issued, and one that a failed copy or a restart loses is charged again: `Counters.failed_copies` and "
            "`restarted`; off with two steps in flight and swaps, as a recompute may lose it too while its copy in "
            "is under way, with drafts, as a step is charged as one token, and for a request that may fork later: the "
            "branch that forks in the place of one that was ahead has its tokens still to generate",
        ),
        Premise(
            "F11",
            "who waits is looked at again when the policy asked for it, and where it stands changes "
            "only then",
            "guard",
            "`LiveRequests.look_again` on arrival, start, stop and when the steps have gone by",
        ),
        Premise(
            "F12",
            "a request that entered by displacing others, or beside a prompt that could use more than its share, "
            "is not displaced before it has kept a token, and beside such a prompt none of several sequences enters",
            "guard",
            "`progress.is_sheltered`, `may_be_displaced` and `enters_beside`, asked in `step.py` of each that enters "
            "and of every candidate",
        ),
        Premise(
            "F13",
            "between two looks at a request its first sequence learns at most one token for each step that was issued, "
            "and stays the first",
            "guard",
            "without drafts and with one step in flight, as is the default (`num_lookahead_slots`, "
            "`max_steps_in_flight`); otherwise a level is that of the last look, and the request may have used up its "
            "quantum since. Off for a request of several sequences: the first may end, or begin again by `restart`, "
            "and the next have generated less",
        ),
        Premise(
            "F14",
            "the head of the queue waits for nothing but what it lacks, a copy of its own and the end of a pause",
            "guard",
            "`Room.offered` says what is left and what it needs; off with `wait_for_prefix`: then it also waits while "
            "a request that runs before it in the order computes a block that both have a name for",
        ),
        Premise(
            "F15",
            "requests that wait are tried in the order, and for each of them it is counted how many entered before it",
            "guard",
            "one heap in the policy's order, or one for each tenant, and `progress.may_be_passed`, asked in `step.py` "
            "of each that is passed; off with `swapped_first`",
        ),
        Premise(
            "W",
            "the order has no infinite descending chain: there is no endless series of arrivals each "
            "of which comes before the one before it",
            "assumed",
            "it follows from A1 and A2 (aging), A2 (priority), A1 and A3 (edf), A1 (sjf_aging and "
            "lpl_aging); it is proved, and so no premise, where the order is that of arrival, of "
            "lengths, or bounded by either (fcfs, fair, ceiling, sjf, lpl, and the rank of hybrid, vtc "
            "and drr)",
        ),
        Premise(
            "A1",
            "finitely many requests have an arrival time before any given moment",
            "assumed",
            "`arrival_time` is the caller's word; a clock that stands still breaks it",
        ),
        Premise(
            "A2",
            "priorities have a greatest one",
            "assumed",
            "`priority` is the caller's word, and any whole number up to 10**300",
        ),
        Premise(
            "A3",
            "every request has a deadline, which is finite and not before the arrival",
            "assumed",
            "`deadline` is the caller's word, and may be left out or infinite",
        ),
        Premise(
            "A4",
            "finitely many tenants ever have a request",
            "assumed",
            "`tenant` is the caller's word, and a new name costs nothing",
        ),
        Premise(
            "A5",
            "the seconds that a priority or a length is worth in a key are exact",
            "assumed",
            "they are a float, of 53 bits: with a priority of a million they are off by a billionth of a level at "
            "most, beyond 2**53 by whole levels; `priority` is the caller's word",
        ),
    )
}
