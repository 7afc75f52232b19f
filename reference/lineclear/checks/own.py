"""The stages for one policy: its answers, and what can be proved of its order.

Guarantees: findings carry the policy's name; what cannot be proved is reported as not proved, with
the reason, and never passes.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from lineclear.checks.stage import Context, Finding, Outcome, ReportCase, shown
from lineclear.policies import Policy, make
from lineclear.policies.probe import Spy, views
from lineclear.policies.tenants import TenantPolicy
from lineclear.policies.validation import at_least_one, class_of, numbers, one_line, steps, truth
from lineclear.policies.view import View

if TYPE_CHECKING:
    from lineclear_spec.liveness.theorems import Claims

SAMPLES = {"fast": 60, "default": 300, "deep": 3000}
#: The obligations that hold for any policy, and the one that implies that no request starves.
TOTAL = ("the order is ", "the rank is ")
EARLIER = "only who arrived earlier comes before"


def made(context: Context) -> Policy:
    """Creates the policy."""
    assert context.config is not None
    return make(context.config.scheduling_policy, dict(context.config.policy_options))


def place_of_policy(policy: object) -> tuple[str, int]:
    """File and line of its class, or ("", 0)."""
    import inspect

    try:
        return shown(inspect.getsourcefile(type(policy)) or ""), inspect.getsourcelines(
            type(policy)
        )[1]
    except (OSError, TypeError):
        return "", 0


def asked(policy: Any, method: str, understand: Any, *arguments: Any) -> tuple[Any, str]:
    """A plain answer, or what is wrong with it.

    Args:
        policy: the policy.
        method: its method.
        understand: turns the answer into plain values, or raises; called with the method's name and the answer.
        arguments: arguments of the method.
    """
    try:
        return understand(method, getattr(policy, method)(*arguments)), ""
    except Exception as error:
        said = f"{error}" if isinstance(error, TypeError) else f"{class_of(error)}: {error}"
        return None, f"{method} of {described(arguments)}: {one_line(said)}"


def described(arguments: tuple[Any, ...]) -> str:
    """Describes the requests of a question."""
    words = [
        f"a request with {a.request!r}" if isinstance(a, View) else repr(a) for a in arguments
    ]
    return " and ".join(words)


def answers(context: Context) -> Outcome:
    """Calls every method with requests of every kind; equal questions must get equal answers."""
    policy: Any = made(context)
    requests = list(views(SAMPLES[context.mode]))
    bad: dict[str, str] = {}
    widths: dict[str, int] = {}
    counts = 0

    def judge(method: str, problem: str) -> None:
        if problem:
            bad.setdefault(method, problem)

    for method in ("key", "rank"):
        if not hasattr(policy, method):
            continue
        for view in requests:
            first, problem = asked(policy, method, numbers, view)
            again, _ = asked(policy, method, numbers, view)
            counts += 2
            if not problem and len(first) != widths.setdefault(method, len(first)):
                problem = f"{method} has {widths[method]} parts, and then {len(first)}"
            judge(method, problem)
            if not problem and first != again:
                bad.setdefault(
                    f"{method} twice",
                    f"{method} of {described((view,))} returned {first}, then {again}",
                )
    for one, other in pairwise(requests):
        judge("may_displace", asked(policy, "may_displace", truth, one, other)[1])
    for view in requests:
        if hasattr(policy, "share"):
            judge("share", asked(policy, "share", at_least_one, view, 512, 3)[1])
        if hasattr(policy, "review"):
            judge("review", asked(policy, "review", steps, view)[1])
        counts += 3
    place = place_of_policy(policy)
    codes = {"key twice": "LC805", "rank twice": "LC805"}
    findings = [
        Finding(codes.get(what, "LC804"), f"{policy.name}: {problem}", (), *place)
        for what, problem in bad.items()
    ]
    kind = "shares among tenants" if isinstance(policy, TenantPolicy) else "orders requests"
    return Outcome(
        "policy",
        "refuted" if findings else "passed",
        f"{policy.name} {kind}: {counts:,} questions about {len(requests)} kinds of requests, "
        f"{len(findings)} invalid answers",
        {"questions": counts, "bad": len(findings)},
        findings,
        [ReportCase("policy", what, "refuted", problem) for what, problem in bad.items()]
        or [ReportCase("policy", "answers", "passed")],
        "requests are sampled, not exhaustive",
    )


class Watched:
    """A policy, with a record of what it reads of requests.

    Args:
        policy: the policy.
        displaces: whether to call its `may_displace`; if not, no request may be displaced.
    """

    def __init__(self, policy: Any, displaces: bool = True) -> None:
        self._policy = policy
        self._displaces = displaces
        self.reads: set[str] = set()
        if hasattr(policy, "rank"):
            self.rank = self._rank

    def __getattr__(self, name: str) -> Any:
        """Parameters, for the claims of its module."""
        return getattr(self._policy, name)

    def key(self, request: Any) -> Any:
        """The policy's key."""
        return self._policy.key(Spy(request, self.reads))

    def _rank(self, request: Any) -> Any:
        """The policy's, if it has one."""
        return self._policy.rank(Spy(request, self.reads))

    def may_displace(self, waiting: Any, running: Any) -> Any:
        """The policy's answer, or False."""
        if not self._displaces:
            return False
        return self._policy.may_displace(Spy(waiting, self.reads), Spy(running, self.reads))


def memory(policy: object) -> bytes | None:
    """A comparable form of what it remembers; None if there is none."""
    try:
        return pickle.dumps(vars(policy))
    except Exception:
        return None


