# pyright: basic
"""The theorem of KV on executions: a device beside the plain ledger, whose memory is what it is.

What is wrong is seen: of every edit of the table, and of every device that breaks a premise, an execution
reads KV that is not the sequence's own.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from kv_edits import EDITS, NAMES, ONE, SMALL, TWO, WALKED, Edit

from lineclear_spec.actions import ACTIONS
from lineclear_spec.invariants import kv_clauses
from lineclear_spec.modelcheck import explore
from lineclear_spec.modelcheck.concrete import breaches
from lineclear_spec.modelcheck.explore import nearest, replay, search
from lineclear_spec.modelcheck.kv_ghosts import KvDevice, KvRow
from lineclear_spec.modelcheck.kv_walks import KvWalk, broken, directed
from lineclear_spec.modelcheck.worlds import BOUNDS, Bounds


def test_every_clause_holds_of_states_that_were_reached() -> None:
    count = 0
    for bounds in BOUNDS:
        traces = nearest(replace(bounds, max_states=40))
        for trace in traces[:: max(1, len(traces) // 6)]:
            assert breaches(replay(bounds, trace), "kv") == [], (bounds.name, trace)
            count += 1
    assert count >= 6 * len(BOUNDS) / 2


def test_the_theorem_holds_on_walks_with_a_device_in_any_order() -> None:
    forwards = samples = 0
    for seed in range(30):
        walk = KvWalk(NAMES if seed % 2 else SMALL).at_random(seed, 300)
        assert walk.wrong == [], walk.trace
        assert breaches(walk.ledger, "kv") == [], walk.trace
        forwards += walk.forwards
        samples += walk.samples
    assert forwards > 40
    assert samples > 10


def test_it_holds_where_blocks_are_published_at_once() -> None:
    found = 0
    for seed in (8, 16):
        walk = KvWalk(NAMES).at_random(seed, 300, at_once=0.1)
        assert walk.wrong == [], walk.trace
        assert breaches(walk.ledger, "kv") == [], walk.trace
        found += "publish_run" in str(walk.trace)
    assert found == 2


@pytest.mark.parametrize("edit", EDITS, ids=lambda e: e.what)
def test_an_edit_reads_wrong_kv_in_a_trace(edit: Edit) -> None:
    bodies = {edit.action: broken(edit.action, edit.old, edit.new)}
    assert directed(edit.bounds, edit.trace, bodies).wrong
    assert directed(edit.bounds, edit.trace, {}).wrong == []


@pytest.mark.parametrize("edit", WALKED, ids=lambda e: e.what)
def test_an_edit_reads_wrong_kv_in_a_walk(edit: Edit) -> None:
    bodies = {edit.action: broken(edit.action, edit.old, edit.new)}
    assert KvWalk(edit.bounds, bodies).at_random(edit.seed, 400).wrong


# ---- the searches of `lineclear check` ----------------------------------------------------------------------


def rules_of(bounds: Bounds) -> set[str]:
    """What a search of the nearest states finds."""
    return {breach.rule for _, breach in search(replace(bounds, max_states=120)).violations}


PREEMPTION = next(bounds for bounds in BOUNDS if bounds.name == "preemption")


def test_a_search_sees_a_device_that_heeds_no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explore, "KV_EVERY", 1)
    fenced = next(bounds for bounds in BOUNDS if bounds.name == "copy to a fenced block")
    assert rules_of(fenced) == set()
    monkeypatch.setattr(KvDevice, "waits_over", lambda *_: True)
    monkeypatch.setattr(KvDevice, "in_order", lambda *_: True)
    assert "T1" in rules_of(fenced)


def test_a_search_sees_what_is_no_move_and_a_token_of_no_forward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(explore, "KV_EVERY", 1)
    again = "    sequence.own_samples = sequence.own_samples - 1\n"
    row = ACTIONS["sample"]
    monkeypatch.setitem(ACTIONS, "sample", replace(row, body=broken("sample", again, "")))
    assert "refines" in rules_of(PREEMPTION)
    monkeypatch.setitem(ACTIONS, "sample", row)
    monkeypatch.setattr(KvDevice, "_read", lambda *_: False)
    assert rules_of(PREEMPTION) == {"lies.gpu", "lies.right"}
    monkeypatch.setattr(explore, "kv_breaches", lambda _: [])
    assert rules_of(PREEMPTION) == {"T2"}


# ---- devices that break a premise ------------------------------------------------------------------------


def no_waits(device: Any, number: int) -> None:
    """Runs whatever a plan carries."""
    device.require(1 <= number <= device.dispatched and not device.has_run(number), "it may")
    device.execute(number)


def out_of_order(device: Any, number: int) -> None:
    """Heeds waits, and no order on the compute stream."""
    device.require(1 <= number <= device.dispatched and not device.has_run(number), "it may")
    device.require(device.waits_over(number), "its waits are over")
    device.execute(number)


def not_carried(device: Any, number: int) -> None:
    """Runs what no plan carries yet."""
    device.require(number >= 1 and not device.has_run(number), "it may")
    device.require(device.waits_over(number) and device.in_order(number), "its waits are over")
    device.execute(number)


@pytest.mark.parametrize("device", [no_waits, out_of_order])
def test_a_device_that_does_not_honour_waits_reads_wrong_kv(device: Any) -> None:
    walks = (KvWalk(SMALL, device=device).at_random(seed, 300) for seed in range(40))
    assert any(walk.wrong for walk in walks)


COPIED = (
    "submit 2 5 1, admit r1, schedule_tokens s1 2 0, issue_step, run 1, commit_step, sample s1 1 1 0, swap_out r1, "
    "dispatch_copies, run 2, complete_copy 2, swap_in r1, append_slots s1 1, schedule_tokens s1 1 0, "
    "issue_step, run 3 1, run 4"
)


def test_a_failed_copy_that_is_called_good_is_a_wrong_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    walk = directed(ONE, COPIED, {})
    assert walk.wrong == []
    monkeypatch.setattr(walk, "honest", lambda _step: True)
    assert walk.act(("complete_copy", (3,)))
    assert breaches(walk.ledger, "kv")  # what is good has not failed
    assert walk.act(("commit_step", ()))
    walk.act(("sample", ("s1", 2, 1, 0)))
    assert walk.wrong == [
        "T2: s1, step 2: its copy has not failed",
        "T2: s1, step 2: all that it read was right",
    ]


# ---- each clause says something --------------------------------------------------------------------------


def put(records: Any, field: str, value: int) -> None:
    """The field of every record."""
    for record in records:
        setattr(record, field, value)


def drafted(device: KvDevice) -> None:
    """Drafts of a step that samples nothing."""
    put(device.ledger.sequences, "drafts", 1)
    put(device.ledger.sequences, "last_samples", 0)


def damage(walk: KvWalk) -> list[tuple[str, Any]]:
    """Ways to break what is kept of the device, each as a name and a function of a device."""
    del walk
    numbers = itertools.count(77)

    def each(table: str, change: Any) -> tuple[str, Any]:
        def breaking(d: Any) -> None:
            rows = getattr(d, table)
            for key in list(rows):
                rows[key] = change(rows[key])

        return table, breaking

    bad = ("bad",)
    return [
        ("ran none", lambda d: d.ran.clear()),
        ("ran more", lambda d: d.ran.update({d.ledger.issued + 1})),
        ("ran last", lambda d: (d.ran.clear(), d.ran.add(d.ledger.issued))),
        each("version", lambda _: 99),
        each("version", lambda _: 0),
        each("expected", lambda o: o + 50),
        each("expected", lambda _: 0),
        each("actual", lambda o: o + 50),
        each("actual", lambda _: 0),
        each("writes", lambda _: frozenset(range(9))),
        each("content", lambda _: bad),
        each("relies", lambda _: next(numbers)),
        *[(f"ran {o}", lambda d, o=o: (d.ran.clear(), d.ran.add(o))) for o in range(1, 4)],
        ("open again", lambda d: d.ledger.operations.update(d.ledger.history)),
        each("memory", lambda _: bad),
        each("right", lambda _: False),
        each("slots", lambda _: (1, 7)),
        each(
            "rows",
            lambda r: KvRow(r.first, r.last, tuple(p + 1 for p in r.block_ids), r.kv, r.relies),
        ),
        each(
            "rows",
            lambda r: KvRow(r.first, r.last, r.block_ids, tuple(bad for _ in r.kv), r.relies),
        ),
        each(
            "rows", lambda r: KvRow(r.first, r.last + 1, (*r.block_ids, 0), (*r.kv, bad), r.relies)
        ),
        each("rows", lambda r: KvRow(r.first, r.last, r.block_ids[:-1], r.kv, r.relies)),
        each("rows", lambda r: KvRow(r.first + 9, r.last, r.block_ids, r.kv, r.relies)),
        each("rows", lambda r: KvRow(r.first, r.last, r.block_ids, r.kv, 88)),
        each("rows", lambda r: KvRow(r.first, r.last, r.block_ids, r.kv, -1)),
        each("tokens", lambda row: [bad for _ in row]),
        ("slots none", lambda d: d.slots.clear()),
        ("rows none", lambda d: d.rows.clear()),
        ("good fails", lambda d: d.fails.update(d.good)),
        ("good none", lambda d: d.good.clear()),
        ("touched none", lambda d: d.ledger.touched.clear()),
        ("sources", lambda d: d.ledger.sources.update(dict.fromkeys(d.ledger.sources, 7))),
        ("totals", lambda d: d.ledger.totals.clear()),
        ("waits", lambda d: put(d.ledger.history.values(), "wait", 0)),
        ("void", lambda d: put(d.ledger.sequences, "void", 99)),
        ("late", lambda d: put(d.ledger.sequences, "late_drafts", 1)),
        ("drafts", drafted),
        ("barrier", lambda d: setattr(d.ledger, "barrier", 0)),
    ]


SHOWN = (
    COPIED,
    COPIED.replace("run 3 1", "run 3"),
    "submit 2 5 1 1, admit r1, schedule_tokens s1 2 0, issue_step, run 1, commit_step, publish s1 0, "
    "sample s1 1 1 0, submit 2 5 1 1, admit_cached r2 1, schedule_tokens s2 1 0, issue_step, run 2",
    "submit 1 4 2, admit r1, schedule_tokens s1 1 0, issue_step, run 1, commit_step, swap_out r1, "
    "dispatch_copies, run 2",
    "submit 1 4 1, admit r1, schedule_tokens s1 1 0",
)
TWIN = (
    "submit 3 6 2, admit r1, schedule_tokens s1 3 0, issue_step, run 1, commit_step, fork s1 1, sample s1 1 1 0, "
    "append_slots s1 1, copy_on_write s1, schedule_tokens s1 1 0, issue_step, run 2, run 3"
)


def test_every_clause_is_false_of_a_state_broken_by_hand() -> None:
    walks = [directed(ONE, text, {}) for text in SHOWN] + [directed(TWO, TWIN, {})]
    seen: set[str] = set()
    for walk in walks:
        assert breaches(walk.ledger, "kv") == []
        for _, change in damage(walk):
            ledger = walk.ledger.clone()
            change(ledger.device)
            seen |= {breach.rule for breach in breaches(ledger, "kv")}
    assert {clause.name for clause in kv_clauses()} - seen == set()
