"""Searches under every policy: what of a policy belongs to a state, and who may wait for ever."""

from __future__ import annotations

import random
from collections.abc import Hashable
from typing import Any

import pytest

from lineclear.config import VICTIMS
from lineclear.explore import orders
from lineclear.explore.bounds import RequestShape, SearchBounds
from lineclear.explore.keys import world_key
from lineclear.explore.policy_worlds import (
    OF_POLICIES,
    combinations,
    of_policy,
    policies,
    three_tenants,
)
from lineclear.explore.report import explore, markdown
from lineclear.explore.search import search
from lineclear.explore.small import LONG, SHORT, small
from lineclear.explore.world import World
from lineclear.oracle.inspection import Inspection
from lineclear.policies import BUILT_IN, load_claims
from lineclear.policies.drr import DeficitRoundRobin
from lineclear.policies.mlfq import MultiLevelFeedbackQueue
from lineclear.policies.view import View
from lineclear.policies.vtc import VirtualTokenCounter
from lineclear_spec.liveness.theorems import CLAIMS

#: Policies of which a request may wait for ever here: all have a deadline, and tenants are few.
STARVING = {"priority", "hybrid", "sjf", "lpl"}
TWO = SearchBounds("two", small(max_num_batched_tokens=2), (LONG, SHORT))


def disagreements(bounds: SearchBounds, walks: int = 12, length: int = 40) -> tuple[int, int]:
    """Walks at random that meet a known key by another way: how often, and how often they differ."""
    draw = random.Random(11)
    first: dict[Any, dict[Any, Any]] = {}
    again = wrong = 0
    for _ in range(walks):
        world = World(bounds)
        for _ in range(length):
            key, frozen = world_key(world), world.freeze()
            moves = list(world.moves())
            if key not in first or draw.random() < 0.3:
                after: dict[Any, Any] = {}
                for move in moves:
                    world.thaw(frozen)
                    world.do(move)
                    after[move] = world_key(world)
                if key in first:
                    again += 1
                    wrong += after != first[key]
                first.setdefault(key, after)
            world.thaw(frozen)
            world.do(draw.choice(moves))
    return again, wrong


def of(policy: str) -> SearchBounds:
    """A small world of a policy."""
    return of_policy(policy, "last", "swap", chunked=True, live=2)


@pytest.mark.parametrize("bounds", [TWO, *map(of, BUILT_IN)], ids=lambda bounds: bounds.name)
def test_worlds_with_equal_keys_have_equal_successors(bounds: SearchBounds) -> None:
    again, wrong = disagreements(bounds, 60 if bounds is TWO else 12)
    assert wrong == 0
    assert again > 50


@pytest.mark.parametrize("policy", ["aging", "ceiling", "edf", "vtc", "drr", "mlfq"])
def test_without_the_policys_part_the_key_is_seen_to_be_too_small(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object) -> tuple[()]:
        return ()

    monkeypatch.setattr("lineclear.explore.keys.kept", nothing)
    again, wrong = disagreements(of(policy))
    assert again > 50
    assert wrong > 0


@pytest.mark.slow
def test_worlds_that_differ_in_who_may_be_displaced_are_two_states() -> None:
    world = World(of("priority"))
    world.do(("submit", 0))
    world.do(("schedule",))
    (entry,) = world.scheduler.running.entries.values()
    key = world_key(world)
    entry.kept_a_token = True  # decides nothing for one that displaced no other
    assert world_key(world) == key
    entry.sheltered, entry.kept_a_token = True, False
    assert world_key(world) != key
    world.thaw(world.freeze())
    (entry,) = world.scheduler.running.entries.values()
    assert entry.sheltered
    entry.kept_a_token = True
    assert world_key(world) == key


#: Each policy has two worlds that differ in everything. By default each is searched in one of them, so
#: that half of the policies are searched in either kind; `deep` searches the rest.
WORLDS = policies()
#: The two worlds of three tenants stand last: that of drr is searched where its turn is lost, and that of
#: vtc, with a debt that is forgotten, where that is found.
CHOSEN = [world for k, world in enumerate(WORLDS[:-2]) if k % 4 in (0, 3)]


def starves_whom_it_says(world: SearchBounds) -> None:
    """The search is exhausted, finds nothing wrong, and a request starves exactly if the policy says so."""
    report = explore(world)
    assert report.graph.complete
    assert not report.refuted
    assert report.stuck == report.livelocks == []
    assert bool(report.starvation) == (world.config.scheduling_policy in STARVING)


@pytest.mark.parametrize("world", CHOSEN, ids=lambda world: world.name)
def test_every_policy_is_searched_and_starves_whom_its_theorems_say(world: SearchBounds) -> None:
    starves_whom_it_says(world)


@pytest.mark.deep
@pytest.mark.parametrize(
    "world", [world for world in WORLDS if world not in CHOSEN], ids=lambda world: world.name
)
def test_the_other_world_of_every_policy_starves_the_same(world: SearchBounds) -> None:
    starves_whom_it_says(world)


def test_every_policy_has_a_world_and_its_theorems_say_whether_it_starves() -> None:
    load_claims()
    for worlds in (WORLDS, CHOSEN):
        policies_of = {world.config.scheduling_policy for world in worlds}
        assert policies_of == set(OF_POLICIES) == set(BUILT_IN)
    assert {world.config.preemption_mode for world in CHOSEN} == {"swap", "recompute"}
    fails = {
        name
        for name, claims in CLAIMS.items()
        if any(t.name == f"{name}.P7" and not t.holds for t in claims.theorems)
    }
    assert fails == STARVING


def first_violation(world: SearchBounds) -> str:
    """What the search finds wrong first."""
    ((_, what),) = search(world, most_violations=1).violations
    return what


