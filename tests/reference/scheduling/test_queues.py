"""The queue of those who wait is a sorted list, whatever comes, leaves and changes its place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lineclear.request import Request
from lineclear.scheduling.live_request import LiveRequest
from lineclear.scheduling.queues import FORGOTTEN, WaitingQueue
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.records import Limits


def entry(number: int) -> LiveRequest:
    """A request that waits nowhere yet."""
    ledger = Ledger(Limits(block_size=4, gpu_blocks=4))
    record = ledger.new_request(3, 5, 1)
    sequence = ledger.add_member(record)
    user = Request(request_id=number, prompt_tokens=3, max_tokens=2)
    return LiveRequest(user, record, sequence, number, (0,))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["move", "move", "leave", "pop"]),
            st.integers(0, 11),
            st.integers(0, 5),
        ),
        max_size=400,
    )
)
def test_the_head_is_the_first_in_the_order(steps: list[tuple[str, int, int]]) -> None:
    queue, entries = WaitingQueue(swapped_first=False), [entry(k) for k in range(12)]
    waiting: list[LiveRequest] = []
    for what, k, key in steps:
        one = entries[k]
        if what == "pop":
            head = queue.head()
            if head is not None:
                assert queue.pop() is head
                waiting.remove(head)
        elif one in waiting:
            queue.leave(one)
            waiting.remove(one)
        if what == "move":  # also where it stood, while its old cell may still be in the heap
            one.order = (key, one.number)
            queue.push(one)
            waiting.append(one)
        assert queue.head() is min(waiting, key=lambda e: e.order, default=None)
        assert sorted(e.number for e in queue) == sorted(e.number for e in waiting)
        assert len(queue.heap) <= 2 * len(waiting) + 2 * FORGOTTEN + 1


def test_one_that_waits_is_moved_without_leaving() -> None:
    queue, entries = WaitingQueue(swapped_first=False), [entry(k) for k in range(400)]
    for one in entries:
        queue.push(one)
    for one in reversed(entries):
        one.order = (-one.number, one.number)
        queue.push(one)
    assert len(queue.heap) <= 2 * 400 + 2 * FORGOTTEN + 1
    found: list[int] = []
    while queue.head() is not None:
        found.append(queue.pop().number)
    assert found == list(range(399, -1, -1))
    assert all(one.cell is None for one in entries)
