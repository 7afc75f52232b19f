# pyright: basic
"""Names for the blocks of the engine's requests, so that equal beginnings are computed once.

Guarantees: a block is named from tokens that are known, never from one that a step in flight may still sample; every
name depends on the salt of its request and on how often the cache was reset before the request came.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

from lineclear.kv_events import KVEventLog
from lineclear.prefix_names import PrefixNames
from lineclear.request import Accepted, Rejected
from lineclear.scheduler import Scheduler
from lineclear_gpu.book import Book


def serving_settings(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a server: prefix caching is on, unless the choice says otherwise.

    Blocks that are shared are not swapped out, so a choice of swaps turns caching off unless caching
    is chosen too, and caching recomputes victims unless a mode is chosen. A preset, and rules that are
    not lineclear's own, stay as they are.

    Args:
        chosen: settings by name, those that the user gave and no others.
    """
    settings = dict(chosen)
    if "preset" in settings or settings.get("rules", "lineclear") != "lineclear":
        return settings
    if settings.get("preemption_mode", "recompute") == "recompute":
        settings.setdefault("prefix_caching", "all")
    if settings.get("prefix_caching", "off") != "off":
        settings.setdefault("preemption_mode", "recompute")
    return settings


def keys_of(extra: Any) -> list[str] | None:
    """The extra keys in events for routers: a request's salt, and the resets before it came."""
    resets, salt = extra
    found = [*([] if salt is None else [salt]), *([f"reset {resets}"] if resets else [])]
    return found or None


class NamedRequest(NamedTuple):
    """The names of one live request.

    Attributes:
        extra: what its blocks' KV depends on beside the tokens.
        held: every name that was made for it, to be given back.
    """

    extra: Hashable
    held: list[int]


class BlockNames:
    """Names of the blocks of live requests.

    Args:
        scheduler: gets them.
        book: holds the tokens.
        events: whether to keep events for routers.

    Attributes:
        names: what each name stands for.
        events: for routers, None if they are not kept.
        epoch: how often the cache was reset.
        live: the requests that share blocks.
    """

    def __init__(self, scheduler: Scheduler, book: Book, *, events: bool = False) -> None:
        """No request is live."""
        self.scheduler = scheduler
        self.book = book
        self.size = scheduler.config.block_size
        self.names = PrefixNames(self.size, scheduler.ledger.cached, meanings=events)
        self.events = KVEventLog(self.names, time.time, keys_of) if events else None
        if self.events is not None:
            scheduler.watch_prefix_cache(self.events)
        self.epoch = 0
        self.live: dict[Hashable, NamedRequest] = {}
        scheduler.ask_for_names(self.following)

    def add(
        self,
        request_id: Hashable,
        tokens: list[int],
        salt: Hashable,
        submit: Callable[[tuple[int, ...]], Accepted | Rejected],
    ) -> Accepted | Rejected:
        """Names the full blocks of a prompt, and submits the request with them.

        Args:
            request_id: of the request.
            tokens: its prompt.
            salt: blocks are shared only among requests of equal salts.
            submit: gives the request with these names to the scheduler.
        """
        extra = (self.epoch, salt)
        names = self.names.of(tokens, extra=extra)
        accepted = False
        try:
            answer = submit(names)
            accepted = bool(answer)
        finally:
            if accepted:
                self.live[request_id] = NamedRequest(extra, list(names))
            else:
                self.names.release(names)
        return answer

    def following(
        self, request_id: Hashable, branch: int, names: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Names of the full blocks of a branch behind those that have names, as far as its tokens are known.

        Args:
            request_id: of the request; one that has ended, or that shares no blocks, has none.
            branch: of the sequence.
            names: those that it has.
        """
        given = self.live.get(request_id)
        lane = self.book.lane.get((request_id, branch))
        if given is None or lane is None:
            return ()
        size, book = self.size, self.book
        first, last = len(names), int(book.num_tokens[lane]) // size
        if last <= first:
            return ()
        tokens = book.tokens[lane, first * size : last * size].tolist()
        new = self.names.of(tokens, names, given.extra)
        given.held.extend(new)
        return new

    def end(self, request_id: Hashable) -> None:
        """A request has ended."""
        given = self.live.pop(request_id, None)
        if given is not None:
            self.names.release(given.held)

    def reset(self) -> int:
        """No block that was computed so far is found by a later request. How many could be found.

        Blocks that requests which run now compute from here on are not found by later ones either: they
        may depend on weights that have been replaced meanwhile.
        """
        self.epoch += 1
        return self.scheduler.reset_prefix_cache()
