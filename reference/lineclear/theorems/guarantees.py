"""Which theorems of its policy a configuration keeps, which it loses and why, and their bounds.

Guarantees: a theorem is said to hold only if no setting takes away a premise that it names, nor
one that its words need; otherwise the premise and the setting are named. What is off by its own
name (`Config.lacking`) takes something from every theorem that rests on it. `holds` presumes that the theorem is
proved: `lineclear prove --theorems` asks the solvers, this module does not. How its lemmas join, and with them each
bound, is argued on paper (docs/trust.md, `starvation.py`, `bounds.py`).

    for row in guarantees(Config(scheduling_policy="aging", max_bypasses=4)):
        print(row.theorem, row.status, row.why)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

from lineclear.config import Config
from lineclear.policies import BUILT_IN, load_claims, make
from lineclear.policies.tenants import TenantPolicy
from lineclear.policies.units import shown
from lineclear.rules import rules_of
from lineclear.theorems.bounds import Bound, BoundInputs, bound_of, sizes_of
from lineclear.workload.workload import Workload
from lineclear_spec.language.dialect import objection
from lineclear_spec.liveness.theorems import CLAIMS, Theorem


@dataclass(frozen=True, slots=True)
class Lost:
    """A premise that is not there.

    Attributes:
        premise: its name, as in `PREMISES`; "proof" if what is proved does not speak of this case.
        setting: what takes it away: a setting with its value, or the workload.
        what: what that does, if the name of the setting does not say it.
    """

    premise: str
    setting: str
    what: str = ""

    @property
    def shown(self) -> str:
        """The premise, for people."""
        return "not proved" if self.premise == "proof" else self.premise

    def __str__(self) -> str:
        """For people."""
        return f"{self.shown} ({': '.join(filter(None, (self.setting, self.what)))})"


@dataclass(frozen=True, slots=True)
class Guarantee:
    """One theorem, for one configuration.

    Attributes:
        theorem: the name that `lineclear prove --theorems` prints.
        sentence: what it says.
        status: `holds`; `no guarantee`, as a premise is lost; or `fails`, as it is the refutation of
            a property and holds whatever the settings are.
        premises: what it presumes, by name.
        lost: those of them that this configuration takes away.
        bound: what it bounds, if it holds and states a bound.
    """

    theorem: str
    sentence: str
    status: str
    premises: tuple[str, ...]
    lost: tuple[Lost, ...] = ()
    bound: Bound | None = None

    @property
    def why(self) -> str:
        """`no guarantee: ` and the premises that are lost, each with the setting; else the status."""
        if self.status != "no guarantee":
            return self.status
        return f"no guarantee: {', '.join(map(str, self.lost))}"

    def json(self) -> dict[str, Any]:
        """The contract for scripts."""
        found: dict[str, Any] = asdict(self)
        if self.bound is not None:
            found["bound"]["number"] = shown(self.bound.number)
            found["bound"]["where"] = [(name, shown(value)) for name, value in self.bound.where]
        return {**found, "premises": list(self.premises), "lost": list(map(str, self.lost))}


#: What each rule that `Config.lacking` may name takes away, by that name.
TAKEN_BY_RULE: dict[str, tuple[str, ...]] = {
    "a swapped request goes back by its place in the order": ("F2", "F4", "F15"),
    "the watermark is waived when nothing runs": ("F1",),
    "a request is preempted only if a block is needed": ("F1",),
    "decodes go on while prompts arrive": ("F5",),
    "no request is admitted in a step that preempted": ("F2",),
    "a preempted request is queued before later arrivals": ("F2", "F4", "F15"),
    "a swapped prompt goes on in chunks": ("F5",),
    "a preempted request is queued again by its place in the order": ("F4", "F9", "F11"),
    "no request passes one that does not fit": ("F2", "F9", "F15"),
    "a request that grows preempts only later ones in the order": ("F3",),
}
#: What a step that decides by rules of its own takes away.
OF_A_STEP = ("F1", "F2", "F3", "F4", "F5", "F9", "F12", "F14", "F15")
#: Up to this priority the rounding of a key is below `bound_checks.ROUNDING`.
MOST_EXACT = 10**6
#: Levels of which the feedback queue's lemmas are proved, see the end of its file.
PROVED_LEVELS = 6


def lost_premises(config: Config, workload: Workload | None = None) -> list[Lost]:
    """Every premise that these settings, or these requests, take away. F8 and A1 to A5 are what the environment
    and callers do: of them A3 and A5 alone are looked at, and F13, if there is a workload.
    """
    lost: list[Lost] = []
    if config.max_bypasses:
        lost += [Lost(name, f"max_bypasses {config.max_bypasses}") for name in ("F2", "F9")]
    if config.wait_for_prefix:
        why = "the head may wait for a block that one before it computes; the first in the order never does"
        lost.append(Lost("F14", "wait_for_prefix", why))
    if config.cuts_recomputes:
        why = "its bounds presume that a sequence is computed in one step, or any in parts"
        lost.append(Lost("F5", "enable_chunked_recompute", why))
    policy = make(config.scheduling_policy, dict(config.policy_options))
    swaps = config.num_cpu_blocks > 0 and config.preemption_mode != "recompute"
    if config.swapped_first and swaps and not isinstance(policy, TenantPolicy):
        # A policy that shares among tenants has queues of its own, which the setting leaves alone.
        lost += [Lost(name, "swapped_first") for name in ("F2", "F15")]
    setting = f"rules {config.rules}"
    for rule in config.lacking:
        lost += [
            Lost(name, setting, f"off is that {rule}") for name in TAKEN_BY_RULE.get(rule, ())
        ]
    if rules_of(config.rules).replaces:
        why = "admission, victims and queue positions are not decided by what is proved"
        lost += [Lost(name, setting, why) for name in OF_A_STEP]
    if ":" in config.rules and not config.rules.startswith("lineclear."):
        lost.append(Lost("proof", setting, "a way of one's own to build a step"))
    if config.num_lookahead_slots:
        drafts = f"num_lookahead_slots {config.num_lookahead_slots}"
        lost.append(Lost("F10", drafts, "a step is charged as one token, however many it accepts"))
        lost.append(Lost("F13", drafts, "a level is that of the last look"))
    if config.max_steps_in_flight > 1:
        why = "a step in flight at a look brings its token later"
        lost.append(Lost("F13", f"max_steps_in_flight {config.max_steps_in_flight}", why))
    if config.max_steps_in_flight > 1 and swaps:
        why = "a token sampled while its copy in is under way may be lost to a recompute"
        lost.append(
            Lost("F10", f"max_steps_in_flight {config.max_steps_in_flight} with swaps", why)
        )
    if workload is not None:
        without = sum(r.deadline is None or r.deadline == inf for r in workload.requests)
        late = sum(
            r.deadline is not None and r.deadline < r.arrival_time for r in workload.requests
        )
        keyed = claims_of(config) == "aging"  # no other claim with A5 has priorities in its key
        beyond = sum(keyed and abs(r.priority) > MOST_EXACT for r in workload.requests)
        groups = sum(r.parallel > 1 for r in workload.requests)
        for premise, count, what in (
            ("A3", without, "have no deadline"),
            ("A3", late, "had to be done on arrival"),
            ("A5", beyond, f"have a priority beyond {MOST_EXACT:,}"),
            (
                "F13",
                groups,
                "have several sequences, of which the first may end before the others",
            ),
        ):
            if count:
                of = f"{count:,} of {len(workload.requests):,} requests"
                lost.append(Lost(premise, "the workload", f"{of} {what}"))
    return list(dict.fromkeys(lost))


def claims_of(config: Config) -> str | None:
    """Under which name the policy's theorems were claimed; None for a custom policy."""
    policy = make(config.scheduling_policy, dict(config.policy_options))
    kind = f"{type(policy).__module__}:{type(policy).__qualname__}"
    names = [name for name, path in BUILT_IN.items() if path == kind]
    if not names:
        return None
    if names[0] in ("sjf", "lpl") and getattr(policy, "aged", False):
        return f"{names[0]}_aging"
    return names[0]


