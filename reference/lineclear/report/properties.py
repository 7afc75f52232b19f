"""Which properties each policy satisfies: P1 to P13, proved, refuted or not applicable.

Guarantees: a cell says proved only if every obligation of its theorem was asked and proved, and
refuted only if a run of the scheduler showed it; there is no empty cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lineclear.evidence.refutations import REFUTATIONS, Demonstration, NotShown
from lineclear_spec.liveness.standings import Standing
from lineclear_spec.liveness.theorems import CLAIMS

Seen = Mapping[str, "Demonstration | NotShown"]

PROPERTIES: dict[str, str] = {
    "P1": "non-idling: while requests live, some request is computed",
    "P2": "the head enters as soon as there is room for it",
    "P3": "a request that fits enters, also past a head that does not fit",
    "P4": "no request enters before one that precedes it",
    "P4'": "no request is preempted for one that comes later",
    "P5": "a request is passed a bounded number of times",
    "P6a": "progress: within a known number of steps some request keeps a token",
    "P6b": "progress: the first in the order comes to its end",
    "P7": "no starvation: every request comes to its end",
    "P8": "requests are first admitted in the order of arrival",
    "P9": "aging: who may go before a request arrives within a known time",
    "P10": "preemption has no cycle",
    "P11": "no eviction: what a request may need is reserved",
    "P12": "of two tenants that wait, the service differs by at most 2 U",
    "P13": "the same for deficit round robin: at most Q + 2 (Q + U)",
}
#: Why a property says nothing about a policy.
NO_AGING = "its order has no aging"
NO_RESERVE = "nothing is reserved: blocks are taken as they are needed, and preemption is possible"
OTHER_BOUND = "it has a bound of its own, P13"
NOT_ROUND_ROBIN = "it keeps no credit"
#: Theorems whose name is not that of the property.
ALIASES = {"bypass": "P9"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One policy and one property.

    Attributes:
        policy: as claims call it.
        property: P1 to P13.
        verdict: proved, refuted, both (it depends on a premise), not applicable, or unknown.
        theorems: that say so, with their standing.
        refutations: runs that say so.
        why: for what is not applicable, or what was not shown.
    """

    policy: str
    property: str
    verdict: str
    theorems: tuple[str, ...] = ()
    refutations: tuple[str, ...] = ()
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def property_of(theorem: str) -> tuple[str, str]:
    """Policy and property of a theorem's name, such as `edf.P7 without deadline`."""
    policy, _, rest = theorem.partition(".")
    name = rest.split()[0]
    return policy, ALIASES.get(name, name)


def inapplicable(policy: str, name: str) -> str:
    """Why a property says nothing about a policy; empty if it does."""
    if any(property_of(theorem.name)[1] == name for theorem in CLAIMS[policy].theorems):
        return ""
    if name == "P9":
        return NO_AGING
    if name == "P11":
        return NO_RESERVE
    if name == "P12" and policy == "drr":
        return OTHER_BOUND
    return NOT_ROUND_ROBIN if name == "P13" else ""


def cells(standings: Iterable[Standing], shown: Seen) -> list[Cell]:
    """Every cell of the table, policy by policy."""
    stood = list(standings)
    found: list[Cell] = []
    for policy in CLAIMS:
        for name in PROPERTIES:
            theorems = [s for s in stood if property_of(s.theorem) == (policy, name)]
            runs = [r for r in REFUTATIONS if (r.policy, r.fails) == (policy, name)]
            found.append(cell(policy, name, theorems, {r.name: shown[r.name] for r in runs}))
    return found


def cell(policy: str, name: str, theorems: list[Standing], runs: Seen) -> Cell:
    """One cell.

    Args:
        policy: name of the policy.
        name: name of the property.
        theorems: theorems about both, with their status.
        runs: what each run that should refute it has shown.
    """
    holds = [s for s in theorems if s.holds]
    fails = [s for s in theorems if not s.holds]
    names = tuple(s.theorem for s in theorems)
    missed = [f"{key}: {run}" for key, run in runs.items() if isinstance(run, NotShown)]
    missed += [f"{s.theorem} is {s.status}" for s in theorems if s.status != "proved"]
    missed += [f"{s.theorem} has no run" for s in fails if not runs]
    if missed:
        return Cell(policy, name, "unknown", names, tuple(runs), "; ".join(missed))
    if holds and runs:
        return Cell(policy, name, "both", names, tuple(runs))
    if holds or runs:
        return Cell(policy, name, "proved" if holds else "refuted", names, tuple(runs))
    why = inapplicable(policy, name)
    return Cell(
        policy, name, "not applicable" if why else "unknown", why=why or "no reason is recorded"
    )
