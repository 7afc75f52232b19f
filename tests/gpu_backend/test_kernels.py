"""The Triton kernels under Triton's interpreter, in a process of its own.

Triton reads TRITON_INTERPRET when it is imported, so the kernels are run by a fresh interpreter of
Python; on a GPU the tests marked `gpu` compile them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CODE = """
import torch
from lineclear_gpu.kernels.copying import copy_rows_triton
from lineclear_gpu.kernels.storing import store_kv_triton
from lineclear_gpu.pool import KVPool
from lineclear_gpu.shape import KVShape

torch.manual_seed(0)
for dtype in (torch.float32, torch.float16, torch.bfloat16):
    for heads, dim, size in ((2, 80, 16), (3, 5, 4), (1, 64, 8)):
        pool = KVPool(KVShape(2, heads, dim, size, dtype), 9, 4)
        pool.gpu.normal_()
        before = pool.gpu.clone()
        pairs = torch.tensor([[1, 7], [1, 8], [0, 3]], dtype=torch.int32)
        copy_rows_triton(pool.gpu_rows, pool.gpu_rows, pairs)
        wanted = before.clone()
        for source, target in pairs.tolist():
            wanted[target] = before[source]
        assert torch.equal(pool.gpu, wanted)
        copy_rows_triton(pool.gpu_rows, pool.cpu_rows, torch.tensor([[5, 2], [6, 0]]).int())
        assert torch.equal(pool.cpu[2], wanted[5]) and torch.equal(pool.cpu[0], wanted[6])
        assert not pool.cpu[[1, 3]].any()
        slots = torch.randperm(9 * size)[:7]
        slots[3] = -1
        keys, values = (torch.randn(7, heads, dim).to(dtype) for _ in range(2))
        store_kv_triton(pool.layer(1), keys, values, slots)
        for token, slot in enumerate(slots.tolist()):
            if slot >= 0:
                wanted[slot // size, 1, 0, slot % size] = keys[token]
                wanted[slot // size, 1, 1, slot % size] = values[token]
        assert torch.equal(pool.gpu, wanted)
print("the kernels did as told")
"""


def test_kernels_do_as_told_to_every_byte() -> None:
    pytest.importorskip("triton")
    parts = ("spec", "reference", "gpu_backend")
    environment = {
        **os.environ,
        "TRITON_INTERPRET": "1",
        "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in parts),
    }
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.stdout.strip() == "the kernels did as told", done.stderr[-3000:]
