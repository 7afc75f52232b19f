"""Situations that a search ought to meet, each with a sentence.

Guarantees: a situation is a fact about one transition that was executed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import Request
from lineclear_spec.modelcheck.ghosts import GhostLedger


def live(ledger: GhostLedger) -> list[Request]:
    """Requests that neither ended nor are new."""
    return [*ledger.waiting, *ledger.running, *ledger.swapped]


def is_open(ledger: GhostLedger, number: int) -> bool:
    """Whether some operation up to this number is not complete."""
    return any(n <= number for n in ledger.operations)


def fenced(before: GhostLedger, after: GhostLedger) -> bool:
    """Whether block ids were allocated that an operation may still touch, so that the next step waits."""
    return after.barrier > before.barrier and is_open(after, after.barrier)


#: sentence -> whether it is so in a state
IN_STATES: dict[str, Callable[[GhostLedger], bool]] = {
    "a block is shared": lambda v: any(b.ref > 1 for r in live(v) for b in r.held),
    "a shared block is swapped out": lambda v: any(b.ref > 1 for r in v.swapped for b in r.held),
    "both pools are full": lambda v: v.gpu.free == 0 and v.cpu.free == 0,
    "a block rests": lambda v: bool(v.resting),
    "a block is shared by two requests": lambda v: any(
        b.ref > 1 and sum(any(b in s.table for s in r.members) for r in live(v)) > 1
        for b in v.cached.values()
    ),
    "a request that is swapped out names sealed blocks": lambda v: any(
        b.name for r in v.swapped for s in r.members for b in s.table
    ),
    "a sealed block can be found no more": lambda v: any(
        b.name and not v.finds(b) for r in live(v) for s in r.members for b in s.table
    ),
    "a reader holds a block that rests": lambda v: any(b.readers for b in v.resting),
    "a reader holds a block that tables name": lambda v: any(
        b.readers and b.ref for b in v.cached.values()
    ),
    "a step is in flight": lambda v: v.steps > v.committed,
    "two steps are in flight": lambda v: v.steps - v.committed == 2,
    "a step waits for a fence or a copy": lambda v: any(
        o.kind == "forward" and is_open(v, o.wait) for o in v.operations.values()
    ),
    "a sequence is in the decode batch": lambda v: len(v.decode_batch) >= 1,
    "two sequences are in the decode batch": lambda v: len(v.decode_batch) >= 2,
    "a preempted request is owed a sample": lambda v: any(
        s.own_samples and r.phase != Phase.RUNNING for r in live(v) for s in r.members
    ),
    "samples are void": lambda v: any(s.void > v.committed for r in live(v) for s in r.members),
}

#: Those of them, and the actions, that only prefix caching brings about.
OF_CACHING = frozenset(
    {
        "a block rests",
        "a block is shared by two requests",
        "a request that is swapped out names sealed blocks",
        "a sealed block can be found no more",
        "a reader holds a block that rests",
        "a reader holds a block that tables name",
        "hold_block",
        "release_block",
        "publish",
        "publish_run",
        "admit_cached",
        "evict",
        "unlist",
    }
)

Transition = Callable[[GhostLedger, tuple[Any, ...], GhostLedger], bool]


def always(_before: GhostLedger, _arguments: tuple[Any, ...], _after: GhostLedger) -> bool:
    """Whenever the action happens."""
    return True


#: sentence -> the action, and whether it is so of a transition: before, arguments, after
IN_TRANSITIONS: dict[str, tuple[str, Transition]] = {
    "a fenced block is allocated to a new request, and the next step waits": (
        "admit",
        lambda old, _, new: fenced(old, new),
    ),
    "a fenced block is allocated to a growing one, and the next step waits": (
        "append_slots",
        lambda old, _, new: fenced(old, new),
    ),
    "a fenced block is allocated to a sequence in the decode batch, and this step waits": (
        "issue_step",
        lambda old, _, new: fenced(old, new),
    ),
    "a request is swapped out while a step computes for it": (
        "swap_out",
        lambda old, own, _: any(old.in_flight(s) > 0 for s in own[0].members),
    ),
    "a request is recomputed while its copy in is open": (
        "recompute",
        lambda _old, own, _new: own[0].open_swap > 0,
    ),
    "a copy fails while its request runs": (
        "fail_copy",
        lambda _old, own, _new: own[0].phase == Phase.RUNNING,
    ),
    "a copy fails while a step that samples computes on it": (
        "fail_copy",
        lambda _old, own, _new: (
            own[0].phase == Phase.RUNNING and any(s.own_samples for s in own[0].members)
        ),
    ),
    "a copy fails while its request is swapped out": (
        "fail_copy",
        lambda _old, own, _new: own[0].phase == Phase.SWAPPED,
    ),
    "a request ends while a copy of it is open": (
        "abort",
        lambda _old, own, _new: own[0].open_swap > 0,
    ),
    "a sample comes after a recompute": (
        "sample",
        lambda _old, own, _new: own[0].request.phase == Phase.WAITING,
    ),
    "a sample comes while its request is swapped out": (
        "sample",
        lambda _old, own, _new: own[0].request.phase == Phase.SWAPPED,
    ),
    "a draft is accepted": ("sample", lambda _old, own, _new: own[2] >= 2),
    "a draft is rejected": ("sample", lambda _old, own, _new: own[3] >= 1),
    "a branch takes part again after a recompute": ("rejoin", always),
    "a block that rests is found": (
        "admit_cached",
        lambda old, own, _: any(
            b in old.resting for b in old.found(own[0].members[0], own[1] // old.limits.block_size)
        ),
    ),
    "a block is evicted that an operation may still touch": (
        "evict",
        lambda old, own, _: is_open(old, old.gpu.last_use[old.cached[own[0]].block_id]),
    ),
    "a block is published while a step is in flight": (
        "publish",
        lambda old, _own, _new: old.steps > old.committed,
    ),
    "two blocks of a table are published at once": (
        "publish_run",
        lambda old, _own, new: new.sealed - old.sealed == 2,
    ),
    "a block between others is passed over": (
        "publish_run",
        lambda old, own, new: new.sealed - old.sealed < own[2] - own[1],
    ),
    "requests that end at once publish a block": (
        "finish_each",
        lambda old, _own, new: new.sealed > old.sealed,
    ),
    "a shared block is copied before it is written": ("copy_on_write", always),
    "a shared block is copied to a fenced block": (
        "copy_on_write",
        lambda old, _, new: fenced(old, new),
    ),
}


def states_shown(ledger: GhostLedger) -> list[str]:
    """The situations that a state shows."""
    return [sentence for sentence, so in IN_STATES.items() if so(ledger)]


def transitions_shown(
    before: GhostLedger, name: str, arguments: tuple[Any, ...], after: GhostLedger
) -> list[str]:
    """The situations that a transition shows.

    Args:
        before: ledger.
        name: of the action.
        arguments: of it.
        after: ledger.
    """
    return [
        sentence
        for sentence, (action, so) in IN_TRANSITIONS.items()
        if action == name and so(before, arguments, after)
    ]
