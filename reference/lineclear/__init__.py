"""A scheduler for LLM serving with a paged KV cache, running on actions that are proved safe.

Guarantees: importing this package loads nothing heavy; each public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lineclear.config import Config
    from lineclear.monitor.liveness import Stalled, Watch
    from lineclear.plan import Plan
    from lineclear.policies import Policy
    from lineclear.policies.tenants import TenantPolicy
    from lineclear.policies.view import View
    from lineclear.request import Request
    from lineclear.scheduler import Scheduler

__all__ = [
    "Config", "Plan", "Policy", "Request", "Scheduler", "Stalled", "TenantPolicy", "View", "Watch",
    "__version__",
]  # fmt: skip

__version__ = "0.1.0"

_MODULES = {
    "Config": "lineclear.config",
    "Plan": "lineclear.plan",
    "Policy": "lineclear.policies",
    "Request": "lineclear.request",
    "Scheduler": "lineclear.scheduler",
    "Stalled": "lineclear.monitor.liveness",
    "TenantPolicy": "lineclear.policies.tenants",
    "View": "lineclear.policies.view",
    "Watch": "lineclear.monitor.liveness",
}


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
