"""A scheduler of about 100 lines with a paged KV cache, chunked prompts, preemption and a prefix cache.

`make_scheduler` creates it. `make_broken` omits one line: a block that is taken from
the cache keeps its key, so that a later request finds it under content that it no longer has.

    lineclear test examples/tiny_scheduler.py:make_scheduler --seconds 10
    lineclear test examples/tiny_scheduler.py:make_broken
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from lineclear.testing import Limits, Observation, Row


class Request:
    """A request: its tokens, how many of them are computed, its blocks."""

    def __init__(self, name: str, prompt: list[int], max_new: int) -> None:
        self.name, self.tokens, self.limit = name, prompt, len(prompt) + max_new
        self.computed, self.table = 0, list[int]()


class TinyScheduler:
    """First come, first served; the youngest is preempted."""

    def __init__(self, forgets: bool = True) -> None:
        self.limits = Limits(blocks=5, block_size=2, max_seqs=3, max_tokens=4)
        self.forgets = forgets
        self.free = list(range(self.limits.blocks))
        self.references: Counter[int] = Counter()
        self.keys: dict[int, tuple[int, ...]] = {}  # block -> tokens up to its end
        self.waiting: list[Request] = []
        self.running: list[Request] = []

    def submit(self, name: str, prompt: list[int], max_new: int) -> bool:
        blocks = -(-(len(prompt) + max_new - 1) // 2)
        if blocks <= self.limits.blocks:
            self.waiting.append(Request(name, prompt, max_new))
        return blocks <= self.limits.blocks

    def abort(self, name: str) -> None:
        for queue in (self.waiting, self.running):
            for request in [r for r in queue if r.name == name]:
                self.release(request)
                queue.remove(request)

    def step(self, execute: Callable[[list[Row]], list[int]]) -> list[str]:
        budget, batch = self.limits.max_tokens, list[tuple[Request, int]]()
        for request in list(self.running):
            tokens = min(budget, len(request.tokens) - request.computed)
            if (
                request in self.running
                and tokens
                and self.grow(request, request.computed + tokens)
            ):
                batch.append((request, tokens))
                budget -= tokens
        while self.waiting and budget and len(self.running) < self.limits.max_seqs:
            request = self.waiting[0]
            self.find(request)
            needs = -(-len(request.tokens) // 2) - len(request.table)
            if needs > len(self.free):
                self.release(request)
                break
            self.running.append(self.waiting.pop(0))
            tokens = min(budget, len(request.tokens) - request.computed)
            self.grow(request, len(request.tokens))
            batch.append((request, tokens))
            budget -= tokens
        batch = [(request, tokens) for request, tokens in batch if request in self.running]
        rows = [
            Row(r.name, r.computed, n, tuple(r.table), r.computed + n == len(r.tokens))
            for r, n in batch
        ]
        for (request, n), row, token in zip(
            batch, rows, execute(rows) if rows else [], strict=True
        ):
            request.computed += n
            for k in range(request.computed // 2):
                if request.table[k] not in self.keys:
                    self.keys[request.table[k]] = tuple(request.tokens[: 2 * k + 2])
            request.tokens += [token] * row.samples
        ended = [r for r in self.running if len(r.tokens) == r.limit]
        for request in ended:
            self.running.remove(request)
            self.release(request)
        return [r.name for r in ended]

    def find(self, request: Request) -> None:
        """Takes the blocks of its prefix that are in the cache, but leaves a token to compute."""
        blocks = {key: block for block, key in self.keys.items()}
        while request.computed + 2 < len(request.tokens):
            block = blocks.get(tuple(request.tokens[: request.computed + 2]))
            if block is None:
                break
            if not self.references[block]:
                self.free.remove(block)
            self.references[block] += 1
            request.table.append(block)
            request.computed += 2

    def grow(self, request: Request, tokens: int) -> bool:
        """Gives it blocks for so many tokens; False if it had to be preempted itself."""
        while len(request.table) * 2 < tokens:
            if self.free:
                block = self.free.pop(0)
                if self.forgets:
                    self.keys.pop(block, None)
                self.references[block] += 1
                request.table.append(block)
            else:
                victim = self.running.pop()
                self.release(victim)
                self.waiting.insert(0, victim)
                if victim is request:
                    return False
        return True

    def release(self, request: Request) -> None:
        """Its blocks are free again, and stay in the cache until they are taken."""
        for block in reversed(request.table):
            self.references[block] -= 1
            if not self.references[block]:
                self.free.append(block)
        request.table, request.computed = [], 0

    def observe(self) -> Observation:
        return Observation(
            tables={r.name: r.table for r in (*self.waiting, *self.running)},
            free=[block for block in self.free if block not in self.keys],
            cached=self.keys,
            waiting=[r.name for r in self.waiting],
            running=[r.name for r in self.running],
            extra={"order of free blocks": tuple(self.free)},
        )


def make_scheduler() -> TinyScheduler:
    """The correct scheduler."""
    return TinyScheduler()


def make_broken() -> TinyScheduler:
    """The scheduler with the planted bug."""
    return TinyScheduler(forgets=False)
