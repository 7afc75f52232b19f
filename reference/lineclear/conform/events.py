"""The vocabulary of the event log: what each line may say, and what makes a line malformed.

Guarantees: `check_event` accepts exactly the events that docs/event_log.md describes; every error
names the field, the value and the remedy. Whether an event may happen is decided by the rules.

An event is a plain dict, so that a log of many lines costs no more than its JSON. The types here
are what editors and type checkers read; the table of fields is compiled from them once.
"""

from collections.abc import Callable
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict, cast, get_type_hints

__all__ = [
    "FIELDS",
    "KINDS",
    "Block",
    "Event",
    "EventError",
    "RequestId",
    "check_event",
]

RequestId: TypeAlias = str | int
Block: TypeAlias = int
Blocks: TypeAlias = list[int]
Key: TypeAlias = str | int
Keys: TypeAlias = list[str | int]
#: A block of a named pool.
Place: TypeAlias = list[Any]
Places: TypeAlias = list[list[Any]]
#: [r, start, tokens, samples] or [r, start, tokens, samples, s].
Rows: TypeAlias = list[list[Any]]
#: [r, tokens] or [r, tokens, s].
Kept: TypeAlias = list[list[Any]]
Ids: TypeAlias = list[str | int]
#: Block ids of the default pool, or those of each pool by its name.
FreeIds: TypeAlias = list[int] | dict[str, list[int]]


#: The pool that an event means unless it names one.
DEFAULT_POOL = "gpu"


class EventError(ValueError):
    """A line of a log is malformed; the message names the field, the value and the remedy."""


class Submit(TypedDict):
    """A request was accepted and waits."""

    e: Literal["submit"]
    r: RequestId
    prompt: int  # tokens
    max: NotRequired[int]  # tokens that it may generate, each of its sequences
    n: NotRequired[int]  # sequences that it may have, 1 if absent
    priority: NotRequired[int]


class Reject(TypedDict):
    """A request was turned away at the door."""

    e: Literal["reject"]
    r: RequestId


class Alloc(TypedDict):
    """Blocks with no content of use were appended to a table, or put in at entry `at`."""

    e: Literal["alloc"]
    r: RequestId
    blocks: Blocks
    s: NotRequired[int]
    at: NotRequired[int]
    pool: NotRequired[str]
    group: NotRequired[str]


class Hit(TypedDict):
    """Blocks whose content is used again were appended to a table, or put in at entry `at`."""

    e: Literal["hit"]
    r: RequestId
    blocks: Blocks
    keys: NotRequired[Keys]  # the content that the request needs, one for each block
    s: NotRequired[int]
    at: NotRequired[int]
    pool: NotRequired[str]
    group: NotRequired[str]


class Free(TypedDict):
    """The entries of a table from `at` on, which name these blocks, were taken out of it."""

    e: Literal["free"]
    r: RequestId
    at: int
    blocks: Blocks
    s: NotRequired[int]
    pool: NotRequired[str]
    group: NotRequired[str]


class Fork(TypedDict):
    """Sequence `s` of a request begins with what sequence `of` has."""

    e: Literal["fork"]
    r: RequestId
    s: int
    of: int
    entries: NotRequired[int]  # entries of the table that it shares, all if absent
    known: NotRequired[int]  # tokens that it knows, those of `of` if absent


class Prune(TypedDict):
    """One sequence of a request ended."""

    e: Literal["prune"]
    r: RequestId
    s: int


class Store(TypedDict):
    """Blocks became findable by other requests."""

    e: Literal["store"]
    blocks: Blocks
    keys: NotRequired[Keys]
    pool: NotRequired[str]


class Evict(TypedDict):
    """Blocks are no longer findable."""

    e: Literal["evict"]
    blocks: Blocks
    keys: NotRequired[Keys]
    pool: NotRequired[str]


class Step(TypedDict):
    """A forward pass was issued over these rows."""

    e: Literal["step"]
    n: int  # counted up by 1 from the first step of the log
    rows: Rows
    after: NotRequired[list[int]]  # copies that it waits for
    after_step: NotRequired[int]  # every step up to this one is over before it starts


class Idle(TypedDict):
    """The engine was asked for a step and scheduled nothing."""

    e: Literal["idle"]


class Settle(TypedDict):
    """The forward pass of a step is over and its tokens are known."""

    e: Literal["settle"]
    n: int
    kept: NotRequired[Kept]  # tokens kept, for rows where they differ from `samples`


