"""The result of a search, as plain data and as text.

Guarantees: every result states its bounds and counts, and says whether the search was exhausted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lineclear.explore.bounds import SearchBounds
from lineclear.explore.findings import ProgressFinding, believed, livelocks, starvation, stuck
from lineclear.explore.search import Graph, search
from lineclear.explore.world import Trace, World
from lineclear.journal.file import JournalFile
from lineclear.scheduler import Scheduler


@dataclass(slots=True)
class Report:
    """One search and what it says about progress."""

    graph: Graph
    stuck: list[ProgressFinding]
    livelocks: list[ProgressFinding]
    starvation: list[ProgressFinding]

    @property
    def refuted(self) -> bool:
        """Whether anything was found that the settings do not lead one to expect."""
        rest = [*self.stuck, *self.livelocks, *self.starvation]
        return bool(self.graph.violations) or any(not finding.expected for finding in rest)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        graph = self.graph
        return {
            "target": "scheduler",
            "bounds": graph.bounds.as_dict(),
            "states": graph.states,
            "transitions": graph.transitions,
            "depth": graph.depth,
            "complete": graph.complete,
            "violations": [
                {"what": what, "trace": [list(move) for move in trace]}
                for trace, what in graph.violations
            ],
            "stuck": [finding.as_dict() for finding in self.stuck],
            "livelocks": [finding.as_dict() for finding in self.livelocks],
            "starvation": [finding.as_dict() for finding in self.starvation],
            "witnesses": {
                sentence: [list(move) for move in graph.witness(sentence)]
                for sentence in sorted(graph.witnesses)
            },
        }

    def lines(self) -> list[str]:
        """For people."""
        graph, bounds = self.graph, self.graph.bounds
        config = bounds.config
        shapes = " ".join(map(str, bounds.shapes))
        ended = "exhausted" if graph.complete else "NOT EXHAUSTED"
        free = [word for word in ("stops", "aborts", "fails", "late") if getattr(bounds, word)]
        lines = [
            f"{bounds.name}: {graph.states:,} states, {graph.transitions:,} transitions, "
            f"depth {graph.depth}, {ended}",
            f"  bounds: {bounds.live} live of {shapes}; {config.num_gpu_blocks} GPU and "
            f"{config.num_cpu_blocks} CPU blocks of {config.block_size}; "
            f"{config.max_num_seqs} sequences, {config.max_num_batched_tokens} tokens a step, "
            f"{config.max_steps_in_flight} in flight; {' '.join(free) or 'nothing goes wrong'}",
        ]
        lines += [f"  no guarantee, as this is off: {rule}" for rule in config.lacking]
        for trace, what in graph.violations[:3]:
            lines += [f"  VIOLATION {what}", f"    after {moves_text(trace)}"]
        for kind in ("stuck", "livelocks", "starvation"):
            found: list[ProgressFinding] = getattr(self, kind)
            for finding in shortest(found)[:1]:
                word = "expected, as the policy says" if finding.expected else "FOUND"
                lines.append(f"  {kind} ({len(found)}, {word}): {finding.what}")
                if not finding.expected:
                    lines.append(f"    after {moves_text(finding.trace)}")
                    lines.append(f"    for ever {moves_text(finding.cycle)}")
        return lines


def shortest(found: Iterable[ProgressFinding]) -> list[ProgressFinding]:
    """Sorts unexpected findings first, then by length."""
    return sorted(found, key=lambda f: (f.expected, len(f.trace) + len(f.cycle)))


def moves_text(trace: Iterable[tuple[Any, ...]]) -> str:
    """A trace in one line."""
    words: list[str] = []
    for name, *rest in trace:
        choices: Any = rest[0] if rest else ""
        plain = ",".join(map(str, choices)) if name == "commit" else str(choices)
        words.append(f"{name} {plain}".strip())
    return "; ".join(words) or "the start"


def explore(bounds: SearchBounds, kind: type[Scheduler] = Scheduler) -> Report:
    """Searches, and looks at what the graph says about progress."""
    graph = search(bounds, kind=kind)
    found = [believed(graph, kind(graph)) for kind in (stuck, livelocks, starvation)]
    return Report(graph, *map(shortest, found))


def summary(bounds: SearchBounds) -> Report:
    """The report of `explore` without the transitions, which are many times larger than the rest."""
    report = explore(bounds)
    report.graph.edges.clear()
    return report


def unreached(reports: Iterable[Report], required: Iterable[str]) -> list[str]:
    """Situations and actions that no search reached."""
    seen = {sentence for report in reports for sentence in report.graph.witnesses}
    return [sentence for sentence in required if sentence not in seen]


def markdown(reports: Sequence[Report], command: str) -> str:
    """A page with the bounds and counts of every search."""
    lines = [
        "# Every behaviour of the scheduler at small scope",
        "",
        f"Written by `{command}`. A request `1+3` has a prompt of 1 token and generates at most 3, "
        "`x2` is a group of two sequences, `p1` has priority 1, `@a` is of tenant a, `<4` is due four "
        "arrivals later. Requests arrive without end; `live` may be there at once.",
        "",
        "| search | live | requests | GPU, CPU blocks | states | transitions | depth | exhausted |",
        "|---|---:|---|---|---:|---:|---:|---|",
    ]
    for report in [report for report in reports if not report.graph.bounds.group]:
        graph, bounds = report.graph, report.graph.bounds
        shapes = " ".join(map(str, bounds.shapes))
        config = bounds.config
        lines.append(
            f"| {bounds.name} | {bounds.live} | {shapes} | {config.num_gpu_blocks}, "
            f"{config.num_cpu_blocks} of {config.block_size} | {graph.states:,} | "
            f"{graph.transitions:,} | {graph.depth} | {'yes' if graph.complete else 'NO'} |"
        )
    lines += grouped([report for report in reports if report.graph.bounds.group])
    states = sum(report.graph.states for report in reports)
    transitions = sum(report.graph.transitions for report in reports)
    refuted = sum(report.refuted for report in reports)
    lines += ["", f"{len(reports)} searches, {states:,} states, {transitions:,} transitions; "
              f"{refuted} with a finding."]  # fmt: skip
    return "\n".join(lines) + "\n"


def grouped(reports: Sequence[Report]) -> list[str]:
    """Searches of one group in one line, with what was found of starvation."""
    if not reports:
        return []
    lines = [
        "",
        "Each policy with each victim rule, each mode of preemption, prompts in chunks and whole; no request "
        "stops early, is aborted or fails. With two live requests every victim rule names the same one:",
        "",
        "| policy | requests | live | combinations | states | transitions | exhausted | a request may "
        "wait for ever |",
        "|---|---|---:|---:|---:|---:|---|---|",
    ]
    for group in dict.fromkeys(report.graph.bounds.group for report in reports):
        own = [report for report in reports if report.graph.bounds.group == group]
        graphs = [report.graph for report in own]
        bounds = graphs[0].bounds
        starved = sum(bool(report.starvation) for report in own)
        expected = all(f.expected for report in own for f in report.starvation)
        word = "no" if not starved else f"in {starved}, {'as it says' if expected else 'FOUND'}"
        lines.append(
            f"| {group} | {' '.join(map(str, bounds.shapes))} | {bounds.live} | {len(own)} | "
            f"{sum(g.states for g in graphs):,} | {sum(g.transitions for g in graphs):,} | "
            f"{'yes' if all(g.complete for g in graphs) else 'NO'} | {word} |"
        )
    return lines


def record(bounds: SearchBounds, trace: Trace, file: Any) -> World:
    """Does a trace and writes the journal that `lineclear replay` does again."""
    journal = JournalFile(file, bounds.config.limits())
    world = World(bounds, journal=journal)
    for move in trace:
        world.do(move)
    journal.end(world.scheduler.ledger)
    return world
