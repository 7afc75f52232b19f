"""A copy of a scheduler's state as plain data, which can be changed freely.

Guarantees: blocks that are free are counted from the tables, never read from a pool; whether a block
is shared is counted from the tables, never read from the block.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from lineclear.oracle.cache import BlockNumbers, OracleCache, Uses, cache_of, cached_names
from lineclear.policies.view import View
from lineclear.request import Output, Request
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import Request as Record
from lineclear_spec.kernel.records import Sequence

if TYPE_CHECKING:
    from lineclear.config import Config
    from lineclear.scheduler import Scheduler
    from lineclear.scheduling.live_request import LiveRequest

#: Request, branch and the names of its first blocks -> names of those behind them.
Asked = Callable[[Hashable, int, tuple[int, ...]], tuple[int, ...]]


def ceil_div(tokens: int, size: int) -> int:
    """Blocks of a size that so many tokens fill or begin."""
    return (tokens + size - 1) // size


@dataclass(eq=False, slots=True)
class OracleSequence:
    """One sequence of a request.

    Attributes:
        sequence: the record that it was read from.
        number: of the branch, as plans name it.
        num_tokens: prompt and generated tokens.
        num_dispatched_tokens: positions that are computed, or that a step in flight computes.
        num_computed_tokens: positions whose step is committed.
        num_allocated_slots: positions that the table has room for.
        scheduled_samples: samples that steps in flight will bring.
        table: names of its blocks, in order.
        in_batch: the scheduler keeps it among those that decode in every step.
        block_names: names of the tokens of its first blocks.
    """

    sequence: Sequence
    number: int
    num_tokens: int
    num_dispatched_tokens: int
    num_computed_tokens: int
    num_allocated_slots: int
    scheduled_samples: int
    table: list[int]
    in_batch: bool
    block_names: tuple[int, ...] = ()


@dataclass(eq=False, slots=True)
class OracleRequest:
    """One live request; sequences are in the order in which the scheduler lists them.

    Attributes:
        record: what it was read from.
        phase: WAITING, RUNNING or SWAPPED.
        open_swap: number of its copy that is open, or 0.
        order: its place among those that wait, smaller first.
        rank: its place among those that run, smaller first.
        bypassed: requests that passed it since it last ran.
        since: steps issued when it began to wait.
        review: the step before which the policy looks at it again, or -1.
        made: branches that it ever had.
        outputs: branches that ended.
        protected: it is sheltered: see `Memory`.
    """

    record: Record
    name: Hashable
    user: Request
    number: int
    n: int
    prompt: int
    limit: int
    phase: Phase
    open_swap: int
    order: tuple[Any, ...]
    rank: tuple[Any, ...]
    bypassed: int
    preemptions: int
    since: int
    started: bool
    review: int
    branches: list[OracleSequence]
    made: int = 1
    outputs: tuple[Output, ...] = ()
    protected: bool = False

    @property
    def copying(self) -> bool:
        """Whether a copy of it is open."""
        return self.open_swap != 0

    @property
    def seats(self) -> int:
        """Seats that it has or needs: all of them, less those of branches that ended for good."""
        if self.user.may_fork_later:
            return self.n
        return max(len(self.branches), self.n - len(self.outputs))

    @property
    def tokens(self) -> int:
        """Known tokens of all its sequences."""
        return sum(branch.num_tokens for branch in self.branches)

    @property
    def num_computed_tokens(self) -> int:
        """Positions of all its sequences whose KV is lost with its blocks."""
        return sum(branch.num_computed_tokens for branch in self.branches)

    @property
    def blocks(self) -> set[int]:
        """The distinct blocks that its tables name."""
        return {name for branch in self.branches for name in branch.table}

    def holders(self, block: int) -> int:
        """How many of its tables name a block."""
        return sum(branch.table.count(block) for branch in self.branches)

    def view(self, steps: int) -> View:
        """The request as the policy's view, after this number of steps."""
        generated = max(0, self.branches[0].num_tokens - self.prompt)
        waiting = None if self.phase == Phase.RUNNING else steps - self.since
        return View(self.user, self.number, generated, self.preemptions, steps, waiting)


