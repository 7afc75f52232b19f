"""Random walks through worlds of the scheduler; the oracle judges each step.

Guarantees: the walks of a mode are the same in every run; the first go through worlds in which one
rule of a step decides.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lineclear.checks.stage import Context, Finding, ReportCase
from lineclear.oracle.rules import NAME

if TYPE_CHECKING:
    from lineclear.config import Config
    from lineclear.explore.bounds import SearchBounds
    from lineclear.explore.world import Trace

__all__ = ["code_of", "code_of_error", "walks"]

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
#: Walks of a user's configuration.
OF_ONE = 4
#: Walks stop after this many failures.
MOST_WALKS = 2
#: One encounter of so many, and one drawn world, is walked again with prompts that begin alike.
ALIKE = 4

#: World, seed, moves, and those of them that are written down.
Job = tuple["SearchBounds", int, int, "Trace"]
#: What a job has to say: its name, its first finding, steps that the oracle judged, and those it did not.
Answer = tuple[str, Finding | None, int, Counter[str]]


def code_of(what: object) -> str:
    """The code of a violation: of a rule of a step, or of an invariant."""
    return "LC405" if f"{NAME}: " in str(what) else "LC401"


def code_of_error(what: str) -> str:
    """The code of an error of the scheduler or of its observers, by the error's class."""
    kind = what.partition(":")[0]
    known = {"WrongContent": "LC403", "Hazard": "LC403", "Disagreement": "LC404"}
    if kind in ("InvariantViolation", "Undone"):
        return code_of(what)
    return known.get(kind, "LC402")


def met(seeds: range) -> Answer:
    """Encounters, until one fails."""
    from lineclear.explore.beginnings import script_alike
    from lineclear.explore.encounters import encounter

    judged, exempt = 0, Counter[str]()
    for seed in seeds:
        scripts = [encounter(seed)]
        if seed % ALIKE == 0:
            scripts.append(script_alike(scripts[0], seed))
        for script in scripts:
            moves = len(script.moves) + AFTER
            name, found, some, others = walked((script.bounds, seed, moves, script.moves))
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
    from lineclear.checks.behaviours import finding
    from lineclear.explore.walks import walk

    bounds, seed, moves, first = job
    done = walk(bounds, seed, moves, first)
    oracle = done.world.oracle
    found: Finding | None = None
    if done.error is not None:
        what = f"{type(done.error).__name__}: {done.error}".splitlines()[0]
        found = finding(code_of_error(what), what, done.trace, bounds, ())
    return bounds.name, found, oracle.judged, oracle.exempt


def jobs(mode: str, configs: Sequence[Config]) -> list[Job]:
    """The long walks of a mode: first those that are written down, then those in which one rule decides
    nearly every step.
    """
    from lineclear.explore.beginnings import begin_alike
    from lineclear.explore.covered import covered, pressed
    from lineclear.explore.scripts import scripts
    from lineclear.explore.walk_worlds import drawn, special

    moves = MOVES[mode]
    if configs:
        own = [pressed(k, config) for k, config in enumerate([*configs] * OF_ONE)]
        return [(bounds, seed, LONGER * moves, ()) for seed, bounds in enumerate(own)]
    written = [(s.bounds, seed_of(s.bounds), moves, s.moves) for s in scripts()]
    first = [
        (bounds, seed_of(bounds) + k, LONGER * moves, ())
        for k in range(OF_ONE_RULE)
        for bounds in special()
    ]
    others = [*covered(), *map(drawn, range(DRAWN[mode]))]
    others += [begin_alike(drawn(seed), seed) for seed in range(0, DRAWN[mode], ALIKE)]
    after = [(bounds, seed_of(bounds), moves, ()) for bounds in others]
    return [*written, *first, *after]


def seed_of(bounds: SearchBounds) -> int:
    """The seed of a world's walk, from its name: one more world changes no walk of another."""
    return zlib.crc32(bounds.name.encode())


def walks(
    context: Context, configs: Sequence[Config]
) -> tuple[list[Finding], list[ReportCase], Counter[str]]:
    """Runs the encounters and walks of this mode until two have failed.

    Args:
        context: its mode says how many.
        configs: a user's own configurations, to be walked instead; none for the project's worlds.

    Returns:
        The findings, one case for each run, and the number of steps that the oracle judged or did not.
    """
    from lineclear_spec.parallel import in_parallel

    findings: list[Finding] = []
    cases: list[ReportCase] = []
    counts: Counter[str] = Counter()
    most = 0 if configs else ENCOUNTERS[context.mode]
    encounters = [range(k, k + BATCH) for k in range(0, most, BATCH)]
    every: list[Job | range] = [*encounters, *jobs(context.mode, configs)]
    for name, found, judged, exempt in in_parallel(done, every):
        counts["judged"] += judged
        counts.update({f"not judged: {why}": n for why, n in exempt.items()})
        title = found.title if found is not None else ""
        cases.append(ReportCase("walks", name, "refuted" if found else "passed", title))
        if found is not None:
            findings.append(found)
            if len(findings) >= MOST_WALKS:
                break
    context.step("walks")
    return findings, cases, counts