def unlike(policy: Any) -> str:
    """Why the proof on formulas would not apply to the policy that runs, or ""."""
    from lineclear_spec.liveness.orders import differs

    before = memory(policy)
    for method in ("key", "rank"):
        if not hasattr(policy, method):
            continue
        for view in views(80):
            answer = numbers(method, getattr(policy, method)(view))
            if differs(policy, method, view, answer):
                return f"as a formula its {method} differs for {described((view,))}"
    if before is None or before != memory(policy):
        return "its key changes the policy's state, or the state cannot be compared"
    return ""


def claims_of(policy: Any, context: Context) -> tuple[Claims, bool]:
    """The claims of the policy's own module, or those of any order; and whether they are its own."""
    from lineclear.policies import load_claims
    from lineclear.policies.claims.fcfs import EARLIER as FACT
    from lineclear_spec.liveness.theorems import CLAIMS, Claims

    load_claims()
    claimed = CLAIMS.get(policy.name)
    home = "" if claimed is None else claimed.make.__module__
    if (
        claimed is not None
        and home.replace(".policies.claims.", ".policies.") == type(policy).__module__
    ):
        return claimed, True
    return Claims(policy.name, lambda _: made(context), (), (FACT,)), False


def theorem(claims: Claims, answers: Sequence[tuple[str, str]]) -> str:
    """The starvation-freedom theorem of these claims, if its obligations here are proved, or "".

    Args:
        claims: claims of the policy.
        answers: (obligation, status) of its order's obligations; the table's are proved elsewhere.
    """
    from lineclear_spec.liveness.theorems import ORDER, TABLE

    names = (f"{claims.policy}.P7", f"{claims.policy}.P9")
    for found in claims.theorems:
        mine = [start for start in found.rests_on if start.startswith(ORDER)]
        statuses = [[s for key, s in answers if key.startswith(start)] for start in mine]
        if (
            found.holds
            and found.name in names
            and TABLE in found.rests_on
            and statuses
            and all(set(one) == {"proved"} for one in statuses)
        ):
            return found.name
    return ""


def watching(claims: Claims, watched: Watched) -> Claims:
    """The same claims, for a policy that is watched."""
    from dataclasses import replace

    def make_it(_: Any) -> Watched:
        return watched

    return replace(claims, make=make_it)


def order(context: Context) -> Outcome:
    """Runs key, rank and displacement on arbitrary symbolic requests."""
    from lineclear_spec.language.dialect import objection
    from lineclear_spec.liveness import orders
    from lineclear_spec.liveness.progress_units import of_progress
    from lineclear_spec.liveness.theorems import ORDER
    from lineclear_spec.proof import prove

    policy: Any = made(context)
    claims, own = claims_of(policy, context)
    note = ""
    goals: Any = None
    # A policy may use any Python, but nothing is proved of what has no formula.
    why = objection(policy, claims if own else None)
    watched = Watched(made(context))
    try:
        goals = orders.order(claims if own else watching(claims, watched)) if not why else None
    except Exception as first:
        note = f"may_displace has no formula ({one_line(str(first))})"
        watched = Watched(made(context), displaces=False)
        try:
            goals = orders.order(watching(claims, watched))
        except Exception as error:
            why = f"its key has no formula ({one_line(f'{class_of(error)}: {error}')})"
    try:
        why = why or ("" if own else unlike(made(context)))
    except Exception as error:
        why = one_line(f"{class_of(error)}: {error}")
    if why:
        said = f"{policy.name}: not proved, only tested: {why}"
        return Outcome("order", "skipped", said, left_out="proofs about the order")
    results = prove.prove_unit(of_progress(f"{ORDER}{policy.name}", *goals))
    needed = [r for r in results if own or r.label.startswith(TOTAL)]
    bad = [r for r in needed if r.status != "proved"]
    extra = {r.label: r.status for r in results if r not in needed}
    place = place_of_policy(policy)
    findings = [
        Finding(
            "LC101" if r.status == "refuted" else "LC201",
            f"{policy.name}: {r.label}: {r.status}",
            (),
            *place,
            content={"obligation": r.key, "status": r.status, "solver": r.solver, "seed": r.seed},
        )
        for r in bad
    ]
    moves = [
        name for name in ("review", "ended", "first", "rank", "share") if hasattr(policy, name)
    ]
    earlier = extra.get(EARLIER) == "proved" and not moves
    refuted = any(r.status == "refuted" for r in bad)
    summary = f"{policy.name}: {len(needed) - len(bad)} of {len(needed)} obligations proved by "
    summary += prove.solver_version() + ", for any requests"
    config = context.config
    by = "order of arrival" if earlier else ""
    if own:
        by = theorem(claims, [(r.key, r.status) for r in results]) or by
    if config is None or config.max_bypasses or config.swapped_first or config.lacking:
        by, earlier = "", False  # F2: no request enters before the head of the queue
    if earlier:
        summary += "; no later arrival precedes an earlier one, so no request starves"
    elif by:
        summary += f"; with the table's proofs that is {by} (lineclear prove --theorems)"
    left = [note] if note else []
    if not by:
        left.append("freedom from starvation is not proved: see starvation")
    return Outcome(
        "order",
        "refuted" if refuted else "unknown" if bad or not needed else "passed",
        summary,
        {"asked": len(needed), "proved": len(needed) - len(bad), "none_starves_by": by},
        findings,
        [
            ReportCase("order", r.label, "passed" if r.status == "proved" else r.status)
            for r in needed
        ],
        "; ".join(left),
    )
