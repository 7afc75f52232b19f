"""Edits of what the scheduler decides with prefix caching, each of one function; the oracle sees every one.

Invariant: the text to be replaced stands exactly once in its function (`test_caching_oracle.py`).
"""

from __future__ import annotations

from typing import Any

from lineclear.scheduling.commit import Commit
from lineclear.scheduling.eviction import KeyedOrder
from lineclear.scheduling.prefix_cache import PrefixCache
from lineclear.scheduling.room import Room
from lineclear.scheduling.step import Step
from lineclear.scheduling.transitions import Transitions

#: What is wrong -> (class, function, text, what stands there instead).
EDITS: dict[str, tuple[Any, str, str, str]] = {
    "blocks at rest are not available": (
        PrefixCache, "available", "ledger.gpu.free + len(ledger.resting) - kept", "ledger.gpu.free",
    ),
    "one block at rest counts twice": (
        PrefixCache, "available", "len(ledger.resting) - kept", "len(ledger.resting) + bool(ledger.resting)",
    ),
    "one block at most is found": (
        PrefixCache, "hits", "return len(list(found))", "return min(1, len(list(found)))",
    ),
    "what a reset has left is found behind a miss": (
        PrefixCache, "hits", "takewhile(self.ledger.cached.__contains__, names)",
        "[word for word in words if word in self.ledger.cached]",
    ),
    "what others name is charged": (
        PrefixCache, "saved", "return sum([block.ref > 0 or block.name in held for block in found])", "return 0",
    ),
    "what rests is not charged": (
        PrefixCache, "saved", "return sum([block.ref > 0 or block.name in held for block in found])",
        "return len(found)",
    ),
    "the newest block at rest is evicted first": (
        PrefixCache, "_chosen", "for block in resting if", "for block in reversed(list(resting)) if",
    ),
    "a block more than is lacking is evicted": (
        PrefixCache, "free_up", "lacking = count - ledger.gpu.free", "lacking = count - ledger.gpu.free + 1",
    ),
    "what is about to be shared is evicted": (
        PrefixCache, "enter", "self.free_up(blocks - hits, keep)", "self.free_up(blocks - hits)",
    ),
    "nothing is evicted for growth": (
        Transitions, "grow", "self.cache.free_up(demand.blocks)", "pass",
    ),
    "a victim gives up its own blocks alone": (
        PrefixCache, "gain", "return record.blocks + sum(rests)", "return record.blocks",
    ),
    "a victim gives up what others name too": (
        PrefixCache, "gain", "block.ref == n and block.name not in held", "True",
    ),
    "a victim that shares is swapped": (
        PrefixCache, "shares", "return bool(self.sealed_of(record))", "return False",
    ),
    "what the head shares with its victim is not charged": (
        Step, "_displace", "want += Need(self.room.saved(head.record.members[0]), 0, 0)", "pass",
    ),
    "the head is charged what it shares with those that run": (
        Room, "want", "ledger.need(tokens) - self.saved(leader)", "ledger.need(tokens)",
    ),
    "a request counts for the hit rate whenever it enters": (
        PrefixCache, "enter", "    if count:\n", "    if True:\n",
    ),
    "one that was admitted computes drafts": (
        Step, "_enter", "drafts = entry.record.phase == Phase.SWAPPED", "drafts = True",
    ),
    "the block with the greatest key is evicted first": (
        KeyedOrder, "_file", "key = self.key(", "key = -self.key(",
    ),
    "what is found is not counted": (
        KeyedOrder, "wake", "self.found[name] += 1", "pass",
    ),
    "a block that was found keeps its key": (
        KeyedOrder, "wake", "self.filed.pop(name, None)", "pass",
    ),
    "no block grows older": (
        KeyedOrder, "take", "self.age = key", "pass",
    ),
    "a block that is computed anew counts as found before": (
        KeyedOrder, "forget", "self.found.pop(name, None)", "pass",
    ),
    "the beginning of a table is evicted before its end": (
        KeyedOrder, "_file", "for block in newest:", "for block in reversed(newest):",
    ),
    "nothing is waited for": (
        Step, "_admit_all", "fits and self.config.wait_for_prefix and", "False and",
    ),
    "what one behind it computes is waited for": (
        Step, "_awaits", "behind(self.live.of[other.request].rank, entry.rank)", "True",
    ),
    "one that waits for a prefix enters when it may be passed": (
        Step, "_admit_all", "if fits and not awaits:", "if fits and (not awaits or most > len(passed)):",
    ),
    "one that waits for a prefix is not passed": (
        Step, "_admit_all", "elif len(passed) < most:", "elif len(passed) < most and not awaits:",
    ),
    "any block of one before it is waited for": (
        PrefixCache, "computing", "other.block_names[index : index + 1] == word", "len(other.block_names) > index",
    ),
    "the last block of a prompt, which is computed again, is waited for": (
        PrefixCache, "computing", "or end >= sequence.own_tokens", "",
    ),
    "the first block of a prompt that is computed is not published": (
        PrefixCache, "enter", "self.watch(leader, hits)", "self.watch(leader, hits + 1)",
    ),
    "branches of a group are not watched": (
        PrefixCache, "enter", "self.watch(branch, 0)", "pass",
    ),
    "one that is swapped in publishes nothing more": (
        Transitions, "enter", "self.cache.watch(sequence, 0)", "pass",
    ),
    "the newest block is published one commit later": (
        PrefixCache, "publish_of", "ledger.num_tokens(sequence)) // self.size",
        "ledger.num_tokens(sequence) - 1) // self.size",
    ),
    "one that ends publishes no output": (
        Transitions, "end", "self.cache.publish_output(entry, entry.record.members)", "pass",
    ),
    "those that end at once get no names of output": (
        PrefixCache, "finish_each", "ledger.name_blocks(sequence, names)", "pass",
    ),
    "a victim publishes no output": (
        Transitions, "preempt", "self.cache.publish_output(entry, record.members)", "pass",
    ),
    "a branch that forks publishes no output": (
        Commit, "_sample", "parts.cache.publish_output(entry, (sequence,))", "pass",
    ),
    "a branch that ends publishes no output": (
        Commit, "_end", "parts.cache.publish_output(entry, (sequence,))", "pass",
    ),
    "the last full block of output is not published": (
        PrefixCache, "publish_output", "min(end, len(sequence.block_names)))", "end - 1)",
    ),
    "the first block of output is passed over": (
        PrefixCache, "publish_output", "self._publish(sequence, first,", "self._publish(sequence, first + 1,",
    ),
    "why the head waits is not said": (
        Step, "_admit_all", 'self.admission_blocked_by = "prefix"', "pass",
    ),
}  # fmt: skip
