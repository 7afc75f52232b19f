"""What only some engines have: hits in the same step, windows, drafts, failed copies, late release."""

from __future__ import annotations

from typing import Any

import pytest
from stories import e, step

from lineclear.conform import Checker, Header, LayerGroup, PoolSize

Event = dict[str, Any]


def clauses(header: Header, *events: Event) -> list[str]:
    checker = Checker(header)
    found = checker.run(events)
    if not found:
        assert checker.number == len(events)
    return [f"{each.rule}.{each.clause}" for each in found]


SAME = Header(8, 2, same_step_hits=True)
A = [e("submit", "a", prompt=3, max=5), e("alloc", "a", blocks=[0, 1])]
B = [
    e("submit", "b", prompt=3),
    e("hit", "b", blocks=[0], keys=["k"]),
    e("alloc", "b", blocks=[2]),
]
STORE = e("store", blocks=[0], keys=["k"])


@pytest.mark.parametrize("turned", [False, True])
def test_a_block_may_be_hit_in_the_step_that_computes_it_if_the_engine_says_so(
    turned: bool,
) -> None:
    rows = [["a", 0, 3, 1], ["b", 2, 1, 1]][:: -1 if turned else 1]
    both = [*A, STORE, *B, step(1, *rows), e("settle", n=1)]
    assert clauses(SAME, *both) == []
    assert clauses(SAME, *both, step(2, ["a", 3, 1, 1], ["b", 3, 1, 1])) == []
    assert clauses(Header(8, 2), *both) == ["publish.computed"]


def test_a_promised_block_has_to_be_computed_by_the_step_that_reads_it() -> None:
    assert clauses(SAME, *A, STORE, *B, step(1, ["b", 2, 1, 1])) == ["computed.start"]
    gone = [e("free", "a", at=0, blocks=[0, 1]), e("abort", "a")]
    assert clauses(SAME, *A, STORE, *gone, *B) == ["hit.content"]


def test_a_promised_block_is_written_by_its_author_alone_and_once() -> None:
    assert clauses(SAME, *A, STORE, *B, step(1, ["a", 0, 3, 1], ["b", 1, 2, 1])) == [
        "exclusive_write.shared",
        "exclusive_write.published",
    ]
    again = [*A, STORE, step(1, ["a", 0, 3, 1]), e("settle", n=1), step(2, ["a", 0, 4, 1])]
    assert clauses(SAME, *again) == ["exclusive_write.published"]


WINDOW = Header(8, 2, groups={"full": LayerGroup(), "near": LayerGroup(window=3)})
GROUPS = [
    e("submit", "a", prompt=5, max=4),
    e("alloc", "a", blocks=[0, 1, 2], group="full"),
    e("alloc", "a", blocks=[3, 4, 5], group="near"),
    step(1, ["a", 0, 5, 1]),
    e("settle", n=1),
]


def test_a_group_with_a_window_gives_up_what_it_reads_no_more() -> None:
    old = e("free", "a", at=0, blocks=[3], group="near")
    assert clauses(WINDOW, *GROUPS, old, step(2, ["a", 5, 1, 1])) == []
    near = e("free", "a", at=1, blocks=[4], group="near")
    assert clauses(WINDOW, *GROUPS, near, step(2, ["a", 5, 1, 1])) != []
    full = e("free", "a", at=0, blocks=[0], group="full")
    assert "capacity.room" in clauses(WINDOW, *GROUPS, full, step(2, ["a", 5, 1, 1]))


def test_every_group_needs_room() -> None:
    less = [*GROUPS[:2], e("alloc", "a", blocks=[3, 4], group="near"), GROUPS[3]]
    assert clauses(WINDOW, *less) == ["capacity.room"]


DRAFTS = Header(8, 2, drafts=2)
DRAFTED = [
    *A,
    e("alloc", "a", blocks=[2]),
    step(1, ["a", 0, 3, 1]),
    e("settle", n=1),
    step(2, ["a", 3, 3, 1]),
]


