"""Checks the form of events, by a table of fields compiled once from the vocabulary.

Guarantees: `check_event` accepts exactly the events of `events.py`; every error names the field,
the value and the remedy.
"""

from collections.abc import Callable
from typing import Any, TypeAlias, cast

from lineclear.conform.events import DEFAULT_POOL, EVENTS, HOW, EventError

#: Entries of one block table.
MOST_ENTRIES = 1 << 22


def is_list(value: Any) -> bool:
    """A list, with any content."""
    return type(value) is list


def is_object(value: Any) -> bool:
    """A JSON object, with any content."""
    return type(value) is dict


def is_id(value: object) -> bool:
    """Text or a whole number; not True or 1.0, which Python equates with 1."""
    return type(value) is str or type(value) is int


def is_count(value: object) -> bool:
    """A whole number, 0 or more."""
    return type(value) is int and value >= 0


def is_positive(value: object) -> bool:
    """A whole number, 1 or more."""
    return type(value) is int and value >= 1


def is_entry(value: object) -> bool:
    """The number of a table entry; bounded, because empty entries before it take memory."""
    return type(value) is int and 0 <= value < MOST_ENTRIES


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
    """A list of [r, start, tokens, samples] and optionally s.

    Optimized for speed: a log has hundreds of rows for each other event.
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
    """A list of [r, tokens] and optionally s."""
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
COUNT: tuple[Test, str] = (is_count, "a whole number, 0 or more")
POSITIVE: tuple[Test, str] = (is_positive, "a whole number, 1 or more")
TEXT: tuple[Test, str] = (lambda value: type(value) is str, "a text")
YES_OR_NO: tuple[Test, str] = (lambda value: type(value) is bool, "true or false")
IDS: tuple[Test, str] = (is_ids, "a list of request ids")
PLACES: tuple[Test, str] = (is_places, "a list of [pool, block id], not empty")
#: Test of a field, and the required value in words; every other field is a count.
BY_NAME: dict[str, tuple[Test, str]] = {
    "r": (is_id, "a text or a whole number"),
    "prompt": POSITIVE,
    "max": POSITIVE,
    "n": POSITIVE,
    "priority": (is_whole, "a whole number"),
    "blocks": (is_blocks, "a list of block ids, not empty"),
    "keys": (is_ids, "a list of texts or whole numbers"),
    "at": (is_entry, f"a whole number from 0 to {MOST_ENTRIES - 1:,}"),
    "pool": TEXT,
    "group": TEXT,
    "rows": (is_rows, "a list of [r, start, tokens, samples] or [r, start, tokens, samples, s]"),
    "kept": (is_kept, "a list of [r, tokens] or [r, tokens, s]"),
    "src": PLACES,
    "dst": PLACES,
    "after": (is_numbers, "a list of the numbers of copies"),
    "failed": YES_OR_NO,
    "lost": YES_OR_NO,
    "free": (is_free, "a list of block ids, or an object with such a list for each pool"),
    "waiting": IDS,
    "running": IDS,
}


def one_of(words: tuple[object, ...]) -> tuple[Test, str]:
    """A test for one of several words, and the words."""
    return lambda value: value in words, f"one of {', '.join(map(str, words))}"


def compiled(kind: str) -> dict[str, tuple[Test, str, bool]]:
    """For each field of an event: test, required value in words, whether it may be absent."""
    fields: dict[str, tuple[Test, str, bool]] = {}
    for word in EVENTS[kind].split():
        name = word.removesuffix("?")
        test, what = one_of(HOW[kind]) if name == "how" else BY_NAME.get(name, COUNT)
        fields[name] = (test, what, word != name)
    return fields


#: Kind of event -> its fields.
FIELDS = {kind: compiled(kind) for kind in EVENTS}
KINDS = tuple(FIELDS)
#: Kind of event -> its required fields.
REQUIRED = {
    kind: frozenset(name for name, (_, _, optional) in fields.items() if not optional)
    for kind, fields in FIELDS.items()
}


def check_event(event: object) -> None:
    """Checks that this is an event of the vocabulary.

    Raises:
        EventError: it is not; the message names the field, the value and the remedy.
    """
    if type(event) is not dict:
        raise EventError('an event is a JSON object, such as {"e": "idle"}')
    content = cast("dict[str, Any]", event)
    kind = content.get("e")
    if type(kind) is not str or kind not in FIELDS:
        raise EventError(
            f"e: {shown(kind)} is not a kind of event; the kinds are {', '.join(KINDS)}"
        )
    fields = FIELDS[kind]
    if not REQUIRED[kind] <= content.keys():
        name = next(name for name in fields if name in REQUIRED[kind] - content.keys())
        raise EventError(f"{kind} lacks {name}: give {fields[name][1]}")
    for name, value in content.items():
        if name == "e":
            continue
        if name not in fields:
            raise EventError(f"{kind} has no field {name!r}; its fields are {', '.join(fields)}")
        test, what, _ = fields[name]
        if not test(value):
            raise EventError(f"{kind}.{name}: {shown(value)} is not {what}")
    if "keys" in content:
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


def free_lists(free: Any) -> dict[str, list[int]]:
    """The free blocks of each pool, from the field `free` of a check."""
    return {DEFAULT_POOL: free} if is_list(free) else free


def shown(value: object, most: int = 60) -> str:
    """A value for a message, at most one line long."""
    text = repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."
