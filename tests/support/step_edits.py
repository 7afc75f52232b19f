"""Edits of what a step does: who grows, who is displaced, who gets tokens, who enters.

Invariant: as in `decision_edits.py`.
"""

from __future__ import annotations

#: File -> name -> (text, what stands there instead).
STEP_EDITS: dict[str, dict[str, tuple[str, str]]] = {
    "scheduling/step.py": {
        "the last that runs is left out after a preemption": (
            "            demands = [demand for demand in demands if demand.entry is not victim]",
            "            demands = [demand for demand in demands if demand.entry is not victim][:-1]",
        ),
        "one that cannot grow stops everybody behind it": (
            "            demands = [demand for demand in demands if demand.entry is not victim]",
            "            demands = [demand for demand in demands if demand.entry.rank < entry.rank]",
        ),
        "room is made for the last": (
            "        return running.entries[running.orders[at]]",
            "        return running.entries[running.orders[-1]]",
        ),
        "room is made for the first": (
            "        return running.entries[running.orders[at]]",
            "        return running.entries[running.orders[0]]",
        ),
        "may_displace is ignored": (
            "not spared and self.adapter.may_displace(seen, entry.view(self.ledger))",
            "not spared",
        ),
        "the shelter is ignored": (
            "not spared and self.adapter.may_displace(",
            "self.adapter.may_displace(",
        ),
        "nothing is displaced for seats": (
            "self.cache.gain(entry.record) + due[entry], entry.seats_taken, batched, most",
            "self.cache.gain(entry.record) + due[entry], 0, batched, most",
        ),
        "nothing is displaced for tokens": (
            "            return own + uses.get(entry, Need())",
            "            return own + Need(uses.get(entry, Need()).blocks, 0, -batched)",
        ),
        "prompts that go on are counted with the cut before the displacement": (
            "Need(demand.blocks, 0, share)",
            "Need(demand.blocks, 0, demand.tokens if demand.decode else self._chunk(demand, share))",
        ),
        "prompts that go on are counted whole before the displacement": (
            "Need(demand.blocks, 0, share)",
            "Need(demand.blocks, 0, demand.tokens)",
        ),
        "the worst case of a victim stays": ("most = ledger.worst_case(entry.record)", "most = 0"),
        "a policy's share is not asked for": (
            "        if self.asks:\n",
            "        if False and self.asks:\n",
        ),
        "a prompt that got its share admits no other": (
            "self.blocked or lacks(tokens, share)",
            "self.blocked or lacks(tokens, demand.tokens)",
        ),
        "tokens that no other can use are left over": (
            "more = min(demand.tokens - tokens, left)",
            "more = 0",
        ),
        "a prompt that enters may take all tokens that are left": (
            "            self._prefill(demand, self._chunk(demand, share))",
            "            self._prefill(demand, self._chunk(demand, demand.tokens))",
        ),
        "the head displaces when it would be admitted anyway": (
            ".covers(want):\n            return demands  # it is admitted anyway",
            ".covers(want) and False:\n            return demands  # it is admitted anyway",
        ),
        "a step that displaced admits others": (
            "        self.displaced = True\n",
            "        self.displaced = False\n",
        ),
        "passing is not counted": (
            "                    other.bypassed += 1",
            "                    other.bypassed += 0",
        ),
        "an unfinished prompt keeps no other out": (
            "self.blocked = self.blocked or lacks(tokens, share)",
            "self.blocked = False",
        ),
        "what shares leave over is lost": (
            "            pair[1] += more\n            left -= more\n",
            "",
        ),
        "who enters beside a prompt that lacks tokens is not sheltered": (
            "is_sheltered(displacing, bool(self.room.longs))",
            "is_sheltered(displacing, False)",
        ),
        "branches enter beside a prompt that lacks tokens": (
            "enters_beside(True, entry.record.width)",
            "enters_beside(True, 1)",
        ),
        "a prompt that enters and could use more is forgotten": (
            "            self._note(demand, share)\n            self._prefill(",
            "            self._prefill(",
        ),
        "long prompts are not counted before a displacement": (
            "                uses[entry] += Need(longs=1)\n",
            "                pass\n",
        ),
        "a long victim's place is not given up": (
            "            return own + uses.get(entry, Need())",
            "            found = uses.get(entry, Need())\n            return own + found - Need(longs=found.longs)",
        ),
        "each sequence counts as a long prompt": (
            "            self.room.longs.add(demand.entry)",
            "            self.room.longs.add(demand.sequence)",
        ),
        "due is not counted again after preemptions for growth": (
            "        while True:\n            due, blocks = self.ledger.due().count, sum(",
            "        due = self.ledger.due().count\n        while True:\n            blocks = sum(",
        ),
        "demands go in the order of the queue": (
            "found.sort(key=lambda demand: demand.entry.rank)",
            "found.sort(key=lambda demand: demand.entry.order)",
        ),
    },
    "scheduling/room.py": {
        "one request more counts as running": (
            "kept_free(self._kept(), len(live.running))",
            "kept_free(self._kept(), len(live.running) + 1)",
        ),
        "admission is charged a block more": (
            "return Need(blocks, entry.seats, tokens)",
            "return Need(blocks + 1, entry.seats, tokens)",
        ),
        "a swapped request is charged a block more": (
            "return Need(record.blocks + growth, entry.seats, tokens)",
            "return Need(record.blocks + growth + 1, entry.seats, tokens)",
        ),
        "no blocks are kept for what is still to be generated": (
            "kept += ledger.need(ceil(share * tokens))",
            "kept += 0",
        ),
        "what is to be generated counts whole": (
            "kept += ledger.need(ceil(share * tokens))",
            "kept += ledger.need(tokens)",
        ),
        "worst cases do not count": (
            "have += Need(worst=ledger.gpu.total - self.live.worst)",
            "have += Need(worst=ledger.gpu.total)",
        ),
        "a prompt may take all tokens": (
            "share: int = share_of(demand.tokens, demand.decode, self.most)",
            "share: int = demand.tokens",
        ),
        "long prompts that run are not counted": (
            "have += Need(longs=most - len(self.longs))",
            "have += Need(longs=most)",
        ),
        "no request that waits counts as long": (
            "want += Need(longs=int(self.is_long(entry)))",
            "want += Need(longs=0)",
        ),
        "every request that waits counts as long": (
            "want += Need(longs=int(self.is_long(entry)))",
            "want += Need(longs=1)",
        ),
        "a swapped request is never long": (
            "return any(lacks(self.share(demand), demand.tokens) for demand in demands)",
            "return False",
        ),
        "a swapped group is charged the seats of its branches": (
            "return Need(record.blocks + growth, entry.seats, tokens)",
            "return Need(record.blocks + growth, record.width, tokens)",
        ),
        "a waiting group is charged the seats of its branches": (
            "return Need(blocks, entry.seats, tokens)",
            "return Need(blocks, record.width, tokens)",
        ),
    },
}
