"""The steps of vLLM V0 (0.6.3) and of nano-vllm: their decisions, on the proved table.

Invariant: the order of phases, the tests for room, the victims and the queues are those of the systems named, step by
step. Nothing unsafe can come of them, because every change is an action of the table; what the systems lack is
progress, and so do these: `Config.lacking` names the rules that are off.

Sources: vLLM 0.6.3.post1, `core/scheduler.py` and `core/block_manager.py`; nano-vllm,
`engine/scheduler.py` and `engine/block_manager.py`.
"""

from __future__ import annotations

from lineclear.scheduling.live_request import LiveRequest
from lineclear.scheduling.sequence_demand import SequenceDemand
from lineclear.scheduling.step import Step, StepParts
from lineclear_spec.kernel.lifecycle import Phase


class V0Step(Step):
    """vLLM V0, default mode: a step is either prompts only or decodes only.

    Running requests stand in the order in which they began to run, swapped ones in the order in
    which they were swapped out.
    """

    worst_case = True  # every sequence is taken to need a block
    margin = True  # admission leaves the watermark free, even if nothing runs
    decodes_every_step = False  # a step may leave out a sequence that runs

    def __init__(self, parts: StepParts) -> None:
        super().__init__(parts)
        self.preempted_now: list[LiveRequest] = []  # in this step

    def build(self) -> None:
        """Prompts, if nothing is swapped out; else, or if there was none, decodes and swap-ins."""
        if not self.ledger.swapped:
            self._prompts()
        if not self.prefills:
            self._decodes()
            if not self.preempted:
                self._swapped()

    # ---- prompts -------------------------------------------------------------------------------

    def _prompts(self) -> None:
        """The head of the queue, until one does not fit."""
        live, ledger, config = self.live, self.ledger, self.config
        while (entry := live.waiting.head()) is not None:
            if entry.record.phase == Phase.SWAPPED:
                return
            tokens = self._first_chunk(entry.record.members[0].own_tokens)
            need = self.room.want(entry).blocks
            kept = config.watermark_blocks if self.margin else 0
            if (
                not tokens
                or ledger.gpu.free - need < kept
                or live.seats + entry.seats > config.max_num_seqs
            ):
                return
            self._begin(entry)
            self.transitions.enter(entry)
            for demand in self.room.demands_of(entry):
                self._compute(demand, min(demand.tokens, tokens))

    def _first_chunk(self, tokens: int) -> int:
        """How many of a prompt's tokens are computed at once: all or none."""
        return tokens if tokens <= self.room.left else 0

    def _begin(self, entry: LiveRequest) -> None:
        """It will stand behind every request that runs."""
        entry.order = (0, entry.number)  # where it stood when it arrived, should it wait again
        orders = self.live.running.orders
        entry.rank = (orders[-1][0] + 1 if orders else 0,)

    # ---- those that run ------------------------------------------------------------------------

    def _decodes(self) -> None:
        """Each in its place grows by a token; one without room preempts the last, or itself."""
        running, ledger = self.live.running, self.ledger
        done: set[LiveRequest] = set()
        for rank in tuple(running.orders):
            entry = running.entries.get(rank)
            if entry is None:
                continue  # preempted meanwhile
            demands = self._fitting(self.room.demands_of(entry))
            if demands is None:
                return  # out of tokens; the rest waits for the next step
            while entry is not None and self._touched(demands) > ledger.gpu.free:
                victim = running.entries[running.orders[-1]]
                if victim in done:
                    victim = entry
                self._give_way(victim)
                if victim is entry:
                    entry = None
            if entry is None:
                return
            done.add(entry)
            for demand in demands:
                self._compute(demand, min(demand.tokens, self.room.left))

    def _fitting(self, demands: list[SequenceDemand]) -> list[SequenceDemand] | None:
        """The demands that the step has tokens for; None if it has none left."""
        return demands

    def _touched(self, demands: list[SequenceDemand]) -> int:
        """Blocks that they are taken to need."""
        if self.worst_case:
            return len(demands)
        return sum([demand.blocks for demand in demands])

    def _give_way(self, victim: LiveRequest) -> None:
        """It is preempted, and stands last among those that are swapped out if it is swapped."""
        waiting, transitions = self.live.waiting, self.transitions
        self.preempted = True
        self.preempted_now.append(victim)
        transitions.preempt(victim)
        if victim.record.phase == Phase.SWAPPED:
            waiting.leave(victim)
            victim.order = (transitions.counters.preemptions["swap"],)  # swap-outs so far
            waiting.push(victim)

    # ---- those that are swapped out ------------------------------------------------------------

    def _swapped(self) -> None:
        """The head of those that are swapped out, until one does not fit."""
        live, ledger, config = self.live, self.ledger, self.config
        size = config.block_size
        while (entry := live.waiting.head()) is not None:
            record = entry.record
            if record.phase != Phase.SWAPPED or record.open_swap:
                return
            demands = self.room.demands_of(entry)
            full = sum([member.own_slots // size for member in record.members])
            need = max(
                full + len(demands), record.blocks + sum([demand.blocks for demand in demands])
            )
            tokens = sum([demand.tokens for demand in demands])
            if (
                ledger.gpu.free - need < config.watermark_blocks
                or tokens > self.room.left
                or live.seats + entry.seats > config.max_num_seqs
            ):
                return
            self._begin(entry)
            self.transitions.enter(entry)
            for demand in self.room.demands_of(entry):
                self._compute(demand, demand.tokens)


class V0ChunkedStep(V0Step):
    """vLLM V0 with chunked prefill: those that run, those that are swapped out, then prompts."""

    def build(self) -> None:
        """Prompts are admitted even in a step that preempted, and even if a request is swapped out."""
        self._decodes()
        if not self.preempted:
            self._swapped()
        self._prompts()

    def _prompts(self) -> None:
        """Waiting requests do not stand behind those that are swapped out or were just preempted."""
        queue = self.live.waiting
        aside: list[LiveRequest] = []
        while (entry := queue.head()) is not None and (
            entry.record.phase == Phase.SWAPPED or entry in self.preempted_now
        ):
            aside.append(queue.pop())
        super()._prompts()
        for entry in aside:
            queue.push(entry)

    def _first_chunk(self, tokens: int) -> int:
        """As many as the step has left."""
        return min(tokens, self.room.left)

    def _fitting(self, demands: list[SequenceDemand]) -> list[SequenceDemand] | None:
        """One sequence may take what is left; several take their tokens whatever is left."""
        if demands and self.room.left <= 0:
            return None
        return demands


class NanoStep(V0Step):
    """nano-vllm: as V0 by default, with the exact need for blocks, no watermark and no swap."""

    worst_case = False
    margin = False
