"""The requests of one run, read from a file or drawn from a seed.

Guarantees: requests are ordered by arrival; every length is a whole number of at least 1; the same seed draws the
same requests on every machine and Python version. A scheduler gets `max_tokens`, never `output_tokens`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist


class WorkloadError(ValueError):
    """A workload cannot be read or drawn; the message is one line with file, row and reason."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of a workload.

    Attributes:
        request_id: how the workload names it.
        arrival_time: seconds after the first arrival.
        prompt_tokens: tokens of its prompt.
        output_tokens: tokens that each of its sequences really generates; no scheduler sees them.
        max_tokens: the most that a sequence may generate; this is what a scheduler sees.
        priority: higher is more important.
        client: who sent it, if the workload says so; its service is charged to that tenant.
        predicted_tokens: a guess of output_tokens, or of its class, if there is one.
        deadline: when it should be done, seconds after the first arrival, if it has a deadline.
        prefix_ids: names of the blocks of its prompt, as the file counts them: equal ones hold equal
            tokens after equal beginnings. With prefix caching they name the blocks, see `prefixes.py`.
    """

    request_id: str
    arrival_time: float
    prompt_tokens: int
    output_tokens: tuple[int, ...]
    max_tokens: int
    priority: int = 0
    client: str = ""
    predicted_tokens: int | None = None
    deadline: float | None = None
    prefix_ids: tuple[int, ...] = ()

    @property
    def parallel(self) -> int:
        """Sequences that the request is sampled into."""
        return len(self.output_tokens)


@dataclass(frozen=True, slots=True)
class Workload:
    """The requests of one run, in order of arrival.

    Attributes:
        name: what reports call it; a file's name without its folder.
        kind: the format that it was read from, or `synthetic`.
        requests: at least one.
        clipped: requests whose output was cut at their `max_tokens`.
        source: whom to credit for it, if anybody.
        users: if not 0, so many users send the requests in order, each as soon as the one before
            of the same user is done, and arrival times count for nothing.
    """

    name: str
    kind: str
    requests: tuple[Arrival, ...]
    clipped: int = 0
    source: str = ""
    users: int = 0

    @property
    def prompt_tokens(self) -> int:
        """Prompt tokens of all requests."""
        return sum(request.prompt_tokens for request in self.requests)

    @property
    def output_tokens(self) -> int:
        """Tokens that all sequences of all requests generate."""
        return sum(sum(request.output_tokens) for request in self.requests)

    @property
    def seconds(self) -> float:
        """From the first arrival to the last."""
        return self.requests[-1].arrival_time - self.requests[0].arrival_time


@dataclass(frozen=True, slots=True)
class Lengths:
    """A log-normal distribution of lengths, rounded and kept between two bounds.

    Attributes:
        median: half of the drawn lengths are below it.
        sigma: standard deviation of the logarithm; 0 draws the median always.
        least: no length is below it.
        most: no length is above it.
    """

    median: int
    sigma: float
    least: int
    most: int

    def __post_init__(self) -> None:
        """Refuses bounds that leave no length, and a spread that is no number."""
        if not 1 <= self.least <= self.median <= self.most:
            raise WorkloadError(
                f"lengths need 1 <= least <= median <= most, not {self.least}, {self.median}, "
                f"{self.most}"
            )
        if not (math.isfinite(self.sigma) and self.sigma >= 0):
            raise WorkloadError(f"the spread of lengths is {self.sigma}; give 0 or more")

    def at(self, share: float) -> int:
        """The length that a share of all draws stays below, 0 < share < 1."""
        length = self.median * math.exp(self.sigma * NormalDist().inv_cdf(share))
        return round(min(max(length, self.least), self.most))


#: Lengths and rate of the embedded workload: its requests overlap, so a small pool runs out.
PROMPTS = Lengths(median=180, sigma=0.9, least=8, most=1_024)
OUTPUTS = Lengths(median=110, sigma=0.8, least=4, most=512)
EMBEDDED_REQUESTS = 200
EMBEDDED_RATE = 12.0


def synthetic(
    requests: int,
    rate: float,
    seed: int,
    *,
    prompts: Lengths = PROMPTS,
    outputs: Lengths = OUTPUTS,
    parallel: Sequence[int] = (1, 1, 1, 1, 1, 1, 1, 1, 1, 3),
) -> Workload:
    """Draws requests with exponential gaps and log-normal lengths.

    Args:
        requests: how many, at least 1.
        rate: mean arrivals in a second; `math.inf` lets all arrive at once.
        seed: the same seed draws the same workload.
        prompts: distribution of prompt lengths.
        outputs: distribution of generated lengths; its upper bound is everyone's `max_tokens`.
        parallel: how many sequences a request is sampled into, each entry equally likely.

    Raises:
        WorkloadError: an argument is out of its range.
    """
    if requests < 1:
        raise WorkloadError(f"{requests} requests cannot be drawn; give 1 or more")
    if not rate > 0:
        raise WorkloadError(
            f"a rate of {rate} arrivals in a second never starts; give more than 0"
        )
    if not parallel or min(parallel) < 1:
        raise WorkloadError("sequences of a request are counted from 1")
    # Only `random()` is promised to draw the same numbers in every version of Python.
    draw = random.Random(seed).random

    def share() -> float:
        return min(max(draw(), 1e-12), 1 - 1e-12)

    arrivals: list[Arrival] = []
    now = 0.0
    for number in range(requests):
        if number:
            now += -math.log(share()) / rate
        prompt = prompts.at(share())
        width = parallel[int(draw() * len(parallel))]
        arrivals.append(
            Arrival(
                request_id=str(number),
                arrival_time=now,
                prompt_tokens=prompt,
                output_tokens=tuple(outputs.at(share()) for _ in range(width)),
                max_tokens=outputs.most,
                priority=int(draw() * 3),  # 0 to 2 are equally likely
            )
        )
    name = f"synthetic, {requests} requests, {rate:g} in a second, seed {seed}"
    return Workload(name, "synthetic", tuple(arrivals))


def spread_out(workload: Workload, rate: float, seed: int) -> Workload:
    """The same requests in the same order, with exponential gaps between their arrivals.

    Args:
        workload: whose requests all arrive at once, as those of a file without times do.
        rate: arrivals in a second, above 0.
        seed: of the gaps.

    Raises:
        WorkloadError: it has arrival times of its own, or the rate is not above 0.
    """
    if workload.seconds > 0 or workload.users:
        raise WorkloadError(f"--request-rate: {workload.name} has arrival times of its own")
    if not (math.isfinite(rate) and rate > 0):
        raise WorkloadError(f"--request-rate: a rate of {rate}; give a number above 0")
    draw = random.Random(seed).random
    now = 0.0
    found: list[Arrival] = []
    for request in workload.requests:
        found.append(replace(request, arrival_time=now))
        now -= math.log(1.0 - draw()) / rate
    return replace(workload, requests=tuple(found))
