"""An event log of transformers' continuous batching, which runs unmodified.

Guarantees: it imports and changes nothing of the engine but attributes of the instances that are recorded; a missing
hook is reported by name. What one call both allocates and frees is not in the log.

    recorder = TransformersRecorder(manager.batch_processor, Writer(file, header_of(processor)))
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from lineclear.conform import Header
from lineclear.recorders.hooks import Hooks, Method, MissingHook
from lineclear.testing.difference import Event, check_event, difference
from lineclear.testing.judge import header_of as header_of_limits
from lineclear.testing.observed import frozen
from lineclear.testing.protocol import Limits, Observation, Row

#: The version that the recorder was tested with.
WRITTEN_FOR = "5.23.0"
ENGINE = "transformers' continuous batching"

#: The attributes that are read, by their path from the batch processor.
READ: Mapping[str, tuple[str, ...]] = {
    "": ("cache", "scheduler", "inputs_and_outputs", "cb_config", "use_async_batching"),
    "cache": ("cache_allocators", "pool", "max_batch_tokens"),
    "cache.pool": (
        "free_sectors",
        "_free_blocks",
        "blocks_per_sector",
        "num_sectors",
        "num_reserved_sectors",
    ),
    "scheduler": ("active_requests", "waiting_requests_order", "max_requests_per_batch"),
}


def allocator_of(processor: Any) -> Any:
    """The only allocator.

    Raises:
        MissingHook: the model has several kinds of attention, each with tables of its own.
    """
    allocators = list(processor.cache.cache_allocators.values())
    if len(allocators) != 1:
        raise MissingHook(
            f"{ENGINE}: {len(allocators)} kinds of attention; the recorder supports models with one"
        )
    return allocators[0]


def limits_of(processor: Any) -> Limits:
    """The sizes of the engine."""
    hooks = Hooks(ENGINE)
    hooks.need_below(processor, READ)
    allocator, pool = allocator_of(processor), processor.cache.pool
    hooks.need(allocator, "block_table", "ledger", "tokens_per_block", "index")
    hooks.need(allocator.ledger, "block_to_hash")
    each = pool.blocks_per_sector[allocator.index]
    return Limits(
        blocks=pool.num_sectors * each,
        block_size=allocator.tokens_per_block,
        max_seqs=processor.scheduler.max_requests_per_batch,
        max_tokens=processor.cache.max_batch_tokens,
        first_block=pool.num_reserved_sectors * each,
        in_flight=2 if processor.use_async_batching else 1,
    )


def header_of(processor: Any, version: str = "") -> Header:
    """The first line of the log."""
    from dataclasses import replace

    header = header_of_limits(limits_of(processor))
    return replace(header, engine=ENGINE, version=version, chunk=None, patience=64)


class RecordedStep(NamedTuple):
    """A step that is not settled: each request's state in the engine, and its samples, by name."""

    step: int
    rows: dict[str, tuple[Any, int]]


