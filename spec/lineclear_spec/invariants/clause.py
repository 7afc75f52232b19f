# pyright: basic
"""What an invariant is, and the words that several of them use.

Guarantees: each clause is one predicate over a view, evaluated symbolically and concretely.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lineclear_spec.logic import any_of, both
from lineclear_spec.records import CPU, GPU

__all__ = [
    "CPU",
    "FINISHED",
    "GPU",
    "INVARIANTS",
    "KV",
    "NEVER",
    "NEW",
    "RUNNING",
    "SWAPPED",
    "TIERS",
    "WAITING",
    "Clause",
    "Invariant",
    "clauses",
    "declare",
    "declare_kv",
    "each_tier",
    "holds",
    "is_free",
    "kv_clauses",
    "live",
    "per_tier",
    "present",
    "private",
    "rests",
    "sealed",
    "within",
]

#: The step under which a calendar lists what it does not list.
NEVER = -1
NEW, WAITING, RUNNING, SWAPPED, FINISHED = range(5)
TIERS = ((GPU, "gpu"), (CPU, "cpu"))

# `v` is a view of one state, symbolic or concrete; quantified variables come after it.
Predicate = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Clause:
    """One universally quantified part of an invariant.

    Attributes:
        invariant: its name.
        label: what tells it from the other parts.
        domains: of its variables.
        predicate: of a view and values of the variables.
        patterns: of the same, lists of terms at which a solver uses it; the solver's choice if None.
    """

    invariant: str
    label: str
    domains: tuple[str, ...]
    predicate: Predicate
    patterns: Callable[..., list[tuple[Any, ...]]] | None = None

    @property
    def name(self) -> str:
        """How tools print it."""
        return f"{self.invariant}.{self.label}" if self.label else self.invariant


@dataclass(frozen=True, slots=True)
class Invariant:
    """A named invariant: its sentence, when it holds, and its clauses."""

    name: str
    sentence: str
    kind: str
    clauses: tuple[Clause, ...]


INVARIANTS: dict[str, Invariant] = {}
#: What holds of a device and of the KV in its memory; proved in units of its own (`kv_obligations.py`).
KV: dict[str, Invariant] = {}


def declare(
    name: str, kind: str, sentence: str, *parts: tuple[str, tuple[str, ...], Predicate]
) -> None:
    """Enter an invariant; each part is a label, the domains of its variables, and the predicate."""
    made = tuple(Clause(name, label, domains, predicate) for label, domains, predicate in parts)
    INVARIANTS[name] = Invariant(name, sentence, kind, made)


def declare_kv(
    name: str,
    sentence: str,
    *parts: tuple[str, tuple[str, ...], Predicate, Callable[..., list[tuple[Any, ...]]]],
) -> None:
    """Enter an invariant of KV; each part says also at which terms a solver uses it."""
    KV[name] = Invariant(name, sentence, "kv", tuple(Clause(name, *part) for part in parts))


def kv_clauses() -> list[Clause]:
    """Every clause of the invariants of KV."""
    return [c for i in KV.values() for c in i.clauses]


def clauses(kind: str | None = None) -> list[Clause]:
    """Every clause, or those of the invariants of one kind."""
    return [c for i in INVARIANTS.values() if kind in (None, i.kind) for c in i.clauses]


def within(low: Any, value: Any, high: Any) -> Any:
    """low <= value < high."""
    return both(low <= value, value < high)


def holds(v: Any, q: Any, b: Any) -> Any:
    """Whether an entry of the sequence's table names the block."""
    at = v.index(q, b)
    return both(within(0, at, v.length(q)), v.table(q, at) == b)


def private(v: Any, b: Any) -> Any:
    """Whether the block belongs to one request: some entry names it, and it has no name."""
    return both(v.ref(b) >= 1, v.name(b) == 0)


def sealed(v: Any, b: Any) -> Any:
    """Whether an entry names the block and it has a name: it is never written, and any request may share it."""
    return both(v.ref(b) >= 1, v.name(b) != 0)


def rests(v: Any, b: Any) -> Any:
    """Whether no entry names the block, and it is kept because it can be found."""
    return both(v.ref(b) == 0, v.listed(b))


def present(v: Any, b: Any) -> Any:
    """Whether the block has a place: an entry names it, or it can be found."""
    return any_of(v.ref(b) >= 1, v.listed(b))


def is_free(v: Any, tier: int, p: Any) -> Any:
    """Whether the place lies in the free part of its pool."""
    return v.position(tier, p) < v.free(tier)


def per_tier(
    part: Callable[[int], tuple[tuple[str, ...], Predicate]], label: str = ""
) -> list[tuple[str, tuple[str, ...], Predicate]]:
    """The same part for both pools."""
    return [(f"{label}{'_' if label else ''}{name}", *part(tier)) for tier, name in TIERS]


def each_tier(label: str, part: Callable[[int], tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The same part of an invariant of KV for both pools."""
    return [(f"{label}{'_' if label else ''}{name}", *part(tier)) for tier, name in TIERS]


def live(phase: Any) -> Any:
    """Whether a request in this phase is live."""
    return any_of(phase == WAITING, phase == RUNNING, phase == SWAPPED)
