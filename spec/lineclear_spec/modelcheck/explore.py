"""Breadth-first search of the action table at small scope, under every choice of the environment.

Guarantees: every state (up to `state_key`) that is reached within the bounds through states without a violation is
visited once, with a shortest trace; the result says whether the bounds were exhausted.

A trace is a list of (action, arguments): `r1` is the first request, `s2` the second sequence; `submit` takes the
shape (prompt, limit, parallel) of the request that it makes. To take a step, `prepare` makes records of its
arguments, `failing` asks the guards (of what `as_asked` makes beside the ledger), `perform` runs the action.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel.records import Refused, Request
from lineclear_spec.modelcheck.choices import absurd_arguments, arguments_of
from lineclear_spec.modelcheck.concrete import Breach, breaches, violated_postconditions
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.modelcheck.keys import state_key
from lineclear_spec.modelcheck.kv_concrete import Executed, kv_breaches, step_breaches
from lineclear_spec.modelcheck.situations import states_shown, transitions_shown
from lineclear_spec.modelcheck.snapshot import ConcreteView
from lineclear_spec.modelcheck.worlds import Bounds, Step, Trace
from lineclear_spec.postconditions import POSTCONDITIONS

#: What comes from outside: a ledger in which nothing else may happen stands still. A request that has
#: not learned all its tokens is finished from outside as well, and readers come from there.
OUTSIDE = frozenset({"submit", "reject", "abort", "finish", "hold_block", "release_block"})
#: One state in so many is looked at for KV, whose clauses cost more than all others.
KV_EVERY = 16
#: What an action that its guards allow, and that fails, does not keep.
CRASH = "an action that its guards allow comes to its end"


@dataclass(slots=True)
class Exploration:
    """What a search found.

    Attributes:
        bounds: scope.
        traces: a shortest trace to each state.
        transitions: actions that were done.
        depth: of the longest of these traces.
        complete: whether no state was left out for `bounds.max_states`.
        violations: each with the trace to it.
        stuck: traces to states in which a request lives and nothing is allowed but what comes from outside.
        witnesses: sentence of a situation, or name of an action -> the first trace that shows it.
        refusals: (action, guard) -> cases in which this guard alone refuses, if they were collected.
        enabled: action -> cases in which it is allowed, if they were collected.
    """

    bounds: Bounds
    traces: list[Trace] = field(default_factory=list[Trace])
    transitions: int = 0
    depth: int = 0
    complete: bool = True
    violations: list[tuple[Trace, Breach]] = field(default_factory=list[tuple[Trace, Breach]])
    stuck: list[Trace] = field(default_factory=list[Trace])
    witnesses: dict[str, Trace] = field(default_factory=dict[str, Trace])
    refusals: dict[tuple[str, str], list[tuple[Trace, Step]]] = field(
        default_factory=dict[tuple[str, str], list[tuple[Trace, Step]]]
    )
    enabled: dict[str, list[tuple[Trace, Step]]] = field(
        default_factory=dict[str, list[tuple[Trace, Step]]]
    )

    @property
    def states(self) -> int:
        """Number of distinct states."""
        return len(self.traces)


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
    if name in ("submit", "reject") and len(own) >= 3:
        prompt, limit, parallel = own[:3]
        return (ledger.new_request(prompt, limit, parallel, names_of(ledger, own)),)
    return own


def names_of(ledger: GhostLedger, shape: Sequence[Any]) -> tuple[int, ...]:
    """Names of the blocks of a request of a shape. Its fourth number is a kind: requests of one kind have the same
    tokens, and names from 100 * (kind - 1) + 1 on; kind 0 has no names. Worlds have fewer than 100 blocks.
    """
    kind = shape[3] if len(shape) > 3 else 0
    full = ledger.limits.max_model_len // ledger.limits.block_size if kind else 0
    return tuple([100 * (kind - 1) + k + 1 for k in range(full)])


def apply(ledger: GhostLedger, step: Step) -> None:
    """Does one step of a trace.

    Raises:
        Refused: a guard is false.
    """
    perform(ledger, step, prepare(ledger, step))


def apply_watched(ledger: GhostLedger, step: Step) -> list[Breach]:
    """Does one step of a trace, and returns what the theorem of KV and the refinement say of it that is false."""
    own = prepare(ledger, step)
    before = ConcreteView(ledger)
    made = perform(ledger, step, own)
    return step_breaches(Executed(step[0], before, ConcreteView(ledger), own, made))


def perform(
    ledger: GhostLedger,
    step: Step,
    own: tuple[Any, ...],
    body: Callable[..., Any] | None = None,
) -> Any:
    """Does one step with its records. A request with names has all of them from the beginning, those of its output
    too: names that are given late are searched by the tests of `Ledger.name_blocks` and of the scheduler alone.

    Args:
        ledger: that changes.
        step: what is done.
        own: its arguments as records.
        body: stands in for the action.
    """
    made = (body or ACTIONS[step[0]].body)(ledger, *own)
    if step[0] == "submit" and made.request.prompt_names:
        ledger.name_blocks(made, made.request.prompt_names[len(made.block_names) :])
    return made


def broken_by(
    ledger: GhostLedger,
    step: Step,
    own: tuple[Any, ...],
    body: Callable[..., Any] | None = None,
    *,
    kv: bool = False,
) -> list[Breach]:
    """Does one step, and returns the first kind of rule that it breaks: it fails, or invariants are false, or what it
    ensures is, or the theorem of KV.

    Args:
        ledger: that changes.
        step: what is done.
        own: its arguments as records.
        body: stands in for the action.
        kv: whether KV is looked at too.

    Raises:
        Refused: a guard is false.
    """
    before = ConcreteView(ledger)
    try:
        made = perform(ledger, step, own, body)
    except Refused:
        raise
    except Exception as error:  # whatever a broken table runs into is the finding
        return [Breach("definedness", CRASH, (f"{type(error).__name__}: {error}",))]
    if found := breaches(ledger):
        return found
    after = ConcreteView(ledger)
    parts = POSTCONDITIONS[step[0]](before, after, *own, made)
    found = [
        replace(breach, rule=f"{step[0]} ensures {breach.rule}")
        for breach in violated_postconditions(parts, before, after)
    ]
    if kv and not found:
        found = step_breaches(Executed(step[0], before, after, own, made)) or kv_breaches(ledger)
    return found


def replay(bounds: Bounds, trace: Sequence[Step]) -> GhostLedger:
    """The ledger that a trace leads to."""
    ledger = GhostLedger(bounds.limits())
    for step in trace:
        apply(ledger, step)
    return ledger


def start_of(bounds: Bounds) -> Trace:
    """The trace to a world's start, up to the first state that breaks an invariant, where a search finds it: what
    follows may be refused.
    """
    ledger = GhostLedger(bounds.limits())
    for number, step in enumerate(bounds.start):
        if breaches(ledger):
            return bounds.start[:number]
        apply(ledger, step)
    return bounds.start


def nearest(bounds: Bounds) -> list[Trace]:
    """The traces that a search finds, in its order; what leads on from the last of them is not looked at."""
    return search(bounds, check=False, until_full=True).traces


def search(
    bounds: Bounds, *, check: bool = True, collect: bool = False, until_full: bool = False
) -> Exploration:
    """Visits every state within the bounds.

    Args:
        bounds: scope.
        check: evaluate every invariant in every state, and look for states that are stuck: a request
            lives, and no action is allowed but what comes from outside. In one state of `KV_EVERY` the
            theorem of KV and the refinement are evaluated too.
        collect: also note where each action is enabled, and where a single guard refuses it (for mutants).
        until_full: end when there is one more state than the bounds allow.
    """
    found = Exploration(bounds)
    noted = Noted(found) if collect else None
    start = start_of(bounds) if check else bounds.start
    seen = {state_key(replay(bounds, start))}
    found.traces.append(start)
    queue: deque[Trace] = deque([start])
    names = [name for name in ACTIONS if name not in bounds.leave_out]
    visited = 0
    while queue:
        trace = queue.popleft()
        ledger = replay(bounds, trace)
        with_kv = check and visited % KV_EVERY == 0
        visited += 1
        found.depth = max(found.depth, len(trace))
        if check:
            broken = breaches(ledger)
            if with_kv and not broken:
                broken = kv_breaches(ledger)
            found.violations += [(trace, breach) for breach in broken]
            if broken:
                continue  # what follows from a broken state says nothing more
            if stands_still(bounds, ledger):
                found.stuck.append(trace)
        state = states_shown(ledger)
        for sentence in state:
            found.witnesses.setdefault(sentence, trace)
        for name in names:
            for arguments in arguments_of(bounds, ledger, name):
                step = (name, arguments)
                asked = as_asked(ledger, step)
                failing = ledger.failing(name, asked)
                if failing:
                    if noted is not None:
                        noted.refused(trace, step, failing, state)
                    continue
                after = ledger.clone()
                longer = (*trace, step)
                try:
                    if with_kv:
                        wrong = apply_watched(after, step)
                        found.violations += [(longer, breach) for breach in wrong]
                    else:
                        apply(after, step)
                except Exception as error:  # a guard that is true, and an effect that fails
                    what = (f"{type(error).__name__}: {error}",)
                    found.violations.append((longer, Breach("definedness", CRASH, what)))
                    continue
                found.transitions += 1
                shown = transitions_shown(ledger, name, asked, after)
                for sentence in (name, *shown):
                    found.witnesses.setdefault(sentence, longer)
                if noted is not None:
                    noted.happened(trace, step, (*state, *shown))
                key = state_key(after)
                if key in seen:
                    continue
                if found.states >= bounds.max_states:
                    found.complete = False
                    if until_full:
                        return found
                    continue
                seen.add(key)
                found.traces.append(longer)
                queue.append(longer)
            if noted is not None:
                for arguments in absurd_arguments(bounds, ledger, name):
                    step = (name, arguments)
                    failing = ledger.failing(name, as_asked(ledger, step))
                    noted.refused(trace, step, failing, state)
    return found


def stands_still(bounds: Bounds, ledger: GhostLedger) -> bool:
    """Whether a request lives, none has learned all its tokens, and no action is allowed that does not
    come from outside; actions that the world leaves out count.
    """
    alive = [r for r in ledger.requests if 1 <= r.phase <= 3]
    if not alive or any(all(ledger.num_tokens(s) >= r.limit for s in r.members) for r in alive):
        return False
    return all(
        ledger.failing(name, as_asked(ledger, (name, arguments)))
        for name in ACTIONS
        if name not in OUTSIDE
        for arguments in arguments_of(bounds, ledger, name)
    )


def as_asked(ledger: GhostLedger, step: Step) -> tuple[Any, ...]:
    """Arguments for the guards alone: a request that the step brings along is made, but not known to the ledger."""
    own = records(ledger, step[1])
    return (Request(-1, *own[:3]),) if step[0] in ("submit", "reject") and len(own) >= 3 else own


class Noted:
    """Keeps, of each action and of each guard that refuses alone, the first few cases of every
    combination of situations: a rule may break only in one of them.
    """

    most = 4

    def __init__(self, found: Exploration) -> None:
        self.found = found
        self.kept: Counter[tuple[Any, ...]] = Counter()

    def happened(self, trace: Trace, step: Step, situation: tuple[str, ...]) -> None:
        """The action was done."""
        self._keep(self.found.enabled, step[0], (trace, step), situation)

    def refused(
        self, trace: Trace, step: Step, failing: tuple[str, ...], situation: list[str]
    ) -> None:
        """The action was refused; by a single guard, if it is to be kept.

        Args:
            trace: actions before it.
            step: the action.
            failing: guards that are false.
            situation: sentences that the state shows.
        """
        if len(failing) == 1:
            self._keep(self.found.refusals, (step[0], failing[0]), (trace, step), tuple(situation))

    def _keep(self, index: dict[Any, Any], key: Any, row: Any, situation: tuple[str, ...]) -> None:
        if self.kept[key, situation] < self.most:
            self.kept[key, situation] += 1
            index.setdefault(key, []).append(row)
