"""Command lines and files that a program draws: one line, the right exit code, nothing half written.

The search is the same in every run of continuous integration; the deep tests draw for as many examples
as LINECLEAR_FUZZ says, or for as long as LINECLEAR_FUZZ_SECONDS does (tests/README.md).
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hypothesis")
from fuzz import WORK, called, command_lines, damaged, parsers, search, search_long
from hypothesis import strategies as st

from lineclear.checks.counterexample import from_table
from lineclear.checks.itf import dumps
from lineclear.cli import COMMANDS, Parser, main
from lineclear.journal import file as journal_file
from lineclear_spec.kernel.records import Limits

Long = Callable[[st.SearchStrategy[Any], Callable[[Any], object]], int]
LIMITS = Limits(
    block_size=4, gpu_blocks=6, cpu_blocks=4, max_num_seqs=4, max_num_batched_tokens=64,
    max_model_len=64, chunked=True, max_steps_in_flight=1,
)  # fmt: skip
LOG = """\
{"e":"engine","log":"lineclear event log 1","blocks":4,"block_size":4,"max_seqs":4}
{"e":"submit","r":1,"prompt":4,"max":3}
"""
KV = (
    '[1.5,[{"type":"BlockStored","block_hashes":[1,2],"parent_block_hash":null,"token_ids":[1,2],'
    '"block_size":1},["BlockRemoved",[1]],{"type":"AllBlocksCleared"}]]\n'
)
TOML = """\
num_gpu_blocks = 64
num_cpu_blocks = 16
block_size = 16
watermark = 0.01
scheduling_policy = "aging"
preemption_mode = "swap"
enable_chunked_prefill = true
[policy_options]
seconds_per_level = 10
"""
CSV = """\
arrival_time,prompt_tokens,output_tokens,max_tokens,priority,n,client
0.0,16,8,16,0,1,a
0.5,32,4,8,1,2,b
1,7,1,1,-2,1,a
"""
JSONL = """\
{"timestamp": 0, "input_length": 64, "output_length": 5, "hash_ids": [1, 2]}
{"timestamp": 900, "input_length": 32, "output_length": 3, "hash_ids": [1]}
"""
STEPS = "seconds,tokens,sequences,context\n" + "".join(
    f"{0.01 + k / 1000},{k},{k % 5},{k * k}\n" for k in range(1, 12)
)


def texts(journal: str) -> dict[str, str]:
    """A valid file of each kind."""
    race = dumps(from_table(LIMITS, [("submit", (1, 2, 1))], "once", "request r1"))
    return {
        "journal.jsonl": journal, "log.jsonl": LOG, "kv.jsonl": KV, "trace.csv": CSV,
        "trace.jsonl": JSONL, "settings.toml": TOML, "steps.csv": STEPS, "race.itf.json": race,
    }  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A folder with a valid file of each kind, and some that are none; it is the working folder."""
    folder = tmp_path_factory.mktemp("fuzz")
    before = Path.cwd()
    os.chdir(folder)
    try:
        small = ("--num-requests", "6", "--num-gpu-blocks", "40", "--max-model-len", "512")
        assert main(["simulate", *small, "--journal", "journal.jsonl"]) == 0
        valid = texts(Path("journal.jsonl").read_text())
        for name, text in valid.items():
            Path(name).write_text(text)
        for name in ("file", "empty", "locked"):
            Path(name).write_text("" if name == "empty" else "kept")
        Path("locked").chmod(0)
        yield valid
    finally:
        os.chdir(before)


def test_every_command_says_where_its_work_begins() -> None:
    assert tuple(WORK) == COMMANDS
    assert set(parsers()) == set(COMMANDS)


