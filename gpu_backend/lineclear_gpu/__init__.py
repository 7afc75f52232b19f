"""Executes plans on a device: block pools, copies, attention.

Guarantees: block ids come from the plans of `lineclear`; this package owns no free list. Every
operation is issued under the waits that its plan carries. The scheduler and the specification
never import it. Public names are loaded on first use, so importing the package is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lineclear_gpu.engine import Engine
    from lineclear_gpu.llm import LLM
    from lineclear_gpu.params import SamplingParams

__all__ = ["LLM", "Engine", "SamplingParams"]

_MODULES = {
    "Engine": "lineclear_gpu.engine",
    "LLM": "lineclear_gpu.llm",
    "SamplingParams": "lineclear_gpu.params",
}


def __getattr__(name: str) -> Any:
    """Loads a public name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value
