"""Detects writes to a ledger outside of actions.

Guarantees: while the trap is set, an attribute of a record, a pool or a ledger changes only within
an action, no guard is evaluated after the first such change, and the containers of a watched
ledger are unchanged between actions.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.records import Block, Operation, Pool, Request, Sequence
from lineclear_spec.modelcheck.ghosts import GhostLedger

RECORDS: tuple[type, ...] = (Block, Operation, Pool, Request, Sequence, Ledger)
#: Owned by the user of the ledger.
FREE = frozenset({"journal", "collecting"})
BODIES: dict[CodeType, str] = {row.body.__code__: name for name, row in ACTIONS.items()}
#: A request is created before it is submitted, and its caller names its tokens; a copy belongs to no
#: ledger yet.
MAKERS = frozenset(
    {
        Ledger.new_request.__code__,
        Ledger.name_blocks.__code__,
        GhostLedger.clone.__code__,
        GhostLedger.new_request.__code__,
    }
)


class Trespass(AssertionError):
    """A write, or a guard, where none is allowed."""


def storage(ledger: Ledger) -> tuple[Any, ...]:
    """The containers of a ledger, except what waits for the next plan."""
    live = [r for queue in (ledger.waiting, ledger.running, ledger.swapped) for r in queue]
    return (
        [
            list(queue)
            for queue in (ledger.waiting, ledger.running, ledger.swapped, ledger.decode_batch)
        ],
        [(list(r.members), list(r.held)) for r in live],
        [list(s.table) for r in live for s in r.members],
        [
            {step: list(bucket) for step, bucket in calendar.items()}
            for calendar in (ledger.boundaries, ledger.endings)
        ],
        dict(ledger.operations),
        dict(ledger.step_operations),
        dict(ledger.cached),
        list(ledger.resting),
        [(pool.order[: pool.free], list(pool.last_use)) for pool in (ledger.gpu, ledger.cpu)],
    )


def caller() -> FrameType | None:
    """The caller of the caller."""
    frame = inspect.currentframe()
    for _ in range(2):
        frame = frame.f_back if frame is not None else None
    return frame


class Trap:
    """What the trap recorded.

    Attributes:
        writes: number of attributes that each action wrote.
    """

    def __init__(self) -> None:
        self.writes: Counter[str] = Counter()
        self._writing: FrameType | None = None
        self._asking: FrameType | None = None
        self._left: dict[int, tuple[Any, ...]] = {}

    def watch(self, ledger: Ledger) -> None:
        """Compares the ledger's containers from one action to the next; call before `journal` is used."""
        output = ledger.journal

        def journal(name: str, arguments: tuple[object, ...]) -> None:
            self._left[id(ledger)] = storage(ledger)
            if output is not None:
                output(name, arguments)

        ledger.journal = journal

    def written(self, record: object, name: str) -> None:
        """Called before an existing attribute changes."""
        frame = caller()
        while frame is not None:
            if frame.f_code in BODIES:
                self._writing = frame
                self.writes[BODIES[frame.f_code]] += 1
                return
            made = frame.f_code.co_name == "__init__" and frame.f_locals.get("self") is record
            if made or frame.f_code in MAKERS:
                return
            frame = frame.f_back
        raise Trespass(
            f"{type(record).__name__}.{name} of {record!r} is written outside of an action"
        )

    def asked(self, ledger: Ledger, guard: str) -> None:
        """Called before a guard is evaluated."""
        frame = caller()
        while frame is not None and frame.f_code not in BODIES:
            frame = frame.f_back
        if frame is None:
            return
        if frame is self._writing:
            raise Trespass(f"a guard after a write: {guard}")
        if frame is not self._asking:
            self._asking = frame
            if self._left.get(id(ledger), now := storage(ledger)) != now:
                raise Trespass(f"a container changed before {BODIES[frame.f_code]}")


@contextmanager
def write_trap() -> Generator[Trap]:
    """Sets the trap."""
    trap = Trap()

    def set_attribute(record: object, name: str, value: object) -> None:
        if name not in FREE and hasattr(record, name):
            trap.written(record, name)
        object.__setattr__(record, name, value)

    def require(ledger: Ledger, condition: bool, guard: str) -> None:
        trap.asked(ledger, guard)
        original(ledger, condition, guard)

    kinds: list[Any] = [*RECORDS]
    ledgers: Any = Ledger
    original = Ledger.require
    for kind in kinds:
        kind.__setattr__ = set_attribute
    ledgers.require = require
    try:
        yield trap
    finally:
        ledgers.require = original
        for kind in kinds:
            del kind.__setattr__