def test_drafts_are_kept_or_computed_again() -> None:
    kept = [e("settle", n=2, kept=[["a", 3]]), e("alloc", "a", blocks=[3])]
    assert clauses(DRAFTS, *DRAFTED, *kept, step(3, ["a", 6, 1, 1])) == []
    none = e("settle", n=2, kept=[["a", 1]])
    assert clauses(DRAFTS, *DRAFTED, none, step(3, ["a", 4, 1, 1])) == []
    # Position 5 held a draft that was rejected: it is computed no more.
    assert clauses(DRAFTS, *DRAFTED, none, step(3, ["a", 5, 1, 1])) == ["computed.start"]
    assert clauses(Header(8, 2), *DRAFTED) == ["length.known"]
    more = e("settle", n=2, kept=[["a", 5]])
    assert clauses(DRAFTS, *DRAFTED, more) == ["length.kept", "length.max"]


CPU = Header(8, 2, pools={"cpu": PoolSize(4)})
OUT = [
    *A,
    step(1, ["a", 0, 3, 1]),
    e("settle", n=1),
    e("preempt", "a", how="swap"),
    e("alloc", "a", pool="cpu", blocks=[0, 1]),
    e("copy", op=1, src=[["gpu", 0], ["gpu", 1]], dst=[["cpu", 0], ["cpu", 1]]),
]
IN = [
    e("free", "a", at=0, blocks=[0, 1]),
    e("resume", "a"),
    e("alloc", "a", blocks=[4, 5]),
    e("copy", op=2, src=[["cpu", 0], ["cpu", 1]], dst=[["gpu", 4], ["gpu", 5]]),
    e("done", op=2),
    step(2, ["a", 3, 1, 1]),
]


def test_a_failed_copy_carries_nothing() -> None:
    assert clauses(CPU, *OUT, e("done", op=1), *IN) == []
    assert clauses(CPU, *OUT, e("done", op=1, failed=True), *IN) == ["computed.start"]


def test_a_copy_of_a_block_that_another_request_holds_carries_nothing() -> None:
    """Its KV is that of other tokens, unless it is published."""
    other = [e("submit", "b", prompt=2), e("alloc", "b", blocks=[6]), step(2, ["b", 0, 2, 1])]
    wrong = {**OUT[-1], "src": [["gpu", 6], ["gpu", 1]]}

    def broken(copied: Event, *before: Event) -> list[str]:
        swapped = [*OUT[:-2], *other, e("settle", n=2), *before, OUT[-2], copied, e("done", op=1)]
        return clauses(CPU, *swapped, *IN[:-1], {**IN[-1], "n": 3})

    assert broken(OUT[-1]) == []
    assert broken(wrong) == ["computed.start"]
    assert broken(wrong, e("store", blocks=[6])) == []


def test_a_request_that_hit_a_block_may_copy_it_before_it_writes_there() -> None:
    """Copy on write: another request holds the block, and it is not published."""
    b = e("submit", "b", prompt=4)
    first = [{**A[0], "prompt": 4, "max": 4}, A[1], step(1, ["a", 0, 4, 1]), e("settle", n=1), b]
    mine = [e("alloc", "b", at=1, blocks=[2]), e("copy", op=1, src=[["gpu", 1]], dst=[["gpu", 2]])]
    last = [e("done", op=1), step(2, ["b", 3, 1, 1])]
    freed = e("free", "b", at=1, blocks=[1])
    hit, half = e("hit", "b", blocks=[0, 1]), e("hit", "b", blocks=[0])
    checker = Checker(SMALL)
    assert checker.run([*first, hit, freed, *mine, *last]) == []
    assert clauses(SMALL, *first, half, *mine, *last) == ["computed.start"]
    # Since then the block was another one.
    again = [
        e("free", "a", at=1, blocks=[1]),
        e("alloc", "a", blocks=[1]),
        step(2, ["a", 2, 2, 0]),
    ]
    over = [e("settle", n=2), *mine, e("done", op=1), step(3, ["b", 3, 1, 1])]
    assert clauses(SMALL, *first, hit, freed, *again, *over) == ["computed.start"]
    assert checker.run([e("free", "b", at=0, blocks=[0, 2]), e("abort", "b")]) == []
    assert not any(checker.state.pools["gpu"].left.values())


