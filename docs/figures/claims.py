"""The README's table of claims: from this run, and from pages and results that other scripts write."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from figures.page import table
from figures.proofs import SEEDS, proved_always, stood
from lineclear.cli.policies import seen_all
from lineclear.report.properties import cells
from lineclear_spec.actions import ACTIONS
from lineclear_spec.invariants import INVARIANTS
from lineclear_spec.kv.obligations import KV_UNITS
from lineclear_spec.kv.premises import NAMES
from lineclear_spec.liveness.progress_units import units_of_progress
from lineclear_spec.liveness.standings import Standing

ROOT = Path(__file__).resolve().parents[2]


def azure() -> list[tuple[str, ...]]:
    """The row of the two real traces, from docs/azure.md, which another script writes."""
    page = ROOT / "docs/azure.md"
    if not page.exists():
        return []
    cells: dict[str, list[int]] = {}
    for line in page.read_text().splitlines():
        name, *values = [cell.strip(" *") for cell in line.strip("|").split("|")]
        if values and all(re.fullmatch(r"[\d,]+", v) for v in values):
            cells[name] = [int(v.replace(",", "")) for v in values]
    steps, checks = sum(cells["steps"]), sum(cells["checks of all invariants"])
    claim = "two real traces run under memory pressure and break no invariant"
    figure = f"{steps:,} steps, {checks:,} checks, {sum(cells['violations'])} violations"
    return [
        (
            claim,
            "tested",
            figure,
            "`python benchmarks/azure.py FOLDER`, [docs/azure.md](docs/azure.md)",
        )
    ]


def claims(
    results: Sequence[Any], second: Sequence[Any], found: Sequence[Any], verdicts: Sequence[Any]
) -> str:
    """The README's table."""
    asked = [r for r in results if r.kind != "frame"]
    total = sum(r.seed == 0 for r in asked)
    other = [r for r in second if r.kind not in ("frame", "lemma")]
    agreed = sum(r.status == "proved" for r in other)
    whole = [w for w in found if w.complete]
    states = sum(w.states for w in found)
    broken = sum(len(w.violations) for w in found)
    refuted = sum(v.status == "refuted" for v in verdicts)
    shown = sum(any(name in w.witnesses for w in found) for name in ACTIONS)
    kv = [r for r in asked if r.unit in KV_UNITS]
    apart = {*KV_UNITS, *units_of_progress()}
    whole_table = [r for r in asked if r.unit not in apart]
    kv_agreed = sum(r.status == "proved" for r in other if r.unit in KV_UNITS)
    rows: list[tuple[str, ...]] = [
        (
            "every token that a request learns was computed from the KV of exactly its own tokens, whatever was "
            f"preempted, shared, copied, published, aborted or failed, under {len(NAMES)} premises, which the "
            f"command prints",
            "proved",
            f"{proved_always(kv):,} of {sum(r.seed == 0 for r in kv):,} obligations of KV, seeds 0 to {SEEDS - 1}, and "
            f"{kv_agreed:,} by a second solver, beside those of the table",
            "`lineclear prove kv --seeds 5 --second-solver`, [docs/kv.md](docs/kv.md)",
        ),
        (
            f"{len(ACTIONS)} actions keep {len(INVARIANTS)} invariants and do what their contracts say, for any "
            "number of requests, sequences, blocks and tokens and any block size",
            "proved",
            f"{proved_always(whole_table):,} of {sum(r.seed == 0 for r in whole_table):,} obligations of the table, "
            f"seeds 0 to {SEEDS - 1}; with those of KV and of progress {proved_always(asked):,} of {total:,}",
            f"`lineclear prove --seeds {SEEDS}`",
        ),
        (
            "all of these, by a second solver",
            "proved",
            f"{agreed:,} of {len(other):,} obligations",
            "`lineclear prove --no-mutants --second-solver`",
        ),
        (
            "a table that lacks one guard or one effect is noticed",
            "by proof and by execution",
            f"{refuted} of {len(verdicts)} mutants",
            "`lineclear check`, [docs/mutants.md](docs/mutants.md)",
        ),
        (
            "every action can happen",
            "a trace each",
            f"{shown} of {len(ACTIONS)} actions",
            "`lineclear check`",
        ),
        (
            "no state of small worlds breaks an invariant",
            "exhausted, or searched up to a bound",
            f"{states:,} states, {broken} violations; {len(whole)} of {len(found)} worlds exhausted",
            "`lineclear check`",
        ),
        *azure(),
        (
            "what the scheduler decides, beyond safety",
            "tested",
            "[tests/README.md](tests/README.md)",
            "`make test`",
        ),
    ]
    if (ROOT / "docs/speed.md").exists():
        page = "[docs/speed.md](docs/speed.md)"
        script = "`python benchmarks/scheduler.py`"
        rows.append(("time of a scheduling step", "measured", page, script))
    stand = stood(results, second)
    shown = sum(t.status == "proved" for t in stand)
    rows.append(
        (
            "progress and order, policy by policy, under premises that are printed",
            "one-step lemmas proved, joined on paper",
            f"{shown} of {len(stand)} theorems, {sum(not t.holds for t in stand)} of them refutations",
            "`lineclear prove --theorems`, [docs/trust.md](docs/trust.md#progress)",
        )
    )
    rows += properties(stand) + explored() + compared() + on_a_gpu()
    return table(("claim", "how", "figure", "printed by"), rows)


