"""How a theorem stands, by the answers to exactly the obligations that it rests on.

Invariant: a theorem is called proved only if each of these obligations, by exact key, was asked and every
answer was `proved`; one that was not asked makes it "not asked".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lineclear_spec.liveness.premises import PREMISES
from lineclear_spec.liveness.theorems import ADMISSION, CLAIMS, ORDER, TABLE, Theorem


@dataclass(frozen=True, slots=True)
class Standing:
    """How a theorem stands.

    Attributes:
        theorem: its name.
        sentence: what it says.
        holds: False if it says that a property fails.
        premises: name -> guard, monitored or assumed.
        obligations: how many it rests on.
        status: proved; refuted or unknown, if one of its obligations is; else not asked, if one of them was not.
        missing: keys of those that are refuted or unknown.
        not_asked: keys of those that were not asked.
        rests_on: keys of those that are not of the table.
        whole_table: whether it rests on every obligation of the table besides.
    """

    theorem: str
    sentence: str
    holds: bool
    premises: Mapping[str, str]
    obligations: int
    status: str
    missing: tuple[str, ...]
    not_asked: tuple[str, ...] = ()
    rests_on: tuple[str, ...] = ()
    whole_table: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON; of what was not asked the number and the first few."""
        return {
            **asdict(self),
            "not_asked": len(self.not_asked),
            "first_not_asked": list(self.not_asked[:FEW]),
        }


#: Keys that are named of many that were not asked.
FEW = 5


def expand(theorem: Theorem, keys: Iterable[str]) -> tuple[str, ...]:
    """The obligations that a theorem rests on, each by its exact key.

    Args:
        theorem: whose `rests_on` names them, or how they begin.
        keys: of every obligation that there is: `prove.every_key`.

    Raises:
        ValueError: a part of `rests_on` names no obligation that there is, or there is none.
    """
    known = list(keys)
    found: dict[str, None] = {}
    for start in theorem.rests_on:
        mine = [key for key in known if belongs(key, start)]
        if not mine or (
            start == TABLE and not any(key.startswith(f"{ADMISSION}/") for key in mine)
        ):
            raise ValueError(
                f"{theorem.name} rests on {start!r}, and no unit makes an obligation of it"
            )
        found.update(dict.fromkeys(mine))
    if not found:
        raise ValueError(f"{theorem.name} rests on nothing")
    return tuple(found)


def standings(answers: Iterable[tuple[str, str]], keys: Iterable[str]) -> list[Standing]:
    """How every theorem stands.

    Args:
        answers: (unit/kind/label, status) of every obligation that was asked, once for each solver and seed.
        keys: of every obligation that there is, asked or not: `prove.every_key`.
    """
    found: dict[str, set[str]] = {}
    for key, status in answers:
        found.setdefault(key, set()).add(status)
    known = list(keys)
    return [
        standing(theorem, found, expand(theorem, known))
        for claims in CLAIMS.values()
        for theorem in claims.theorems
    ]


def belongs(key: str, start: str) -> bool:
    """Whether an obligation is one of those that `rests_on` names."""
    # No theorem of a policy speaks of KV, and no proof of the table uses what is proved of it.
    return not key.startswith((ORDER, "kv_")) if start == TABLE else key.startswith(start)


def standing(theorem: Theorem, answers: Mapping[str, set[str]], keys: tuple[str, ...]) -> Standing:
    """How one theorem stands, which rests on exactly these keys."""
    not_asked = tuple([key for key in keys if not answers.get(key)])
    missing = tuple([key for key in keys if answers.get(key, {"proved"}) - {"proved"}])
    statuses = {status for key in missing for status in answers[key]}
    if "refuted" in statuses:
        status = "refuted"
    elif missing:
        status = "unknown"
    else:
        status = "not asked" if not_asked or not keys else "proved"
    whole = TABLE in theorem.rests_on
    return Standing(
        theorem.name,
        theorem.sentence,
        theorem.holds,
        {name: PREMISES[name].seen_to for name in theorem.premises},
        len(keys),
        status,
        missing,
        not_asked,
        tuple([key for key in keys if not whole or key.startswith(ORDER)]),
        whole,
    )
