"""An event log of vLLM's V1 scheduler and block pool, which run unmodified.

Guarantees: it imports and changes nothing of the engine but attributes of the instances that are
recorded; a missing hook is reported by name. Blocks that are allocated, found, published, evicted
and freed are logged where the engine does it, so what one call of the scheduler allocates and frees
again is in the log. Free blocks and queues are read from the engine after each call.

    recorder = VllmRecorder(scheduler, Writer(file, header_of(scheduler)))
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import Any, NamedTuple

from lineclear.recorders.hooks import Hooks, Method, MissingHook
from lineclear.recorders.vllm_state import ENGINE, VllmState, header_of

__all__ = ["VllmRecorder", "header_of"]

Event = dict[str, Any]
#: How requests end, by the name of their status; every other end is a finish.
ENDS = {"FINISHED_ABORTED": "abort", "FINISHED_ERROR": "fail"}


class RecordedPlan(NamedTuple):
    """A step that is not settled: the engine's plan, and requests with samples by name."""

    plan: Any
    step: int
    rows: dict[str, tuple[Any, int]]


class VllmRecorder:
    """Hooks that write the log of one scheduler.

    Args:
        scheduler: a `Scheduler` or `AsyncScheduler` without requests.
        write: receives each event, such as `lineclear.conform.Writer` or `Checker.feed`.

    Raises:
        MissingHook: the engine lacks an attribute, or does what the log cannot say.
    """

    def __init__(self, scheduler: Any, write: Callable[[Event], object]) -> None:
        """Installs the hooks."""
        self.size = header_of(scheduler).block_size
        self.state = VllmState(scheduler)
        self._write = write
        self._held: list[Event] | None = None  # events that follow one not yet known
        self.live: dict[str, Any] = {}  # request id -> the engine's request
        self.contents: dict[str, list[str]] = {}  # request id -> key of each whole block
        self.step = 0
        self.flights: list[RecordedPlan] = []
        self.hooks = Hooks(ENGINE)
        coordinator, pool = self.state.coordinator, self.state.pool
        self.hooks.around(scheduler, "add_request", self._add)
        self.hooks.around(scheduler, "schedule", self._schedule)
        self.hooks.around(scheduler, "update_from_output", self._update)
        self.hooks.around(scheduler, "finish_requests", self._checked)
        self.hooks.around(scheduler, "reset_prefix_cache", self._checked)
        self.hooks.around(scheduler, "_preempt_request", self._preempt)
        self.hooks.around(scheduler, "_free_request", self._end)
        self.hooks.around(coordinator, "allocate_new_computed_blocks", partial(self._grow, "hit"))
        self.hooks.around(coordinator, "allocate_new_blocks", partial(self._grow, "alloc"))
        self.hooks.around(coordinator, "free", self._free)
        self.hooks.around(pool, "cache_full_blocks", self._publish)
        self.hooks.around(pool, "_remove_cached_block_hashes", self._evict)
        self.hooks.around(pool, "reset_prefix_cache", self._reset)

    def detach(self) -> None:
        """Removes the hooks."""
        self.hooks.remove()

    def keys(self, name: str, first: int, last: int) -> list[str]:
        """Names of the content of a request's blocks `first` to `last` - 1.

        They come from its tokens, not from the engine's hashes.
        """
        request = self.live[name]
        found, tokens = self.contents[name], request.all_token_ids
        while len(found) < last:
            at = len(found) * self.size
            part = repr(list(tokens[at : at + self.size]))
            lora = request.lora_request
            before = found[-1] if found else repr((lora and lora.lora_int_id, request.cache_salt))
            found.append(blake2b(f"{before} {part}".encode(), digest_size=8).hexdigest())
        return found[first:last]

    def write(self, event: Event) -> None:
        """Writes an event, or holds it back while an earlier one is not yet known."""
        if self._held is None:
            self._write(event)
        else:
            self._held.append(event)

    # ---- requests and steps --------------------------------------------------------------------

    def _add(self, method: Method, request: Any) -> None:
        if request.resumable:
            raise MissingHook(f"{ENGINE}: the recorder does not support streaming input")
        method(request)
        name = request.request_id
        self.live[name], self.contents[name] = request, []
        priority = {"priority": request.priority} if request.priority else {}
        prompt = request.num_prompt_tokens
        self.write(
            {"e": "submit", "r": name, "prompt": prompt, "max": request.max_tokens, **priority}
        )

    def _schedule(self, method: Method, *rest: Any, **named: Any) -> Any:
        plan = method(*rest, **named)
        cached = plan.scheduled_cached_reqs
        starts = {new.req_id: new.num_computed_tokens for new in plan.scheduled_new_reqs}
        starts.update(zip(cached.req_ids, cached.num_computed_tokens, strict=True))
        rows: list[list[Any]] = []
        for name, tokens in plan.num_scheduled_tokens.items():
            samples = int(not self.live[name].is_prefill_chunk)
            rows.append([name, starts[name], tokens, samples])
        if rows:
            self.step += 1
            planned = {row[0]: (self.live[row[0]], row[3]) for row in rows}
            self.flights.append(RecordedPlan(plan, self.step, planned))
            self.write({"e": "step", "n": self.step, "rows": rows})
        else:
            self.write({"e": "idle"})
        self.write(self.state.check())
        return plan

    def _update(self, method: Method, plan: Any, result: Any) -> Any:
        flights = [flight for flight in self.flights if flight.plan is plan]
        self.flights = [flight for flight in self.flights if flight.plan is not plan]
        rows = [
            (name, request, samples, request.num_tokens)
            for flight in flights
            for name, (request, samples) in flight.rows.items()
            if name in self.live and self.live[name] is request
        ]
        self._held = []  # the step is over before its requests end; what it kept comes later
        try:
            return method(plan, result)
        finally:
            events, self._held = self._held, None
            kept = [
                [name, request.num_tokens - before]
                for name, request, samples, before in rows
                if request.num_tokens - before != samples
            ]
            for flight in flights:
                event: Event = {"e": "settle", "n": flight.step}
                self.write({**event, "kept": kept} if kept else event)
            for event in events:
                self.write(event)
            self.write(self.state.check())

    def _checked(self, method: Method, *rest: Any, **named: Any) -> Any:
        answer = method(*rest, **named)
        if self._held is None:  # else it is part of a call that checks at its end
            self.write(self.state.check())
        return answer

    def _preempt(self, method: Method, request: Any, *rest: Any, **named: Any) -> None:
        method(request, *rest, **named)
        event: Event = {"e": "preempt", "r": request.request_id, "how": "recompute"}
        if request.drop_stale_output and request.num_stale_output_tokens:
            event["lost"] = True
        self.write(event)

    def _end(self, method: Method, request: Any, *rest: Any, **named: Any) -> Any:
        answer = method(request, *rest, **named)
        name = request.request_id
        if self.live.pop(name, None) is not None:
            del self.contents[name]
            self.write({"e": ENDS.get(request.status.name, "finish"), "r": name})
        return answer

    # ---- blocks --------------------------------------------------------------------------------

    def _grow(self, kind: str, method: Method, request_id: str, *rest: Any, **named: Any) -> Any:
        size = len(self.state.table(request_id))
        answer = method(request_id, *rest, **named)
        blocks = self.state.table(request_id)[size:]
        if blocks:
            event: Event = {"e": kind, "r": request_id, "blocks": blocks}
            if kind == "hit":
                event["keys"] = self.keys(request_id, size, size + len(blocks))
            self.write(event)
        return answer

    def _free(self, method: Method, request_id: str) -> None:
        blocks = self.state.table(request_id)
        method(request_id)
        left = len(self.state.table(request_id))
        if blocks[left:]:
            self.write({"e": "free", "r": request_id, "at": left, "blocks": blocks[left:]})

    def _publish(
        self,
        method: Method,
        request: Any,
        blocks: Any,
        num_cached_blocks: int,
        num_full_blocks: int,
        *rest: Any,
        **named: Any,
    ) -> None:
        first, last = num_cached_blocks, num_full_blocks
        before = [block.block_hash for block in blocks[first:last]]
        method(request, blocks, first, last, *rest, **named)
        find = self.state.pool.cached_block_hash_to_block.contain
        keys = self.keys(request.request_id, first, last)
        for block, old, key in zip(blocks[first:last], before, keys, strict=True):
            new = block.block_hash
            if new is not None and new != old and find(new, block.block_id):
                self.write({"e": "store", "blocks": [block.block_id], "keys": [key]})

    def _evict(self, method: Method, block: Any) -> Any:
        removed = method(block)
        if removed:
            self.write({"e": "evict", "blocks": [block.block_id]})
        return removed

    def _reset(self, method: Method) -> Any:
        before = sorted(self.state.published())
        answer = method()
        gone = [block for block in before if block not in self.state.published()]
        if gone:
            self.write({"e": "evict", "blocks": gone})
        return answer
