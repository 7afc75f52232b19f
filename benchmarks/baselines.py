"""Two schedulers for comparison: one that loops over requests, and the lesson's, repaired.

Guarantees: both generate every token of every request, and count them. They have no swapping,
sharing, or plans; they show the cost of a step that touches each running request.
"""

from __future__ import annotations

from collections import deque


class Job:
    """One request of a baseline."""

    __slots__ = ("blocks", "generated", "output", "prompt")

    def __init__(self, prompt: int, output: int) -> None:
        """Starts without tokens."""
        self.prompt = prompt
        self.output = output
        self.generated = 0
        self.blocks: list[int] = []


class Baseline:
    """Common part of both.

    Attributes:
        computing: requests in the step.
        admitted: requests that start in the step.
        generated: tokens of all requests so far.
        finished: requests that have all their tokens.
        preemptions: number of preemptions.
        unbacked: number of times that a request computed without a block to write to.
    """

    def __init__(self, blocks: int, block_size: int, seats: int, budget: int) -> None:
        """Starts with all blocks free."""
        self.free: list[int] = list(range(blocks))
        self.block_size = block_size
        self.seats = seats
        self.budget = budget
        self.waiting: deque[Job] = deque()
        self.running: list[Job] = []
        self.computing = self.admitted = 0
        self.generated = self.finished = self.preemptions = self.unbacked = 0

    def add(self, prompt: int, output: int) -> None:
        """Adds a waiting request."""
        self.waiting.append(Job(prompt, output))

    def prepare(self) -> None:
        """The executor's preparation: none here."""

    def missing(self, job: Job) -> int:
        """Blocks that the request lacks for its tokens, including the next one to compute."""
        return -(-(job.prompt + job.generated) // self.block_size) - len(job.blocks)

    @property
    def spare(self) -> int:
        """Free blocks."""
        return len(self.free)

    @property
    def live(self) -> int:
        """Requests that are not finished."""
        return len(self.waiting) + len(self.running)


class PlainLoop(Baseline):
    """First come, first served; a step asks every running request whether it needs a block.

    A shortage preempts the newest request, which computes its tokens again later.
    """

    name = "loop"

    def __init__(self, blocks: int, block_size: int, seats: int, budget: int) -> None:
        """Starts with all blocks free."""
        super().__init__(blocks, block_size, seats, budget)
        self.scheduled: list[Job] = []

    def schedule(self) -> None:
        """Admits waiting requests, or if none can be admitted, grows running ones."""
        admitted: list[Job] = []
        left = self.budget
        while self.waiting and len(self.running) < self.seats:
            job = self.waiting[0]
            known = job.prompt + job.generated
            need = self.missing(job)
            if known > left or need > len(self.free):
                break
            self.waiting.popleft()
            left -= known
            job.blocks = self.free[len(self.free) - need :]
            del self.free[len(self.free) - need :]
            self.running.append(job)
            admitted.append(job)
        self.scheduled = admitted or self.grow()
        self.computing, self.admitted = len(self.scheduled), len(admitted)

    def grow(self) -> list[Job]:
        """Gives every running request the block that it needs, or preempts the newest."""
        grown: list[Job] = []
        queue = deque(self.running)
        size = self.block_size
        while queue:
            job = queue.popleft()
            need = -(-(job.prompt + job.generated) // size) - len(job.blocks)
            while need > len(self.free):
                victim = queue.pop() if queue else job
                self.free += victim.blocks
                victim.blocks = []
                self.waiting.appendleft(victim)
                self.preemptions += 1
                if victim is job:
                    break
            else:
                for _ in range(need):
                    job.blocks.append(self.free.pop())
                grown.append(job)
        self.running = grown
        return grown

    def commit(self) -> None:
        """Adds one token to every request that computed."""
        ended = 0
        for job in self.scheduled:
            job.generated += 1
            if job.generated >= job.output:
                self.free += job.blocks
                job.blocks = []
                ended += 1
        if ended:
            self.running = [job for job in self.running if job.blocks]
        self.generated += len(self.scheduled)
        self.finished += ended


class LessonSimulator(Baseline):
    """The lesson's simulator, changed so that it terminates.

    The free blocks are kept sorted and the lowest is taken; there is no budget and no preemption:
    a request that gets no block generates all the same, which `unbacked` counts.
    """

    name = "lesson"

    def take(self, job: Job) -> bool:
        """Takes missing blocks; returns whether the request has all that it needs."""
        missing = self.missing(job)
        if missing > len(self.free):
            return False
        for _ in range(missing):
            job.blocks.append(self.free.pop(0))
        return True

    def schedule(self) -> None:
        """Grows running requests, then admits waiting ones until one does not fit."""
        for job in self.running:
            if not self.take(job):
                self.unbacked += 1
        before = len(self.running)
        while self.waiting and self.take(self.waiting[0]):
            self.running.append(self.waiting.popleft())
        self.computing = len(self.running)
        self.admitted = self.computing - before

    def commit(self) -> None:
        """Adds one token to every running request."""
        self.generated += len(self.running)
        for job in list(self.running):
            job.generated += 1
            if job.generated >= job.output:
                self.running.remove(job)
                self.free.extend(job.blocks)
                self.free.sort()
                self.finished += 1
