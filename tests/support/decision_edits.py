"""Edits of what the scheduler decides, each of one place; the oracle of the step sees every one of them.

Invariant: the text to be replaced stands exactly once in its file (`test_oracle.py`).
"""

from __future__ import annotations

#: File -> name -> (text, what stands there instead).
DECISION_EDITS: dict[str, dict[str, tuple[str, str]]] = {
    "scheduling/transitions.py": {
        "copies are discarded in the order of their swaps": (
            "        others.sort(key=lambda other: other.rank, reverse=True)\n",
            "",
        ),
        "copies of more important requests are discarded": (
            "        others = [other for other in others if behind(entry.rank, other.rank)]\n",
            "",
        ),
        "the victim's place is forgotten": (
            "        self.live.wait(entry)\n\n    def _discard_for",
            "        self.live.arrivals += 1\n"
            "        entry.order = (*entry.order[:-1], self.live.arrivals)\n"
            "        entry.rank = (*entry.rank[:-1], self.live.arrivals)\n"
            "        self.live.wait(entry)\n\n    def _discard_for",
        ),
        "an empty CPU pool is not asked": (
            "        if room < entry.record.blocks:\n            return False",
            "        if room <= entry.record.blocks:\n            return False",
        ),
        "one copy more is discarded than needed": (
            "            if room >= entry.record.blocks:\n                break",
            "            if room > entry.record.blocks:\n                break",
        ),
        "an aborted request stays in the queue": (
            "        else:\n            self.live.waiting.leave(entry)\n        self.live.remove",
            "        self.live.remove",
        ),
        "preemptions are not counted": ("        entry.preemptions += 1\n", ""),
        "lost tokens are not counted": (
            "            self.counters.recomputed_tokens += computed\n",
            "",
        ),
        "no request is sheltered": (
            "        entry.sheltered = sheltered\n",
            "        entry.sheltered = False\n",
        ),
        "a request whose copy was discarded keeps its place": (
            "        self.live.waiting.push(entry)\n\n    def free_all",
            "\n    def free_all",
        ),
        "a shelter begins used up": (
            "entry.kept_a_token = False",
            "entry.kept_a_token = displacing",
        ),
    },
    "scheduling/live_request.py": {
        "branches of a request in the queue do not count": (
            "return self.prompt + self.n * (self.record.limit - self.prompt)",
            "return self.record.limit",
        ),
        "a request that may fork later gives seats back": (
            "self.branches_made, self.may_fork_later)",
            "self.branches_made, False)",
        ),
        "sequences that are still to be made have no seats": (
            "seats_of(self.n, width, self.branches_made,",
            "seats_of(self.n, width, self.n,",
        ),
    },
    "scheduling/live_requests.py": {
        "a victim keeps a seat": (
            "self.seats -= entry.seats_taken",
            "self.seats -= entry.seats_taken - 1",
        ),
        "a live id is accepted": ("        if known:", "        if False and known:"),
        "who was passed starts at its old count": ("        entry.bypassed = 0\n", ""),
        "reviews come a step late": (
            "            entry.review = self.ledger.steps + wait\n",
            "            entry.review = self.ledger.steps + wait + 1\n",
        ),
        "a policy never looks again": ("        for entry in due:", "        for entry in ():"),
        "ranks are kept after the policy failed": (
            "            entry.order = entry.rank = (entry.number,)\n",
            "            entry.order = (entry.number,)\n",
        ),
    },
    "scheduler.py": {
        "abort says that a request is not live": (
            "        self._abort(entry)\n        return True",
            "        self._abort(entry)\n        return False",
        ),
    },
    "scheduling/victims.py": {
        "victims are spared the least important first": (
            "for entry in reversed(tuple(chosen)):",
            "for entry in tuple(chosen):",
        ),
        "no victim is spared": (
            "        if rest.covers(want):",
            "        if False and rest.covers(want):",
        ),
        "the swap threshold is not reached by as many": (
            "entry.num_tokens(ledger) >= config.swap_threshold",
            "entry.num_tokens(ledger) > config.swap_threshold",
        ),
        "the longest is the shortest": (
            '"longest": lambda entry, ledger: (entry.num_tokens(ledger), entry.rank)',
            '"longest": lambda entry, ledger: (-entry.num_tokens(ledger), entry.rank)',
        ),
        "the newest is the oldest": (
            '"newest": lambda entry, _: (entry.number,)',
            '"newest": lambda entry, _: (-entry.number,)',
        ),
        "auto prices a shared block once for each branch": (
            "moved = entry.record.blocks * config.block_size",
            "moved = sum([q.length for q in entry.record.members]) * config.block_size",
        ),
        "auto takes the dearer way": (
            "moved * config.swap_token_cost < computed",
            "moved * config.swap_token_cost > computed",
        ),
        "the length of a group is that of its leader": (
            "return entry.num_tokens(ledger) >= config.swap_threshold",
            "return ledger.num_tokens(entry.record.members[0]) >= config.swap_threshold",
        ),
    },
    "scheduling/queues.py": {
        "swapped requests do not go first": (
            "(0 if entry.record.phase == Phase.SWAPPED else 1, *place)",
            "(1 if entry.record.phase == Phase.SWAPPED else 0, *place)",
        ),
    },
    "../../spec/lineclear_spec/kernel/progress.py": {
        "the lookahead is one short": (
            "smaller(lookahead, last - exist)",
            "smaller(lookahead, last - exist - 1)",
        ),
        "a swapped decode comes back without its drafts": (
            "if_else(and_(chunked, not_(decode)), 1, tokens)",
            "if_else(chunked, 1, tokens)",
        ),
    },
    "scheduling/sequence_demand.py": {
        "the last holder copies too": ("            found[-1].blocks -= 1", "            pass"),
        "a table has a slot more": (
            "wanted_slots(sequence.own_slots, reach, tokens)",
            "min(last, wanted_slots(sequence.own_slots, reach, tokens) + 1)",
        ),
    },
    "scheduling/decode_batch.py": {
        "a tenant's sequence goes on being charged": (
            '            self.adapter.tell("decode_batch_changed", tenant, -1, self.ledger.steps)',
            "            pass",
        ),
    },
    "scheduling/dispatch.py": {
        "a token is not charged": (
            '                    self.adapter.tell("sampled", tenant, 1, ledger.steps)',
            "                    pass",
        ),
    },
    "policies/vtc.py": {
        "the virtual time stands still when no tenant waits": (
            "tokens, step, not self.turn\n",
            "tokens, step, False\n",
        ),
    },
    "policies/mlfq.py": {
        "a level of a request that runs is looked at too late": (
            "not_(given(request.waiting))",
            "given(request.waiting)",
        ),
    },
    "scheduling/tenant_queue.py": {
        "a tenant's empty queue is kept": (
            "        queue.pop()\n        self._look(entry.tenant, queue)\n",
            "        queue.pop()\n",
        ),
    },
    "policies/drr.py": {
        "the turn of a tenant that leaves goes on": (
            "turns.departed(self.turn, next(iter(self.round)) == tenant)",
            "turns.departed(self.turn, False)",
        ),
    },
    "policies/virtual_time.py": {
        "a tenant that comes back is owed for its absence": (
            "now.output, lifted(now.charged, virtual)",
            "now.output, now.charged",
        ),
    },
    "policies/sjf.py": {
        "a guess is not looked at": (
            "guess = or_else(request.predicted_tokens, request.max_tokens)",
            "guess = request.max_tokens",
        ),
        "a guess may be above the cap": (
            "length: int = smaller(guess, request.max_tokens)",
            "length: int = guess",
        ),
    },
    "policies/aging.py": {
        "age counts against a request": (
            "return request.arrival_time - self",
            "return request.arrival_time + self",
        ),
    },
    "policies/feedback.py": {
        "a promotion is late, and the policy fails by it": (
            "step - look.since >= promote_after",
            "step - look.since > promote_after",
        ),
    },
    "scheduling/commit.py": {
        "a branch that ends keeps its seat": (
            "            entry.forget_branch(sequence)\n            self.regrouped[entry] = None\n",
            "            entry.forget_branch(sequence)\n",
        ),
        "a rejected draft counts as computed": (
            "rejected = max(0, sequence.drafts + 1 - sizes[0])",
            "rejected = max(0, sequence.drafts - sizes[0])",
        ),
    },
    "scheduling/check_output.py": {
        "a group forks into seats that it gave back": (
            "may_fork(record.width, more[record], entry.seats)",
            "may_fork(record.width, more[record], record.parallel)",
        ),
    },
}
