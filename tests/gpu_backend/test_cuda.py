# pyright: basic
"""The same on a CUDA device: run by `pytest -m gpu`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from lineclear.plan import BlockOperation
from lineclear_gpu.graphs import CudaGraphs
from lineclear_gpu.kernels.copying import copy_rows
from lineclear_gpu.kernels.storing import store_kv
from lineclear_gpu.pool import KVPool
from lineclear_gpu.shape import KVShape
from lineclear_gpu.streams import CudaStreams
from lineclear_gpu.tag_run import Load, TagRun, WrongTag, pressure
from lineclear_gpu.transfer import Transfer

pytestmark = pytest.mark.gpu


@pytest.fixture(params=[(2, 8, 128, 16, torch.bfloat16), (3, 1, 5, 8, torch.float32)])
def pool(request: Any) -> Iterator[KVPool]:
    made = KVPool(KVShape(*request.param), 64, 48, "cuda")
    made.gpu_rows.random_(0, 255)
    made.cpu_rows.random_(0, 255)
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):  # type: ignore[no-untyped-call]
        yield made
    torch.cuda.synchronize()
    made.close()


@pytest.mark.parametrize("way", ["auto", "batch", "kernel", "rows"])
def test_a_round_trip_keeps_every_byte(pool: KVPool, way: str) -> None:
    torch.manual_seed(0)
    before, other = pool.gpu_rows.clone(), pool.cpu_rows.clone()
    device, host = torch.randperm(64)[:40].tolist(), torch.randperm(48)[:40].tolist()
    transfer = Transfer(pool, way)
    transfer.out(list(zip(device, host, strict=True)))
    torch.cuda.synchronize()
    assert torch.equal(pool.gpu_rows, before)
    assert torch.equal(pool.cpu_rows[host], before[device].cpu())
    untouched = sorted(set(range(48)) - set(host))
    assert torch.equal(pool.cpu_rows[untouched], other[untouched])
    targets = device[::-1]
    transfer.into(list(zip(host, targets, strict=True)))
    torch.cuda.synchronize()
    assert torch.equal(pool.gpu_rows[targets], before[device])
    rest = sorted(set(range(64)) - set(targets))
    assert torch.equal(pool.gpu_rows[rest], before[rest])


def test_a_long_list_of_small_blocks_keeps_every_byte() -> None:
    made = KVPool(KVShape(1, 8, 128, 16, torch.bfloat16), 2000, 2000, "cuda")
    made.gpu_rows.random_(0, 255)
    before = made.gpu_rows.clone()
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):  # type: ignore[no-untyped-call]
        device, host = torch.randperm(2000).tolist(), torch.randperm(2000).tolist()
        transfer = Transfer(made)
        transfer.out(list(zip(device, host, strict=True)))
        torch.cuda.synchronize()
        made.gpu_rows.zero_()
        transfer.into(list(zip(host, device, strict=True)))
        with pytest.raises(ValueError, match="the same target"):
            transfer.into([*zip(host, device, strict=True), (0, device[0])])
        torch.cuda.synchronize()
    assert torch.equal(made.gpu_rows, before)
    made.close()


def test_poisoned_blocks_are_written_before_later_work_on_another_stream() -> None:
    made = KVPool(KVShape(2, 8, 128, 16, torch.float32), 8192, 0, "cuda")  # 2 GiB take a while
    urgent: Any = torch.cuda.Stream(priority=-1)  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    made.poison(list(range(8192)))
    with torch.cuda.stream(urgent):
        made.gpu[-1] = 1.0
    torch.cuda.synchronize()
    assert bool((made.gpu[-1] == 1.0).all())
    made.close()


def test_kernels_do_what_torch_does(pool: KVPool) -> None:
    torch.manual_seed(1)
    shape = pool.shape
    pool.gpu.normal_()
    there = pool.gpu.cpu()
    pairs = [(1, 60), (1, 61), (0, 33)]
    copy_rows(pool.gpu_rows, pairs)
    for source, target in pairs:
        there[target] = there[source]
    slots = torch.randperm(64 * shape.block_size)[:50]
    keys, values = (
        torch.randn(50, shape.kv_heads, shape.head_dim, dtype=shape.dtype) for _ in range(2)
    )
    store_kv(pool.layer(1), keys.cuda(), values.cuda(), slots.cuda())
    store_kv(there[:, 1], keys, values, slots)
    assert torch.equal(pool.gpu.cpu(), there)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("mode", ["swap", "recompute", "auto"])
def test_no_tag_is_wrong_under_pressure(depth: int, mode: str) -> None:
    config = pressure(
        max_steps_in_flight=depth, preemption_mode=mode, scheduling_policy="priority"
    )
    run = TagRun(config, depth, device="cuda", load=Load(fail=0.05))
    figures = run.run(400)
    assert figures.events["swap" if mode == "swap" else "recompute"] >= 10
    assert figures.events["fork"] >= 20
    run.pool.close()


@pytest.mark.parametrize(("mode", "seed"), [("swap", 11), ("recompute", 12), ("auto", 13)])
def test_no_tag_is_wrong_in_recorded_steps(mode: str, seed: int) -> None:
    config = pressure(preemption_mode=mode, scheduling_policy="priority")
    graphs = CudaGraphs(torch.device("cuda"))
    load = Load(fail=0.05, abort=0.03)
    run = TagRun(config, seed, device="cuda", load=load, graphs=graphs)
    figures = run.run(400)
    assert run.tags.recorded is not None
    assert run.tags.recorded.buckets.refused is None
    assert figures.events["swap" if mode == "swap" else "recompute"] >= 10, (config, seed)
    assert figures.events["fork"] >= 20, (config, seed)
    assert figures.events["abort"] >= 5, (config, seed)
    run.pool.close()


class SlowStreams(CudaStreams):
    """One stream is late: its jobs wait behind a long sleep."""

    def __init__(self, slow: str) -> None:
        super().__init__(torch.device("cuda"))
        self.slow = slow

    def give(self, number: int, stream: str, after: list[int], job: Any) -> None:
        def late() -> Any:
            if stream == self.slow:
                torch.cuda._sleep(6_000_000)  # type: ignore[no-untyped-call]
            return job()

        super().give(number, stream, after, late)


#: race: (kind without its wait, late stream)
RACES = {
    "R1": ("swap_out", "compute"),
    "R2": ("swap_in", "compute"),
    "R7": ("forward", "out"),
    "R11": ("forward", "in"),
}


def race(slow: str, kind: str | None, *, graphs: bool) -> None:
    """Runs under memory pressure, one stream late, with or without the waits of one kind."""

    def wait(operation: BlockOperation) -> int:
        return 0 if operation.kind == kind else operation.wait

    for seed in range(6):
        config = pressure(preemption_mode="swap", scheduling_policy="priority", num_cpu_blocks=20)
        run = TagRun(
            config, seed, device="cuda", streams=SlowStreams(slow), check=False, wait=wait, poison=0,
            load=Load(groups=0.2, fork=0.3), shape=KVShape(2, 1, 4, 8),
            graphs=CudaGraphs(torch.device("cuda")) if graphs else None,
        )  # fmt: skip
        try:
            run.run(250)
        finally:
            torch.cuda.synchronize()
            run.pool.close()


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("name", RACES)
def test_a_race_shows_when_its_wait_is_taken_out(name: str, graphs: bool) -> None:
    kind, slow = RACES[name]
    race(slow, None, graphs=graphs)
    with pytest.raises(WrongTag):
        race(slow, kind, graphs=graphs)
