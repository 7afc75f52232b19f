"""The stage that walks through worlds of the real scheduler at random; the oracle judges each step.

Guarantees: the walks of a mode are the same in every run: a sample, not exhaustive. The first go
through worlds in which one rule of a step decides. Those of whole configurations let every request
end under watch, and try calls that must be refused.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from lineclear.checks.stage import Context, Finding, Outcome, ReportCase

if TYPE_CHECKING:
    from lineclear.config import Config
    from lineclear.explore.bounds import SearchBounds
    from lineclear.explore.world import Trace

#: Random worlds, besides those made for one rule and those that cover all settings.
DRAWN = {"fast": 0, "default": 40, "deep": 780}
#: Short walks in which more important requests arrive, and how many of them make one job.
ENCOUNTERS = {"fast": 1000, "default": 2000, "deep": 12000}
BATCH = 50
#: Moves of an encounter after those that are written down.
AFTER = 6
#: Moves of each walk.
MOVES = {"fast": 90, "default": 150, "deep": 400}
#: Worlds made for one rule have short requests and get walks three times as long.
LONGER = 3
#: Walks of a world that is made for one rule. Copies end soon in one, and very late in the next.
OF_ONE_RULE = 3
#: Walks of a configuration.
OF_ONE = {"fast": 4, "default": 8, "deep": 60}
#: Walks stop after this many failures.
MOST_WALKS = 2
#: One encounter of so many, and one drawn world, is walked again with prompts that begin alike.
ALIKE = 4

#: Sizes of a configuration that is walked, so that it preempts all the time.
SMALL = {
    "num_gpu_blocks": 8,
    "num_cpu_blocks": 5,
    "block_size": 4,
    "max_num_seqs": 4,
    "max_model_len": 28,
}

#: World, seed, moves, those of them that are written down, and whether requests are left to end.
Job = tuple["SearchBounds", int, int, "Trace", bool]
#: What a job has to say: its name, its first finding, steps that the oracle judged, and those it did not.
Answer = tuple[str, Finding | None, int, Counter[str]]


def met(seeds: range) -> Answer:
    """Encounters, until one fails."""
    from lineclear.explore.encounters import encounter
    from lineclear.explore.scripts import script_alike

    judged, exempt = 0, Counter[str]()
    for seed in seeds:
        scripts = [encounter(seed)]
        if seed % ALIKE == 0:
            scripts.append(script_alike(scripts[0], seed))
        for script in scripts:
            moves = len(script.moves) + AFTER
            name, found, some, others = walked((script.bounds, seed, moves, script.moves, False))
            judged += some
            exempt += others
            if found is not None:
                return name, found, judged, exempt
    return f"encounters {seeds[0]} to {seeds[-1]}", None, judged, exempt


def done(job: Job | range) -> Answer:
    """One job."""
    return met(job) if isinstance(job, range) else walked(job)


def walked(job: Job) -> Answer:
    """One walk."""
    from lineclear.checks.behaviours import code_in, finding
    from lineclear.explore.walks import walk
    from lineclear.monitor.liveness import Stalled

    bounds, seed, moves, first, ends = job
    done = walk(bounds, seed, moves, first, ends=ends)
    oracle = done.world.oracle
    found: Finding | None = None
    failures = done.world.scheduler.policy_failures if ends else ()
    if isinstance(done.error, Stalled):
        lines = tuple(done.error.report.text().splitlines()[:12])
        found = finding("LC501", done.error.what, done.trace, bounds, lines)
    elif done.error is not None:
        what = f"{type(done.error).__name__}: {done.error}".splitlines()[0]
        found = finding(code_in(what, "LC402"), what, done.trace, bounds, ())
    elif failures:
        found = finding("LC804", failures[0], done.trace, bounds, ())
    return bounds.name, found, oracle.judged, oracle.exempt


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


def configurations(context: Context) -> Iterator[tuple[str, Config]]:
    """The configurations that are walked, by name: the user's, or some of the project's."""
    from lineclear.config import Config

    if context.config is not None and not (context.policy and not context.config_text):
        yield "your configuration, made small", shrunk(context.config)
        return
    own = context.config
    for policy in ("fcfs", "priority") if own is None else (context.policy,):
        for mode in ("swap", "recompute"):
            for depth in (1, 2):
                config = Config(scheduling_policy=policy) if own is None else own
                config = replace(config, preemption_mode=mode, max_steps_in_flight=depth)
                yield f"{policy}, {mode}, {depth} in flight", shrunk(config)


def jobs(context: Context) -> list[Job]:
    """The long walks: those of configurations; then, unless they are a user's, those that are written down,
    and those in which one rule decides nearly every step.
    """
    from lineclear.explore.covered import covered, pressed
    from lineclear.explore.scripts import begin_alike, scripts
    from lineclear.explore.walk_worlds import drawn, special

    mode = context.mode
    moves = MOVES[mode]
    own = [
        pressed(k, config, name=f"{name}, walk {k}")
        for name, config in configurations(context)
        for k in range(OF_ONE[mode])
    ]
    whole: list[Job] = [
        (bounds, seed, LONGER * moves, (), True) for seed, bounds in enumerate(own)
    ]
    if context.config is not None:
        return whole
    written = [(s.bounds, seed_of(s.bounds), moves, s.moves, False) for s in scripts()]
    first = [
        (bounds, seed_of(bounds) + k, LONGER * moves, (), False)
        for k in range(OF_ONE_RULE)
        for bounds in special()
    ]
    others = [*covered(), *map(drawn, range(DRAWN[mode]))]
    others += [begin_alike(drawn(seed), seed) for seed in range(0, DRAWN[mode], ALIKE)]
    after = [(bounds, seed_of(bounds), moves, (), False) for bounds in others]
    return [*whole, *written, *first, *after]


def seed_of(bounds: SearchBounds) -> int:
    """The seed of a world's walk, from its name: one more world changes no walk of another."""
    return zlib.crc32(bounds.name.encode())


def walks(context: Context) -> Outcome:
    """Encounters and walks, until two have failed."""
    from lineclear_spec.parallel import in_parallel

    findings: list[Finding] = []
    cases: list[ReportCase] = []
    counts: Counter[str] = Counter()
    most = 0 if context.config is not None else ENCOUNTERS[context.mode]
    every: list[Job | range] = [range(k, k + BATCH) for k in range(0, most, BATCH)]
    every += jobs(context)
    for name, found, judged, exempt in in_parallel(done, every):
        counts["judged"] += judged
        counts.update({f"not judged: {why}": n for why, n in exempt.items()})
        title = found.title if found is not None else ""
        cases.append(ReportCase("scheduler", name, "refuted" if found else "passed", title))
        context.step(name)
        if found is not None:
            findings.append(found)
            if len(findings) >= MOST_WALKS:
                break
    steps, refuted = counts.pop("judged"), bool(findings)
    if context.config is not None:
        lacking = context.config.lacking
        findings += [Finding("LC802", f"the configuration lacks: {rule}") for rule in lacking]
    return Outcome(
        "scheduler",
        "refuted" if refuted else "passed" if steps else "unknown",
        f"{len(cases)} random walks{' of your configuration' * (context.config is not None)}, "
        f"{steps:,} steps that match the rules, every invariant after each, on a device that sees only plans"
        f"{''.join(f', {n:,} {name}' for name, n in counts.items())}",
        {"walks": len(cases), "steps": steps},
        findings,
        cases,
        "" if context.mode == "deep" else "more walks; they are sampled, not exhaustive",
    )