@dataclass(eq=False, slots=True)
class OracleState:
    """Everything that a step is decided by.

    Attributes:
        config: settings.
        lives: live requests, in the order of their arrival.
        steps: steps issued.
        fcfs: the policy has failed, so the order is that of arrival.
        cache: blocks that can be found by the names of their tokens.
        names: of blocks that are taken from now on.
        looked: sequences with blocks that may get names, and the first of them (`publishing.py`).
        asked: the names of output, as the scheduler is given them; None if it does not ask.
    """

    config: Config
    lives: list[OracleRequest]
    steps: int
    fcfs: bool
    cache: OracleCache = field(default_factory=OracleCache)
    names: Iterator[int] = field(default_factory=lambda: count(1))
    looked: dict[Sequence, int] = field(default_factory=dict[Sequence, int])
    asked: Asked | None = None

    def of_phase(self, *phases: Phase) -> list[OracleRequest]:
        """Requests in one of the phases."""
        return [live for live in self.lives if live.phase in phases]

    @property
    def running(self) -> list[OracleRequest]:
        """Requests that run, in the order of their ranks."""
        return sorted(self.of_phase(Phase.RUNNING), key=lambda live: live.rank)

    def held(self, *phases: Phase) -> int:
        """Distinct blocks of the requests in these phases."""
        return len(self.named(*phases))

    def named(self, *phases: Phase) -> set[int]:
        """The blocks that tables of the requests in these phases name."""
        return {name for live in self.of_phase(*phases) for name in live.blocks}

    @property
    def gpu_free(self) -> int:
        """GPU blocks that no table names and no reader holds: free, or at rest."""
        return self.config.num_gpu_blocks - len(self.named(Phase.RUNNING) | self.cache.read)

    @property
    def cpu_free(self) -> int:
        """CPU blocks without an owner."""
        return self.config.num_cpu_blocks - self.held(Phase.SWAPPED)

    @property
    def seats_free(self) -> int:
        """Sequences that may run besides those for which requests that run have seats."""
        return self.config.max_num_seqs - sum(live.seats for live in self.of_phase(Phase.RUNNING))

    def take(self, blocks: int) -> list[int]:
        """Names of so many new blocks."""
        return [-next(self.names) for _ in range(blocks)]

    def evict_for(self, blocks: int, keep: Iterable[int] = ()) -> None:
        """Evicts blocks at rest until so many are free: the one that rests longest first."""
        cache = self.cache
        free = self.config.num_gpu_blocks - len({*self.named(Phase.RUNNING), *cache.resting})
        cache.evict(blocks - free - cache.due, keep)

    def found(self, branch: OracleSequence) -> list[int]:
        """The blocks that a sequence without blocks shares: the last token is always computed."""
        return self.cache.found(
            branch.block_names[: (branch.num_tokens - 1) // self.config.block_size]
        )

    def saved(self, branch: OracleSequence) -> int:
        """Those of them that others name, or readers hold: they are not taken out of what there is."""
        return len({*self.found(branch)} & (self.named(Phase.RUNNING) | self.cache.read))

    def shares(self, live: OracleRequest) -> bool:
        """Whether a request names blocks that have names."""
        return not live.blocks.isdisjoint(self.cache.sealed)

    def gain(self, live: OracleRequest) -> int:
        """Blocks that there are more once the request holds none: those that it alone names."""
        others = [other for other in self.of_phase(Phase.RUNNING) if other is not live]
        kept = self.cache.read.union(*[other.blocks for other in others])
        return len(live.blocks - kept)

    def let_go(self, live: OracleRequest, only: OracleSequence | None = None) -> None:
        """The request, or one branch, holds no block any more; those that can be found rest, the end of a table
        first.
        """
        leaving = live.branches if only is None else [only]
        others = [other for other in self.lives if other is not live]
        kept = set[int]().union(*[other.blocks for other in others])
        kept |= {block for b in live.branches if b not in leaving for block in b.table}
        gone: dict[int, None] = {}
        for branch in leaving:
            for block in reversed(branch.table):
                gone.pop(block, None)  # an entry that is left names it
                gone[block] = None
            branch.table = []
        self.cache.rest([block for block in gone if block not in kept])


def observe(
    scheduler: Scheduler, protected: Iterable[Hashable] = (), uses: Uses | None = None
) -> OracleState:
    """The state of a scheduler between two calls.

    Args:
        scheduler: whose.
        protected: requests that are sheltered: see `Memory`.
        uses: what is remembered of blocks that can be found; nothing if None.
    """
    listed = {sequence: k for k, sequence in enumerate(scheduler.batch.explicit)}
    names = BlockNumbers()
    entries = sorted(scheduler.entries.values(), key=lambda entry: entry.number)
    kept = set(protected)
    return OracleState(
        config=scheduler.config,
        lives=[
            live_of(scheduler, entry, listed, entry.request_id in kept, names) for entry in entries
        ],
        steps=scheduler.ledger.steps,
        fcfs=bool(scheduler.policy_failures),
        cache=cache_of(scheduler, names, uses or Uses()),
    )


def live_of(
    scheduler: Scheduler,
    entry: LiveRequest,
    listed: dict[Sequence, int],
    protected: bool,
    names: BlockNumbers,
) -> OracleRequest:
    """One request as it stands.

    Args:
        scheduler: whose.
        entry: the request.
        listed: position of each sequence in the list of those that run.
        protected: whether it displaced another and has kept no token since.
        names: numbers of blocks.
    """
    ledger, record = scheduler.ledger, entry.record
    cached, user = entry.asked, entry.user
    entry.asked = cached  # looking at it leaves nothing behind
    branches: list[OracleSequence] = []
    for sequence in record.members:
        branches.append(
            OracleSequence(
                sequence=sequence,
                number=entry.branch(sequence),
                num_tokens=ledger.num_tokens(sequence),
                num_dispatched_tokens=ledger.num_dispatched_tokens(sequence),
                num_computed_tokens=ledger.num_computed_tokens(sequence),
                num_allocated_slots=ledger.num_allocated_slots(sequence),
                scheduled_samples=ledger.scheduled_samples(sequence),
                table=[names[block] for block in sequence.table],
                in_batch=sequence.in_decode_batch,
                block_names=cached_names(scheduler, sequence),
            )
        )
    return OracleRequest(
        record=record,
        name=entry.request_id,
        user=user,
        number=entry.number,
        n=entry.n,
        prompt=record.prompt,
        limit=record.limit,
        phase=record.phase,
        open_swap=record.open_swap,
        order=entry.order,
        rank=entry.rank,
        bypassed=entry.bypassed,
        preemptions=entry.preemptions,
        since=entry.since,
        started=entry.started,
        review=entry.review,
        branches=branches,
        made=entry.branches_made,
        outputs=tuple(entry.outputs or ()),
        protected=protected,
    )
