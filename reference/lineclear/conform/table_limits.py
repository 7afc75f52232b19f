"""The limits of the ledger that replays a log, and what the proved table lacks.

Guarantees: an engine that the table cannot express is rejected as a whole, with the reason.
"""

from __future__ import annotations

from lineclear.conform.header import Header
from lineclear_spec.kernel.records import Limits

__all__ = ["TableError", "limits_of"]


#: What a log may omit and still be replayed.
SPARE = ("keys", "check", "free_ids", "reject", "idle")


class TableError(Exception):
    """The log uses a feature that the table lacks; the message names it."""


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
