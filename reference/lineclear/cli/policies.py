"""`lineclear policies`: which properties each policy satisfies, and runs that refute the rest.

Guarantees: exit code 0 only if every cell of the table is proved, refuted or not applicable, as
claimed; it writes only the files that are named.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineclear.cli.exits import INCONCLUSIVE, PASSED, REFUTED, UsageError
from lineclear.cli.files import need_folder, need_page, put_page, writing
from lineclear.cli.output import write_json, write_text
from lineclear.cli.progress import Progress

if TYPE_CHECKING:
    from lineclear.evidence.refutations import Demonstration, NotShown, Refutation
    from lineclear.report.properties import Cell
    from lineclear_spec.liveness.standings import Standing

EPILOG = """\
examples:
  lineclear policies                                 the table
  lineclear policies --show priority.P7              a run in which a request starves
  lineclear policies --show vllm_v0.P1.D1 --journals runs/
  lineclear replay runs/vllm_v0.P1.D1.jsonl          the same run, through the action table alone
  lineclear policies --format markdown -o docs/policies.md
"""


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "policies",
        help="what each policy guarantees: proved, refuted by a run, or not applicable",
        description="Prove the theorems of every policy, run every refutation, and "
        "print the table of policies and properties.",
        epilog=EPILOG,
    )
    parser.add_argument("--show", metavar="NAME", help="run one refutation, without proofs")
    parser.add_argument(
        "--journals", metavar="DIR", type=Path, help="write each run's journal here"
    )
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write the page to FILE")
    parser.add_argument(
        "--check", action="store_true", help="with -o: write nothing; exit 1 if FILE is stale"
    )
    parser.add_argument("--format", choices=("text", "json", "markdown"), default="text")


def run(arguments: argparse.Namespace) -> int:
    """Prints the table, or shows one refutation."""
    if arguments.show is not None:
        why = "--show runs one refutation and writes no page"
        arguments.parser.refuse_idle(why, "show", "journals", "format")
        if arguments.format == "markdown":
            raise UsageError("--show has no page: use --format text or json")
    if arguments.output is not None and arguments.format != "markdown":
        raise UsageError("-o writes the page: add --format markdown")
    from lineclear.report.policies_page import SIGNATURE

    need_page(arguments.output, SIGNATURE, check=arguments.check)
    if arguments.journals is not None:
        need_folder(arguments.journals)
    if arguments.show is not None:
        return show(arguments.show, arguments.journals, arguments.format)
    from lineclear.evidence.refutations import NotShown
    from lineclear.report import policies_page
    from lineclear.report.properties import cells

    stood = asked()
    shown = seen_all(arguments.journals)
    table = cells(stood, {one.name: seen for one, seen in shown})
    code = code_of(table, [one.name for one, seen in shown if isinstance(seen, NotShown)])
    if arguments.format == "json":
        write_json(policies_page.as_json(table, stood, shown))
    elif arguments.format == "markdown":
        drawn = policies_page.markdown(table, stood, shown)
        return put_page(arguments.output, drawn, SIGNATURE, check=arguments.check) or code
    else:
        write_text(policies_page.text(table, shown))
    return code


def asked() -> list[Standing]:
    """The status of every theorem, after asking every obligation."""
    from lineclear.policies import load_claims
    from lineclear_spec.liveness.standings import standings
    from lineclear_spec.proof import prove
    from lineclear_spec.proof.obligations import units
    from lineclear_spec.proof.prove import every_key

    load_claims()
    with Progress("proving", len(units())) as progress:
        results = prove.prove([], range(1), progress=progress.step)
    return standings(((r.key, r.status) for r in results), every_key())


def seen_all(folder: Path | None) -> list[tuple[Refutation, Demonstration | NotShown]]:
    """Runs every refutation."""
    from lineclear.evidence.refutations import REFUTATIONS

    found: list[tuple[Refutation, Demonstration | NotShown]] = []
    with Progress("running", len(REFUTATIONS)) as progress:
        for refutation in REFUTATIONS:
            found.append((refutation, seen(refutation, folder)))
            progress.step(refutation.name)
    return found


def seen(refutation: Refutation, folder: Path | None) -> Demonstration | NotShown:
    """Runs one refutation; writes its journal to the folder, if given."""
    from lineclear.evidence.refutations import NotShown

    try:
        if folder is None:
            return refutation.show()
        folder.mkdir(parents=True, exist_ok=True)
        with writing(folder / f"{refutation.name}.jsonl") as file:
            return refutation.show(file)
    except NotShown as error:
        return error


def show(name: str, folder: Path | None, form: str) -> int:
    """One refutation: what happened, and where its journal is."""
    from lineclear.evidence.refutations import find
    from lineclear.report.policies_page import run_as_json

    try:
        refutation = find(name)
    except ValueError as error:
        raise UsageError(str(error)) from error
    content = run_as_json(refutation, seen(refutation, folder))
    file = None if folder is None else str(folder / f"{refutation.name}.jsonl")
    if form == "json":
        write_json({**content, "journal": file})
    else:
        lines = [f"{refutation.name}: {refutation.what}", f"  {content['seen']}"]
        lines += [f"  lineclear replay {file}"] if file is not None else []
        write_text("\n".join(lines))
    return PASSED if content["shown"] else REFUTED


def code_of(table: list[Cell], missed: list[str]) -> int:
    """The exit code for the table."""
    if missed or any("is refuted" in cell.why for cell in table):
        return REFUTED
    return INCONCLUSIVE if any(cell.verdict == "unknown" for cell in table) else PASSED
