"""Readers and generator: what a row becomes, the error of a bad row, and that a seed is a seed."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from lineclear.workload.readers import FORMATS, Format, read_workload
from lineclear.workload.workload import (
    EMBEDDED_RATE,
    EMBEDDED_REQUESTS,
    Arrival,
    Lengths,
    Workload,
    WorkloadError,
    spread_out,
    synthetic,
)

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def file(tmp_path: Path, text: str, name: str = "trace.csv") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    return str(path)


def complaint(path: str) -> str:
    with pytest.raises(WorkloadError) as caught:
        read_workload(path, max_tokens=100)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_azure_rows_keep_their_microseconds_and_drop_the_seventh_digit(tmp_path: Path) -> None:
    text = (
        AZURE
        + "2023-11-16 18:15:46.6805909,374,44\n2023-11-16 18:15:50.9951690,396,9\n"
        + "2023-11-16 18:15:51,1,1\n"
    )
    workload = read_workload(file(tmp_path, text), max_tokens=100)
    assert workload.kind == "azure2023"
    assert "Splitwise" in workload.source
    assert workload.name == "trace.csv"
    assert [a.arrival_time for a in workload.requests] == [0.0, 4.314579, 4.31941]
    first = workload.requests[0]
    assert (first.request_id, first.prompt_tokens, first.output_tokens) == ("0", 374, (44,))
    assert first.max_tokens == 100
    assert (workload.prompt_tokens, workload.output_tokens) == (771, 54)


def test_mooncake_counts_milliseconds_and_ignores_other_columns(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"timestamp": 3000, "input_length": 9, "output_length": 2, "hash_ids": [0]},
        {"timestamp": 221200, "input_length": 7, "output_length": 3, "hash_ids": []},
    ]
    text = "\n\n".join(json.dumps(row) for row in rows)
    workload = read_workload(file(tmp_path, text, "trace.jsonl"), max_tokens=100)
    assert workload.kind == "mooncake"
    assert "Mooncake" in workload.source
    assert [a.arrival_time for a in workload.requests] == [0.0, 218.2]
    assert workload.seconds == 218.2


@pytest.mark.parametrize("known", FORMATS, ids=[f.name for f in FORMATS])
def test_every_format_is_recognised_by_its_columns(tmp_path: Path, known: Format) -> None:
    cells = {known.output: "3"}
    if known.prompt:
        cells[known.prompt] = "5"
    if known.time:
        cells[known.time] = "2024-01-01 00:00:00" if known.name == "azure2023" else "7"
    text = f"{','.join(cells)}\n{','.join(cells.values())}\n"
    workload = read_workload(file(tmp_path, text), max_tokens=100)
    assert workload.kind == known.name
    assert workload.requests[0].prompt_tokens == (5 if known.prompt else 128)
    assert workload.requests[0].output_tokens == (3,)


def test_own_format_has_caps_priorities_clients_and_branches(tmp_path: Path) -> None:
    rows = [
        {"arrival_time": 1.5, "prompt_tokens": 8, "output_tokens": [4, 6], "max_tokens": 5,
         "priority": -2, "client": "a", "request_id": "x"},
        {"arrival_time": 0.5, "prompt_tokens": 3, "output_tokens": 7, "n": 3},
    ]  # fmt: skip
    text = "\n".join(json.dumps(row) for row in rows)
    workload = read_workload(file(tmp_path, text), max_tokens=9)
    early, late = workload.requests
    assert (early.output_tokens, early.parallel, early.max_tokens) == ((7, 7, 7), 3, 9)
    assert (early.priority, early.client, early.arrival_time) == (0, "", 0.0)
    assert (late.request_id, late.output_tokens, late.priority) == ("x", (4, 5), -2)
    assert (late.client, late.arrival_time, late.max_tokens) == ("a", 1.0, 5)
    assert workload.clipped == 1, "6 tokens were cut at max_tokens 5"


def test_rows_of_one_moment_stay_in_their_order(tmp_path: Path) -> None:
    text = "num_prefill_tokens,num_decode_tokens\n5,1\n4,1\n6,1\n"
    workload = read_workload(file(tmp_path, text), max_tokens=9)
    assert [a.prompt_tokens for a in workload.requests] == [5, 4, 6]
    assert (
        read_workload(file(tmp_path, text), max_tokens=9, limit=2).requests
        == (workload.requests[:2])
    )


STAMP = "2023-11-16 18:15:46.68"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "trace.csv: it is empty"),
        (" \n\n", "trace.csv: it is empty"),
        (AZURE, "trace.csv: no request in it"),
        (f"{AZURE}{STAMP},12\n", "trace.csv, row 2: 2 cells under 3 columns"),
        (f"{AZURE}{STAMP},1,1\n{STAMP},1,1,1\n", "row 3: 4 cells under 3 columns"),
        (f"{AZURE}{STAMP},12.5,1\n", "row 2: ContextTokens is '12.5', not a whole number"),
        (f"{AZURE}{STAMP},,1\n", "row 2: ContextTokens is '', not a whole number"),
        (f"{AZURE}{STAMP},0,1\n", "row 2: ContextTokens is 0, less than 1"),
        (f"{AZURE}{STAMP},{'9' * 30},1\n", "9', more than 2,147,483,648"),
        (f"{AZURE}{STAMP},5,-3\n", "row 2: GeneratedTokens is -3, less than 1"),
        (f"{AZURE}{STAMP},5,{10**12}\n", "GeneratedTokens is '1000000000000', more than"),
        (f"{AZURE}{STAMP},٣,1\n", "ContextTokens is '٣', not a whole number"),
        (f"{AZURE}yesterday,5,3\n", "row 2: TIMESTAMP: 'yesterday' is no date and time"),
        (f'{AZURE}"{STAMP},5,3\n', "unexpected end of data"),
        ("a,b\n1,2\n", "row 2: its columns (a, b) are of no known format (lineclear: "),
        ('{"timestamp": 1\n', "row 1: no JSON object: "),
        ("[1]\n", "row 1: [1] is no JSON object"),
        ('{"timestamp": null, "input_length": 1, "output_length": 1}', "timestamp: None is no"),
        ('{"timestamp": NaN, "input_length": 1, "output_length": 1}', "timestamp: nan is no"),
        (
            '{"timestamp": -1e308, "input_length": 1, "output_length": 1}',
            "is no number from -1e+30",
        ),
        ('{"timestamp": 1, "input_length": true, "output_length": 1}', "input_length is True"),
        ('{"timestamp": 1, "input_length": 2.0, "output_length": 1}', "input_length is 2.0"),
        ('{"arrival_time": 0, "prompt_tokens": 1, "output_tokens": []}', "lists 0 lengths"),
        (
            '{"arrival_time": 0, "prompt_tokens": 1, "output_tokens": [1, 2], "n": 3}',
            "output_tokens lists 2 lengths for 3 sequences",
        ),
        ('{"arrival_time": 0, "prompt_tokens": 1, "output_tokens": 1, "n": 5000}', "more than"),
        (
            '{"timestamp": 1, "input_length": 1, "output_length": 1}\n'
            '{"timestamp": 1, "input_length": 1}\n',
            "trace.csv, row 2: output_length is missing",
        ),
        (
            "request_id,arrival_time,prompt_tokens,output_tokens\na,0,1,1\nb,0,1,1\na,0,1,1\n",
            "trace.csv, row 4: request_id 'a' is that of row 2 too",
        ),
        (f'{{"timestamp": {"9" * 5000}}}', "row 1: no JSON object: "),
    ],
)
def test_a_bad_file_is_reported_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    assert said in complaint(file(tmp_path, text))


def test_files_that_cannot_be_read_are_reported_by_name(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.csv")
    assert complaint(missing) == f"{missing}: No such file or directory"
    assert "Is a directory" in complaint(str(tmp_path))
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    assert complaint(str(binary)) == f"{binary}: not valid UTF-8"


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "windows.csv"
    path.write_bytes(b"\xef\xbb\xbf" + f"{AZURE}{STAMP},5,3\n".replace("\n", "\r\n").encode())
    assert read_workload(str(path), max_tokens=9).requests[0].prompt_tokens == 5


def test_standard_input_is_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{AZURE}{STAMP},5,3\n"))
    workload = read_workload("-", max_tokens=9)
    assert (workload.name, len(workload.requests)) == ("standard input", 1)


def test_a_seed_draws_the_same_requests_everywhere() -> None:
    first, again, other = synthetic(50, 4.0, 7), synthetic(50, 4.0, 7), synthetic(50, 4.0, 8)
    assert first == again
    assert first.requests != other.requests
    # Written down once: a change of these is a change of every published figure.
    assert [(a.prompt_tokens, a.output_tokens) for a in synthetic(3, 4.0, 0).requests] == DRAWN


DRAWN = [(448, (94,)), (145, (73,)), (595, (69,))]


def test_drawn_lengths_keep_their_bounds_and_their_median() -> None:
    workload = synthetic(2_000, 10.0, 1)
    prompts = sorted(a.prompt_tokens for a in workload.requests)
    assert prompts[0] >= 8
    assert prompts[-1] <= 1_024
    assert 165 <= prompts[1_000] <= 195
    assert all(max(a.output_tokens) <= a.max_tokens == 512 for a in workload.requests)
    assert {a.priority for a in workload.requests} == {0, 1, 2}
    assert {a.parallel for a in workload.requests} == {1, 3}
    assert workload.seconds == pytest.approx(200, rel=0.1)
    times = [a.arrival_time for a in workload.requests]
    assert times == sorted(times)


def test_an_infinite_rate_lets_all_arrive_at_once() -> None:
    assert {a.arrival_time for a in synthetic(5, math.inf, 0).requests} == {0.0}


def test_the_embedded_workload_is_the_same_every_time() -> None:
    workload = synthetic(EMBEDDED_REQUESTS, EMBEDDED_RATE, 0)
    assert workload == synthetic(EMBEDDED_REQUESTS, EMBEDDED_RATE, 0)
    assert len(workload.requests) == 200
    assert workload.clipped == 0
    assert replace(workload, name="").kind == "synthetic"


@pytest.mark.parametrize(
    ("requests", "rate", "said"), [(0, 1.0, "0 requests"), (1, 0.0, "0.0"), (1, math.nan, "nan")]
)
def test_what_cannot_be_drawn_is_refused(requests: int, rate: float, said: str) -> None:
    with pytest.raises(WorkloadError, match=said):
        synthetic(requests, rate, 0)


def test_lengths_without_room_are_refused() -> None:
    with pytest.raises(WorkloadError, match="1 <= least"):
        Lengths(median=5, sigma=1.0, least=6, most=7)
    with pytest.raises(WorkloadError, match="spread"):
        Lengths(median=5, sigma=math.inf, least=1, most=7)
    with pytest.raises(WorkloadError, match="counted from 1"):
        synthetic(1, 1.0, 0, parallel=())


def test_requests_without_times_are_spread_out_alike_for_a_seed() -> None:
    at_once = Workload("w", "ssjf", tuple(Arrival(str(k), 0.0, 8, (4,), 4) for k in range(2_000)))
    drawn = spread_out(at_once, 5.0, 3)
    assert [r.request_id for r in drawn.requests] == [r.request_id for r in at_once.requests]
    times = [r.arrival_time for r in drawn.requests]
    assert times == sorted(times)
    assert times[0] == 0.0
    assert drawn.seconds == pytest.approx(400, rel=0.1)
    assert spread_out(at_once, 5.0, 3) == drawn != spread_out(at_once, 5.0, 4)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    at_once = Workload("w", "ssjf", (Arrival("a", 0.0, 8, (4,), 4),))
    with pytest.raises(WorkloadError, match="give a number above 0"):
        spread_out(at_once, rate, 0)


def test_times_of_a_file_are_not_replaced() -> None:
    timed = Workload("w", "vtc", (Arrival("a", 0.0, 8, (4,), 4), Arrival("b", 1.0, 8, (4,), 4)))
    with pytest.raises(WorkloadError, match="has arrival times of its own"):
        spread_out(timed, 2.0, 0)


def test_names_of_a_prompts_blocks_are_kept(tmp_path: Path) -> None:
    row = '{"timestamp": 0, "input_length": 1030, "output_length": 4, "hash_ids": %s}\n'
    path = file(tmp_path, row % "[7, 8, 9]" + row % "[]", "trace.jsonl")
    requests = read_workload(path, max_tokens=64).requests
    assert [request.prefix_ids for request in requests] == [(7, 8, 9), ()]
    with pytest.raises(WorkloadError, match="row 1: hash_ids is no list of whole numbers"):
        read_workload(file(tmp_path, row % '["a"]', "bad.jsonl"), max_tokens=64)
