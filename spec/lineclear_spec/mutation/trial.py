"""Broken tables tried out: where does a mutant, executed on a concrete ledger, break a named rule?

Guarantees: what is reported was executed. *Reachable* evidence is a shortest trace found from the start state; where
none was found, a counter of one sequence is changed in a reachable state such that every invariant still holds, and
the broken action is executed there: that state may be unreachable, and the evidence says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from lineclear_spec.invariants import INVARIANTS
from lineclear_spec.kernel.records import Broken, Refused
from lineclear_spec.modelcheck import enabled
from lineclear_spec.modelcheck.choices import absurd_arguments, arguments_of
from lineclear_spec.modelcheck.concrete import breaches
from lineclear_spec.modelcheck.explore import (
    Exploration,
    as_asked,
    broken_by,
    perform,
    prepare,
    records,
    replay,
    search,
)
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.modelcheck.worlds import BOUNDS, Bounds, Step, Trace
from lineclear_spec.mutation.mutants import Mutant, installed
from lineclear_spec.parallel import in_parallel

#: block step -> actions that run it
USED_BY: dict[str, tuple[str, ...]] = {
    "allocate_gpu": (
        "admit",
        "admit_cached",
        "append_slots",
        "issue_step",
        "copy_on_write",
        "swap_in",
    ),
    "take_blocks": ("admit", "admit_cached", "append_slots"),
    "share_cached": ("admit_cached",),
    "seal_entry": ("publish",),
    "seal_entries": ("publish_run",),
    "free_resting": ("evict",),
    "let_go": ("prune", "finish", "recompute", "discard_swapped"),
    "give_each_one": ("issue_step",),
    "give_each": ("issue_step",),
    "share_table": ("fork", "rejoin"),
    "clear_table": ("prune",),
    "clear_tables": ("finish", "recompute", "discard_swapped"),
    "clear_each": ("finish_each",),
    "end_in_batch": ("finish_each",),
    "move_blocks": ("swap_out", "swap_in"),
    "replace_entry": ("copy_on_write",),
    "forget_computed": ("finish", "recompute", "discard_swapped"),
}
COUNTERS = (
    "own_tokens own_dispatched own_slots own_samples last_tokens "
    "previous_tokens last_step drafts void last_samples previous_samples late_drafts"
).split()
#: States of each world that are looked through for a guard that is off by one.
NEAREST = 300
#: What another request may do between the end of a trace and the step that is to be recorded.
BETWEEN = ("submit", "admit", "schedule_tokens", "issue_step", "swap_out")
#: Cases of each world that are tried with another request in between.
CASES = 3
Tweak = tuple[str, str, int]
Tweaks = tuple[Tweak, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """An execution that breaks a rule.

    Attributes:
        rule: the invariant's clause, `ACTION ensures PART`, or `definedness`.
        what: for which values, or the error.
        bounds: name of the world that it happens in.
        trace: from the start state; the last action is the broken one.
        broken: every invariant that does not hold afterwards.
        tweaks: (sequence, counter, value) written before the last action; none if the trace is reachable.
    """

    rule: str
    what: str
    bounds: str
    trace: Trace
    tweaks: Tweaks = ()
    broken: tuple[str, ...] = ()


def attempt(
    bounds: Bounds, trace: Trace, step: Step, mutant: Mutant, tweaks: Tweaks = ()
) -> Evidence | None:
    """Executes the broken action once; the rule that it breaks, or None.

    Args:
        bounds: the world.
        trace: actions before it.
        step: the action.
        mutant: the broken table.
        tweaks: fields that are changed before it.
    """
    if mutant.kind == "guard strengthened":
        return refused(bounds, trace, step, mutant)
    ledger = replay(bounds, trace)
    write(ledger, tweaks)
    with installed(mutant) as body:
        try:
            found = broken_by(ledger, step, prepare(ledger, step), body)
        except Refused:
            return None
    if not found:
        return None
    invariants = dict.fromkeys(breach.rule.split(".")[0] for breach in found)
    return Evidence(
        found[0].rule,
        ", ".join(found[0].values),
        bounds.name,
        (*trace, step),
        tweaks,
        tuple(name for name in invariants if name in INVARIANTS),
    )


def refused(bounds: Bounds, trace: Trace, step: Step, mutant: Mutant) -> Evidence | None:
    """Whether the broken action refuses what would break nothing: a guard is to be no stronger
    than what its effect needs.

    Args:
        bounds: the world.
        trace: actions before it.
        step: the action.
        mutant: the table with a guard made stronger.
    """
    ledger = replay(bounds, trace)
    with installed(mutant) as body:
        try:
            perform(ledger, step, prepare(ledger, step), body)
        except Refused as refusal:
            guard = refusal.guard
        else:
            return None
    ledger = replay(bounds, trace)
    try:
        if broken_by(ledger, step, prepare(ledger, step)):
            return None
    except Refused:
        return None  # and the table refuses it too
    what = f"refused ({guard}), though it breaks nothing"
    return Evidence("enabledness", what, bounds.name, (*trace, step))


def write(ledger: GhostLedger, tweaks: Tweaks) -> Tweaks:
    """Changes counters of sequences; the writes that undo it."""
    undo: list[Tweak] = []
    for name, counter, value in tweaks:
        (sequence,) = records(ledger, (name,))
        undo.append((name, counter, getattr(sequence, counter)))
        setattr(sequence, counter, value)
    return tuple(undo)


def explorations(workers: int | None = None, states: int | None = None) -> list[Exploration]:
    """The small worlds, searched; not beyond so many states of each, if that is given."""
    worlds = [replace(b, max_states=min(states or b.max_states, b.max_states)) for b in BOUNDS]
    return list(in_parallel(partial(search, check=False, collect=True), worlds, workers))


class Worlds(Collection[Exploration]):
    """The small worlds in their order, each searched when it is first needed, once."""

    def __init__(self) -> None:
        self.searched: list[Exploration] = []

    def __len__(self) -> int:
        return len(BOUNDS)

    def __contains__(self, world: object) -> bool:
        return any(world is other for other in self)

    def __iter__(self) -> Iterator[Exploration]:
        for k, bounds in enumerate(BOUNDS):
            if k == len(self.searched):
                self.searched.append(search(bounds, check=False, collect=True))
            yield self.searched[k]


def candidates(
    mutant: Mutant, found: Iterable[Exploration]
) -> Iterator[tuple[Bounds, Trace, Step]]:
    """Where the mutant differs from the table, in the order of the searches; for a stronger guard the
    recorded steps of its action, by which `lineclear check` would notice it too.
    """
    if mutant.kind == "guard strengthened":
        yield from (record for record in enabled.read() if record[2][0] == mutant.function)
        return
    for exploration in found:
        if mutant.guard:
            for trace, step in exploration.refusals.get((mutant.function, mutant.text), ()):
                yield exploration.bounds, trace, step
        else:
            for name in USED_BY.get(mutant.function, (mutant.function,)):
                for trace, step in exploration.enabled.get(name, ()):
                    yield exploration.bounds, trace, step


def nearby(mutant: Mutant, found: Iterable[Exploration]) -> Iterator[tuple[Bounds, Trace, Step]]:
    """Every choice of arguments in the nearest states, for guards that a search's cases miss by
    one; the world's largest request among them.
    """
    name = mutant.function
    for exploration in found:
        bounds = exploration.bounds
        for trace in exploration.traces[:NEAREST]:
            ledger = replay(bounds, trace)
            tried = [*arguments_of(bounds, ledger, name), *absurd_arguments(bounds, ledger, name)]
            if name == "submit":
                tried.append((1, bounds.max_model_len, 1))
                tried.append((2, 2, 1))
            for arguments in dict.fromkeys(tried):
                yield bounds, trace, (name, arguments)


def good_tweaks(
    mutant: Mutant, found: Iterable[Exploration]
) -> Iterator[tuple[Bounds, Trace, Step, Tweaks]]:
    """States a few counters away from a reachable one, in which every invariant holds and only the
    dropped guard refuses.
    """
    for exploration in found:
        if not exploration.bounds.start:
            continue
        bounds = exploration.bounds
        for trace in exploration.traces[:6]:
            ledger = replay(bounds, trace)
            steps = [
                (mutant.function, arguments)
                for make in (arguments_of, absurd_arguments)
                for arguments in make(bounds, ledger, mutant.function)
                if arguments and isinstance(arguments[0], str)
            ]
            writes = list(changes(ledger))
            for step in dict.fromkeys(steps):
                own = records(ledger, step[1])
                for size in (1, 2):
                    for tweaks in itertools.combinations(writes, size):
                        if size == 2 and tweaks[0][:2] == tweaks[1][:2]:
                            continue
                        undo = write(ledger, tweaks)
                        try:
                            fits = ledger.failing(step[0], own) == (mutant.text,) and not breaches(
                                ledger
                            )
                        except (IndexError, Broken):
                            fits = False  # no good state: what a guard asks is not defined there
                        write(ledger, undo)
                        if fits:
                            yield bounds, trace, step, tweaks


def changes(ledger: GhostLedger) -> Iterator[Tweak]:
    """One counter of one living sequence, a little more or less."""
    for sequence in ledger.sequences:
        if sequence.alive:
            for name in COUNTERS:
                value = getattr(sequence, name)
                for other in sorted({-1, 0, value - 1, value + 1, value + 2} - {value}):
                    yield f"s{sequence.id}", name, other


def allowed(mutant: Mutant, found: Collection[Exploration]) -> Evidence | None:
    """A shortest step of the searches that a stronger guard refuses: one to be recorded."""
    seen = [
        (exploration.bounds, trace, step)
        for exploration in found
        for trace, step in exploration.enabled.get(mutant.function, ())
    ]
    shortest = sorted(seen, key=lambda row: len(row[1]))
    cases = itertools.chain(shortest, detours(mutant, found), nearby(mutant, found))
    return first_of(mutant, ((*case, ()) for case in cases))


def detours(mutant: Mutant, found: Iterable[Exploration]) -> Iterator[tuple[Bounds, Trace, Step]]:
    """Where the action is allowed as a search shows it, after another request came in between."""
    for exploration in found:
        bounds = replace(exploration.bounds, live=exploration.bounds.live + 1)
        for trace, step in exploration.enabled.get(mutant.function, ())[:CASES]:
            level: list[Trace] = [trace]
            for _ in BETWEEN:
                level = [
                    (*before, (name, arguments))
                    for before in level
                    for ledger in (replay(bounds, before),)
                    for name in BETWEEN
                    for arguments in arguments_of(bounds, ledger, name)
                    if not ledger.failing(name, as_asked(ledger, (name, arguments)))
                ]
                for longer in level:
                    ledger = replay(bounds, longer)
                    if not ledger.failing(mutant.function, as_asked(ledger, step)):
                        yield exploration.bounds, longer, step


def try_mutant(mutant: Mutant, found: Collection[Exploration]) -> Evidence | None:
    """The first execution that breaks a rule, reachable if there is one."""
    cases: Iterable[tuple[Bounds, Trace, Step, Tweaks]]
    cases = ((*case, ()) for case in candidates(mutant, found))
    # The guards of a reordered one hold together wherever the table's do.
    if mutant.guard and not mutant.reordered and mutant.kind != "guard strengthened":
        near = nearby(mutant, found) if mutant.variant else ()
        cases = itertools.chain(cases, ((*case, ()) for case in near), good_tweaks(mutant, found))
    return first_of(mutant, cases)


def first_of(
    mutant: Mutant, cases: Iterable[tuple[Bounds, Trace, Step, Tweaks]]
) -> Evidence | None:
    """What the first of the cases shows in which a rule is broken."""
    tried = (attempt(bounds, trace, step, mutant, tweaks) for bounds, trace, step, tweaks in cases)
    return next((evidence for evidence in tried if evidence is not None), None)


def try_all(
    mutants: Iterable[Mutant], workers: int | None = None, states: int | None = None
) -> dict[str, Evidence]:
    """Evidence for each mutant that breaks a rule, by name; from the first states of each world alone, if
    it is given how many.
    """
    found = explorations(workers, states)
    chosen = list(mutants)
    results = in_parallel(partial(try_mutant, found=found), chosen, workers)
    return {
        m.name: evidence
        for m, evidence in zip(chosen, results, strict=True)
        if evidence is not None
    }
