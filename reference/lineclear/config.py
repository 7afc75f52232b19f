"""The settings of one scheduler, checked before anything runs.

Invariant: a `Config` that exists is consistent.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from lineclear.rules import OWN, RulesError, rules_of
from lineclear_spec.kernel.records import Limits

#: Blocks of one pool, at most: a larger one is a slip of the hand, and its lists alone would take
#: gigabytes of the host's memory.
MOST_BLOCKS = 1 << 24

POLICIES = (
    "fcfs",
    "priority",
    "aging",
    "sjf",
    "sjf_aging",
    "edf",
    "lpl",
    "hybrid",
    "ceiling",
    "fair",
    "vtc",
    "drr",
    "mlfq",
)
VICTIMS = ("last", "lowest_priority", "longest", "newest")
MODES = ("swap", "recompute", "by_length", "auto", "groups")
CACHING = ("off", "prompt", "all")
EVICTION = ("lru", "lfu", "lfu_aging")
CAPACITY = ("max_utilization", "guaranteed_no_evict")


class ConfigError(ValueError):
    """Settings that are invalid; the message is one line that says what to change."""


#: What the setting `broken` of older files switched off, and the rules that do so now.
FORMER = {
    "tail_requeue": "lineclear.evidence.faults:TailRequeue",
    "any_fit": "lineclear.evidence.faults:AnyFit",
    "longest_victim": "lineclear.evidence.faults:LongestVictim",
}


#: Settings that files of earlier versions call otherwise.
NEW_NAMES = {"depth": "max_steps_in_flight", "bypass": "max_bypasses"}


def in_todays_words(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a file of any version, by the names of today."""
    earlier = [name for name in NEW_NAMES if name in settings and NEW_NAMES[name] in settings]
    if earlier:
        raise ConfigError(
            f"{earlier[0]} is the earlier name of {NEW_NAMES[earlier[0]]}: remove {earlier[0]}"
        )
    return {NEW_NAMES.get(name, name): value for name, value in settings.items()}


