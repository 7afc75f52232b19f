"""The history of a run: phases of requests, and sizes of pools and queues over time.

Guarantees: the phases of a request follow each other without a gap, from its arrival to its end;
samples are in order of time, and the extremes between two of them are kept.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from lineclear.simulation.metrics import Collector

#: In the order of a life. A request that was preempted by recompute waits, and is prefilled again.
PHASES = ("waiting", "prefill", "decode", "swapped")
#: Seconds of simulated time between two samples.
EVERY = 0.25


@dataclass(slots=True)
class Sample:
    """The pools and queues over a little while.

    Attributes:
        moment: seconds, when it begins.
        gpu: share of the GPU pool in use, at most.
        cpu: share of the CPU pool in use, at most.
        running: requests that run, at most.
        waiting: requests that wait or are swapped out, at most.
    """

    moment: float
    gpu: float
    cpu: float
    running: int
    waiting: int


@dataclass(slots=True)
class History(Collector):
    """A collector that also keeps the order of events.

    Attributes:
        phases: of each request, when a phase began and which; the last one is `done`.
        samples: one for each quarter of a second or more.
    """

    phases: dict[Hashable, list[tuple[float, str]]] = field(
        default_factory=dict[Hashable, list[tuple[float, str]]]
    )
    samples: list[Sample] = field(default_factory=list[Sample])

    def _enter(self, request_id: Hashable, phase: str, now: float) -> None:
        """The request is in the phase from now on, if it was not before."""
        life = self.phases[request_id]
        if life[-1][1] != phase:
            life.append((now, phase))

    def arrive(self, request_id: Hashable, now: float) -> None:
        """A request was added."""
        Collector.arrive(self, request_id, now)
        self.phases[request_id] = [(now, "waiting")]

    def schedule(self, request_id: Hashable, now: float) -> None:
        """A step computes some of the request."""
        came_back = self.phases[request_id][-1][1] == "swapped"
        known = self.times[request_id].first_token is not None
        Collector.schedule(self, request_id, now)
        if self.phases[request_id][-1][1] in ("waiting", "swapped"):
            self._enter(request_id, "decode" if came_back and known else "prefill", now)

    def preempt(self, request_id: Hashable, now: float, *, swap: bool) -> None:
        """A request gave up its place."""
        Collector.preempt(self, request_id, now, swap=swap)
        self._enter(request_id, "swapped" if swap else "waiting", now)

    def tokens(self, request_id: Hashable, count: int, now: float) -> None:
        """Tokens of the request were committed."""
        Collector.tokens(self, request_id, count, now)
        if self.phases[request_id][-1][1] == "prefill":
            self._enter(request_id, "decode", now)

    def finish(self, request_id: Hashable, prompt_tokens: int, longest: int, now: float) -> None:
        """A request ended as it should.

        Args:
            request_id: its id.
            prompt_tokens: tokens of its prompt.
            longest: tokens that its longest sequence generated.
            now: seconds since the start.
        """
        Collector.finish(self, request_id, prompt_tokens, longest, now)
        self._enter(request_id, "done", now)

    def elapse(
        self, seconds: float, *, gpu: float, cpu: float, running: int, waiting: int
    ) -> None:
        """Time went by with this much of the pools in use and so many requests about.

        Args:
            seconds: how long.
            gpu: share of the GPU pool in use, 0 to 1.
            cpu: share of the CPU pool in use, 0 to 1.
            running: requests that run.
            waiting: requests that wait or are swapped out.
        """
        moment = self.seconds
        Collector.elapse(self, seconds, gpu=gpu, cpu=cpu, running=running, waiting=waiting)
        last = self.samples[-1] if self.samples else None
        if last is None or moment - last.moment >= EVERY:
            self.samples.append(Sample(moment, gpu, cpu, running, waiting))
            return
        last.gpu, last.cpu = max(last.gpu, gpu), max(last.cpu, cpu)
        last.running, last.waiting = max(last.running, running), max(last.waiting, waiting)
