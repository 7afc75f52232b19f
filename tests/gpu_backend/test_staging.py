# pyright: basic
"""A buffer that a copy still reads is not written (race R9); fails without its wait."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lineclear_gpu import staging
from lineclear_gpu.staging import Staging


class Event:
    """The event of a copy that ends only when waited for, and reads its source then."""

    waits = True

    def __init__(self) -> None:
        self.reads: list[tuple[torch.Tensor, torch.Tensor]] = []

    def record(self) -> None:
        pass

    def synchronize(self) -> None:
        if self.waits:
            self.end()

    def end(self) -> None:
        for source, target in self.reads:
            target.copy_(source)
        self.reads.clear()


class LateBuffer:
    """Memory whose copies are as late as possible."""

    made: list[LateBuffer] = []  # noqa: RUF012

    def __init__(self, size: int) -> None:
        self.host = torch.zeros(size, dtype=torch.uint8)
        self.array = self.host.numpy()
        self.event = Event()
        self.made.append(self)


class LateStaging(Staging):
    """Uses pinned buffers although there is no GPU."""

    def _copy(self, buffer: Any, size: int) -> torch.Tensor:
        target = torch.zeros(size, dtype=torch.uint8)
        buffer.event.reads.append((buffer.host[:size], target))
        return target


def steps(monkeypatch: pytest.MonkeyPatch, count: int) -> bool:
    """Whether the device receives what each step sent."""
    monkeypatch.setattr(staging, "Buffer", LateBuffer)
    LateBuffer.made = []
    sender = LateStaging(torch.device("cuda"))
    sent = [sender.send({"tokens": np.full(5, step), "tops": np.ones(3)}) for step in range(count)]
    for buffer in LateBuffer.made:
        buffer.event.end()
    return all(
        each["tokens"].tolist() == [step] * 5 and each["tops"].tolist() == [1.0] * 3
        for step, each in enumerate(sent)
    )


def test_a_buffer_is_waited_for_before_it_is_written_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert steps(monkeypatch, 20)
    assert len(LateBuffer.made) == 3


def test_without_the_wait_a_late_copy_reads_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Event, "waits", False)
    assert steps(monkeypatch, 3)
    assert not steps(monkeypatch, 4)


def test_without_a_gpu_the_arrays_are_copied() -> None:
    array = np.arange(6, dtype=np.int32).reshape(2, 3)
    sent = Staging(torch.device("cpu")).send({"tables": array})["tables"]
    array[:] = 0
    assert sent.dtype == torch.int32
    assert sent.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    sender = Staging(torch.device("cuda"))
    cuda: Any = torch.cuda
    sent: list[dict[str, torch.Tensor]] = []
    for step in range(50):
        cuda._sleep(2_000_000)
        sent.append(sender.send({"tokens": np.full(1000, step), "tops": np.array([step, 0.5])}))
    for step, each in enumerate(sent):
        assert each["tokens"].tolist() == [step] * 1000
        assert each["tops"].tolist() == [step, 0.5]