class Clock:
    """Time in which each example takes a second."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_a_long_search_stops_in_time_and_says_how_many_it_tested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr("fuzz.time", clock)
    lines: list[str] = []

    def each(_: int) -> None:
        clock.now += 1

    assert search_long(st.integers(), each, lines.append, seconds=40) == 40
    assert [line.split(": ")[1] for line in lines] == [
        "30 examples in 30 s",
        "40 examples in 40 s, no finding",
    ]


def test_a_long_search_shrinks_what_it_finds_although_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr("fuzz.time", clock)
    lines: list[str] = []

    def each(number: int) -> None:
        clock.now += 1
        if number > 99:
            clock.now += 1000
            raise ValueError(number)

    with pytest.raises(ValueError, match=r"^100\b"):
        search_long(st.integers(), each, lines.append, seconds=900)
    assert any("failed" in line for line in lines)


# ---- flags --------------------------------------------------------------------------------------


def test_a_command_line_is_accepted_or_refused_on_one_line(files: dict[str, str]) -> None:
    search(command_lines(), 400, called)


@pytest.mark.deep
def test_a_command_line_is_accepted_or_refused_on_one_line_deep(
    files: dict[str, str], long_search: Long
) -> None:
    long_search(command_lines(), called)


def test_the_search_of_flags_finds_a_handler_that_was_broken(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def two_lines(self: Parser, message: str) -> None:
        self.exit(2, f"{self.prog}: error\n{message}\n")

    with monkeypatch.context() as broken:
        broken.setattr(Parser, "error", two_lines)
        with pytest.raises(AssertionError):
            search(command_lines(), 100, called)

    def unchecked(path: str) -> dict[str, Any]:
        with open(path, "rb") as file:
            return tomllib.load(file)

    line = ["simulate", "--config", "trace.csv"]
    assert called(line) == 2
    monkeypatch.setattr("lineclear.cli.settings.read_toml", unchecked)
    with pytest.raises(tomllib.TOMLDecodeError):
        called(line)


# ---- files --------------------------------------------------------------------------------------

#: What reads each kind of file; FILE is its name.
READERS: dict[str, list[list[str]]] = {
    "journal.jsonl": [
        ["replay", "FILE"], ["replay", "FILE", "--step", "3"], ["conform", "FILE"],
        ["conform", "FILE", "--level", "table"], ["why", "FILE", "--at", "9"],
    ],
    "log.jsonl": [["conform", "FILE"], ["why", "FILE"], ["replay", "FILE"]],
    "kv.jsonl": [["conform", "FILE"], ["why", "FILE"]],
    "trace.csv": [["simulate", "FILE", "--num-requests", "3", "--max-model-len", "128"]],
    "trace.jsonl": [["simulate", "FILE", "--num-requests", "2", "--max-model-len", "128"]],
    "settings.toml": [["simulate", "--config", "FILE", "--num-requests", "2"]],
    "steps.csv": [["simulate", "--step-time", "fit=FILE", "--num-requests", "2"]],
    "race.itf.json": [["replay", "FILE"], ["replay", "FILE", "--step", "1", "--format", "json"]],
}  # fmt: skip


@st.composite
def file_cases(draw: st.DrawFn, files: dict[str, str]) -> tuple[list[str], str]:
    """A command that reads a file, and the text of the file."""
    name = draw(st.sampled_from(sorted(READERS)))
    return draw(st.sampled_from(READERS[name])), draw(damaged(files[name]))


def read(case: tuple[list[str], str]) -> None:
    """The command reads the damaged file, and its work is done if it accepts it."""
    line, text = case
    Path("damaged").write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    called(
        [word.replace("FILE", "damaged") for word in line],
        stop="--config" in line or "--step-time" in line,
    )


#: What is refused whole: an event log is no journal, and KV events name no requests.
NOT_READ = {("log.jsonl", "replay"), ("kv.jsonl", "why")}


def test_a_valid_file_is_read(files: dict[str, str]) -> None:
    for name, lines in READERS.items():
        for line in lines:
            Path("damaged").write_text(files[name])
            stopped = "--config" in line or "--step-time" in line
            given = [word.replace("FILE", "damaged") for word in line]
            code = called(given, stop=stopped)
            wanted = 2 if (name, line[0]) in NOT_READ else None if stopped else 0
            assert code == wanted, (line, name)


def test_a_damaged_file_is_read_or_refused_on_one_line(files: dict[str, str]) -> None:
    search(file_cases(files), 500, read)


@pytest.mark.deep
def test_a_damaged_file_is_read_or_refused_on_one_line_deep(
    files: dict[str, str], long_search: Long
) -> None:
    long_search(file_cases(files), read)


def test_the_search_of_files_finds_a_handler_that_was_broken(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that were not checked to be JSON."""

    def unchecked(lines: Iterable[str]) -> Iterator[tuple[int, object]]:
        for number, line in enumerate(lines, start=1):
            yield number, json.loads(line)

    monkeypatch.setattr(journal_file, "parsed", unchecked)
    cases = damaged(files["journal.jsonl"]).map(lambda text: (["replay", "FILE"], text))
    with pytest.raises((ValueError, ExceptionGroup)):
        search(cases, 200, read)