class Copy(TypedDict):
    """A copy of blocks was issued."""

    e: Literal["copy"]
    op: int
    src: Places
    dst: Places
    after: NotRequired[list[int]]
    after_step: NotRequired[int]


class Done(TypedDict):
    """A copy is complete, or has failed."""

    e: Literal["done"]
    op: int
    failed: NotRequired[bool]


class Preempt(TypedDict):
    """A running request stops running and keeps its tokens."""

    e: Literal["preempt"]
    r: RequestId
    how: Literal["recompute", "swap", "restart"]  # restart: generated tokens are lost
    lost: NotRequired[bool]  # what steps in flight sample for it is dropped


class Resume(TypedDict):
    """A preempted request runs again."""

    e: Literal["resume"]
    r: RequestId
    how: NotRequired[Literal["recompute", "swap"]]


class Finish(TypedDict):
    """A request is complete."""

    e: Literal["finish"]
    r: RequestId


class Abort(TypedDict):
    """A request is no longer wanted and ended."""

    e: Literal["abort"]
    r: RequestId


class Fail(TypedDict):
    """A request ended by an error of the engine."""

    e: Literal["fail"]
    r: RequestId


class Check(TypedDict):
    """What the engine itself says of its state."""

    e: Literal["check"]
    free: NotRequired[FreeIds]
    waiting: NotRequired[Ids]
    running: NotRequired[Ids]


Event: TypeAlias = (
    Submit
    | Reject
    | Alloc
    | Hit
    | Free
    | Fork
    | Prune
    | Store
    | Evict
    | Step
    | Idle
    | Settle
    | Copy
    | Done
    | Preempt
    | Resume
    | Finish
    | Abort
    | Fail
    | Check
)

CLASSES = (
    *(Submit, Reject, Alloc, Hit, Free, Fork, Prune, Store, Evict, Step, Idle, Settle),
    *(Copy, Done, Preempt, Resume, Finish, Abort, Fail, Check),
)


def is_list(value: Any) -> bool:
    """A list; what is in it is another question."""
    return type(value) is list


def is_object(value: Any) -> bool:
    """A JSON object; what is in it is another question."""
    return type(value) is dict


def is_id(value: object) -> bool:
    """Text or a whole number; True and 1.0 are neither, though Python takes them for 1."""
    return type(value) is str or type(value) is int


def is_count(value: object) -> bool:
    """A whole number, 0 or more."""
    return type(value) is int and value >= 0


def is_positive(value: object) -> bool:
    """A whole number, 1 or more."""
    return type(value) is int and value >= 1


def is_whole(value: object) -> bool:
    """A whole number of either sign."""
    return type(value) is int


def is_blocks(value: Any) -> bool:
    """A list of block ids that is not empty."""
    return is_list(value) and value != [] and all(type(b) is int for b in value)


def is_numbers(value: Any) -> bool:
    """A list of whole numbers."""
    return is_list(value) and all(type(b) is int for b in value)


def is_ids(value: Any) -> bool:
    """A list of request ids or keys."""
    return is_list(value) and all(type(b) is str or type(b) is int for b in value)


def is_places(value: Any) -> bool:
    """A list of [pool, block id] that is not empty."""
    return (
        is_list(value)
        and value != []
        and all(
            is_list(p) and len(p) == 2 and type(p[0]) is str and type(p[1]) is int for p in value
        )
    )


def is_rows(value: Any) -> bool:
    """A list of [r, start, tokens, samples] and perhaps s.

    A log has hundreds of rows for each other event, so this is written for speed.
    """
    if not is_list(value):
        return False
    for row in value:
        if row.__class__ is not list:
            return False
        if len(row) == 4:
            r, start, tokens, samples = row
        elif len(row) == 5 and is_count(row[4]):
            r, start, tokens, samples, _ = row
        else:
            return False
        if (
            start.__class__ is not int
            or tokens.__class__ is not int
            or samples.__class__ is not int
        ):
            return False
        if start < 0 or samples < 0 or (r.__class__ is not str and r.__class__ is not int):
            return False
    return True


def is_kept(value: Any) -> bool:
    """A list of [r, tokens] and perhaps s."""
    return is_list(value) and all(
        is_list(row)
        and len(row) in (2, 3)
        and is_id(row[0])
        and all(is_count(number) for number in row[1:])
        for row in value
    )


