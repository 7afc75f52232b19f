# pyright: basic
"""The result of sampled tokens: the outputs of the live requests, and what is new in them.

Guarantees: a token is stored in the book, in its sequence's output and in the new output, or in none
of them: a sequence that has ended and a sample that the scheduler dropped learn nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np

from lineclear.request import Finished, InvalidRequest
from lineclear_gpu.block_names import BlockNames
from lineclear_gpu.book import Book
from lineclear_gpu.flights import DecodeRows, EngineRequest, Flight
from lineclear_gpu.outputs import Delta
from lineclear_gpu.split import SplitGroups

#: Builds a Delta from its parts.
NEW_DELTA: Callable[[Any], Delta] = partial(tuple.__new__, Delta)


class Results:
    """The output of every live request.

    Args:
        book: learns the tokens too.
        live: the live requests; one that ends is removed.
        names: of their blocks, None without prefix caching.
    """

    def __init__(
        self, book: Book, live: dict[Hashable, EngineRequest], names: BlockNames | None = None
    ) -> None:
        """Starts without output."""
        self.book = book
        self.live = live
        self.names = names
        #: Requests whose text could not be made, and why.
        self.broken: dict[EngineRequest, str] = {}
        #: Output of the requests that a stream reads, until it does; it is in no other.
        self.unread: dict[Hashable, deque[Delta]] = {}
        self._deltas: list[Delta] = []
        self.groups = SplitGroups()
        self._over: list[
            tuple[Hashable, int]
        ] = []  # branches that end with the step to be committed
        self._kept: list[Delta] = []  # that was taken, and put back

    def take(self) -> list[Delta]:
        """The new output since the last call, but for that of streams, which get it here."""
        deltas, self._deltas = self._deltas, []
        deltas = self.groups.as_groups(deltas)
        if self.unread:
            new, deltas = deltas, []
            for delta in new:
                unread = self.unread.get(delta.request_id)
                (deltas if unread is None else unread).append(delta)
        kept, self._kept = self._kept, []
        return kept + deltas if kept else deltas

    def check_id(self, request_id: Hashable) -> None:
        """Refuses an id whose output would be mixed up with that of another request.

        Raises:
            InvalidRequest: a group with this id is live, or a stream of a request with it is open.
        """
        try:
            is_read = request_id in self.unread
        except TypeError:  # an id that cannot be hashed is of no request
            is_read = False
        if self.groups.live(request_id) is not None:
            raise InvalidRequest(
                f"request_id {request_id!r} is live already; abort it or use another id"
            )
        if is_read:
            raise InvalidRequest(
                f"request_id {request_id!r} is that of an open stream; read it to its end, close it or use another id"
            )

    def keep(self, deltas: list[Delta]) -> None:
        """Puts what was taken back: the next call takes it."""
        self._kept = deltas

    # ---- tokens --------------------------------------------------------------------------------

    def store(
        self, flight: Flight, tokens: list[int], dropped: set[int], ends: frozenset[int]
    ) -> tuple[Any, list[int | tuple[int, int]], list[EngineRequest]]:
        """Stores the tokens of a step.

        Args:
            flight: the step.
            tokens: what it sampled, in order.
            dropped: positions in `plan.sampling` that the scheduler drops.
            ends: tokens that end a sequence unless its parameters ignore them.

        Returns:
            The tokens to commit, the samples that stop there, and the requests that ended.
        """
        sampled: list[Any] = []
        stopped: list[int | tuple[int, int]] = []
        ended: list[EngineRequest] = []
        lanes: list[int] = []  # that get a token, and the tokens
        learned: list[int] = []
        simple = True
        first = 0
        for position, (live, branch) in enumerate(flight.who):
            width = flight.widths[position]
            if live.plain and not live.gone and position not in dropped:
                token = tokens[first]
                first += 1
                sampled.append(token)
                lanes.append(live.lanes[0])
                learned.append(token)
                output = live.output
                ids = output.outputs[0].token_ids
                ids.append(token)
                if len(ids) >= live.max_tokens:
                    output.outputs[0].finish_reason = "length"
                    ended.append(live)
                reason = output.outputs[0].finish_reason
                self._deltas.append(Delta(output.request_id, 0, (token,), "", reason))
                continue
            mine = tokens[first : first + width]
            first += width
            if width == 1:
                sampled.append(mine[0])
            else:
                sampled.append([[token] for token in mine])
                simple = False
            if live.gone or position in dropped:
                continue
            if width > 1:
                live.forked = True
            for k, token in enumerate(mine):
                index = branch if k == 0 else k
                known = live.known_token(index)
                if known is not None:
                    lanes.append(live.lanes[index])
                    learned.append(known)
                    if self._repeated(live, index):
                        stopped.append(position if width == 1 else (position, k))
                    continue
                if live.output.outputs[index].finish_reason is None:
                    lanes.append(live.lanes[index])
                    learned.append(token)
                if self._learn(live, index, token, ends):
                    stopped.append(position if width == 1 else (position, k))
            if live.output.finished:
                ended.append(live)
        self.book.learn_all(np.array(lanes, dtype=np.int64), np.array(learned, dtype=np.int64))
        given: Any = np.array(sampled, dtype=np.int64) if simple else sampled
        return given, stopped, ended

    def store_decodes(
        self, steady: DecodeRows, tokens: list[int]
    ) -> tuple[Any, list[EngineRequest]]:
        """Stores the tokens of a decode-only step of plain sequences: none was dropped, each gets one.

        Returns:
            The tokens to commit, and the requests that ended.
        """
        given = np.array(tokens, dtype=np.int64)
        self.book.learn_all(steady.lanes, given)
        for append, token in zip(steady.appends, tokens, strict=True):
            append(token)
        # Equals Delta(name, 0, (token,), "", None) for each, without a Python call for each.
        parts = zip(steady.names, repeat(0), zip(tokens, strict=True), repeat(""), repeat(None))
        deltas = list(map(NEW_DELTA, parts))
        ended = np.flatnonzero(self.book.num_tokens[steady.lanes] >= steady.ends).tolist()
        for position in ended:
            steady.who[position][0].output.outputs[0].finish_reason = "length"
            deltas[position] = deltas[position]._replace(finish_reason="length")
        self._deltas += deltas
        return given, [steady.who[position][0] for position in ended]

    def _repeated(self, live: EngineRequest, index: int) -> bool:
        """A branch had one of its tokens again; returns whether it stops here (its length apart)."""
        completion = live.output.outputs[index]
        if completion.finish_reason is None or (live.repeats and live.repeats[index]):
            return False
        self._over.append((live.output.request_id, index))
        return completion.finish_reason == "stop" and len(completion.token_ids) < live.max_tokens

    def _learn(self, live: EngineRequest, index: int, token: int, ends: frozenset[int]) -> bool:
        """Adds one token to a sequence; returns whether it stops here (its length apart)."""
        completion, params = live.output.outputs[index], live.params
        if completion.finish_reason is not None:
            return False
        completion.token_ids.append(token)
        stop: int | str | None = None
        if token in params.ends or (token in ends and not params.ignore_eos):
            stop = token
        text, new = live.texts[index], ""
        over = len(completion.token_ids) >= live.max_tokens
        try:
            if stop is None:
                stop = text.add(completion.token_ids)
            new = text.take(ended=over or stop is not None)
        except Exception as error:  # the tokenizer is not ours, and this is one request's text
            self.broken[live] = f"{type(error).__name__}: {error}"
        if stop is not None:
            completion.finish_reason, completion.stop_reason = "stop", stop
        elif over and live not in self.broken:  # without its text, it ends with the error
            completion.finish_reason = "length"
        completion.text = text.text[: text.given]
        reason = completion.finish_reason
        self._deltas.append(Delta(live.output.request_id, index, (token,), new, reason))
        if reason is not None:
            name = live.output.request_id
            if any(c.finish_reason is None for c in live.output.outputs):
                self._over.append((name, index))
        return stop is not None and not over

    # ---- ends ----------------------------------------------------------------------------------

    def over(self, requests: list[Finished]) -> None:
        """Notes how often each request that the scheduler ended was preempted; branches that ended leave the book, from
        which their blocks were named until now.
        """
        for name, branch in self._over:
            self.book.drop(name, branch)
        self._over.clear()
        for finished in requests:
            done = self.live.get(finished.request_id)
            if done is not None:
                done.output.preemptions = finished.preemptions

    def close(self, live: EngineRequest, reason: str, error: str | None = None) -> None:
        """Ends the request; keeps its output."""
        live.output.error = error
        for completion in live.output.outputs:
            if completion.finish_reason is None:
                completion.finish_reason = reason
                self._deltas.append(
                    Delta(live.output.request_id, completion.index, (), "", reason)
                )
        self.forget(live)

    def forget(self, live: EngineRequest) -> None:
        """Deletes all state of the request."""
        name = live.output.request_id
        live.gone = True
        self.live.pop(name, None)
        self.book.drop_request(name, range(live.params.n))
        if self.names is not None:
            self.names.end(name)
