"""`Room.have` and `Room.want` as they run, on any ledger in which no request runs.

Guarantees: the two methods and the arithmetic of `sequence_demand.sized` are those of the running
scheduler; nothing of them is written a second time. Four methods that they call are replaced: `_kept` and `saved` by
any number, `_available` by the free blocks and any number, `demands_of` by the demand of the only sequence. What
stands around them here (no request runs) is the case that the unit `admission` is about.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from lineclear.scheduling.room import Room
from lineclear.scheduling.sequence_demand import SequenceDemand, sized
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.progress import Need, seats_of
from lineclear_spec.liveness.entering import enters


class EmptyRoom(Room):
    """The room of a step without running requests, before anything is scheduled.

    Args:
        ledger: any, also one whose fields are formulas.
        settings: has watermark_blocks, max_num_seqs and max_num_batched_tokens as `Config`; `resting`, blocks that
            rest; `saved`, blocks that the request need not take, as it shares them; `made`, sequences that it ever
            had; `may_fork_later`, whether it may have others.
    """

    def __init__(self, ledger: Any, settings: Any) -> None:
        """Sets the fields that `Room.have` and `Room.want` read."""
        self.ledger = ledger
        self.config = settings
        self.live: Any = SimpleNamespace(running=(), seats=0)
        self.due = self.reserved = 0
        self.demands: list[SequenceDemand] = []
        self.resting, self.shared = settings.resting, settings.saved
        self.made, self.later = settings.made, settings.may_fork_later

    def _kept(self) -> Any:
        return self.config.watermark_blocks  # any number

    def _available(self) -> Any:
        return self.ledger.gpu.free + self.resting

    def saved(self, leader: Any) -> Any:
        """Any number."""
        return self.shared

    def demands_of(self, entry: Any, drafts: bool = True) -> list[SequenceDemand]:
        """That of its only sequence."""
        return self.demands

    def waits(self, record: Any, only: Any) -> Need:
        """The demand of a waiting request with one sequence.

        Args:
            record: its prompt, limit, parallel and blocks.
            only: its sequence.
        """
        return self.want(self._entry(Phase.WAITING, record, only))

    def returns(self, record: Any, only: Any, asks: Any) -> Need:
        """The demand of a swapped request with one sequence.

        Args:
            record: its prompt, limit, parallel and blocks.
            only: its sequence.
            asks: exist, last, reach and lookahead of `sized`.
        """
        exist, last, reach, lookahead = asks
        entry = self._entry(Phase.SWAPPED, record, only)
        self.demands = [
            sized(self.ledger, only, entry, exist, last, reach, lookahead, 0, 1, False)
        ]
        return self.want(entry)

    def _entry(self, phase: Phase, record: Any, only: Any) -> Any:
        seen = SimpleNamespace(
            phase=phase,
            members=[only],
            prompt=record.prompt,
            limit=record.limit,
            blocks=record.blocks,
        )
        seats = seats_of(record.parallel, 1, self.made, self.later)
        return SimpleNamespace(record=seen, seats=seats)


enters(EmptyRoom, Room.have, Room.want, sized)
