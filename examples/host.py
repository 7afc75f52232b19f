"""A serving engine around lineclear's scheduler, with a model that is a sum.

`Worker` has what a device has: block tables and KV, and it sees plans alone. `Host` has the tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear import Config, Plan, Request, Scheduler
from lineclear.request import Rejected

Name = tuple[Any, int]  # (request id, branch)


class Worker:
    """Executes plans; KV of a position is its token."""

    def __init__(self, block_size: int) -> None:
        self.size = block_size
        self.kv: dict[str, dict[tuple[int, int], int]] = {"gpu": {}, "cpu": {}}
        self.tables: dict[Name, list[int]] = {}

    def execute(self, plan: Plan, token: Callable[[Name, int], int]) -> list[int]:
        """Runs a plan; a token for each row that samples."""
        for ended in plan.ended:
            for name in [name for name in self.tables if name[0] == ended]:
                del self.tables[name]
        for (
            request,
            branch,
            table,
        ) in plan.tables:  # admitted, swapped in, forked or copied on write
            self.tables[request, branch] = list(table)
        for request, branch, block in plan.new_blocks:
            self.tables[request, branch].append(block)
        for (
            operation
        ) in plan.operations:  # one after the other, so that nothing has to be waited for
            source, target = {"swap_out": ("gpu", "cpu"), "swap_in": ("cpu", "gpu")}.get(
                operation.kind, ("gpu", "gpu")
            )
            for old, new in operation.blocks:
                for slot in range(self.size):
                    if (old, slot) in self.kv[source]:
                        self.kv[target][new, slot] = self.kv[source][old, slot]
        sampled: list[int] = []
        for row in plan.scheduled_seq_groups:  # prefills and decodes alike
            name, start = (row.request_id, row.branch), plan.start_of(row)
            end = start + row.tokens
            place = [(self.tables[name][k // self.size], k % self.size) for k in range(end)]
            for k in range(start, end):
                self.kv["gpu"][place[k]] = token(name, k)
            if row.samples:
                sampled.append(
                    sum(self.kv["gpu"][each] * (k + 1) for k, each in enumerate(place)) % 97
                )
        return sampled


class Host:
    """Takes requests, runs steps, and hands out what was generated."""

    def __init__(self, config: Config) -> None:
        self.scheduler = Scheduler(config)
        self.worker = Worker(config.block_size)
        self.tokens: dict[Any, list[list[int]]] = {}  # request id -> tokens of each branch

    def add(self, request: Any, prompt: list[int], max_tokens: int, n: int = 1) -> str:
        """Takes a request in; why not, as a code, if it is turned away."""
        answer = self.scheduler.add(
            Request(request_id=request, prompt_tokens=len(prompt), max_tokens=max_tokens, n=n)
        )
        if isinstance(answer, Rejected):
            return answer.code
        self.tokens[request] = [list(prompt)]
        return ""

    def step(self) -> list[Any]:
        """Runs one step; the requests that are finished by it."""
        plan = self.scheduler.schedule()
        sampled = self.worker.execute(plan, lambda name, k: self.tokens[name[0]][name[1]][k])
        copies = [o.number for o in plan.operations if o.kind in ("swap_out", "swap_in")]
        self.scheduler.complete(copies)
        if plan.step is None:
            return []
        answers: list[Any] = []
        for row, one in zip(plan.sampling, sampled, strict=True):
            branches = self.tokens[row.request_id]
            entry = self.scheduler.entries.get(row.request_id)  # None if it was aborted meanwhile
            fork = entry is not None and len(branches) < entry.n
            if fork:  # a further branch, with a token of its own
                branches.append([*branches[row.branch], (one + 1) % 97])
            branches[row.branch].append(one)
            answers.append([[one], [(one + 1) % 97]] if fork else one)
        return [finished.request_id for finished in self.scheduler.commit(plan, answers)]

    def run(self) -> dict[Any, list[list[int]]]:
        """Steps until no request is live; the tokens of all."""
        while self.scheduler.has_unfinished():
            self.step()
        return self.tokens
