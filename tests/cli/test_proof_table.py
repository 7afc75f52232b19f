"""The printed table of proofs has every obligation in a column."""

from __future__ import annotations

import re

from lineclear.cli.prove import proof_lines
from lineclear_spec.proof.prove import Result


def test_every_obligation_is_in_a_column() -> None:
    kinds = ("preserved", "frame", "theorem", "cut", "refines", "initiation")
    results = [
        Result("kv_run", f"{kind} {k}", kind, "proved", 0.0, 0) for kind in kinds for k in range(2)
    ]
    head, _, titles, row, *_ = proof_lines(results, [])
    assert head.startswith("lineclear prove")
    cells = dict(
        zip(titles.split(), re.findall(r"\d+|\.", row.removeprefix("  kv_run")), strict=True)
    )
    assert cells["other"] == "8"
    assert sum(int(cell) for cell in cells.values() if cell != ".") == len(results)
