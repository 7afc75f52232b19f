"""Durations in a simulation: a stated model of one GPU, and the operations on it.

Guarantees: an operation starts when its stream is free and everything that it waits for is done;
the same operations take the same time on every machine.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, fields

#: Limits of a model's numbers, so that sums and quotients of them stay finite.
LEAST, MOST = 1e-12, 1e12


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds of a step and of a copy.

    A step takes `base` + `per_token` x tokens + `per_sequence` x sequences + `per_context` x
    tokens of KV that it reads + `per_pair` x pairs of a prompt token and an earlier token. A copy
    takes `copy_base` and its bytes over `copy_bandwidth`.

    The defaults have the size of an 8 billion parameter model with grouped KV heads in 16 bits on
    one GPU of the H100 class: 16 GB of weights read at 3 TB/s, 16 GFLOP a token at half of 990
    TFLOP/s, 128 KiB of KV a token, copies at 24 GB/s.

    Attributes:
        base: seconds of any step.
        per_token: seconds for each token that the step computes.
        per_sequence: seconds for each sequence in the step.
        per_context: seconds for each token whose KV the step reads.
        per_pair: seconds for each token of a prompt and each token before it.
        copy_base: seconds to start a copy.
        copy_bandwidth: bytes in a second, in each direction.
        kv_bytes: bytes of KV for each token.
    """

    base: float = 5.5e-3
    per_token: float = 3.3e-5
    per_sequence: float = 4e-6
    per_context: float = 4.4e-8
    per_pair: float = 1.1e-9
    copy_base: float = 1e-4
    copy_bandwidth: float = 24e9
    kv_bytes: float = 131_072

    def __post_init__(self) -> None:
        """Refuses numbers that make time stand still or run backwards."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not (isinstance(value, (int, float)) and 0 <= value <= MOST):
                raise ValueError(f"{field.name} is {value}; give a number from 0 to {MOST:g}")
        if min(self.base, self.copy_bandwidth) < LEAST:
            raise ValueError(
                f"base and copy_bandwidth are at least {LEAST:g}: every step takes time"
            )

    def step(self, tokens: int, sequences: int, context: int, pairs: int) -> float:
        """Seconds of one step.

        Args:
            tokens: tokens that it computes.
            sequences: sequences in it.
            context: tokens whose KV it reads.
            pairs: pairs of a token of a prompt and a token before it.
        """
        return (
            self.base
            + self.per_token * tokens
            + self.per_sequence * sequences
            + self.per_context * context
            + self.per_pair * pairs
        )

    def copy(self, blocks: int, block_size: int) -> float:
        """Seconds of one copy of so many blocks between the tiers."""
        return self.copy_base + blocks * block_size * self.kv_bytes / self.copy_bandwidth


class SimulatedDevice:
    """Three streams that work at once, each first in, first out: compute, copies out, copies in.

    Attributes:
        free_at: when each stream has done all that it was given.
        busy: seconds that each stream has worked.
    """

    def __init__(self) -> None:
        self.free_at = {"compute": 0.0, "out": 0.0, "in": 0.0}
        self.busy = {"compute": 0.0, "out": 0.0, "in": 0.0}
        self._number = 0
        self._horizon: deque[tuple[int, float]] = deque([(0, 0.0)])  # (number, all up to it done)

    def start(self, number: int, stream: str, seconds: float, wait: int, now: float) -> float:
        """Queues an operation and returns when it ends; numbers ascend from call to call.

        Args:
            number: number of the operation.
            stream: compute, out or in.
            seconds: how long it takes.
            wait: it begins when every operation up to this number has ended.
            now: when it is queued, in seconds.
        """
        if number <= self._number:
            raise ValueError(f"operation {number} comes after operation {self._number}")
        begin = max(now, self.free_at[stream], self.all_done(wait))
        end = begin + seconds
        self.free_at[stream] = end
        self.busy[stream] += seconds
        self._number = number
        # Only an operation that ends later than all before it moves the horizon.
        if end > self._horizon[-1][1]:
            self._horizon.append((number, end))
        return end

    def computed(self, number: int, moments: list[float]) -> None:
        """Forwards ran one after the other and nothing beside them, the last with this number.

        Args:
            number: of the last; all operations up to it have ended.
            moments: when the first began, and when each ended.
        """
        for begin, end in itertools.pairwise(moments):
            self.busy["compute"] += end - begin
        self.free_at["compute"] = moments[-1]
        self._number = number
        self._horizon = deque([(number, moments[-1])])

    def all_done(self, number: int) -> float:
        """When every operation up to this number has ended."""
        moment = 0.0
        for earlier, end in self._horizon:
            if earlier > number:
                break
            moment = end
        return moment

    def forget(self, now: float) -> None:
        """Drops what ended before `now`: no operation can start earlier."""
        horizon = self._horizon
        while len(horizon) > 1 and horizon[1][1] <= now:
            horizon.popleft()
