"""The figures of README.md, docs/trust.md, docs/mutants.md and docs/not_covered.md, from one run.

    python docs/make_trust.py            run it all and write the figures (minutes)
    python docs/make_trust.py --check    exit 1 if a file would change
    python docs/make_trust.py --quick    only the lists that need no solver and no search

Every obligation is asked of z3 under five seeds and of cvc5, every small world is searched, every
mutant is judged. Seconds are left out, so that a file changes only if a result does. What stands
between the marked lines is written here; the text around it is written by hand.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("spec", "reference")]

from lineclear.report.properties import cells, show_all  # noqa: E402
from lineclear_spec import blocks  # noqa: E402
from lineclear_spec.actions import ACTIONS  # noqa: E402
from lineclear_spec.invariants import INVARIANTS  # noqa: E402
from lineclear_spec.kernel import Kernel  # noqa: E402
from lineclear_spec.operators import OPERATORS  # noqa: E402
from lineclear_spec.premises import PREMISES  # noqa: E402
from lineclear_spec.standings import Standing, standings  # noqa: E402

SEEDS = 5
PAGES = ("README.md", "docs/trust.md", "docs/mutants.md", "docs/not_covered.md")
KINDS = {
    "initiation": "an invariant holds of the empty ledger",
    "preserved": "an action or a block step keeps an invariant",
    "contract": "an action or a block step does what it promises, and nothing else",
    "defined": "a primitive, an operator or a block step is used only where it may be",
    "refusal": "an action that is refused has changed nothing",
    "base": "what a bulk operator assumes is true of no elements",
    "step": "what a bulk operator assumes is true of one element more",
    "arithmetic": "a fact about ceil and floor, for every block size",
    "ranking": "an action lowers, or leaves alone, what a request has left",
    "progress": "a decision of the scheduler, or an order of a policy, is what progress needs",
}

Rows = Iterable[Sequence[object]]

#: Every argument that is on paper: what it says, what of it solvers were asked, how it was attacked, and
#: what came out.
PAPER: tuple[tuple[str, str, str, str], ...] = (
    (
        "**First**: from some moment on there is a first unfinished request",
        "where it is proved or from which premises it follows: see W",
        "`lineclear policies --show priority.P6b` and the same of edf and aging: 400 requests, each of "
        "which comes before the one before it",
        "it was false, and with it the old theorem that some request always advances: 399 preemptions and no "
        "token. Now there is a rule (F12), P6a without such a premise, and W in P6b",
    ),
    (
        "**A token**: at most C6 steps in a row keep no token (P6a)",
        "of each decision: who displaced is spared until it keeps a token; a first prompt that takes the "
        "whole budget is displaced or no request is; one that displaces it comes before all that run; a request "
        "that lacks tokens admits no other; growth spares the first",
        "`test_a_token_is_kept_within_the_bound_whatever_arrives` (60 hostile runs; deep: 5,940 more): "
        "random and descending orders, ranks apart from keys, every policy, groups that fork, drafts, "
        "swaps, two steps in flight, bypass; with the rule off the bound is passed "
        "(`test_without_the_rule_runs_pass_the_bound`)",
        "no run passed it. The bound for mlfq, whose order changes, counts promotions and is far from tight",
    ),
    (
        "**Order**: the first in the order is the head where it waits and no victim where it runs",
        "`behind` and `may_be_passed`, with any strict total order; each policy's order is one",
        "`test_the_first_in_order_is_never_a_victim` over policies, victim rules and modes; searches that "
        "judge by ranks alone; victims chosen by length planted (`test_the_longest_giving_way_is_seen`)",
        "held; the plant is seen",
    ),
    (
        "**Progress**: what those that run have left descends with every step, in the order of multisets",
        "per action: nothing raises what another has left, and a step lowers what it computes",
        "each lemma's effect broken (`test_a_broken_effect_is_refuted`); runs with `tail_requeue` and "
        "`any_fit` pass the bounds (`test_a_rule_of_progress_that_is_off_is_seen`); stuck states and "
        "cycles are searched at small scope",
        "held. That multisets of natural numbers are well-founded is not mechanised",
    ),
    (
        "**A bound**: T1 steps for the first in the order (P6b), and k + 1 times that (P7)",
        "the seat's share, the chunk, the last token for a first prompt",
        "every bound is held against runs in `test_bounds.py`, and `lineclear simulate` prints it beside "
        "what it saw",
        "held. The sum itself is on paper (`starvation.py`)",
    ),
    (
        "**Alone**: a request that runs alone can grow, so that it never preempts itself",
        "of one sequence, on the scheduler's own methods (unit `admission`); of a group branch by branch",
        "`Counters.preempted_alone` counts; `test_a_group_that_lacks_more_than_a_step_of_tokens_comes_back`",
        "held. That a group's tables share the full blocks of the prompt is not proved",
    ),
    (
        "**No starvation**: those before a request end one after the other",
        "which later arrivals may come before it, from each policy's key",
        "a request starves in a run of each policy that has no such theorem (`lineclear policies`); "
        "searches call starvation a finding elsewhere",
        "held, where W is had",
    ),
    (
        "**Sharing**: transitions of one tenant and any other join to any number of tenants",
        "each transition of the lemmas",
        "`test_tenant_queue.py` and `test_sharing.py` break one transition after the other; bounds of service "
        "are held against runs",
        "held for the transitions that the lemmas have; see the file of each policy for what runs beside "
        "them",
    ),
    (
        "**Levels**: who generates nothing for long is the first until it has a quantum",
        "levels, promotions and the order of a moment, for six levels",
        "`test_a_queue_that_never_promotes_is_found`; P7's bound is held against runs",
        "held",
    ),
    (
        "**Asking**: `step.py` asks growth, displacement, decodes, prompts, admission in this order, and "
        "`demand_of` finds a demand wherever something is left and nothing in flight",
        "all arithmetic of a job (`sized`), of `have` and of `want`; not the loops around it",
        "stuck states are searched; a watch raises an alarm if nothing moves; each of `PLANTED` in "
        "`tests/spec/test_ranking.py`",
        "tested only",
    ),
    (
        "**Python**: `heapq`, `bisect`, `sorted` and tuples compare as the order does",
        "the order of tuples, on formulas (`test_the_order_on_formulas_is_that_of_tuples`, tested)",
        "`audit` sorts again in every checked step; keys that are no numbers are refused",
        "tested only; floats in a key are taken for the numbers that they are",
    ),
)


def table(head: Sequence[str], rows: Rows) -> str:
    """A table in Markdown; a column that holds a number is set to the right."""
    body = [[number(cell) for cell in row] for row in rows]
    right = [
        bool(body) and all(re.fullmatch(r"[\d,]+( of [\d,]+)?", row[k]) for row in body)
        for k in range(len(head))
    ]
    marks = ["---:" if r else "---" for r in right]
    return "\n".join(f"| {' | '.join(row)} |" for row in ([*head], marks, *body))


def number(cell: object) -> str:
    """A cell; thousands are separated."""
    return f"{cell:,}" if type(cell) is int else str(cell).replace("|", "\\|")


def sentence(function: Any) -> str:
    """A primitive's docstring up to the first full stop, without the word that marks it."""
    text = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
    return re.sub(r"^Primitive(, ghost)?: ", "", text).split(". ")[0].rstrip(".")


