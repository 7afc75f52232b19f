"""What a configuration keeps of its policy's theorems: every combination, and nothing silently."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import product
from typing import Any

import pytest
from drive import small
from faulty import BROKEN

from lineclear.config import (
    MODES,
    POLICIES,
    PRESETS,
    VICTIMS,
    Config,
    ConfigError,
)
from lineclear.policies import load_claims, make
from lineclear.policies.mlfq import MultiLevelFeedbackQueue
from lineclear.rules import RULES, rules_of
from lineclear.scheduling.step import Step
from lineclear.theorems.guarantees import TAKEN_BY_RULE, Guarantee, claims_of, guarantees, verdict
from lineclear.workload.generators import generate
from lineclear.workload.workload import Arrival, Workload
from lineclear_spec.liveness.premises import PREMISES
from lineclear_spec.liveness.theorems import CLAIMS

OPTIONS: dict[str, tuple[tuple[str, Any], ...]] = {
    "lpl": (("seconds_per_token", 0.5),),
    "mlfq": (("levels", 3),),
}
#: Theorems about the queue: who goes before whom. The others speak of preemption.
QUEUE = ("P2", "P4", "P5", "P6b", "P7", "P8", "P9", "bypass", "P12", "P13")


def combinations() -> Iterator[Config]:
    """Every policy, victim, mode, chunking, bypass, order of swapped requests, depth; then presets."""
    for policy, victim, mode, cut, max_bypasses, first, depth in product(
        POLICIES, VICTIMS, MODES, (True, False), (0, 4), (False, True), (1, 2)
    ):
        for options in {(), OPTIONS.get(policy, ())}:
            yield Config(
                scheduling_policy=policy,
                policy_options=options,
                victim=victim,
                preemption_mode=mode,
                enable_chunked_prefill=cut,
                max_bypasses=max_bypasses,
                swapped_first=first,
                max_steps_in_flight=depth,
            )
    presets = [*PRESETS.values(), *BROKEN.values()]
    for preset, max_bypasses, depth, pause in product(presets, (0, 4), (1, 2), (True, False)):
        try:
            yield replace(
                preset,
                max_bypasses=max_bypasses,
                max_steps_in_flight=depth,
                pause_after_preemption=pause,
            )
        except ConfigError:
            continue  # an invalid configuration is refused


def takes_away(config: Config) -> dict[str, str]:
    """By setting, what must be named; the test's own reading of the premises."""
    found: dict[str, str] = {}
    if config.max_bypasses:
        found[f"max_bypasses {config.max_bypasses}"] = "queue"
    tenants = config.scheduling_policy in ("vtc", "drr")
    if config.swapped_first and config.preemption_mode != "recompute" and not tenants:
        found["swapped_first"] = "queue"
    if config.max_steps_in_flight == 2 and config.preemption_mode != "recompute" and tenants:
        found["max_steps_in_flight 2 with swaps"] = "charges"
    if config.max_steps_in_flight == 2 and config.scheduling_policy == "mlfq":
        found["max_steps_in_flight 2"] = "levels"
    if config.rules != "lineclear":
        found[f"rules {config.rules}"] = "some" if "faults" in config.rules else "all"
    if config.scheduling_policy == "mlfq" and ("levels", 3) in config.policy_options:
        found["levels 3"] = "all"
    return found


def check(config: Config, rows: list[Guarantee]) -> None:
    """Each theorem is there once; what is lost names premise and setting; nothing else is lost."""
    name = claims_of(config)
    assert name is not None
    claims = {theorem.name: theorem for theorem in CLAIMS[name].theorems}
    assert [row.theorem for row in rows] == list(claims)
    taken = takes_away(config)
    for row in rows:
        theorem, label = claims[row.theorem], row.theorem.partition(".")[2]
        assert (row.status == "fails") is not theorem.holds
        assert (row.status == "no guarantee") is bool(row.lost)
        if row.status == "fails":
            continue
        for lost in row.lost:
            assert lost.premise in PREMISES or lost.premise == "proof"
            assert lost.setting in taken
            assert f"{lost.shown} ({lost.setting}" in row.why
        settings = {lost.setting for lost in row.lost}
        for setting, what in taken.items():
            of_passing = label == "P5" and setting.startswith("max_bypasses")
            due = (
                what == "all"
                or (what == "levels" and label in ("P4", "P4'"))
                or (what == "queue" and label in QUEUE and not of_passing)
            )
            due = due or (what == "charges" and label in ("P7", "P12", "P13"))
            assert not due or setting in settings, (row.theorem, setting)
        if not taken:
            assert row.status == "holds"
        if row.status != "holds":
            assert row.bound is None
    if any(what == "some" for what in taken.values()):
        assert any(row.lost for row in rows)


