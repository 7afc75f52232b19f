"""A machine of three blocks, and the requests and habits that most searched worlds are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from lineclear.config import PRESETS, Config
from lineclear.explore.bounds import RequestShape

#: Three GPU blocks of one token each.
SMALL: Mapping[str, Any] = MappingProxyType(
    {
        "num_gpu_blocks": 3,
        "num_cpu_blocks": 2,
        "block_size": 1,
        "max_num_seqs": 2,
        "max_num_batched_tokens": 3,
        "max_model_len": 6,
        "watermark": 0.0,
        "preemption_mode": "swap",
        "swap_threshold": 3,
    }
)
LONG, SHORT = RequestShape(1, 3), RequestShape(2, 2)
URGENT = RequestShape(2, 2, priority=1)
PAIR = RequestShape(1, 3, 2)

#: No request stops early, is aborted or fails, and copies are reported at once.
CALM: Mapping[str, Any] = MappingProxyType(
    {"live": 3, "aborts": False, "fails": False, "stops": False, "late": False}
)


def small(preset: str = "default", /, **changes: Any) -> Config:
    """A preset in the small world, with these settings changed."""
    return replace(PRESETS[preset], **{**SMALL, **changes})
