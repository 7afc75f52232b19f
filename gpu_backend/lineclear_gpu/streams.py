# pyright: basic
"""Streams on which operations run: a GPU's, or the caller's own thread.

Guarantees: operations of one stream run in the order given; an operation runs after those of other
streams that it waits for; there is no other order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch

#: torch.cuda, whose streams carry no types.
cuda: Any = torch.cuda

Job = Callable[[], Any]


class Streams(ABC):
    """Runs jobs on streams.

    A job that raises is done and failed; its result is kept until `result` reads it.
    """

    def __init__(self) -> None:
        """Starts with empty streams."""
        self.results: dict[int, Any] = {}
        self.errors: dict[int, Exception] = {}

    @abstractmethod
    def give(self, number: int, stream: str, after: list[int], job: Job) -> None:
        """Enqueues a job on a stream.

        Args:
            number: number of the operation; ascending.
            stream: the stream.
            after: for each other stream, its last operation to wait for.
            job: the work.
        """

    def _do(self, number: int, job: Job) -> None:
        """Runs the job now."""
        try:
            self.results[number] = job()
        except Exception as error:
            self.errors[number] = error

    @abstractmethod
    def done(self, number: int) -> bool:
        """Whether the operation has ended."""

    @abstractmethod
    def wait(self, number: int) -> None:
        """Returns once the operation has ended."""

    def forget(self, number: int) -> None:
        """Drops what is kept of an operation that needs no further wait."""
        self.results.pop(number, None)

    def result(self, number: int) -> Any:
        """The value that the operation returned; can be read once.

        Raises:
            Exception: the error that the job raised.
        """
        self.wait(number)
        if number in self.errors:
            raise self.errors.pop(number)
        return self.results.pop(number, None)


class ImmediateStreams(Streams):
    """The caller's own thread: a job is done when `give` returns."""

    def give(self, number: int, stream: str, after: list[int], job: Job) -> None:
        """See `Streams.give`."""
        self._do(number, job)

    def done(self, number: int) -> bool:
        """Always true."""
        return True

    def wait(self, number: int) -> None:
        """Returns at once."""


class CudaStreams(Streams):
    """Streams of a GPU.

    Args:
        device: the GPU.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        # A stream of its own: the driver takes no batch of copies on the legacy default stream.
        compute = cuda.Stream(device)
        compute.wait_stream(cuda.current_stream(device))
        self.streams = {"compute": compute, "out": cuda.Stream(device), "in": cuda.Stream(device)}
        self.events: dict[int, Any] = {}
        self.spare: list[Any] = []

    def give(self, number: int, stream: str, after: list[int], job: Job) -> None:
        """See `Streams.give`."""
        target = self.streams[stream]
        for earlier in after:
            event = self.events.get(earlier)
            if event is not None:
                target.wait_event(event)
        with cuda.stream(target):
            self._do(number, job)
            event = self.spare.pop() if self.spare else cuda.Event()
            event.record(target)
        self.events[number] = event

    def done(self, number: int) -> bool:
        """Whether the GPU has passed it."""
        event = self.events.get(number)
        return event is None or bool(event.query())

    def wait(self, number: int) -> None:
        """Blocks the host until the GPU has passed it."""
        event = self.events.get(number)
        if event is not None:
            event.synchronize()

    def forget(self, number: int) -> None:
        """See `Streams.forget`; its event is used again."""
        super().forget(number)
        event = self.events.pop(number, None)
        if event is not None:
            self.spare.append(event)


def streams_of(device: torch.device) -> Streams:
    """The default streams of a device."""
    return CudaStreams(device) if device.type == "cuda" else ImmediateStreams()
