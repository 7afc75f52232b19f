"""Wraps methods of single instances, and unwraps them again.

Guarantees: a missing method raises when the hook is installed, not when it is called; after
`remove` the instance is as before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class MissingHook(RuntimeError):
    """The engine lacks an attribute: it is another version than the recorder supports."""


class Hooks:
    """Hooks on any number of instances.

    Args:
        engine: the engine and its version, for messages.
    """

    def __init__(self, engine: str) -> None:
        """Starts without hooks."""
        self.engine = engine
        self._hooked: list[tuple[Any, str]] = []

    def need(self, instance: Any, *names: str) -> None:
        """Checks that attributes exist.

        Raises:
            MissingHook: names the first missing one.
        """
        for name in names:
            if not hasattr(instance, name):
                raise MissingHook(
                    f"{self.engine}: {type(instance).__name__} has no {name!r}; use the version that "
                    "the recorder was written for, or adapt the recorder"
                )

    def put(self, instance: Any, name: str, wrap: Callable[[Callable[..., Any]], Any]) -> None:
        """Replaces a method of this instance alone by `wrap(method)`."""
        self.need(instance, name)
        setattr(instance, name, wrap(getattr(instance, name)))
        self._hooked.append((instance, name))

    def remove(self) -> None:
        """Removes every hook."""
        while self._hooked:
            instance, name = self._hooked.pop()
            instance.__dict__.pop(name, None)
