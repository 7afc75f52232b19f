"""Which event calls which function, and what is stored: held against a second, eager writing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from fractions import Fraction
from typing import Any

import pytest
from bounded import drawn, held_rows, hold
from hypothesis import given, settings
from hypothesis import strategies as st

import lineclear.policies.drr as drr_module
import lineclear.policies.vtc as vtc_module
from lineclear.oracle.own_tenants import Turns, VirtualTokenCounters
from lineclear.policies import accounts, make
from lineclear.policies.drr import DeficitRoundRobin
from lineclear.policies.mlfq import MultiLevelFeedbackQueue
from lineclear.policies.tenants import TenantPolicy
from lineclear.policies.view import View
from lineclear.policies.vtc import VirtualTokenCounter
from lineclear.request import Request

TENANTS = "abcd"
#: Prices of a prompt and an output, quantum, weights.
SETTINGS: tuple[tuple[Any, Any, Any, dict[str, Any]], ...] = (
    (1.0, 2.0, 7.0, {}),
    (3, 1, 2, {"a": 0.5, "b": 3.0}),
    (0.1, 0.3, 0.7, {"a": Fraction(1, 3), "c": 1.25}),
)
Event = tuple[str, str, int]
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["wait", "idle", "serve", "serve", "last", "sample", "join", "leave", "tick"]
        ),
        st.sampled_from(TENANTS),
        st.integers(1, 9),
    ),
    max_size=60,
)


def fraction(value: Any) -> Fraction:
    return Fraction(str(value))


class Pair:
    """A policy and its second writing, given the same events."""

    def __init__(self, name: str, chosen: int, keep: int) -> None:
        prompt, output, quantum, weights = SETTINGS[chosen]
        self.policy: TenantPolicy
        self.plain: Turns | VirtualTokenCounters
        if name == "drr":
            self.policy = DeficitRoundRobin(quantum, prompt, output, weights)
            self.plain = Turns(self.policy)
            assert self.plain.quantum == fraction(quantum)
        else:
            self.policy = VirtualTokenCounter(prompt, output, weights)
            self.plain = VirtualTokenCounters(self.policy)
        assert (self.plain.prompt, self.plain.output) == (fraction(prompt), fraction(output))
        assert self.plain.weights == {name: fraction(weight) for name, weight in weights.items()}
        drr_module.FORGOTTEN = vtc_module.FORGOTTEN = keep
        self.decodes: Counter[Hashable] = Counter()
        self.step = 0

    def do(self, event: Event) -> None:
        """One event, if it can happen now."""
        kind, tenant, count = event
        policy, plain, step = self.policy, self.plain, self.step
        waits = tenant in plain.waiting
        if kind in ("sample", "join"):
            self.open(tenant)
        if kind == "wait" and not waits:
            policy.backlogged(tenant, step)
            plain.backlogged(tenant, step)
        elif kind == "idle" and waits:
            policy.idle(tenant, step)
            plain.idle(tenant, step)
            self.forget()
        elif kind in ("serve", "last") and plain.waiting:
            first = plain.first(step)
            assert policy.first(step) == first
            if kind == "last":  # the queue empties before the admission is reported
                policy.idle(first, step)
                plain.idle(first, step)
                self.forget()
                self.open(first)
            policy.admitted(first, count, step)
            plain.admitted(first, count, step)
        elif kind == "sample":
            policy.sampled(tenant, count, step)
            plain.sampled([tenant] * count)
        elif kind == "join" or (kind == "leave" and self.decodes[tenant]):
            change = 1 if kind == "join" else -1
            policy.decode_batch_changed(tenant, change, step)
            self.decodes[tenant] += change
        elif kind == "tick":
            self.step += 1
            plain.sampled(self.decodes.elements())

    def open(self, tenant: Hashable) -> None:
        """A tenant without an account is charged: it is away from now on."""
        if isinstance(self.plain, Turns) and tenant not in self.policy.accounts:
            self.plain.away[tenant] = Fraction(0)

    def forget(self) -> None:
        """What a forgotten tenant had is not made up for by what it is charged from now on."""
        plain = self.plain
        if isinstance(plain, Turns):
            for tenant in plain.away.keys() - self.policy.accounts.keys():
                assert shown(plain, tenant) + plain.away.pop(tenant) >= 0
                assert not self.decodes[tenant]
                plain.credit.pop(tenant, None)

    def compare(self) -> None:
        """All that is stored, in the unit of the prices and without tolerance."""
        policy, plain, step = self.policy, self.plain, self.step
        for tenant in TENANTS:
            account = policy.accounts.get(tenant)
            if account is not None:
                assert account.waiting == (tenant in plain.waiting)
                if isinstance(policy, VirtualTokenCounter) or tenant in plain.waiting:
                    assert kept(policy, tenant, step) == shown(plain, tenant)
            elif isinstance(plain, VirtualTokenCounters):
                assert shown(plain, tenant) <= plain.virtual
            else:
                assert shown(plain, tenant) + plain.away.get(tenant, 0) >= 0
                assert not self.decodes[tenant]
        if isinstance(policy, VirtualTokenCounter):
            assert isinstance(plain, VirtualTokenCounters)
            assert policy.virtual * policy.unit == plain.virtual
        if isinstance(policy, DeficitRoundRobin):
            assert isinstance(plain, Turns)
            assert list(policy.round) == plain.waiting
            assert list(policy.round.values()) == sorted(policy.round.values())
            assert policy.turn.begun == plain.begun
            for absent, left in policy.left.items():
                assert (policy.turn.given - left) * policy.unit == plain.away[absent]


def kept(policy: TenantPolicy, tenant: str, step: int) -> Fraction:
    """Its counter, or its credit."""
    if isinstance(policy, DeficitRoundRobin):
        return policy.credit(tenant, step) * policy.unit
    return policy.charged(tenant, step) * policy.unit


def shown(plain: Turns | VirtualTokenCounters, tenant: Hashable) -> Fraction:
    """The same of the second writing."""
    stored = plain.credit if isinstance(plain, Turns) else plain.counter
    return stored.get(tenant, Fraction(0))


@pytest.fixture(autouse=True)
def _kept_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts back how many accounts are kept."""
    for module in (drr_module, vtc_module):
        monkeypatch.setattr(module, "FORGOTTEN", module.FORGOTTEN)


