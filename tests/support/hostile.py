"""Hostile policies, scripted call by call.

Guarantees: equal scripts behave equally; a call without an entry gets a sensible answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from lineclear.policies.tenants import TenantPolicy
from lineclear.policies.view import View
from lineclear.request import Request, SchedulerError
from lineclear.scheduler import Scheduler


class Raising:
    """Raises on any use."""

    def __lt__(self, other: object) -> bool:
        raise ZeroDivisionError("compared")

    __gt__ = __le__ = __ge__ = __bool__ = __hash__ = __repr__ = __eq__ = __lt__  # type: ignore[assignment]


class LyingInt(int):
    """A number that is less than all others, greater than all others, and sometimes raises."""

    turns = 0

    def __lt__(self, other: object) -> bool:
        LyingInt.turns += 1
        if LyingInt.turns % 7 == 0:
            raise OSError("in the midst of a heap")
        return True

    __gt__ = __le__ = __ge__ = __lt__

    def __eq__(self, other: object) -> bool:
        return LyingInt.turns % 2 == 0

    def __hash__(self) -> int:
        return LyingInt.turns

    def __add__(self, other: int) -> int:
        raise OSError("in the midst of a sum")

    __sub__ = __radd__ = __rsub__ = __add__


class LyingFloat(float):
    """The same for a float."""

    __lt__ = __gt__ = LyingInt.__lt__
    __eq__ = LyingInt.__eq__
    __hash__ = LyingInt.__hash__


class Endless(tuple[int, ...]):
    """A tuple that never ends."""

    def __iter__(self) -> Iterator[int]:
        while True:
            yield 1

    def __len__(self) -> int:
        raise OSError("no length")


class Masked:
    """Claims to be a whole number."""

    def __getattribute__(self, name: str) -> Any:
        return int if name == "__class__" else object.__getattribute__(self, name)


class Chameleon:
    """A tenant that equals every other one, once."""

    def __init__(self) -> None:
        self.asked = 0

    def __hash__(self) -> int:
        return hash(f"t{self.asked % 3}")

    def __eq__(self, other: object) -> bool:
        self.asked += 1
        return self.asked == 1


class Untold(Exception):
    """An error whose text cannot be read."""

    def __str__(self) -> str:
        raise ValueError("no words")


class Stop(BaseException):
    """A request to stop the program."""


def generator() -> Iterator[int]:
    yield 1


ANSWERS: dict[str, Callable[[], Any]] = {
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "none": lambda: None,
    "text": lambda: "first",
    "huge": lambda: 10**400,
    "minus": lambda: -(10**400),
    "bool": lambda: True,
    "list": lambda: [1],
    "empty": lambda: (),
    "long": lambda: (1, 2, 3),
    "mixed": lambda: (1, "a"),
    "object": object,
    "raising": Raising,
    "lying": lambda: LyingInt(2),
    "lying inside": lambda: (LyingInt(1),),
    "lying float": lambda: LyingFloat(1.5),
    "endless": lambda: Endless((3,)),
    "masked": Masked,
    "chameleon": Chameleon,
    "generator": generator,
    "class": lambda: int,
    "zero": lambda: 0,
    "no such tenant": lambda: "stranger",
}


def recurse() -> Any:
    return recurse()


class Hostile:
    """Answers sensibly, until a call with a scripted number.

    Args:
        script: number of a call of any method -> what it does.
        bad: kinds of bad behaviour: a name in ANSWERS, or one of those below.
    """

    name = "hostile"

    def __init__(self, script: dict[int, str]) -> None:
        self.script = script
        self.calls = 0
        self.seen: list[View] = []
        self.scheduler: Scheduler | None = None
        self.done: list[str] = []

    def act(self, good: Any, *views: Any) -> Any:
        self.calls += 1
        what = self.script.get(self.calls)
        self.seen = [*self.seen[-5:], *[view for view in views if isinstance(view, View)]]
        if what is None:
            return good
        self.done.append(what)
        if what in ANSWERS:
            return ANSWERS[what]()
        getattr(self, what)()
        return good

    # ---- deeds ---------------------------------------------------------------------------------

    def error(self) -> None:
        raise LookupError("two\nlines, and\tmore " * 200)

    def untold(self) -> None:
        raise Untold

    def endless_recursion(self) -> None:
        recurse()

    def memory(self) -> None:
        raise MemoryError

    def stop(self) -> None:
        raise Stop("stop")

    def write_view(self) -> None:
        for view in self.seen:
            setattr(view, "number", -1)  # noqa: B010

    def write_old_view(self) -> None:
        for view in self.seen[:1]:
            delattr(view, "generated")

    def write_request(self) -> None:
        for view in self.seen:
            view.request.priority = 9  # type: ignore[misc]

    def force_request(self) -> None:
        """Bypasses every guard of a frozen class."""
        for view in self.seen:
            for field, value in (("request_id", "x"), ("prompt_tokens", 10**6), ("n", 50)):
                object.__setattr__(view.request, field, value)
            object.__setattr__(view, "number", -7)

    def call_add(self) -> None:
        assert self.scheduler is not None
        self.scheduler.add(Request(request_id=object(), prompt_tokens=1, max_tokens=1))

    def call_schedule(self) -> None:
        assert self.scheduler is not None
        self.scheduler.schedule()

    def call_abort_quietly(self) -> None:
        assert self.scheduler is not None
        try:
            self.scheduler.abort_all()
        except SchedulerError:
            return
        self.done.append("unpunished" if self.scheduler.entries else "nothing to abort")

    def call_drain(self) -> None:
        assert self.scheduler is not None
        self.scheduler.drain()

    def call_complete(self) -> None:
        assert self.scheduler is not None
        self.scheduler.complete([1])

    # ---- what is asked -------------------------------------------------------------------------

    def key(self, request: View) -> Any:
        return self.act(-request.priority, request)

    def may_displace(self, waiting: View, running: View) -> Any:
        return self.act(waiting.priority > running.priority, waiting, running)


class Everything(Hostile):
    """Implements every method that a policy may have."""

    def rank(self, request: View) -> Any:
        return self.act((-request.priority, 0.5), request)

    def review(self, request: View) -> Any:
        return self.act(2 if request.number % 2 else None, request)

    def ended(self, request: View) -> Any:
        return self.act("thank you", request)

    def share(self, request: View, budget: int, sharers: int) -> Any:
        return self.act(max(1, budget // max(1, sharers)), request)


class Landlord(Hostile, TenantPolicy):
    """Shares among tenants: the one that began to wait first."""

    name = "landlord"

    def __init__(self, script: dict[int, str]) -> None:
        TenantPolicy.__init__(self)
        Hostile.__init__(self, script)
        self.line: list[Any] = []

    def first(self, step: int) -> Any:
        return self.act(self.line[0])

    def backlogged(self, tenant: Any, step: int) -> None:
        self.line.append(tenant)
        self.act(None)

    def idle(self, tenant: Any, step: int) -> None:
        self.line.remove(tenant)
        self.act(None)

    def admitted(self, tenant: Any, tokens: int, step: int) -> None:
        self.act(None)

    def sampled(self, tenant: Any, tokens: int, step: int) -> None:
        self.act(None)

    def decode_batch_changed(self, tenant: Any, change: int, step: int) -> None:
        self.act(None)


DEEDS = [
    "error",
    "untold",
    "endless_recursion",
    "memory",
    "stop",
    "write_view",
    "write_old_view",
    "write_request",
    "force_request",
    "call_add",
    "call_schedule",
    "call_abort_quietly",
    "call_drain",
    "call_complete",
]
