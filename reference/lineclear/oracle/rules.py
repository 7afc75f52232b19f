"""The rules of a step, by name: what a step must do, and what lets it do less.

Guarantees: every verdict of the oracle names one of `RULES`; whatever it does not judge is counted
under one of `EXEMPTIONS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lineclear.monitor.audit import InvariantViolation

#: The name of the property, as findings print it.
NAME = "work_conservation"

#: What a step must do.
RULES: Mapping[str, str] = MappingProxyType(
    {
        "order": "each request stands where the policy put it when it last looked",
        "growth": "a request is preempted for growth only if blocks are lacking, by the victim rule "
        "among those behind the one that grows, or that one itself, and no more than needed",
        "displacement": "if preempting requests behind the head of the queue, which the policy lets "
        "it preempt, gives it the blocks, seats and tokens that it lacks, exactly those are "
        "preempted that the victim rule takes and that are needed",
        "mode": "a preempted request is swapped or recomputed as the mode says, and recomputed if "
        "the CPU pool has no room",
        "discard": "CPU copies are discarded for a victim only if that makes room for it, the least "
        "important first, only of requests behind the victim, and no more than needed",
        "admission": "the head of the queue enters when it fits, and nothing enters otherwise",
        "service": "every sequence that runs and has its blocks is in the plan while tokens are left",
        "shares": "decodes take their tokens first, unfinished prompts share the rest in order",
        "blocks": "a request is charged the blocks that its tokens need, and no more",
        "found": "a request that enters shares the blocks of its first tokens that can be found, and computes "
        "the last token that it knows",
        "publication": "a block can be found once committed steps have computed it, its tokens are known and it has a "
        "name, which output gets when its request ends or is preempted, or its branch forks or ends",
        "eviction": "a block at rest is evicted only if its block id is needed, before anything is preempted, the "
        "one that the setting says first, and none that is about to be shared",
        "seats": "a request that runs has a seat for each sequence, and for each that is still to be made; it "
        "keeps all if it may fork later; no other has any, and none forks beyond its seats",
        "reason": "a step that admits nothing for a reason of its own says which",
        "counts": "what a step did is counted",
        "ended": "a request that ended is in no plan, no queue and no table",
        "abort": "an abort holds from the next plan on",
        "refusal": "the id of a live request is refused, and nothing changes",
        "finish": "a request ends with the token that is its last, or at which it is stopped",
    }
)

#: What lets a step do less than it could, each a setting or a rule of the design.
LIMITS: Mapping[str, str] = MappingProxyType(
    {
        "pause_after_preemption": "a step that preempted for growth admits nothing",
        "displaced": "a step that displaced admits the head alone",
        "prefill_first": "nothing is admitted while a prompt that runs lacks tokens of its share",
        "beside_a_prompt": "no request of several sequences is admitted while a prompt could use more than its share",
        "head of the line": "nothing passes a request that does not enter more often than max_bypasses says",
        "prefix": "a request that fits waits, if that is asked for, while one that runs before it computes the "
        "first block that it would not find",
        "watermark": "admission leaves blocks free while anything runs",
        "capacity": "if that is asked for, all that run fit together with the most that each may need",
        "open copy": "a request whose copy is open does not enter",
        "one step at a time": "a group, and a sequence with drafts, waits for its commit",
        "leader first": "after a recompute branches wait for the prompt of their leader",
        "share": "a prompt takes no more than the threshold, and than its policy lets it, while others "
        "could use the tokens",
        "shelter": "a request that displaced another, or entered beside a prompt that could use more than its "
        "share, is not displaced before it has kept a token",
    }
)

#: What is not judged, and why.
EXEMPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "rules": "steps are built in another way (vllm_v0, vllm_v0_chunked, nano_vllm, or a custom class)",
        "policy failed": "the policy failed in this step, so its order changed in the midst of it",
        "order of eviction": "a key of one's own was given, and the oracle knows those of the settings alone",
        "no copy": "the policy cannot be copied, so it cannot be asked twice",
    }
)


class Undone(InvariantViolation):
    """A step did not do what the rules say; `rule` is the first that it breaks."""

    def __init__(self, rule: str, what: str) -> None:
        super().__init__(NAME, f"{rule}: {what}")
        self.rule = rule
