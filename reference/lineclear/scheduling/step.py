"""One step, built: growth, preemption, decodes, prefills, admission.

Guarantees: the order of a step, and that the table refuses nothing of it. It knows nothing about
results. Every change is an action of the table.

Running sequences grow first, in the order of the policy; whoever cannot preempts someone behind
it, or itself. If nobody was preempted, the head of the queue may displace less important requests.
Decodes are scheduled, unfinished prefills share what is left of the budget, and then requests are
admitted in order until one does not fit.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lineclear.plan import Scheduled
from lineclear.scheduling.queues import Entry
from lineclear.scheduling.sequence_demand import Job, job_of, spare_last_holders
from lineclear.scheduling.victims import choose, worst
from lineclear_spec import actions
from lineclear_spec.lifecycle import Phase
from lineclear_spec.logic import larger
from lineclear_spec.progress import (
    Need,
    admits_others,
    asked_tokens,
    behind,
    beside,
    chunk,
    grows,
    kept_free,
    known_on_admission,
    least_tokens,
    may_be_displaced,
    may_be_passed,
    room,
    tokens_left,
)
from lineclear_spec.records import Sequence

if TYPE_CHECKING:
    from lineclear.scheduling.transitions import Bookkeeping

__all__ = ["Step"]


class Step:
    """The step that `Scheduler.schedule` builds."""

    def __init__(self, scheduler: Bookkeeping) -> None:
        """Nothing is scheduled yet but the steady sequences."""
        self.scheduler = scheduler
        self.ledger = scheduler.ledger
        self.config = scheduler.config
        self.prefills: list[tuple[Scheduled, Sequence]] = []
        self.decodes: list[tuple[Scheduled, Sequence]] = []
        self.preempted = False  # somebody, for growth
        self.displaced = False  # somebody, for a more important waiting request
        self.blocked = False  # a running prefill did not get all the tokens that it could use
        self.due = 0  # blocks that issue_step will take
        self.shares: list[list[Any]] | None = None  # [job, tokens] that the policy shares out
        cut = self.config.enable_chunked_prefill  # a prompt that may not be cut has no share
        if cut and scheduler.shares and not scheduler.policy_failures:
            self.shares = []
        self.promised = 0  # tokens of these

    @property
    def pairs(self) -> list[tuple[Scheduled, Sequence]]:
        """Rows and their sequences, prefills first."""
        return [*self.prefills, *self.decodes]

    def build(self) -> None:
        """The whole step, up to issuing it."""
        jobs = self._make_room(self._jobs())
        if not self.preempted:
            jobs = self._displace(jobs)
        self._run(jobs)
        pause = self.config.pause_after_preemption
        if admits_others(self.preempted, pause, self.displaced, self.blocked):
            self._admit_all()
            self.scheduler.refrained = ""
        else:
            self.scheduler.refrained = self._why_nobody()
        self._share_out()

    def _why_nobody(self) -> str:
        """Why the step lets nobody in, by the names of `stall.GUARDS`."""
        if self.displaced:
            return "displaced"
        return "prefill_first" if self.blocked else "pause_after_preemption"

    # ---- growth --------------------------------------------------------------------------------

    def _jobs(self) -> list[Job]:
        """Jobs of every running sequence that is not steady, in policy order."""
        scheduler = self.scheduler
        if not scheduler.explicit:
            return []
        found: list[Job] = []
        for sequence in scheduler.explicit:
            job = job_of(scheduler, sequence, scheduler.of[sequence.request])
            if job is not None:
                found.append(job)
        found.sort(key=lambda job: job.entry.rank)
        spare_last_holders(self.ledger, found)
        return found

    def _make_room(self, jobs: list[Job]) -> list[Job]:
        """Preempts until every running sequence that is left can grow; the jobs that are left."""
        scheduler, ledger = self.scheduler, self.ledger
        due = ledger.due()
        if grows(due.count, sum([job.blocks for job in jobs]), ledger.gpu.free):
            self.due = due.count
            return jobs
        self.preempted = True
        wants: dict[Entry, int] = {}
        for job in jobs:
            wants[job.entry] = wants.get(job.entry, 0) + job.blocks
        for sequence in due.records:
            entry = scheduler.of[sequence.request]
            wants[entry] = wants.get(entry, 0) + 1
        passed = 0  # blocks of those who could grow so far
        for entry in sorted(wants, key=lambda entry: entry.rank):
            if entry not in wants:
                continue  # preempted meanwhile
            while not grows(passed, wants[entry], ledger.gpu.free):
                victim = self._victim_after(entry) or entry
                scheduler.counters.preempted_alone += len(scheduler.running) == 1
                scheduler.preempt(victim)
                wants.pop(victim, None)
                if victim is entry:
                    break
            else:
                passed += wants[entry]
        self.due = ledger.due().count
        return [job for job in jobs if job.entry in wants]

    def _victim_after(self, entry: Entry) -> Entry | None:
        """The victim among the running requests strictly behind the entry."""
        running = self.scheduler.running
        if self.config.broken == "longest_victim":
            return worst(running.entries.values(), "longest", self.ledger)
        if self.config.victim == "last":
            return running.last_after(entry)
        victim = worst(running.after(entry), self.config.victim, self.ledger)
        return victim if victim and behind(entry.rank, victim.rank) else None

    # ---- tokens --------------------------------------------------------------------------------

    @property
    def _tokens_left(self) -> int:
        """Tokens that the step may still compute."""
        ledger, budget = self.ledger, self.config.max_num_batched_tokens
        left: int = tokens_left(budget, ledger.step_tokens, ledger.batch_size, self.promised)
        return left

    def _chunk(self, tokens: int) -> int:
        """How many of so many tokens this step takes: all, a part, or none."""
        taken: int = chunk(tokens, self._tokens_left, self.config.enable_chunked_prefill)
        return taken

    def _run(self, jobs: list[Job]) -> None:
        """Decodes first, then unfinished prefills share what is left, each in policy order."""
        for job in jobs:
            if job.decode:
                self._compute(job, job.tokens)
        for job in jobs:
            if not job.decode:
                tokens = 0 if self.blocked else self._chunk(job.tokens)
                self.blocked = self.blocked or tokens < job.tokens
                self._prefill(job, tokens)

    def _prefill(self, job: Job, tokens: int) -> None:
        """Computes so many tokens, or what the policy lets one step compute of them for now."""
        if self.shares is None or not tokens or job.decode:
            self._compute(job, tokens)
            return
        scheduler, ledger = self.scheduler, self.ledger
        sharers = len(ledger.running) + len(ledger.waiting) + len(ledger.swapped)
        most = self.config.max_num_batched_tokens
        self._grow(job)
        tokens = min(tokens, scheduler.share(job.entry, most, sharers))
        self.shares.append([job, tokens])
        self.promised += tokens

    def _share_out(self) -> None:
        """What nobody used goes to the first in the order; then all are scheduled."""
        for pair in self.shares or ():
            job, tokens = pair
            more = min(job.tokens - tokens, self._tokens_left)
            pair[1] += more
            self.promised += more
        for job, tokens in self.shares or ():
            self.promised -= tokens
            self._schedule(job, tokens)

    def _compute(self, job: Job, tokens: int) -> None:
        """Gives the job's sequence its blocks, and schedules its next positions."""
        self._grow(job)
        if tokens:
            self._schedule(job, tokens)

    def _grow(self, job: Job) -> None:
        """Gives the job's sequence its blocks."""
        ledger, sequence, replaced = self.ledger, job.sequence, self.scheduler.replaced
        if job.shared:
            actions.rejoin(ledger, sequence, job.shared)
            replaced[sequence] = None
        if job.copy:
            actions.copy_on_write(ledger, sequence)
            replaced[sequence] = None
        if job.slots > sequence.slot_tokens:
            actions.append_slots(ledger, sequence, job.slots - sequence.slot_tokens)

    def _schedule(self, job: Job, tokens: int) -> None:
        """Schedules the next positions of the job's sequence."""
        ledger, sequence = self.ledger, job.sequence
        drafts = max(0, tokens - (job.tokens - job.drafts))
        promised, start = sequence.promised_samples, sequence.reach_tokens
        actions.schedule_tokens(ledger, sequence, tokens, drafts)
        row = Scheduled(
            job.entry.name,
            job.entry.branch(sequence),
            tokens,
            drafts,
            start,
            sequence.promised_samples > promised,
            not job.decode,
        )
        (self.decodes if job.decode else self.prefills).append((row, sequence))

    # ---- admission -----------------------------------------------------------------------------

    def _jobs_of(self, entry: Entry) -> list[Job]:
        """Jobs of one request's sequences."""
        made = [job_of(self.scheduler, sequence, entry) for sequence in entry.record.members]
        found = [job for job in made if job is not None]
        spare_last_holders(self.ledger, found)
        return found

    def want(self, entry: Entry) -> Need:
        """What the entry needs to run in this step."""
        ledger, record = self.ledger, entry.record
        chunked = self.config.enable_chunked_prefill
        if record.phase == Phase.SWAPPED:
            jobs = self._jobs_of(entry)
            growth = sum([job.blocks for job in jobs])
            tokens = sum([least_tokens(job.tokens, job.decode, chunked) for job in jobs])
            tokens = asked_tokens(larger(1, tokens), self.config.max_num_batched_tokens)
            return Need(record.blocks + growth, entry.n, tokens)
        leader, *others = record.members
        # A step that is in flight may still sample a token for a request that was preempted
        # meanwhile: it is computed with the others.
        tokens = leader.known_tokens
        if not others:
            tokens = known_on_admission(tokens, leader.promised_samples, record.limit)
        full = ledger.block_of(record.prompt)
        blocks = ledger.need(tokens)
        blocks += sum([beside(ledger.need(branch.known_tokens), full) for branch in others])
        tokens = asked_tokens(1 if chunked else tokens, self.config.max_num_batched_tokens)
        return Need(blocks, entry.n, tokens)

    def have(self, watermark: bool = True) -> Need:
        """What is there for admission: the watermark is kept only while something runs."""
        scheduler = self.scheduler
        kept = kept_free(self.config.watermark_blocks, len(scheduler.running)) if watermark else 0
        free, seats = self.ledger.gpu.free, self.config.max_num_seqs
        return room(free, self.due, kept, seats, scheduler.seats, self._tokens_left)

    def _admit_all(self) -> None:
        """From the head of the queue as long as there is room; `bypass` may pass one without."""
        queue = self.scheduler.queue
        most = math.inf if self.config.broken == "any_fit" else self.config.bypass
        passed: list[Entry] = []
        while (entry := queue.head()) is not None:
            fits = not entry.record.copy and self.have().covers(self.want(entry))
            if fits:
                if not all(may_be_passed(other.bypassed, most) for other in passed):
                    break
                for other in passed:
                    other.bypassed += 1
                self._enter(entry)
            elif len(passed) < most:
                passed.append(queue.pop())
            else:
                break
        for entry in passed:
            queue.push(entry)

    def _enter(self, entry: Entry, displacing: bool = False) -> None:
        """The request runs, and computes what the step has tokens for."""
        scheduler, ledger, record = self.scheduler, self.ledger, entry.record
        scheduler.queue.leave(entry)
        if record.phase == Phase.SWAPPED:
            actions.swap_in(ledger, record)
        else:
            actions.admit(ledger, record)
        scheduler.start(entry, displacing)
        if scheduler.tenants is not None and not entry.started:
            scheduler.tell("admitted", entry, record.prompt)
        entry.started = True
        for job in self._jobs_of(entry):
            self._prefill(job, self._chunk(job.tokens))

    def planned(self) -> Need:
        """What the running requests are going to take of a step that is not begun."""
        taken = sum(self._uses(self._jobs()).values(), Need())
        return Need(taken.blocks, 0, min(taken.tokens, self._tokens_left))

    def _uses(self, jobs: list[Job]) -> dict[Entry, Need]:
        """What each request that runs is going to take, if there are tokens for all of it.

        A prompt that goes on takes whatever a victim leaves, so it is counted whole: a request that
        waits has tokens only if every prompt that runs has all that it could use.
        """
        uses: dict[Entry, Need] = {}
        for job in jobs:
            uses[job.entry] = uses.get(job.entry, Need()) + Need(job.blocks, 0, job.tokens)
        return uses

    # ---- displacement --------------------------------------------------------------------------

    def _displace(self, jobs: list[Job]) -> list[Job]:
        """The head may displace running requests and is then admitted, alone; the jobs left."""
        scheduler = self.scheduler
        head = scheduler.queue.head()
        if head is None or head.record.copy or scheduler.running.last_after(head) is None:
            return jobs
        uses = self._uses(jobs)
        planned = sum(uses.values(), Need())
        want = self.want(head)
        if (self.have() - Need(planned.blocks, 0, planned.tokens)).covers(want):
            return jobs  # it is admitted anyway
        candidates: list[Entry] = []  # as many as were looked at
        seen = head.view(self.ledger)

        def from_the_last() -> Iterator[Entry]:
            for entry in scheduler.running.from_the_last(head):
                spared = not may_be_displaced(entry.entered_by_displacing, entry.kept_a_token)
                if not spared and scheduler.may_displace(seen, entry):
                    candidates.append(entry)
                    yield entry

        # A group may have several branches that are due, each of one block.
        due = Counter([scheduler.of[sequence.request] for sequence in self.ledger.due().records])

        def gain(entry: Entry) -> Need:
            steady = sum([sequence.steady for sequence in entry.record.members])
            own = Need(entry.record.blocks + due[entry], entry.n, steady)
            return own + uses.get(entry, Need())

        have, rule = self.have() - planned, self.config.victim
        victims = choose(from_the_last(), gain, have, want, rule, self.ledger)
        if victims is None and candidates and len(candidates) == len(scheduler.running):
            # With nobody left running the watermark is waived.
            everything = sum(map(gain, candidates), self.have(watermark=False) - planned)
            victims = candidates if everything.covers(want) else None
        if victims is None or scheduler.policy_failures:
            return jobs
        # The more important get the room in the CPU pool first, so no copy is made only to be lost.
        for victim in sorted(victims, key=lambda entry: entry.rank):
            scheduler.preempt(victim)
        self.due = self.ledger.due().count
        self.displaced = True
        self._run([job for job in jobs if job.entry not in victims])
        self._enter(head, displacing=True)
        return []
