"""The rules for event logs: names, sentences, finding codes, and what each needs.

Guarantees: a rule is checked clause by clause, a clause only where the log carries everything that
it needs. Rules keep their names and codes. The files named `*_rules` implement the clauses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lineclear.conform.header import Header


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        name: its name in reports.
        code: code of the finding.
        sentence: what must hold.
        matters: the harm of a violation.
        todo: where to look.
        clauses: for each clause what it needs: kinds and parts of events.
        kinds: kinds of events at which it is checked.
    """

    name: str
    code: str
    sentence: str
    matters: str
    todo: str
    clauses: Mapping[str, tuple[str, ...]]
    kinds: tuple[str, ...]


HOLD = ("submit", "alloc", "hit", "free", "fork")
CACHE = ("store", "evict")
ENDS = ("finish", "abort", "fail")

ROWS = (
    Rule(
        "allocation",
        "LC411",
        "a block is allocated only if it exists, no table names it and it is not published",
        "Two requests write into one block, or a cached prefix is overwritten while it can be hit.",
        "Look for code that frees the block too early, or takes a block from the cache "
        "without removing its key.",
        {"exists": ("alloc",), "held": HOLD, "published": ("alloc", *CACHE)},
        ("alloc",),
    ),
    Rule(
        "exclusive_write",
        "LC412",
        "a block that a step or a copy writes is named by one table and is not published",
        "One request's KV is overwritten by another's. Nothing crashes; answers are wrong.",
        "A shared block must be copied before it is written, and a published one never written.",
        {"shared": (*HOLD, "step"), "published": (*HOLD, "step", *CACHE)},
        ("step", "copy"),
    ),
    Rule(
        "release",
        "LC413",
        "a free names exactly that slice of that table",
        "A block is freed while a table still names it, or never freed.",
        "Compare the table with the freed blocks; often the engine frees a copy of the table that "
        "is out of date.",
        {"slice": HOLD, "known": ("submit", "free", "fork")},
        ("free",),
    ),
    Rule(
        "hit",
        "LC414",
        "a block that is hit is held or published, fully computed, and has the requested content",
        "A request reads KV of other tokens, or KV that was never computed.",
        "Look for a key that outlives its block's content, or a block that is published before it "
        "is computed.",
        {
            "exists": ("hit",),
            "there": ("hit", "alloc", "free", *CACHE),
            "content": ("hit", "alloc", "free", "step", "copy", *CACHE),
            "key": ("hit", "keys", *CACHE),
        },
        ("hit",),
    ),
    Rule(
        "publish",
        "LC415",
        "a block is published by a table that holds it and has fully computed it, under one key; "
        "only published blocks are evicted",
        "The cache promises content that it does not have, or counts a block twice.",
        "Compare when the block is published and which step computes it.",
        {
            "computed": (*HOLD, "store", "step", "copy"),
            "key": ("keys", *CACHE),
            "evicted": CACHE,
        },
        ("store", "evict"),
    ),
    Rule(
        "conservation",
        "LC416",
        "the engine's free blocks are exactly those that no table names and that are not published",
        "Blocks are lost until a restart, or a block is free and in use at once.",
        "Find the last event that changed the holders of the named block.",
        {"free": (*HOLD, *CACHE, "check", "free_ids")},
        ("check event with the free blocks of every pool",),
    ),
    Rule(
        "queues",
        "LC417",
        "every live request is in exactly one of the engine's queues, and no other request is in any",
        "A request that is in no queue is never scheduled again.",
        "Look at the last transition of the request.",
        {"lists": ("submit", "check", *ENDS)},
        ("check event with both queues",),
    ),
    Rule(
        "capacity",
        "LC418",
        "a table has a block for every position that a row reads or writes",
        "The device writes past the table: into memory of another request, or unallocated memory.",
        "Compare the number of allocated blocks with ceil(tokens / block_size).",
        {"room": (*HOLD, "step")},
        ("step",),
    ),
    Rule(
        "computed",
        "LC419",
        "a row starts no later than the end of its table's computed content",
        "Attention reads positions whose KV was never written.",
        "Check how computed tokens are counted after a preemption, a hit or rejected drafts.",
        {"start": (*HOLD, *CACHE, "step", "copy")},
        ("step",),
    ),
    Rule(
        "budget",
        "LC420",
        "a step has at most max_tokens tokens and max_seqs rows, and each row at least one token",
        "The device runs out of memory or of captured graphs; an empty row computes nonsense.",
        "Check how the remaining budget is divided between prompts and decodes.",
        {"tokens": ("step",), "seats": ("step",), "empty": ("step",)},
        ("step",),
    ),
    Rule(
        "length",
        "LC421",
        "a row computes only positions of known tokens and drafts, a row that samples computes the newest "
        "token, and no request gets a token past max or keeps one that no row of the step gave it",
        "A request gets more tokens than its limit, or samples from a position without a token.",
        "Check how tokens of steps in flight are counted.",
        {
            "known": ("submit", "fork", "lengths", "step", "samples", "preempt"),
            "max": ("submit", "fork", "lengths", "step", "samples", "preempt"),
            "newest": ("submit", "fork", "lengths", "step", "samples", "preempt"),
            "kept": ("submit", "fork", "lengths", "step", "samples", "preempt"),
        },
        ("step", "settle"),
    ),
    Rule(
        "once",
        "LC422",
        "a request ends once, is released once, is in a step at most once, and has no events before "
        "or after its life",
        "A client gets an answer twice, a block is freed twice, or a finished request runs on.",
        "Check for a race between finish, abort, preemption and a step in flight.",
        {
            "live": ("submit", "fork"),
            "again": ("submit", "prune", *ENDS),
            "holds": (*HOLD, *ENDS),
            "row": ("step",),
        },
        ("submit", "reject", "alloc", "hit", "fork", "prune", "step", *ENDS, "preempt", "resume"),
    ),
    Rule(
        "phase",
        "LC423",
        "only running requests are preempted, only preempted ones resume, and swapped-out ones "
        "resume before they are in a step",
        "A request is in two queues, or runs without its blocks.",
        "Check the transition of this event.",
        {
            "preempt": ("submit", "step", "alloc", "hit", "preempt", "resume"),
            "resume": ("submit", "preempt", "resume"),
            "row": ("step", "preempt", "resume"),
        },
        ("preempt", "resume", "step"),
    ),
    Rule(
        "ordered",
        "LC424",
        "steps are numbered and settled in order, what waits for a step waits for an issued one, no more than "
        "max_steps_in_flight are in flight, and no access to a block starts before a conflicting one that is not over",
        "The device reads a block while it is overwritten: a race.",
        "Give the later operation a wait, or keep the block until the earlier one is over.",
        {
            "number": ("step",),
            "settle": ("step", "settle"),
            "max_steps_in_flight": ("step", "settle"),
            "fence": (*HOLD, "step", "settle", "waits"),
            "copy": (*HOLD, "step", "settle", "copy", "done", "waits"),
            "done": ("copy", "done"),
        },
        ("step", "settle", "alloc", "copy", "done"),
    ),
    Rule(
        "queue_order",
        "LC425",
        "no waiting request is admitted before one that precedes it in the order that the "
        "header states",
        "A request starves while later ones are served.",
        "Check what the engine does when the head of its queue does not fit.",
        {"passed": ("submit", "step", "preempt", "resume", *ENDS)},
        ("step",),
    ),
    Rule(
        "progress",
        "LC511",
        "while a request is live, tokens are kept: the time without one is bounded by the lengths",
        "The engine is up but no client gets an answer.",
        "`lineclear why` names the guard of each request and the smallest change that frees it.",
        {
            "moves": ("submit", "step", "idle", *ENDS),
            "kept": ("submit", "step", "samples", "lengths", *ENDS),
        },
        ("step", "idle"),
    ),
)