def properties(stand: list[Standing]) -> list[tuple[str, ...]]:
    """The table of policies, from these theorems and from every run that refutes one."""
    runs = {one.name: seen for one, seen in seen_all(None)}
    found = Counter(cell.verdict for cell in cells(stand, runs))
    said = {"both": "proved under a premise and refuted without it"}
    figure = ", ".join(
        f"{found[verdict]} {said.get(verdict, verdict)}" for verdict in sorted(found)
    )
    return [
        (
            "which of the properties P1 to P13 of [docs/policies.md](docs/policies.md) each policy satisfies",
            "proved, or refuted by a run that replays",
            figure,
            "`lineclear policies`, [docs/policies.md](docs/policies.md)",
        )
    ]


def compared() -> list[tuple[str, ...]]:
    """Pages whose figures are measured by scripts of their own."""
    return [
        (
            "time of a long simulation, and of a step under each policy",
            "measured",
            "[docs/simulator_speed.md](docs/simulator_speed.md)",
            "`python benchmarks/simulator.py FOLDER`",
        ),
        (
            "policies on three public traces; the simulator against the log of a real engine",
            "measured, simulated time",
            "[docs/compare.md](docs/compare.md), [docs/validation.md](docs/validation.md)",
            "`python docs/make_compare.py FOLDER`, `python benchmarks/vllm_log.py FOLDER`",
        ),
    ]


def explored() -> list[tuple[str, ...]]:
    """What the searches of the scheduler found, as their page says."""
    page = ROOT / "docs/explored.md"
    last = page.read_text(encoding="utf-8").strip().splitlines()[-1] if page.exists() else ""
    if "searches" not in last:
        return []
    return [
        (
            "no behaviour of the scheduler at small scope breaks an invariant, gets stuck or goes "
            "round in circles, whatever its users and its device do",
            "exhausted, bounds printed",
            f"{last.rstrip('.')}; each step judged by a second implementation (`lineclear.oracle`) too; run of "
            "2026-11-30, not part of `lineclear check`",
            "`lineclear explore --deep`, [docs/explored.md](docs/explored.md)",
        )
    ]


def on_a_gpu() -> list[tuple[str, ...]]:
    """What was measured on a GPU, as the results that are kept say."""
    files = {name: ROOT / f"benchmarks/results/h200-{name}.json" for name in ("long", "copies")}
    if not all(file.exists() for file in files.values()):
        return []
    long, copies = (json.loads(file.read_text(encoding="utf-8")) for file in files.values())
    where, tags, parity, swaps = long["machine"], long["tags"], long["parity"], copies["swaps"]
    preempted = sum(value for key, value in parity.items() if key.endswith("preemptions"))

    def script(part: str) -> str:
        page = f"benchmarks/results/h200-{part}.md"
        return f"`python benchmarks/gpu.py --part {part}`, [{page}]({page})"

    return [
        (
            "no request reads another request's KV on a GPU, under memory pressure and with failing copies",
            f"tested, {where['gpu']}, {where['date']}",
            f"{tags['steps']:,} steps, {tags['slots checked']:,} slots, {tags['wrong']} wrong",
            script("long"),
        ),
        (
            "outputs are identical under memory pressure",
            f"tested, {where['gpu']}, {where['date']}",
            f"{parity['steps']:,} steps, {preempted:,} preemptions, "
            f"{parity['requests that differ']} requests differ",
            script("long"),
        ),
        (
            "swaps reach link bandwidth and overlap compute",
            f"measured, {copies['machine']['gpu']}, {copies['machine']['date']}",
            f"{swaps['2048 KiB out share']:.0%} of the link for blocks of 2 MiB, "
            f"{swaps['64 KiB out share']:.0%} for 64 KiB",
            script("copies"),
        ),
    ]