def pairs_of(options: Any) -> tuple[tuple[str, Any], ...] | None:
    """The options as (name, value) pairs; None if they are none, or name one twice."""
    table = issubclass(type(options), Mapping)
    try:
        pairs: list[Any] = list(options.items() if table else options)
    except TypeError:
        return None
    if not all(type(pair) in (tuple, list) and len(pair) == 2 for pair in pairs):
        return None
    names: list[Any] = [name for name, _ in pairs]
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        return None
    found = tuple((name, value) for name, value in pairs)
    return tuple(sorted(found)) if table else found


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings, by the names that vLLM's users know.

    Attributes:
        num_gpu_blocks: blocks of the GPU pool.
        num_cpu_blocks: blocks of the CPU pool; 0 leaves recompute as the only way to preempt.
        block_size: tokens a block has room for.
        max_num_seqs: sequences that may run at once.
        max_num_batched_tokens: tokens one step may compute.
        max_model_len: tokens a sequence may have, prompt included.
        enable_chunked_prefill: whether a prompt may be computed in several steps.
        enable_chunked_recompute: without chunked prefill, whether a request that has become longer than a
            step may be computed again in several; without it a request whose last recompute might not
            fit into max_num_batched_tokens is rejected. It costs theorems: `--guarantees` names them.
        long_prefill_token_threshold: tokens that one prompt may take of a step while others could use
            them; 0 is no limit. None is a quarter of max_num_batched_tokens, at least 1, under lineclear's
            own rules. It needs chunked prefill; bounds on progress are larger: `--guarantees`.
        max_long_partial_prefills: at most so many running requests may have a prompt that could use more than
            `long_prefill_token_threshold` in a step; a further one waits. None is no limit. With `max_bypasses`
            above 0 shorter requests may enter before it.
        num_lookahead_slots: drafted tokens a decode may verify besides its own.
        watermark: share of the GPU pool that admission leaves free while anything runs.
        schedule_conservativeness: share of the tokens that running requests may still generate, at most
            4,096 of each sequence, for which admission leaves blocks free; 0 relies on preemption.
        capacity_policy: max_utilization lets requests enter while blocks are free; guaranteed_no_evict only while all
            that run fit with the most blocks that each may need, so that none is preempted for growth.
        scheduling_policy: a built-in policy, or module:Class of your own.
        policy_options: what the policy is made with, as (name, value) pairs; a Config can be hashed if the values can.
        preemption_mode: swap, recompute, by_length, auto or groups (swap requests of several
            sequences); swap falls back to recompute.
        swap_threshold: by_length swaps a request that has at least so many tokens.
        victim: which of the candidates is preempted first: last, lowest_priority, longest, newest.
        max_waiting: waiting requests beyond which one is rejected, or None.
        max_waiting_tokens: tokens of requests in the queue beyond which one is rejected, or None: the
            prompt and n * max_tokens of each that waits or is swapped out.
        max_steps_in_flight: steps that may be in flight, 1 or 2.
        max_bypasses: how many requests may enter before one that stands before them and cannot enter yet; 0 is strict
            order.
        swapped_first: whether every swapped request goes before any waiting one (lesson's order).
        pause_after_preemption: admit no request in a step that preempted for growth.
        swap_token_cost: auto: relative cost to move one token out and in again.
        recompute_token_cost: auto: relative cost to compute one token again.
        prefix_caching: whether requests share the blocks of tokens that they begin with: off, prompt (of
            prompts alone) or all (of outputs too).
        prefix_eviction: which blocks are evicted first that no request has: lru, those unused longest; lfu,
            those found least often; lfu_aging, the same, but what was found long ago counts less.
        wait_for_prefix: whether a request that fits waits while one that runs before it computes the
            first block that it would not find, so that no block is computed twice; `max_bypasses` says how
            many others may enter meanwhile. It needs prefix caching.
        rules: how a step is built: lineclear's own way, as vllm_v0, vllm_v0_chunked or nano_vllm
            do, which lack rules that progress needs, or as module:Class does.
    """

    num_gpu_blocks: int = 1024
    num_cpu_blocks: int = 256
    block_size: int = 16
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 8192
    max_model_len: int = 8192
    enable_chunked_prefill: bool = True
    enable_chunked_recompute: bool = False
    long_prefill_token_threshold: int | None = None
    max_long_partial_prefills: int | None = None
    num_lookahead_slots: int = 0
    watermark: float = 0.01
    schedule_conservativeness: float = 0.0
    capacity_policy: str = "max_utilization"
    scheduling_policy: str = "fcfs"
    policy_options: tuple[tuple[str, Any], ...] = ()
    preemption_mode: str = "auto"
    swap_threshold: int = 512
    victim: str = "last"
    max_waiting: int | None = None
    max_waiting_tokens: int | None = None
    max_steps_in_flight: int = 1
    max_bypasses: int = 0
    swapped_first: bool = False
    pause_after_preemption: bool = True
    swap_token_cost: float = 0.16
    recompute_token_cost: float = 1.0
    prefix_caching: str = "off"
    prefix_eviction: str = "lru"
    wait_for_prefix: bool = False
    rules: str = "lineclear"

    def __post_init__(self) -> None:
        """Rejects invalid values."""

        def need(name: str, fits: bool, words: str) -> None:
            if not fits:
                raise ConfigError(f"{name} must be {words}, not {getattr(self, name)!r}")

        for name, least in (
            ("num_gpu_blocks", 1),
            ("num_cpu_blocks", 0),
            ("block_size", 1),
            ("max_num_seqs", 1),
            ("max_num_batched_tokens", 1),
            ("max_model_len", 2),
            ("num_lookahead_slots", 0),
            ("swap_threshold", 0),
            ("max_bypasses", 0),
        ):
            value = getattr(self, name)
            fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
            need(name, fits, f"a whole number of at least {least}")
        for name in ("num_gpu_blocks", "num_cpu_blocks"):
            if getattr(self, name) > MOST_BLOCKS:
                raise ConfigError(
                    f"{name} must be at most {MOST_BLOCKS}, not {getattr(self, name)}; use larger "
                    "blocks (block_size) for a larger pool"
                )
        most: Any = self.max_steps_in_flight
        need("max_steps_in_flight", type(most) is int and most in (1, 2), "1 or 2")
        for name in (
            "enable_chunked_prefill",
            "enable_chunked_recompute",
            "swapped_first",
            "pause_after_preemption",
            "wait_for_prefix",
        ):
            need(name, isinstance(getattr(self, name), bool), "true or false")
        for name, least_not in (
            ("watermark", 1.0),
            (
                "schedule_conservativeness",
                1e9,
            ),  # no float overflows when it is multiplied by tokens
            ("swap_token_cost", math.inf),
            ("recompute_token_cost", math.inf),
        ):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            need(
                name,
                number and 0 <= value < least_not,
                f"a number of at least 0 and below {least_not:g}",
            )
        for name, least in (
            ("max_waiting", 0),
            ("max_waiting_tokens", 0),
            ("long_prefill_token_threshold", 0),
            ("max_long_partial_prefills", 1),
        ):
            value = getattr(self, name)
            fits = value is None or (type(value) is int and value >= least)
            need(name, fits, f"a whole number of at least {least} or None")
        for name in ("scheduling_policy", "rules"):
            need(name, isinstance(getattr(self, name), str), "a name or module:Class")
        options = pairs_of(self.policy_options)
        need("policy_options", options is not None, "(name, value) pairs, each name once")
        object.__setattr__(self, "policy_options", options)
        policy = self.scheduling_policy
        words = f"one of {', '.join(POLICIES)}, or module:Class"
        need("scheduling_policy", ":" in policy or policy in POLICIES, words)
        for name, known in (
            ("preemption_mode", MODES),
            ("victim", VICTIMS),
            ("prefix_caching", CACHING),
            ("prefix_eviction", EVICTION),
            ("capacity_policy", CAPACITY),
        ):
            value = getattr(self, name)
            need(name, isinstance(value, str) and value in known, f"one of {', '.join(known)}")
        try:
            needs = rules_of(self.rules).needs
        except RulesError as error:
            raise ConfigError(str(error)) from error
        for name, wanted in needs.items():
            left_open = name == "long_prefill_token_threshold" and getattr(self, name) is None
            if getattr(self, name) != wanted and not left_open:
                raise ConfigError(
                    f"rules {self.rules} need {name} = {wanted!r}, not {getattr(self, name)!r}: set it so, "
                    "or use other rules"
                )
        if self.wait_for_prefix and self.prefix_caching == "off":
            raise ConfigError(
                "wait_for_prefix is true and prefix_caching is off: set prefix_caching to prompt or all, "
                "or leave wait_for_prefix out"
            )
        decodes = self.max_num_seqs * (1 + self.num_lookahead_slots)
        if self.max_num_batched_tokens < decodes:
            raise ConfigError(
                f"max_num_batched_tokens ({self.max_num_batched_tokens}) must be at least "
                f"max_num_seqs * (1 + num_lookahead_slots) = {decodes}, or decodes would starve "
                "each other; raise it or lower max_num_seqs"
            )

    @property
    def lacking(self) -> tuple[str, ...]:
        """Rules that progress needs and that these settings switch off, in words."""
        return rules_of(self.rules).lacks

    @property
    def most_of_a_prompt(self) -> int:
        """Tokens that one prompt may take of a step while others could use them; those of a whole
        sequence if nothing limits it.
        """
        most = self.long_prefill_token_threshold
        if most is None:  # no other rules are limited unless that is said
            most = max(1, self.max_num_batched_tokens // 4) if self.rules == OWN else 0
        return most if most and self.enable_chunked_prefill else self.max_model_len

    @property
    def cuts_recomputes(self) -> bool:
        """Whether only what is longer than a step is computed in several."""
        return self.enable_chunked_recompute and not self.enable_chunked_prefill

    @property
    def watermark_blocks(self) -> int:
        """Blocks that admission leaves free while anything runs."""
        return int(self.watermark * self.num_gpu_blocks)

    def limits(self) -> Limits:
        """The constants of the ledger."""
        return Limits(
            block_size=self.block_size,
            gpu_blocks=self.num_gpu_blocks,
            cpu_blocks=self.num_cpu_blocks,
            max_num_batched_tokens=self.max_num_batched_tokens,
            max_num_seqs=self.max_num_seqs,
            max_model_len=self.max_model_len,
            chunked=self.enable_chunked_prefill,
            cut_long=self.enable_chunked_recompute,
            max_steps_in_flight=self.max_steps_in_flight,
        )

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any], base: Config | None = None) -> Config:
        """Settings from a TOML table or from flags; unknown names are refused.

        Raises:
            ConfigError: these are no table and no Config, a name is unknown, or a value is invalid.
        """
        known = [field.name for field in fields(cls)]
        if not isinstance(settings, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"settings must be a table of names and values, not {settings!r}")
        if base is not None and not isinstance(base, Config):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"base must be a Config, not {base!r}")
        chosen = in_todays_words(settings)
        former = chosen.pop("broken", "")  # in files that were written before 0.1
        if former != "":
            if former not in tuple(FORMER):  # a table or a list is in no dict
                raise ConfigError(f"broken must be one of {', '.join(FORMER)}, not {former!r}")
            chosen["rules"] = FORMER[former]
        preset = chosen.pop("preset", None)
        if preset is not None:
            if preset not in tuple(PRESETS):
                raise ConfigError(f"preset must be one of {', '.join(PRESETS)}, not {preset!r}")
            base = PRESETS[preset]
        for name in chosen:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, 1)
                raise ConfigError(
                    f"unknown setting {name}" + (f"; did you mean {near[0]}?" if near else "")
                )
        return replace(cls() if base is None else base, **chosen)


#: `lesson` has the lesson's order (swapped before waiting requests), its victim and its mode. What
#: running sequences need is set aside first, so that no request is swapped in and out in one step.
PRESETS: dict[str, Config] = {
    "default": Config(),
    "lesson": Config(
        scheduling_policy="priority",
        victim="lowest_priority",
        preemption_mode="by_length",
        swapped_first=True,
        watermark=0.0,
        enable_chunked_prefill=False,
    ),
    "vllm_v0": Config(
        rules="vllm_v0",
        preemption_mode="groups",
        swapped_first=True,
        enable_chunked_prefill=False,
    ),
    "vllm_v0_chunked": Config(
        rules="vllm_v0_chunked",
        preemption_mode="groups",
        swapped_first=True,
        max_num_batched_tokens=512,
    ),
    "nano_vllm": Config(
        rules="nano_vllm",
        preemption_mode="recompute",
        swapped_first=True,
        enable_chunked_prefill=False,
        watermark=0.0,
        num_cpu_blocks=0,
    ),
}
