"""The vocabulary of the event log: the fields of each kind of line.

Guarantees: one type for each kind of event in docs/event_log.md; `schema.py` compiles its table of
fields from them. The rules decide whether an event may happen.

An event is a plain dict, so a long log costs no more than its JSON.
"""

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict, get_args

__all__ = ["CLASSES", "DEFAULT_POOL", "Block", "Event", "EventError", "RequestId"]

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
#: Block ids of the default pool, or lists of them by pool name.
FreeIds: TypeAlias = list[int] | dict[str, list[int]]


#: The pool of an event that names none.
DEFAULT_POOL = "gpu"


class EventError(ValueError):
    """A line of a log is malformed; the message names the field, the value and the remedy."""


class SubmitEvent(TypedDict):
    """A request was accepted and waits."""

    e: Literal["submit"]
    r: RequestId
    prompt: int  # tokens
    max: NotRequired[int]  # tokens that each of its sequences may generate
    n: NotRequired[int]  # maximum number of sequences, 1 if absent
    priority: NotRequired[int]


class RejectEvent(TypedDict):
    """A request was rejected on arrival."""

    e: Literal["reject"]
    r: RequestId


class AllocEvent(TypedDict):
    """Blocks without usable content were appended to a table, or inserted at entry `at`."""

    e: Literal["alloc"]
    r: RequestId
    blocks: Blocks
    s: NotRequired[int]
    at: NotRequired[int]
    pool: NotRequired[str]
    group: NotRequired[str]


class HitEvent(TypedDict):
    """Blocks with reused content were appended to a table, or inserted at entry `at`."""

    e: Literal["hit"]
    r: RequestId
    blocks: Blocks
    keys: NotRequired[Keys]  # the content that the request needs, one for each block
    s: NotRequired[int]
    at: NotRequired[int]
    pool: NotRequired[str]
    group: NotRequired[str]


class FreeEvent(TypedDict):
    """The entries of a table from `at` on, which name these blocks, were removed."""

    e: Literal["free"]
    r: RequestId
    at: int
    blocks: Blocks
    s: NotRequired[int]
    pool: NotRequired[str]
    group: NotRequired[str]


class ForkEvent(TypedDict):
    """Sequence `s` of a request starts as a copy of sequence `of`."""

    e: Literal["fork"]
    r: RequestId
    s: int
    of: int
    entries: NotRequired[int]  # table entries that it shares, all if absent
    known: NotRequired[int]  # tokens that it knows, those of `of` if absent


class PruneEvent(TypedDict):
    """One sequence of a request ended."""

    e: Literal["prune"]
    r: RequestId
    s: int


class StoreEvent(TypedDict):
    """Other requests can find these blocks from now on."""

    e: Literal["store"]
    blocks: Blocks
    keys: NotRequired[Keys]
    pool: NotRequired[str]


class EvictEvent(TypedDict):
    """These blocks can no longer be found."""

    e: Literal["evict"]
    blocks: Blocks
    keys: NotRequired[Keys]
    pool: NotRequired[str]


class StepEvent(TypedDict):
    """A forward pass was issued over these rows."""

    e: Literal["step"]
    n: int  # increases by 1 from the first step of the log
    rows: Rows
    after: NotRequired[list[int]]  # copies to wait for
    after_step: NotRequired[int]  # every step up to this one is over before this one starts


class IdleEvent(TypedDict):
    """The engine was called for a step and scheduled nothing."""

    e: Literal["idle"]


class SettleEvent(TypedDict):
    """The forward pass of a step is over and its tokens are known."""

    e: Literal["settle"]
    n: int
    kept: NotRequired[Kept]  # tokens kept, for rows where they differ from `samples`


class CopyEvent(TypedDict):
    """A copy of blocks was issued."""

    e: Literal["copy"]
    op: int
    src: Places
    dst: Places
    after: NotRequired[list[int]]
    after_step: NotRequired[int]


class DoneEvent(TypedDict):
    """A copy is complete, or has failed."""

    e: Literal["done"]
    op: int
    failed: NotRequired[bool]


class PreemptEvent(TypedDict):
    """A running request is preempted and keeps its tokens."""

    e: Literal["preempt"]
    r: RequestId
    how: Literal["recompute", "swap", "restart"]  # restart: generated tokens are dropped
    lost: NotRequired[bool]  # samples of steps in flight are dropped


class ResumeEvent(TypedDict):
    """A preempted request runs again."""

    e: Literal["resume"]
    r: RequestId
    how: NotRequired[Literal["recompute", "swap"]]


class FinishEvent(TypedDict):
    """A request is finished."""

    e: Literal["finish"]
    r: RequestId


class AbortEvent(TypedDict):
    """A request was aborted."""

    e: Literal["abort"]
    r: RequestId


class FailEvent(TypedDict):
    """A request failed by an error of the engine."""

    e: Literal["fail"]
    r: RequestId


class CheckEvent(TypedDict):
    """The engine's own view of its state."""

    e: Literal["check"]
    free: NotRequired[FreeIds]
    waiting: NotRequired[Ids]
    running: NotRequired[Ids]


Event: TypeAlias = (
    SubmitEvent
    | RejectEvent
    | AllocEvent
    | HitEvent
    | FreeEvent
    | ForkEvent
    | PruneEvent
    | StoreEvent
    | EvictEvent
    | StepEvent
    | IdleEvent
    | SettleEvent
    | CopyEvent
    | DoneEvent
    | PreemptEvent
    | ResumeEvent
    | FinishEvent
    | AbortEvent
    | FailEvent
    | CheckEvent
)

#: Every kind of event.
CLASSES: tuple[type, ...] = get_args(Event)
