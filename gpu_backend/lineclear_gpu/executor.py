# pyright: basic
"""Executes plans: each operation on its stream, after the operations it waits for.

Guarantees: an operation is issued with the waits that the plan carries, which the specification
proves sufficient (`ordered`); with `hazards`, every issued access is checked against the rule of
`hazards.py`. A copy that raises is reported as failed and affects only its own request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from lineclear.monitor.hazards import Access, Hazards
from lineclear.plan import STREAMS, TIERS, BlockOperation, Plan
from lineclear_gpu.kernels.copying import copy_rows
from lineclear_gpu.pool import KVPool
from lineclear_gpu.streams import Streams, streams_of
from lineclear_gpu.transfer import Transfer


def accesses_of(operation: BlockOperation) -> list[Access]:
    """The accesses of a copy."""
    source, target = TIERS[operation.kind]
    found = [Access(source, block_id, False) for block_id, _ in operation.blocks]
    return found + [Access(target, block_id, True) for _, block_id in operation.blocks]


def forward_of(plan: Plan) -> int | None:
    """The number of a plan's forward, None if it computes nothing."""
    return next((o.number for o in plan.operations if o.kind == "forward"), None)


class Executor:
    """Executes plans.

    Args:
        pool: both pools.
        streams: where operations run; default: the streams of the pool's device.
        transfer: moves blocks between the pools; None for the default.
        hazards: checks the order of issued accesses, if given.
        wait: replaces the wait of an operation, in tests that remove one.
    """

    def __init__(
        self,
        pool: KVPool,
        streams: Streams | None = None,
        transfer: Transfer | None = None,
        hazards: Hazards | None = None,
        wait: Callable[[BlockOperation], int] | None = None,
    ) -> None:
        """Starts with no operation issued."""
        self.pool = pool
        self.streams = streams or streams_of(pool.device)
        self.transfer = transfer or Transfer(pool)
        self.hazards = hazards
        self._wait = wait or (lambda operation: operation.wait)
        self._issued: dict[str, list[int]] = {"compute": [], "out": [], "in": []}
        self._copies: dict[int, None] = {}  # swaps not reported yet
        self._failed: set[int] = set()
        self.waited = 0.0  # seconds in which the host waited for forwards

    # ---- launching -----------------------------------------------------------------------------

    def launch(
        self,
        plan: Plan,
        forward: Callable[[], Any] | None = None,
        touched: Iterable[Access] = (),
    ) -> None:
        """Issues every operation of a plan, in order.

        Args:
            plan: the next plan.
            forward: computes the step; `result` returns its value. Without one the forward does nothing.
            touched: accesses of the forward, for the hazards.
        """
        for operation in plan.operations:
            if operation.kind == "forward":
                self._issue(operation, forward or (lambda: None), touched)
                continue
            self._issue(operation, self._job(operation), ())
            if operation.kind != "copy_block":
                self._copies[operation.number] = None

    def _job(self, operation: BlockOperation) -> Callable[[], None]:
        """The job that performs a copy."""
        pairs = list(operation.blocks)
        if operation.kind == "swap_out":
            return lambda: self.transfer.out(pairs)
        if operation.kind == "swap_in":
            return lambda: self.transfer.into(pairs)
        return lambda: copy_rows(self.pool.gpu_rows, pairs)

    def _issue(
        self, operation: BlockOperation, job: Callable[[], Any], touched: Iterable[Access]
    ) -> None:
        """Gives one operation to its stream, behind its last wait on each other stream."""
        stream = STREAMS[operation.kind]
        after: list[int] = []
        wait = self._wait(operation)
        for other, numbers in self._issued.items():
            if other == stream:
                continue
            for number in reversed(numbers):
                if number <= wait:
                    after.append(number)
                    break
        if self.hazards is not None:
            accesses = list(touched) if operation.kind == "forward" else accesses_of(operation)
            self.hazards.issue(operation.number, stream, after, accesses, operation.kind)
        self.streams.give(operation.number, stream, after, job)
        self._issued[stream].append(operation.number)

    # ---- ending --------------------------------------------------------------------------------

    def poll(self) -> tuple[list[int], list[int]]:
        """Copies between the pools that ended since the last call: numbers of done and failed."""
        done = [number for number in self._copies if self.streams.done(number)]
        return self._report(done)

    def wait_for(self, plan: Plan) -> tuple[list[int], list[int]]:
        """Waits for a plan's forward; returns ended copies, to be reported before its commit.

        They include every copy that the forward waited for.
        """
        forward = forward_of(plan)
        if forward is not None:
            begin = time.perf_counter()
            self.streams.wait(forward)
            self.waited += time.perf_counter() - begin
            if self.hazards is not None:
                self.hazards.complete(forward)
        return self.poll()

    def result(self, plan: Plan) -> Any:
        """The value that a plan's forward returned; can be read once.

        Raises:
            Exception: the error that the forward raised.
        """
        forward = forward_of(plan)
        if forward is None:
            return None
        broken = self.failed_blocks(plan)
        try:
            found = self.streams.result(forward)
        finally:
            self._forget(forward)
        if broken:  # `failed_blocks` was not called, so the whole forward counts as failed
            raise next(iter(broken.values()))
        return found

    def failed_blocks(self, plan: Plan) -> dict[Hashable, Exception]:
        """Requests that the forward computed on a block whose copy on write failed, and the errors.

        To be called before `result`, which raises if any is left; each is named once.
        """
        errors = self.streams.errors
        return {
            operation.request_id: errors.pop(operation.number)
            for operation in plan.operations
            if operation.kind == "copy_block" and operation.number in errors
        }

    def drain(self) -> tuple[list[int], list[int]]:
        """Waits for every copy."""
        for number in list(self._copies):
            self.streams.wait(number)
        return self._report(list(self._copies))

    def _report(self, ended: list[int]) -> tuple[list[int], list[int]]:
        """Removes copies from the open ones and returns them."""
        done: list[int] = []
        failed: list[int] = []
        for number in ended:
            del self._copies[number]
            if self.hazards is not None:
                self.hazards.complete(number)
            if self.streams.errors.pop(number, None) is not None:
                failed.append(number)
            else:
                done.append(number)
            self.streams.results.pop(number, None)
        return done, failed

    def _forget(self, number: int) -> None:
        """Drops operations up to a forward that has ended: they need no further wait."""
        for stream, numbers in self._issued.items():
            keep = [n for n in numbers if n > number or not self.streams.done(n)]
            for gone in set(numbers) - set(keep):
                self.streams.forget(gone)
            self._issued[stream] = keep
