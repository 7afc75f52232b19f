"""Breadth-first search of the action table at small scope, under every choice of the environment.

Guarantees: every state within the bounds is visited once, with a shortest trace from the start
state; the result says whether the bounds were exhausted. It knows nothing about policies: any
action may happen whenever its guard allows it.

A trace is a list of (action, arguments): `r1` is the first request, `s2` the second sequence;
`submit` takes the shape (prompt, limit, parallel) of the request that it makes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lineclear_spec.actions import ACTIONS
from lineclear_spec.concrete import Breach, breaches
from lineclear_spec.ghosts import GhostLedger
from lineclear_spec.ledger import Refused, Request
from lineclear_spec.worlds import BOUNDS, Bounds, Step, Trace

__all__ = [
    "BOUNDS",
    "Bounds",
    "Exploration",
    "Trace",
    "apply",
    "arguments_of",
    "prepare",
    "replay",
    "search",
    "state_key",
]


@dataclass(slots=True)
class Exploration:
    """What a search found."""

    bounds: Bounds
    traces: list[Trace] = field(default_factory=list[Trace])
    transitions: int = 0
    depth: int = 0
    complete: bool = True
    violations: list[tuple[Trace, Breach]] = field(default_factory=list[tuple[Trace, Breach]])
    witnesses: dict[str, Trace] = field(default_factory=dict[str, Trace])
    refusals: dict[tuple[str, str], list[tuple[Trace, Step]]] = field(
        default_factory=dict[tuple[str, str], list[tuple[Trace, Step]]]
    )
    enabled: dict[str, list[tuple[Trace, Step]]] = field(
        default_factory=dict[str, list[tuple[Trace, Step]]]
    )

    @property
    def states(self) -> int:
        """Distinct states."""
        return len(self.traces)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "target": "table",
            "bounds": asdict(self.bounds),
            "states": self.states,
            "transitions": self.transitions,
            "depth": self.depth,
            "complete": self.complete,
            "violations": [
                {"rule": b.rule, "values": b.values, "trace": trace}
                for trace, b in self.violations
            ],
            "witnesses": {name: list(trace) for name, trace in sorted(self.witnesses.items())},
        }


def records(ledger: GhostLedger, arguments: Sequence[Any]) -> tuple[Any, ...]:
    """The arguments of a trace's step as the ledger's own records."""
    found: list[Any] = []
    for argument in arguments:
        if isinstance(argument, str):
            rows: list[Any] = list(ledger.requests if argument[0] == "r" else ledger.sequences)
            found.append(rows[int(argument[1:]) - 1])
        else:
            found.append(argument)
    return tuple(found)


def prepare(ledger: GhostLedger, step: Step) -> tuple[Any, ...]:
    """The arguments of a step as records; a request that the step brings along is made."""
    name, arguments = step
    own = records(ledger, arguments)
    if name in ("submit", "reject") and len(own) == 3:
        return (ledger.new_request(*own),)
    return own


def apply(ledger: GhostLedger, step: Step) -> None:
    """Does one step of a trace.

    Raises:
        Refused: a guard is false.
    """
    ACTIONS[step[0]].body(ledger, *prepare(ledger, step))


def replay(bounds: Bounds, trace: Sequence[Step]) -> GhostLedger:
    """The ledger that a trace leads to."""
    ledger = GhostLedger(bounds.limits())
    for step in trace:
        apply(ledger, step)
    return ledger


def arguments_of(bounds: Bounds, ledger: GhostLedger, name: str) -> Iterator[tuple[Any, ...]]:
    """Every choice of arguments worth a try in this state, sensible or not."""
    sequences = [f"s{s.id}" for s in ledger.sequences[-4:]]
    if name == "submit":
        if len(ledger.waiting) + len(ledger.running) + len(ledger.swapped) < bounds.live:
            yield from bounds.shapes
        return
    if name == "reject":
        yield (1, bounds.max_model_len + 1, 1)
    elif name in ("issue_step", "settle_step", "carry", "retire"):
        yield ()
    elif name == "settle_copy":
        for number in sorted(ledger.operations):
            yield (number,)
    elif name == "append_slots":
        yield from ((s, n) for s in sequences for n in bounds.counts)
    elif name == "schedule_tokens":
        yield from ((s, t, d) for s in sequences for t in bounds.tokens for d in bounds.drafts)
    elif name == "sample":
        for s in sequences:
            drafts = ledger.sequences[int(s[1:]) - 1].drafts
            yield from ((s, ledger.settled, a, max(0, drafts + 1 - a)) for a in bounds.accepted)
    elif name == "fork":
        yield from ((s, 1) for s in sequences)
    elif name == "rejoin":
        yield from ((s, bounds.block_size * n) for s in sequences for n in (1,))
    elif name in ("prune", "copy_on_write", "join_batch", "leave_batch"):
        yield from ((s,) for s in sequences)
    else:
        yield from ((f"r{r.id}",) for r in ledger.requests[-4:])


def absurd_arguments(bounds: Bounds, ledger: GhostLedger, name: str) -> Iterator[tuple[Any, ...]]:
    """Arguments that some guard must refuse, tried in every state but never a transition of the
    search.
    """
    sequences = [f"s{s.id}" for s in ledger.sequences[-3:]]
    big = bounds.gpu_blocks * bounds.block_size
    if name == "submit":
        long = bounds.max_model_len
        yield from (
            (0, 2, 1),
            (2, 1, 1),
            (1, long + 1, 1),
            (1, 2, 0),
            (1, 2, bounds.max_num_seqs + 1),
        )
        yield from ((1, 5, 1), (1, big + 2, 1), (3, long, bounds.max_num_seqs))
        yield from ((f"r{r.id}",) for r in ledger.requests[:2])
    elif name == "settle_copy":
        yield from (
            (number,) for number in range(ledger.issued + 2) if number not in ledger.operations
        )
    elif name == "append_slots":
        yield from ((s, n) for s in sequences for n in (-2, 0, 2, 4))
    elif name == "schedule_tokens":
        yield from (
            (s, t, d)
            for s in sequences
            for t, d in ((1, -1), (0, 0), (1, 1), (2, 1), (3, 2), (2, 0), (3, 0), (4, 0))
        )
    elif name == "sample":
        for s in sequences:
            for step in (ledger.settled, ledger.settled + 1):
                yield from (
                    (s, step, a, r)
                    for a, r in (
                        (1, 0),
                        (1, 1),
                        (2, 0),
                        (1, -1),
                        (2, -1),
                        (3, -1),
                        (1, 2),
                        (2, 2),
                        (4, 0),
                    )
                )
    elif name == "fork":
        yield from ((s, n) for s in sequences for n in (-3, 0, 1, 3))
    elif name == "rejoin":
        yield from ((s, n) for s in sequences for n in (-2, 0, 1, 2, 3, 4))
    elif name in (
        "admit",
        "swap_out",
        "swap_in",
        "recompute",
        "discard_swapped",
        "fail_copy",
        "finish",
        "abort",
        "reject",
    ):
        yield from ((f"r{r.id}",) for r in ledger.requests[:2])


def state_key(ledger: GhostLedger) -> tuple[Any, ...]:
    """What decides the future, with records renumbered by age and clocks relative to now."""
    steps, settled, issued, done = ledger.steps, ledger.settled, ledger.issued, ledger.done
    live = [r for r in ledger.requests if 1 <= r.phase <= 3]
    rank = {r: k for k, r in enumerate(live)}
    labels: dict[Any, int] = {}
    rows: list[Any] = []
    for r in live:
        members = [
            (
                ledger.known(s),
                ledger.reach(s),
                ledger.slots(s),
                ledger.promised(s),
                s.drafts,
                s.steady,
                0 if s.steady else max(s.last_step - settled, 0),
                0 if s.steady or s.last_step <= settled else s.last_tokens,
                0 if s.steady or s.last_step <= settled + 1 else s.previous_tokens,
                max(s.void - settled, 0),
                0 if s.steady or s.last_step <= settled else s.last_samples,
                0 if s.steady or s.last_step <= settled + 1 else s.previous_samples,
                s.late_drafts,
                tuple([labels.setdefault(b, len(labels)) for b in s.table]),
            )
            for s in r.members
        ]
        rows.append(
            (
                int(r.phase), r.prompt, r.limit, r.parallel, tuple(members), r.copy and issued - r.copy + 1,
                max(r.moved - done, 0), tuple([labels[b] for b in r.held]),
            )
        )  # fmt: skip
    operations = [
        (
            issued - n,
            o.kind,
            max(o.wait - done, 0),
            -1 if o.request is None else rank.get(o.request, -2),
        )
        for n, o in sorted(ledger.operations.items())
    ]
    fences = tuple(
        [
            tuple([max(pool.until[p] - done, 0) for p in pool.order[: pool.free]])
            for pool in (ledger.gpu, ledger.cpu)
        ]
    )
    return (
        steps - settled, ledger.step_tokens, ledger.step_sequences, issued - done, issued - ledger.carried,
        max(ledger.barrier - done, 0), tuple(rows), tuple(operations), fences,
        tuple([rank[s.request] for s in ledger.batch]),
    )  # fmt: skip


def sometimes(ledger: GhostLedger) -> Iterator[str]:
    """Situations that a search ought to reach."""
    live: list[Request] = [*ledger.running, *ledger.swapped, *ledger.waiting]
    if any(b.ref > 1 for r in ledger.swapped for b in r.held):
        yield "a shared block is swapped out"
    if ledger.steps - ledger.settled == 2:
        yield "two steps are in flight"
    if ledger.gpu.free == 0 and ledger.cpu.free == 0:
        yield "both pools are full"
    if any(s.promised_samples and r.phase != 2 for r in live for s in r.members):
        yield "a preempted request is owed a sample"
    if any(s.void for r in live for s in r.members):
        yield "samples are void after a failed copy"
    if any(o.kind == "forward" and o.wait > ledger.done for o in ledger.operations.values()):
        yield "a step waits for a fence or a copy"
    if any(b.ref > 1 for r in live for b in r.held):
        yield "a block is shared"


def search(bounds: Bounds, *, check: bool = True, collect: bool = False) -> Exploration:
    """Visits every state within the bounds.

    Args:
        bounds: scope.
        check: evaluate every invariant in every state.
        collect: also note where each action is enabled, and where a single guard refuses it (for
            mutants).
    """
    found = Exploration(bounds)
    seen = {state_key(replay(bounds, bounds.start))}
    found.traces.append(bounds.start)
    queue: deque[Trace] = deque([bounds.start])
    names = [name for name in ACTIONS if name not in bounds.leave_out]
    while queue:
        trace = queue.popleft()
        ledger = replay(bounds, trace)
        found.depth = max(found.depth, len(trace))
        if check:
            found.violations += [(trace, breach) for breach in breaches(ledger)]
        for name in sometimes(ledger):
            found.witnesses.setdefault(name, trace)
        for name in names:
            for arguments in arguments_of(bounds, ledger, name):
                step = (name, arguments)
                if name in ("submit", "reject"):
                    after = replay(bounds, trace)
                    try:
                        apply(after, step)
                    except Refused:
                        continue
                else:
                    failing = ledger.failing(name, records(ledger, arguments))
                    if collect and len(failing) == 1:
                        note(found.refusals, (name, failing[0]), (trace, step))
                    if failing:
                        continue
                    after = replay(bounds, trace)
                    apply(after, step)
                found.transitions += 1
                longer = (*trace, step)
                found.witnesses.setdefault(name, longer)
                if collect:
                    note(found.enabled, name, (trace, step))
                key = state_key(after)
                if key in seen:
                    continue
                if found.states >= bounds.max_states:
                    found.complete = False
                    continue
                seen.add(key)
                found.traces.append(longer)
                queue.append(longer)
            if collect:
                try_absurd(found, ledger, trace, name)
    return found


def note(
    index: dict[Any, list[tuple[Trace, Step]]], key: Any, row: tuple[Trace, Step], most: int = 12
) -> None:
    """Keeps the first few rows of each kind, and the last few."""
    rows = index.setdefault(key, [])
    if len(rows) >= 2 * most:
        del rows[most]
    rows.append(row)


def try_absurd(found: Exploration, ledger: GhostLedger, trace: Trace, name: str) -> None:
    """Notes where one guard alone refuses nonsense."""
    for arguments in absurd_arguments(found.bounds, ledger, name):
        own = records(ledger, arguments)
        if len(own) == 3 and name == "submit":
            own = (Request(-1, *own),)
        failing = ledger.failing(name, own)
        if len(failing) == 1:
            note(found.refusals, (name, failing[0]), (trace, (name, arguments)))
