"""Functions put in place of the methods of one instance, and taken away again.

Guarantees: a method that is not there is named when the hook is put in, not when it is called; after
`remove` the instance is as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Hooks", "MissingHook"]


class MissingHook(RuntimeError):
    """The engine has no such attribute: it is another version than the recorder was written for."""


class Hooks:
    """Hooks on any number of instances.

    Args:
        engine: the engine and its version, for messages.
    """

    def __init__(self, engine: str) -> None:
        """No hook."""
        self.engine = engine
        self._hooked: list[tuple[Any, str]] = []

    def need(self, instance: Any, *names: str) -> None:
        """Checks that attributes are there.

        Raises:
            MissingHook: names the first one that is not.
        """
        for name in names:
            if not hasattr(instance, name):
                raise MissingHook(
                    f"{self.engine}: {type(instance).__name__} has no {name!r}; use the version that "
                    "the recorder was written for, or adapt the recorder"
                )

    def put(self, instance: Any, name: str, wrap: Callable[[Callable[..., Any]], Any]) -> None:
        """Puts `wrap(method)` in place of a method of this instance alone."""
        self.need(instance, name)
        setattr(instance, name, wrap(getattr(instance, name)))
        self._hooked.append((instance, name))

    def remove(self) -> None:
        """Takes every hook away."""
        while self._hooked:
            instance, name = self._hooked.pop()
            instance.__dict__.pop(name, None)
