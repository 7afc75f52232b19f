"""Where the rules of real systems make no progress, or let a later request pass: seen on our table.

Guarantees: each run has the requests of a report about the real system, or of its rules run by
hand (docs/trust.md names the sources), and the default preset does not fail in it.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any

from lineclear.config import PRESETS
from lineclear.evidence.refutations.drive import Drive, DrivenStep, NotShown, Refutation, Script

#: Call of `schedule` before which it arrives, name, prompt, output.
Arriving = tuple[tuple[int, Hashable, int, int], ...]


def run(drive: Drive, arriving: Arriving, steps: int) -> list[DrivenStep]:
    """So many steps, requests added when their step comes."""
    coming = list(arriving)
    for k in range(steps):
        while coming and coming[0][0] <= k:
            _, name, prompt, output = coming.pop(0)
            drive.add(name, prompt, output)
        drive.step()
    return drive.rows


def standstill(arriving: Arriving, steps: int, last: int) -> Script:
    """Requests live, every block that they do not hold is free, and the last steps compute nothing."""

    def script(drive: Drive) -> tuple[str, dict[str, Any]]:
        rows = run(drive, arriving, steps)
        idle = next((k for k, row in enumerate(reversed(rows)) if row.step is not None), len(rows))
        live = list(map(str, drive.scheduler.entries))
        if idle < last or not live:
            raise NotShown(f"{len(live)} live, nothing computed in the last {idle} steps")
        return (
            f"in the last {idle} steps nothing is computed while {' and '.join(live)} wait and "
            f"{rows[-1].free} of {drive.config.num_gpu_blocks} blocks are free",
            {"idle_steps": idle, "live": live, "free_blocks": rows[-1].free},
        )

    return script


def to_and_fro(arriving: Arriving, steps: int, least: int) -> Script:
    """A request is preempted again and again in steps after which there is room for it."""

    def script(drive: Drive) -> tuple[str, dict[str, Any]]:
        rows = run(drive, arriving, steps)
        times = [k for k, row in enumerate(rows) if row.preempted and row.free > 0]
        if len(times) < least:
            raise NotShown(f"a request is preempted {len(times)} times")
        victims = sorted({str(name) for k in times for name, _ in rows[k].preempted})
        free = min(rows[k].free for k in times)
        return (
            f"{' and '.join(victims)} are preempted {len(times)} times in {len(rows)} steps, and after "
            f"each of these steps {free} blocks or more are free",
            {"preemptions": len(times), "victims": victims, "free_blocks": free},
        )

    return script


def starved(arriving: Arriving, steps: int, victim: Hashable, last: int) -> Script:
    """A request that runs computes nothing while prompts keep arriving.

    Args:
        arriving: (step, request, prompt tokens, output tokens) of each arrival.
        steps: steps of the run.
        victim: the request that is starved.
        last: the least number of steps before the end without a token of it.
    """

    def script(drive: Drive) -> tuple[str, dict[str, Any]]:
        rows = run(drive, arriving, steps)
        idle = next((k for k, row in enumerate(reversed(rows)) if victim in row.tokens), len(rows))
        if idle < last:
            raise NotShown(f"{victim} is computed {idle} steps before the end")
        return (
            f"for {idle} steps, as long as a prompt arrives in each, {victim} runs and computes "
            "nothing",
            {"idle_steps": idle},
        )

    return script


def overtaken(drive: Drive) -> tuple[str, dict[str, Any]]:
    """In one step a request is preempted and a later arrival is admitted."""
    rows = run(drive, D7, 8)
    at = next((k for k, row in enumerate(rows) if row.preempted), None)
    if at is None:
        raise NotShown("no request is preempted")
    (victim, _), row = rows[at].preempted[0], rows[at]
    entered = [n for n in row.tokens if drive.first_scheduled(n) == at]
    arrived = drive.arrived
    if not any(arrived[name] > arrived[victim] for name in entered):
        raise NotShown(f"in step {at} {victim} is preempted and no request is admitted")
    return (
        f"in step {at} {victim} is preempted and waits, and {entered[0]}, which arrived "
        f"{arrived[entered[0]] - arrived[victim]} steps after it, enters in the same step",
        {"step": at, "preempted": str(victim), "entered": str(entered[0])},
    )


D1: Arriving = ((0, "a", 1583, 18), (1, "b", 16, 4))
D4_SWAP: Arriving = ((0, "1", 144, 60), (0, "2", 144, 60), (0, "3", 144, 60))
D4_RECOMPUTE: Arriving = ((0, "1", 33, 20), (0, "2", 33, 20))
D6: Arriving = ((0, "b", 20, 28), (1, "a", 44, 5))
D7: Arriving = ((0, "1", 19, 20), (0, "2", 19, 20), (3, "3", 8, 20))
ARRIVING: Arriving = ((0, "first", 16, 60), *((k, str(k), 16, 1) for k in range(1, 60)))
V0, CHUNKED, NANO = (PRESETS[name] for name in ("vllm_v0", "vllm_v0_chunked", "nano_vllm"))
SMALL: dict[str, Any] = {"block_size": 4, "num_cpu_blocks": 40, "max_num_seqs": 8}

REFUTATIONS = (
    Refutation(
        "vllm_v0", "P1", "a request as large as the pool is swapped out and never comes back",
        replace(V0, num_gpu_blocks=100, num_cpu_blocks=200, preemption_mode="swap"),
        standstill(D1, 204, 200), about="D1",
    ),
    Refutation(
        "vllm_v0", "P2", "a request is swapped out and in by turns though no block is needed",
        replace(V0, num_gpu_blocks=30, num_cpu_blocks=60, preemption_mode="swap"),
        to_and_fro(D4_SWAP, 16, 7), about="D4",
    ),
    Refutation(
        "vllm_v0", "P2", "two requests recompute each other though no block is needed",
        replace(V0, num_gpu_blocks=6, num_cpu_blocks=0, preemption_mode="recompute"),
        to_and_fro(D4_RECOMPUTE, 17, 8), about="D4-recompute",
    ),
    Refutation(
        "vllm_v0", "P7", "decodes wait while prompts arrive",
        replace(V0, num_gpu_blocks=100), starved(ARRIVING, 58, "first", 50),
    ),
    Refutation(
        "vllm_v0_chunked", "P1", "a swapped prompt longer than the budget never comes back",
        replace(CHUNKED, **SMALL, num_gpu_blocks=16, max_num_batched_tokens=16, preemption_mode="swap"),
        standstill(D6, 140, 100), about="D6",
    ),
    Refutation(
        "vllm_v0_chunked", "P4", "a later arrival takes the blocks of the preempted request",
        replace(
            CHUNKED, **SMALL, num_gpu_blocks=12, max_num_batched_tokens=64, preemption_mode="recompute"
        ),
        overtaken, about="D7",
    ),
    Refutation(
        "nano_vllm", "P7", "decodes wait while prompts arrive",
        replace(NANO, num_gpu_blocks=100), starved(ARRIVING, 58, "first", 50),
    ),
)  # fmt: skip
