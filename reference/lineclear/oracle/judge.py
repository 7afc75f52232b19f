"""Whether a call of the scheduler did what the rules say.

Guarantees: `schedule` raises `Undone` if the step differs from the expected one in anything that a plan, a
table, a queue, a seat or a counter shows, and names the rule; what it does not judge it counts by name.
Whatever the scheduler itself raises passes through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from lineclear.oracle.orders import Orders, Uncopied
from lineclear.oracle.rules import Undone
from lineclear.oracle.state import Branch, Live, State, observe
from lineclear.oracle.step import Expected, Row
from lineclear_spec.lifecycle import Phase

if TYPE_CHECKING:
    from lineclear.entry import Entry
    from lineclear.plan import Plan
    from lineclear.request import Finished
    from lineclear.scheduler import Scheduler

__all__ = ["Oracle", "rows_of"]


def rows_of(plan: Plan) -> list[Row]:
    """The rows of a plan in plain form; of one in the decode batch the first position is not told."""
    return [
        (r.request_id, r.branch, r.tokens, r.drafts, r.start, r.samples, r.prefill)  # type: ignore[misc]
        for r in plan.scheduled_seq_groups
    ]


class Oracle:
    """Judges the steps of one scheduler.

    Args:
        scheduler: whose; `schedule` is to be called through the oracle.

    Attributes:
        judged: steps that were judged.
        exempt: steps that were not, by the name of the exemption.
        limits: steps that did less than they could, by the rule that says so.
        sheltered: requests that displaced another and have kept no token since.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        """Nothing was judged."""
        self.scheduler = scheduler
        self.judged = 0
        self.exempt: Counter[str] = Counter()
        self.limits: Counter[str] = Counter()
        self.sheltered: dict[Hashable, int] = {}  # id -> number of its arrival

    def exemption(self) -> str:
        """Why steps of this scheduler are not judged, or ""."""
        config = self.scheduler.config
        return "rules" if config.rules != "lineclear" else "broken" if config.broken else ""

    def schedule(self) -> Plan:
        """Calls `schedule` of the scheduler and judges the step.

        Raises:
            Undone: it is not the step that the rules give.
        """
        scheduler = self.scheduler
        why = self.exemption()
        if why or scheduler.interruption is not None or scheduler.asking:
            self.exempt[why or "policy failed"] += 1
            return scheduler.schedule()
        if len(scheduler.flights) >= scheduler.config.depth:
            return scheduler.schedule()  # which it refuses
        state = observe(scheduler, self._sheltered())
        before = self._counts()
        try:
            orders = Orders(scheduler.policy, state)
            if not state.fcfs:
                self._check_places(orders, state)
            listed = {sequence: k for k, sequence in enumerate(scheduler.explicit)}

            def position(branch: Branch) -> int:
                return listed.get(branch.sequence, -1)

            expected = Expected(state, orders, position)
        except Uncopied:
            self.exempt["no copy"] += 1
            return scheduler.schedule()
        except Undone:
            raise
        except Exception:
            expected = None  # the policy raised: the scheduler copes with that
            if not scheduler.foreign:
                raise
        plan = scheduler.schedule()
        if expected is None or (scheduler.policy_failures and not state.fcfs):
            self.exempt["policy failed"] += 1
            return plan
        self._judge(expected, plan, before)
        self.judged += 1
        if expected.reason:
            self.limits[expected.reason] += 1
        if expected.displaced:
            (name,) = expected.admitted
            self.sheltered[name] = scheduler.entries[name].number
        return plan

    def commit(self, plan: Plan, sampled: Any, stopped: Any = ()) -> list[Finished]:
        """Calls `commit` of the scheduler and notes who has kept a token."""
        scheduler = self.scheduler
        watched = {name: scheduler.entries[name] for name in self._sheltered()}
        before = {name: lengths(scheduler, entry) for name, entry in watched.items()}
        finished = scheduler.commit(plan, sampled, stopped)
        for name, entry in watched.items():
            after = lengths(scheduler, entry)
            if any(tokens > before[name].get(branch, 0) for branch, tokens in after.items()):
                del self.sheltered[name]
        return finished

    # ---- before --------------------------------------------------------------------------------

    def _sheltered(self) -> list[Hashable]:
        """Requests that displaced another, still run, and have kept no token since."""
        entries = self.scheduler.entries
        for name, number in tuple(self.sheltered.items()):
            entry = entries.get(name)
            if entry is None or entry.number != number or entry.record.phase != Phase.RUNNING:
                del self.sheltered[name]
        return list(self.sheltered)

    def _counts(self) -> dict[str, int]:
        """Counters that a step may change."""
        counters = self.scheduler.counters
        return {
            "swap": counters.preemptions["swap"],
            "recompute": counters.preemptions["recompute"],
            "discarded": counters.discarded,
            "recomputed tokens": counters.recomputed_tokens,
            "preempted alone": counters.preempted_alone,
            "steps": counters.steps,
            "tokens": counters.batched_tokens,
        }

    def _check_places(self, orders: Orders, state: State) -> None:
        """A built-in policy without memory puts each request where it put it at first."""
        if self.scheduler.foreign or orders.reviews or orders.tenants:
            return
        for live in state.lives:
            order, rank = live.order, live.rank
            orders.place(live)
            if (order, rank) != (live.order, live.rank):
                raise Undone("order", f"request {live.name!r} stands at {order}, {rank}, not at "
                             f"{live.order}, {live.rank}")  # fmt: skip

    # ---- after ---------------------------------------------------------------------------------

    def _judge(self, expected: Expected, plan: Plan, before: dict[str, int]) -> None:
        """Compares everything, the first cause first."""
        made = list(plan.preempted)
        rule = "displacement" if expected.displaced else "growth"
        same(rule, "preempted", [name for name, _ in made], [n for n, _ in expected.preempted])
        now = observe(self.scheduler)
        theirs, mine = by_name(now), by_name(expected.state)
        same("ended", "live requests", set(theirs), set(mine))
        after = self._counts()
        grew = {name: after[name] - before[name] for name in after}
        self._modes(expected, made, theirs, grew["discarded"])
        for name, live in mine.items():
            rule = "admission" if live.phase == Phase.RUNNING or live.name in dict(made) else "discard"
            same(
                "admission" if theirs[name].phase == Phase.RUNNING else rule,
                f"phase of request {name!r}",
                theirs[name].phase.name,
                live.phase.name,
            )
        self._rows(expected, plan)
        for name, live in mine.items():
            self._tables(theirs[name], live)
        ledger, state = self.scheduler.ledger, expected.state
        same("blocks", "free GPU blocks", ledger.gpu.free, state.gpu_free)
        same("blocks", "free CPU blocks", ledger.cpu.free, state.cpu_free)
        same("seats", "seats taken", self.scheduler.seats, state.config.max_num_seqs - state.seats_free)
        if state.of_phase(Phase.WAITING, Phase.SWAPPED):
            same("reason", "why nothing enters", self.scheduler.refrained, expected.reason)
        for name, live in mine.items():
            self._stands(theirs[name], live)
        modes = Counter(mode for _, mode in expected.preempted)
        tokens = sum(row[2] for row in expected.rows)
        same(
            "counts",
            "counters",
            grew,
            {
                "swap": modes["swap"],
                "recompute": modes["recompute"],
                "discarded": len(expected.discarded),
                "recomputed tokens": expected.lost,
                "preempted alone": expected.alone,
                "steps": int(tokens > 0),
                "tokens": tokens,
            },
        )

    def _modes(
        self,
        expected: Expected,
        made: list[tuple[Hashable, str]],
        theirs: dict[Hashable, Live],
        discarded: int,
    ) -> None:
        """How each was preempted, and whose copies were discarded for it."""
        for name in expected.discarded:
            kept = theirs[name].phase == Phase.SWAPPED
            same("discard", f"copy of request {name!r} is kept", kept, False)
        same("discard", "copies discarded", discarded, len(expected.discarded))
        for mine, their in zip(expected.preempted, made, strict=True):
            same("mode", f"preemption of request {mine[0]!r}", their[1], mine[1])

    def _rows(self, expected: Expected, plan: Plan) -> None:
        """Every sequence that can be served is, with the tokens that are its due."""
        rows = rows_of(plan)
        wanted = expected.rows
        same(
            "service",
            "sequences in the plan",
            sorted((str(row[0]), row[1]) for row in rows),
            sorted((str(row[0]), row[1]) for row in wanted),
        )
        told = {(row[0], row[1]): row for row in rows}
        for row in wanted:
            theirs = told[row[0], row[1]]
            if theirs[4] is None:  # in the decode batch
                row = (*row[:4], None, *row[5:])  # type: ignore[assignment]
            same("shares", f"row of request {row[0]!r}, branch {row[1]}", theirs, row)
        same(
            "shares",
            "order of the prefills",
            [row[:2] for row in rows if row[6]],
            [row[:2] for row in wanted if row[6]],
        )
        same("shares", "tokens of the plan", plan.num_batched_tokens, sum(r[2] for r in wanted))
        same("shares", "prefills of the plan", plan.num_prefill_groups, sum(r[6] for r in wanted))
        same("service", "the plan has a step", plan.step is not None, bool(wanted))

    def _tables(self, their: Live, mine: Live) -> None:
        """Its blocks, slots and counters."""
        name = mine.name
        same("blocks", f"blocks of request {name!r}", len(their.blocks), len(mine.blocks))
        same(
            "blocks",
            f"tables of request {name!r}: branch, known, reached, slots, entries, samples to come",
            [counts(branch) for branch in their.branches],
            [counts(branch) for branch in mine.branches],
        )

    def _stands(self, their: Live, mine: Live) -> None:
        """Where it stands in the order, and what is remembered of it."""
        name = mine.name
        same("order", f"place of request {name!r}", (their.order, their.rank), (mine.order, mine.rank))
        waits = mine.phase != Phase.RUNNING
        same(
            "order",
            f"request {name!r}: preemptions, passed by, looked at next, waits since",
            (their.preemptions, their.bypassed, their.review, waits and their.since),
            (mine.preemptions, mine.bypassed, mine.review, waits and mine.since),
        )


def counts(branch: Branch) -> tuple[int, ...]:
    """What is compared of a sequence."""
    return (
        branch.number,
        branch.known,
        branch.reach,
        branch.slots,
        len(branch.table),
        branch.pending,
    )


def lengths(scheduler: Scheduler, entry: Entry) -> dict[int, int]:
    """Generated tokens of each branch of a request, those that ended included."""
    ledger, record = scheduler.ledger, entry.record
    found = {o.branch: o.generated_tokens for o in entry.outputs or ()}
    for sequence in record.members:
        found[entry.branch(sequence)] = ledger.known(sequence) - record.prompt
    return found


def by_name(state: State) -> dict[Hashable, Live]:
    """Live requests by id."""
    return {live.name: live for live in state.lives}


def same(rule: str, what: str, found: Any, wanted: Any) -> None:
    """Raises if the two differ."""
    if found != wanted:
        raise Undone(rule, f"{what}: {found!r}, and it should be {wanted!r}")
