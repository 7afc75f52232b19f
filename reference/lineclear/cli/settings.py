"""The scheduler's settings as flags and as a TOML file.

Guarantees: flags have vLLM's names, TOML keys the same names with underscores; a flag overrides
the file. `Config` rejects invalid values.
"""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from lineclear.cli.exits import UsageError
from lineclear.cli.files import reason
from lineclear.cli.numbers import real, whole

if TYPE_CHECKING:
    from lineclear.config import Config

#: Every setting of `Config`: type, default and help. Written here because importing it takes too
#: long for `--help`; a test compares the two.
SETTINGS: dict[str, tuple[type, object, str]] = {
    "num_gpu_blocks": (int, 1024, "blocks of the GPU pool"),
    "num_cpu_blocks": (int, 256, "blocks of the CPU pool, 0 for none"),
    "block_size": (int, 16, "tokens per block"),
    "max_num_seqs": (int, 256, "maximum number of running sequences"),
    "max_num_batched_tokens": (int, 8192, "maximum tokens per step"),
    "max_model_len": (int, 8192, "maximum tokens per sequence, prompt included"),
    "enable_chunked_prefill": (bool, True, "compute a prompt in several steps"),
    "enable_chunked_recompute": (
        bool,
        False,
        "without chunked prefill: compute a request that is longer than a step again in several",
    ),
    "long_prefill_token_threshold": (
        int,
        None,
        "tokens that one prompt may take of a step while others could use them; 0 is no limit "
        "(default: a quarter of max_num_batched_tokens)",
    ),
    "max_long_partial_prefills": (
        int,
        None,
        "running requests whose prompt could use more than --long-prefill-token-threshold; a further one waits "
        "(default: no limit)",
    ),
    "num_lookahead_slots": (int, 0, "draft tokens that a decode may verify"),
    "watermark": (float, 0.01, "share of the GPU pool that admission keeps free"),
    "schedule_conservativeness": (
        float,
        0.0,
        "share of the tokens that running requests may still generate to keep blocks free for",
    ),
    "capacity_policy": (str, "max_utilization", "max_utilization or guaranteed_no_evict"),
    "scheduling_policy": (
        str,
        "fcfs",
        "fcfs, priority, aging, sjf, sjf_aging, edf, lpl, hybrid, ceiling, fair, vtc, drr, mlfq, "
        "or your own module:Class",
    ),
    "policy_options": (dict, (), "arguments of the policy, as NAME=VALUE ..."),
    "preemption_mode": (str, "auto", "swap, recompute, by_length, auto or groups"),
    "swap_threshold": (int, 512, "by_length: swap requests with at least this many tokens"),
    "victim": (str, "last", "last, lowest_priority, longest or newest"),
    "max_waiting": (int, None, "reject arrivals while this many wait (default: no limit)"),
    "max_waiting_tokens": (
        int,
        None,
        "reject arrivals while requests of this many tokens are queued, n * max_tokens included (default: no limit)",
    ),
    "max_steps_in_flight": (int, 1, "maximum steps in flight, 1 or 2"),
    "max_bypasses": (
        int,
        0,
        "requests that may enter before one that cannot enter yet; 0: strict order",
    ),
    "swapped_first": (
        bool,
        False,
        "serve swapped requests before waiting ones, whatever the order",
    ),
    "pause_after_preemption": (bool, True, "admit no request in a step that preempted for growth"),
    "swap_token_cost": (float, 0.16, "auto: cost of moving a token out and in"),
    "recompute_token_cost": (float, 1.0, "auto: cost of recomputing a token"),
    "prefix_caching": (
        str,
        "off",
        "share the blocks of equal beginnings: off, prompt (of prompts) or all (of outputs too)",
    ),
    "prefix_eviction": (
        str,
        "lru",
        "which cached blocks are evicted first: lru, lfu or lfu_aging",
    ),
    "wait_for_prefix": (
        bool,
        False,
        "a request waits while one before it computes a block that it would share",
    ),
    "rules": (str, "lineclear", "lineclear, vllm_v0, vllm_v0_chunked, nano_vllm, or module:Class"),
}

#: `Config` knows the limits; here a number has to be one.
PARSERS: dict[type, Callable[[str], Any]] = {int: whole(), float: real(), str: str}

#: What a value in a file has to be.
KINDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    dict: "a table",
}

