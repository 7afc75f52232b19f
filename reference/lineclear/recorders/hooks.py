"""Wraps methods of single instances, and unwraps them again.

Guarantees: a missing method raises when the hook is installed, not when it is called; after
`remove` the instance is as before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from typing import Any

#: A method of an engine.
Method = Callable[..., Any]


class MissingHook(RuntimeError):
    """The engine lacks an attribute: it is another version than the recorder supports."""


class Hooks:
    """Hooks on any number of instances.

    Args:
        engine: the engine and its version, for messages.
    """

    def __init__(self, engine: str) -> None:
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

    def need_below(self, instance: Any, names: Mapping[str, tuple[str, ...]]) -> None:
        """Checks that attributes exist of what is found by each path from an instance.

        Raises:
            MissingHook: names the first missing one.
        """
        for path, wanted in names.items():
            self.need(attrgetter(path)(instance) if path else instance, *wanted)

    def put(self, instance: Any, name: str, wrap: Callable[[Method], Any]) -> None:
        """Replaces a method of this instance alone by `wrap(method)`."""
        self.need(instance, name)
        setattr(instance, name, wrap(getattr(instance, name)))
        self._hooked.append((instance, name))

    def around(self, instance: Any, name: str, hook: Callable[..., Any]) -> None:
        """Calls `hook(method, ...)` where this instance's method is called with `...`."""
        self.put(instance, name, lambda method: partial(hook, method))

    def remove(self) -> None:
        """Removes every hook."""
        while self._hooked:
            instance, name = self._hooked.pop()
            instance.__dict__.pop(name, None)
