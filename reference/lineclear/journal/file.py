"""A journal on disk: every action of a run as one line, and the run again from these lines.

Guarantees: a replay does nothing but call the recorded actions on a new ledger, so it needs no scheduler and no
policy; an action that is refused, or a last state that differs, is reported with its line.

The first line names the format and the limits. Each other line is a JSON list: `["new", id,
prompt, limit, parallel]` introduces a request, with the names of its prompt's blocks behind if it has any,
`["name_blocks", "s5", [names]]` gives names to the next blocks of a sequence, and any other is an action's name and its
arguments, `"r3"` for request 3 and `"s5"` for sequence 5. The last line holds the number of actions and a
digest of the state that they led to; a file without it was cut off, maybe within a line. Files of format 1 are read
too (`earlier.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any, TextIO, cast

from lineclear.config import MOST_BLOCKS
from lineclear.journal.earlier import EARLIER_DIGEST, in_earlier_words, in_todays_words, is_earlier
from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import Limits, Refused, Request, Sequence

#: A row that is no action: a caller gives names to blocks.
NAMING = "name_blocks"
FORMAT = "lineclear journal 2"
#: Arguments that are records, and the mark before the record's number.
MARKS = {"request": "r", "sequence": "s", "parent": "s"}
#: Numbers that may be skipped between two requests.
MOST_SKIPPED = 1_000_000
LIMITS = tuple(sorted(Limits.__slots__))
#: What is not written, as in files of earlier versions.
USUAL: dict[str, Any] = {"cut_long": False}


Done = tuple[str, tuple[object, ...]]
After = Callable[[str, tuple[object, ...], Ledger], bool]


class JournalError(ValueError):
    """A file is no journal, or does not lead where it says; the message is one line."""


class NotAJournal(JournalError):
    """A line is not what a journal may hold, whatever the table allows."""


def first_line(limits: Limits) -> dict[str, Any]:
    """What a journal begins with."""
    given = {name: getattr(limits, name) for name in LIMITS}
    return {
        "journal": FORMAT,
        "limits": {name: value for name, value in given.items() if value != USUAL.get(name)},
    }


class JournalFile:
    """Writes what a ledger tells it; to be set as the ledger's journal."""

    def __init__(self, file: TextIO, limits: Limits) -> None:
        """Writes the first line."""
        self.file = file
        self.actions = 0
        self._introduced = 0
        self._write(first_line(limits))

    def __call__(self, name: str, arguments: tuple[object, ...]) -> None:
        """Writes one action."""
        row: list[object] = [name]
        for argument in arguments:
            if isinstance(argument, Request):
                self._introduce(argument)
                row.append(f"r{argument.id}")
            elif isinstance(argument, Sequence):
                row.append(f"s{argument.id}")
            else:
                row.append(argument)
        self._write(row)
        self.actions += name != NAMING

    def end(self, ledger: Ledger) -> None:
        """Writes the last line."""
        self._write({"end": self.actions, "digest": digest(ledger)})

    def _introduce(self, request: Request) -> None:
        """Requests are numbered as they are made, and written before their first action."""
        if request.phase in (Phase.WAITING, Phase.FINISHED) and request.id > self._introduced:
            self._introduced = request.id
            shape = [request.id, request.prompt, request.limit, request.parallel]
            self._write(["new", *shape, *([request.prompt_names] if request.prompt_names else [])])

    def _write(self, row: object) -> None:
        self.file.write(json.dumps(row, separators=(",", ":")) + "\n")


def state(ledger: Ledger) -> dict[str, Any]:
    """Everything that the actions so far have led to, as plain data."""
    live = sorted(
        (*ledger.waiting, *ledger.running, *ledger.swapped), key=lambda request: request.id
    )
    return {
        "steps": ledger.steps,
        "committed": ledger.committed,
        "operations": {
            "issued": ledger.issued,
            "done": ledger.done,
            "dispatched": ledger.dispatched,
        },
        "gpu": {"total": ledger.gpu.total, "free": ledger.gpu.free},
        "cpu": {"total": ledger.cpu.total, "free": ledger.cpu.free},
        "requests": [
            {
                "id": request.id,
                "phase": request.phase.name,
                "prompt": request.prompt,
                "limit": request.limit,
                "sequences": [
                    {
                        "id": sequence.id,
                        "num_tokens": ledger.num_tokens(sequence),
                        "num_computed_tokens": ledger.num_computed_tokens(sequence),
                        "num_allocated_slots": ledger.num_allocated_slots(sequence),
                        "table": [block.block_id for block in sequence.table],
                        "references": [block.ref for block in sequence.table],
                    }
                    for sequence in request.members
                ],
            }
            for request in live
        ],
    }


