"""A journal on disk leads to the state that wrote it, and a changed line is reported."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from lineclear.journal.file import JournalError, JournalFile, NotAJournal, digest, replay, state
from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.records import Broken, Limits


def act(ledger: Ledger, name: str, *arguments: object) -> object:
    """Does an action as the scheduler does, with the journal."""
    result = ACTIONS[name].body(ledger, *arguments)
    assert ledger.journal is not None
    ledger.journal(name, arguments)
    return result


def recorded() -> tuple[Ledger, list[str]]:
    """A short run: two requests, a fork, a copy of a shared block, a swap and a rejection."""
    limits = Limits(block_size=4, gpu_blocks=8, cpu_blocks=6, max_num_seqs=8)
    ledger, text = Ledger(limits), io.StringIO()
    journal = JournalFile(text, limits)
    ledger.journal = journal
    first, never, second = (ledger.new_request(6, 12, 2) for _ in range(3))
    act(ledger, "submit", first)
    act(ledger, "reject", never)
    act(ledger, "submit", second)
    act(ledger, "admit", first)
    leader = first.members[0]
    act(ledger, "schedule_tokens", leader, 6, 0)
    act(ledger, "issue_step")
    act(ledger, "commit_step")
    act(ledger, "fork", leader, 1)
    act(ledger, "sample", leader, 1, 1, 0)
    act(ledger, "copy_on_write", first.members[1])
    act(ledger, "dispatch_copies")
    act(ledger, "complete_copy", 2)
    act(ledger, "swap_out", first)
    act(ledger, "admit", second)
    journal.end(ledger)
    return ledger, text.getvalue().splitlines()


def test_a_replay_leads_to_the_same_state() -> None:
    ledger, lines = recorded()
    again = replay(lines)
    assert again.complete
    assert again.actions == 14
    assert state(again.ledger) == state(ledger)
    assert digest(again.ledger) == digest(ledger)
    phases = {request["id"]: request["phase"] for request in state(again.ledger)["requests"]}
    assert phases == {1: "SWAPPED", 3: "RUNNING"}


def test_a_replay_stops_where_it_is_told_to() -> None:
    _, lines = recorded()
    seen: list[str] = []

    def after(name: str, arguments: tuple[object, ...], ledger: Ledger) -> bool:
        seen.append(name)
        assert name or not arguments
        return ledger.steps == 1

    half = replay(lines, after)
    assert seen[-1] == "issue_step"
    assert not half.complete
    assert state(half.ledger)["requests"][0]["sequences"][0]["table"] == [0, 1]


def test_a_file_that_was_cut_off_is_not_complete() -> None:
    _, lines = recorded()
    again = replay(lines[:-1])
    assert not again.complete
    assert again.actions == 14
    within = replay([*lines[:11], lines[11][:-3]])
    assert (within.complete, within.actions) == (False, replay(lines[:11]).actions)
    with pytest.raises(JournalError, match=r"line 12: it is not JSON, or was cut off"):
        replay([*lines[:11], lines[11][:-3], *lines[12:]])


@pytest.mark.parametrize(
    ("line", "text", "said"),
    [
        (1, '{"journal": "other"}', "line 1: journal is "),
        (1, "7", "line 1: journal is "),
        (2, '["new", 1, 6, 12]', "line 2: a request has four numbers"),
        (2, '["new", 0, 6, 12, 2]', "line 2: request 0 does not follow request 0"),
        (2, '["new", 9000000, 6, 12, 2]', "does not follow"),
        (3, '["submit", "r2"]', "line 3: 'r2' was not introduced"),
        (3, '["submit"]', "line 3: submit takes 1 arguments"),
        (3, '["sing", "r1"]', "line 3: 'sing' is no action"),
        (3, '["submit", 1]', "line 3: request is 1: it must be the name of a record"),
        (3, "[]", "line 3: [] is no action"),
        (4, '["issue_step"]', "line 4: issue_step is refused, a guard is false: the step is not"),
    ],
)
def test_a_changed_line_is_told(line: int, text: str, said: str) -> None:
    _, lines = recorded()
    lines[line - 1] = text
    with pytest.raises(JournalError) as caught:
        replay(lines)
    assert str(caught.value).startswith(said) or said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_stands_behind_the_end() -> None:
    _, lines = recorded()
    with pytest.raises(NotAJournal, match=f"line {len(lines) + 1}: it is behind the last line"):
        replay([*lines, lines[0]])


def test_an_error_of_the_table_is_not_blamed_on_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise Broken("two blocks have one id")

    _, lines = recorded()
    monkeypatch.setitem(ACTIONS, "swap_out", replace(ACTIONS["swap_out"], body=broken))
    with pytest.raises(Broken, match="two blocks have one id"):
        replay(lines)


def test_a_changed_end_is_told() -> None:
    _, lines = recorded()
    last = json.loads(lines[-1])
    for change, said in (({"digest": "0"}, "another state"), ({"end": 3}, "3 actions were rec")):
        with pytest.raises(JournalError, match=said):
            replay([*lines[:-1], json.dumps({**last, **change})])
    with pytest.raises(JournalError, match=r"line 1: "):
        replay([])
    changed = json.loads(lines[0])
    del changed["limits"]["max_steps_in_flight"]
    with pytest.raises(
        JournalError, match="limits that are missing, unknown or of the wrong type"
    ):
        replay([json.dumps(changed), *lines[1:]])


@pytest.mark.parametrize(
    ("name", "value"), [("gpu_blocks", True), ("chunked", 1), ("max_steps_in_flight", 1.0)]
)
def test_a_limit_of_another_kind_is_refused(name: str, value: object) -> None:
    _, lines = recorded()
    changed = json.loads(lines[0])
    changed["limits"][name] = value
    with pytest.raises(NotAJournal, match="limits that are missing, unknown or of the wrong type"):
        replay([json.dumps(changed), *lines[1:]])


def test_true_is_no_number_of_a_request_or_of_tokens() -> None:
    _, lines = recorded()
    new = next(k for k, line in enumerate(lines) if line.startswith('["new"'))
    for at, said in (
        (new, "a request has four numbers"),
        (new + 1, "it must be the name of a record"),
    ):
        row = json.loads(lines[at])
        row[-1] = True
        with pytest.raises(JournalError, match=said):
            replay([*lines[:at], json.dumps(row), *lines[at + 1 :]])


def test_a_limit_that_is_as_usual_is_not_written_and_any_other_is_kept() -> None:
    sizes = {"block_size": 4, "gpu_blocks": 4, "max_num_batched_tokens": 4}
    for cut in (False, True):
        text = io.StringIO()
        ledger = Ledger(Limits(**sizes, chunked=False, cut_long=cut))
        ledger.journal = JournalFile(text, ledger.limits)
        request = ledger.new_request(4 + cut, 5 + cut, 1)
        act(ledger, "submit", request)
        act(ledger, "admit", request)
        act(ledger, "schedule_tokens", request.members[0], 4, 0)  # a part, if it knows five
        ledger.journal.end(ledger)
        lines = text.getvalue().splitlines()
        assert ("cut_long" in lines[0]) == cut
        again = replay(lines)
        assert again.complete
        assert again.ledger.limits.cut_long == cut


@pytest.mark.parametrize("name", ["swapped", "cached"])
def test_a_journal_of_an_earlier_version_is_read(name: str) -> None:
    lines = (Path(__file__).parent / "earlier" / f"{name}.jsonl").read_text().splitlines()
    again = replay(lines)
    assert again.complete
    assert again.actions > 500