def play(name: str, chosen: int, keep: int, events: list[Event]) -> None:
    pair = Pair(name, chosen, keep)
    for event in events:
        pair.do(event)
        pair.compare()


def play_long(name: str) -> None:
    """Under all settings."""
    for chosen in range(len(SETTINGS)):
        play(name, chosen, 0, LONG)


@pytest.mark.parametrize("name", ["vtc", "drr"])
@settings(max_examples=60)
@given(chosen=st.integers(0, 2), keep=st.sampled_from([0, 64]), events=EVENTS)
def test_every_event_does_what_it_does_step_by_step(
    name: str, chosen: int, keep: int, events: list[Event]
) -> None:
    play(name, chosen, keep, events)


def nothing(*_: object) -> None:
    """An event of which nothing is stored."""


#: A sequence in which every event matters.
LONG: list[Event] = [
    ("wait", "a", 1), ("wait", "b", 1), ("serve", "a", 9), ("join", "a", 1), ("tick", "a", 1),
    ("tick", "a", 1), ("serve", "a", 5), ("sample", "b", 3), ("wait", "c", 1), ("last", "a", 4),
    ("serve", "a", 9), ("idle", "a", 1), ("tick", "a", 1), ("serve", "a", 2), ("leave", "a", 1),
    ("idle", "c", 1), ("idle", "b", 1), ("tick", "a", 1), ("wait", "d", 1), ("wait", "a", 1),
    ("wait", "b", 1), ("serve", "a", 7), ("serve", "a", 7), ("serve", "a", 7), ("serve", "a", 7),
]  # fmt: skip


backlogged = VirtualTokenCounter.backlogged


def unlifted(self: VirtualTokenCounter, tenant: Any, step: int) -> None:
    """A tenant that comes back keeps the counter that it had."""
    virtual, self.virtual = self.virtual, 0
    backlogged(self, tenant, step)
    self.virtual = virtual


def swapped(other: Callable[..., Any]) -> Callable[..., None]:
    """An event that calls another's function."""

    def broken(self: TenantPolicy, tenant: Any, count: int, step: int) -> None:
        self.accounts[tenant] = other(self.account(tenant), count, step)

    return broken


GLUE: dict[str, tuple[str, type[Any], str, Callable[..., Any]]] = {
    "sampled as admitted": ("vtc", TenantPolicy, "sampled", swapped(accounts.admitted)),
    "admitted as sampled": ("drr", TenantPolicy, "admitted", swapped(accounts.sampled)),
    "a sequence in the decode batch is sampled": (
        "drr", TenantPolicy, "decode_batch_changed", swapped(accounts.sampled)),
    "idle is not stored": ("vtc", TenantPolicy, "idle", nothing),
    "waiting is stored without a lift": (
        "vtc", VirtualTokenCounter, "backlogged", unlifted),
    "the virtual time is not stored": (
        "vtc", VirtualTokenCounter, "admitted", TenantPolicy.admitted),
    "rounds are not stored": ("drr", DeficitRoundRobin, "_skip", nothing),
}  # fmt: skip


@pytest.mark.parametrize("name", GLUE)
def test_a_function_that_is_called_at_the_wrong_event_is_seen(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, kind, method, broken = GLUE[name]
    play_long(policy)
    monkeypatch.setattr(kind, method, broken)
    with pytest.raises((AssertionError, LookupError)):
        play_long(policy)


# ---- settings ----------------------------------------------------------------------------------


def test_rounds_in_which_no_tenant_comes_to_have_credit_are_taken_at_once() -> None:
    policy = DeficitRoundRobin(quantum=1.0, prompt_price=1e17, output_price=1.0)
    for tenant in "abc":
        policy.backlogged(tenant, 0)
    served = [policy.first(0)]
    for _ in range(8):
        policy.admitted(served[-1], len(served) % 3 + 1, 0)
        served.append(policy.first(0))
        assert 0 < policy.credit(served[-1], 0) <= policy.quantum
    assert served[:3] == ["a", "b", "c"]
    assert set(served[3:]) == set("abc")


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), True, "1", None])
@pytest.mark.parametrize("option", ["quantum", "prompt_price", "output_price", "weights"])
def test_amounts_that_are_no_number_above_0_are_refused(option: str, value: Any) -> None:
    options = {option: {"a": value} if option == "weights" else value}
    for name in ("vtc", "drr"):
        if name == "vtc" and option == "quantum":
            continue
        with pytest.raises(ValueError, match="number above 0"):
            make(name, options)


