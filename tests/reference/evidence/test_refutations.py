"""Every refutation shows what it says, replays, and is not shown where the property holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lineclear.config import PRESETS
from lineclear.evidence.refutations import REFUTATIONS, Demonstration, NotShown, Refutation, find
from lineclear.journal.file import replay

NAMES = [refutation.name for refutation in REFUTATIONS]
#: A policy that has the property.
WITH: dict[str, str] = {"P6b": "fcfs", "P7": "fcfs", "P8": "fcfs", "P10": "fcfs", "P12": "vtc"}
REAL = ("vllm_v0", "vllm_v0_chunked", "nano_vllm")


@pytest.mark.parametrize("name", NAMES)
def test_a_refutation_is_shown_and_its_journal_replays(
    name: str, all_refutations: tuple[dict[str, Any], Path]
) -> None:
    shown = all_refutations[0][name]
    assert isinstance(shown, Demonstration)
    assert shown.figures
    assert shown.sentence
    again = replay((all_refutations[1] / f"{name}.jsonl").read_text().splitlines())
    assert again.complete
    assert again.ledger.steps <= shown.steps


def repaired(refutation: Refutation) -> Refutation:
    """The same run where the property holds."""
    config = refutation.config
    if refutation.policy in REAL:  # the rules of lineclear in the same pools
        keep = (
            "num_gpu_blocks",
            "num_cpu_blocks",
            "block_size",
            "max_num_seqs",
            "preemption_mode",
        )
        same = {key: getattr(config, key) for key in (*keep, "max_num_batched_tokens")}
        return replace(refutation, config=replace(PRESETS["default"], **same))
    if refutation.fails == "P3":
        return replace(refutation, config=replace(config, max_bypasses=1))
    other = WITH[refutation.fails]
    return replace(refutation, config=replace(config, scheduling_policy=other, policy_options=()))


@pytest.mark.parametrize("name", NAMES)
def test_where_the_property_holds_nothing_is_shown(name: str) -> None:
    with pytest.raises(NotShown):
        repaired(find(name)).show()


def test_the_policy_in_its_place_can_be_named() -> None:
    with pytest.raises(NotShown, match="the victim is scheduled"):
        find("priority.P7").show(policy="aging")


def test_names_are_unique_and_an_unknown_one_is_one_clear_error() -> None:
    assert len(set(NAMES)) == len(NAMES)
    with pytest.raises(ValueError, match=r"there is no refutation 'fcfs\.P7'; known are"):
        find("fcfs.P7")
