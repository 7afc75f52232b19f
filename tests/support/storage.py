# pyright: basic
"""Everything that a ghost ledger stores, as plain values.

Guarantees: equal values mean that every field of every record, container and ghost is equal,
including ids, block ids and clocks.
"""

from __future__ import annotations

from typing import Any

from lineclear_spec.kernel.containers import Resting
from lineclear_spec.kernel.ledger import pairs_of
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.modelcheck.kv_ghosts import KvDevice


def fields_of(record: Any) -> list[str]:
    """Names of all that a record or a ledger stores, in slots or not."""
    slots = [name for kind in type(record).__mro__ for name in getattr(kind, "__slots__", ())]
    return [*slots, *getattr(record, "__dict__", ())]


def everything(ledger: GhostLedger) -> dict[str, Any]:
    """All storage, ghosts included, with records by their ids and blocks in order of appearance."""
    names: dict[Any, str] = {r: f"r{k}" for k, r in enumerate(ledger.requests)}
    names |= {s: f"s{k}" for k, s in enumerate(ledger.sequences)}
    tables: list[Any] = [r.held for r in ledger.requests] + [s.table for s in ledger.sequences]
    for table in tables:
        for block in table:
            names.setdefault(block, f"b{len(names)}")
    names |= {o: f"o{n}" for n, o in ledger.operations.items()}

    def plain(value: Any) -> Any:
        if isinstance(value, KvDevice):
            return [(k, plain(v)) for k, v in vars(value).items() if k != "ledger"]
        if isinstance(value, dict):
            return [(plain(k), plain(v)) for k, v in value.items()]
        if isinstance(value, list | tuple | Resting):  # entries that are stale are no state
            return [plain(v) for v in value]
        if isinstance(value, set | frozenset):
            return sorted(map(plain, value))
        if value in names:
            return names[value]
        return (
            attributes(value) if type(value).__module__.endswith(("ledger", "records")) else value
        )

    def attributes(record: Any) -> dict[str, Any]:
        return {name: plain(getattr(record, name)) for name in fields_of(record)}

    found = {name: attributes(record) for record, name in names.items()}
    # Records that nothing leads to are no state: they only spare the making of others.
    apart = ("limits", "records")
    own = {name: getattr(ledger, name) for name in fields_of(ledger) if name not in apart}
    own |= {name: list(pairs_of(own[name])) for name in ("grown", "appended")}
    return found | {"ledger": plain(own)}
