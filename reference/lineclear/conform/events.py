"""The vocabulary of the event log: the fields of each kind of line.

Guarantees: one row for each kind of event in docs/event_log.md, which says what it means; `schema.py` compiles its
tests of fields from them. The rules decide whether an event may happen.

An event is a plain dict, so a long log costs no more than its JSON.
"""

from typing import Any, TypeAlias

RequestId: TypeAlias = str | int
Event: TypeAlias = dict[str, Any]

#: The pool of an event that names none.
DEFAULT_POOL = "gpu"


class EventError(ValueError):
    """A line of a log is malformed; the message names the field, the value and the remedy."""


#: Kind of event -> its fields besides `e`; ? marks those that may be absent.
EVENTS = {
    "submit": "r prompt max? n? priority?",
    "reject": "r",
    "alloc": "r blocks s? at? pool? group?",
    "hit": "r blocks keys? s? at? pool? group?",
    "free": "r at blocks s? pool? group?",
    "fork": "r s of entries? known?",
    "prune": "r s",
    "store": "blocks keys? pool?",
    "evict": "blocks keys? pool?",
    "step": "n rows after? after_step?",
    "idle": "",
    "settle": "n kept?",
    "copy": "op src dst after? after_step?",
    "done": "op failed?",
    "preempt": "r how lost?",
    "resume": "r how?",
    "finish": "r",
    "abort": "r",
    "fail": "r",
    "check": "free? waiting? running?",
}

#: Kind of event -> the words that its field `how` may have.
HOW = {"preempt": ("recompute", "swap", "restart"), "resume": ("recompute", "swap")}