def digest(ledger: Ledger, earlier: bool = False) -> str:
    """A short name of the state: equal states have equal names. `earlier`: the name in journals of format 1."""
    pools: list[Any] = [
        [pool.order[: pool.free], pool.last_use] for pool in (ledger.gpu, ledger.cpu)
    ]
    if ledger.cached:
        pools.append(sorted((name, block.block_id) for name, block in ledger.cached.items()))
    said = in_earlier_words(state(ledger)) if earlier else state(ledger)
    text = json.dumps([said, pools], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(slots=True)
class Replay:
    """A run that is being done again.

    Attributes:
        ledger: the state that the actions so far have led to.
        actions: how many were done.
        complete: whether the last line was reached and the states agree.
    """

    ledger: Ledger
    actions: int = 0
    complete: bool = False


def replay(lines: Iterable[str], after: After | None = None) -> Replay:
    """Does every recorded action on a new ledger.

    Args:
        lines: of the file.
        after: called with each action that was done, with its arguments, and "" before the first; to
            return True stops the replay.

    Raises:
        NotAJournal: a line is malformed.
        JournalError: an action is refused, or the last state differs.
    """
    rows = parsed(lines)
    number, first = next(rows, (0, None))
    result = Replay(Ledger(limits_of(number, first)))
    ledger = result.ledger
    records: dict[str, object] = {}
    if after is not None and after("", (), ledger):
        return result
    for number, row in rows:
        try:
            name, arguments = do(result, row, records)
        except JournalError as error:
            raise type(error)(f"line {number}: {error}") from None
        if name and after is not None and after(name, arguments, ledger):
            break
    return result


def do(result: Replay, row: object, records: dict[str, object]) -> Done:
    """Does what one line says; name and arguments of the action, if it is one."""
    ledger = result.ledger
    if result.complete:
        raise NotAJournal("it is behind the last line of the journal, which holds the digest")
    if isinstance(row, dict):
        finish(cast("dict[str, object]", row), result)
        return "", ()
    if not isinstance(row, list) or not row:
        raise NotAJournal(
            f"{row!r:.80} is no action: a line is a list of an action's name and its arguments"
        )
    name, *arguments = cast("list[object]", row)
    if name == "new":
        request = introduce(ledger, arguments)
        records[f"r{request.id}"] = request
        return "", ()
    if name == NAMING:
        name_blocks(ledger, arguments, records)
        return "", ()
    if not isinstance(name, str) or name not in ACTIONS:
        raise NotAJournal(f"{name!r} is no action")
    action = ACTIONS[name]
    if len(arguments) != len(action.parameters):
        raise NotAJournal(f"{name} takes {len(action.parameters)} arguments")
    found = tuple(map(lookup, arguments, action.parameters, repeat(records)))
    try:
        made = action.body(ledger, *found)
    except Refused as refused:
        raise JournalError(f"{name} is refused, a guard is false: {refused.guard}") from None
    if isinstance(made, Sequence):
        records[f"s{made.id}"] = made
    result.actions += 1
    return name, found


def parsed(lines: Iterable[str]) -> Iterator[tuple[int, object]]:
    """Each line with its number, in today's words, but for a last line that was cut off in its middle."""
    earlier = False
    lines = iter(lines)
    for number, line in enumerate(lines, start=1):
        try:
            row: object = json.loads(line)
        except (ValueError, RecursionError):
            if number > 1 and not line.endswith("\n") and next(lines, None) is None:
                return  # its writer was killed
            raise NotAJournal(f"line {number}: it is not JSON, or was cut off") from None
        earlier = earlier or (number == 1 and is_earlier(row))
        yield number, in_todays_words(row) if earlier else row


def limits_of(number: int, row: object) -> Limits:
    """The limits in the first line."""
    content = cast("dict[str, Any]", row) if isinstance(row, dict) else {}
    if content.get("journal") != FORMAT or not isinstance(content.get("limits"), dict):
        found = content.get("journal", "missing")
        raise NotAJournal(
            f"line {max(number, 1)}: journal is {found!s:.80}, it must be {FORMAT!r} or 'lineclear journal 1'"
        )
    limits = {**USUAL, **cast("dict[str, Any]", content["limits"])}
    kinds = {name: bool if name in ("chunked", "cut_long") else int for name in LIMITS}
    given: dict[str, Any] = {name: type(value) for name, value in limits.items()}
    if given != kinds:
        bad = sorted(name for name in {*given, *kinds} if given.get(name) is not kinds.get(name))
        raise NotAJournal(
            f"line {number}: limits that are missing, unknown or of the wrong type: {', '.join(bad)}; "
            f"there must be {', '.join(LIMITS)}"
        )
    for name in ("gpu_blocks", "cpu_blocks"):
        if limits[name] > MOST_BLOCKS:
            raise NotAJournal(f"line {number}: {name} is {limits[name]}, at most {MOST_BLOCKS}")
    try:
        return Limits(**limits)
    except ValueError as error:
        raise NotAJournal(f"line {number}: {error}") from None


def introduce(ledger: Ledger, arguments: list[object]) -> Request:
    """A new request with the number that it had."""
    names = checked_names(arguments.pop()) if len(arguments) == 5 else ()
    if len(arguments) != 4 or not all(type(argument) is int for argument in arguments):
        raise NotAJournal("a request has four numbers: id, prompt, limit, parallel")
    number, prompt, limit, parallel = cast("list[int]", arguments)
    if not 0 < number - ledger.requests_made <= MOST_SKIPPED:
        raise NotAJournal(f"request {number} does not follow request {ledger.requests_made}")
    while True:  # numbers between were made for requests that never became any
        request = ledger.new_request(prompt, limit, parallel, names)
        if request.id == number:
            return request


def checked_names(names: object) -> tuple[int, ...]:
    """Names of blocks: whole numbers of at least 1."""
    found = tuple(cast("list[object]", names)) if isinstance(names, list) else None
    if found is None or not all(type(name) is int and name >= 1 for name in found):
        raise NotAJournal("names of blocks are a list of whole numbers of at least 1")
    return cast("tuple[int, ...]", found)


def name_blocks(ledger: Ledger, arguments: list[object], records: dict[str, object]) -> None:
    """The next blocks of a sequence get names."""
    if len(arguments) != 2:
        raise NotAJournal("name_blocks takes a sequence and names")
    sequence = cast("Sequence", lookup(arguments[0], "sequence", records))
    ledger.name_blocks(sequence, checked_names(arguments[1]))


def lookup(argument: object, parameter: str, records: dict[str, object]) -> object:
    """The record that an argument names, or the number that it is, as the parameter wants it."""
    mark = MARKS.get(parameter)
    if mark is None and type(argument) is int:
        return argument
    if mark is None or not isinstance(argument, str) or not argument.startswith(mark):
        wanted = "a whole number" if mark is None else f'the name of a record, such as "{mark}1"'
        raise NotAJournal(f"{parameter} is {argument!r:.80}: it must be {wanted}")
    if argument not in records:
        raise NotAJournal(f"{argument!r:.80} was not introduced")
    return records[argument]


def finish(row: dict[str, object], result: Replay) -> None:
    """Compares the last state with the recorded one."""
    earlier = EARLIER_DIGEST in row
    recorded = row.get(EARLIER_DIGEST if earlier else "digest")
    if type(row.get("end")) is not int or not isinstance(recorded, str):
        raise NotAJournal(
            f"{row!r:.80} is no last line, which holds end, a number, and digest, a text"
        )
    if row["end"] != result.actions:
        raise JournalError(f"{row['end']} actions were recorded, {result.actions} are here")
    if recorded != digest(result.ledger, earlier):
        raise JournalError("the actions lead to another state than was recorded")
    result.complete = True
