"""The decisions that progress rests on: which request is preempted, which enters, which gets tokens.

Guarantees: each function is asked by the running scheduler and is run on formulas by
`liveness/decisions.py`, so what is proved is what decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lineclear_spec.logic import and_, if_else, larger, not_, or_, smaller

__all__ = [
    "Need",
    "admits_others",
    "asked_tokens",
    "behind",
    "beside",
    "chunk",
    "decodes",
    "drafts_of",
    "enters_beside",
    "grows",
    "is_sheltered",
    "kept_free",
    "lacks",
    "least_tokens",
    "may_be_displaced",
    "may_be_passed",
    "may_fork",
    "room",
    "seats_of",
    "share_of",
    "tokens_left",
    "tokens_on_admission",
    "wanted_blocks",
    "wanted_slots",
    "wanted_tokens",
]  # fmt: skip


@dataclass(slots=True)
class Need:
    """An amount of each resource: whole numbers, or formulas.

    Attributes:
        blocks: of the GPU pool.
        seats: sequences that may run.
        tokens: of the step.
        worst: blocks that may be needed in the worst case; 0 where that is not asked.
        longs: requests with a prompt that could use more than its share; 0 where that is not asked.
    """

    blocks: Any = 0
    seats: Any = 0
    tokens: Any = 0
    worst: Any = 0
    longs: Any = 0

    def __add__(self, other: Need) -> Need:
        """Both together."""
        return Need(
            self.blocks + other.blocks,
            self.seats + other.seats,
            self.tokens + other.tokens,
            self.worst + other.worst,
            self.longs + other.longs,
        )

    def __sub__(self, other: Need) -> Need:
        """What is left of it."""
        return Need(
            self.blocks - other.blocks,
            self.seats - other.seats,
            self.tokens - other.tokens,
            self.worst - other.worst,
            self.longs - other.longs,
        )

    def covers(self, other: Need) -> Any:
        """Whether this is enough of everything."""
        return (
            (self.blocks >= other.blocks)
            & (self.seats >= other.seats)
            & (self.tokens >= other.tokens)
            & (self.worst >= other.worst)
            & (self.longs >= other.longs)
        )


# ---- preemption -----------------------------------------------------------------------------


def behind(beneficiary: Any, other: Any) -> Any:
    """Whether the other may be preempted for it: it comes strictly later in the order."""
    return beneficiary < other


def may_be_displaced(sheltered: Any, kept_a_token: Any) -> Any:
    """Whether a running request may be preempted for a waiting one.

    One that is sheltered first keeps a token. So each displacement is paid for by a token, however the order
    of those that arrive goes on.

    Args:
        sheltered: see `is_sheltered`.
        kept_a_token: it has learned a token since it runs.
    """
    return or_(not_(sheltered), kept_a_token)


def is_sheltered(displacing: Any, lacking: Any) -> Any:
    """Whether a request that enters is not displaced before it has kept a token.

    Args:
        displacing: others are preempted for it.
        lacking: a prompt that runs could use more than its share of the step.
    """
    return or_(displacing, lacking)


def grows(passed: Any, wants: Any, free: Any) -> Any:
    """Whether there are blocks for a request, besides those for the requests before it."""
    return passed + wants <= free


# ---- who enters --------------------------------------------------------------------------------


def may_be_passed(bypassed: Any, most: Any) -> Any:
    """Whether another request behind may enter before one that was passed so often."""
    return bypassed < most


def enters_beside(lacking: Any, width: Any) -> Any:
    """Whether a request of so many sequences may enter beside a prompt that could use more than its share.

    One with several computes its prompt again, and its branches take blocks before any of them has a token:
    it might preempt that prompt, enter in its turn again, and so on.
    """
    return or_(not_(lacking), width <= 1)


def admits_others(preempted: Any, pause: Any, displaced: Any, blocked: Any) -> Any:
    """Whether a step may let requests enter, after what it has done for those that run.

    Args:
        preempted: a request was preempted so that another could grow.
        pause: a step that preempted for growth admits no request.
        displaced: the head has entered in a preempted request's place.
        blocked: a prompt that runs did not get its share of the tokens.
    """
    return and_(not_(and_(preempted, pause)), not_(displaced), not_(blocked))


def kept_free(watermark: Any, running: Any) -> Any:
    """Blocks that entering requests must leave free: none when no request runs."""
    return if_else(running >= 1, watermark, 0)


def beside(need: Any, full: Any) -> Any:
    """Blocks of a further branch that shares the full blocks of the prompt."""
    return need - full


def tokens_on_admission(tokens: Any, samples: Any, limit: Any) -> Any:
    """Tokens that an only sequence computes on admission: those that it knows, and what a step in flight
    may still sample for it, but for the newest of a complete sequence.
    """
    return larger(tokens, smaller(tokens + samples, limit - 1))


def least_tokens(tokens: Any, decode: Any, chunked: Any) -> Any:
    """Tokens without which a sequence that comes back computes nothing in the step."""
    return if_else(and_(chunked, not_(decode)), 1, tokens)


def tokens_left(budget: Any, scheduled: Any, batched: Any, reserved: Any) -> Any:
    """Tokens that a step may still compute: a sequence in the decode batch computes one.

    Args:
        budget: tokens of a step.
        scheduled: tokens that it computes already.
        batched: sequences in the decode batch.
        reserved: tokens that it keeps for others.
    """
    return budget - (scheduled + batched + reserved)


def room(free: Any, due: Any, kept: Any, seats: Any, taken: Any, tokens: Any) -> Need:
    """What there is for requests that enter: blocks, seats and tokens.

    Args:
        free: free blocks.
        due: of these, blocks that running sequences need in the step.
        kept: of these, blocks that are kept free.
        seats: sequences that may run.
        taken: seats of running requests.
        tokens: that the step may still compute.
    """
    return Need(free - due - kept, seats - taken, tokens)


def seats_of(most: Any, width: Any, made: Any, may_fork_later: Any) -> Any:
    """Seats of a request that runs: one for each sequence that it has, and for each still to be made.

    Args:
        most: sequences that it may have at once.
        width: sequences that it has.
        made: sequences that it ever had.
        may_fork_later: it may have others in the place of those that ended, so that it keeps every seat.
    """
    return if_else(may_fork_later, most, width + larger(0, most - made))


def may_fork(width: Any, more: Any, seats: Any) -> Any:
    """Whether a request of so many sequences may have so many more, less those that are pruned, in its seats."""
    return width + more <= seats


def asked_tokens(tokens: Any, budget: Any) -> Any:
    """Tokens that must be left for a request to enter: never more than a whole step has."""
    return smaller(tokens, budget)


# ---- who gets what -----------------------------------------------------------------------------


def chunk(tokens: Any, left: Any, chunked: Any) -> Any:
    """How many of so many tokens a step with so many left takes: all, a part, or none."""
    return if_else(tokens <= left, tokens, if_else(chunked, larger(0, left), 0))


def share_of(tokens: Any, decode: Any, most: Any) -> Any:
    """How many of the tokens that a sequence could compute it may take while others could use them."""
    return if_else(decode, tokens, smaller(tokens, most))


def lacks(given: Any, share: Any) -> Any:
    """Whether a prompt did not get its share."""
    return given < share


def decodes(exist: Any, dispatched: Any, prompt: Any) -> Any:
    """Whether of the tokens that exist only one that was generated is not computed."""
    return and_(exist - dispatched == 1, dispatched >= prompt)


def drafts_of(lookahead: Any, exist: Any, last: Any, decode: Any) -> Any:
    """Drafts that a sequence may compute behind its newest token, within its limit.

    Args:
        lookahead: drafts at most.
        exist: tokens that are known or promised.
        last: the position after the last that it may compute.
        decode: whether it lacks one generated token only; other sequences have no drafts.
    """
    return if_else(decode, smaller(lookahead, last - exist), 0)


def wanted_tokens(exist: Any, last: Any, dispatched: Any, drafts: Any) -> Any:
    """Positions that a sequence could compute: of tokens that exist, before the last, and drafts.

    Args:
        exist: tokens that are known or promised.
        last: the position after the last that it may compute.
        dispatched: positions computed or being computed.
        drafts: that it computes besides.
    """
    return smaller(exist, last) - dispatched + drafts


def wanted_slots(slots: Any, dispatched: Any, tokens: Any) -> Any:
    """Positions that its table must have room for."""
    return larger(slots, dispatched + tokens)


def wanted_blocks(need: Any, length: Any, shared: Any) -> Any:
    """Blocks that its table lacks, besides those that it shares."""
    return larger(0, need - length - shared)
