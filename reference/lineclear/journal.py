"""The journal in memory: the last actions, by name and ids.

Guarantees: memory is bounded and holds no record that has ended. It knows nothing about what the actions did; the
journal on disk is `record.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

__all__ = ["Ring"]


class Ring:
    """The last `size` actions."""

    def __init__(self, size: int = 4096) -> None:
        self.rows: deque[tuple[str, tuple[Any, ...]]] = deque(maxlen=size)
        self.total = 0

    def __call__(self, name: str, arguments: tuple[object, ...]) -> None:
        """Enters one action."""
        self.total += 1
        self.rows.append((name, tuple([getattr(a, "id", a) for a in arguments])))

    def __iter__(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)
