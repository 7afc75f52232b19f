# pyright: basic
"""What an invariant is, and the predicates that several of them use.

The letters of all clauses, contracts and postconditions:

- v: a state; `v.f(x)` is the field f of the record x (`symbolic/fields.py`), or the question f about it
  (`symbolic/view.py`). In contracts and postconditions `old` and `new` are two states.
- r request, q sequence, b block, t tier, p block id, o and n operation, s step, i, j and k index, x any other record or
  number; in clauses of KV i is a position and k a slot of a block. The letter of a variable is its domain
  (`domains_of`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import CPU, GPU
from lineclear_spec.logic import add_once, and_, not_, or_

__all__ = [
    "CPU", "FINISHED", "GPU", "INVARIANTS", "KV", "NEVER", "NEW", "RUNNING", "SWAPPED", "TIERS", "WAITING",
    "Clause", "Invariant", "KvPart", "clauses", "copies", "declare", "declare_kv", "domains_of", "each_tier", "holds",
    "is_free", "kv_clauses", "leads", "live", "present", "private", "rests", "sealed", "within",
]  # fmt: skip

#: Marks a sequence that a calendar lists under no step.
NEVER = -1
NEW = int(Phase.NEW)
WAITING = int(Phase.WAITING)
RUNNING = int(Phase.RUNNING)
SWAPPED = int(Phase.SWAPPED)
FINISHED = int(Phase.FINISHED)
TIERS = ((GPU, "gpu"), (CPU, "cpu"))

#: Of a state `v`, on formulas or plain, and values of the quantified variables.
Predicate = Callable[..., Any]
#: At which terms a solver uses a clause; see `Clause.patterns`.
Patterns = Callable[..., list[tuple[Any, ...]]]


#: The domains of the letters of variables.
LETTERS = {
    "r": "request", "q": "sequence", "b": "block", "p": "block_id", "o": "operation", "n": "operation", "s": "step",
    "i": "index", "j": "index", "k": "index",
}  # fmt: skip
#: In clauses of KV.
KV_LETTERS = {**LETTERS, "i": "position", "k": "kv_slot"}


def domains_of(
    predicate: Callable[..., Any], letters: dict[str, str] = LETTERS, first: int = 0
) -> tuple[str, ...]:
    """The domains of the variables of a predicate, which their letters say; variables begin with the first."""
    code = predicate.__code__
    return tuple([letters[name] for name in code.co_varnames[first : code.co_argcount]])


@dataclass(frozen=True, slots=True)
class Clause:
    """One universally quantified part of an invariant.

    Attributes:
        invariant: the name of the invariant that it belongs to.
        label: what tells it from the other parts.
        domains: the domain of each of its variables, a key of `symbolic.quantified.DOMAINS`: "request", "index" ...
        predicate: of a state and values of the variables.
        patterns: of the same, lists of terms: where one list of them occurs, a solver uses the clause; the
            solver's choice if None. They limit what a hypothesis is used for, so that less may be proved;
            nothing false ever is.
    """

    invariant: str
    label: str
    domains: tuple[str, ...]
    predicate: Predicate
    patterns: Patterns | None = None

    @property
    def name(self) -> str:
        """How tools print it."""
        return f"{self.invariant}.{self.label}" if self.label else self.invariant


@dataclass(frozen=True, slots=True)
class Invariant:
    """A named invariant.

    Attributes:
        name: of it.
        sentence: what it says, in English.
        kind: when it holds: "step" (also after each block step), "boundary" (between actions) or "kv".
        clauses: its parts, all of which hold.
    """

    name: str
    sentence: str
    kind: str
    clauses: tuple[Clause, ...]


INVARIANTS: dict[str, Invariant] = {}
#: What holds of a device and of the KV in its memory; proved in units of its own (`kv/obligations.py`).
KV: dict[str, Invariant] = {}


#: One part of an invariant of KV: label, predicate and patterns (see `Clause`).
KvPart = tuple[str, Predicate, Patterns]


def declare(name: str, kind: str, sentence: str, *parts: tuple[str, Predicate]) -> None:
    """Enter an invariant.

    Args:
        name: of it.
        kind: "step" or "boundary".
        sentence: what it says, in English.
        parts: of each clause the label and the predicate.
    """
    made = tuple([Clause(name, label, domains_of(p, first=1), p) for label, p in parts])
    add_once(INVARIANTS, name, Invariant(name, sentence, kind, made))


def declare_kv(name: str, sentence: str, *parts: KvPart) -> None:
    """Enter an invariant of KV, of which a part also says at which terms a solver uses it (`KvPart`)."""
    made = [
        Clause(name, label, domains_of(predicate, KV_LETTERS, first=1), predicate, patterns)
        for label, predicate, patterns in parts
    ]
    add_once(KV, name, Invariant(name, sentence, "kv", tuple(made)))


def kv_clauses() -> list[Clause]:
    """Every clause of the invariants of KV."""
    return [c for i in KV.values() for c in i.clauses]


def clauses(kind: str | None = None) -> list[Clause]:
    """Every clause, or those of the invariants of one kind."""
    return [c for i in INVARIANTS.values() if kind in (None, i.kind) for c in i.clauses]


def within(low: Any, value: Any, high: Any) -> Any:
    """low <= value < high."""
    return and_(low <= value, value < high)


def holds(v: Any, q: Any, b: Any) -> Any:
    """Whether an entry of the sequence's table refers to the block, private or sealed (not the *hold* of words.md)."""
    at = v.index(q, b)
    return and_(within(0, at, v.length(q)), v.table(q, at) == b)


def private(v: Any, b: Any) -> Any:
    """Whether the block belongs to one request: some entry names it, and it has no name."""
    return and_(v.ref(b) >= 1, v.name(b) == 0)


def sealed(v: Any, b: Any) -> Any:
    """Whether an entry names the block and it has a name: it is never written, and any request may share it."""
    return and_(v.ref(b) >= 1, v.name(b) != 0)


def rests(v: Any, b: Any) -> Any:
    """Whether no entry names the block, and it is kept because it can be found."""
    return and_(v.ref(b) == 0, v.listed(b))


def present(v: Any, b: Any) -> Any:
    """Whether the block exists, so that its block id is in use: an entry refers to it, or it can be found."""
    return or_(v.ref(b) >= 1, v.listed(b))


def leads(v: Any, name: Any) -> Any:
    """Whether a block can be found under the name."""
    return and_(v.listed(v.cached(name)), v.name(v.cached(name)) == name)


def is_free(v: Any, tier: int, p: Any) -> Any:
    """Whether the block id lies in the free part of its pool."""
    return v.position(tier, p) < v.free(tier)


def copies(v: Any, source: int, target: int) -> Any:
    """Whether the operation decided last copies from the one tier to the other, as its kind tells the device."""
    o = v.issued
    way = and_(v.compute(o) == (source == target), v.outward(o) == (target == CPU))
    return and_(not_(v.is_forward(o)), way)


def each_tier(label: str, part: Callable[[int], Any]) -> list[tuple[Any, ...]]:
    """The same part for both pools, under the label and the name of the tier; `part` makes what follows it."""
    made = [(f"{label}{'_' if label else ''}{name}", part(tier)) for tier, name in TIERS]
    return [(name, *p) if isinstance(p, tuple) else (name, p) for name, p in made]


def live(phase: Any) -> Any:
    """Whether a request in this phase is live."""
    return or_(phase == WAITING, phase == RUNNING, phase == SWAPPED)
