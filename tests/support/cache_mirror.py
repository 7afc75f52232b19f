"""A router's view of a prefix cache."""

from __future__ import annotations

from lineclear.kv_events import CacheEvent, Cleared, Removed


class CacheMirror:
    """The names under which blocks can be found, by the events alone.

    Attributes:
        names: these.
    """

    def __init__(self) -> None:
        """No block can be found."""
        self.names: set[int] = set()

    def __call__(self, event: CacheEvent) -> None:
        """One event.

        Raises:
            ValueError: it stores a name that is there, or removes one that is not.
        """
        if isinstance(event, Cleared):
            self.names.clear()
            return
        if isinstance(event, Removed):
            for name in event.names:
                if name not in self.names:
                    raise ValueError(f"{event} removes {name}, which is not stored")
                self.names.remove(name)
            return
        for name in event.names:
            if name in self.names:
                raise ValueError(f"{event} stores {name}, which is stored already")
            self.names.add(name)