def test_a_copy_into_other_entries_is_not_the_same_kv() -> None:
    turned = [*IN[:3], {**IN[3], "dst": [["gpu", 5], ["gpu", 4]]}, *IN[4:]]
    assert clauses(CPU, *OUT, e("done", op=1), *turned) == ["computed.start"]


def test_a_block_that_a_copy_reads_is_not_granted() -> None:
    early = [*OUT, IN[0], e("submit", "b", prompt=2), e("alloc", "b", blocks=[0])]
    assert clauses(CPU, *early) == ["ordered.copy"]


def test_a_block_of_another_pool_is_free_at_once_though_a_step_of_its_request_is_in_flight() -> (
    None
):
    header = Header(8, 2, pools={"cpu": PoolSize(2)}, stream_ordered=False, max_steps_in_flight=2)
    run = [*OUT, e("done", op=1), *IN]
    back = [e("free", "a", pool="cpu", at=0, blocks=[0, 1])]
    other = [e("submit", "b", prompt=2), e("alloc", "b", pool="cpu", blocks=[0])]
    assert clauses(header, *run, *back, *other) == []


def test_an_ended_request_may_give_up_its_blocks_later_if_the_engine_says_so() -> None:
    late = Header(4, 2, late_release=True)
    ended = [*A, e("finish", "a")]
    back = e("free", "a", at=0, blocks=[0, 1])
    assert (
        clauses(late, *ended, e("check", free=[2, 3]), back, e("check", free=[0, 1, 2, 3])) == []
    )
    assert clauses(late, *ended, e("submit", "b", prompt=2), e("alloc", "b", blocks=[1])) == [
        "allocation.held"
    ]
    assert clauses(late, *ended, A[0]) == ["once.again"]
    assert clauses(late, *ended, back, back) == ["release.known"]
    assert clauses(Header(4, 2), *ended) == ["once.holds"]


def test_a_restart_loses_what_was_generated_and_what_is_generated_again_is_no_progress() -> None:
    header = Header(4, 2, max_tokens=8, patience=1)
    events: list[Event] = [*A]
    for n in range(1, 9):
        events += [step(n, ["a", 0, 3, 1]), e("settle", n=n), e("preempt", "a", how="restart")]
    assert clauses(header, *events) == ["progress.kept"]
    assert clauses(Header(4, 2), *events[:5], step(2, ["a", 3, 1, 1])) == ["length.known"]


def test_what_a_step_in_flight_samples_may_be_lost() -> None:
    two = Header(8, 2, max_steps_in_flight=2)
    lost = [
        *A,
        step(1, ["a", 0, 3, 1]),
        e("preempt", "a", how="recompute", lost=True),
        e("free", "a", at=0, blocks=[0, 1]),
        e("alloc", "a", blocks=[2, 3]),
    ]
    assert clauses(two, *lost, step(2, ["a", 0, 3, 1])) == []
    assert clauses(two, *lost, step(2, ["a", 0, 4, 1])) == ["length.known"]


def test_an_empty_entry_is_not_freed() -> None:
    log = [A[0], e("alloc", "a", at=1, blocks=[0]), e("free", "a", at=0, blocks=[-1, 0])]
    (violation,) = Checker(SMALL).run(log)
    assert violation.message.endswith("but -1 is no block: an empty entry is not freed")


def test_an_id_may_be_used_again() -> None:
    once = [*A, e("free", "a", at=0, blocks=[0, 1]), e("finish", "a")]
    assert clauses(Header(4, 2), *once, *once) == []


