# pyright: basic
"""Copies of blocks between the pools and inside one, beside the limits of the machine.

Bytes are checked after swaps and copies on write. A copy's time runs from before it is submitted until
the GPU has passed it; shares are of what `limits` measured in the same run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from lineclear_gpu.kernels.copying import copy_rows
from lineclear_gpu.pool import KVPool
from lineclear_gpu.shape import KVShape
from lineclear_gpu.transfer import Transfer

Result = dict[str, Any]
DEVICE = torch.device("cuda")
GIB = 1 << 30


def timed(work: Callable[[], object], repeat: int = 9, warm: int = 2) -> float:
    """Median seconds from before the call until the device is done."""
    for _ in range(warm):
        work()
    torch.cuda.synchronize()
    seconds: list[float] = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def shape_of(kib: int) -> KVShape:
    """A block of this many KiB: 16 tokens of 8 heads of 128 numbers of 16 bits in some layers."""
    if kib >= 64:
        return KVShape(kib // 64, 8, 128, 16, torch.bfloat16)
    return KVShape(1, kib // 8, 128, 16, torch.bfloat16)


def one_each_way(host: torch.Tensor, device: torch.Tensor) -> Callable[[], None]:
    """Copies one row of bytes out and another in, on two streams at once.

    Args:
        host: pinned. [2, bytes]
        device: [2, bytes]
    """
    one, two = torch.cuda.Stream(), torch.cuda.Stream()

    def work() -> None:
        with torch.cuda.stream(one):
            host[0].copy_(device[0], non_blocking=True)
        with torch.cuda.stream(two):
            device[1].copy_(host[1], non_blocking=True)

    return work


def limits(_: Result) -> Result:
    """The machine's limits: one large copy each way, both at once, inside the device."""
    size = GIB
    host = torch.empty(2, size, dtype=torch.uint8).pin_memory()
    device = torch.empty(2, size, dtype=torch.uint8, device=DEVICE)
    device.random_(0, 255)
    host.random_(0, 255)
    out = size / timed(lambda: host[0].copy_(device[0], non_blocking=True)) / 1e9
    into = size / timed(lambda: device[1].copy_(host[1], non_blocking=True)) / 1e9
    together = 2 * size / timed(one_each_way(host, device)) / 1e9
    words = device.view(torch.int64)
    inside = 2 * size / timed(lambda: words[1].copy_(words[0])) / 1e9
    return {"out GB/s": out, "in GB/s": into, "both GB/s": together, "device GB/s": inside}


