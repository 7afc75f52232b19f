"""Writes spec/lineclear_spec/modelcheck/enabled.json: steps that the table allows, one for each way to refuse more.

    python docs/make_enabled.py            write the file
    python docs/make_enabled.py --check    exit 1 if it would be another

To be run after a change of actions, guards or small worlds. A step that is gone afterwards is one that the
table no longer allows.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "spec"))

from lineclear_spec.modelcheck.enabled import FILE, Record, text  # noqa: E402
from lineclear_spec.modelcheck.worlds import BOUNDS  # noqa: E402
from lineclear_spec.mutation.mutants import generate  # noqa: E402
from lineclear_spec.mutation.trial import allowed, explorations, try_mutant  # noqa: E402
from lineclear_spec.parallel import in_parallel  # noqa: E402


def made() -> str:
    """The file's text."""
    worlds = {bounds.name: bounds for bounds in BOUNDS}
    searched = explorations()
    records: list[Record] = []
    for exploration in searched:  # every action at least once
        for steps in exploration.enabled.values():
            trace, step = min(steps, key=lambda row: len(row[0]))
            if all(record[2][0] != step[0] for record in records):
                records.append((exploration.bounds, trace, step))
    mutants = generate(("guard strengthened",))
    found = in_parallel(partial(allowed, found=searched), mutants)
    for mutant, evidence in zip(mutants, list(found), strict=True):
        # What the searches find no more is kept as long as it is allowed and nothing else refutes the mutant.
        evidence = evidence or try_mutant(mutant, ())
        if evidence is not None:
            records.append((worlds[evidence.bounds], evidence.trace[:-1], evidence.trace[-1]))
    return text(records)


def main() -> int:
    """Writes the file, or compares it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    new = made()
    if check:
        if not FILE.exists() or FILE.read_text(encoding="utf-8") != new:
            print(f"{FILE} is stale: python docs/make_enabled.py")
            return 1
        return 0
    FILE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
