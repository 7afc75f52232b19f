"""The stage that runs the real scheduler under memory pressure.

Guarantees: every invariant is recomputed after every step, from tables and from an independent
history; an end of progress is a finding. Runs are drawn from fixed seeds: a sample, not
exhaustive.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lineclear.checks.counterexample import from_scheduler
from lineclear.checks.on_device import on_device
from lineclear.checks.saved_moves import by_run
from lineclear.checks.stage import Context, Finding, Outcome, ReportCase
from lineclear.checks.walks import code_of, walks

if TYPE_CHECKING:
    from lineclear.config import Config
    from lineclear.workload.workload import Workload

__all__ = ["configurations", "drive", "driven", "shrunk", "tight"]

SEEDS = {"fast": 2, "default": 6, "deep": 60}
#: The real scheduler is shrunk to these sizes, so that it preempts all the time.
SMALL = {
    "num_gpu_blocks": 8,
    "num_cpu_blocks": 5,
    "block_size": 4,
    "max_num_seqs": 4,
    "max_model_len": 28,
}


def shrunk(config: Config) -> Config:
    """The same decisions in a small world: changes only sizes, and only downwards."""
    sizes = {name: min(value, getattr(config, name)) for name, value in SMALL.items()}
    lookahead = min(config.num_lookahead_slots, 2)
    least = max(sizes["max_num_seqs"] * (1 + lookahead), 8)
    if not config.enable_chunked_prefill:
        least = max(least, sizes["max_model_len"])
    return replace(
        config,
        **sizes,
        num_lookahead_slots=lookahead,
        max_num_batched_tokens=min(config.max_num_batched_tokens, least),
        swap_threshold=min(config.swap_threshold, 8),
    )


def tight(seed: int, *, wide: int = 2, requests: int = 14) -> Workload:
    """Requests that together need more blocks than the pool has."""
    from lineclear.workload.workload import Arrival, Workload

    draw = random.Random(seed)
    arrivals: list[Arrival] = []
    now = 0.0
    for number in range(requests):
        now += draw.choice((0.0, 0.0, 0.0, 0.01))
        outputs = tuple(draw.randint(1, 9) for _ in range(draw.randint(1, wide)))
        arrivals.append(
            Arrival(
                f"r{number + 1}",
                now,
                draw.randint(1, 12),
                outputs,
                max(outputs) + draw.randint(0, 3),
                priority=draw.randint(0, 2),
                client=f"client {number % 3}",
            )
        )
    return Workload(f"tight {seed}", "drawn", tuple(arrivals))


def configurations(context: Context) -> Iterator[tuple[str, Config]]:
    """The configurations to run, by name."""
    from lineclear.config import Config

    if context.config is not None and context.policy and not context.config_text:
        for mode in ("swap", "recompute"):
            for depth in (1, 2):
                config = replace(context.config, preemption_mode=mode, depth=depth)
                yield f"{context.policy}, {mode}, {depth} in flight", shrunk(config)
        return
    if context.config is not None:
        yield "your configuration, made small", shrunk(context.config)
        return
    for policy in ("fcfs", "priority"):
        for mode in ("swap", "recompute"):
            for depth in (1, 2):
                config = Config(scheduling_policy=policy, preemption_mode=mode, depth=depth)
                yield f"{policy}, {mode}, {depth} in flight", shrunk(config)


def drive(name: str, config: Config, seed: int) -> tuple[Finding | None, int, int]:
    """One run; returns its findings, steps and preemptions."""
    from lineclear.simulation.simulate import Simulation

    workload = tight(seed, wide=min(2, config.max_num_seqs))
    journal = io.StringIO()
    simulation = Simulation(workload, config, journal=journal)
    where = f"{name}, seed {seed}"
    try:
        result = simulation.run()
    except Exception as error:  # a scheduler that raises is the finding
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        rule = type(error).__name__
        return (
            found("LC402", f"the scheduler fails: {what}", where, simulation, journal, seed, rule),
            0,
            0,
        )
    preempted = sum(result.preemptions.values())
    if result.violations:
        title = result.violations[0]
        rule = title.partition(": ")[2].partition(":")[0]
        return (
            found(code_of(title), title, where, simulation, journal, seed, rule),
            result.steps,
            preempted,
        )
    if result.stalled:
        report = () if result.stall is None else tuple(result.stall.text().splitlines())
        finding = found(
            "LC501", result.stalled, where, simulation, journal, seed, "progress", report
        )
        return finding, result.steps, preempted
    if result.failures:
        what = result.failures[0]
        finding = found("LC804", what, where, simulation, journal, seed, "policy")
        return finding, result.steps, preempted
    return None, result.steps, preempted


def found(
    code: str,
    title: str,
    where: str,
    simulation: Any,
    journal: io.StringIO,
    seed: int,
    rule: str,
    more: tuple[str, ...] = (),
) -> Finding:
    """A finding with its trace: the arrivals, and the last actions of the journal.

    Args:
        code: its code.
        title: what is broken.
        where: name of the run.
        simulation: the run.
        journal: its journal so far.
        seed: seed of its workload.
        rule: the broken rule, "" if the code alone counts.
        more: lines after the trace.
    """
    lines = journal.getvalue().splitlines()
    moves = [
        f"submit {a.request_id}: prompt {a.prompt_tokens}, output {a.output_tokens}, at "
        f"{a.arrival_time:.2f} s"
        for a in simulation.workload.requests
    ]
    actions = [line for line in lines if line.startswith("[")]
    shown = [f"  {line}" for line in actions[-12:]]
    again = by_run("run", code, "" if code == "LC501" else rule, simulation.config, seed)
    saved = from_scheduler(rule, title, moves, lines, again)
    return Finding(
        code,
        f"{title} ({where})",
        (f"the last {len(shown)} of {len(actions)} actions:", *shown, *more[:12]),
        content=saved.as_dict(),
    )


def driven(context: Context) -> Outcome:
    """Random walks, then every configuration under every seed."""
    seeds = SEEDS[context.mode]
    own = [] if context.config is None else [config for _, config in configurations(context)]
    findings, walked_cases, judged = walks(context, own)
    cases: list[ReportCase] = []
    steps = preempted = runs = on_plans = 0
    for name, config in configurations(context):
        mine: list[Finding] = []
        for seed in range(seeds):
            finding, some, more = drive(name, config, seed)
            runs, steps, preempted = runs + 1, steps + some, preempted + more
            if finding is None:
                finding, some = on_device(name, config, seed)
                on_plans += some
            if finding is not None:
                mine.append(finding)
                break
        cases.append(
            ReportCase(
                "scheduler", name, "refuted" if mine else "passed", mine[0].title if mine else ""
            )
        )
        findings += mine
        context.step(name)
    configured = len(cases)
    cases += walked_cases
    refuted = bool(findings)
    for rule in context.config.lacking if context.config is not None else ():
        findings.append(Finding("LC802", f"the configuration lacks: {rule}"))
    yours = (
        "your configuration, sizes made small"
        if context.config is not None and configured == 1
        else f"{configured} configurations"
    )
    return Outcome(
        "scheduler",
        "refuted" if refuted else "passed" if steps else "unknown",
        f"{runs} runs of {yours}: {steps:,} steps, {preempted:,} preemptions, every invariant "
        f"after each; {on_plans:,} steps on a device that sees only plans; "
        f"{len(walked_cases)} random walks, {judged.pop('judged'):,} steps that match the "
        f"rules{''.join(f', {n:,} {name}' for name, n in judged.items())}",
        {
            "runs": runs,
            "steps": steps,
            "preemptions": preempted,
            "steps_on_device": on_plans,
            "walks": len(walked_cases),
        },
        findings,
        cases,
        "" if context.mode == "deep" else f"seeds from {seeds}; runs are sampled, not exhaustive",
    )
