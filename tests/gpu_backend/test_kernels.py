"""The Triton kernels under Triton's interpreter, in a separate process."""

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
types = (torch.float32, torch.float16, torch.bfloat16)
shapes = ((2, 80, 16), (3, 5, 4), (1, 64, 8))
for k, dtype in enumerate(types):  # every type, every shape, and one type in two shapes; or all pairs
    for heads, dim, size in shapes if EVERY else {shapes[k], shapes[0 if k == 2 else k]}:
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
        keys, values = (torch.randn(7, heads, dim).to(dtype) for _ in range(2))
        store_kv_triton(pool.layer(1), keys, values, slots)
        for token, slot in enumerate(slots.tolist()):
            wanted[slot // size, 1, 0, slot % size] = keys[token]
            wanted[slot // size, 1, 1, slot % size] = values[token]
        assert torch.equal(pool.gpu, wanted)
print("every byte is right")
"""


def interpreted(*command: str) -> subprocess.CompletedProcess[str]:
    """A fresh Python in which Triton interprets its kernels."""
    parts = ("spec", "reference", "gpu_backend", "tests/support")
    environment = {
        **os.environ,
        "TRITON_INTERPRET": "1",
        "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in parts),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=600
    )


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.deep)])
def test_kernels_write_every_byte_that_they_should_and_no_other(every: bool) -> None:
    pytest.importorskip("triton")
    done = interpreted("-c", f"EVERY = {every}\n{CODE}")
    assert done.stdout.strip() == "every byte is right", done.stderr[-3000:]


SCRIPT = str(ROOT / "tests" / "support" / "interpreted.py")


def test_attention_and_layers_are_right() -> None:
    pytest.importorskip("triton")
    done = interpreted(SCRIPT)
    assert done.stdout.strip() == "the kernels are right", done.stderr[-3000:]


#: Faults: (the line, its replacement).
BROKEN = {
    "a token sees one position less": ("<= place[:, None])", "< place[:, None])"),
    "a token sees one position more": ("high = tl.minimum(end, low", "high = tl.minimum(end + 1, low"),
    "a window is one too wide": ("> place[:, None] - WINDOW)", ">= place[:, None] - WINDOW)"),
    "an empty split weighs something": (
        'tl.where(some, best + tl.log2(divisor), float("-inf"))', "tl.where(some, best, 0.0)"
    ),
    "nothing seen makes NaN": ('tl.where(higher == float("-inf"), 0.0, higher)', "higher"),
    "splits are not weighed": ("found * weights[:, None]", "found"),
    "the cap is left out": ("if CAPPED:", "if CAPPED and WINDOW > 0:"),
    "the series of the cap beyond its range": ("tl.abs(x) < 0.25", "tl.abs(x) < 25.0"),
    "scores far below the cap lose digits": ("tl.abs(x) < 0.25", "tl.abs(x) < 0.0"),
    "chunks are recognised by sizes": ("    if not single:", "    if tokens > rows:"),
    "a tile of the row before": ("// TOKENS + row)", "// TOKENS + row) + 1"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.deep
def test_each_line_of_the_kernels_is_guarded(what: str, tmp_path: Path) -> None:
    pytest.importorskip("triton")
    line, instead = BROKEN[what]
    source = (ROOT / "gpu_backend/lineclear_gpu/kernels/paged.py").read_text(encoding="utf-8")
    assert source.count(line) == 1
    broken = tmp_path / "broken.py"
    broken.write_text(source.replace(line, instead), encoding="utf-8")
    done = interpreted(SCRIPT, str(broken))
    assert "AssertionError" in done.stderr or "IndexError" in done.stderr, done.stdout
    assert done.returncode != 0
