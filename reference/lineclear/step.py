"""One step, built: growth, preemption, decodes, prefills, admission.

Guarantees: the order of DESIGN's default step, and that the ledger refuses nothing of it. It knows nothing about
results. Every change is an action of the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lineclear.entry import Entry
from lineclear.plan import Scheduled
from lineclear.preemption import Need, choose
from lineclear_spec import actions
from lineclear_spec.ledger import Block, Sequence
from lineclear_spec.lifecycle import Phase

if TYPE_CHECKING:
    from lineclear.scheduler import Scheduler

__all__ = ["Job", "Step"]


@dataclass(slots=True)
class Job:
    """What a sequence that is not steady wants of the step."""

    sequence: Sequence
    entry: Entry
    tokens: int  # positions it could compute
    drafts: int
    slots: int  # positions its table must have room for
    blocks: int  # free blocks that this takes
    copy: bool  # its next block is shared and must be copied first
    shared: int  # positions of the prompt it takes part in again, after a recompute
    decode: bool


class Step:
    """The step that `Scheduler.schedule` builds."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.ledger = scheduler.ledger
        self.config = scheduler.config
        self.rows: list[Scheduled] = []
        self.sampling: list[Scheduled] = []
        self.sampling_sequences: list[Sequence] = []
        self.preempted_for_growth = False
        self.due = 0  # blocks that issue_step will take

    # ---- what is wanted ----------------------------------------------------------------------------------------

    def job(self, sequence: Sequence, entry: Entry) -> Job | None:
        """What the sequence can do in this step, or None."""
        ledger = self.ledger
        limit = entry.record.limit
        promised = sequence.promised_samples
        lookahead = self.config.num_lookahead_slots if entry.user.n == 1 else 0
        if promised and (lookahead or entry.user.n > 1):
            return None  # where it goes on, or as how many, is not known before the commit
        reach = sequence.reach_tokens
        exist = sequence.known_tokens + promised
        shared = 0
        if sequence.slot_tokens == 0 and entry.record.members[0] is not sequence:
            shared = entry.record.prompt // self.config.block_size * self.config.block_size
            if ledger.computed(entry.record.members[0]) < shared:
                return None  # its leader computes the prompt first
            reach = max(reach, shared)
        if reach >= exist or reach >= limit - 1:
            return None
        decode = exist - reach == 1
        tokens = exist - reach
        drafts = 0
        if decode:
            drafts = min(lookahead, limit - 1 - reach - 1)
            tokens += drafts
        slots = max(sequence.slot_tokens, min(reach + tokens, limit - 1))
        tokens = min(tokens, limit - 1 - reach)
        copy = not shared and not ledger.writable(sequence)
        held = sequence.length + shared // self.config.block_size
        blocks = max(0, ledger.need(slots) - held) + copy
        return Job(sequence, entry, tokens, drafts, slots, blocks, copy, shared, decode)

    def jobs(self) -> list[Job]:
        """Jobs of every running sequence that is not steady, in policy order."""
        scheduler = self.scheduler
        if not scheduler.explicit:
            return []
        found: list[Job] = []
        for sequence in scheduler.explicit:
            job = self.job(sequence, scheduler.of[sequence.request])
            if job is not None:
                found.append(job)
        found.sort(key=lambda job: job.entry.order)
        self.spare_last_holders(found)
        return found

    def jobs_of(self, entry: Entry) -> list[Job]:
        """Jobs of one request's sequences."""
        found = [job for s in entry.record.members if (job := self.job(s, entry)) is not None]
        self.spare_last_holders(found)
        return found

    def spare_last_holders(self, jobs: list[Job]) -> None:
        """Where every sequence that names a shared block is about to copy it, the last one writes in place."""
        writers: dict[Block, list[Job]] = {}
        for job in jobs:
            if job.copy:
                block = job.sequence.table[self.ledger.block_of(job.sequence.reach_tokens)]
                writers.setdefault(block, []).append(job)
        for block, found in writers.items():
            if len(found) == block.ref:
                found[-1].copy = False
                found[-1].blocks -= 1

    # ---- growth ------------------------------------------------------------------------------------------------

    def make_room(self, jobs: list[Job]) -> list[Job]:
        """Preempts until every running sequence that is left can grow; the jobs that are left."""
        scheduler, ledger = self.scheduler, self.ledger
        due = ledger.due()
        if due.count + sum(job.blocks for job in jobs) <= ledger.gpu.free:
            self.due = due.count
            return jobs
        self.preempted_for_growth = True
        wants: dict[Entry, int] = {}
        for job in jobs:
            wants[job.entry] = wants.get(job.entry, 0) + job.blocks
        for sequence in due.records:
            entry = scheduler.of[sequence.request]
            wants[entry] = wants.get(entry, 0) + 1
        passed = 0
        for entry in sorted(wants, key=lambda e: e.order):
            if entry not in wants:
                continue  # preempted meanwhile
            while passed + wants[entry] > ledger.gpu.free:
                victim = self.victim_after(entry)
                if victim is None:
                    victim = entry
                scheduler.preempt(victim)
                wants.pop(victim, None)
                if victim is entry:
                    break
            else:
                passed += wants[entry]
        self.due = ledger.due().count
        return [job for job in jobs if job.entry in wants]

    def victim_after(self, entry: Entry) -> Entry | None:
        """The victim among the running requests strictly behind the entry."""
        if self.config.victim == "last":
            return self.scheduler.running.last_after(entry)
        victims = choose(
            self.scheduler.running.after(entry),
            lambda _: Need(blocks=1),
            Need(),
            Need(blocks=1),
            self.config.victim,
        )
        return victims[0] if victims else None

    # ---- tokens ------------------------------------------------------------------------------------------------

    @property
    def tokens_left(self) -> int:
        """Tokens that the step may still compute."""
        ledger = self.ledger
        return self.config.max_num_batched_tokens - ledger.step_tokens - ledger.batch_size

    def compute(self, job: Job, tokens: int) -> None:
        """Schedules the next positions of the job's sequence."""
        ledger, sequence = self.ledger, job.sequence
        if job.shared:
            actions.rejoin(ledger, sequence, job.shared)
            self.scheduler.replaced[sequence] = None
        if job.copy:
            actions.copy_on_write(ledger, sequence)
            self.scheduler.replaced[sequence] = None
        if job.slots > sequence.slot_tokens:
            actions.append_slots(ledger, sequence, job.slots - sequence.slot_tokens)
        if not tokens:
            return
        drafts = max(0, tokens - (job.tokens - job.drafts))
        promised = sequence.promised_samples
        start = sequence.reach_tokens
        actions.schedule_tokens(ledger, sequence, tokens, drafts)
        samples = sequence.promised_samples > promised
        branch = job.entry.branches[sequence]
        row = Scheduled(
            job.entry.user.request_id, branch, tokens, drafts, start, samples, not job.decode
        )
        self.rows.append(row)
        if samples:
            self.sampling.append(row)
            self.sampling_sequences.append(sequence)

    def run(self, jobs: list[Job]) -> None:
        """Decodes first, then unfinished prefills share what is left, each in policy order."""
        for job in jobs:
            if job.decode:
                self.compute(job, job.tokens)
        blocked = False
        for job in jobs:
            if not job.decode:
                tokens = 0 if blocked else self.chunk(job.tokens)
                blocked = blocked or tokens < job.tokens
                self.compute(job, tokens)

    def chunk(self, tokens: int) -> int:
        """How many of so many tokens this step takes: all, a part, or none."""
        left = self.tokens_left
        if tokens <= left:
            return tokens
        return max(0, left) if self.config.enable_chunked_prefill else 0

    # ---- admission ---------------------------------------------------------------------------------------------

    def want(self, entry: Entry) -> Need:
        """What the entry needs to run in this step."""
        ledger, record, size = self.ledger, entry.record, self.config.block_size
        if record.phase == Phase.SWAPPED:
            jobs = self.jobs_of(entry)
            growth = sum(job.blocks for job in jobs)
            tokens = sum(job.tokens if job.decode else 1 for job in jobs)
            return Need(record.blocks + growth, entry.user.n, max(1, tokens))
        leader = record.members[0]
        full = record.prompt // size
        blocks = ledger.need(leader.known_tokens) + sum(
            ledger.need(s.known_tokens) - full for s in record.members[1:]
        )
        tokens = 1 if self.config.enable_chunked_prefill else leader.known_tokens
        return Need(blocks, entry.user.n, tokens)

    def have(self) -> Need:
        """What is there for admission: the watermark is kept only while something runs."""
        scheduler = self.scheduler
        watermark = self.config.watermark_blocks if len(scheduler.running) else 0
        return Need(
            self.ledger.gpu.free - self.due - watermark,
            self.config.max_num_seqs - scheduler.seats,
            self.tokens_left,
        )

    def admit_all(self) -> None:
        """From the head of the one queue, as long as there is room; at most `bypass` pass one that does not fit."""
        scheduler = self.scheduler
        queue = scheduler.queue
        passed: list[Entry] = []
        while (entry := queue.head()) is not None:
            if entry.record.copy or not self.have().covers(self.want(entry)):
                if any(e.bypassed >= self.config.bypass for e in (*passed, entry)):
                    break
                queue.pop()
                passed.append(entry)
                continue
            for other in passed:
                other.bypassed += 1
            self.enter(entry)
        for entry in passed:
            queue.push(entry)

    def enter(self, entry: Entry) -> None:
        """The head of the queue runs, and computes what the step has tokens for."""
        scheduler, ledger, record = self.scheduler, self.ledger, entry.record
        scheduler.queue.leave(entry)
        if record.phase == Phase.SWAPPED:
            actions.swap_in(ledger, record)
        else:
            actions.admit(ledger, record)
        scheduler.start(entry)
        for job in self.jobs_of(entry):
            self.compute(job, self.chunk(job.tokens))

    # ---- displacement ------------------------------------------------------------------------------------------

    def displace(self, jobs: list[Job]) -> list[Job]:
        """A more important waiting head may displace running requests, and then is admitted alone, in this step."""
        scheduler = self.scheduler
        head = scheduler.queue.head()
        if head is None or head.record.copy or not len(scheduler.running):
            return jobs
        candidates = [e for e in scheduler.running.after(head) if scheduler.may_displace(head, e)]
        if not candidates:
            return jobs
        uses: dict[Entry, Need] = {}
        for job in jobs:
            tokens = job.tokens if job.decode else self.chunk(job.tokens)
            uses[job.entry] = uses.get(job.entry, Need()) + Need(job.blocks, 0, tokens)
        planned = sum((need for need in uses.values()), Need())
        have = self.have()
        have = Need(have.blocks - planned.blocks, have.seats, have.tokens - planned.tokens)
        want = self.want(head)
        if have.covers(want):
            return jobs  # the ordinary admission will do
        due = {scheduler.of[s.request] for s in self.ledger.due().records}

        def gain(entry: Entry) -> Need:
            steady = sum(s.steady for s in entry.record.members)
            own = Need(entry.record.blocks + (entry in due), entry.user.n, steady)
            return own + uses.get(entry, Need())

        victims = choose(candidates, gain, have, want, self.config.victim)
        if victims is None:
            return jobs
        for victim in victims:
            scheduler.preempt(victim)
        self.due = self.ledger.due().count
        scheduler.queue.head()
        rest = [job for job in jobs if job.entry not in victims]
        self.run(rest)
        if self.have().covers(want) or not len(scheduler.running):
            self.enter(head)
        self.displaced = True
        return []

    displaced = False

    def build(self) -> None:
        """The whole step, up to issuing it."""
        jobs = self.make_room(self.jobs())
        if not self.preempted_for_growth:
            jobs = self.displace(jobs)
        self.run(jobs)
        paused = self.preempted_for_growth and self.config.pause_after_preemption
        if not paused and not self.displaced:
            self.admit_all()
