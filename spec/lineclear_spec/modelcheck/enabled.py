"""Steps that the table allows, recorded: a guard that refuses one of them has become stronger.

Guarantees: a recorded step is replayed on the table as it is, every guard evaluated; one that is
refused is reported with the guard.

A table that refuses more keeps every invariant, so no proof and no search for broken rules notices it.
To strengthen a guard on purpose, write the file again (docs/make_enabled.py), and the steps that are
gone stand in the diff.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lineclear_spec.kernel.records import Refused
from lineclear_spec.modelcheck.explore import apply, replay
from lineclear_spec.modelcheck.worlds import BOUNDS, Bounds, Step, Trace

FILE = Path(__file__).with_name("enabled.json")
#: The world, what was done in it, and the step that is allowed then.
Record = tuple[Bounds, Trace, Step]


def read(path: Path = FILE) -> list[Record]:
    """The recorded steps.

    Raises:
        ValueError: the file names a world that is not there.
    """
    worlds = {bounds.name: bounds for bounds in BOUNDS}
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["steps"]
    found: list[Record] = []
    for row in rows:
        if row["world"] not in worlds:
            raise ValueError(f"{path.name}: there is no world {row['world']!r}")
        steps = tuple([(str(name), tuple(arguments)) for name, arguments in row["trace"]])
        found.append((worlds[row["world"]], steps[:-1], steps[-1]))
    return found


def text(records: Iterable[Record]) -> str:
    """The file, each step once, by action."""
    seen = {(step[0], bounds.name, (*trace, step)) for bounds, trace, step in records}
    rows = [
        json.dumps({"world": world, "trace": [[name, list(more)] for name, more in steps]})
        for _, world, steps in sorted(seen, key=lambda row: (row[0], len(row[2]), str(row)))
    ]
    return '{"steps": [\n' + ",\n".join(rows) + "\n]}\n"


def refused(records: Iterable[Record]) -> list[tuple[Record, str]]:
    """Steps, on the way or at the end of a record, that the table does not allow, each once, and why:
    the guard, or an error.
    """
    found: dict[tuple[str, Trace], tuple[Record, str]] = {}
    for bounds, trace, step in records:
        ledger = replay(bounds, ())
        steps = (*trace, step)
        for k, one in enumerate(steps):
            try:
                apply(ledger, one)
            except Refused as refusal:
                why = refusal.guard
            except Exception as error:  # an effect that fails is no step either
                why = f"{type(error).__name__}: {error}"
            else:
                continue
            found.setdefault((bounds.name, steps[: k + 1]), ((bounds, steps[:k], one), why))
            break
    return list(found.values())
