"""lineclear's own scheduler behind the test protocol.

Guarantees: rows and tables come from plans, as an executor would keep them; observations come from
the ledger, so a wrong table in a plan differs from the held one. CPU blocks have the ids after
those of the GPU.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from lineclear.config import PRESETS, Config
from lineclear.plan import Plan
from lineclear.prefix_names import PrefixNames
from lineclear.request import Request
from lineclear.scheduler import Scheduler
from lineclear.testing.protocol import NO_TOKEN, Copy, Execute, Limits, Observation, Row
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import CPU


def small(preset: str, **changed: object) -> Config:
    """A preset with a pool that a few short requests fill."""
    base = PRESETS[preset]
    sizes: dict[str, object] = {
        "num_gpu_blocks": 5,
        "num_cpu_blocks": min(base.num_cpu_blocks, 4),
        "block_size": 2,
        "max_num_seqs": 3,
        "max_num_batched_tokens": 4 if base.enable_chunked_prefill else 12,
        "max_model_len": 64,
    }
    return replace(base, **{**sizes, **changed})  # type: ignore[arg-type]


class LineclearUnderTest:
    """The scheduler with these settings.

    Args:
        config: settings; small ones find more.
    """

    def __init__(self, config: Config) -> None:
        """Starts without requests."""
        self.scheduler = Scheduler(config)
        self.limits = Limits(
            blocks=config.num_gpu_blocks + config.num_cpu_blocks,
            host_blocks=config.num_cpu_blocks,
            block_size=config.block_size,
            max_seqs=config.max_num_seqs,
            max_tokens=config.max_num_batched_tokens,
            chunked=config.enable_chunked_prefill,
            in_flight=config.max_steps_in_flight,
            oversize=True,
        )
        self.offset = config.num_gpu_blocks
        self.shares = config.prefix_caching != "off"
        self.names = PrefixNames(config.block_size, self.scheduler.ledger.cached)
        self.tokens: dict[str, list[int]] = {}
        self.tables: dict[str, list[int]] = {}
        self.positions: dict[str, int] = {}
        self.flights: deque[tuple[Plan, list[int]]] = deque()

    def submit(self, request_id: str, prompt: list[int], max_new: int) -> bool:
        """Adds a request; the scheduler sees only lengths, and names of blocks."""
        request = Request(
            request_id=request_id,
            prompt_tokens=len(prompt),
            max_tokens=max_new,
            prefix_names=self.names.of(prompt) if self.shares else (),
        )
        self.tokens[request_id] = list(prompt)
        return bool(self.scheduler.add(request))

    def abort(self, request_id: str) -> None:
        """Aborts it."""
        self.scheduler.abort(request_id)

    def step(self, execute: Execute) -> list[str]:
        """One plan, executed at once; commits the oldest one when `max_steps_in_flight` are in flight."""
        plan = self.scheduler.schedule()
        if not plan.is_empty:
            self.flights.append((plan, self._execute(plan, execute)))
        if plan.step is not None and len(self.flights) < self.limits.in_flight:
            return []
        ended: list[str] = []
        while self.flights:
            plan, sampled = self.flights.popleft()
            if plan.step is not None:
                dropped = set(self.scheduler.dropped(plan))
                for position, row in enumerate(plan.sampling):
                    if position not in dropped:
                        self.tokens[str(row.request_id)].append(sampled[position])
                for finished in self.scheduler.commit(plan, sampled):
                    ended.append(str(finished.request_id))
                if self.shares:
                    self._name_outputs()
                break
        return ended

    def _name_outputs(self) -> None:
        """Blocks that were filled by output get their names."""
        size = self.limits.block_size
        for name, entry in self.scheduler.entries.items():
            words = entry.first.block_names
            full = self.scheduler.ledger.num_tokens(entry.first) // size
            if len(words) < full:
                tokens = self.tokens[str(name)][len(words) * size : full * size]
                self.scheduler.name_blocks(name, len(words), self.names.of(tokens, words))

    def _execute(self, plan: Plan, execute: Execute) -> list[int]:
        for name, _, place in plan.new_blocks:
            self.tables[str(name)].append(place)
        for name, _, places in plan.tables:
            self.tables[str(name)] = list(places)
        rows: list[Row] = []
        for scheduled in plan.scheduled_seq_groups:
            name = str(scheduled.request_id)
            start = self.positions.get(name, 0) if scheduled.start is None else scheduled.start
            self.positions[name] = start + scheduled.tokens
            table = tuple(self.tables[name])
            rows.append(Row(name, start, scheduled.tokens, table, scheduled.samples))
        tokens = execute(rows, self._copies(plan))
        moved = [o.number for o in plan.operations if o.kind in ("swap_out", "swap_in")]
        self.scheduler.complete(moved)
        return [token for token in tokens if token != NO_TOKEN]

    def _copies(self, plan: Plan) -> list[Copy]:
        copies: list[Copy] = []
        for operation in plan.operations:
            source = self.offset if operation.kind == "swap_in" else 0
            target = self.offset if operation.kind == "swap_out" else 0
            copies += [Copy(a + source, b + target) for a, b in operation.blocks]
        return copies

    def observe(self) -> Observation:
        """The state of the ledger."""
        ledger, entries = self.scheduler.ledger, self.scheduler.entries
        tables = {
            str(name): [
                block.block_id + self.offset * (block.tier == CPU)
                for sequence in entry.record.members
                for block in sequence.table
            ]
            for name, entry in entries.items()
        }
        pools = ((ledger.gpu, 0), (ledger.cpu, self.offset))
        free = [place + more for pool, more in pools for place in pool.order[: pool.free]]
        phases = {str(name): entry.record.phase for name, entry in entries.items()}
        return Observation(
            tables=tables,
            free=free,
            cached={block.block_id: name for name, block in ledger.cached.items()},
            waiting=[name for name, phase in phases.items() if phase is Phase.WAITING],
            running=[n for n, phase in phases.items() if phase in (Phase.RUNNING, Phase.SWAPPED)],
        )