def callers(name: str) -> list[str]:
    """Actions whose searches and mutants run the primitive, by themselves or by a block step."""
    direct = {f for f in (*ACTIONS, *functions(blocks)) if calls(f, name)}
    while True:
        more = {
            f for f in (*ACTIONS, *functions(blocks)) for g in direct if calls(f, g, method=False)
        }
        if more <= direct:
            return [action for action in ACTIONS if action in direct]
        direct |= more


def functions(module: Any) -> list[str]:
    """Functions that a module defines."""
    return [
        n
        for n, f in vars(module).items()
        if inspect.isfunction(f) and f.__module__ == module.__name__
    ]


@cache
def calls(caller: str, callee: str, *, method: bool = True) -> bool:
    """Whether the source of an action or a block step calls it."""
    function = ACTIONS[caller].body if caller in ACTIONS else getattr(blocks, caller)
    before = r"ledger\.(?:gpu\.|cpu\.|pools\[\w+\]\.)?" if method else r"(?<![\w.])"
    return (
        re.search(rf"{before}{callee}\(", inspect.getsource(function).split(":", 1)[1]) is not None
    )


# ---- lists that need no solver -----------------------------------------------------------------


def primitives() -> str:
    """Every primitive, which is written once, and the actions that run it."""
    from lineclear_spec import primitives as once

    rows: list[Sequence[object]] = []
    for name, function in vars(once).items():
        if inspect.isfunction(function) and name in vars(Kernel):
            users = ", ".join(f"`{action}`" for action in callers(name))
            rows.append((f"`{name}`", sentence(function), users or "none"))
    return table(("primitive", "what it does", "run by"), rows)


def questions() -> str:
    """Every operator of the kernel: what has a reading of its own on formulas."""
    rows = [
        (row.name, ", ".join(f"`{word}`" for word in row.words), ", ".join(row.lemmas))
        for row in OPERATORS
    ]
    return table(("operator", "words", "lemma"), rows)


