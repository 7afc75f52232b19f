"""The figures of README.md, docs/trust.md, docs/mutants.md and docs/not_covered.md, from one run.

    python docs/make_trust.py            run it all and write the figures (minutes)
    python docs/make_trust.py --check    exit 1 if a file would change
    python docs/make_trust.py --quick    only the lists that need no solver and no search, and what theorems say

Every obligation is asked of z3 under five seeds and of cvc5, every small world is searched, every
mutant is judged. Seconds are left out, so that a file changes only if a result does. What stands
between the marked lines is written here; the text around it is written by hand.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("spec", "reference")]

from figures.claims import claims  # noqa: E402
from figures.lists import (  # noqa: E402
    invariants,
    open_premises,
    premises,
    primitives,
    questions,
    theorems_as_asked,
)
from figures.mutants import families, mutants, score  # noqa: E402
from figures.page import fill  # noqa: E402
from figures.paper import paper  # noqa: E402
from figures.proofs import SEEDS, obligations, theorems, worlds  # noqa: E402

PAGES = ("README.md", "docs/trust.md", "docs/mutants.md", "docs/not_covered.md")


def measure() -> dict[str, str]:
    """Everything that takes a solver or a search."""
    from lineclear.policies import load_claims
    from lineclear_spec.crosscheck.second_solver import crosscheck, version
    from lineclear_spec.modelcheck.explore import search
    from lineclear_spec.modelcheck.worlds import BOUNDS
    from lineclear_spec.mutation.judge import judge_all
    from lineclear_spec.mutation.mutants import DROPS, generate
    from lineclear_spec.mutation.variants import FAMILIES
    from lineclear_spec.parallel import in_parallel
    from lineclear_spec.proof.prove import prove, solver_version

    load_claims()
    results = prove(seeds=range(SEEDS))
    second = crosscheck()
    found = list(in_parallel(search, BOUNDS))
    every = judge_all(generate(FAMILIES))
    verdicts = [verdict for verdict in every if verdict.kind in DROPS]
    return {
        "families": families(every),
        "obligations": obligations(results, second, (solver_version(), version())),
        "theorems": theorems(results, second),
        "worlds": worlds(found),
        "score": score(verdicts),
        "mutants": mutants(verdicts),
        "claims": claims(results, second, found, verdicts),
    }


def main() -> int:
    """Writes or checks the three files."""
    parser = argparse.ArgumentParser(description="Write the figures of README.md and docs/.")
    parser.add_argument("--check", action="store_true", help="exit 1 if a file would change")
    parser.add_argument("--quick", action="store_true", help="only what needs no solver")
    arguments = parser.parse_args()
    sections = {
        "primitives": primitives(),
        "questions": questions(),
        "invariants": invariants(),
        "premises": premises(),
        "open premises": open_premises(),
        "paper": paper(),
    }
    if arguments.quick:
        sections["theorems"] = theorems_as_asked((ROOT / "docs/trust.md").read_text())
    else:
        sections |= measure()
    stale = []
    for path in map(ROOT.joinpath, PAGES):
        old = path.read_text()
        new = fill(old, sections)
        if new != old:
            stale.append(path)
            if not arguments.check:
                path.write_text(new)
    for path in stale:
        state = "is stale: run python docs/make_trust.py" if arguments.check else "written"
        print(f"{path.relative_to(ROOT)} {state}")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
