"""Why requests do not progress: the first false guard of each, and what would lift it.

Guarantees: a guard is named only if its numbers make it false; waiting is called useless only
where the guard is false even if every other request ended now, and whenever this one ends. It judges a
snapshot: an engine may have further guards, and where a request has everything it needs, the report
says so. docs/event_log.md defines the words of a log.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from lineclear.conform.state import PREEMPTED, RUNNING, SWAPPED, WAITING
from lineclear.monitor.relief import CANNOT_HELP, HELPS, NOTHING, Relief, relief

#: What can block a request: the name of a guard, and what holds while the guard is false.
GUARDS = {
    "in_no_queue": "no queue of the engine names it",
    "open_copy": "a copy of its blocks is not done",
    "commit": "a step that computes for it is not committed",
    "too_long": "it needs more blocks than the pool has, even alone",
    "may_grow_too_long": "with all the tokens that it may generate it needs more blocks than the pool has",
    "lost": "too few blocks are left: some are neither held nor free",
    "too_wide": "it has more sequences than a step may have rows",
    "too_large": "its prompt is not chunked and exceeds max_tokens, even alone",
    "head_of_line": "a request before it in the order is waiting too",
    "blocks": "too few blocks are free",
    "seats": "too many sequences run",
    "tokens": "running requests use up the tokens of a step",
    "none": "it has everything it needs",
}

#: The phases of a live request.
PHASES = (WAITING, RUNNING, PREEMPTED, SWAPPED)


@dataclass(frozen=True, slots=True)
class RequestState:
    """A live request.

    Attributes:
        request_id: its id.
        phase: waiting, running, preempted or swapped.
        num_tokens: number of tokens of its longest sequence, prompt included.
        num_computed_tokens: how many of these have KV.
        blocks: number of blocks of the default pool that its tables name.
        alone: how many of these no other request names.
        limit: maximum number of tokens of a sequence, prompt included; it may end earlier. None if unknown.
        seats: number of its sequences.
        width: maximum number of sequences.
        elsewhere: blocks of other pools that it names.
        place: its place in the order; smaller is earlier.
        in_flight: whether an unsettled step computes for it.
        copy: a copy of its blocks that is not done, or None.
        queued: whether a queue of the engine names it.
        still: engine calls since it last kept a token, or since it was submitted.
    """

    request_id: Hashable
    phase: str
    num_tokens: int
    num_computed_tokens: int = 0
    blocks: int = 0
    alone: int = 0
    limit: int | None = None
    seats: int = 1
    width: int = 1
    elsewhere: int = 0
    place: tuple[int, ...] = ()
    in_flight: bool = False
    copy: int | None = None
    queued: bool = True
    still: int = 0

    def __post_init__(self) -> None:
        """Rejects an unknown phase."""
        if self.phase not in PHASES:
            raise ValueError(
                f"{self.request_id!r} has the phase {self.phase!r}; known: {', '.join(PHASES)}"
            )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An engine at one moment.

    Attributes:
        blocks: number of blocks of the default pool.
        block_size: tokens per block.
        free: blocks that the engine may allocate at once.
        cached: published blocks that no table names, which it may evict.
        requests: the live ones.
        max_seqs: maximum number of sequences in a step, None for no limit.
        max_tokens: maximum number of tokens in a step, None for no limit.
        chunk: minimum prompt tokens of a step, None for no minimum.
        whole_prompts: whether a prompt is computed in one step.
        in_flight: steps that are not settled.
        open_copies: copies that are not done.
        ordered: whether the waiting queue is served strictly in order.
        idle: calls in a row that scheduled nothing while nothing was in flight.
        dry: calls in a row without a kept token.
        leaving: blocks of requests that have ended and still hold them.
        held: blocks that some table names, those of ended requests included; the sum over the
            requests if None, which counts shared ones several times.
        patience: idle calls before they count as a standstill.
    """

    blocks: int
    block_size: int
    free: int
    requests: tuple[RequestState, ...]
    cached: int = 0
    max_seqs: int | None = None
    max_tokens: int | None = None
    chunk: int | None = None
    whole_prompts: bool = False
    in_flight: int = 0
    open_copies: tuple[int, ...] = ()
    ordered: bool = False
    idle: int = 0
    dry: int = 0
    leaving: int = 0
    held: int | None = None
    patience: int = 5

    def need(self, tokens: int) -> int:
        """Number of blocks for this many positions."""
        return -(-tokens // self.block_size)


@dataclass(frozen=True, slots=True)
class Stuck:
    """Why one request does not progress.

    Attributes:
        request: the request.
        guard: a key of `GUARDS`: the first guard that is false, "none" if none is.
        figures: the values that the guard compares.
        relief: the smallest change that makes the guard true.
        waiting: whether waiting can make it true: HELPS, CANNOT_HELP or NOTHING (nothing to wait for).
    """

    request: RequestState
    guard: str
    figures: dict[str, int | str]
    relief: Relief
    waiting: str

    def json(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "request_id": str(self.request.request_id),
            "phase": self.request.phase,
            "holds": self.request.blocks,
            "num_computed_tokens": self.request.num_computed_tokens,
            "num_tokens": self.request.num_tokens,
            "still": self.request.still,
            "guard": self.guard,
            "because": GUARDS[self.guard],
            "figures": self.figures,
            "relief": self.relief.json(),
            "waiting": self.waiting,
        }


@dataclass(frozen=True, slots=True)
class Why:
    """The report.

    Attributes:
        snapshot: the snapshot.
        requests: one row for each live request, in the snapshot's order.
    """

    snapshot: Snapshot
    requests: tuple[Stuck, ...]

    @property
    def standstill(self) -> bool:
        """Whether nothing progresses: requests are live, and repeated calls do nothing."""
        snapshot = self.snapshot
        return bool(snapshot.requests) and snapshot.idle > snapshot.patience

    def hopeless(self) -> list[Stuck]:
        """Requests that waiting cannot help."""
        return [row for row in self.requests if row.waiting == CANNOT_HELP]

    @property
    def blocked(self) -> bool:
        """Whether no live request can progress: a standstill, or waiting can help none."""
        return self.standstill or 0 < len(self.requests) == len(self.hopeless())

    def json(self) -> dict[str, Any]:
        """JSON form."""
        snapshot = self.snapshot
        return {
            "standstill": self.standstill,
            "idle_calls": snapshot.idle,
            "calls_without_a_token": snapshot.dry,
            "steps_in_flight": snapshot.in_flight,
            "open_copies": list(snapshot.open_copies),
            "blocks": {
                "total": snapshot.blocks,
                "free": snapshot.free,
                "cached": snapshot.cached,
                "held_by_ended_requests": snapshot.leaving,
            },
            "requests": [row.json() for row in self.requests],
        }


def why(snapshot: Snapshot) -> Why:
    """The first false guard of each live request."""
    return Why(snapshot, tuple(judge(snapshot, request) for request in snapshot.requests))


def judge(snapshot: Snapshot, request: RequestState) -> Stuck:
    """The first false guard of one request."""
    for look in (blocked_by_operation, blocked_forever, blocked_by_order, blocked_by_room):
        found = look(snapshot, request)
        if found is not None:
            return found
    if snapshot.idle <= snapshot.patience:
        return Stuck(request, "none", {}, Relief("nothing is missing"), HELPS)
    # It may end before its last token, so a pool that is too small for all of them is a reason only
    # where the engine does not serve it although it could.
    # the last one needs no KV
    last = request.num_tokens if request.limit is None else request.limit - 1
    needs = snapshot.need(last)
    if needs > snapshot.blocks and request.phase != RUNNING:
        figures: dict[str, int | str] = {"needs": needs, "total": snapshot.blocks}
        change = Relief("blocks", needs - snapshot.blocks)
        return Stuck(request, "may_grow_too_long", figures, change, NOTHING)
    change = Relief("nothing is missing: a rule of the engine itself blocks it")
    return Stuck(request, "none", {}, change, NOTHING)


def blocked_by_operation(snapshot: Snapshot, request: RequestState) -> Stuck | None:
    """Operations that must complete first."""
    if not request.queued:
        return Stuck(
            request, "in_no_queue", {}, Relief("abort it and submit it again"), CANNOT_HELP
        )
    if request.copy is not None:
        figures: dict[str, int | str] = {"copy": request.copy}
        return Stuck(request, "open_copy", figures, Relief("the copy is done"), HELPS)
    if request.in_flight:
        figures = {"steps": snapshot.in_flight}
        return Stuck(request, "commit", figures, Relief("the step is committed"), HELPS)
    return None


def blocked_forever(snapshot: Snapshot, request: RequestState) -> Stuck | None:
    """Guards that are false even if every other request ended now.

    A live request needs KV of all its tokens before it samples the next one.
    """
    needs = snapshot.need(request.num_tokens)
    gone = lost(snapshot)
    figures: dict[str, int | str] = {"needs": needs, "total": snapshot.blocks}
    if needs > snapshot.blocks:
        change = Relief("blocks", needs - snapshot.blocks)
        return Stuck(request, "too_long", figures, change, CANNOT_HELP)
    if needs > snapshot.blocks - gone:
        change = Relief("blocks", needs - (snapshot.blocks - gone))
        return Stuck(request, "lost", {**figures, "lost": gone}, change, CANNOT_HELP)
    most = snapshot.max_seqs
    # it may end before it forks
    rows = request.seats if request.phase == RUNNING else request.width
    if most is not None and rows > most:
        figures = {"needs": rows, "max_seqs": most}
        return Stuck(request, "too_wide", figures, Relief("seats", rows - most), CANNOT_HELP)
    budget = snapshot.max_tokens
    left = request.num_tokens - request.num_computed_tokens
    if snapshot.whole_prompts and budget is not None and left > budget:
        figures = {"needs": left, "max_tokens": budget}
        return Stuck(request, "too_large", figures, Relief("tokens", left - budget), CANNOT_HELP)
    return None


def lost(snapshot: Snapshot) -> int:
    """Blocks that no table names and that the engine does not list as free."""
    held = snapshot.held
    if held is None:
        held = snapshot.leaving + sum(r.blocks for r in snapshot.requests)
    return max(0, snapshot.blocks - snapshot.free - snapshot.cached - held)


def blocked_by_order(snapshot: Snapshot, request: RequestState) -> Stuck | None:
    """Whether another request precedes it, where the engine serves strictly in order."""
    if not snapshot.ordered or request.phase in (RUNNING, SWAPPED):
        return None
    queue = [r for r in snapshot.requests if r.phase in (WAITING, PREEMPTED)]
    first = min(queue, key=lambda r: r.place)  # not empty: the request is one of them
    if first is request:
        return None
    return Stuck(
        request,
        "head_of_line",
        {"behind": str(first.request_id)},
        Relief("the request before it progresses", 0),
        HELPS,
    )


def blocked_by_room(snapshot: Snapshot, request: RequestState) -> Stuck | None:
    """Blocks, rows and tokens, in this order."""
    others = [r for r in snapshot.requests if r is not request]
    running = request.phase == RUNNING
    tokens = request.num_tokens
    if snapshot.chunk is not None:
        tokens = min(tokens, request.num_computed_tokens + snapshot.chunk)
    needs = max(snapshot.need(tokens), request.elsewhere) - request.blocks
    there = snapshot.free + snapshot.cached
    if needs > there:
        figures: dict[str, int | str] = {
            "needs": needs,
            "free": snapshot.free,
            "cached": snapshot.cached,
        }
        if lost(snapshot):
            figures["lost"] = lost(snapshot)
        if snapshot.leaving:
            figures["held_by_ended_requests"] = snapshot.leaving
        change = relief("blocks", needs - there, [(r.request_id, r.alone) for r in others])
        return Stuck(request, "blocks", figures, change, HELPS)
    # Of tokens too: each sequence that runs computes at least one token in a step.
    taken = sum(r.seats for r in others if r.phase == RUNNING)
    if snapshot.max_seqs is not None and not running and taken + request.seats > snapshot.max_seqs:
        change = relief(
            "seats",
            taken + request.seats - snapshot.max_seqs,
            [(r.request_id, r.seats) for r in others if r.phase == RUNNING],
        )
        figures = {"needs": request.seats, "taken": taken, "max_seqs": snapshot.max_seqs}
        return Stuck(request, "seats", figures, change, HELPS)
    wants = (
        request.num_tokens - request.num_computed_tokens
        if snapshot.whole_prompts and not running
        else 1
    )
    if snapshot.max_tokens is not None and not running and taken + wants > snapshot.max_tokens:
        change = relief(
            "tokens",
            taken + wants - snapshot.max_tokens,
            [(r.request_id, r.seats) for r in others if r.phase == RUNNING],
        )
        figures = {"needs": wants, "used": taken, "max_tokens": snapshot.max_tokens}
        return Stuck(request, "tokens", figures, change, HELPS)
    return None


def lines(report: Why, most: int = 12) -> list[str]:
    """The report as text; shows the first `most` requests, longest-waiting first."""
    snapshot = report.snapshot
    text: list[str] = []
    if report.standstill:
        text.append(
            f"STANDSTILL: {len(snapshot.requests)} requests are live and nothing was scheduled in "
            f"{snapshot.idle} calls"
        )
    elif not snapshot.requests:
        text.append("no request is live")
    else:
        text.append(f"{len(snapshot.requests)} requests are live")
    text.append(
        f"{snapshot.in_flight} steps in flight, {len(snapshot.open_copies)} copies not done; the last "
        f"token was kept {snapshot.dry} calls ago"
    )
    ended = f", {snapshot.leaving} held by ended requests" if snapshot.leaving else ""
    text.append(
        f"{snapshot.free} of {snapshot.blocks} blocks free, {snapshot.cached} cached{ended}"
    )
    rows = sorted(report.requests, key=lambda row: -row.request.still)
    for row in rows[:most]:
        request = row.request
        figures = ", ".join(f"{name} {value}" for name, value in row.figures.items())
        text += [
            f"{request.request_id!r} {request.phase}, holds {request.blocks} blocks, "
            f"{request.num_computed_tokens} of {request.num_tokens} tokens computed, no token kept for {request.still} "
            "calls",
            f"  {row.guard}: {GUARDS[row.guard]}" + (f" ({figures})" if figures else ""),
            f"  smallest change: {row.relief.sentence()}",
            f"  waiting: {row.waiting}",
        ]
    if len(rows) > most:
        text.append(f"... and {len(rows) - most} more")
    return text