def invariants() -> str:
    """Each invariant with its sentence."""
    rows = [(f"`{i.name}`", i.kind, len(i.clauses), i.sentence) for i in INVARIANTS.values()]
    return table(("invariant", "kind", "clauses", "sentence"), rows)


def premises() -> str:
    """What theorems of policies presume."""
    rows = [(p.name, p.sentence, p.seen_to, p.where) for p in PREMISES.values()]
    return table(("", "premise", "", "where"), rows)


def open_premises() -> str:
    """What theorems presume and no guard enforces."""
    rows = [
        (p.name, p.sentence, p.seen_to, ", ".join(rests_on(p.name)))
        for p in PREMISES.values()
        if p.seen_to != "guard"
    ]
    return table(("", "premise", "", "without it these theorems say nothing"), rows)


def rests_on(premise: str) -> list[str]:
    """Properties whose theorems presume it, with the policies where not all do."""
    from lineclear.policies import load_claims
    from lineclear_spec.theorems import CLAIMS

    load_claims()
    users: dict[str, list[str]] = {}
    for claims in CLAIMS.values():
        for theorem in claims.theorems:
            if premise in theorem.premises:
                policy, _, name = theorem.name.partition(".")
                users.setdefault(name, []).append(policy)
    return [
        name if len(policies) == len(CLAIMS) else f"{name} of {' and '.join(policies)}"
        for name, policies in users.items()
    ]


def paper() -> str:
    """The arguments that join lemmas, and what was done against them."""
    head = ("argument on paper", "asked of solvers", "attacked by", "outcome")
    return table(head, PAPER)


# ---- figures -----------------------------------------------------------------------------------


def obligations(results: Sequence[Any], second: Sequence[Any], versions: Sequence[str]) -> str:
    """What was asked, by kind, and what the solvers said."""
    asked = [r for r in results if r.kind != "frame" and r.seed == 0]
    other = [r for r in second if r.kind not in ("frame", "lemma")]
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
        f"{len(asked):,} obligations of {len({r.action for r in results})} units were asked; "
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
    from lineclear_spec.obligations import every_key

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
            w.bounds.depth, w.states, w.transitions, w.depth, len(w.violations),
            "exhausted" if w.complete else f"stopped at {w.bounds.max_states:,} states",
        )
        for w in found
    ]  # fmt: skip
    head = "world,block size,blocks GPU + CPU,live requests,steps in flight,states,transitions"
    return table((*head.split(","), "longest trace", "violations", "how far"), rows)


def evidence_of(verdict: Any) -> tuple[str, str]:
    """The rule that a mutant breaks, and where that was seen."""
    e = verdict.evidence
    if e is None:
        return "", verdict.status
    if e.tweaks:
        return f"`{e.rule}`", "one step from a good state"
    return f"`{e.rule}`", f"trace of {len(e.trace)}"


def mutants(verdicts: Sequence[Any]) -> str:
    """One table for each action and block step."""
    groups: dict[str, list[Any]] = {}
    for v in verdicts:
        groups.setdefault(v.mutant.split(".")[0], []).append(v)
    lines: list[str] = []
    for name, group in groups.items():
        lines += [f"## {name}", ""]
        rows = [
            (
                v.mutant.split(".", 1)[1].replace(".", " "),
                v.text if v.kind.startswith("guard") else f"`{v.text}`",
                v.status,
                f"`{v.obligation}`" if v.obligation else "none",
                *evidence_of(v),
            )
            for v in group
        ]
        head = ("gone", "text", "verdict", "obligation that fails", "rule broken", "seen")
        lines += [table(head, rows), ""]
    return "\n".join(lines).rstrip()


def families(verdicts: Sequence[Any]) -> str:
    """Every family of mutants, and what became of it; those that survived by name."""
    from lineclear_spec.mutants import JUDGED
    from lineclear_spec.variants import FAMILIES

    rows: list[tuple[str, ...]] = []
    for family in FAMILIES:
        mine = [v.status for v in verdicts if v.kind == family]
        counts = [str(mine.count(status)) for status in ("refuted", "equivalent", "survived")]
        when = "`lineclear check`" if family in JUDGED else "`lineclear check --deep`"
        rows.append((family, str(len(mine)), *counts, when))
    left = [v.mutant for v in verdicts if v.status == "survived"]
    named = "\n\nSurvived: " + ", ".join(f"`{name}`" for name in left) + "." if left else ""
    head = ("family", "mutants", "refuted", "equivalent", "survived", "judged by")
    return table(head, rows) + named


