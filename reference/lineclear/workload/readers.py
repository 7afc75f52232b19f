"""Workload files: which formats are known, how a row becomes a request, and the errors of bad rows.

Guarantees: a file is read whole before anything runs; the first bad row ends the reading with one
line that names file, row and reason.

A format is recognised by its columns, not by the file's name. Formats differ in the names of the
columns and in how time is written, nothing else, so each is one `Format`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from lineclear.workload.rows import (
    MOST_TOKENS,
    BadRow,
    microseconds,
    number,
    read_text,
    rows_of,
    whole,
)
from lineclear.workload.workload import Arrival, Workload, WorkloadError

#: Sequences that one request may be sampled into.
MOST_PARALLEL = 1 << 12
#: Tokens of a prompt in a file that tells outputs only.
UNTOLD_PROMPT = 128


@dataclass(frozen=True, slots=True)
class Format:
    """The columns of one kind of file.

    Attributes:
        name: what reports call it.
        prompt: column of the prompt's tokens, or "" if the file has none: then 128 for all.
        output: column of the tokens really generated.
        time: column of the arrival, or "" if the file has none: then all arrive at once.
        clock: how a cell of that column becomes a count.
        per_second: how many of these counts are a second.
        request_id: column of the id, if any.
        client: column that says who sent it, if any.
        predicted: column with a guess of the output, if any.
        prefix: column with the names of its prompt's blocks, if any.
        source: whom to credit.
    """

    name: str
    prompt: str
    output: str
    time: str = ""
    clock: Callable[[object], float] = number
    per_second: float = 1
    request_id: str = ""
    client: str = ""
    predicted: str = ""
    prefix: str = ""
    source: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """What every row must have."""
        return tuple(column for column in (self.time, self.prompt, self.output) if column)

    def matches(self, columns: Sequence[str]) -> bool:
        """Whether a file with these columns can be read this way."""
        return all(column in columns for column in self.columns)


#: The project's own format first; its optional columns are max_tokens, priority, n, predicted_tokens and deadline.
FORMATS = (
    Format(
        "lineclear",
        "prompt_tokens",
        "output_tokens",
        "arrival_time",
        request_id="request_id",
        client="client",
        predicted="predicted_tokens",
    ),
    Format(
        "azure2023",
        "ContextTokens",
        "GeneratedTokens",
        "TIMESTAMP",
        microseconds,
        1e6,
        source="Azure LLM inference trace 2023 (Patel et al., Splitwise, ISCA 2024; CC-BY 4.0)",
    ),
    Format(
        "mooncake",
        "input_length",
        "output_length",
        "timestamp",
        per_second=1e3,
        prefix="hash_ids",
        source="Mooncake trace (Qin et al., FAST 2025; Apache-2.0)",
    ),
    Format(
        "vtc",
        "prompt_len",
        "output_len",
        "req_time",
        request_id="req_id",
        client="adapter_dir",
        source="VTC artifact (Sheng et al., OSDI 2024; Apache-2.0)",
    ),
    Format(
        "llmservingsim",
        "input_toks",
        "output_toks",
        "arrival_time_ns",
        per_second=1e9,
        source="LLMServingSim (MIT)",
    ),
    Format("vidur", "num_prefill_tokens", "num_decode_tokens", source="Vidur (MIT)"),
    Format(
        "ssjf",
        "",
        "output_token_length",
        predicted="predicted_length",
        source="SSJF predictions (Qiu et al., arXiv 2404.08509; Apache-2.0)",
    ),
)


def read_workload(path: str, *, max_tokens: int, limit: int | None = None) -> Workload:
    """Reads a CSV or JSONL file, or standard input if the path is `-`.

    Args:
        path: the file.
        max_tokens: the most that a sequence may generate, where a row does not say; what is really
            generated beyond it is cut and counted in `Workload.clipped`.
        limit: read only so many rows.

    Raises:
        WorkloadError: the file cannot be read, has no known columns, or a row is malformed.
    """
    name = "standard input" if path == "-" else os.path.basename(path)
    rows = rows_of(name, read_text(path))
    format_: Format | None = None
    arrivals: list[Arrival] = []
    seen: dict[str, int] = {}
    clipped = 0
    for line, row in rows:
        if limit is not None and len(arrivals) >= limit:
            break
        try:
            format_ = format_ or recognise(row)
            arrival, cut = make_arrival(format_, row, str(len(arrivals)), max_tokens)
            if arrival.request_id in seen:
                earlier = seen[arrival.request_id]
                raise BadRow(f"request_id {arrival.request_id!r} is that of row {earlier} too")
        except BadRow as bad:
            raise WorkloadError(f"{name}, row {line}: {bad}") from None
        seen[arrival.request_id] = line
        arrivals.append(arrival)
        clipped += cut
    if format_ is None:
        raise WorkloadError(f"{name}: no request in it")
    requests = in_order(arrivals, format_.per_second)
    return Workload(name, format_.name, requests, clipped, format_.source)


def in_order(arrivals: list[Arrival], per_second: float) -> tuple[Arrival, ...]:
    """By arrival, rows of one moment as they stood, in seconds after the first."""
    arrivals.sort(key=lambda arrival: arrival.arrival_time)
    first = arrivals[0].arrival_time

    def seconds(moment: float) -> float:
        return (moment - first) / per_second

    return tuple(
        replace(
            arrival,
            arrival_time=seconds(arrival.arrival_time),
            deadline=None if arrival.deadline is None else seconds(arrival.deadline),
        )
        for arrival in arrivals
    )


def recognise(row: Mapping[str, object]) -> Format:
    """The format that has these columns."""
    columns = list(row)
    for format_ in FORMATS:
        if format_.matches(columns):
            return format_
    known = "; ".join(f"{f.name}: {', '.join(f.columns)}" for f in FORMATS)
    raise BadRow(f"its columns ({', '.join(columns[:6])}) are of no known format ({known})")


def make_arrival(
    format_: Format, row: Mapping[str, object], ordinal: str, cap: int
) -> tuple[Arrival, int]:
    """The request of one row, its time as the file counts, and 1 if its output was cut.

    Args:
        format_: names the columns.
        row: values by column.
        ordinal: id of the request if the row has none.
        cap: tokens to generate at most.
    """
    for column in format_.columns:
        if column not in row:
            raise BadRow(f"{column} is missing")
    try:
        time = format_.clock(row[format_.time]) if format_.time else 0.0
    except BadRow as bad:
        raise BadRow(f"{format_.time}: {bad}") from None
    own = format_.name == "lineclear"
    prompt = whole(row, format_.prompt) if format_.prompt else UNTOLD_PROMPT
    parallel = whole(row, "n", most=MOST_PARALLEL) if own and given(row, "n") else 1
    outputs = output_lengths(row, format_.output, parallel)
    most = whole(row, "max_tokens") if own and given(row, "max_tokens") else cap
    priority = whole(row, "priority", least=-MOST_TOKENS) if own and given(row, "priority") else 0
    name = str(row[format_.request_id]) if given(row, format_.request_id) else ordinal
    client = str(row[format_.client]) if given(row, format_.client) else ""
    kept = tuple(min(length, most) for length in outputs)
    predicted = None
    if given(row, format_.predicted):
        predicted = whole(row, format_.predicted, least=0)
    deadline = None
    if own and given(row, "deadline"):
        try:
            deadline = number(row["deadline"])
        except BadRow as bad:
            raise BadRow(f"deadline: {bad}") from None
    prefix = prefix_ids(row, format_.prefix) if given(row, format_.prefix) else ()
    arrival = Arrival(
        name, time, prompt, kept, most, priority, client, predicted, deadline, prefix
    )
    return arrival, int(kept != outputs)


def given(row: Mapping[str, object], column: str) -> bool:
    """Whether an optional cell has something in it."""
    return bool(column) and row.get(column) not in (None, "")


def prefix_ids(row: Mapping[str, object], column: str) -> tuple[int, ...]:
    """Names of the blocks of a prompt: a list of whole numbers."""
    cell = row[column]
    cells = cast("list[object]", cell) if isinstance(cell, list) else [cell]
    if not all(type(each) is int for each in cells):
        raise BadRow(f"{column} is no list of whole numbers")
    return tuple(cast("list[int]", cells))


def output_lengths(row: Mapping[str, object], column: str, parallel: int) -> tuple[int, ...]:
    """What each sequence generates: one number for all of them, or in JSON a list."""
    cell = row[column]
    if not isinstance(cell, list):
        return (whole(row, column),) * parallel
    cells = cast("list[object]", cell)
    if not cells or (parallel not in (1, len(cells))):
        raise BadRow(f"{column} lists {len(cells)} lengths for {parallel} sequences")
    return tuple(whole({column: each}, column) for each in cells)
