"""`lineclear conform`: what it prints, and how it ends."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from conforming import written
from refusals import printed
from stories import BASES, BREAKS

from lineclear.cli import main
from lineclear.conform import RULES, Header, Reader

Event = dict[str, Any]


@pytest.fixture
def good(tmp_path: Path) -> str:
    return written(tmp_path / "good.jsonl", *BASES["main"])


@pytest.fixture
def bad(tmp_path: Path) -> str:
    each = next(each for each in BREAKS if each.clause == "allocation.published")
    return written(tmp_path / "bad.jsonl", *each.log())


def test_a_log_that_conforms(good: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "conform", good)
    assert "26 events, 15 of 16 rules fully checked" in text
    assert "not stated queue_order     the header states no order" in text
    assert text.endswith("no event breaks a rule that was checked\n")
    assert main(["conform", good, "--strict"]) == 0


def test_a_log_that_does_not(bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "conform", bad, code=1)
    assert (
        "LC411 allocation: block 0 of gpu is allocated to 'b', but it is still published" in text
    )
    assert (
        "  violated  a block is allocated only if it exists, no table names it and it is not"
        in text
    )
    assert '  event     19, line 20: {"e": "alloc", "r": "b", "blocks": [0, 1, 2]}' in text
    assert "  reduced to 8 of 19 events" in text
    assert "  x    8  alloc B [0, 1, 2]" in text
    assert "'b' preempted, 0 of 5 computed, holds nothing" in text
    assert "  remedy    Look for code that frees the block too early" in text
    assert "  before event 19\n" in text


def test_the_reduced_log_breaks_the_same_rule(
    bad: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = tmp_path / "short.jsonl"
    assert main(["conform", bad, "--reduced", str(short)]) == 1
    capsys.readouterr()
    content = json.loads(printed(capsys, "conform", str(short), "--format", "json", code=1))
    assert content["exit_code"] == 1
    assert [v["rule"] for v in content["violations"]] == ["allocation"]
    assert content["violations"][0]["event_number"] == content["events"] == 8
    assert content["line"] == 9
    assert len(content["reduced"]["log"]) == 9


def test_json_says_of_each_rule_how_it_stands(
    good: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(printed(capsys, "conform", good, "--format", "json"))
    assert content["conforms"] is True
    assert [row["rule"] for row in content["rules"]] == list(RULES)
    assert {row["status"] for row in content["rules"]} == {"checked", "not stated"}


def test_a_partial_log_is_inconclusive_if_that_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header, events = BASES["main"]
    partial = Header.parse({**header.json(), "omits": ["free"]})
    path = written(
        tmp_path / "partial.jsonl", partial, [event for event in events if event["e"] != "free"]
    )
    text = printed(capsys, "conform", path)
    assert "unchecked  conservation    free: the log omits free" in text
    assert "partly     allocation      held: the log omits free" in text
    assert "INCONCLUSIVE" in printed(capsys, "conform", path, "--strict", code=3)
    assert main(["conform", path, "--strict", "--format", "junit"]) == 3
    root = ElementTree.fromstring(capsys.readouterr().out)
    errors = {case.get("name") for case in root.iter("testcase") if case.find("error") is not None}
    assert {"conservation", "allocation", "release"} <= errors
    root = ElementTree.fromstring(printed(capsys, "conform", path, "--format", "junit"))
    skipped = {c.get("name") for c in root.iter("testcase") if c.find("skipped") is not None}
    assert {*errors, "queue_order"} == skipped


def test_the_formats_of_continuous_integration(
    bad: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = ElementTree.fromstring(printed(capsys, "conform", bad, "--format", "junit", code=1))
    assert root.get("name") == "lineclear conform"
    failed = [
        case.get("name") for case in root.iter("testcase") if case.find("failure") is not None
    ]
    assert failed == ["allocation"]
    assert len(list(root.iter("testcase"))) == len(RULES)
    text = printed(capsys, "conform", bad, "--format", "github", code=1)
    assert text.startswith(
        f"::error file={bad},line=20,title=LC411 a log breaks the rule allocation::"
    )
    assert "lineclear conform: FAILED: 1 refuted" in text
    assert main(["conform", bad, "--format", "markdown"]) == 1
    assert "### lineclear conform: FAILED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('{"e": "alloc", "r": "a"}', "line 2: alloc lacks blocks: give a list of block ids"),
        ('{"e": "alloc", "r": "a", "blocks": ["x"]}', "line 2: alloc.blocks: ['x'] is not a list"),
        (
            '{"e": "alloc", "r": 1.5, "blocks": [1]}',
            "line 2: alloc.r: 1.5 is not a text or a whole",
        ),
        (
            '{"e": "grab"}',
            "line 2: e: 'grab' is not a kind of event; the kinds are submit, reject",
        ),
        ('{"e": "idle", "x": 1}', "line 2: idle has no field 'x'; its fields are"),
        ('{"e": "step", "n": 1, "rows": [["a", 0, true, 1]]}', "line 2: step.rows: "),
        (
            '{"e": "hit", "r": 1, "blocks": [1], "keys": []}',
            "line 2: hit.keys: 0 keys for 1 blocks",
        ),
        (
            '{"e": "copy", "op": 1, "src": [["gpu", 0]], "dst": [["tape", 0]]}',
            "line 2: pool: 'tape'",
        ),
        ('{"e": "idle"', "line 2: not valid JSON, or truncated; remove the line"),
        ("[]", "line 2: an event is a JSON object"),
        ('{"e": ["step"]}', "line 2: e: ['step'] is not a kind of event"),
        ('{"e": {}}', "line 2: e: {} is not a kind of event"),
        (
            '{"e": "alloc", "r": "a", "blocks": [0], "at": 99999999999}',
            "line 2: alloc.at: 99999999999 is not a whole number from 0 to 4,194,303",
        ),
        ("[" * 100_000, "line 2: not valid JSON, or truncated; remove the line"),
    ],
)
def test_a_malformed_line_is_told_with_its_number_field_and_remedy(
    line: str, error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(Header(4, 2).json()) + "\n" + line + "\n")
    for command in ("conform", "why"):
        assert main([command, str(path)]) == 2
        complaint = capsys.readouterr().err
        assert error in complaint
        assert complaint.count("\n") == 1


HEADERS: list[tuple[Event, str]] = [
    ({}, "the first line is not a header"),
    ({"e": "engine", "log": "lineclear event log 2"}, "engine.log: 'lineclear event log 2'"),
    ({"blocks": -1}, "engine.blocks: -1 is not a whole number, 0 or more"),
    ({"block_size": 0}, "engine.block_size: 0 is not a whole number, 1 or more"),
    ({"omits": ["alocs"]}, "engine.omits: 'alocs' is not one of submit"),
    ({"omits": [[]]}, "engine.omits: [] is not one of submit"),
    ({"order": "lifo"}, "engine.order: 'lifo' is not one of fcfs"),
    ({"pools": {"cpu": {"size": 3}}}, "engine.pools.cpu: {'size': 3} is not an object with"),
    ({"blocks": 1 << 40}, "engine.blocks: 1099511627776 is not at most 16,777,216"),
    ({"pools": {"cpu": {"blocks": 1 << 40}}}, "engine.pools.cpu: 1099511627776 is not at most"),
    ({"colour": 1}, "engine has no field 'colour'"),
]


@pytest.mark.parametrize(("header", "error"), HEADERS)
def test_a_malformed_header(
    header: Event, error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.jsonl"
    content = {**Header(4, 2).json(), **header} if header and "e" not in header else header
    path.write_text(json.dumps(content) + "\n")
    assert main(["conform", str(path)]) == 2
    assert f"line 1: {error}" in capsys.readouterr().err


def test_the_state_before_the_event_is_that_of_the_whole_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reduced log may leave out who else holds a block."""
    other = [
        {"e": "submit", "r": "z", "prompt": 2},
        {"e": "alloc", "r": "z", "blocks": [3]},
        {"e": "submit", "r": "a", "prompt": 2},
        {"e": "step", "n": 1, "rows": [["a", 0, 2, 1]]},
    ]
    path = written(tmp_path / "log.jsonl", Header(4, 2), other)
    before, reduced = printed(capsys, "conform", path, code=1).split("reduced to 2 of 4 events")
    assert "'z' waiting, 0 of 2 computed, holds gpu 3" in before
    assert "'z'" not in reduced
    content = json.loads(printed(capsys, "conform", path, "--format", "json", code=1))
    assert any("'z' waiting" in line for line in content["before"])


