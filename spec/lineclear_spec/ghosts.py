"""A plain ledger that also keeps the ghost fields, so that invariants and promises can be evaluated
on it.

Guarantees: what it adds is never read by an action, and it does what `ledger.Ledger` does. It
knows nothing about searches.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

from lineclear_spec.actions import ACTIONS
from lineclear_spec.ledger import (
    COMPUTE,
    CPU,
    FORWARD,
    GPU,
    Block,
    Broken,
    Ledger,
    Limits,
    Request,
    Sequence,
)
from lineclear_spec.mutants import is_guard, parsed

__all__ = ["GhostLedger", "guards_of"]


@cache
def guards_of(name: str) -> Callable[..., Any]:
    """The action's guards without its effect: what `GhostLedger.failing` runs."""
    node = parsed(name)
    last = max(index for index, part in enumerate(node.body) if is_guard(part))
    node.body = node.body[: last + 1]
    function = ACTIONS[name].body
    scope: dict[str, Any] = {}
    tree = ast.fix_missing_locations(ast.Module([node], []))
    exec(
        compile(tree, inspect.getsourcefile(function) or "<guards>", "exec"),
        function.__globals__,
        scope,
    )
    found: Callable[..., Any] = scope[name]
    return found


class GhostLedger(Ledger):
    """The ledger, with histories.

    Attributes:
        kv: per sequence, positions whose KV is in its present table once every operation decided
            is done.
        touch: (tier, operation, place) of every access.
        sources: (tier, operation, target place) of every copy: its source place.
        history: per operation its kind, what it waits for and its request.
        releases: per request, how often it ended.
        born: per request, the last operation decided before its present residence began.
        totals: per step issued its tokens, its sequences and its forward.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.kv: dict[Sequence, int] = {}
        self.touch: set[tuple[int, int, int]] = set()
        self.sources: dict[tuple[int, int, int], int] = {}
        self.history: dict[int, list[Any]] = {}
        self.releases: dict[Request, int] = {}
        self.born: dict[Request, int] = {}
        self.totals: dict[int, tuple[int, int, int]] = {}
        self.requests: list[Request] = []
        self.sequences: list[Sequence] = []
        self.collecting: list[str] | None = None

    def require(self, condition: bool, guard: str) -> None:
        """A guard; while collecting, a false one is noted and the next one is asked."""
        if self.collecting is None:
            super().require(condition, guard)
        elif not condition:
            self.collecting.append(guard)

    def failing(self, name: str, arguments: tuple[Any, ...]) -> tuple[str, ...]:
        """Every guard of the action that is false; after one that makes the next meaningless, the
        rest is left out.
        """
        self.collecting = []
        try:
            guards_of(name)(self, *arguments)
        except (IndexError, KeyError, AttributeError, ValueError):
            if not self.collecting:
                raise
        finally:
            found, self.collecting = tuple(self.collecting), None
        return found

    def new_request(self, prompt: int, limit: int, parallel: int) -> Request:
        """A request with a fresh id."""
        request = super().new_request(prompt, limit, parallel)
        self.requests.append(request)
        return request

    def add_member(self, request: Request) -> Sequence:
        """A new sequence, without KV."""
        sequence = super().add_member(request)
        self.sequences.append(sequence)
        self.kv[sequence] = 0
        return sequence

    def move(self, request: Request, event: str) -> None:
        """The transition; an end is counted, a residence begins."""
        super().move(request, event)
        if event == "admit":
            self.born[request] = self.issued
        if request.phase == 4:
            self.releases[request] = self.releases.get(request, 0) + 1

    def decide(self, kind: str, request: Request | None) -> int:
        """A new operation, remembered."""
        number = super().decide(kind, request)
        self.history[number] = [kind, 0, request]
        return number

    def order(self, number: int, wait: int) -> None:
        """What it waits for, remembered."""
        super().order(number, wait)
        self.history[number][1] = wait

    def name_block(self, sequence: Sequence, block: Block) -> None:
        """A new entry; no table names a block twice."""
        if block in sequence.table:
            raise Broken(f"{sequence} names {block} already")
        super().name_block(sequence, block)

    def note_copy(self, source_tier: int, source: int, target_tier: int, target: int) -> None:
        """Both places are touched."""
        super().note_copy(source_tier, source, target_tier, target)
        self.sources[target_tier, self.issued, target] = source
        self.touch |= {(source_tier, self.issued, source), (target_tier, self.issued, target)}

    def advance(self, number: int) -> None:
        """The forward touches every GPU place held, and writes one position of each steady
        sequence.
        """
        free = set(self.gpu.order[: self.gpu.free])
        self.touch |= {(GPU, number, p) for p in range(self.gpu.total) if p not in free}
        for sequence in self.batch:
            if self.kv[sequence] >= self.reach(sequence):
                self.kv[sequence] += 1
        size = len(self.batch)
        self.totals[self.steps + 1] = (self.step_tokens + size, self.step_sequences + size, number)
        super().advance(number)

    def write_kv(self, sequence: Sequence, tokens: int) -> None:
        """The next positions are written."""
        kv, reach = self.kv[sequence], sequence.reach_tokens
        if kv >= reach:
            self.kv[sequence] = max(kv, reach + tokens)

    def share_kv(self, parent: Sequence, child: Sequence, count: int) -> None:
        """What lies in the shared blocks."""
        self.kv[child] = min(self.kv[parent], count * self.limits.block_size)

    def lose_kv(self, sequence: Sequence) -> None:
        """Nothing is left."""
        self.kv[sequence] = 0

    def is_compute(self, number: int) -> bool:
        """Whether the operation runs on the compute stream."""
        return number in self.history and self.history[number][0] in COMPUTE

    def is_forward_operation(self, number: int) -> bool:
        """Whether the operation is a forward."""
        return number in self.history and self.history[number][0] == FORWARD

    def pool_of(self, tier: int) -> Any:
        """The pool of a tier."""
        return self.cpu if tier == CPU else self.gpu
