"""Workloads that are drawn, by name: steady, in bursts, with a heavy tail, closed, and hostile.

Guarantees: the same name and seed draw the same requests on every machine and Python version.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

from lineclear.workload.workload import (
    OUTPUTS,
    PROMPTS,
    Arrival,
    Lengths,
    Workload,
    WorkloadError,
    synthetic,
)


def bursty(count: int, rate: float, seed: int) -> Workload:
    """Gaps of a gamma distribution whose deviation is four times its mean: bursts, then calm."""
    drawn = synthetic(count, rate, seed)
    # A gamma variable of shape 1/16 is drawn by its power form, from `random()` alone.
    draw = random.Random(seed + 1).random
    shape = 1 / 16
    arrivals: list[Arrival] = []
    now = 0.0
    for arrival in drawn.requests:
        arrivals.append(replace(arrival, arrival_time=now))
        now += gamma(shape, draw) / (shape * rate)
    return replace(drawn, requests=tuple(arrivals))


def gamma(shape: float, draw: Callable[[], float]) -> float:
    """A gamma variable of a shape below 1 and scale 1 (Ahrens and Dieter 1974)."""
    while True:
        one, two = max(draw(), 1e-300), max(draw(), 1e-300)
        edge = one * (1 + shape / math.e)
        if edge <= 1:
            found: float = edge ** (1 / shape)
            if two <= math.exp(-found):
                return found
        else:
            found = -math.log((1 + shape / math.e - edge) / shape)
            if two <= found ** (shape - 1):
                return found


def heavy_tail(count: int, rate: float, seed: int) -> Workload:
    """Exponential gaps; one output in a hundred is as long as forty usual ones."""
    outputs = Lengths(median=60, sigma=1.5, least=2, most=2_048)
    return synthetic(count, rate, seed, outputs=outputs)


def closed(count: int, rate: float, seed: int) -> Workload:
    """As many users as `rate` says, each of whom waits for an answer before it asks again."""
    if rate < 1 or rate != int(rate):
        raise WorkloadError(f"a closed workload needs a whole number of users, not {rate:g}")
    drawn = synthetic(count, 1.0, seed)
    arrivals = [replace(arrival, arrival_time=0.0) for arrival in drawn.requests]
    return replace(drawn, requests=tuple(arrivals), users=int(rate))


def tenants(count: int, rate: float, seed: int) -> Workload:
    """Six tenants; one of them sends half of all requests."""
    drawn = synthetic(count, rate, seed, parallel=(1,))
    draw = random.Random(seed + 2).random
    arrivals = [
        replace(arrival, client="abcdef"[0 if draw() < 0.4 else int(draw() * 6)])
        for arrival in drawn.requests
    ]
    return replace(drawn, requests=tuple(arrivals))


#: By name; `poisson` has exponential gaps and log-normal lengths.
GENERATORS: dict[str, Callable[[int, float, int], Workload]] = {
    "poisson": synthetic,
    "bursty": bursty,
    "heavy_tail": heavy_tail,
    "closed": closed,
    "tenants": tenants,
}


# ---- hostile workloads, one for each policy -----------------------------------------------------


def one_among(count: int, rate: float, seed: int, victim: Arrival, other: Arrival) -> Workload:
    """One request, and then a stream of others of one kind.

    Args:
        count: number of requests.
        rate: requests per second.
        seed: seed of the arrival times.
        victim: the one.
        other: each of the others, but for id and time.
    """
    draw = random.Random(seed).random
    arrivals = [victim]
    now = 0.0
    for number in range(1, count):
        arrivals.append(replace(other, request_id=str(number), arrival_time=now))
        now += -math.log(max(draw(), 1e-12)) / rate
    return Workload("", "hostile", tuple(arrivals))


def made(prompt: int, output: int, **more: object) -> Arrival:
    """A request of which all is known."""
    first = Arrival("0", 0.0, prompt, (output,), output, predicted_tokens=output)
    return replace(first, **more)  # type: ignore[arg-type]


SHORT, LONG = (PROMPTS.median // 4, OUTPUTS.median // 4), (PROMPTS.most, OUTPUTS.most)
#: By policy: what is hostile to it, the one request that suffers, and those that keep coming.
HOSTILE: dict[str, tuple[str, Arrival, Arrival]] = {
    **dict.fromkeys(
        ("fcfs", "fair"),
        ("a long request stands before many short ones", made(*LONG), made(*SHORT)),
    ),
    **dict.fromkeys(
        ("priority", "hybrid", "ceiling", "aging"),
        ("more important requests never end", made(*SHORT, priority=0), made(*SHORT, priority=1)),
    ),
    **dict.fromkeys(
        ("sjf", "sjf_aging"), ("shorter requests never end", made(*LONG), made(*SHORT))
    ),
    "edf": ("earlier deadlines never end", made(*SHORT, deadline=1e9), made(*SHORT, deadline=1.0)),
    "lpl": ("shorter prompts never end", made(*LONG), made(*SHORT)),
    "mlfq": ("shorter requests never end", made(*LONG), made(*SHORT)),
    **dict.fromkeys(
        ("vtc", "drr"),
        ("one tenant asks for all there is", made(*SHORT, client="b"), made(*LONG, client="a")),
    ),
}


def generate(kind: str, count: int, rate: float, seed: int) -> Workload:
    """The workload of that name; `hostile:POLICY` for the one that is hostile to a policy.

    Args:
        kind: a key of `GENERATORS`, or hostile:POLICY.
        count: number of requests.
        rate: requests per second; of "closed" the number of users.
        seed: seed of every draw.

    Raises:
        WorkloadError: there is none of that name, or an argument is out of its range.
    """
    if kind in GENERATORS:
        drawn = GENERATORS[kind](count, rate, seed)
        if kind == "poisson":  # its name is that of synthetic, which draws it
            return drawn
        rates = f"{rate:g} users" if drawn.users else f"{rate:g} in a second"
        return replace(drawn, name=f"{kind}, {count} requests, {rates}, seed {seed}", kind=kind)
    name, _, policy = kind.partition(":")
    if name == "hostile" and policy in HOSTILE:
        if count < 2 or not rate > 0:
            raise WorkloadError("a hostile workload needs 2 requests or more and a rate above 0")
        what, victim, other = HOSTILE[policy]
        drawn = one_among(count, rate, seed, victim, other)
        return replace(drawn, name=f"hostile to {policy}: {what}, {count} requests, seed {seed}")
    known = [*GENERATORS, *(f"hostile:{policy}" for policy in HOSTILE)]
    raise WorkloadError(f"there is no generator {kind!r}; known are {', '.join(known)}")