def score(verdicts: Sequence[Any]) -> str:
    """How many mutants, and what became of them."""
    counts = Counter(v.status for v in verdicts)
    guards = sum(v.kind.startswith("guard") for v in verdicts)
    seen = sum(v.evidence is not None and not v.evidence.tweaks for v in verdicts)
    steps = sum(v.evidence is not None and bool(v.evidence.tweaks) for v in verdicts)
    broken = {name for v in verdicts if v.evidence for name in v.evidence.broken}
    quiet = [f"`{name}`" for name in INVARIANTS if name not in broken]
    return (
        f"{len(verdicts)} mutants: {guards} guards dropped, {len(verdicts) - guards} effects "
        f"dropped. {counts['refuted']} are refuted, {counts['equivalent']} equivalent, "
        f"{counts['survived']} survived. {seen} break a rule at the end of a trace from the start "
        f"state, {steps} one step from a good state that may be unreachable. Invariants that none "
        f"of them is seen to break: {', '.join(quiet) or 'none'}."
    )


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
    rows: list[tuple[str, ...]] = [
        (
            f"{len(ACTIONS)} actions keep {len(INVARIANTS)} invariants and their promises, for any "
            "number of requests, sequences, blocks and tokens and any block size",
            "proved",
            f"{proved_always(asked):,} of {total:,} obligations, seeds 0 to {SEEDS - 1}",
            f"`lineclear prove --seeds {SEEDS}`",
        ),
        (
            "the same, by a second solver",
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
        ("what the scheduler decides, beyond safety", "tested", "scenarios, runs", "`make test`"),
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
    found = Counter(cell.verdict for cell in cells(stand, show_all()))
    figure = ", ".join(f"{found[verdict]} {verdict}" for verdict in sorted(found))
    return [
        (
            "which of the properties P1 to P13 each policy satisfies",
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
            # The page's run came before the oracle of the step and the device of the test.
            f"on 2026-11-24, before steps were judged by the oracle: {last.rstrip('.')}",
            "`lineclear explore --deep`, [docs/explored.md](docs/explored.md)",
        )
    ]


def on_a_gpu() -> list[tuple[str, ...]]:
    """What was measured on a GPU, as the results that are kept say."""
    file = ROOT / "benchmarks/results/h200.json"
    if not file.exists():
        return []
    found = json.loads(file.read_text(encoding="utf-8"))
    where, tags, parity = (found[name] for name in ("machine", "tags", "parity"))
    differ = sum(value for key, value in parity.items() if key.endswith("that differ"))
    preempted = sum(value for key, value in parity.items() if key.endswith("preemptions"))
    page = "[benchmarks/results/h200.md](benchmarks/results/h200.md)"
    script = f"`python benchmarks/gpu.py`, {page}"
    return [
        (
            "no request reads another request's KV on a GPU, under memory pressure and with failing copies",
            f"tested, {where['gpu']}, {where['date']}",
            f"{tags['steps']:,} steps, {tags['slots checked']:,} slots, {tags['wrong']} wrong",
            script,
        ),
        (
            "outputs are identical under memory pressure",
            f"tested, {where['gpu']}, {where['date']}",
            f"{parity['steps']:,} steps, {preempted:,} preemptions, {differ} requests differ",
            script,
        ),
        (
            "swaps reach link bandwidth and overlap compute",
            f"measured, {where['gpu']}, {where['date']}",
            f"{found['swaps']['2048 KiB out share']:.0%} of the link for blocks of 2 MiB, "
            f"{found['swaps']['64 KiB out share']:.0%} for 64 KiB",
            script,
        ),
    ]


# ---- files -------------------------------------------------------------------------------------


def fill(text: str, sections: dict[str, str]) -> str:
    """Replaces what stands between the marks of each section that the text has."""
    for name, content in sections.items():
        start, end = f"<!-- figures: {name} -->", f"<!-- end of {name} -->"
        pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
        block = f"{start}\n\n{content}\n\n{end}"
        text = pattern.sub(lambda _, block=block: block, text)
    return text


def measure() -> dict[str, str]:
    """Everything that takes a solver or a search."""
    from lineclear.policies import load_claims
    from lineclear_spec.crosscheck import crosscheck, version
    from lineclear_spec.explore import search
    from lineclear_spec.judge import judge_all
    from lineclear_spec.mutants import DROPS, generate
    from lineclear_spec.parallel import in_parallel
    from lineclear_spec.prove import prove, solver_version
    from lineclear_spec.variants import FAMILIES
    from lineclear_spec.worlds import BOUNDS

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
    if not arguments.quick:
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
