"""The first line of an event log: the engine, its limits, and what the log omits.

Guarantees: an accepted header has a format version that this program reads and positive sizes, and
omits only what the format defines; an error names the field, the value and the remedy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, cast

from lineclear.conform.events import EventError
from lineclear.conform.schema import KINDS, is_count, is_object, is_positive, shown

#: The format version; a later version has another number.
FORMAT = "lineclear event log 1"
#: Blocks of one pool of a log: a check compares every one of them.
MOST_BLOCKS = 1 << 24
#: Orders of the waiting queue that a header may state.
ORDERS = ("fcfs", "priority_low_first", "priority_high_first")
#: What a log may omit: kinds of events, and these parts of events.
PARTS = ("keys", "samples", "waits", "free_ids", "lengths")
OMITTABLE = (*KINDS, *PARTS)


@dataclass(frozen=True, slots=True)
class PoolSize:
    """One pool of blocks.

    Attributes:
        blocks: number of blocks.
        first_id: the lowest block id.
    """

    blocks: int
    first_id: int = 0


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """One group of layers with tables of their own.

    Attributes:
        block_size: tokens per block of the group, None for the engine's.
        window: positions before the newest that it reads, None for all.
    """

    block_size: int | None = None
    window: int | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """Description of an engine.

    Attributes:
        blocks: blocks of the default pool, `gpu`.
        block_size: tokens per block.
        engine: its name.
        version: its version or commit.
        first_id: the lowest block id of the default pool.
        pools: further pools by name, such as `cpu`.
        groups: groups of layers by name, if tables differ between them; empty for one table.
        max_seqs: maximum rows of a step, None for no limit.
        max_tokens: maximum tokens of a step, None for no limit.
        max_steps_in_flight: maximum steps in flight.
        drafts: maximum positions of a row beyond the known tokens.
        stream_ordered: whether steps run in sequence on the device, so that a block that an
            unsettled step uses may be allocated for a later step at once.
        waits: whether operations carry their waits, so that a block may be allocated while a copy still uses it.
        same_step_hits: whether a block may be stored and hit before the step that computes it.
        late_release: whether a request may free its blocks after its end.
        chunk: the minimum prompt tokens that a step computes while some are left to compute; None for max_tokens.
        patience: steps without a kept token allowed beyond the bound from the lengths.
        order: one of `ORDERS`, if the waiting queue is always served in that order.
        omits: kinds and parts of events that the engine has and the log omits.
        settings: anything else; not read.
    """

    blocks: int
    block_size: int
    engine: str = ""
    version: str = ""
    first_id: int = 0
    pools: Mapping[str, PoolSize] = field(default_factory=dict[str, PoolSize])
    groups: Mapping[str, LayerGroup] = field(default_factory=dict[str, LayerGroup])
    max_seqs: int | None = None
    max_tokens: int | None = None
    max_steps_in_flight: int = 1
    drafts: int = 0
    stream_ordered: bool = True
    waits: bool = False
    same_step_hits: bool = False
    late_release: bool = False
    chunk: int | None = None
    patience: int = 64
    order: str | None = None
    omits: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        """Rejects an impossible engine.

        Raises:
            EventError: names the field, the value and the remedy.
        """
        for name in ("block_size", "max_steps_in_flight"):
            positive(name, getattr(self, name))
        for name in ("blocks", "first_id", "drafts", "patience"):
            if not is_count(getattr(self, name)):
                wrong(name, getattr(self, name), "a whole number, 0 or more")
        for name in ("max_seqs", "max_tokens", "chunk"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name))
        for name in ("stream_ordered", "waits", "same_step_hits", "late_release"):
            if type(getattr(self, name)) is not bool:
                wrong(name, getattr(self, name), "true or false")
        for name in ("engine", "version"):
            if type(getattr(self, name)) is not str:
                wrong(name, getattr(self, name), "a text")
        if self.order is not None and self.order not in ORDERS:
            wrong("order", self.order, f"one of {', '.join(ORDERS)}, or left out")
        for word in self.omits:
            if word not in OMITTABLE:
                wrong("omits", word, f"one of {', '.join(OMITTABLE)}")
        if "gpu" in self.pools:
            wrong("pools", "gpu", "a further pool: `blocks` and `first_id` describe gpu")
        for name, pool in self.pools.items():
            if not is_count(pool.blocks) or not is_count(pool.first_id):
                wrong(f"pools.{name}", asdict(pool), "blocks and first_id, whole numbers")
        for name, group in self.groups.items():
            for value in (group.block_size, group.window):
                if value is not None and not is_positive(value):
                    wrong(f"groups.{name}", value, "a whole number, 1 or more")

    def json(self) -> dict[str, Any]:
        """The first line of a log."""
        content: dict[str, Any] = {"e": "engine", "log": FORMAT}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in ("pools", "groups"):
                value = {name: asdict(part) for name, part in value.items()}
            elif each.name == "omits":
                value = list(value)
            content[each.name] = value
        return content

    @classmethod
    def parse(cls, line: object) -> Header:
        """Parses the first line of a log.

        Raises:
            EventError: it is not a header, or has another version.
        """
        content = cast("dict[str, Any]", line) if type(line) is dict else {}
        if content.get("e") != "engine":
            raise EventError(
                f'the first line is not a header: start with {{"e": "engine", "log": "{FORMAT}", '
                '"blocks": ..., "block_size": ...}'
            )
        if content.get("log") != FORMAT:
            wrong("log", content.get("log"), f"{FORMAT!r}, the version that this program reads")
        known = {each.name for each in fields(cls)}
        rest = {name: value for name, value in content.items() if name not in ("e", "log")}
        if "depth" in rest:  # as logs of earlier versions call it
            if "max_steps_in_flight" in rest:
                raise EventError(
                    "engine.depth is the earlier name of max_steps_in_flight: remove depth"
                )
            rest["max_steps_in_flight"] = rest.pop("depth")
        for name in rest:
            if name not in known:
                raise EventError(
                    f"engine has no field {name!r}; it has {', '.join(sorted(known))}"
                )
        for name in ("blocks", "block_size"):
            if name not in rest:
                raise EventError(f"engine lacks {name}: give a whole number")
        if "omits" in rest:
            rest["omits"] = tuple(list_of("omits", rest["omits"]))
        rest["pools"] = parts(PoolSize, "pools", rest.get("pools", {}))
        rest["groups"] = parts(LayerGroup, "groups", rest.get("groups", {}))
        if not is_object(rest.get("settings", {})):
            wrong("settings", rest["settings"], "an object")
        header = cls(**rest)
        pools = {
            "blocks": header.blocks,
            **{f"pools.{n}": p.blocks for n, p in header.pools.items()},
        }
        for name, blocks in pools.items():
            if blocks > MOST_BLOCKS:
                wrong(name, blocks, f"at most {MOST_BLOCKS:,}: record a run with a smaller pool")
        return header


def wrong(name: str, value: object, what: str) -> None:
    """Rejects a value."""
    raise EventError(f"engine.{name}: {shown(value)} is not {what}")


def positive(name: str, value: object) -> None:
    """Rejects anything but a positive whole number."""
    if not is_positive(value):
        wrong(name, value, "a whole number, 1 or more")


def list_of(name: str, value: object) -> list[Any]:
    """The value, if it is a list."""
    if type(value) is not list:
        wrong(name, value, "a list")
    return cast("list[Any]", value)


def parts(cls: type[Any], name: str, value: Any) -> dict[str, Any]:
    """An object of pools or groups, by name."""
    if not is_object(value):
        wrong(name, value, "an object with one entry for each name")
    found: dict[str, Any] = {}
    rows: dict[str, Any] = value
    for key, row in rows.items():
        if not is_object(row):
            wrong(f"{name}.{key}", row, "an object")
        try:
            found[key] = cls(**row)
        except TypeError:
            allowed = ", ".join(each.name for each in fields(cls))
            wrong(f"{name}.{key}", row, f"an object with {allowed}")
    return found
