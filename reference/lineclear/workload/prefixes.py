"""Which prompts of a workload begin alike: the names of their blocks, and what could be found at best.

Guarantees: names are equal exactly where the file says that tokens and all tokens before them are.
"""

from __future__ import annotations

from lineclear.workload.workload import Arrival, Workload, WorkloadError

#: Tokens that one prefix id of a trace stands for.
SPAN = 512


def check_prefixes(workload: Workload, block_size: int) -> None:
    """Refuses prefix ids that blocks of this size cannot be named by.

    Raises:
        WorkloadError: the block size does not divide what an id stands for, an id is negative, or a request
            has one twice.
    """
    for arrival in workload.requests:
        ids = arrival.prefix_ids
        if ids and SPAN % block_size:
            raise WorkloadError(
                f"a prefix id stands for {SPAN} tokens, which blocks of {block_size} do not divide: "
                "give --block-size 16, 32 or another divisor, or --prefix-caching off"
            )
        if ids and (min(ids) < 0 or len(set(ids)) < len(ids)):
            wrong = "a negative prefix id" if min(ids) < 0 else "a prefix id twice"
            raise WorkloadError(
                f"request {arrival.request_id} has {wrong}: an id names a block and all before it"
            )


def prompt_names(arrival: Arrival, block_size: int) -> tuple[int, ...]:
    """Names of the full blocks of a prompt; none if the file says nothing about it."""
    each, full = SPAN // block_size, arrival.prompt_tokens // block_size
    names = (each * name + k + 1 for name in arrival.prefix_ids for k in range(each))
    return tuple(name for name, _ in zip(names, range(full), strict=False))


class PromptsSeen:
    """The prompts so far, all of them kept: what a cache without bound would find.

    Attributes:
        spans: tokens of each prefix id that were there.
        found: tokens of prompts that could have been found, full blocks before the last token.
        asked: tokens of all prompts.
        named: requests whose blocks have names.
    """

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self.spans: dict[int, int] = {}
        self.found = self.asked = self.named = 0

    def add(self, arrival: Arrival) -> None:
        """A request has come, whose prompt is computed before the next one is."""
        size, left, found, whole = self.block_size, arrival.prompt_tokens, 0, True
        for name in arrival.prefix_ids:
            span = min(SPAN, left)
            left -= span
            seen = self.spans.get(name, 0)
            if whole:
                found += min(span, seen) // size * size
            whole = whole and seen >= span == SPAN
            self.spans[name] = max(seen, span)
        self.found += min(found, (arrival.prompt_tokens - 1) // size * size)
        self.asked += arrival.prompt_tokens
        self.named += bool(arrival.prefix_ids)