def guarantees(config: Config, workload: Workload | None = None) -> list[Guarantee]:
    """One row for each theorem of the configuration's policy.

    Args:
        config: policy and options, bypass, swapped_first, victim, preemption mode, chunking, depth and rules.
        workload: lengths, deadlines and so on of the requests: bounds are then numbers for these,
            and premises about callers are looked at.

    Raises:
        ValueError: the policy can't be made.
    """
    load_claims()
    name = claims_of(config)
    if name is None:
        mine = make(config.scheduling_policy, dict(config.policy_options))
        said = objection(mine)
        what = f"one's own, and not judged: {said}" if said else "one's own"
        why = Lost("proof", f"scheduling_policy {config.scheduling_policy}", what)
        return [
            Guarantee(
                config.scheduling_policy,
                "a custom policy: safe whatever it answers, and no more",
                "no guarantee",
                (),
                (why,),
            )
        ]
    policy = make(config.scheduling_policy, dict(config.policy_options))
    case = BoundInputs(config, policy, sizes_of(config, workload), workload)
    lost = lost_premises(config, workload)
    levels = getattr(policy, "levels", PROVED_LEVELS) if name == "mlfq" else PROVED_LEVELS
    if levels != PROVED_LEVELS:
        lost.append(Lost("proof", f"levels {levels}", f"the lemmas are proved of {PROVED_LEVELS}"))
    return [stands(theorem, lost, case) for theorem in CLAIMS[name].theorems]


def stands(theorem: Theorem, lost: Iterable[Lost], case: BoundInputs) -> Guarantee:
    """The status of one theorem when these premises are lost."""
    if not theorem.holds:
        return Guarantee(theorem.name, theorem.sentence, "fails", theorem.premises)
    needed = {*theorem.premises, "proof"}
    mine = tuple(one for one in lost if one.premise in needed)
    if mine:
        return Guarantee(theorem.name, theorem.sentence, "no guarantee", theorem.premises, mine)
    bound = bound_of(theorem.name, case)
    return Guarantee(theorem.name, theorem.sentence, "holds", theorem.premises, (), bound)


def verdict(rows: Iterable[Guarantee]) -> str:
    """One line: that all hold, or which are lost and what takes their premises away."""
    found = list(rows)
    lost = [row for row in found if row.status == "no guarantee"]
    fails = [row.theorem for row in found if row.status == "fails"]
    known = f"; fails by design: {', '.join(fails)}" if fails else ""
    if not lost:
        return f"all {len(found) - len(fails)} theorems hold{known}"
    taken: dict[str, dict[str, None]] = {}
    for one in (one for row in lost for one in row.lost):
        taken.setdefault(one.setting, {})[one.shown] = None
    reasons = [f"{' '.join(sorted(names))} ({setting})" for setting, names in taken.items()]
    names = " ".join(row.theorem for row in lost)
    return f"no guarantee: {names}: {', '.join(reasons)}{known}"