def swaps(found: Result) -> Result:
    """Scattered blocks out and in, by each way."""
    result: Result = {}
    link = found.get("limits", {})
    for kib in (2048, 512, 256, 64, 32, 16):
        shape = shape_of(kib)
        count = min(GIB // shape.block_bytes, 16384)
        pool = KVPool(shape, count, count, DEVICE)
        random = np.random.default_rng(kib)
        left, right = random.permutation(count), random.permutation(count)
        out = list(zip(left.tolist(), right.tolist(), strict=True))
        back = [(host, device) for device, host in out]
        pool.gpu_rows.random_(0, 255)
        before = pool.gpu_rows.clone()
        for way in ("auto", "batch", "kernel"):
            try:
                transfer = Transfer(pool, way)
                total = count * shape.block_bytes
                gone = total / timed(lambda t=transfer, p=out: t.out(p), 5) / 1e9
                pool.gpu_rows.zero_()
                came = total / timed(lambda t=transfer, p=back: t.into(p), 5) / 1e9
                if not torch.equal(pool.gpu_rows, before):
                    raise AssertionError(f"{kib} KiB by {way}: bytes differ")
            except Exception as error:
                result[f"{kib} KiB {way} error"] = f"{type(error).__name__}: {error}"
                continue
            result[f"{kib} KiB out {way} GB/s"] = gone
            result[f"{kib} KiB in {way} GB/s"] = came
            if way == "auto" and link:
                result[f"{kib} KiB out share"] = gone / link["out GB/s"]
                result[f"{kib} KiB in share"] = came / link["in GB/s"]
        pool.close()
        del pool, before
        torch.cuda.empty_cache()
    return result


def both(_: Result) -> Result:
    """Moves 2 MiB blocks out of one half of the pool and into the other.

    The link's total for both ways varies by a tenth within a minute, so that each call is compared with
    one large copy each way just before it.
    """
    shape = shape_of(2048)
    count = GIB // shape.block_bytes
    pool = KVPool(shape, 2 * count, 2 * count, DEVICE)
    pool.gpu_rows.random_(0, 255)
    random = np.random.default_rng(1)
    order = random.permutation(count)
    out = [(int(k), int(order[k])) for k in range(count)]
    back = [(count + int(order[k]), count + int(k)) for k in range(count)]
    first, second = Transfer(pool), Transfer(pool)
    one, two = torch.cuda.Stream(), torch.cuda.Stream()

    def work() -> None:
        with torch.cuda.stream(one):
            first.out(out)
        with torch.cuda.stream(two):
            second.into(back)

    total = 2 * count * shape.block_bytes
    host = torch.empty(2, total // 2, dtype=torch.uint8).pin_memory()
    device = torch.empty(2, total // 2, dtype=torch.uint8, device=DEVICE)
    large = one_each_way(host, device)
    pairs = [(timed(large, 1, 1), timed(work, 1, 1)) for _ in range(15)]
    pool.close()
    shares = sorted(limit / ours for limit, ours in pairs)
    return {
        "GB/s": total / statistics.median(ours for _, ours in pairs) / 1e9,
        "link GB/s": total / statistics.median(limit for limit, _ in pairs) / 1e9,
        "share": statistics.median(shares),
        "least share": shares[0],
        "most share": shares[-1],
    }


def cow(found: Result) -> Result:
    """Copies of blocks inside the pool, bytes read and written."""
    result: Result = {}
    limit = found.get("limits", {}).get("device GB/s")
    shape = shape_of(2048)
    for mib in (16, 64, 512):
        count = mib // 2
        pool = KVPool(shape, 4 * count, 0, DEVICE)
        pool.gpu_rows.random_(0, 255)
        random = np.random.default_rng(mib)
        places = random.permutation(4 * count)
        pairs = [
            (int(a), int(b))
            for a, b in zip(places[:count], places[count : 2 * count], strict=True)
        ]
        table = torch.tensor(pairs, dtype=torch.int32, device=DEVICE)
        from lineclear_gpu.kernels.copying import copy_rows_triton

        whole = timed(lambda p=pairs, pool=pool: copy_rows(pool.gpu_rows, p), 15, 4)
        # The kernel alone: many in one graph, as its launch takes the host as long as 64 MiB take.
        many = 20
        copy_rows_triton(pool.gpu_rows, pool.gpu_rows, table)
        torch.cuda.synchronize()
        graph: Any = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(many):
                copy_rows_triton(pool.gpu_rows, pool.gpu_rows, table)
        graph.replay()
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        times: list[float] = []
        for _ in range(7):
            start.record()
            graph.replay()
            end.record()
            torch.cuda.synchronize()
            times.append(start.elapsed_time(end) / 1e3 / many)
        moved = 2 * mib * (1 << 20)
        for source, target in pairs[:8]:
            assert torch.equal(pool.gpu_rows[source], pool.gpu_rows[target])
        rate = moved / statistics.median(times) / 1e9
        result[f"{mib} MiB GB/s"] = rate
        result[f"{mib} MiB with launch GB/s"] = moved / whole / 1e9
        result[f"{mib} MiB share"] = rate / limit if limit else None
        graph.reset()
        del graph, pool
    return result


def overlap(_: Result) -> Result:
    """An HBM-bound kernel with and without a swap beside it."""
    shape = shape_of(2048)
    count = 4 * GIB // shape.block_bytes
    pool = KVPool(shape, count, count, DEVICE)
    random = np.random.default_rng(2)
    order = random.permutation(count)
    pairs = [(int(k), int(order[k])) for k in range(count)]
    transfer = Transfer(pool)
    side = torch.cuda.Stream()
    a, b = (torch.empty(GIB // 4, dtype=torch.float32, device=DEVICE) for _ in range(2))
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def kernel(times: int) -> float:
        torch.cuda.synchronize()
        start.record()
        for _ in range(times):
            b.copy_(a)
        end.record()
        end.synchronize()
        return start.elapsed_time(end)

    kernel(10)
    alone = statistics.median(kernel(40) for _turn in range(5))
    beside: list[float] = []
    for _turn in range(5):
        torch.cuda.synchronize()
        with torch.cuda.stream(side):
            transfer.out(pairs)
            ended = torch.cuda.Event()
            ended.record()
        start.record()
        for _turn in range(40):
            b.copy_(a)
        end.record()
        end.synchronize()
        beside.append(start.elapsed_time(end))
        if ended.query():
            raise AssertionError("the swap ended before the kernels; it must be larger")
    pool.close()
    return {
        "alone ms": alone,
        "beside ms": statistics.median(beside),
        "slowdown": statistics.median(beside) / alone,
    }