@pytest.mark.parametrize("name", ["vtc", "drr"])
@pytest.mark.parametrize("value", ["x", 0, "", [], 1.5])
def test_weights_are_a_table(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match="weights must be a table of tenants and numbers, not "):
        make(name, {"weights": value})


@pytest.mark.parametrize(
    "options",
    [
        {"prompt_price": 1e300},
        {"output_price": 1e-300},
        {"weights": {"a": 1e-300}},
        {"weights": {f"t{k}": 1 + k * 1.000000000001 for k in range(100)}},
    ],
)
def test_amounts_that_accounts_do_not_hold_are_refused(options: dict[str, Any]) -> None:
    for name in ("vtc", "drr"):
        with pytest.raises(
            ValueError, match=r"bits in units .* hold 256: .*; use numbers with fewer"
        ):
            make(name, options)
    with pytest.raises(ValueError, match=r"quantum 1e\+300 is a number of"):
        make("drr", {"quantum": 1e300})
    with pytest.raises(ValueError, match=r"levels must be 64 at most, not 65"):
        make("mlfq", {"levels": 65})


@settings(max_examples=60)
@given(
    prompt=st.floats(0.001, 1000).map(lambda x: round(x, 3)),
    output=st.fractions(Fraction(1, 50), 50, max_denominator=50),
    weights=st.dictionaries(
        st.sampled_from(TENANTS), st.floats(0.01, 100).map(lambda x: round(x, 2)), max_size=4
    ),
)
def test_settings_are_held_without_rounding(
    prompt: float, output: Fraction, weights: dict[str, float]
) -> None:
    turns = DeficitRoundRobin(512, prompt, output, weights)
    for policy in (VirtualTokenCounter(prompt, output, weights), turns):
        for tenant in TENANTS:
            account = policy.account(tenant)
            weight = fraction(weights.get(tenant, 1))
            assert account.prompt * policy.unit * weight == fraction(prompt)
            assert account.output * policy.unit * weight == output
            assert policy.cheapest.prompt <= account.prompt <= policy.dearest.prompt
            assert policy.cheapest.output <= account.output <= policy.dearest.output
    assert turns.quantum * turns.unit == 512


@pytest.mark.parametrize(("name", "label"), [("vtc", "P12"), ("drr", "P13")])
def test_the_service_of_a_run_is_compared_without_rounding(name: str, label: str) -> None:
    options: Any = (
        ("weights", {"a": 0.3, "b": 0.7}),
        ("prompt_price", 0.1),
        ("output_price", 0.7),
    )
    if name == "drr":
        options += (("quantum", 1.3),)
    uneven = 0
    for number in range(8):
        changes: dict[str, Any] = {
            "scheduling_policy": name,
            "max_bypasses": 0,
            "num_lookahead_slots": 0,
            "max_steps_in_flight": 1,
        }
        config, workload = drawn(number, **changes, policy_options=options)
        row = held_rows(hold(config, workload))[label]
        assert row.guarantee.bound is not None
        assert isinstance(row.guarantee.bound.number, int | Fraction)
        assert isinstance(row.seen, int | Fraction)
        assert not row.passed
        assert isinstance(row.json()["seen"], int | float)
        uneven += isinstance(row.seen, Fraction)
    assert uneven


# ---- the feedback queue ------------------------------------------------------------------------


@settings(max_examples=100)
@given(
    prompt=st.integers(1, 12),
    looks=st.lists(st.tuples(st.booleans(), st.integers(1, 9)), min_size=1, max_size=40),
)
def test_looks_remember_what_a_list_of_all_looks_says(
    prompt: int, looks: list[tuple[bool, int]]
) -> None:
    policy = MultiLevelFeedbackQueue(quantum=3, levels=4, promote_after=5)
    asked = Request(request_id="r", prompt_tokens=prompt, max_tokens=99)
    step = generated = 0
    counts, since, base = -1, 0, -prompt
    for new, steps in looks:
        wait = policy.review(View(asked, 1, generated, 0, step, None if new else 0))
        if generated != counts:
            counts, since = generated, step
        elif step - since >= 5:
            base, since = generated, step
        view = View(asked, 1, generated, 0, step)
        assert policy.served(view) == generated - base
        covered = [3, 9, 21]
        level = sum(generated - base > most for most in covered)
        assert policy.key(view) == level
        left = [most - (generated - base) + 1 for most in covered[level : level + 1]]
        late = since + 5 - step
        assert wait == (min(late, *left) if new and left else late)
        step += min(steps, wait)
        generated += min(steps, wait) if new else 0
