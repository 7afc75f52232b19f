"""Faults of eviction in the prefix cache, planted for one test."""

# pyright: basic

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from lineclear.scheduling.prefix_cache import PrefixCache


def evict_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eviction takes no notice of readers."""
    chosen = PrefixCache._chosen  # pyright: ignore[reportPrivateUsage]

    def deaf(self: PrefixCache, *arguments: Any) -> list[int]:
        held, self.held = self.held, Counter()
        try:
            return list(chosen(self, *arguments))
        finally:
            self.held = held

    monkeypatch.setattr(PrefixCache, "_chosen", deaf)


def evict_what_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eviction takes no notice of what the request that it makes room for is about to share."""
    free_up = PrefixCache.free_up
    monkeypatch.setattr(PrefixCache, "free_up", lambda self, count, _=(): free_up(self, count))
