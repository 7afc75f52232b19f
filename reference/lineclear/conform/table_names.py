"""The ledger that replays a log through the proved table: its limits, which blocks it takes, and its names of cached
blocks.

Guarantees: an engine that the table cannot express is rejected as a whole, with the reason. Equal keys of a log are one
name and different keys are two; a block that the log publishes without a key gets a name of its own. What the log
does not name has a name that is never published, so it is never found.
"""

from __future__ import annotations

from collections.abc import Hashable
from collections.abc import Sequence as Ordered

from lineclear.conform.header import Header
from lineclear_spec import actions
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.records import Limits, Pool, Sequence

#: What a log may omit and still be replayed.
SPARE = ("keys", "check", "free_ids", "reject", "idle")


class TableError(Exception):
    """The log uses a feature that the table lacks; the message names it."""


class Differs(Exception):
    """An event is not an action of the table, or leads to another state."""


def limits_of(header: Header) -> Limits:
    """The ledger's limits for this engine.

    Raises:
        TableError: the table does not support such an engine.
    """
    lacks = [word for word in header.omits if word not in SPARE]
    if lacks:
        raise TableError(
            f"the log omits {', '.join(lacks)}, which a replay needs: use --level rules"
        )
    others = [name for name in header.pools if name != "cpu"]
    if others or header.groups or header.first_id or header.max_steps_in_flight > 2:
        raise TableError(
            "the table supports one group of layers, the pools gpu and cpu, ids from 0 and max_steps_in_flight of 1 "
            "or 2: use --level rules"
        )
    cpu = header.pools["cpu"].blocks if "cpu" in header.pools else 0
    return Limits(
        block_size=header.block_size,
        gpu_blocks=header.blocks,
        cpu_blocks=cpu,
        max_num_batched_tokens=header.max_tokens or 1 << 30,
        max_num_seqs=header.max_seqs or 1 << 30,
        max_steps_in_flight=header.max_steps_in_flight,
    )


def steer(pool: Pool, block_ids: list[int]) -> None:
    """Makes the pool allocate these blocks next: the engine chooses among free blocks."""
    if len(block_ids) > pool.free:
        raise Differs(
            f"{len(block_ids)} blocks of {pool.name} are allocated, {pool.free} are free"
        )
    for k, block_id in enumerate(block_ids):
        to = pool.free - 1 - k
        try:
            at = pool.order.index(block_id, 0, to + 1)
        except ValueError:
            raise Differs(f"block {block_id} of {pool.name} is allocated but not free") from None
        pool.order[to], pool.order[at] = block_id, pool.order[to]


class TableNames:
    """The names that the ledger knows.

    Args:
        ledger: the state of the table.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.names: dict[Hashable, int] = {}
        self.made = 0
        self.used: set[int] = set()  # names that the log has used
        self.listed: dict[int, int] = {}  # block id -> the name under which it is found

    def fresh(self) -> int:
        """A name that stands for nothing else."""
        self.made += 1
        return self.made

    def of(self, key: Hashable) -> int:
        """The name of a key; a new one if the log has no key."""
        name = self.names.get(key) or self.fresh()
        if key is not None:
            self.names[key] = name
        self.used.add(name)
        return name

    def give(self, sequence: Sequence, index: int, name: int) -> None:
        """The sequence's block at this entry has this name; those before it may have any."""
        words = list(sequence.block_names)
        words += [self.fresh() for _ in range(index + 1 - len(words))]
        if words[index] in self.used and words[index] != name:
            raise Differs(
                f"entry {index} of its table has another content than the one it was published "
                "or found under before"
            )
        words[index] = name
        sequence.block_names = tuple(words)

    def find(self, sequence: Sequence, block_ids: Ordered[int]) -> int:
        """Names a waiting sequence's first blocks as they are listed; returns the tokens of these."""
        for index, block_id in enumerate(block_ids):
            name = self.listed.get(block_id)
            if name is None:
                raise Differs(f"block {block_id} is found, but it is not published")
            self.give(sequence, index, name)
        return len(block_ids) * self.ledger.limits.block_size

    def publish(self, sequence: Sequence, index: int, key: Hashable) -> None:
        """The block at this entry can be found from now on."""
        name = self.of(key)
        if self.ledger.is_listed(name):
            raise Differs(f"the content {key!r} is published already, by another block")
        self.give(sequence, index, name)
        actions.publish(self.ledger, sequence, index)
        self.listed[sequence.table[index].block_id] = name

    def withdraw(self, block_id: int) -> None:
        """The block can be found no more."""
        name = self.listed.pop(block_id, None)
        if name is None:
            raise Differs(f"block {block_id} is evicted, but it is not published")
        rests = self.ledger.listing(name).ref == 0
        (actions.evict if rests else actions.unlist)(self.ledger, name)
