"""Edits of what the scheduler decides, each of one place; the oracle of the step sees every one of them.

Invariant: the text to be replaced stands exactly once in its file (`test_oracle.py`).
"""

from __future__ import annotations

from step_edits import STEP_EDITS

__all__ = ["EDITS"]

#: Name -> (file, text, what stands there instead).
EDITS: dict[str, tuple[str, str, str]] = {
    **STEP_EDITS,
    "copies are discarded in the order of their swaps": (
        "scheduling/transitions.py",
        "        others.sort(key=lambda other: other.rank, reverse=True)\n",
        "",
    ),
    "copies of more important requests are discarded": (
        "scheduling/transitions.py",
        "        others = [other for other in others if behind(entry.rank, other.rank)]\n",
        "",
    ),
    "branches of a request in the queue do not count": (
        "scheduling/entry.py",
        "return self.prompt + self.n * (self.record.limit - self.prompt)",
        "return self.record.limit",
    ),
    "a victim keeps a seat": (
        "scheduling/live_requests.py",
        "self.seats -= entry.seats_taken",
        "self.seats -= entry.seats_taken - 1",
    ),
    "a live id is accepted": (
        "scheduling/live_requests.py",
        "        if known:",
        "        if False and known:",
    ),
    "abort says that a request is not live": (
        "scheduler.py",
        "        self.counters.aborted += 1\n        return True",
        "        self.counters.aborted += 1\n        return False",
    ),
    "victims are spared the least important first": (
        "scheduling/victims.py",
        "for entry in reversed(tuple(chosen)):",
        "for entry in tuple(chosen):",
    ),
    "no victim is spared": (
        "scheduling/victims.py",
        "        if rest.covers(want):",
        "        if False and rest.covers(want):",
    ),
    "the swap threshold is not reached by as many": (
        "scheduling/victims.py",
        "entry.num_tokens(ledger) >= config.swap_threshold",
        "entry.num_tokens(ledger) > config.swap_threshold",
    ),
    "the longest is the shortest": (
        "scheduling/victims.py",
        '"longest": lambda entry, ledger: (entry.num_tokens(ledger), entry.rank)',
        '"longest": lambda entry, ledger: (-entry.num_tokens(ledger), entry.rank)',
    ),
    "the newest is the oldest": (
        "scheduling/victims.py",
        '"newest": lambda entry, _: (entry.number,)',
        '"newest": lambda entry, _: (-entry.number,)',
    ),
    "who was passed starts at its old count": (
        "scheduling/live_requests.py",
        "        entry.bypassed = 0\n",
        "",
    ),
    "the victim's place is forgotten": (
        "scheduling/transitions.py",
        "        self.live.wait(entry)\n\n    def _discard_for",
        "        self.live.arrivals += 1\n"
        "        entry.order = (*entry.order[:-1], self.live.arrivals)\n"
        "        entry.rank = (*entry.rank[:-1], self.live.arrivals)\n"
        "        self.live.wait(entry)\n\n    def _discard_for",
    ),
    "swapped requests do not go first": (
        "scheduling/queues.py",
        "(0 if entry.record.phase == Phase.SWAPPED else 1, *place)",
        "(1 if entry.record.phase == Phase.SWAPPED else 0, *place)",
    ),
    "an empty CPU pool is not asked": (
        "scheduling/transitions.py",
        "        if room < entry.record.blocks:\n            return False",
        "        if room <= entry.record.blocks:\n            return False",
    ),
    "one copy more is discarded than needed": (
        "scheduling/transitions.py",
        "            if room >= entry.record.blocks:\n                break",
        "            if room > entry.record.blocks:\n                break",
    ),
    "the lookahead is one short": (
        "../../spec/lineclear_spec/kernel/progress.py",
        "smaller(lookahead, last - exist)",
        "smaller(lookahead, last - exist - 1)",
    ),
    "the last holder copies too": (
        "scheduling/sequence_demand.py",
        "            found[-1].blocks -= 1",
        "            pass",
    ),
    "a table has a slot more": (
        "scheduling/sequence_demand.py",
        "wanted_slots(sequence.own_slots, reach, tokens)",
        "min(last, wanted_slots(sequence.own_slots, reach, tokens) + 1)",
    ),
    "reviews come a step late": (
        "scheduling/live_requests.py",
        "            entry.review = self.ledger.steps + wait\n",
        "            entry.review = self.ledger.steps + wait + 1\n",
    ),
    "a policy never looks again": (
        "scheduling/live_requests.py",
        "        for entry in due:",
        "        for entry in ():",
    ),
    "an aborted request stays in the queue": (
        "scheduling/transitions.py",
        "        else:\n            self.live.waiting.leave(entry)\n        self.live.remove",
        "        self.live.remove",
    ),
    "preemptions are not counted": (
        "scheduling/transitions.py",
        "        entry.preemptions += 1\n",
        "",
    ),
    "lost tokens are not counted": (
        "scheduling/transitions.py",
        "            self.counters.recomputed_tokens += computed\n",
        "",
    ),
    "a tenant's sequence goes on being charged": (
        "scheduling/decode_batch.py",
        '            self.adapter.tell("decode_batch_changed", tenant, -1, self.ledger.steps)',
        "            pass",
    ),
    "a token is not charged": (
        "scheduling/dispatch.py",
        '                    self.adapter.tell("sampled", tenant, 1, ledger.steps)',
        "                    pass",
    ),
    "no request is sheltered": (
        "scheduling/transitions.py",
        "        entry.sheltered = sheltered\n",
        "        entry.sheltered = False\n",
    ),
    "the virtual time stands still when no tenant waits": (
        "policies/vtc.py",
        "tokens, step, not self.turn\n",
        "tokens, step, False\n",
    ),
    "a level of a request that runs is looked at too late": (
        "policies/mlfq.py",
        "not_(given(request.waiting))",
        "given(request.waiting)",
    ),
    "a swapped decode comes back without its drafts": (
        "../../spec/lineclear_spec/kernel/progress.py",
        "if_else(and_(chunked, not_(decode)), 1, tokens)",
        "if_else(chunked, 1, tokens)",
    ),
    "auto prices a shared block once for each branch": (
        "scheduling/victims.py",
        "moved = entry.record.blocks * config.block_size",
        "moved = sum([q.length for q in entry.record.members]) * config.block_size",
    ),
    "auto takes the dearer way": (
        "scheduling/victims.py",
        "moved * config.swap_token_cost < computed",
        "moved * config.swap_token_cost > computed",
    ),
    "the length of a group is that of its leader": (
        "scheduling/victims.py",
        "return entry.num_tokens(ledger) >= config.swap_threshold",
        "return ledger.num_tokens(entry.record.members[0]) >= config.swap_threshold",
    ),
    "a request whose copy was discarded keeps its place": (
        "scheduling/transitions.py",
        "        self.live.waiting.push(entry)\n\n    def free_all",
        "\n    def free_all",
    ),
    "ranks are kept after the policy failed": (
        "scheduling/live_requests.py",
        "            entry.order = entry.rank = (entry.number,)\n",
        "            entry.order = (entry.number,)\n",
    ),
    "a tenant's empty queue is kept": (
        "scheduling/tenant_queue.py",
        "        queue.pop()\n        self._look(entry.tenant, queue)\n",
        "        queue.pop()\n",
    ),
    "the turn of a tenant that leaves goes on": (
        "policies/drr.py",
        "turns.departed(self.turn, next(iter(self.round)) == tenant)",
        "turns.departed(self.turn, False)",
    ),
    "a shelter begins used up": (
        "scheduling/transitions.py",
        "entry.kept_a_token = False",
        "entry.kept_a_token = displacing",
    ),
    "a tenant that comes back is owed for its absence": (
        "policies/virtual_time.py",
        "now.output, lifted(now.charged, virtual)",
        "now.output, now.charged",
    ),
    "age counts against a request": (
        "policies/aging.py",
        "return request.arrival_time - self",
        "return request.arrival_time + self",
    ),
    "a promotion is late, and the policy fails by it": (
        "policies/feedback.py",
        "step - look.since >= promote_after",
        "step - look.since > promote_after",
    ),
    "a branch that ends keeps its seat": (
        "scheduling/commit.py",
        "            entry.forget_branch(sequence)\n            self.regrouped[entry] = None\n",
        "            entry.forget_branch(sequence)\n",
    ),
    "a request that may fork later gives seats back": (
        "scheduling/entry.py",
        "self.branches_made, self.may_fork_later)",
        "self.branches_made, False)",
    ),
    "sequences that are still to be made have no seats": (
        "scheduling/entry.py",
        "seats_of(self.n, width, self.branches_made,",
        "seats_of(self.n, width, self.n,",
    ),
    "a group forks into seats that it gave back": (
        "scheduling/check_output.py",
        "may_fork(record.width, more[record], entry.seats)",
        "may_fork(record.width, more[record], record.parallel)",
    ),
    "a rejected draft counts as computed": (
        "scheduling/commit.py",
        "rejected = max(0, sequence.drafts + 1 - sizes[0])",
        "rejected = max(0, sequence.drafts - sizes[0])",
    ),
}