TOO_LARGE = "a whole number has more than 64 bits: give a smaller one"


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for each setting, `--preset` and `--config`."""
    group = parser.add_argument_group("scheduler")
    group.add_argument(
        "--config", metavar="FILE.toml", help="TOML file of settings, with underscores"
    )
    group.add_argument(
        "--preset",
        metavar="NAME",
        help="default, lesson, vllm_v0, vllm_v0_chunked or nano_vllm",
    )
    for name, (kind, default, text) in SETTINGS.items():
        text = text if default is None else f"{text} (default: {default})"
        flag = f"--{name.replace('_', '-')}"
        if kind is dict:
            text = text.partition(" (default")[0]
            group.add_argument(
                flag, action="extend", nargs="+", type=option, metavar="NAME=VALUE", help=text
            )
        elif name == "prefix_caching":
            either = group.add_mutually_exclusive_group()
            either.add_argument(flag, metavar="STR", help=text)
            either.add_argument(
                "--enable-prefix-caching",
                action="store_const",
                const="all",
                dest=name,
                help="the same as --prefix-caching all",
            )
        elif kind is bool:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, help=text)
        else:
            group.add_argument(flag, type=PARSERS[kind], metavar=kind.__name__.upper(), help=text)


def option(text: str) -> tuple[str, Any]:
    """Parses `NAME=VALUE`; the value is TOML, or else text."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"write an option as NAME=VALUE, not {text!r}")
    try:
        found = tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        found = value
    except ValueError as error:
        raise argparse.ArgumentTypeError(TOO_LARGE) from error
    if not fits(found):
        raise argparse.ArgumentTypeError(TOO_LARGE)
    return name.replace("-", "_"), found


def options_of(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The value of each option of `--policy-options`.

    Raises:
        UsageError: one is given twice.
    """
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise UsageError(f"--policy-options has {name} twice: give it one value")
        found[name] = value
    return found


def read_settings(
    arguments: argparse.Namespace,
    defaults: Mapping[str, Any],
    complete: Callable[[Mapping[str, Any]], dict[str, Any]] = dict,
) -> Config:
    """The configuration: flags override the file, which overrides defaults.

    Args:
        arguments: of the command.
        defaults: of the command, where neither flags nor the file say anything.
        complete: adds to the choice of flags and file what follows from it, before the defaults.

    Raises:
        UsageError: the file cannot be read, or a setting is invalid.
    """
    from lineclear.config import Config, ConfigError

    chosen: dict[str, Any] = {}
    written: dict[str, Any] = {}
    fault = ""  # what is wrong with the file alone
    if arguments.config is not None:
        written = read_toml(arguments.config)
        try:
            Config.from_mapping({**defaults, **written})
        except ConfigError as error:
            fault = str(error)
        chosen.update(written)
    for name in ("preset", *SETTINGS):
        value = getattr(arguments, name)
        if value is not None:
            chosen[name] = options_of(value) if name == "policy_options" else value
    try:
        config = Config.from_mapping({**defaults, **complete(chosen)})
    except ConfigError as error:
        of_file = f"{arguments.config}: " if str(error) == fault else ""  # no flag has mended it
        raise UsageError(f"{of_file}{error}") from error
    asked = {arguments.preemption_mode, written.get("preemption_mode")}
    if "swap" in asked and config.preemption_mode == "swap" and not config.num_cpu_blocks:
        raise UsageError(
            "preemption_mode is swap and num_cpu_blocks is 0, so no request can be swapped: raise "
            "num_cpu_blocks, or set preemption_mode to recompute"
        )
    usable(config)
    return config


def usable(config: Config) -> None:
    """Raises if the policy cannot be created; its module may be in the current folder.

    Raises:
        UsageError: there is no such policy, or its arguments are invalid.
    """
    from lineclear.policies import make

    if ":" in config.scheduling_policy:
        import_from_here()
    try:
        make(config.scheduling_policy, dict(config.policy_options))
    except ValueError as error:
        raise UsageError(str(error)) from error


def import_from_here() -> None:
    """Makes modules of the working directory importable, as `python -m` does."""
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def fits(value: object) -> bool:
    """Whether every whole number in a value of TOML has at most 64 bits, as TOML has them."""
    if isinstance(value, int):
        return abs(value) < 1 << 63
    if isinstance(value, dict):
        return all(map(fits, cast("dict[str, object]", value).values()))
    return not isinstance(value, list) or all(map(fits, cast("list[object]", value)))


def read_toml(path: str) -> dict[str, Any]:
    """Reads the settings of a file; accepts names with hyphens, and those of earlier versions."""
    from lineclear.config import in_todays_words

    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {reason(error)}") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from error
    except RecursionError as error:
        raise UsageError(
            f"{path}: it is nested too deep: write the settings as NAME = VALUE"
        ) from error
    except ValueError as error:  # Python reads no number of more than 4,300 digits
        raise UsageError(f"{path}: {TOO_LARGE}") from error
    if not fits(table):
        raise UsageError(f"{path}: {TOO_LARGE}")
    settings = in_todays_words({name.replace("-", "_"): value for name, value in table.items()})
    for name, value in settings.items():
        if name not in SETTINGS:
            continue  # Config suggests the nearest known name
        kind = SETTINGS[name][0]
        kinds = (int, float) if kind is float else (kind,)
        if type(value) not in kinds:
            raise UsageError(f"{path}: {name} is {value!r}: it must be {KINDS[kind]}")
    return settings
