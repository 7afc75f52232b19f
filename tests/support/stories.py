"""Small event logs that conform, and for each clause of each rule one edit that breaks it alone.

Guarantees: every base conforms; a break changes, drops or inserts one event. The tests check both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lineclear.conform import Header

Event = dict[str, Any]
Log = list[Event]


def e(kind: str, r: Any = None, **rest: Any) -> Event:
    return {"e": kind, **({} if r is None else {"r": r}), **rest}


def step(n: int, *rows: list[Any], **rest: Any) -> Event:
    return {"e": "step", "n": n, "rows": list(rows), **rest}


MAIN: Log = [
    e("submit", "a", prompt=3, max=3),
    e("alloc", "a", blocks=[0, 1]),
    step(1, ["a", 0, 3, 1]),
    e("settle", n=1),
    e("store", blocks=[0], keys=["k0"]),
    e("submit", "b", prompt=4, max=2),
    e("hit", "b", blocks=[0], keys=["k0"]),
    e("alloc", "b", blocks=[2]),
    step(2, ["a", 3, 1, 1], ["b", 2, 2, 1]),
    e("settle", n=2),
    e("check", free=[3, 4, 5, 6, 7], waiting=[], running=["a", "b"]),
    e("preempt", "b", how="recompute"),
    e("free", "b", at=0, blocks=[0, 2]),
    e("alloc", "a", blocks=[3]),
    step(3, ["a", 4, 1, 1]),
    e("settle", n=3),
    e("free", "a", at=0, blocks=[0, 1, 3]),
    e("finish", "a"),
    e("evict", blocks=[0], keys=["k0"]),
    e("alloc", "b", blocks=[0, 1, 2]),
    step(4, ["b", 0, 5, 1]),
    e("settle", n=4),
    e("free", "b", at=0, blocks=[0, 1, 2]),
    e("finish", "b"),
    e("reject", "c"),
    e("check", free=[0, 1, 2, 3, 4, 5, 6, 7], waiting=[], running=[]),
]
FORK: Log = [
    e("submit", "a", prompt=3, max=3, n=2),
    e("alloc", "a", blocks=[0, 1]),
    step(1, ["a", 0, 3, 1]),
    e("settle", n=1),
    e("fork", "a", s=1, of=0),
    e("free", "a", s=1, at=1, blocks=[1]),
    e("alloc", "a", s=1, at=1, blocks=[2]),
    e("copy", op=1, src=[["gpu", 1]], dst=[["gpu", 2]]),
    step(2, ["a", 3, 1, 1], ["a", 3, 1, 1, 1], after=[1]),
    e("done", op=1),
    e("settle", n=2),
    e("free", "a", s=1, at=0, blocks=[0, 2]),
    e("prune", "a", s=1),
    e("free", "a", at=0, blocks=[0, 1]),
    e("abort", "a"),
]
PUBLISHED: Log = [
    *MAIN[:5],
    step(2, ["a", 3, 1, 1]),
    e("settle", n=2),
]
SWAP: Log = [
    e("submit", "a", prompt=3, max=3),
    e("alloc", "a", blocks=[0, 1]),
    step(1, ["a", 0, 3, 1]),
    e("settle", n=1),
    e("preempt", "a", how="swap"),
    e("alloc", "a", pool="cpu", blocks=[0, 1]),
    e("copy", op=1, src=[["gpu", 0], ["gpu", 1]], dst=[["cpu", 0], ["cpu", 1]]),
    e("done", op=1),
    e("free", "a", at=0, blocks=[0, 1]),
    e("resume", "a", how="swap"),
    e("alloc", "a", blocks=[4, 5]),
    e("copy", op=2, src=[["cpu", 0], ["cpu", 1]], dst=[["gpu", 4], ["gpu", 5]]),
    e("done", op=2),
    e("free", "a", pool="cpu", at=0, blocks=[0, 1]),
    step(2, ["a", 3, 1, 1]),
    e("settle", n=2),
    e("check", free={"gpu": [0, 1, 2, 3, 6, 7], "cpu": [0, 1]}),
]
TWO: Log = [
    e("submit", "a", prompt=3),
    e("submit", "b", prompt=3),
    e("alloc", "a", blocks=[0, 1]),
    e("alloc", "b", blocks=[2, 3]),
    step(1, ["a", 0, 3, 1]),
    e("settle", n=1),
    step(2, ["b", 0, 3, 1]),
    e("settle", n=2),
]
FENCE: Log = [
    e("submit", "a", prompt=2),
    e("submit", "b", prompt=2),
    e("alloc", "a", blocks=[0]),
    step(1, ["a", 0, 2, 1]),
    e("free", "a", at=0, blocks=[0]),
    e("abort", "a"),
    e("settle", n=1),
    e("alloc", "b", blocks=[0]),
    step(2, ["b", 0, 2, 1]),
]
IDLE: Log = [
    e("submit", "a", prompt=2),
    *[e("idle")] * 5,
    e("alloc", "a", blocks=[0]),
    step(1, ["a", 0, 2, 1]),
]
DRY: Log = [
    e("submit", "a", prompt=3),
    e("alloc", "a", blocks=[0, 1]),
    *[event for n in range(1, 8) for event in (step(n, ["a", 0, 1, 0]), e("settle", n=n))],
    step(8, ["a", 0, 3, 1]),
]
BASES: dict[str, tuple[Header, Log]] = {
    "main": (Header(8, 2, max_seqs=4, max_tokens=16), MAIN),
    "fork": (Header(8, 2, waits=True), FORK),
    "published": (Header(8, 2), PUBLISHED),
    "swap": (Header.parse({**Header(8, 2).json(), "pools": {"cpu": {"blocks": 2}}}), SWAP),
    "tokens": (Header(8, 2, max_tokens=5), TWO),
    "seats": (Header(8, 2, max_seqs=1), TWO),
    "order": (Header(8, 2, order="fcfs"), TWO),
    "fence": (Header(8, 2, max_steps_in_flight=2, stream_ordered=False), FENCE),
    "idle": (Header(8, 2), IDLE),
    "dry": (Header(8, 2, max_tokens=16, patience=2), DRY),
}


@dataclass(frozen=True)
class Break:
    """One edit of a base that breaks one clause."""

    clause: str
    base: str
    edit: Callable[[Log], Log]

    def log(self) -> tuple[Header, Log]:
        header, events = BASES[self.base]
        return header, self.edit(list(events))


def change(at: int, **fields: Any) -> Callable[[Log], Log]:
    return lambda log: [*log[:at], {**log[at], **fields}, *log[at + 1 :]]


def drop(at: int) -> Callable[[Log], Log]:
    return lambda log: [*log[:at], *log[at + 1 :]]


def insert(at: int, event: Event) -> Callable[[Log], Log]:
    return lambda log: [*log[:at], event, *log[at:]]


BREAKS = (
    Break("allocation.exists", "main", change(13, blocks=[9])),
    Break("allocation.held", "main", change(13, blocks=[1])),
    Break("allocation.published", "main", drop(18)),
    Break("exclusive_write.shared", "fork", change(8, rows=[["a", 3, 1, 1], ["a", 1, 3, 1, 1]])),
    Break("exclusive_write.published", "published", change(5, rows=[["a", 1, 3, 1]])),
    Break("release.slice", "main", change(12, blocks=[0, 3])),
    Break("release.known", "main", insert(24, e("free", "b", at=0, blocks=[0, 1, 2]))),
    Break("hit.exists", "main", change(6, blocks=[9])),
    Break("hit.there", "main", change(6, blocks=[5])),
    Break("hit.content", "main", change(6, blocks=[1])),
    Break("hit.key", "main", change(6, keys=["other"])),
    Break("publish.computed", "main", change(4, blocks=[1])),
    Break("publish.key", "main", insert(5, e("store", blocks=[0], keys=["other"]))),
    Break("publish.evicted", "main", insert(5, e("evict", blocks=[5]))),
    Break("conservation.free", "main", change(10, free=[4, 5, 6, 7])),
    Break("queues.lists", "main", change(10, waiting=["z"])),
    Break("capacity.room", "main", drop(13)),
    Break("computed.start", "main", change(20, rows=[["b", 1, 4, 1]])),
    Break("budget.tokens", "tokens", change(4, rows=[["a", 0, 3, 1], ["b", 0, 3, 1]])),
    Break("budget.seats", "seats", change(4, rows=[["a", 0, 3, 1], ["b", 0, 3, 1]])),
    Break("budget.empty", "main", change(8, rows=[["a", 3, 0, 0], ["b", 2, 2, 1]])),
    Break("length.known", "main", change(14, rows=[["a", 4, 2, 1]])),
    Break("length.max", "main", change(20, rows=[["b", 0, 5, 2]])),
    Break("length.newest", "main", change(20, rows=[["b", 0, 4, 1]])),
    Break("length.kept", "main", change(15, kept=[["b", 1]])),
    Break("once.live", "main", insert(24, e("finish", "b"))),
    Break("once.again", "main", insert(6, e("submit", "b", prompt=4, max=2))),
    Break("once.holds", "main", drop(22)),
    Break("once.row", "main", change(14, rows=[["a", 4, 1, 1], ["a", 4, 1, 0]])),
    Break("phase.preempt", "main", insert(12, e("preempt", "b", how="recompute"))),
    Break("phase.resume", "main", insert(12, e("resume", "a"))),
    Break("phase.row", "swap", drop(9)),
    Break("ordered.number", "main", change(14, n=5)),
    Break("ordered.settle", "main", change(15, n=2)),
    Break("ordered.max_steps_in_flight", "main", drop(9)),
    Break("ordered.fence", "fence", drop(6)),
    Break("ordered.copy", "swap", drop(12)),
    Break("ordered.done", "swap", insert(13, e("done", op=2))),
    Break("queue_order.passed", "order", change(4, rows=[["b", 0, 3, 1]])),
    Break("progress.moves", "idle", insert(6, e("idle"))),
    Break("progress.kept", "dry", insert(16, e("idle"))),
)
