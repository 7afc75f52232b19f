"""The table of docs/kv_mutants.md: what each broken wait, fence, copy and publication does to a proof and to a token.

python docs/make_kv.py            writes them
python docs/make_kv.py --check    says whether they are stale
python docs/make_kv.py --hunt     looks for executions of those that have none, first
python docs/make_kv.py --harmless proves and searches again those of which no token is wrong, first
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from lineclear_spec.modelcheck.kv_walks import steps_of
from lineclear_spec.mutation import kv_harmless
from lineclear_spec.mutation.kv_harmless import harmless, said
from lineclear_spec.mutation.kv_mutants import (
    Witness,
    hunt,
    of_kv,
    read,
    unproved,
    written,
)
from lineclear_spec.mutation.kv_search import Searched
from lineclear_spec.parallel import in_parallel

PAGE = Path(__file__).parent / "kv_mutants.md"
FOLDER = Path(__file__).parents[1] / "spec" / "lineclear_spec" / "mutation"
KEPT, HARMLESS = FOLDER / "kv_mutants.json", FOLDER / "kv_harmless.json"
BEGIN, END = "<!-- figures: broken -->\n", "<!-- end of broken -->"


def searched(name: str) -> Witness | None:
    """An execution of the mutant."""
    return hunt(of_kv()[name][0], list(read().values()))


def obligation(name: str) -> str:
    """The first obligation of the mutant that is not proved."""
    return unproved(of_kv()[name][0]) or "none"


def rows() -> Iterator[str]:
    """The table."""
    found, others, mutants = read(), kv_harmless.read(), of_kv()
    broken = list(in_parallel(obligation, list(mutants)))
    shown = len(found)
    red = sum(one != "none" for one in broken)
    proved = len(set(kv_harmless.PROVED) & set(others))
    yield f"{len(mutants)} broken tables, {red} not proved, {shown} with an execution in which a token is wrong. "
    yield f"Of the others {proved} are proved to give none; {len(others) - proved} were searched.\n\n"
    yield "| about | broken | not proved | wrong | steps |\n| --- | --- | --- | --- | ---: |\n"
    for (name, (mutant, topic)), first in zip(mutants.items(), broken, strict=True):
        row = found.get(name)
        text = mutant.text.replace("|", "\\|") + (f" ({mutant.variant})" if mutant.variant else "")
        wrong = row.wrong.partition(",")[0] if row else said(others[name])
        size = str(len(steps_of(row.trace))) if row else ""
        yield f"| {topic} | `{name}` {text} | `{first}` | {wrong} | {size} |\n"


def computed(name: str) -> list[object]:
    """What shows that a broken table is harmless.

    Raises:
        RuntimeError: nothing does: a proof fails, or a search finds a wrong token.
    """
    row = harmless(name)
    if isinstance(row, list) or (isinstance(row, Searched) and row.wrong):
        raise RuntimeError(f"{name} is not harmless: {row}")
    return list(row)


def main() -> int:
    """Writes the page, or checks it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if it is stale"
    )
    parser.add_argument("--hunt", action="store_true", help="look for executions first")
    parser.add_argument("--harmless", action="store_true", help="prove and search again first")
    asked = parser.parse_args()
    if asked.harmless:
        names = [*kv_harmless.PROVED, *kv_harmless.BEGINNINGS]
        rows_of = dict(zip(names, in_parallel(computed, names), strict=True))
        HARMLESS.write_text(written(rows_of))
    if asked.hunt:
        known = read()
        missing = [name for name in of_kv() if name not in known]
        for name, row in zip(missing, in_parallel(searched, missing), strict=True):
            if row is not None:
                known[name] = row
        KEPT.write_text(written(known))
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = before + BEGIN + "\n" + "".join(rows()) + "\n" + END + after
    if asked.check:
        print(
            "docs/kv_mutants.md is",
            "as it should be" if made == text else "stale: python docs/make_kv.py",
        )
        return int(made != text)
    PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