def is_free(value: Any) -> bool:
    """Block ids, or a list of them for each pool."""
    if type(value) is dict:
        pools = cast("dict[object, object]", value)
        return all(type(pool) is str and is_numbers(ids) for pool, ids in pools.items())
    return is_numbers(value)


Test: TypeAlias = Callable[[object], bool]
#: By the name of the field, where its type alone does not say enough.
BY_NAME: dict[str, tuple[Test, str]] = {
    "prompt": (is_positive, "a whole number, 1 or more"),
    "max": (is_positive, "a whole number, 1 or more"),
    "n": (is_positive, "a whole number, 1 or more"),
    "priority": (is_whole, "a whole number"),
    "blocks": (is_blocks, "a list of block ids, not empty"),
    "keys": (is_ids, "a list of texts or whole numbers"),
    "rows": (is_rows, "a list of [r, start, tokens, samples] or [r, start, tokens, samples, s]"),
    "kept": (is_kept, "a list of [r, tokens] or [r, tokens, s]"),
    "src": (is_places, "a list of [pool, block id], not empty"),
    "dst": (is_places, "a list of [pool, block id], not empty"),
    "free": (is_free, "a list of block ids, or an object with such a list for each pool"),
    "after": (is_numbers, "a list of the numbers of copies"),
}
BY_TYPE: dict[object, tuple[Test, str]] = {
    RequestId: (is_id, "a text or a whole number"),
    int: (is_count, "a whole number, 0 or more"),
    str: (lambda value: type(value) is str, "a text"),
    bool: (lambda value: type(value) is bool, "true or false"),
    Ids: (is_ids, "a list of request ids"),
}


def one_of(words: tuple[object, ...]) -> Test:
    """A test for one of some words."""
    return lambda value: value in words


def compiled(cls: Any) -> dict[str, tuple[Test, str, bool]]:
    """For each field of an event: its test, what it must be, and whether it may be absent."""
    fields: dict[str, tuple[Test, str, bool]] = {}
    for name, hint in get_type_hints(cls).items():
        if name == "e":
            continue
        if getattr(hint, "__origin__", None) is Literal:
            words = tuple(hint.__args__)
            test, what = one_of(words), f"one of {', '.join(words)}"
        else:
            test, what = BY_NAME.get(name) or BY_TYPE[hint]
        fields[name] = (test, what, name not in cls.__required_keys__)
    return fields


#: For each kind of event its fields.
FIELDS = {get_type_hints(cls)["e"].__args__[0]: compiled(cls) for cls in CLASSES}
KINDS = tuple(FIELDS)
#: The fields that must be there, by kind.
REQUIRED = {
    kind: tuple(name for name, (_, _, optional) in fields.items() if not optional)
    for kind, fields in FIELDS.items()
}


def check_event(event: object) -> None:
    """Whether this is an event of the vocabulary.

    Raises:
        EventError: it is none; the message names the field, the value and the remedy.
    """
    if type(event) is not dict:
        raise EventError('an event is a JSON object, such as {"e": "idle"}')
    content = cast("dict[str, Any]", event)
    kind = content.get("e")
    if kind not in FIELDS:
        raise EventError(f"e: {kind!r} is no kind of event; the kinds are {', '.join(KINDS)}")
    fields = FIELDS[kind]
    for name in REQUIRED[kind]:
        if name not in content:
            raise EventError(f"{kind} lacks {name}: give {fields[name][1]}")
    for name, value in content.items():
        if name == "e":
            continue
        if name not in fields:
            raise EventError(f"{kind} has no field {name!r}; its fields are {', '.join(fields)}")
        test, what, _ = fields[name]
        if not test(value):
            raise EventError(f"{kind}.{name}: {shown(value)} is not {what}")
    if kind in ("hit", "store", "evict") and "keys" in content:
        if len(content["keys"]) != len(content["blocks"]):
            raise EventError(
                f"{kind}.keys: {len(content['keys'])} keys for {len(content['blocks'])} blocks; "
                "give one for each"
            )
    elif kind == "copy" and len(content["src"]) != len(content["dst"]):
        raise EventError(
            f"copy.dst: {len(content['dst'])} targets for {len(content['src'])} sources; "
            "give one for each"
        )


def free_lists(told: Any) -> dict[str, list[int]]:
    """The free blocks of each pool, from the field `free` of a check."""
    return {DEFAULT_POOL: told} if is_list(told) else told


def shown(value: object, most: int = 60) -> str:
    """A value as a message quotes it, not longer than a line."""
    text = repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."
