"""What solvers were asked and what they said, theorem by theorem; what searches of small worlds found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from figures.page import table
from lineclear_spec.liveness.standings import Standing, standings

SEEDS = 5
KINDS = {
    "initiation": "an invariant holds of the empty ledger",
    "preserved": "an action or a block step keeps an invariant",
    "contract": "an action or a block step does what it ensures, and nothing else",
    "defined": "a primitive, an operator or a block step is used only where it may be",
    "refusal": "a refused action changed nothing (by construction: no unit is made of a guard after a write)",
    "base": "what a bulk operator assumes is true of no elements",
    "step": "what a bulk operator assumes is true of one element more",
    "arithmetic": "a fact about ceil and floor, for every block size",
    "ranking": "an action lowers, or leaves alone, what a request has left",
    "progress": "a decision of the scheduler, or an order of a policy, is what progress needs",
    "calendar": "what a calendar lists is what its definition says",
    "theorem": "what a forward reads, and what a token was computed from, is right (the theorem of KV)",
    "cut": "a lemma on the way to a theorem, which the goals after it use",
    "refines": "an action is a move of a small abstract machine, or none (the theorem of KV)",
}


def obligations(results: Sequence[Any], second: Sequence[Any], versions: Sequence[str]) -> str:
    """What was asked, by kind, and what the solvers said."""
    asked = [r for r in results if r.kind != "frame" and r.seed == 0]
    other = [r for r in second if r.kind not in ("frame", "lemma")]
    if missing := {r.kind for r in asked} - KINDS.keys():
        raise ValueError(f"KINDS lacks {', '.join(sorted(missing))}: the sum would be too small")
    rows: list[Sequence[object]] = []
    for kind, meaning in KINDS.items():
        mine = [r for r in results if r.kind == kind]
        theirs = [r for r in other if r.kind == kind]
        good = sum(r.status == "proved" for r in mine if r.seed == 0)
        always = proved_always(mine)
        rows.append((kind, meaning, good, always, sum(r.status == "proved" for r in theirs)))
    rows.append(("all", "", *[sum(int(str(row[k])) for row in rows) for k in (2, 3, 4)]))
    frames = sum(r.kind == "frame" and r.seed == 0 for r in results)
    bad = sorted({f"{r.key}: {r.status}" for r in (*results, *other) if r.status != "proved"})
    lines = [
        table(("kind", "it says that", versions[0], f"seeds 0 to {SEEDS - 1}", versions[1]), rows),
        "",
        f"{len(asked):,} obligations of {len({r.unit for r in results})} units were asked; "
        f"another {frames:,} pairs of action and clause need no solver, because the action writes "
        "nothing that the clause reads. Not proved: "
        + (", ".join(f"`{line}`" for line in bad) if bad else "none")
        + ".",
    ]
    return "\n".join(lines)


def proved_always(results: Sequence[Any]) -> int:
    """Obligations that are proved under the seed that proves the fewest."""
    return min(
        (sum(r.status == "proved" for r in results if r.seed == s) for s in range(SEEDS)),
        default=0,
    )


def stood(results: Sequence[Any], second: Sequence[Any]) -> list[Standing]:
    """How every theorem stands, by the answers of both solvers."""
    from lineclear_spec.proof.prove import every_key

    return standings(((r.key, r.status) for r in (*results, *second)), every_key())


def theorems(results: Sequence[Any], second: Sequence[Any]) -> str:
    """What each policy guarantees, and what it does not."""
    rows = [
        (
            f"`{t.theorem}`",
            t.sentence,
            t.status if t.holds or t.status != "proved" else "fails, proved",
            t.obligations,
            " ".join(t.premises) or "none",
        )
        for t in stood(results, second)
    ]
    return table(("theorem", "it says that", "status", "obligations", "premises"), rows)


def worlds(found: Sequence[Any]) -> str:
    """What was searched, how far."""
    rows = [
        (
            w.bounds.name, w.bounds.block_size, f"{w.bounds.gpu_blocks} + {w.bounds.cpu_blocks}", w.bounds.live,
            w.bounds.max_steps_in_flight, w.states, w.transitions, w.depth, len(w.violations),
            "exhausted" if w.complete else f"stopped at {w.bounds.max_states:,} states",
        )
        for w in found
    ]  # fmt: skip
    head = "world,block size,blocks GPU + CPU,live requests,steps in flight,states,transitions"
    return table((*head.split(","), "longest trace", "violations", "how far"), rows)
