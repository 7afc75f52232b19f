"""Two schedulers to compare with: one that loops over requests, and the lesson's, repaired.

Guarantees: both generate every token of every request. They know nothing about swapping, sharing,
budgets or plans; they show what a step costs that touches each running request.
"""

from __future__ import annotations

from collections import deque

__all__ = ["LessonSimulator", "PlainLoop"]


class Job:
    """One request of a baseline."""

    __slots__ = ("blocks", "generated", "output", "prompt")

    def __init__(self, prompt: int, output: int) -> None:
        """It has generated nothing."""
        self.prompt = prompt
        self.output = output
        self.generated = 0
        self.blocks: list[int] = []


class PlainLoop:
    """First come, first served; a step asks every running request whether it needs a block.

    A shortage preempts the newest request, which computes its tokens again later.
    """

    name = "plain loop"

    def __init__(self, blocks: int, block_size: int, seats: int, budget: int) -> None:
        """Everything is free."""
        self.free = list(range(blocks))
        self.block_size = block_size
        self.seats = seats
        self.budget = budget
        self.waiting: deque[Job] = deque()
        self.running: list[Job] = []
        self.scheduled: list[Job] = []
        self.preemptions = 0

    def add(self, prompt: int, output: int) -> None:
        """A request waits."""
        self.waiting.append(Job(prompt, output))

    def schedule(self) -> int:
        """Running requests grow, or waiting ones are admitted; how many compute."""
        admitted: list[Job] = []
        left = self.budget
        while self.waiting and len(self.running) < self.seats:
            job = self.waiting[0]
            known = job.prompt + job.generated
            need = -(-known // self.block_size)
            if known > left or need > len(self.free):
                break
            self.waiting.popleft()
            left -= known
            job.blocks = self.free[len(self.free) - need :]
            del self.free[len(self.free) - need :]
            self.running.append(job)
            admitted.append(job)
        if admitted:
            self.scheduled = admitted
            return len(admitted)
        grown: list[Job] = []
        queue = deque(self.running)
        while queue:
            job = queue.popleft()
            # The newest token is computed in this step.
            need = -(-(job.prompt + job.generated) // self.block_size) - len(job.blocks)
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
        self.scheduled = grown
        return len(grown)

    def commit(self) -> None:
        """Every request that computed has one more token."""
        ended = False
        for job in self.scheduled:
            job.generated += 1
            if job.generated >= job.output:
                self.free += job.blocks
                job.blocks = []
                ended = True
        if ended:
            self.running = [job for job in self.running if job.blocks]

    @property
    def live(self) -> bool:
        """Whether anything is left to do."""
        return bool(self.waiting or self.running)


class LessonSimulator:
    """What the lesson's simulator does, made to come to its end.

    It keeps the free blocks sorted, takes the lowest, and lets a request that gets no block
    generate all the same; `unbacked` counts how often. Only its list and its method of the same
    name had to be told apart.
    """

    name = "lesson, repaired"

    def __init__(self, blocks: int, block_size: int, seats: int, budget: int) -> None:
        """Everything is free."""
        self.free = list(range(blocks))
        self.block_size = block_size
        self.waiting: list[Job] = []
        self.running: list[Job] = []
        self.unbacked = 0
        self.preemptions = 0

    def add(self, prompt: int, output: int) -> None:
        """A request waits."""
        self.waiting.append(Job(prompt, output))

    def allocate(self, job: Job) -> bool:
        """Takes the blocks that the request lacks, if there are so many."""
        missing = -(-(job.prompt + job.generated) // self.block_size) - len(job.blocks)
        if missing <= 0:
            return True
        if len(self.free) < missing:
            return False
        job.blocks.extend([self.free.pop(0) for _ in range(missing)])
        return True

    def schedule(self) -> int:
        """Running requests first, then waiting ones until one does not fit; how many compute."""
        for job in list(self.running):
            if not self.allocate(job):
                self.unbacked += 1
        for job in list(self.waiting):
            if not self.allocate(job):
                break
            self.waiting.remove(job)
            self.running.append(job)
        return len(self.running)

    def commit(self) -> None:
        """Every running request has one more token."""
        for job in list(self.running):
            job.generated += 1
            if job.generated >= job.output:
                self.running.remove(job)
                self.free.extend(job.blocks)
                self.free.sort()
                job.blocks = []

    @property
    def live(self) -> bool:
        """Whether anything is left to do."""
        return bool(self.waiting or self.running)
