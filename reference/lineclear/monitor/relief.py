"""Finds the smallest change that unblocks a request: an abort, or more of a resource.

Guarantees: the requests named give up together at least what is missing, and no smaller number of
requests would. Whether the scheduler then runs the request is decided by its own rules.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

#: What waiting does for a request.
HELPS = "helps"
CANNOT_HELP = "cannot help"
NOTHING = "nothing to wait for"


@dataclass(frozen=True, slots=True)
class Relief:
    """A change that would free a request.

    Attributes:
        resource: blocks, seats or tokens; or what else has to happen.
        missing: how much more is needed of it.
        abort: the fewest requests that give up so much, or none if no abort is enough.
    """

    resource: str
    missing: int = 0
    abort: tuple[Hashable, ...] = ()

    def sentence(self) -> str:
        """For people."""
        if not self.missing:
            return self.resource
        unit = self.resource if self.missing > 1 else self.resource.removesuffix("s")
        more = f"{self.missing} more {unit}"
        if not self.abort:
            return f"{more}; no abort is enough"
        return f"abort {' and '.join(repr(r) for r in self.abort)}, or {more}"

    def json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "resource": self.resource,
            "missing": self.missing,
            "abort": [str(r) for r in self.abort],
            "sentence": self.sentence(),
        }


def fewest(missing: int, holders: Iterable[tuple[Hashable, int]]) -> tuple[Hashable, ...]:
    """The fewest holders that give up so much; among single ones the one that gives up least."""
    rows = [(r, amount) for r, amount in holders if amount > 0]
    enough = [(amount, k) for k, (_, amount) in enumerate(rows) if amount >= missing]
    if enough:
        return (rows[min(enough)[1]][0],)
    chosen: list[Hashable] = []
    for r, amount in sorted(rows, key=lambda row: -row[1]):
        chosen.append(r)
        missing -= amount
        if missing <= 0:
            return tuple(chosen)
    return ()


def relief(resource: str, missing: int, holders: Iterable[tuple[Hashable, int]]) -> Relief:
    """Finds the change that unblocks a request which lacks `missing` of a resource."""
    return Relief(resource, missing, fewest(missing, holders))