#: Clauses that depend on how many tokens a request has.
COUNTED = (
    "length.known", "length.max", "length.newest", "length.kept", "computed.start", "progress.kept",
)  # fmt: skip
RULES = {row.name: row for row in ROWS}
#: Every clause as `rule.clause`, with what it needs.
CLAUSES = {f"{row.name}.{clause}": needs for row in ROWS for clause, needs in row.clauses.items()}


@dataclass(frozen=True, slots=True)
class RuleCoverage:
    """How far a log allows to check one rule.

    Attributes:
        rule: its name.
        status: checked, partly, unchecked or not stated.
        asked: number of events at which it was checked.
        lacks: what the log omits that it needs, by clause; or why it was not checked.
    """

    rule: str
    status: str
    asked: int
    lacks: tuple[str, ...]


def off(header: Header) -> dict[str, tuple[str, ...]]:
    """Clauses that this log cannot decide, each with what it omits."""
    omitted = set(header.omits)
    found: dict[str, tuple[str, ...]] = {}
    for clause, needs in CLAUSES.items():
        lacks = tuple(need for need in needs if need in omitted)
        if clause == "ordered.fence" and header.stream_ordered:
            lacks = ()
        if header.drafts and "settle" in omitted and clause in COUNTED:
            lacks = (*lacks, "settle")  # which says how many drafts were kept
        if lacks:
            found[clause] = lacks
    return found


def standings(header: Header, counts: Mapping[str, int]) -> list[RuleCoverage]:
    """The standing of each rule, from the number of checked events of each kind."""
    missing = off(header)
    found: list[RuleCoverage] = []
    for rule in ROWS:
        asked = sum(counts.get(kind, 0) for kind in rule.kinds)
        lacks = [
            f"{clause}: the log omits {', '.join(missing[f'{rule.name}.{clause}'])}"
            for clause in rule.clauses
            if f"{rule.name}.{clause}" in missing
        ]
        # Stream-ordered steps need no fence, so that clause does not apply to such an engine.
        asks_nothing = rule.name == "ordered" and header.stream_ordered
        if len(lacks) == len(rule.clauses) - asks_nothing:
            status = "unchecked"
        elif lacks:
            status = "partly"
        elif rule.name == "queue_order" and header.order is None:
            status, lacks = "not stated", ["the header states no order"]
        elif rule.name in ("conservation", "queues") and not asked:
            status, lacks = "unchecked", [f"the log has no {rule.kinds[0]}"]
        else:
            status = "checked"
        found.append(RuleCoverage(rule.name, status, asked, tuple(lacks)))
    return found
