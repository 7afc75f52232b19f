"""Prefix caching: which blocks are found, published and evicted.

Invariant: what is found, published or evicted is decided here; a decision that breaks a guard is refused
by the table. Without prefix caching no block is found, published or evicted; `enter` and `finish_each` admit and end
requests all the same.

A block is published once committed steps have computed it and its tokens are known and have names. Names of a
prompt come with the request; those of output are asked for when a sequence frees its blocks or forks, so that
decoding costs nothing more. A block that no table refers to any more rests until it is found again or evicted,
in the order of `eviction.py`; of one table the end rests before the beginning. A block that readers hold by
its name is neither evicted nor unlisted, which the table enforces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, takewhile

from lineclear.config import Config
from lineclear.kv_events import CacheEvent, Cleared, Removed, Stored
from lineclear.scheduling.counters import Counters
from lineclear.scheduling.eviction import EVICTION, EvictionKey, KeyedOrder
from lineclear.scheduling.live_request import LiveRequest
from lineclear.scheduling.receiver import Receiver
from lineclear_spec import actions
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import Block
from lineclear_spec.kernel.records import Request as Record
from lineclear_spec.kernel.records import Sequence as Branch


class PrefixCache:
    """The blocks that can be found under the names of their tokens.

    Args:
        config: settings.
        ledger: the state that the table's actions change.
        counters: of what happened.
        eviction: the key by which blocks at rest are evicted; that of `config.prefix_eviction` if None.

    Attributes:
        enabled: whether blocks are shared at all.
        pending: sequences with blocks to publish, and the first entry that was not looked at yet.
        late: of these, those that got names for blocks which are computed already.
        outputs: whether blocks of output are published too, not of the prompt alone.
        size: tokens of a block.
        ask: called with (request id, branch, names of its first blocks), answers with the names of the full blocks
            behind these (`Scheduler.ask_for_names`); None if output gets no names.
        listener: is called with each change of what can be found, after it.
        held: names of blocks that readers hold, with how many do.
        forgotten: of these, those that a reset has forgotten.
        order: of the blocks at rest, by their keys; None if those that rest longest are evicted first.
        failures: errors of a key, which is not asked again after one.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        counters: Counters,
        eviction: EvictionKey | None = None,
    ) -> None:
        """Nothing is cached."""
        self.enabled = config.prefix_caching != "off"
        self.outputs = config.prefix_caching == "all"
        self.size = config.block_size
        self.ledger = ledger
        self.counters = counters
        self.pending: dict[Branch, int] = {}
        self.late: dict[Branch, None] = {}
        self.ask: Receiver | None = None
        self.listener: Callable[[CacheEvent], object] | None = None
        key = EVICTION[config.prefix_eviction] if eviction is None else eviction
        self.order = None if key is None else KeyedOrder(key)
        self.held: Counter[int] = Counter()
        self.forgotten: set[int] = set()
        self.failures: list[str] = []

    # ---- admission -----------------------------------------------------------------------------

    @property
    def available(self) -> int:
        """Blocks that are free, or rest and can be evicted."""
        ledger = self.ledger
        if not ledger.cached:
            return ledger.gpu.free
        kept = sum([not ledger.cached[name].ref for name in self.held]) if self.held else 0
        return ledger.gpu.free + len(ledger.resting) - kept

    def hits(self, sequence: Branch) -> int:
        """How many blocks of a sequence that holds nothing can be found, from the first on.

        The last known token is always computed, so that the request samples.
        """
        names = sequence.block_names[: (sequence.own_tokens - 1) // self.size]
        found = takewhile(self.ledger.cached.__contains__, names)
        if self.forgotten:
            found = takewhile(lambda name: name not in self.forgotten, found)
        return len(list(found))

    def saved(self, sequence: Branch) -> int:
        """Blocks that the sequence need not take out of those available: found, and named or held by others."""
        cached, held = self.ledger.cached, self.held
        found = [cached[word] for word in sequence.block_names[: self.hits(sequence)]]
        return sum([block.ref > 0 or block.name in held for block in found])

    def computing(self, sequence: Branch) -> Iterator[Branch]:
        """Running sequences that will compute and publish the first block that a waiting sequence would not find.

        Waiting for one of them ends: a step that admits requests gives each running prompt its share of tokens first,
        so each of them advances in every such step.

        Args:
            sequence: the one that waits.
        """
        size, index = self.size, self.hits(sequence)
        word = sequence.block_names[index : index + 1]
        end = (index + 1) * size
        if not word or end >= sequence.own_tokens:
            return
        for other in self.pending:
            request = other.request
            if (
                other.block_names[index : index + 1] == word
                and request.phase == Phase.RUNNING
                and self.ledger.num_computed_tokens(other) < end
                and (self.outputs or end <= request.prompt)
            ):
                yield other

    def enter(self, record: Record, *, count: bool) -> None:
        """A waiting request is admitted with the blocks that can be found; others at rest are evicted for the ones
        it lacks.

        Args:
            record: the request.
            count: whether its tokens count for the hit rate: those of a first admission do.
        """
        ledger, leader = self.ledger, record.members[0]
        blocks = ledger.need(leader.own_tokens)
        hits = self.hits(leader)
        if hits:
            keep = {ledger.cached[word] for word in leader.block_names[:hits]}
            self.free_up(blocks - hits, keep)
            if self.order is not None:
                self.order.wake(leader.block_names[:hits])
            actions.admit_cached(ledger, record, hits * self.size)
        else:
            self.free_up(blocks)
            actions.admit(ledger, record)
        if count:
            self.counters.prefix_queries += leader.own_tokens
            self.counters.prefix_hits += hits * self.size
        self.watch(leader, hits)
        for branch in record.members[1:]:
            self.watch(branch, 0)

    # ---- room ----------------------------------------------------------------------------------

    def free_up(self, count: int, keep: set[Block] | frozenset[Block] = frozenset()) -> None:
        """Evicts until `count` block ids are free, or no block is left to evict: those in `keep`, and those that a
        reader holds, stay.
        """
        ledger = self.ledger
        lacking = count - ledger.gpu.free
        if lacking <= 0 or not ledger.resting:
            return
        names = tuple(self._chosen(lacking, keep))
        for name in names:
            actions.evict(ledger, name)
        self._forgot(names)
        self.counters.evicted += len(names)
        if names and self.listener is not None:
            self.listener(Removed(names))

    def _chosen(self, count: int, keep: set[Block] | frozenset[Block]) -> Iterable[int]:
        """Names of the blocks to evict: they rest, are not to be kept, and no reader holds them."""
        held, cached, resting = self.held, self.ledger.cached, self.ledger.resting
        if self.order is not None:
            try:
                return self.order.take(
                    count,
                    self.ledger.resting,
                    self.ledger.finds,
                    lambda name: name in held or cached[name] in keep,
                )
            except Exception as error:  # it is not ours, and the step must go on
                self.failures.append(f"{type(error).__name__}: {error}")
                self.order = None
        found = (block.name for block in resting if block not in keep and block.name not in held)
        return islice(found, count)

    def _forgot(self, names: Iterable[int]) -> None:
        """No block can be found under these any more."""
        if self.order is not None:
            self.order.forget(names)

    def sealed_of(self, record: Record) -> Counter[Block]:
        """The sealed blocks that a request's tables name, each with how often."""
        if not self.enabled:
            return Counter()
        tables = [sequence.table for sequence in record.members]
        return Counter([block for table in tables for block in table if block.name])

    def referred_to(self, record: Record) -> int:
        """Distinct blocks that a request's tables name, its own and sealed ones."""
        return record.blocks + len(self.sealed_of(record))

    def gain(self, record: Record) -> int:
        """How many more blocks become available if a running request frees what it holds and names."""
        sealed, held = self.sealed_of(record), self.held
        rests = [block.ref == n and block.name not in held for block, n in sealed.items()]
        return record.blocks + sum(rests)

    def shares(self, record: Record) -> bool:
        """Whether a request's tables name sealed blocks. Swapped out it would keep them on the GPU."""
        return bool(self.sealed_of(record))

    def reset(self) -> int:
        """Forgets every block, and returns how many could be found; running requests and readers keep theirs."""
        names = [name for name in self.ledger.cached if name not in self.forgotten]
        for name in names:
            if name in self.held:
                self.forgotten.add(name)  # until the last reader lets it go
            else:
                self._forget(name)
        if names and self.listener is not None:
            self.listener(Cleared())
        return len(names)

    def _forget(self, name: int) -> None:
        """The block can be found no more, and is free if no table names it."""
        if self.ledger.cached[name].ref:
            actions.unlist(self.ledger, name)
        else:
            actions.evict(self.ledger, name)
        self._forgot([name])

    # ---- readers -------------------------------------------------------------------------------

    def hold(self, name: int) -> int | None:
        """A reader holds the block that is found under the name; its block id, None if none is found."""
        block = self.ledger.cached.get(name)
        if block is None or name in self.forgotten:
            return None
        actions.hold_block(self.ledger, name)
        self.held[name] += 1
        return block.block_id

    def let_go(self, name: int) -> None:
        """A reader holds the block no longer."""
        actions.release_block(self.ledger, name)
        self.held[name] -= 1
        if not self.held[name]:
            del self.held[name]
            if name in self.forgotten:
                self.forgotten.remove(name)
                self._forget(name)

    # ---- publishing ----------------------------------------------------------------------------

    def watch(self, sequence: Branch, first: int) -> None:
        """Blocks of the sequence are published as they are computed, from this entry on."""
        if self.enabled and first < len(sequence.block_names):
            self.pending[sequence] = first

    def extend(self, sequence: Branch, names: Sequence[int]) -> None:
        """Gives names to the next blocks of the sequence."""
        known = len(sequence.block_names)
        self.ledger.name_blocks(sequence, names)
        self._watch_late(sequence, known)

    def _watch_late(self, sequence: Branch, known: int) -> None:
        """The sequence has got names for entries from this one on."""
        if sequence.request.phase == Phase.RUNNING:
            first = self.pending.setdefault(sequence, known)
            if self.ledger.num_computed_tokens(sequence) >= (first + 1) * self.size:
                self.late[sequence] = None

    def publish_late(self) -> None:
        """Publishes what was computed before it had a name."""
        for sequence in self.late:
            self.publish_of(sequence)
        self.late.clear()

    def publish(self) -> None:
        """Publishes what committed steps have computed of the sequences that are watched."""
        for sequence in tuple(self.pending):
            self.publish_of(sequence)

    def publish_of(self, sequence: Branch) -> None:
        """Publishes what committed steps have computed of one sequence."""
        ledger = self.ledger
        first = self.pending.get(sequence)
        if first is None:
            return
        request = sequence.request
        if not sequence.alive or request.phase != Phase.RUNNING:
            del self.pending[sequence]  # it is watched again when it is admitted
            return
        if request.open_swap:
            return
        certain = (
            min(ledger.num_computed_tokens(sequence), ledger.num_tokens(sequence)) // self.size
        )
        words = sequence.block_names
        if not self.outputs:
            words = words[: request.prompt // self.size]
        last = min(certain, len(words))
        self._publish(sequence, first, last)
        if last >= len(words):
            del self.pending[sequence]
        elif last > first:
            self.pending[sequence] = last

    def _publish(self, sequence: Branch, first: int, end: int) -> None:
        """Publishes those blocks of some entries whose names lead to none yet."""
        ledger = self.ledger
        new = ledger.unnamed(sequence, first, end) if self.listener or end <= first + 1 else None
        if end > first + 1:
            actions.publish_run(ledger, sequence, first, end)
        elif new:
            actions.publish(ledger, sequence, first)
        if new and self.listener is not None:
            words = sequence.block_names
            published = [index for index in range(first, end) if words[index] in new]
            self._tell_stored(self.listener, words, published)

    def publish_output(self, entry: LiveRequest, members: Iterable[Branch]) -> None:
        """Asks for the names of output that these sequences are about to give up or to share, and publishes what
        committed steps have computed of it: of the last entries of a table, as many as the request has private blocks.
        """
        ledger, ask, size = self.ledger, self.ask, self.size
        record = entry.record
        if not self.enabled or record.phase != Phase.RUNNING or record.open_swap:
            return
        for sequence in members:
            words = sequence.block_names
            certain = (
                min(ledger.num_computed_tokens(sequence), ledger.num_tokens(sequence)) // size
            )
            if ask is not None and certain > len(words):
                names = ask(entry.request_id, entry.branch(sequence), words)
                if names:
                    ledger.name_blocks(sequence, names)
                    self.pending[sequence] = certain
            first = max(0, len(sequence.table) - record.blocks)
            end = certain if self.outputs else min(certain, record.prompt // size)
            if first < end and ledger.unnamed(sequence, first, end):
                self._publish(sequence, first, min(end, len(sequence.block_names)))

    def keeps_output(self, ended: Iterable[Branch]) -> bool:
        """Whether one of the sequences has names for blocks of output that must not be published (`prefix_caching` is
        "prompt"): `actions.finish_each` would publish them.
        """
        size = self.size
        return not self.outputs and any(
            len(q.block_names) > q.request.prompt // size for q in ended
        )

    def finish_each(self, ended: dict[Branch, LiveRequest]) -> None:
        """Asks for the names of output of the sequences that `actions.finish_each` ends, and ends them: it publishes
        what they have computed.
        """
        ledger, ask, size = self.ledger, self.ask, self.size
        if ask is not None:
            lacking = [q for q in ended if (q.request.limit - 1) // size > len(q.block_names)]
            asked = ((ended[q].request_id, ended[q].branch(q), q.block_names) for q in lacking)
            for sequence, names in zip(lacking, ask.each(asked), strict=False):
                if names:
                    ledger.name_blocks(sequence, names)
        if self.listener is None or not self.enabled:
            actions.finish_each(ledger)
            return
        lacks: dict[int, None] = {}  # each name once
        runs: list[tuple[Branch, list[int]]] = []
        for sequence in ended:
            words = sequence.block_names
            new = [k for k, w in enumerate(words) if w not in ledger.cached and w not in lacks]
            lacks.update(dict.fromkeys([words[k] for k in new]))
            runs.append((sequence, new))
        actions.finish_each(ledger)
        for sequence, new in runs:
            published = [k for k in new if sequence.block_names[k] in ledger.cached]
            self._tell_stored(self.listener, sequence.block_names, published)

    @staticmethod
    def _tell_stored(
        listener: Callable[[CacheEvent], object], words: Sequence[int], published: list[int]
    ) -> None:
        """One event for each run of entries that were published."""
        begin = 0
        for k in range(1, len(published) + 1):
            if k == len(published) or published[k] != published[k - 1] + 1:
                first, last = published[begin], published[k - 1]
                parent = words[first - 1] if first else 0
                listener(Stored(tuple(words[first : last + 1]), parent))
                begin = k
