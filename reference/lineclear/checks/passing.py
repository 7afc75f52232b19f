"""The stage that tries to starve one request by endless arrivals.

Guarantees: a finding is a run of the real scheduler, with its journal, in which a request waits
while later arrivals come and go; it states the number of steps and whether the plans repeat. A
request that does not starve within these steps is not thereby proved safe from it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lineclear.checks.counterexample import from_scheduler
from lineclear.checks.own import made, order, place_of_policy
from lineclear.checks.stage import Context, Finding, Outcome, ReportCase
from lineclear.evidence.refutations.drive import Drive
from lineclear.policies import may_starve

if TYPE_CHECKING:
    from lineclear.config import Config

Kind = Mapping[str, Any]
#: Steps in which the waiting request computes nothing.
HORIZON = {"fast": 1500, "default": 1500, "deep": 20_000}
#: Steps of a found run that are written down; it continues in the same way.
SHOWN = 60
BACKLOG = 3
#: Number of last steps whose plans are compared.
LOOKED_AT = 120
#: Kinds of waiting request and of later arrivals.
KINDS: Mapping[str, Kind] = {
    "plain": {},
    "long": {"prompt": 9, "output": 6, "predicted_tokens": 6},
    "short": {"prompt": 2, "output": 2, "predicted_tokens": 1},
    "urgent": {"priority": 2},
    "with a deadline": {"deadline": 5.0},
    "of another tenant": {"tenant": "b"},
}
#: Pairs tried without --deep: waiting request, arrivals.
FEW = {"fast": 8, "default": 36, "deep": 36}


class Contest:
    """One waiting request against endless arrivals: one per second, one step per second.

    Args:
        config: a small configuration.
        waits: kind of the waiting request.
        comes: kind of the arrivals.
        journal: where every action is written.
    """

    def __init__(
        self, config: Config, waits: Kind, comes: Kind, journal: io.StringIO | None = None
    ) -> None:
        """The first of the others already runs when the waiting request arrives."""
        self.drive = Drive(config, journal)
        self.comes = comes
        self.sent = 0
        self.moves: list[str] = []
        self.send()
        self.drive.step()
        self.add("waiting", waits)

    def send(self) -> None:
        """Adds one of the others."""
        self.add(self.sent, self.comes)
        self.sent += 1

    def add(self, name: Any, kind: Kind) -> None:
        """Adds a request."""
        asked: dict[str, Any] = {"prompt": 4, "output": 4, "tenant": "a", **kind}
        if "deadline" in asked:
            asked["deadline"] += len(self.drive.rows)
        self.drive.add(name, **asked)
        self.moves.append(f"submit {name}: {asked}")

    def run(self, horizon: int) -> tuple[int, int] | None:
        """Runs until it is idle for this many steps; returns steps and overtaking requests."""
        drive = self.drive
        entries = drive.scheduler.entries
        since = passed = 0
        while "waiting" in entries:
            if len(entries) <= BACKLOG:
                self.send()
            row = drive.step()
            if "waiting" in row.tokens:
                since = passed = 0
                continue
            since += 1
            passed += sum(name != 0 for name in row.ended)  # request 0 was there before
            if since >= horizon:
                return since, passed
        return None


def contests(mode: str) -> Iterator[tuple[str, Kind, Kind]]:
    """Every pair, the most telling first."""
    telling = [
        ("plain", "urgent"),
        ("long", "short"),
        ("plain", "plain"),
        ("plain", "with a deadline"),
        ("short", "long"),
        ("plain", "of another tenant"),
        ("urgent", "plain"),
        ("with a deadline", "urgent"),
    ]
    rest = [(a, b) for a in KINDS for b in KINDS if (a, b) not in telling]
    for a, b in [*telling, *rest][: FEW[mode]]:
        yield f"{a}, others {b}", KINDS[a], KINDS[b]


def tiny(config: Config) -> Config:
    """One seat and a pool for two: the waiting request is overtaken as soon as possible."""
    return replace(
        config,
        num_gpu_blocks=8,
        num_cpu_blocks=min(config.num_cpu_blocks, 8),
        block_size=4,
        max_num_seqs=1,
        max_num_batched_tokens=64,
        max_model_len=64,
        num_lookahead_slots=0,
        watermark=0.0,
        max_waiting=None,
        max_waiting_tokens=None,
        max_steps_in_flight=1,
    )


def starvation(context: Context) -> Outcome:
    """Every contest, up to the first one that starves the request."""
    assert context.config is not None
    horizon, config = HORIZON[context.mode], tiny(context.config)
    policy = made(context)
    allowed = may_starve(policy)
    cases: list[ReportCase] = []
    findings: list[Finding] = []
    failed: str | None = None
    for name, waits, comes in contests(context.mode):
        contest = Contest(config, waits, comes)
        lost = contest.run(horizon)
        failures = contest.drive.scheduler.policy_failures
        if failures:
            failed = failures[0]
            findings.append(Finding("LC804", f"{failed} ({name})", (), *place_of_policy(policy)))
            cases.append(ReportCase("starvation", name, "refuted", failed))
            break
        if lost is not None:
            period = contest.drive.period({"waiting"}, LOOKED_AT)
            found_it = found(context, config, name, (waits, comes), lost, allowed, period)
            findings.append(found_it)
            cases.append(ReportCase("starvation", name, "passed" if allowed else "refuted"))
            break
        cases.append(ReportCase("starvation", name, "passed"))
        context.step(name)
    note = f"a wait of more than {horizon:,} steps counts as endless"
    if findings and allowed and failed is None:
        return Outcome(
            "starvation",
            "passed",
            f"{policy.name}: starvation is declared (`may_starve`); a run shows it",
            {"contests": len(cases), "horizon": horizon},
            findings,
            cases,
            note,
        )
    proved = order(context).figures.get("none_starves_by", "")
    return Outcome(
        "starvation",
        "refuted" if findings else "passed",
        f"{policy.name}: {len(cases)} contests against endless arrivals, "
        + ("one is lost" if findings else f"none lost in {horizon:,} steps"),
        {"contests": len(cases), "horizon": horizon, "proved": proved},
        findings,
        cases,
        note
        if findings
        else f"freedom from starvation is proved: {proved}"
        if proved
        else f"freedom from starvation is tested, not proved; {note}",
    )


def found(
    context: Context,
    config: Config,
    name: str,
    kinds: tuple[Kind, Kind],
    lost: tuple[int, int],
    allowed: bool,
    period: int | None,
) -> Finding:
    """Repeats the contest and writes down its beginning.

    Args:
        context: says which policy.
        config: settings of the contest.
        name: name of the contest.
        kinds: the request that waits, and those that come.
        lost: steps in which the first computes nothing, and later arrivals that ended meanwhile.
        allowed: whether the policy declares starvation.
        period: steps after which the plans repeat, None if they do not soon.
    """
    policy = made(context)
    file = io.StringIO()
    contest = Contest(config, *kinds, file)
    contest.run(SHOWN)
    contest.drive.end()
    title = (
        f"{policy.name}: a request computes nothing for {lost[0]:,} steps, while {lost[1]:,} that "
        f"arrived after it come and go (it is {name})"
    )
    saved = from_scheduler("starvation", title, contest.moves, file.getvalue().splitlines())
    lines = (
        f"its plans repeat every {period} steps" if period else "its plans do not repeat soon",
        f"the file has the first {SHOWN} steps of the run; it continues in the same way",
        *([] if not allowed else ["the policy declares starvation: may_starve"]),
    )
    code = "LC803" if allowed else "LC503"
    return Finding(code, title, lines, *place_of_policy(policy), content=saved.as_dict())
