"""Collects the metrics of a run: times and rates for users and operators.

Guarantees: a percentile is one of the values that were seen; a quantity that never occurred is None, not 0.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


def seconds_seen() -> array[float]:
    """Room for many seconds."""
    return array("d")


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Mean, 50th, 90th and 99th percentile and maximum; None without values.

    A percentile is the smallest value that at least so many of 100 values do not exceed.
    """
    if not values:
        return None
    ordered = np.sort(values)
    rank = {percent: -(-len(values) * percent // 100) - 1 for percent in (50, 90, 99)}
    return {
        "mean": float(ordered.mean()),
        **{f"p{percent}": float(ordered[at]) for percent, at in rank.items()},
        "max": float(ordered[-1]),
    }


@dataclass(slots=True)
class Times:
    """The moments of one request, in seconds.

    Attributes:
        arrived: when it was added.
        scheduled: when a step first computed some of it.
        first_token: when its first token was committed.
        last_token: when its last token so far was committed.
        finished: when it ended.
        preempted_at: since when it is preempted, if it is.
        preempted: seconds that it was preempted.
        stall: the longest time between two of its tokens.
        tokens: tokens that were generated for it, by all its sequences.
        longest: tokens that the longest of its sequences generated.
        preemptions: how often it was preempted.
    """

    arrived: float
    scheduled: float | None = None
    first_token: float | None = None
    last_token: float | None = None
    finished: float | None = None
    preempted_at: float | None = None
    preempted: float = 0.0
    stall: float = 0.0
    tokens: int = 0
    longest: int = 0
    preemptions: int = 0


@dataclass(slots=True)
class Collector:
    """Counts and moments of one run.

    Attributes:
        times: by request, in order of arrival.
        steps: steps that computed something.
        batched_tokens: tokens that these steps computed.
        prompt_tokens: prompt tokens of the requests that finished.
        generated_tokens: tokens that were generated.
        recomputed_tokens: positions that were computed and lost, so that they had to be again.
        swap_outs: preemptions by swap.
        recomputes: preemptions by recompute.
        swapped_out_blocks: blocks copied to the CPU.
        swapped_in_blocks: blocks copied back.
        copied_blocks: blocks copied because a branch was about to write into a shared one.
        gaps: seconds between two commits of tokens of one request, of all requests.
        held_slots: positions that GPU blocks had room for, summed over steps.
        filled_slots: of these, positions that were computed for what the step computes.
    """

    times: dict[Hashable, Times] = field(default_factory=dict[Hashable, Times])
    steps: int = 0
    batched_tokens: int = 0
    batched_sequences: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    recomputed_tokens: int = 0
    swap_outs: int = 0
    recomputes: int = 0
    swapped_out_blocks: int = 0
    swapped_in_blocks: int = 0
    copied_blocks: int = 0
    gaps: array[float] = field(default_factory=seconds_seen)
    held_slots: int = 0
    filled_slots: int = 0
    gpu_usage_seconds: float = 0.0
    cpu_usage_seconds: float = 0.0
    gpu_usage_peak: float = 0.0
    cpu_usage_peak: float = 0.0
    running_seconds: float = 0.0
    waiting_seconds: float = 0.0
    seconds: float = 0.0

    def arrive(self, request_id: Hashable, now: float) -> None:
        """A request was added."""
        self.times[request_id] = Times(now)

    def schedule(self, request_id: Hashable, now: float) -> None:
        """A step computes some of the request; it is preempted no longer."""
        times = self.times[request_id]
        if times.scheduled is None:
            times.scheduled = now
        if times.preempted_at is not None:
            times.preempted += now - times.preempted_at
            times.preempted_at = None

    def preempt(self, request_id: Hashable, now: float, *, swap: bool) -> None:
        """A request gave up its place."""
        times = self.times[request_id]
        times.preemptions += 1
        if times.preempted_at is None:
            times.preempted_at = now
        if swap:
            self.swap_outs += 1
        else:
            self.recomputes += 1

    def tokens(self, request_id: Hashable, count: int, now: float) -> None:
        """Tokens of the request were committed; `Decodes` counts those of most decodes itself."""
        times = self.times[request_id]
        if times.first_token is None:
            times.first_token = now
        elif times.last_token is not None:
            gap = now - times.last_token
            self.gaps.append(gap)
            if gap > times.stall:
                times.stall = gap
        times.last_token = now
        times.tokens += count
        self.generated_tokens += count

    def finish(self, request_id: Hashable, prompt_tokens: int, longest: int, now: float) -> None:
        """A request ended as it should; its longest sequence generated `longest` tokens.

        Args:
            request_id: its id.
            prompt_tokens: tokens of its prompt.
            longest: tokens that its longest sequence generated.
            now: seconds since the start.
        """
        times = self.times[request_id]
        times.finished = now
        times.longest = longest
        self.prompt_tokens += prompt_tokens

    def elapse(
        self, seconds: float, *, gpu: float, cpu: float, running: int, waiting: int
    ) -> None:
        """Time went by with this much of the pools in use and so many requests about.

        Args:
            seconds: how long.
            gpu: share of the GPU pool in use, 0 to 1.
            cpu: share of the CPU pool in use, 0 to 1.
            running: requests that run.
            waiting: requests that wait or are swapped out.
        """
        self.seconds += seconds
        self.gpu_usage_seconds += gpu * seconds
        self.cpu_usage_seconds += cpu * seconds
        self.gpu_usage_peak = max(self.gpu_usage_peak, gpu)
        self.cpu_usage_peak = max(self.cpu_usage_peak, cpu)
        self.running_seconds += running * seconds
        self.waiting_seconds += waiting * seconds

    def count_decodes(self, rows: int, filled: int, contexts: list[int]) -> None:
        """Steps computed one token of each of so many sequences.

        Args:
            rows: how many sequences.
            filled: positions of them that were computed before.
            contexts: positions that GPU blocks had room for in each step.
        """
        self.held_slots += sum(contexts)
        for context in contexts:
            filled += rows
            self.filled_slots += min(filled, context)
        self.steps += len(contexts)
        self.batched_tokens += rows * len(contexts)
        self.batched_sequences += rows * len(contexts)

    def bytes_moved(self, size: float) -> dict[str, float]:
        """KV that went over the link, each way, in blocks of this many bytes."""
        return {
            "swapped_out_bytes": self.swapped_out_blocks * size,
            "swapped_in_bytes": self.swapped_in_blocks * size,
        }

    def report(self) -> dict[str, Any]:
        """Everything as plain numbers; times in seconds."""
        finished = [t for t in self.times.values() if t.finished is not None]
        seconds = self.seconds

        def rate(count: float) -> float | None:
            return count / seconds if seconds else None

        return {
            "ttft": spread(
                [t.first_token - t.arrived for t in finished if t.first_token is not None]
            ),
            "tpot": spread(
                [
                    (t.last_token - t.first_token) / (t.longest - 1)
                    for t in finished
                    if t.longest > 1 and t.first_token is not None and t.last_token is not None
                ]
            ),
            "e2e": spread([t.finished - t.arrived for t in finished if t.finished is not None]),
            "queue_delay": spread(
                [t.scheduled - t.arrived for t in finished if t.scheduled is not None]
            ),
            "itl": spread(self.gaps),
            "max_stall": spread([t.stall for t in finished if t.longest > 1]),
            "preempted_time": spread([t.preempted for t in finished if t.preemptions]),
            "duration": seconds,
            "requests_per_second": rate(len(finished)),
            "prompt_tokens_per_second": rate(self.prompt_tokens),
            "generated_tokens_per_second": rate(self.generated_tokens),
            "prompt_tokens": self.prompt_tokens,
            "generated_tokens": self.generated_tokens,
            "batched_tokens": self.batched_tokens,
            "batched_tokens_per_step": self.batched_tokens / self.steps if self.steps else None,
            "sequences_per_step": self.batched_sequences / self.steps if self.steps else None,
            "recomputed_tokens": self.recomputed_tokens,
            "recompute_tax": (
                self.recomputed_tokens / self.batched_tokens if self.batched_tokens else None
            ),
            "preempted_requests": sum(1 for t in self.times.values() if t.preemptions),
            "swapped_out_blocks": self.swapped_out_blocks,
            "swapped_in_blocks": self.swapped_in_blocks,
            "copied_blocks": self.copied_blocks,
            "kv_waste": (1 - self.filled_slots / self.held_slots if self.held_slots else None),
            "gpu_cache_usage": {"mean": rate(self.gpu_usage_seconds), "max": self.gpu_usage_peak},
            "cpu_cache_usage": {"mean": rate(self.cpu_usage_seconds), "max": self.cpu_usage_peak},
            "mean_running": rate(self.running_seconds),
            "mean_waiting": rate(self.waiting_seconds),
        }
