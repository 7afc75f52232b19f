"""A scheduler in a small world, driven by request names, with the audit after every call.

Guarantees: `dump` sees every attribute of every record that a scheduler reaches, so two equal
dumps are one state.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any

from lineclear.config import Config
from lineclear.monitor.audit import audit
from lineclear.plan import Plan
from lineclear.policies import Policy
from lineclear.request import Accepted, Finished, Rejected, Request
from lineclear.scheduler import Scheduler

#: A block holds 4 tokens; 8 blocks in each pool; no blocks are kept free.
SMALL: Mapping[str, Any] = MappingProxyType(
    {
        "num_gpu_blocks": 8,
        "num_cpu_blocks": 8,
        "block_size": 4,
        "max_num_seqs": 8,
        "max_num_batched_tokens": 64,
        "max_model_len": 64,
        "watermark": 0.0,
        "preemption_mode": "recompute",
    }
)


def small(**changes: Any) -> Config:
    """The small world, with these settings changed."""
    return Config(**{**SMALL, **changes})


def rows(plan: Plan) -> dict[Any, int]:
    """Tokens that the step computes, by id, or by (id, branch) for branches other than 0."""
    return {
        (row.request_id, row.branch) if row.branch else row.request_id: row.tokens
        for row in plan.scheduled_seq_groups
    }


class Drive:
    """One scheduler, with counts of the table's actions.

    Args:
        policy: policy of the scheduler.
        changes: settings that differ from the small world.
    """

    def __init__(self, policy: Policy | None = None, **changes: Any) -> None:
        self.actions: Counter[str] = Counter()
        self.journal: list[str] = []
        self.scheduler = Scheduler(small(**changes), policy, journal=self._note)
        self.ledger = self.scheduler.ledger
        self.finished: dict[Hashable, Finished] = {}

    def _note(self, name: str, arguments: tuple[object, ...]) -> None:
        self.actions[name] += 1
        self.journal.append(name)

    # ---- calls ---------------------------------------------------------------------------------

    def add(
        self, name: Hashable, prompt: int, most: int = 4, n: int = 1, priority: int = 0
    ) -> Accepted | Rejected:
        request = Request(
            request_id=name, prompt_tokens=prompt, max_tokens=most, n=n, priority=priority
        )
        answer = self.scheduler.add(request)
        audit(self.scheduler)
        return answer

    def abort(self, name: Hashable) -> bool:
        answer = self.scheduler.abort(name)
        audit(self.scheduler)
        return answer

    def schedule(self) -> Plan:
        plan = self.scheduler.schedule()
        audit(self.scheduler)
        return plan

    def complete(self, *plans: Plan) -> None:
        """Completes every swap of these plans."""
        for plan in plans:
            numbers = [o.number for o in plan.operations if o.kind in ("swap_in", "swap_out")]
            assert self.scheduler.complete(numbers) == []
        audit(self.scheduler)

    def fail(self, plan: Plan, kind: str) -> list[Hashable]:
        """Fails every swap of that kind in the plan; returns their requests."""
        numbers = [o.number for o in plan.operations if o.kind == kind]
        failed_requests = self.scheduler.complete([], numbers)
        audit(self.scheduler)
        return failed_requests

    def commit(
        self, plan: Plan, sampled: Mapping[Any, Any] | None = None, stop: Iterable[Any] = ()
    ) -> list[Finished]:
        """Commits one token each, or those in `sampled`; names in `stop` end with this one."""
        if plan.step is None:
            return self.scheduler.commit(plan, [])
        names = [(r.request_id, r.branch) if r.branch else r.request_id for r in plan.sampling]
        given = dict(sampled or {})
        tokens = [given.pop(name, 0) for name in names]
        assert not given, f"not sampled: {given}"
        stopped = [names.index(name) for name in stop]
        finished = self.scheduler.commit(plan, tokens, stopped)
        audit(self.scheduler)
        for one in finished:
            assert one.request_id not in self.finished
            self.finished[one.request_id] = one
        return finished

    def step(self, sampled: Mapping[Any, Any] | None = None, stop: Iterable[Any] = ()) -> Plan:
        """One whole step: completes its copies and commits its tokens."""
        plan = self.schedule()
        self.complete(plan)
        self.commit(plan, sampled, stop)
        return plan

    def until(self, reached: Callable[[Plan], bool], most: int = 100) -> Plan:
        """Makes whole steps up to the first plan that satisfies the condition."""
        for _ in range(most):
            plan = self.step()
            if reached(plan):
                return plan
        raise AssertionError(f"not reached in {most} steps")

    def run(self, most: int = 400) -> dict[Hashable, Finished]:
        """Makes whole steps until no request is live; returns all that finished."""
        for _ in range(most):
            if not self.scheduler.entries:
                return self.finished
            self.step()
        raise AssertionError(f"{list(self.scheduler.entries)} are live after {most} steps")

    # ---- what is --------------------------------------------------------------------------------

    def phase(self, name: Hashable) -> str:
        return self.scheduler.entries[name].record.phase.name

    def phases(self) -> dict[Hashable, str]:
        return {name: self.phase(name) for name in self.scheduler.entries}

    def known(self, name: Hashable) -> list[int]:
        """Tokens of each branch."""
        return [self.ledger.num_tokens(s) for s in self.scheduler.entries[name].record.members]

    def tables(self, name: Hashable) -> list[list[int]]:
        """Block ids of each branch's table."""
        members = self.scheduler.entries[name].record.members
        return [[block.block_id for block in sequence.table] for sequence in members]

    def blocks(self, name: Hashable) -> int:
        """Distinct blocks that the request holds."""
        return self.scheduler.entries[name].record.blocks


def dump(root: object, without: Iterable[str] = ()) -> list[Any]:
    """Every reachable record, with its attributes, as plain data; numbered when first reached.

    Args:
        root: where to start.
        without: names of attributes to omit.
    """
    left_out = frozenset(without)
    numbers: dict[int, int] = {}
    alive: list[object] = []  # so that no id is reused
    described: list[Any] = []

    def plain(value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float | str | bytes):
            return value.value if isinstance(value, Enum) else value
        if isinstance(value, tuple | list | deque):
            return [type(value).__name__, *map(plain, value)]  # pyright: ignore[reportUnknownArgumentType]
        if isinstance(value, Mapping):
            return ["mapping", *[(plain(k), plain(v)) for k, v in value.items()]]  # pyright: ignore
        if callable(value) and not hasattr(value, "__slots__") and not hasattr(value, "rows"):
            return "callable"
        return record(value)

    def record(value: Any) -> str:
        number = numbers.get(id(value))
        if number is None:
            number = numbers[id(value)] = len(numbers)
            alive.append(value)
            names = list(getattr(value, "__dict__", {}))
            for kind in type(value).__mro__:
                names += getattr(kind, "__slots__", ())
            shown = [
                (name, plain(getattr(value, name)))
                for name in sorted(set(names) - left_out)
                if hasattr(value, name)
            ]
            described.append((number, type(value).__name__, shown))
        return f"#{number}"

    record(root)
    return described
