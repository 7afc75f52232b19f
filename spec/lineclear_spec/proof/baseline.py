# pyright: basic
"""What every proof takes and uses, measured and written down: `baseline.json` and `cores.json`.

Guarantees: each is of every obligation of the table as it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import z3

from lineclear_spec.parallel import in_parallel
from lineclear_spec.proof import cores
from lineclear_spec.proof.answers import Result
from lineclear_spec.proof.cores import Core, core_of
from lineclear_spec.proof.obligations import Unit, build, units
from lineclear_spec.proof.prove import BASELINE, BUDGET, ask, in_context, make_solver, prove_unit


def cores_of(unit: Unit) -> list[Core | None]:
    """What the proof of each obligation of a unit uses, asked in a context of its own; None if it is not proved."""
    context = z3.Context()
    return core_of(in_context(context, unit), make_solver(0, BUDGET, context), ask)


def _core(name: str) -> list[Core | None]:
    return [] if name == "arithmetic" else cores_of(build(name))


def _whole(job: tuple[str, int]) -> list[Result]:
    return prove_unit(build(job[0]), job[1])


def write_baseline(seeds: Sequence[int] = (0,)) -> None:
    """Record the most resources that each obligation used, over these seeds and asked with all its premises; and what
    its proof used, as hints.
    """
    names = units()
    cores.write_cores(list(zip(names, in_parallel(_core, names), strict=True)))
    jobs = [(name, seed) for seed in seeds for name in names]
    results = [r for part in in_parallel(_whole, jobs) for r in part]
    baseline: dict[str, int] = {}
    for r in results:
        if r.kind != "frame":
            baseline[r.key] = max(r.rlimit, baseline.get(r.key, 0))
    BASELINE.write_text(json.dumps(baseline, indent=0, sort_keys=True) + "\n")
