"""What `lineclear prove kv` prints: the theorem of KV, its premises, and what is proved.

Guarantees: it says proved only if every obligation that the theorem rests on was asked and proved.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lineclear_spec.proof.prove import Result

#: What is asked for on the command line.
NAME = "kv"
WIDTH = 100


def kv_lines(results: Sequence[Result]) -> list[str]:
    """The sentence, its two parts, the refinement, the premises, and how many obligations are proved."""
    from lineclear_spec.kv.obligations import KV_UNITS
    from lineclear_spec.kv.premises import NAMES
    from lineclear_spec.kv.refinement import REFINES
    from lineclear_spec.kv.theorems import SENTENCE, T1, T2

    asked = [r for r in results if r.kind != "frame"]
    own = [r for r in asked if r.unit in KV_UNITS]
    unproved = sorted({f"{r.key}: {r.status}" for r in asked if r.status != "proved"})
    premises = "; ".join(f"{name}: {sentence}" for name, sentence in NAMES.items())
    rows = [
        ("kv", "NOT PROVED" if unproved else f"proved. {SENTENCE}"),
        ("T1", f"{T1[0].upper()}{T1[1:]}."),
        ("T2", f"{T2[0].upper()}{T2[1:]}."),
        ("refines", f"{REFINES[0].upper()}{REFINES[1:]}."),
        ("premises", f"{premises}."),
        (
            "proved",
            f"{sum(r.status == 'proved' for r in own)} of {len(own)} obligations of KV, and "
            f"{sum(r.status == 'proved' for r in asked) - sum(r.status == 'proved' for r in own)} of "
            f"{len(asked) - len(own)} of the table, which they rest on.",
        ),
    ]
    lines: list[str] = [
        "lineclear prove kv     any number of requests, blocks and tokens, any block size",
        "",
    ]
    for label, text in rows:
        wrapped = textwrap.wrap(text, WIDTH)
        lines += [f"  {label if k == 0 else '':<9} {line}" for k, line in enumerate(wrapped)]
    return [*lines, "", *[f"  not proved: {line}" for line in unproved]]


def kv_json() -> dict[str, Any]:
    """The sentence, its parts and its premises for JSON."""
    from lineclear_spec.kv.premises import NAMES
    from lineclear_spec.kv.refinement import REFINES
    from lineclear_spec.kv.theorems import SENTENCE, T1, T2

    parts = {"T1": T1, "T2": T2, "refines": REFINES}
    return {"sentence": SENTENCE, "parts": parts, "premises": dict(NAMES)}
