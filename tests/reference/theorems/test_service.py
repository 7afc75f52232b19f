"""What is counted of the service of tenants, from arrivals and plans given by hand."""

from __future__ import annotations

from lineclear.plan import Joined, Plan, Scheduled
from lineclear.theorems.service import Service
from lineclear.workload.workload import Arrival


def step(*rows: str, gone: tuple[str, ...] = ()) -> Plan:
    """A step in which each row generates a token, after it preempted others."""
    found = Joined(tuple(Scheduled(name, 0, 1, 0, 0, True, False) for name in rows), ())
    return Plan(1, found, found, 1, 0, (), (), (), tuple((name, "swap") for name in gone))


def two() -> Service:
    """Two tenants, each with a request that runs; prompts of one token at 1, tokens at 1."""
    service = Service(["a", "b"], 1, 1)
    for name in "ab":
        service.arrive(Arrival(name, 0.0, 1, (9,), 9, client=name))
    service.step(step("a", "b"), 0.0)
    assert service.counts.tolist() == [2, 2]
    return service


def test_who_was_preempted_waits_until_it_is_in_a_step_again() -> None:
    """Only while both wait the difference of their service counts."""
    service = two()
    service.step(step("a", gone=("b",)), 1.0)  # b waits alone
    assert (service.waiting, service.gap) == ({"a": 0, "b": 1}, 0)
    service.arrive(Arrival("a2", 1.0, 1, (9,), 9, client="a"))
    service.step(step("a"), 2.0)  # both wait from now on
    service.step(step("a"), 3.0)
    service.step(step("a"), 4.0)
    assert service.gap == 2
    service.step(step("a", "b"), 5.0)
    assert service.waiting["b"] == 0
    service.step(step("a"), 6.0)
    assert service.gap == 2


def test_who_ends_while_it_was_preempted_waits_no_more() -> None:
    service = two()
    service.step(step("a", gone=("b",)), 1.0)
    service.end("b")
    assert service.waiting["b"] == 0
