"""Schedulers that break one rule each, and two short lists of actions in which most of them show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiny_scheduler import Request, TinyScheduler

from lineclear.testing import Limits, Observation, Row

ONE = [("submit", "a", (1, 2, 0), 3)]
TWO = [*ONE, ("submit", "b", (2, 2), 3)]


class Rows(TinyScheduler):
    """Changes the rows on their way to the model."""

    def change(self, row: Row) -> Row:
        return row

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        return super().step(lambda rows: execute([self.change(row) for row in rows]))


class WrongBlock(Rows):
    """Names a block that the request does not hold."""

    def change(self, row: Row) -> Row:
        return Row(row.request_id, row.start, row.tokens, (*row.table[:-1], 4), row.samples)


class SamplesAlways(Rows):
    """Samples in the middle of a prompt."""

    def change(self, row: Row) -> Row:
        return Row(row.request_id, row.start, row.tokens, row.table, True)


class SamplesNever(Rows):
    """Computes the last known token and samples nothing."""

    def change(self, row: Row) -> Row:
        return Row(row.request_id, row.start, row.tokens, row.table, False)


class StartsLate(Rows):
    """Leaves out a position."""

    def change(self, row: Row) -> Row:
        skip = int(row.start == 0 and row.tokens > 1)
        return Row(row.request_id, skip, row.tokens - skip, row.table, row.samples)


class Twice(TinyScheduler):
    """Runs two forward passes in a step."""

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        return super().step(lambda rows: [execute(rows), execute(rows)][1])


class Catches(WrongBlock):
    """Catches whatever the forward pass raises."""

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        try:
            return super().step(execute)
        except BaseException:
            return []


class SaysNothing(TinyScheduler):
    """Answers None where True or False is expected."""

    def submit(self, name: str, prompt: list[int], max_new: int) -> Any:
        super().submit(name, prompt, max_new)


class EndsEarly(TinyScheduler):
    """Ends a request one token early."""

    def submit(self, name: str, prompt: list[int], max_new: int) -> bool:
        return super().submit(name, prompt, max(1, max_new - 1))


class EndsSilently(TinyScheduler):
    """Forgets to tell who ended."""

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        super().step(execute)
        return []


class EndsTwice(TinyScheduler):
    """Tells an end twice."""

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        ended = super().step(execute)
        return [*ended, *ended]


class TakesAll(TinyScheduler):
    """Refuses nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = Limits(blocks=5, block_size=2, max_seqs=3, max_tokens=4, oversize=True)

    def submit(self, name: str, prompt: list[int], max_new: int) -> bool:
        self.waiting.append(Request(name, prompt, max_new))
        return True


class Leaks(TinyScheduler):
    """Loses a block with each release."""

    def release(self, request: Request) -> None:
        super().release(request)
        self.free = self.free[1:]


class FreesTwice(TinyScheduler):
    """Has a block twice in its free list."""

    def release(self, request: Request) -> None:
        super().release(request)
        self.free += self.free[:1]


class TooMany(TinyScheduler):
    """Exceeds the tokens of a step."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = Limits(blocks=5, block_size=2, max_seqs=3, max_tokens=4)

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        output, self.limits = self.limits, Limits(blocks=5, block_size=2, max_seqs=3, max_tokens=6)
        try:
            return super().step(execute)
        finally:
            self.limits = output


class Idle(TinyScheduler):
    """Never schedules anything."""

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        return []


class Again(TinyScheduler):
    """Works in every step and computes the same tokens again and again."""

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        for request in [r for r in self.running if r.computed == 4]:
            self.running.remove(request)
            self.release(request)
            self.keys.clear()
            self.waiting.insert(0, request)
        return super().step(execute)


class Forgets(TinyScheduler):
    """Has a waiting request in no queue."""

    def observe(self) -> Observation:
        seen = super().observe()
        waiting = [name for name in seen.waiting or () if name != "b"]
        return Observation(seen.tables, seen.free, seen.cached, waiting, seen.running)


class Jumps(TinyScheduler):
    """Serves the youngest first, and says first come, first served."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = Limits(blocks=5, block_size=2, max_seqs=1, max_tokens=4, order="fcfs")

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        self.waiting.reverse()
        return super().step(execute)


class KeepsAborted(TinyScheduler):
    """Keeps the blocks of an aborted request."""

    def abort(self, name: str) -> None:
        self.waiting = [r for r in self.waiting if r.name != name]

    def observe(self) -> Observation:
        return super().observe()