@pytest.mark.parametrize("settled", [{}, {"kept": [["a", 0]]}])
def test_a_step_in_flight_gives_nothing_to_a_later_request_with_the_same_id(
    settled: dict[str, Any],
) -> None:
    two = Header(8, 2, max_steps_in_flight=2)
    again = [
        *A,
        step(1, ["a", 0, 3, 1]),
        e("free", "a", at=0, blocks=[0, 1]),
        e("abort", "a"),
        e("submit", "a", prompt=3, max=2),
        e("alloc", "a", blocks=[2, 3]),
    ]
    settle, row = e("settle", n=1, **settled), step(2, ["a", 0, 3, 1])
    assert clauses(two, *again, settle, row) == []
    assert clauses(two, *again, row, settle, e("settle", n=2), step(3, ["a", 3, 1, 1])) == []
    given = e("settle", n=1, kept=[["a", 1]])
    assert clauses(two, *again, given) == ["length.kept"]


class Compared(int):
    """A block id or an id of a request that counts how often it is compared."""

    times = 0

    def __hash__(self) -> int:
        return int(self)

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return int(self) == other


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("kind", ["waiting", "running", "free", "alloc"])
def test_what_an_event_costs_is_linear_in_its_lists(kind: str, twice: bool) -> None:
    size = 1_000
    ids = [Compared(k) for k in (*range(size), *([0] if twice else []))]
    checker = Checker(Header(size, 2), validate=False)
    checker.run(e("submit", k, prompt=1) for k in range(size))
    Compared.times = 0
    checker.feed(e("alloc", 0, blocks=ids) if kind == "alloc" else e("check", **{kind: ids}))
    assert bool(checker.found) == twice
    assert Compared.times < 20 * size


def test_a_log_may_begin_in_the_middle_of_a_run() -> None:
    assert clauses(Header(4, 2), *A, step(71, ["a", 0, 3, 1]), e("settle", n=71)) == []


def test_sequences_of_one_request_without_a_fork() -> None:
    header = Header(8, 2)
    two = [
        e("submit", "a", prompt=2, n=2),
        e("alloc", "a", blocks=[0]),
        e("alloc", "a", s=1, blocks=[1]),
    ]
    assert clauses(header, *two, step(1, ["a", 0, 2, 1], ["a", 0, 2, 1, 1])) == []
    assert clauses(header, *two, e("alloc", "a", s=2, blocks=[2])) == ["once.live"]


def test_memory_does_not_grow_with_the_log() -> None:
    """After 1,000 requests no more is held than after 200.

    A request and its sequences name each other, so ended ones are held until the next collection.
    """
    import gc
    import tracemalloc

    checker = Checker(Header(4, 2))

    def feed(first: int, last: int) -> int:
        for k in range(first, last):
            for event in (
                e("submit", k, prompt=2, max=1),
                e("alloc", k, blocks=[k % 4]),
                step(k + 1, [k, 0, 2, 1]),
                e("settle", n=k + 1),
                e("free", k, at=0, blocks=[k % 4]),
                e("finish", k),
            ):
                assert not checker.feed(event)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    before = feed(0, 200)
    after = feed(200, 1000)
    tracemalloc.stop()
    assert after - before < 20_000


SMALL = Header(8, 2)
RUNS = [*A, step(1, ["a", 0, 3, 1]), e("settle", n=1)]
TWO_COPIES = [
    *OUT,
    e("alloc", "a", pool="cpu", blocks=[2]),
    e("copy", op=2, src=[["gpu", 0]], dst=[["cpu", 0]]),
]
FENCED = Header(8, 2, max_steps_in_flight=2, stream_ordered=False, waits=True)
FENCE = [
    *A,
    e("submit", "b", prompt=2),
    step(1, ["a", 0, 3, 1]),
    e("free", "a", at=0, blocks=[0, 1]),
    e("abort", "a"),
    e("alloc", "b", blocks=[0]),
]
FCFS = Header(8, 2, order="priority_high_first")
QUEUE = [
    e("submit", "a", prompt=2, priority=1),
    e("submit", "b", prompt=2, priority=2),
    e("alloc", "a", blocks=[0]),
    e("alloc", "b", blocks=[1]),
]


