"""Ways to build a step, by name: lineclear's own, and baselines that lack rules of progress.

Invariant: a scheduler imports no baseline; the class of one is loaded when a scheduler is made whose
settings name it. Safety is the same under all of them, because every change is an action of the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

#: The name of lineclear's own way.
OWN = "lineclear"


class RulesError(ValueError):
    """No class is found by a name."""


@dataclass(frozen=True, slots=True)
class Rules:
    """One way to build a step.

    Attributes:
        step: module:Class of a `lineclear.scheduling.step.Step`.
        lacks: rules of progress that it does without, as sentences.
        needs: the only value of each setting that it goes with.
        replaces: whether it decides who enters and who is preempted by rules of its own.
    """

    step: str
    lacks: tuple[str, ...] = ()
    needs: Mapping[str, object] = field(default_factory=dict[str, object])
    replaces: bool = False


#: What all baselines go with.
BASELINE: dict[str, object] = {
    "scheduling_policy": "fcfs",
    "victim": "last",
    "max_steps_in_flight": 1,
    "num_lookahead_slots": 0,
    "enable_chunked_prefill": False,
    "long_prefill_token_threshold": 0,
    "max_long_partial_prefills": None,
    "swapped_first": True,
    "schedule_conservativeness": 0.0,
    "capacity_policy": "max_utilization",
    "prefix_caching": "off",  # they count free blocks, and never evict
}

RULES: dict[str, Rules] = {
    OWN: Rules("lineclear.scheduling.step:Step"),
    "vllm_v0": Rules(
        "lineclear.evidence.vllm_v0:V0Step",
        (
            "a swapped request goes back by its place in the order",
            "the watermark is waived when nothing runs",
            "a request is preempted only if a block is needed",
            "decodes go on while prompts arrive",
        ),
        BASELINE,
        replaces=True,
    ),
    "vllm_v0_chunked": Rules(
        "lineclear.evidence.vllm_v0:V0ChunkedStep",
        (
            "a swapped request goes back by its place in the order",
            "the watermark is waived when nothing runs",
            "a request is preempted only if a block is needed",
            "no request is admitted in a step that preempted",
            "a preempted request is queued before later arrivals",
            "a swapped prompt goes on in chunks",
        ),
        {**BASELINE, "enable_chunked_prefill": True},
        replaces=True,
    ),
    "nano_vllm": Rules(
        "lineclear.evidence.vllm_v0:NanoStep",
        ("decodes go on while prompts arrive",),
        BASELINE,
        replaces=True,
    ),
}


def rules_of(name: str) -> Rules:
    """The rules of a name, or those that the class of a module:Class states in its attributes.

    Raises:
        RulesError: there are none.
    """
    found = RULES.get(name)
    if found is not None:
        return found
    if ":" not in name:
        raise RulesError(f"rules must be one of {', '.join(RULES)}, or module:Class, not {name!r}")
    kind = load(name)
    return Rules(
        name,
        tuple(getattr(kind, "lacks", ())),
        dict(getattr(kind, "needs", {})),
        bool(getattr(kind, "replaces", True)),
    )


def load(path: str) -> Any:
    """The class at module:Class.

    Raises:
        RulesError: it cannot be imported, or builds no steps.
    """
    module, _, attribute = path.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise RulesError(f"rules {path}: {error}") from error
    if not isinstance(found, type) or not hasattr(found, "decodes_every_step"):
        raise RulesError(
            f"rules {path}: {found!r} is no class that builds steps; derive one from lineclear.scheduling.step.Step"
        )
    return found
