"""Invalid settings are refused in one line that names the setting."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from drive import small

from lineclear.config import PRESETS, Config, ConfigError

PRESET_NAMES = "preset must be one of default, lesson, vllm_v0, vllm_v0_chunked, nano_vllm, "


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("num_gpu_blocks", 1),
        ("num_cpu_blocks", 0),
        ("block_size", 1),
        ("max_num_seqs", 1),
        ("max_model_len", 2),
        ("num_lookahead_slots", 0),
        ("swap_threshold", 0),
        ("max_bypasses", 0),
    ],
)
def test_a_size_is_a_whole_number_of_at_least_its_least(name: str, least: int) -> None:
    assert getattr(small(**{name: least}), name) == least
    for wrong in (least - 1, -7, 2.0, "3", None, True):
        with pytest.raises(
            ConfigError, match=rf"^{name} must be a whole number of at least {least}"
        ):
            small(**{name: wrong})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("max_steps_in_flight", 0),
        ("max_steps_in_flight", 3),
        ("max_steps_in_flight", True),
        ("max_steps_in_flight", "1"),
        ("max_steps_in_flight", 1.0),
        ("policy_options", 1.0),
        ("policy_options", None),
        ("policy_options", ("ab",)),
        ("policy_options", (("weights",),)),
        ("policy_options", ((1, 2),)),
        ("policy_options", {1: 2, "a": 3}),
        ("policy_options", (("a", 1), ("a", 2))),
        ("enable_chunked_prefill", 1),
        ("enable_chunked_prefill", "yes"),
        ("swapped_first", None),
        ("pause_after_preemption", 0),
        ("watermark", 1.0),
        ("watermark", -0.01),
        ("watermark", float("nan")),
        ("watermark", "0.1"),
        ("watermark", True),
        ("swap_token_cost", -1),
        ("swap_token_cost", float("inf")),
        ("recompute_token_cost", None),
        ("max_waiting", -1),
        ("max_waiting", 2.5),
        ("max_waiting", False),
        ("max_waiting_tokens", -1),
        ("max_waiting_tokens", 2.5),
        ("long_prefill_token_threshold", -1),
        ("long_prefill_token_threshold", 2.5),
        ("long_prefill_token_threshold", True),
        ("max_long_partial_prefills", 0),
        ("max_long_partial_prefills", 1.0),
        ("max_long_partial_prefills", True),
        ("scheduling_policy", "lifo"),
        ("scheduling_policy", 5),
        ("rules", 5),
        ("rules", ["lineclear"]),
        ("preemption_mode", "SWAP"),
        ("victim", ""),
        ("victim", np.array(["last", "longest"])),
        ("victim", ["last"]),
        ("max_steps_in_flight", np.array([1, 2])),
        ("max_num_batched_tokens", 0),
    ],
)
def test_invalid_settings_are_refused_by_name(name: str, wrong: object) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} must ") as refusal:
        small(**{name: wrong})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("given", [{"b": 2, "a": 1}, [("a", 1), ["b", 2]], (("a", 1), ("b", 2))])
def test_options_are_pairs_however_they_are_given(given: Any) -> None:
    assert small(policy_options=given).policy_options == (("a", 1), ("b", 2))
    assert Config.from_mapping({"policy_options": given}).policy_options == (("a", 1), ("b", 2))


def test_the_budget_has_a_token_for_every_sequence_that_may_run() -> None:
    assert small(max_num_seqs=4, num_lookahead_slots=1, max_num_batched_tokens=8)
    with pytest.raises(ConfigError, match=r"max_num_batched_tokens \(7\) must be at least .* = 8"):
        small(max_num_seqs=4, num_lookahead_slots=1, max_num_batched_tokens=7)


def test_a_config_does_not_change() -> None:
    config: Any = small()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.block_size = 8


def test_the_ledger_gets_the_same_constants() -> None:
    limits = small(enable_chunked_prefill=False, max_steps_in_flight=2, max_num_seqs=5).limits()
    assert (limits.gpu_blocks, limits.cpu_blocks, limits.block_size) == (8, 8, 4)
    assert (limits.max_num_seqs, limits.max_num_batched_tokens) == (5, 64)
    assert (limits.max_model_len, limits.chunked, limits.max_steps_in_flight) == (64, False, 2)


@pytest.mark.parametrize(("share", "blocks"), [(0.0, 0), (0.24, 1), (0.25, 2), (0.99, 7)])
def test_the_watermark_is_a_share_of_the_pool_rounded_down(share: float, blocks: int) -> None:
    assert small(watermark=share).watermark_blocks == blocks


def test_one_prompt_takes_a_quarter_of_a_step_unless_something_else_is_said() -> None:
    assert Config().long_prefill_token_threshold is None
    assert Config().most_of_a_prompt == 2048
    assert small(max_num_seqs=3, max_num_batched_tokens=3).most_of_a_prompt == 1
    assert small(long_prefill_token_threshold=5).most_of_a_prompt == 5
    nothing = small(long_prefill_token_threshold=0)
    assert nothing.most_of_a_prompt == nothing.max_model_len
    whole = small(enable_chunked_prefill=False)
    assert whole.most_of_a_prompt == whole.max_model_len
    larger = dataclasses.replace(Config(), max_num_batched_tokens=16384)
    assert larger.most_of_a_prompt == 4096


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "default"])
def test_a_preset_of_other_rules_has_no_limit_on_a_prompt(preset: str) -> None:
    config = PRESETS[preset]
    assert config.most_of_a_prompt == config.max_model_len
    if config.rules != "lineclear":
        with pytest.raises(ConfigError, match="need long_prefill_token_threshold = 0"):
            dataclasses.replace(config, long_prefill_token_threshold=7)


def test_settings_come_from_a_mapping() -> None:
    config = Config.from_mapping({"block_size": 8, "victim": "newest"}, small())
    assert config == small(block_size=8, victim="newest")
    assert Config.from_mapping({}) == Config()
    assert Config.from_mapping({"preset": "lesson"}) == PRESETS["lesson"]
    earlier = Config.from_mapping({"depth": 2, "bypass": 3})  # as files of earlier versions say it
    assert (earlier.max_steps_in_flight, earlier.max_bypasses) == (2, 3)
    lesson = Config.from_mapping({"preset": "lesson", "block_size": 8}, small())
    assert lesson == dataclasses.replace(PRESETS["lesson"], block_size=8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blok_size": 16}, "unknown setting blok_size; did you mean block_size?"),
        ({"frobnicate": 1}, "unknown setting frobnicate"),
        (
            {"preset": "best"},
            PRESET_NAMES + "not 'best'",
        ),
        ({3: 4}, "unknown setting 3"),
        (None, "settings must be a table of names and values, not None"),
        (["a"], "settings must be a table of names and values, not ['a']"),
        ({"preset": []}, PRESET_NAMES + "not []"),
        (
            {"broken": ["any_fit"]},
            "broken must be one of tail_requeue, any_fit, longest_victim, not ['any_fit']",
        ),
        ({"broken": []}, "broken must be one of tail_requeue, any_fit, longest_victim, not []"),
        ({"block_size": 0}, "block_size must be a whole number of at least 1, not 0"),
    ],
)
def test_a_mapping_is_refused_in_one_line(settings: Any, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        Config.from_mapping(settings)
    assert str(refusal.value) == message


@pytest.mark.parametrize("base", ["lesson", {}, 0, Config])
def test_the_base_of_settings_is_a_config(base: Any) -> None:
    with pytest.raises(ConfigError, match=r"^base must be a Config, not "):
        Config.from_mapping({"block_size": 8}, base)


def test_the_lesson_goes_swapped_first_and_swaps_by_length() -> None:
    lesson = PRESETS["lesson"]
    assert lesson.swapped_first
    assert (lesson.scheduling_policy, lesson.victim) == ("priority", "lowest_priority")
    assert lesson.preemption_mode == "by_length"
    assert not lesson.enable_chunked_prefill