@pytest.mark.parametrize(
    ("header", "events", "broken"),
    [
        (SMALL, [A[0], e("alloc", "a", blocks=[0, 0])], ["allocation.held", "allocation.held"]),
        (SMALL, [*A, e("alloc", "a", at=1, blocks=[2])], ["release.slice"]),
        (SMALL, [*RUNS, e("hit", "a", at=0, blocks=[1])], ["release.slice", "hit.content"]),
        (SMALL, [*A, e("check", free=[2, 3, 4, 5, 6, 7, 7])], ["conservation.free"]),
        (SMALL, [*A, e("check", free=[1, 2, 3, 4, 5, 6, 7])], ["conservation.free"]),
        (SMALL, [*A, e("check", free=[2, 3, 4, 5, 6, 7, 8])], ["conservation.free"]),
        (SMALL, [*A, e("check", waiting=["a", "a"])], ["queues.lists"]),
        (SMALL, [*A, e("check", waiting=["a"], running=["a"])], ["queues.lists"]),
        (SMALL, [*A, e("check", waiting=[], running=[])], ["queues.lists"]),
        (SMALL, [*RUNS, e("check", waiting=["a"], running=[])], ["queues.lists"]),
        (SMALL, [*RUNS, e("check", waiting=[], running=["a"])], []),
        (SMALL, [*A, e("check", waiting=["a"], running=[])], []),
        (SMALL, [*A, e("reject", "a")], ["once.again"]),
        (SMALL, [*A, e("prune", "a", s=0)], ["once.again"]),
        (SMALL, [*A, e("fork", "a", s=1, of=2)], ["once.live"]),
        (SMALL, [*A, e("fork", "a", s=0, of=0)], ["once.again"]),
        (SMALL, [*A, e("fork", "a", s=1, of=0, known=4)], ["length.known"]),
        (SMALL, [*RUNS, e("fork", "a", s=1, of=0, known=4)], []),
        (SMALL, [A[0], e("alloc", "a", at=1, blocks=[0]), e("free", "a", at=0, blocks=[-1, 0])],
         ["release.slice"]),
        (SMALL, [*A, step(1, ["a", 0, 3, 1], after_step=1)], ["ordered.number"]),
        (SMALL, [*A, step(8, ["a", 0, 3, 1], after_step=7)], []),
        (CPU, [*OUT[:-1], {**OUT[-1], "after_step": 2}], ["ordered.number"]),
        (CPU, [*OUT[:-1], {**OUT[-1], "after_step": 1}], []),
        (SMALL, [*RUNS, e("store", blocks=[5])], ["publish.computed"]),
        (SMALL, [*RUNS, STORE, e("evict", blocks=[0], keys=["x"])], ["publish.key"]),
        (CPU, TWO_COPIES, ["ordered.copy"]),
        (CPU, [*OUT, e("copy", op=1, src=[["gpu", 0]], dst=[["cpu", 0]])],
         ["ordered.done", "ordered.copy"]),
        (CPU, [*OUT[:-1], {**OUT[-1], "dst": [["cpu", 0], ["cpu", 9]]}],
         ["allocation.exists", "exclusive_write.shared"]),
        (FENCED, [*FENCE, step(2, ["b", 0, 2, 1])], ["ordered.fence"]),
        (FENCED, [*FENCE, step(2, ["b", 0, 2, 1], after_step=1)], []),
        (FENCED, [*FENCE, e("settle", n=1), step(2, ["b", 0, 2, 1])], []),
        (FCFS, [*QUEUE, step(1, ["a", 0, 2, 1])], ["queue_order.passed"]),
        (FCFS, [*QUEUE, step(1, ["b", 0, 2, 1])], []),
        (FCFS, [*QUEUE, step(1, ["a", 0, 2, 1], ["b", 0, 2, 1])], []),
        (FCFS, [*QUEUE, e("free", "b", at=0, blocks=[1]), e("abort", "b"), step(1, ["a", 0, 2, 1])],
         []),
    ],
)  # fmt: skip
def test_every_branch_of_a_clause(header: Header, events: list[Event], broken: list[str]) -> None:
    assert clauses(header, *events) == broken
