"""The oracle of the step: it agrees with the scheduler, and every edit of a decision makes it disagree."""

from __future__ import annotations

import ast
from collections import Counter

import pytest
from decision_edits import DECISION_EDITS
from faulty import ANY_FIT
from step_edits import STEP_EDITS
from sweep import ROOT, judged

from lineclear.config import Config
from lineclear.explore.bounds import RequestShape, SearchBounds
from lineclear.explore.walk_worlds import drawn, special
from lineclear.explore.walks import walk
from lineclear.oracle import RULES, Oracle, Undone
from lineclear.oracle.rules import EXEMPTIONS
from lineclear.request import InvalidRequest, Request
from lineclear.scheduler import Scheduler

#: Name -> (file, text, what stands there instead).
EDITS = {
    what: (file, *texts)
    for file, edits in [*DECISION_EDITS.items(), *STEP_EDITS.items()]
    for what, texts in edits.items()
}


def name_of(file: str) -> str:
    if file.startswith("../../spec/"):
        return file.removeprefix("../../spec/").removesuffix(".py").replace("/", ".")
    return "lineclear." + file.removesuffix(".py").replace("/", ".")


def test_every_edit_is_of_a_line_that_stands_there_once() -> None:
    for name, (file, old, _) in EDITS.items():
        text = (ROOT / "reference" / "lineclear" / file).read_text()
        assert text.count(old) == 1, f"{name}: {old!r} stands {text.count(old)} times in {file}"


@pytest.mark.deep
@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_a_decision_turns_the_check_red(name: str) -> None:
    file, old, new = EDITS[name]
    text = (ROOT / "reference" / "lineclear" / file).read_text()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
    ast.parse(text.replace(old, new))
    found, seconds = judged(name_of(file), text.replace(old, new))
    assert found.startswith("LC"), found or f"nothing is found in {seconds:.0f} seconds"
    assert seconds < 60


def test_the_scheduler_as_it_is_does_what_the_rules_say() -> None:
    judged_steps: Counter[str] = Counter()
    for seed, bounds in enumerate([*special(), *map(drawn, range(100, 113))]):
        done = walk(bounds, seed, 120)
        assert done.error is None, (bounds.name, done.error, done.trace)
        judged_steps["judged"] += done.world.oracle.judged
        judged_steps.update(done.world.oracle.limits)
        assert not done.world.oracle.exempt
    assert judged_steps["judged"] > 700
    for reason in ("displaced", "pause_after_preemption", "prefill_first"):
        assert judged_steps[reason] >= 5


@pytest.mark.deep
@pytest.mark.parametrize("part", range(8))
def test_thousands_of_steps_of_every_policy_are_as_the_rules_say(part: int) -> None:
    for seed in range(200 + part, 1000, 8):
        done = walk(drawn(seed), seed, 200)
        assert done.error is None, (seed, done.error)


def test_a_head_is_not_given_what_a_prompt_that_goes_on_takes() -> None:
    """It was preempted for a token that the prompt ahead then took; the head entered without any."""
    config = Config(
        num_gpu_blocks=32,
        num_cpu_blocks=0,
        block_size=1,
        max_num_seqs=6,
        max_num_batched_tokens=6,
        max_model_len=22,
        watermark=0.0,
        scheduling_policy="priority",
        preemption_mode="recompute",
        long_prefill_token_threshold=0,
    )
    scheduler = Scheduler(config)
    oracle = Oracle(scheduler)

    def add(name: str, prompt: int, most: int, priority: int) -> None:
        oracle.add(
            Request(request_id=name, prompt_tokens=prompt, max_tokens=most, priority=priority)
        )

    add("decodes", 1, 8, 0)
    for _ in range(3):
        plan = oracle.schedule()
        oracle.commit(plan, [0] * len(plan.sampling))
    add("prompt", 16, 2, 2)
    plan = oracle.schedule()  # a token for the one that decodes, five for the prompt
    oracle.commit(plan, [0] * len(plan.sampling))
    add("head", 2, 2, 1)
    plan = oracle.schedule()
    assert plan.preempted == ()
    assert {row.request_id for row in plan.scheduled_seq_groups} == {"decodes", "prompt"}


def test_a_live_id_is_refused_and_an_abort_holds_from_the_next_plan_on() -> None:
    oracle = Oracle(Scheduler(Config(num_gpu_blocks=8, block_size=2, max_num_seqs=2)))
    oracle.add(Request(request_id="a", prompt_tokens=2, max_tokens=2))
    with pytest.raises(InvalidRequest):
        oracle.add(Request(request_id="a", prompt_tokens=1, max_tokens=1))
    assert not oracle.abort("b")
    oracle.schedule()
    assert oracle.abort("a")
    assert oracle.schedule().is_empty if not oracle.scheduler.flights else True


def test_what_is_not_judged_is_counted_by_name() -> None:
    from dataclasses import replace

    from lineclear.explore.small import small

    shapes = (RequestShape(1, 3), RequestShape(2, 2))
    for config, name in (
        (small("vllm_v0"), "rules"),
        (replace(small(), rules=ANY_FIT), "rules"),
    ):
        done = walk(SearchBounds(name, config, shapes), 1, 60)
        assert done.error is None
        assert set(done.world.oracle.exempt) == {name} <= set(EXEMPTIONS)
        assert not done.world.oracle.judged


def test_a_finding_names_a_rule_with_a_sentence() -> None:
    oracle = Oracle(Scheduler(Config(num_gpu_blocks=8, block_size=2, max_num_seqs=2)))
    oracle.add(Request(request_id="a", prompt_tokens=2, max_tokens=2))
    oracle.scheduler.live.seats = 1
    with pytest.raises(Undone, match="work_conservation: seats") as caught:
        oracle.add(Request(request_id="b", prompt_tokens=2, max_tokens=2))
    assert caught.value.rule in RULES