def without_the_oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle of the step, which sees the wrong step itself, judges nothing: the graph is to find
    who starves by it."""

    def exemption(_: Inspection) -> str:
        return "the graph is to find it"

    monkeypatch.setattr(Inspection, "exemption", exemption)


def test_a_turn_that_is_lost_when_the_tenant_before_it_leaves_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The policy had this error: the next tenant was sent to the end of the round without its turn.

    `lineclear check` searches the same world with the policy as it is.
    """
    idle = DeficitRoundRobin.idle

    def lost(self: DeficitRoundRobin, tenant: Hashable, step: int) -> None:
        begun = self.turn.begun
        idle(self, tenant, step)
        self.turn = self.turn._replace(begun=begun)

    monkeypatch.setattr(DeficitRoundRobin, "idle", lost)
    # The oracle of the step sees the lost turn before the graph shows that a tenant starves by it.
    assert "the round" in first_violation(three_tenants("drr"))
    without_the_oracle(monkeypatch)
    report = explore(three_tenants("drr"))
    assert report.starvation
    assert "is never served while others come and go" in "\n".join(report.lines())


def test_a_debt_that_is_forgotten_while_a_tenant_is_away_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then two that come and go are always served before one that stays and has paid."""
    backlogged = VirtualTokenCounter.backlogged

    def forgiven(self: VirtualTokenCounter, tenant: Hashable, step: int) -> None:
        self.accounts[tenant] = self.account(tenant)._replace(charged=0)
        backlogged(self, tenant, step)

    monkeypatch.setattr(VirtualTokenCounter, "backlogged", forgiven)
    assert first_violation(three_tenants("vtc"))
    without_the_oracle(monkeypatch)
    report = explore(three_tenants("vtc"))
    assert report.refuted
    assert report.starvation


def test_a_queue_that_never_promotes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that has used up a quantum then waits for ever behind those that come."""
    world = of_policy("mlfq", "last", "swap", chunked=True)
    assert world in CHOSEN  # it is searched above with the queue as it is
    review = MultiLevelFeedbackQueue.review

    def forgets(self: MultiLevelFeedbackQueue, request: View) -> int | None:
        look = review(self, request)
        self.promoted.clear()
        return look

    monkeypatch.setattr(MultiLevelFeedbackQueue, "review", forgets)
    assert first_violation(world)
    without_the_oracle(monkeypatch)
    report = explore(world)
    assert report.graph.complete
    assert report.starvation
    assert report.refuted


def test_every_combination_is_among_the_deep_worlds() -> None:
    worlds = combinations()
    kinds = {
        (c.scheduling_policy, c.victim, c.preemption_mode, c.enable_chunked_prefill)
        for c in (world.config for world in worlds)
    }
    assert len(kinds) == len(worlds) == len(BUILT_IN) * 4 * 5 * 2
    assert len({world.name for world in worlds}) == len(worlds)


def test_the_victim_rules_choose_differently_in_the_combinations() -> None:
    """Where two are behind one that grows; otherwise every rule names the same one."""
    states = [
        explore(of_policy("priority", victim, "recompute", chunked=True, live=3)).graph.states
        for victim in VICTIMS
    ]
    assert states == [281, 281, 327, 300]  # the last is also the least important


@pytest.mark.deep
def test_every_combination_is_exhausted_and_starves_no_other_request() -> None:
    for world in combinations():
        report = explore(world)
        assert report.graph.complete
        assert not report.refuted, report.lines()
        assert bool(report.starvation) == (world.group in STARVING), world.name


def test_a_page_tells_a_group_in_one_line() -> None:
    worlds = [w for w in combinations() if w.group == "sjf" and w.config.victim == "last"][:3]
    reports = [explore(world) for world in worlds]
    page = markdown(reports, "lineclear explore")
    states = sum(report.graph.states for report in reports)
    assert f"| sjf | 2+3 1+2 | 3 | 3 | {states:,} | " in page
    assert "| yes | in 3, as it says |" in page


def test_a_shape_is_written_with_all_that_it_has() -> None:
    assert str(RequestShape(1, 3)) == "1+3"
    assert str(RequestShape(1, 3, 2, -1, "a", 2.5)) == "1+3x2p-1@a<2.5"


def test_a_request_that_precedes_every_later_arrival_counts_as_just_that() -> None:
    world = World(of_policy("aging", "last", "swap", chunked=True))
    world.do(("submit", 0))
    first = orders.kept(world, world.live())
    for _ in range(12):
        world.do(("submit", 1))
        world.do(("abort", 1))
    later = orders.kept(world, world.live())
    world.do(("submit", 1))
    world.do(("abort", 1))
    assert first > later == orders.kept(world, world.live()) == (world.least - 1,)


def test_an_equal_deadline_is_told_from_an_earlier_one_when_both_are_past() -> None:
    """Only who is due strictly earlier displaces: the order of the two does not say which it is."""
    shapes = (RequestShape(1, 3, slack=2.0), RequestShape(1, 3, slack=1.0))
    bounds = SearchBounds("past", small(scheduling_policy="edf"), shapes, live=3)

    def after(first: int) -> World:
        world = World(bounds)
        world.do(("submit", first))
        world.do(("submit", 1))
        for _ in range(4):
            world.do(("submit", 1))
            world.do(("abort", 2))
        return world

    equal, earlier = after(0), after(1)
    displaces: list[bool] = []
    for world in (equal, earlier):
        waits, runs = (entry.view(world.scheduler.ledger) for entry in world.live())
        displaces.append(world.scheduler.policy.may_displace(waits, runs))
    assert displaces == [False, True]
    assert world_key(equal) != world_key(earlier)
    assert world_key(after(0)) == world_key(equal)