@cache
def shuffled() -> list[Config]:
    """Every combination, in an order drawn once."""
    everything = list(combinations())
    random.Random(0).shuffle(everything)
    return everything


def check_all() -> None:
    """Every combination, in an order in which one that fails comes early wherever it stands."""
    for config in shuffled():
        check(config, guarantees(config))


def test_every_combination_keeps_each_theorem_or_names_what_takes_it_away() -> None:
    load_claims()
    count = whole = 0
    for config in combinations():
        rows = guarantees(config)
        check(config, rows)
        count += 1
        whole += not any(row.lost for row in rows)
    assert count > 15 * len(VICTIMS) * len(MODES) * 16
    assert 0 < whole < count


@pytest.mark.parametrize(
    "blind",
    [
        "max_bypasses",
        "swapped_first",
        "max_steps_in_flight",
        "rules",
        "rules lineclear.evidence",
        "levels",
    ],
)
def test_a_setting_that_is_overlooked_is_seen(blind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The enumeration above fails if any of the settings is not looked at."""
    from lineclear.theorems import guarantees as module

    whole = module.lost_premises

    def without(config: Config, workload: Any = None) -> Any:
        return [lost for lost in whole(config, workload) if not lost.setting.startswith(blind)]

    monkeypatch.setattr(module, "lost_premises", without)
    if blind == "levels":
        monkeypatch.setattr(module, "PROVED_LEVELS", 3)
    with pytest.raises(AssertionError):
        check_all()


def test_every_rule_that_may_be_off_takes_something_away() -> None:
    named = [*RULES.values(), *(rules_of(config.rules) for config in BROKEN.values())]
    rules = {rule for one in named for rule in one.lacks}
    assert rules == set(TAKEN_BY_RULE)
    assert all(name in PREMISES for names in TAKEN_BY_RULE.values() for name in names)


def rows_of(config: Config, workload: Workload | None = None) -> dict[str, Guarantee]:
    return {row.theorem: row for row in guarantees(config, workload)}


def test_what_is_lost_is_reported_by_premise_and_setting() -> None:
    found = rows_of(Config(max_bypasses=4))
    assert found["fcfs.P7"].why == "no guarantee: F2 (max_bypasses 4)"
    assert found["fcfs.P5"].status == "holds"
    assert found["fcfs.P10"].why == "holds"
    assert verdict(found.values()) == (
        "no guarantee: fcfs.P2 fcfs.P4 fcfs.P6b fcfs.P7 fcfs.P8: F2 (max_bypasses 4)"
    )
    assert verdict(guarantees(Config())) == f"all {len(found)} theorems hold"
    assert "P7 (" not in verdict(guarantees(Config(scheduling_policy="priority")))
    assert rows_of(Config(scheduling_policy="priority"))["priority.P7"].status == "fails"
    output = found["fcfs.P7"].json()
    assert (output["lost"], output["bound"]) == (["F2 (max_bypasses 4)"], None)


def test_the_swapped_going_first_takes_nothing_where_no_request_is_swapped() -> None:
    for changes in ({"preemption_mode": "recompute"}, {"num_cpu_blocks": 0}):
        assert "theorems hold" in verdict(guarantees(small(swapped_first=True, **changes)))
    lost = rows_of(small(swapped_first=True, preemption_mode="swap"))
    assert lost["fcfs.P5"].why == "no guarantee: F15 (swapped_first)"
    assert lost["fcfs.P4'"].status == "holds"  # victims are chosen as always


def test_drafts_are_not_what_tenants_are_charged_for() -> None:
    config = Config(scheduling_policy="vtc", num_lookahead_slots=2)
    assert rows_of(config)["vtc.P12"].why.startswith("no guarantee: F10 (num_lookahead_slots 2")


def test_tokens_that_are_charged_twice_are_told() -> None:
    config = Config(scheduling_policy="vtc", max_steps_in_flight=2)
    why = rows_of(config)["vtc.P12"].why
    assert why.startswith(
        "no guarantee: F10 (max_steps_in_flight 2 with swaps: a token sampled while"
    )
    assert rows_of(config)["vtc.P4"].status == "holds"
    for changes in ({"preemption_mode": "recompute"}, {"num_cpu_blocks": 0}):
        kept = rows_of(replace(config, **changes), REQUESTS)["vtc.P12"]
        # What stops is charged for the step in flight: 9 + 1 tokens in each of 256 seats.
        assert kept.bound is not None
        assert kept.bound.number == 2 * (30 + 2 * 256 * (9 + 1))


def test_deadlines_that_the_workload_lacks_are_told() -> None:
    config = Config(scheduling_policy="edf")
    assert rows_of(config)["edf.P7"].status == "holds"
    why = rows_of(config, generate("poisson", 20, 5, 0))["edf.P7"].why
    assert why == "no guarantee: A3 (the workload: 20 of 20 requests have no deadline)"
    late = rows_of(config, generate("hostile:edf", 20, 5, 0))["edf.P7"]
    assert "requests had to be done on arrival" in late.why


def test_of_a_policy_of_ones_own_nothing_is_claimed() -> None:
    (row,) = guarantees(Config(scheduling_policy="own_policy_for_tests:Renamed"))
    assert row.status == "no guarantee"
    assert row.why.startswith(
        "no guarantee: not proved (scheduling_policy own_policy_for_tests:Renamed: one's own, and not judged: "
    )
    assert "mlfq.py:" in row.why
    built_in = "lineclear.policies.fcfs:FirstComeFirstServed"
    assert "fcfs.P7" in rows_of(Config(scheduling_policy=built_in))


@pytest.mark.parametrize("policy", POLICIES)
def test_of_a_way_of_ones_own_to_build_a_step_nothing_is_claimed(policy: str) -> None:
    config = Config(scheduling_policy=policy, rules="own_policy_for_tests:Idle")
    assert {row.status for row in guarantees(config)} <= {"no guarantee", "fails"}
    why = rows_of(replace(config, scheduling_policy="vtc"))["vtc.P12"].why
    assert "not proved (rules own_policy_for_tests:Idle: a way of one's own" in why


def test_rules_of_real_systems_keep_no_theorem_about_what_a_step_decides() -> None:
    for preset in ("vllm_v0", "vllm_v0_chunked", "nano_vllm"):
        assert not [row.theorem for row in guarantees(PRESETS[preset]) if row.status == "holds"]


def test_a_theorem_is_lost_by_premises_that_it_names_alone() -> None:
    for config in shuffled()[:400]:
        for row in guarantees(replace(config, num_lookahead_slots=0)):
            named = {*row.premises, "proof"}
            assert {lost.premise for lost in row.lost} <= named, row.theorem
    waits = small(prefix_caching="prompt", wait_for_prefix=True)
    assert "F14" in rows_of(waits)["fcfs.P2"].premises


def test_a_priority_that_a_float_does_not_hold_takes_p9_away() -> None:
    """A level of priority may then count as 16: test_passed_bounds.py has the run."""
    config = small(scheduling_policy="aging")
    for priority in (10**6 + 1, -(10**300)):
        one = Workload("one", "test", (arrival(1, 3, 4, priority=priority),))
        assert rows_of(config, one)["aging.P9"].why == (
            "no guarantee: A5 (the workload: 1 of 1 requests have a priority beyond 1,000,000)"
        )
        assert rows_of(config, one)["aging.P7"].status == "holds"
        by_length = rows_of(small(scheduling_policy="sjf_aging"), one)
        assert by_length["sjf_aging.P9"].status == "holds"  # its key has no priority


@pytest.mark.parametrize("seconds", [1.1e7, 1e300, 10**400])
def test_seconds_of_which_a_key_would_overflow_are_refused(seconds: float) -> None:
    for policy, name in (("aging", "seconds_per_level"), ("sjf_aging", "seconds_per_token")):
        with pytest.raises(ValueError, match=f"{name} must be a number of at least 0 and at most"):
            make(policy, {name: seconds})
    greatest = small(scheduling_policy="aging", policy_options=(("seconds_per_level", 10**7),))
    two = (arrival(1, 3, 4, priority=10**300), arrival(2, 3, 4, priority=-(10**300)))
    assert rows_of(greatest, Workload("two", "test", two))["aging.P7"].status == "holds"


@pytest.fixture(autouse=True)
def own_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that calls itself fcfs and is none, and a step in which nothing happens."""
    import sys
    from types import ModuleType

    class Renamed(MultiLevelFeedbackQueue):
        name = "fcfs"

    class Idle(Step):
        def build(self) -> None:
            """Schedules nothing."""

    module = ModuleType("own_policy_for_tests")
    vars(module).update(Renamed=Renamed, Idle=Idle)
    monkeypatch.setitem(sys.modules, module.__name__, module)


# ---- formulas, with numbers --------------------------------------------------------------------


def arrival(k: int, prompt: int, most: int, **rest: Any) -> Arrival:
    return Arrival(str(k), float(k), prompt, (most,), most, **rest)


REQUESTS = Workload(
    "two", "test", (arrival(1, 30, 4, priority=3), arrival(2, 6, 9, predicted_tokens=2))
)


def bound(policy: str, label: str, *options: tuple[str, Any], **changes: Any) -> Any:
    config = small(scheduling_policy=policy, policy_options=options, **changes)
    found = rows_of(config, REQUESTS)[f"{policy}.{label}"].bound
    assert found is not None
    return found


def test_bounds_are_formulas_and_numbers() -> None:
    # 8 seats and 64 tokens a step leave 57 for prompts, 16 for one; L = 34; the pool holds 32 tokens.
    first = bound("fcfs", "P6b")
    assert first.formula == "T1 = W // g + X // h + 2 * m"
    assert dict(first.where) == {"W": 32, "g": 57, "X": 33, "h": 16, "m": 9}
    assert first.number == 32 // 57 + 33 // 16 + 18
    whole = bound("fcfs", "P6b", long_prefill_token_threshold=0)
    assert whole.formula == "T1 = W // g + X // g + 2 * m"
    assert whole.number == 32 // 57 + 33 // 57 + 18
    assert bound("fcfs", "P7").number == first.number
    assert bound("fcfs", "P6b", enable_chunked_prefill=False).number == 18
    assert bound("fcfs", "P6b", max_steps_in_flight=2).number == 2 * (33 // 16 + 2 * (9 + 2))
    assert bound("fair", "P6b").number == 32 // 57 + 33 // 16 + 18
    shared = bound("fair", "P6b", long_prefill_token_threshold=0)
    assert shared.number == 32 // 57 + 33 // 32 + 18  # two share 64 tokens
    entering = bound("fair", "P6a", long_prefill_token_threshold=0)
    assert entering.formula == "C6 = (E + 1) * C + 2 * d - 1"
    assert entering.number == (2 * 8 + 1) * (32 // 32 + 1) + 1
    alone = bound("fcfs", "P6a", long_prefill_token_threshold=0)
    assert (alone.formula, alone.number) == ("C6 = 2 * C + 2 * d - 1", 2 * 1 + 1)
    assert bound("aging", "P9", ("seconds_per_level", 2.5)).number == 3 * 2.5
    assert bound("sjf_aging", "P9", ("seconds_per_token", 0.5)).number == (4 - 2) * 0.5
    assert bound("ceiling", "bypass", ("ceiling", 3), ("levels", 4)).number == 9
    debt = 30 + 2 * 8 * 9  # U: the longest prompt, and 8 sequences of 9 tokens at 2 each
    weights = ("weights", {"a": 0.5})
    assert bound("vtc", "P12", weights).number == 2 * debt / 0.5
    assert dict(bound("vtc", "P12", weights).where) == {"U": debt, "w_min": Fraction(1, 2)}
    assert bound("vtc", "P7", weights).number == 2 * debt / 0.5 // 6 + 1  # the shortest prompt
    assert bound("drr", "P13", ("quantum", 10.0)).number == 10 + 2 * (10 + debt)
    assert bound("drr", "P7", ("quantum", 10.0)).number == debt // 10 + 1
    assert bound("mlfq", "P7", ("promote_after", 7)).number == 14 + first.number
    assert bound("fcfs", "P5", max_bypasses=5).number == 5


def test_without_a_workload_numbers_are_for_the_largest_that_is_let_in() -> None:
    config = small(scheduling_policy="aging")
    found = rows_of(config)
    assert found["aging.P9"].bound is not None
    assert found["aging.P9"].bound.number is None  # the priorities are unknown
    first = found["aging.P6b"].bound
    assert first is not None
    assert dict(first.where)["m"] == config.max_model_len - 1


def test_a_bound_is_that_which_the_policy_states() -> None:
    for name in ("vtc", "drr"):
        policy: Any = make(name)
        label = "P12" if name == "vtc" else "P13"
        assert bound(name, label).number == policy.bound(30, 9, 8)