class TransformersRecorder:
    """Hooks that write the log of one batch processor.

    Args:
        processor: a `ContinuousBatchProcessor` on which nothing runs yet.
        write: receives each event, such as `lineclear.conform.Writer` or `Checker.feed`.

    Raises:
        MissingHook: names an attribute that the engine lacks.
    """

    def __init__(self, processor: Any, write: Callable[[Event], object]) -> None:
        """Installs the hooks."""
        self.processor = processor
        self.limits = limits_of(processor)
        self.allocator = allocator_of(processor)
        self.write = write
        self.step = 0
        self.flights: deque[RecordedStep] = deque()
        self.issued = False
        self.live: dict[str, Any] = {}  # request id -> its state in the engine
        self.left: dict[str, str] = {}  # how unreported requests left
        self.hooks = Hooks(ENGINE)
        scheduler, tensors = processor.scheduler, processor.inputs_and_outputs
        self.hooks.around(scheduler, "add_waiting_request", self._add)
        self.hooks.around(scheduler, "clear_cancelled_requests", self._cancel)
        self.hooks.around(scheduler, "finish_request", self._finish)
        self.hooks.around(processor, "_handle_request_error", self._fail)
        self.hooks.around(processor, "prepare_next_batch", self._prepare)
        self.hooks.around(processor, "update_batch", self._update)
        self.hooks.around(tensors, "prepare_batch_tensors", self._issue)
        self.seen = frozen(self.observe())

    def detach(self) -> None:
        """Removes the hooks."""
        self.hooks.remove()

    # ---- what the engine's state says ----------------------------------------------------------

    def observe(self) -> Observation:
        """The current state."""
        pool, index = self.processor.cache.pool, self.allocator.index
        each = pool.blocks_per_sector[index]
        free = [block for tree in pool._free_blocks[index].trees.values() for block in tree]
        free += [sector * each + k for sector in pool.free_sectors for k in range(each)]
        scheduler = self.processor.scheduler
        waiting = [
            r for r in scheduler.waiting_requests_order if r not in scheduler.active_requests
        ]
        return Observation(
            tables=self.allocator.block_table,
            free=free,
            cached=self.allocator.ledger.block_to_hash,
            waiting=waiting,
            running=list(scheduler.active_requests),
        )

    def look(self, rows: Mapping[str, Row] | None = None) -> None:
        """Emits what has changed since the last call."""
        seen = frozen(self.observe())
        for event in difference(self.seen, seen, self.limits, rows=rows, ended=self.left):
            if event["e"] == "preempt" and self.flying(event["r"]):
                event["lost"] = True  # the engine drops what a step in flight samples for it
            self.write(event)
        self.seen = seen

    def ends(self) -> None:
        """Emits requests that left, and the engine's view of its state."""
        for name, kind in self.left.items():
            self.write({"e": kind, "r": name})
        self.left.clear()
        self.write(check_event(self.seen, self.limits))

    def flying(self, name: str) -> int:
        """Tokens that steps in flight give to a request."""
        return sum(flight.rows[name][1] for flight in self.flights if name in flight.rows)

    def leave(self, name: str, kind: str) -> None:
        """A request leaves; it is reported when the engine's call returns."""
        if self.live.pop(name, None) is not None:
            self.left[name] = kind

    # ---- hooks ---------------------------------------------------------------------------------

    def _add(self, method: Method, state: Any) -> Any:
        answer = method(state)
        name = state.request_id
        again = self.left.pop(name, None) is not None  # it was preempted, and waits again
        if not again and name not in self.live:
            prompt = len(state.initial_tokens)
            event: Event = {"e": "submit", "r": name, "prompt": prompt}
            if state.max_new_tokens is not None:
                event["max"] = state.max_new_tokens
            self.write(event)
        self.live[name] = state
        return answer

    def _cancel(self, method: Method) -> Any:
        cancelled = method()
        for state in cancelled:
            self.leave(state.request_id, "abort")
        if cancelled:
            self.look()
            self.ends()
        return cancelled

    def _finish(self, method: Method, request_id: str) -> Any:
        answer = method(request_id)
        self.leave(request_id, "finish")
        return answer

    def _fail(self, method: Method, error: Exception, state: Any) -> Any:
        answer = method(error, state)
        self.leave(state.request_id, "fail")
        return answer

    def _prepare(self, method: Method) -> Any:
        self.issued = False
        answer = method()
        if not self.issued:
            self.look()
            self.write({"e": "idle"})
        return answer

    def _issue(self, method: Method, requests_in_batch: Any, *rest: Any, **named: Any) -> Any:
        rows: dict[str, Row] = {}
        states: dict[str, tuple[Any, int]] = {}
        for future in requests_in_batch:
            state = future.state
            name, start = state.request_id, state.position_offset  # the method moves it
            given, most = state.generated_len() + self.flying(name), state.max_new_tokens
            # with two steps in flight, a request may have a row past its end
            samples = bool(future.has_new_token) and (most is None or given < most)
            rows[name] = Row(name, start, future.query_length, (), samples)
            states[name] = state, int(samples)
        self.look(rows)
        self.step += 1
        self.issued = True
        self.flights.append(RecordedStep(self.step, states))
        listed = [[r.request_id, r.start, r.tokens, int(r.samples)] for r in rows.values()]
        self.write({"e": "step", "n": self.step, "rows": listed})
        return method(requests_in_batch, *rest, **named)

    def _update(self, method: Method) -> Any:
        flight = self.flights[0] if self.flights else None
        rows = {} if flight is None else flight.rows
        before = {name: state.generated_len() for name, (state, _) in rows.items()}
        answer = method()
        if flight is not None:
            self.flights.popleft()
            kept = [
                [name, state.generated_len() - before[name]]
                for name, (state, samples) in rows.items()
                if name in self.live and state.generated_len() - before[name] != samples
            ]
            event: Event = {"e": "settle", "n": flight.step}
            self.write({**event, "kept": kept} if kept else event)
        self.look()
        self.ends()
        return answer
