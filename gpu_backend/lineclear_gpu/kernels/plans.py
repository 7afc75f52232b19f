"""Launch parameters of the attention kernels: what was measured, and how contexts are split.

Guarantees: parameters depend on shapes alone, never on lengths, so that a recorded step serves any lengths.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Minimum positions of one split of a context; a shorter context leaves splits empty.
LEAST = 256
#: Maximum splits of a context.
MOST_SPLITS = 64
#: Bytes of one head's key -> for launches of at most so many programs a multiprocessor: tile, warps
#: and stages. Few programs must each keep many bytes in flight; of many, all should run at once,
#: which shared memory limits. Measured on an NVIDIA H200 by `benchmarks/gpu_attention.py --tune`.
MEASURED = {
    128: ((3, (128, 4, 5)), (5, (128, 4, 3)), (64, (64, 2, 3))),
    256: ((3, (64, 2, 5)), (5, (64, 2, 3))),
}


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """Launch parameters of the kernels for one shape.

    Attributes:
        tile: positions loaded at once.
        warps: warps of a program.
        stages: loads in flight at once.
        splits: programs that share one decode's context.
    """

    tile: int
    warps: int
    stages: int
    splits: int = 1


def power(number: int) -> int:
    """The smallest power of two that is at least this."""
    return 1 << max(0, number - 1).bit_length()


def splits_for(rows: int, kv_heads: int, capacity: int, processors: int) -> int:
    """Number of splits of each context, a power of two; independent of the lengths.

    Args:
        rows: rows of the batch, or of the graph's bucket.
        kv_heads: KV heads of a layer.
        capacity: positions that a table can hold.
        processors: multiprocessors of the device.
    """
    wanted = 2 * processors // max(1, rows * kv_heads)
    return max(1, min(MOST_SPLITS, power(wanted), power(capacity // LEAST)))


def decode_plan(width: int, programs: int, processors: int, splits: int) -> LaunchPlan:
    """For decodes.

    Args:
        width: bytes of one head's key.
        programs: programs of the launch.
        processors: multiprocessors of the device.
        splits: programs that share one decode's context.
    """
    each = programs / processors
    for most, plan in MEASURED.get(width, ()):
        if each <= most:
            return LaunchPlan(*plan, splits)
    return LaunchPlan(max(16, min(128, 32768 // width)), 4, 3, splits)


def prefill_plan(width: int) -> LaunchPlan:
    """For rows of several tokens, by the bytes of one head's key."""
    return LaunchPlan(max(16, min(64, 16384 // width)), 4, 2)
