"""Why a scheduler under test makes no progress: the operators' report, from observations.

Guarantees: the numbers are those of the observation and of the checker's state;
`lineclear.conform.why` alone interprets them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lineclear.conform.why import RequestState, Snapshot, lines, why
from lineclear.testing.protocol import Limits, Observation

if TYPE_CHECKING:
    from lineclear.conform import Checker


def snapshot_of(seen: Observation, limits: Limits, checker: Checker) -> Snapshot:
    """The scheduler at this moment."""
    state = checker.state
    device = limits.device_ids
    named = Counter(b for table in seen.tables.values() for b in table)
    waiting = {name: place for place, name in enumerate(seen.waiting or ())}
    requests: list[RequestState] = []
    for name, live in state.live.items():
        table = seen.tables.get(str(name), ())
        here = [block for block in table if block in device]
        sequence = live.sequences[0]
        queues = None if seen.waiting is None else (*seen.waiting, *(seen.running or ()))
        requests.append(
            RequestState(
                request_id=name,
                phase="waiting" if name in waiting or not table else "running",
                num_tokens=sequence.num_tokens,
                num_computed_tokens=sequence.frontier,
                blocks=len(here),
                alone=sum(named[block] == 1 for block in here),
                limit=live.limit,
                elsewhere=len(table) - len(here),
                place=(waiting.get(str(name), -1),),
                queued=queues is None or name in queues,
                still=state.dry,
            )
        )
    return Snapshot(
        blocks=limits.device_blocks,
        block_size=limits.block_size,
        free=sum(block in device for block in seen.free),
        cached=sum(block not in named for block in seen.cached),
        requests=tuple(requests),
        max_seqs=limits.max_seqs,
        max_tokens=limits.max_tokens,
        whole_prompts=not limits.chunked,
        in_flight=len(state.flights),
        ordered=limits.order is not None,
        idle=state.idle,
        dry=state.dry,
        held=sum(block in device for block in named),
    )


def stuck(seen: Observation, limits: Limits, checker: Checker) -> list[str]:
    """The guard that blocks each request, line by line."""
    return lines(why(snapshot_of(seen, limits, checker)))
