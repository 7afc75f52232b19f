"""What a plan hands to the simulated device, and when each of it ends.

Guarantees: forwards end in the order in which they began; every copy between the tiers is reported once, when
it has ended.
"""

from __future__ import annotations

import heapq
from collections import deque

from lineclear.plan import STREAMS, Plan
from lineclear.simulation.metrics import Collector
from lineclear.simulation.steptime import SimulatedDevice, StepTime


class RunningOperations:
    """The forwards and the copies between the tiers that have not ended.

    Args:
        device: where they run.
        model: how long each takes.
        block_size: tokens of a block.
        collector: counts the blocks that are copied.

    Attributes:
        flights: plans whose forward runs, and when it ends in seconds, the oldest first.
        copies: when each copy ends in seconds, and its number; a heap.
    """

    def __init__(
        self, device: SimulatedDevice, model: StepTime, block_size: int, collector: Collector
    ) -> None:
        self.device = device
        self.model = model
        self.block_size = block_size
        self.collector = collector
        self.flights: deque[tuple[Plan, float]] = deque()
        self.copies: list[tuple[float, int]] = []

    def start(self, plan: Plan, seconds: float, now: float) -> None:
        """Hands the plan's operations to the device.

        Args:
            plan: what is to be done.
            seconds: that its forward takes.
            now: seconds.
        """
        collector = self.collector
        for operation in plan.operations:
            blocks = len(operation.blocks)
            if operation.kind == "forward":
                took = seconds
            elif operation.kind == "copy_block":
                collector.copied_blocks += blocks
                took = 2 * blocks * self.block_size * self.model.per_context
            else:
                took = self.model.copy(blocks, self.block_size)
            stream = STREAMS[operation.kind]
            end = self.device.start(operation.number, stream, took, operation.wait, now)
            if stream == "compute":
                if operation.kind == "forward":
                    self.flights.append((plan, end))
                continue
            heapq.heappush(self.copies, (end, operation.number))
            if stream == "out":
                collector.swapped_out_blocks += blocks
            else:
                collector.swapped_in_blocks += blocks

    def take_done(self, now: float) -> list[int]:
        """Numbers of the copies that have ended, ascending; they are reported once."""
        done: list[int] = []
        while self.copies and self.copies[0][0] <= now:
            done.append(heapq.heappop(self.copies)[1])
        return sorted(done)