def test_an_output_is_never_the_log_itself(bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    content = Path(bad).read_text()
    for option in ("--reduced", "--write-log"):
        assert main(["conform", bad, option, bad]) == 2
        assert f"{option} {bad} is the file of LOG: name another file" in capsys.readouterr().err
    assert Path(bad).read_text() == content


def test_a_reduced_log_is_said_to_be_written_or_not(
    good: str, bad: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = tmp_path / "short.jsonl"
    assert f"written: {short}" in printed(capsys, "conform", bad, "--reduced", str(short), code=1)
    assert main(["conform", str(short)]) == 1
    short.unlink()
    assert main(["conform", good, "--reduced", str(short)]) == 0
    assert f"not written, nothing to reduce: {short}" in capsys.readouterr().out
    assert not short.exists()


@pytest.mark.parametrize("form", ["text", "json", "junit", "github", "markdown"])
def test_odd_names_are_printed_in_every_format(
    form: str, bad: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a surrogate pair, a control character, markup; a byte order mark before the header."""
    path = tmp_path / "odd.jsonl"
    odd = json.dumps("\ud800\x00\x1b<&>")[1:-1]
    text = Path(bad).read_text().replace('"b"', f'"{odd}"')
    path.write_text("\ufeff" + text.replace('"engine":""', f'"engine":"{odd}"'), encoding="utf-8")
    out = printed(capsys, "conform", str(path), "--format", form, code=1)
    if form == "json":
        assert json.loads(out)["violations"]
    if form == "junit":
        assert ElementTree.fromstring(out).get("name") == "lineclear conform"
    assert main(["why", str(path)]) == 1


def test_what_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", str(tmp_path / "none.jsonl")]) == 2
    assert "No such file" in capsys.readouterr().err
    (tmp_path / "empty.jsonl").write_text("")
    assert main(["conform", str(tmp_path / "empty.jsonl")]) == 2
    assert "line 1: the first line is not a header" in capsys.readouterr().err
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe\n")
    assert main(["conform", str(tmp_path / "bytes.jsonl")]) == 2
    assert "not valid UTF-8" in capsys.readouterr().err
    assert main(["conform"]) == 2


def test_standard_input(
    bad: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(Path(bad).read_text()))
    text = printed(capsys, "conform", "-", code=1)
    assert text.startswith("standard input: event log")
    assert "LC411 allocation" in text


def test_the_rules_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "conform", "--rules")
    for rule in RULES.values():
        assert f"{rule.code} {rule.name}" in text


def test_a_journal_conforms_and_the_table_allows_it(
    journal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "events.jsonl"
    command = ["conform", journal, "--strict", "--level", "table", "--write-log", str(log)]
    text = printed(capsys, *command)
    assert "journal of lineclear" in text
    assert "the proved table allows every event" in text
    assert main(["conform", str(log), "--strict", "--level", "table"]) == 0
    with log.open() as file:
        assert Reader(file).header.engine == "lineclear"
    assert main(["conform", str(log), "--write-log", str(log)]) == 2


def test_the_table_is_not_asked_about_words_that_it_does_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header, events = BASES["main"]
    at = next(k for k, event in enumerate(events) if event["e"] == "preempt")
    log = [*events[:at], {**events[at], "how": "restart"}]
    path = written(tmp_path / "restart.jsonl", header, log)
    assert main(["conform", path, "--level", "table"]) == 2
    assert "the table has no action for it: use --level rules" in capsys.readouterr().err


def test_a_journal_that_was_changed_is_malformed(
    journal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = Path(journal).read_text().splitlines()
    changed = tmp_path / "changed.jsonl"
    changed.write_text("\n".join([*lines[:8], *lines[9:]]) + "\n")
    assert main(["conform", str(changed)]) == 2
    assert ", line " in capsys.readouterr().err


@pytest.mark.parametrize("within", [0, 9])
def test_a_journal_that_was_cut_off_says_so(
    within: int, journal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path(journal).read_text()
    cut = tmp_path / "cut.jsonl"
    # Without its last line, or in the middle of the one before.
    cut.write_text(text[: text.rindex("{") - within])
    assert "  the journal was cut off: its last line," in printed(capsys, "conform", str(cut))
    assert "INCONCLUSIVE: the journal was cut off" in printed(
        capsys, "conform", str(cut), "--strict", code=3
    )
    for path, found in ((str(cut), True), (journal, False)):
        content = json.loads(printed(capsys, "conform", path, "--format", "json"))
        assert (content["conforms"], content["cut"]) == (True, found)
    for form in ("junit", "markdown"):
        command = ["conform", str(cut), "--strict", "--format", form]
        assert "the journal was cut off" in printed(capsys, *command, code=3)
    assert "cut off" not in printed(capsys, "conform", journal)


KV = [
    [0.5, [{"type": "BlockStored", "block_hashes": ["ab", 7], "parent_block_hash": None}], 0],
    [0.6, [["BlockStored", ["ab"], None, [1, 2], 2, None, "GPU"]]],
    {"type": "BlockRemoved", "block_hashes": ["ab", "ab"], "medium": "GPU"},
    [0.7, [["AllBlocksCleared"], ["BlockStored", [7], None, [], 2, None]]],
]


def test_kv_cache_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "kv.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in KV))
    content = json.loads(printed(capsys, "conform", str(path), "--format", "json"))
    assert (content["kind"], content["events"]) == ("KV events", 5)
    status = {row["rule"]: row["status"] for row in content["rules"]}
    assert status.pop("publish") == "partly"
    assert set(status.values()) == {"unchecked"}
    assert main(["conform", str(path), "--strict"]) == 3
    assert main(["conform", str(path), "--level", "table"]) == 2
    assert "--level table: the log omits submit, alloc" in capsys.readouterr().err
    written = tmp_path / "written.jsonl"  # found by fuzzing: it was there beside the error
    assert main(["conform", str(path), "--level", "table", "--write-log", str(written)]) == 2
    assert not written.exists()
    capsys.readouterr()
    removed = {"type": "BlockRemoved", "block_hashes": ["ab"]}
    path.write_text(path.read_text() + json.dumps(removed) + "\n")
    capsys.readouterr()
    text = printed(capsys, "conform", str(path), code=1)
    assert "not published under 'ab' or any other key" in text
    assert "blocks free" not in text  # ids and number of the blocks are the reader's own
    assert main(["why", str(path)]) == 2
    assert "KV cache events name no requests; give an event log" in capsys.readouterr().err
    path.write_text(json.dumps(KV[0]) + "\n" + json.dumps({"type": "BlockMoved"}) + "\n")
    assert main(["conform", str(path)]) == 2
    assert "line 2: type: 'BlockMoved' is not one of BlockStored" in capsys.readouterr().err
