"""The key of a state: a search counts two schedulers with equal keys as one state.

Guarantees: worlds with equal keys allow the same moves for ever after, up to the names of
requests, block ids and clocks.

The ledger's part is the key of the table's search (`lineclear_spec.modelcheck.keys`), read from the ledger, from the
histories that the observer keeps and from the tables that the device has read. Beside it stands what the scheduler
adds: the two orders, as permutations of the live requests by age; who is in the decode batch since which step in
flight; what each step in flight will report. What the device holds is in the key only where it is not what the ledger
counts on: content that is garbage or another token. Left out are names, counters of statistics, and the layout of the
heap, which decides nothing because its order is total.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from lineclear.explore.orders import MEMBERS, kept
from lineclear_spec.kernel.progress import may_be_displaced
from lineclear_spec.kernel.records import CPU
from lineclear_spec.modelcheck.keys import state_key

if TYPE_CHECKING:
    from lineclear.explore.world import World

#: Index in the table's key of the flag that `lift_fences` is allowed. The scheduler lifts fences of its own accord
#: when the clock of what is done matters, which decides nothing that it does otherwise.
LIFT_FENCES = 3


class KeyedState:
    """A ledger and an observer's histories, as `state_key` reads them."""

    def __init__(self, world: World) -> None:
        ledger, observer = world.scheduler.ledger, world.observer
        self._ledger = ledger
        self.requests = [entry.record for entry in world.live()]
        self.touched = {
            n: frozenset([(tier, place) for tier, at in enumerate(places) for place in at])
            for n, places in observer.touched.items()
            if n in ledger.operations
        }
        self.born = {r: observer.born.get(r, 0) for r in self.requests}
        self.reader = {
            s.id: tuple(known.table)
            for entry in world.live()
            for s in entry.record.members
            for known in [world.bench.device.branches.get((entry.request_id, entry.branch(s)))]
            if known is not None and known.has_table
        }

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


def world_key(world: World) -> tuple[Any, ...]:
    """The part of the state that determines all later steps."""
    scheduler = world.scheduler
    ledger, live = scheduler.ledger, world.live()
    age = {entry.record: k for k, entry in enumerate(live)}
    which = {s: (k, j) for k, e in enumerate(live) for j, s in enumerate(e.record.members)}
    gone = (-1, -1)
    most = scheduler.config.max_bypasses
    committed = ledger.committed

    flights = tuple(
        [
            (
                flight.step - committed,
                tuple(
                    [
                        (which.get(s, gone), row.drafts)
                        for s, row in zip(flight.sampling, flight.plan.sampling, strict=False)
                    ]
                ),
                tuple([which.get(s, gone) for s in flight.decode_batch]),
                tuple([which.get(s, gone) for s in flight.left]),
                tuple([n for n in flight.copies if n in ledger.operations]) != (),
            )
            for flight in scheduler.flights
        ]
    )
    table = state_key(KeyedState(world))  # type: ignore[arg-type]
    return (
        (*table[:LIFT_FENCES], *table[LIFT_FENCES + 1 :]),
        world.arrived,
        tuple([(e.priority, min(e.bypassed, most), displaceable(e)) for e in live]),
        tuple([(e.may_fork_later, max(0, e.n - e.branches_made)) for e in live if e.n > 1]),
        tuple([age[e.record] for e in sorted(live, key=lambda e: e.order)]),
        tuple([age[e.record] for e in sorted(live, key=lambda e: e.rank)]),
        tuple([age[e.record] for e in sorted(scheduler.queue, key=lambda e: e.place)]),
        tuple([which[s] for s in scheduler.batch.explicit]),
        tuple([(which[s], max(at - committed, 0)) for s, at in scheduler.batch.joined.items()]),
        tuple([which[s] for s in scheduler.batch.members]),
        tuple(sorted([which[s] for s in scheduler.replaced])),
        scheduler.live.draining, len(scheduler.policy_failures), flights,
        shown_to_policy(world, live) if world.bounds.own else kept(world, live),
        misplaced(world, live),
        tuple([block.name for block in ledger.resting]), by_use(scheduler),
        tuple([(which.get(s, gone), at) for s, at in scheduler.cache.pending.items()]),
        tuple([(name, n, name in scheduler.cache.forgotten) for name, n in sorted(scheduler.cache.held.items())]),
        spoiled(world),
    )  # fmt: skip


def displaceable(entry: Any) -> bool:
    """Whether it may be displaced while it runs: all that the future asks of how it entered."""
    answer: bool = may_be_displaced(entry.sheltered, entry.kept_a_token)
    return answer


def by_use(scheduler: Any) -> tuple[Any, ...]:
    """What the order of eviction goes by: how often blocks were found, and the keys of those at rest."""
    order = scheduler.cache.order
    if order is None:
        return ()
    keys = sorted((name, entry[0] - order.age) for name, entry in order.filed.items())
    return tuple(sorted(order.found.items())), tuple(keys)


def misplaced(world: World, live: list[Any]) -> tuple[tuple[int, int, int], ...]:
    """Positions that the ledger counts as computed and whose content on the device is wrong."""
    ledger, bench = world.scheduler.ledger, world.bench
    found: list[tuple[int, int, int]] = []
    for k, entry in enumerate(live):
        for j, sequence in enumerate(entry.record.members):
            table = sequence.table
            if not table:
                continue
            branch = bench.live[entry.request_id].branches[entry.branch(sequence)]
            tokens = branch.history[: ledger.num_computed_tokens(sequence)]
            tier = "cpu" if table[0].tier == CPU else "gpu"
            places = [block.block_id for block in table]
            found += [(k, j, position) for position in bench.device.wrong(tier, places, tokens)]
    return tuple(found)


def spoiled(world: World) -> tuple[int, ...]:
    """Names under which a block is found whose content on the device is not what they stand for."""
    found: list[int] = []
    size = world.scheduler.config.block_size
    for name, block in world.scheduler.ledger.cached.items():
        family, place = divmod(name - 1, MEMBERS)
        tokens = [-MEMBERS * family - place * size - k - 1 for k in range(size)]
        if any(True for _ in world.bench.device.wrong("gpu", [block.block_id], tokens)):
            found.append(name)
    return tuple(sorted(found))


def shown_to_policy(world: World, live: list[Any]) -> tuple[Any, ...]:
    """What a policy of which nothing is known remembers, and what it is shown of those that live.

    What it was not seen to look at is left out. Numbers of arrivals count as their distance from the
    next one, and clocks not at all: a policy that makes more of them may have states that are taken
    for one, so its cycles are gone round before they are believed.
    """
    scheduler, looks = world.scheduler, world.looks
    steps, next_one = scheduler.ledger.steps, scheduler.arrivals + 1
    by_number = bool(looks & {"number", "request_id"})
    seen = [
        (
            next_one - entry.number if by_number else 0,
            entry.preemptions if "preemptions" in looks else 0,
            entry.review - steps if entry.review >= 0 else None,
            entry.started,
        )
        for entry in live
    ]
    return pickle.dumps(vars(scheduler.policy)), tuple(seen)
