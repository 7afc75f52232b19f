# pyright: basic
"""Serves requests: the scheduler decides, the executor runs its plans, a runner computes tokens.

Guarantees: every token handed out was sampled by a step whose KV was valid. Failed copies are
reported to the scheduler before the step that waited for them is committed. If a forward raises,
its requests lose their KV, not their tokens; if it raises again they end with the error, and the
engine continues.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from functools import partial
from itertools import repeat
from typing import Any, Protocol

import numpy as np
import torch

from lineclear.config import Config
from lineclear.monitor.audit import audit
from lineclear.monitor.hazards import Hazards
from lineclear.plan import Plan
from lineclear.request import Finished, Rejected, Request
from lineclear.scheduler import Scheduler
from lineclear_gpu.batch import Batch, Sampling
from lineclear_gpu.book import Book
from lineclear_gpu.executor import Executor
from lineclear_gpu.flights import EngineRequest, Flight, Steady
from lineclear_gpu.outputs import Completion, Decode, Delta, RequestOutput, Text
from lineclear_gpu.params import SamplingParams
from lineclear_gpu.pool import KVPool
from lineclear_gpu.staging import fetch
from lineclear_gpu.streams import Streams
from lineclear_gpu.transfer import Transfer

__all__ = ["Engine", "EngineError", "Runner"]

#: Builds a Delta from its parts.
NEW_DELTA: Callable[[Any], Delta] = partial(tuple.__new__, Delta)
#: How often a request restarts after a forward raised.
RETRIES = 1


class EngineError(RuntimeError):
    """The engine cannot continue, or was called with invalid arguments."""


class Runner(Protocol):
    """Computes a batch."""

    newest: torch.Tensor

    def forward(self, batch: Batch) -> torch.Tensor:
        """The sampled tokens, on the device.  [S] int64"""
        ...


class Engine:
    """A scheduler, two pools and a runner.

    Args:
        config: the scheduler's settings.
        runner: computes batches over the pool.
        pool: the blocks.
        decode: converts tokens to text, None for no text.
        eos_token_ids: tokens that end a sequence unless its parameters ignore them.
        seed: seed of requests without one.
        streams: where operations run; default: the streams of the pool's device.
        verify: whether to check every invariant and the access order in each step.
        transfer: moves blocks; None for the default.
        scheduler: an existing one, for tests.
    """

    def __init__(
        self,
        config: Config,
        runner: Runner,
        pool: KVPool,
        *,
        decode: Decode | None = None,
        eos_token_ids: Iterable[int] = (),
        seed: int = 0,
        streams: Streams | None = None,
        verify: bool = False,
        transfer: Transfer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Starts without requests."""
        if config.num_lookahead_slots:
            raise EngineError("the engine drafts no tokens: num_lookahead_slots must be 0")
        sizes = (pool.num_gpu_blocks, pool.num_cpu_blocks, pool.shape.block_size)
        wanted = (config.num_gpu_blocks, config.num_cpu_blocks, config.block_size)
        if sizes != wanted:
            raise EngineError(f"the pools have sizes {sizes}, the settings require {wanted}")
        self.config = config
        self.runner = runner
        self.pool = pool
        self.decode = decode
        self.ends = frozenset(eos_token_ids)
        self.seed = seed
        self.verify = verify
        self.clock = clock
        self.scheduler = Scheduler(config)
        self.book = Book(config.block_size, config.max_model_len, len(runner.newest))
        hazards = Hazards() if verify else None
        self.executor = Executor(pool, streams, transfer, hazards)
        self.live: dict[Hashable, EngineRequest] = {}
        self.flights: deque[Flight] = deque()
        self.steps = 0
        self.checks = 0
        self.failures: list[str] = []  # forwards that raised
        self._accepted = 0
        self._steady: Steady | None = None  # of the last step that was the decode batch alone
        self._deltas: list[Delta] = []
        lanes = len(runner.newest)
        # By lane: temperature, top_p, top_k, seed and number of the sequence.  [lanes] each
        self._temperature = np.zeros(lanes, dtype=np.float32)
        self._top_p = np.ones(lanes, dtype=np.float32)
        self._top_k = np.zeros(lanes, dtype=np.int64)
        self._seed = np.zeros(lanes, dtype=np.int64)
        self._sequence = np.zeros(lanes, dtype=np.int64)

    # ---- requests ------------------------------------------------------------------------------

    def add(
        self,
        request_id: Hashable,
        prompt_token_ids: Iterable[int],
        params: SamplingParams | None = None,
        *,
        prompt: str | None = None,
        tenant: Hashable = None,
    ) -> None:
        """Adds a request.

        Raises:
            EngineError: the request is rejected; the message says why.
            InvalidRequest: a request with this id is live.
        """
        params = params or SamplingParams()
        tokens = [int(token) for token in prompt_token_ids]
        if not tokens:
            raise EngineError(f"request {request_id!r} has an empty prompt")
        answer = self.scheduler.add(
            Request(
                request_id=request_id,
                prompt_tokens=len(tokens),
                max_tokens=params.max_tokens,
                n=params.n,
                priority=params.priority,
                arrival_time=self.clock(),
                tenant=tenant,
            )
        )
        if isinstance(answer, Rejected):
            raise EngineError(f"request {request_id!r} was rejected: {answer.reason}")
        self._accepted += 1
        seed = self.seed + self._accepted if params.seed is None else params.seed
        outputs = [Completion(index) for index in range(params.n)]
        output = RequestOutput(request_id, prompt, tokens, outputs)
        live = EngineRequest(output, params, seed & ((1 << 63) - 1), self.decode)
        ends = params.stop_token_ids or (self.ends and not params.ignore_eos)
        live.plain = params.n == 1 and self.decode is None and not ends
        self.live[request_id] = live

    def abort(self, request_id: Hashable) -> bool:
        """Aborts a request; False if it is not live."""
        live = self.live.get(request_id)
        if live is None:
            return False
        self.scheduler.abort(request_id)
        self._close(live, "abort")
        return True

    @property
    def busy(self) -> bool:
        """Whether work remains."""
        return bool(self.live) or bool(self.flights)

    # ---- steps ---------------------------------------------------------------------------------

    def step(self) -> list[Delta]:
        """Launches as many steps as may be in flight and commits the oldest; returns new output.

        Raises:
            EngineError: requests are live but none can progress.
        """
        launched = False
        while len(self.flights) < self.config.depth:
            if not self._launch():
                break
            launched = True
        if self.flights:
            self._commit(self.flights.popleft())
        elif not launched and self.live and not self._tell(*self.executor.drain()):
            plan = self.scheduler.schedule()  # a step that preempted admits no request
            if not self._carry(plan) and not self._tell(*self.executor.drain()):
                report = self.scheduler.stall_report().text()
                raise EngineError(f"no request can progress:\n{report}")
        self._tell(*self.executor.poll())
        deltas, self._deltas = self._deltas, []
        return deltas

    def run(self, on_step: Callable[[list[Delta]], object] = lambda _: None) -> None:
        """Steps until no work remains."""
        while self.busy:
            on_step(self.step())

    def _launch(self) -> bool:
        """Launches the next plan; returns whether it had any work."""
        return self._carry(self.scheduler.schedule())

    def _carry(self, plan: Plan) -> bool:
        """Launches a plan."""
        if plan.is_empty:
            self._check()
            return False
        for request_id, branch, _ in plan.tables:
            if (request_id, branch) not in self.book.lane:
                self._enter(request_id, branch)
        batch = self.book.batch(plan)
        if plan.step is None:
            self.executor.launch(plan)
            self._check()
            return True
        flight_who, widths, batch = self._sampled(plan, batch)
        touched = self.book.accesses(batch) if self.executor.hazards is not None else ()
        launched = self.executor.launch(plan, lambda: self._forward(batch), touched)
        steady = self._steady
        if steady is not None and not steady.plain:
            steady = None
        self.flights.append(Flight(launched, plan, flight_who, widths, steady))
        self._check()
        return True

    def _enter(self, request_id: Hashable, branch: int) -> None:
        """Gives a lane to a sequence that runs for the first time."""
        live = self.live[request_id]
        tokens = live.output.prompt_token_ids + live.output.outputs[branch].token_ids
        self._settle(live, branch, self.book.add_branch(request_id, branch, tokens))

    def _settle(self, live: EngineRequest, branch: int, lane: int) -> None:
        """Stores a lane's sampling parameters."""
        live.lanes[branch] = lane
        while lane >= len(self._seed):
            for name in ("_temperature", "_top_p", "_top_k", "_seed", "_sequence"):
                array = getattr(self, name)
                setattr(self, name, np.concatenate((array, np.zeros_like(array))))
        params = live.params
        self._temperature[lane] = params.temperature
        self._top_p[lane] = params.top_p
        self._top_k[lane] = params.top_k
        self._seed[lane] = live.seed
        self._sequence[lane] = branch

    def _sampled(
        self, plan: Plan, batch: Batch
    ) -> tuple[list[tuple[EngineRequest, int]], list[int], Batch]:
        """The request and branch of each sample; a request that forks is sampled once per branch."""
        groups = plan.scheduled_seq_groups
        steady = not len(groups.first)
        known = self._steady
        if steady and known is not None and groups.second is known.rows:
            sampled = self._with_sampling(batch, batch.sample_rows, batch.sample_lanes)
            return known.who, known.widths, sampled
        self._steady = None
        who = [(self.live[row.request_id], row.branch) for row in plan.sampling]
        widths = [1 if live.forked else live.params.n for live, _ in who]
        rows = batch.sample_rows
        lanes = batch.lanes[rows]
        if any(width > 1 for width in widths):
            wide: list[int] = []
            each: list[int] = []
            for position, (live, branch) in enumerate(who):
                wide += [int(rows[position])] * widths[position]
                each.append(int(lanes[position]))
                for child in range(1, widths[position]):
                    name = live.output.request_id
                    self._settle(live, child, self.book.fork(name, branch, child))
                    each.append(live.lanes[child])
            rows, lanes = np.array(wide, dtype=np.int64), np.array(each, dtype=np.int64)
        elif steady:
            self._steady = Steady(groups.second, who, widths)
        return who, widths, self._with_sampling(batch, rows, lanes)

    def _with_sampling(self, batch: Batch, rows: Any, lanes: Any) -> Batch:
        """The batch, with samples drawn from these rows for these lanes."""
        if len(rows) == len(batch.sample_rows) and not self._temperature[lanes].any():
            return batch  # greedy, unchanged
        return replace(batch, sample_rows=rows, sampling=self._how(lanes))

    def _how(self, lanes: Any) -> Sampling:
        """The sampling parameters of these lanes."""
        return Sampling(
            lanes=lanes,
            seeds=self._seed[lanes],
            sequences=self._sequence[lanes],
            temperatures=self._temperature[lanes],
            top_ps=self._top_p[lanes],
            top_ks=self._top_k[lanes],
        )

    def _forward(self, batch: Batch) -> torch.Tensor:
        """Runs a batch in stream order; its tokens are on the host when the forward is done."""
        return fetch(self.runner.forward(batch))

    def _tell(self, done: list[int], failed: list[int]) -> bool:
        """Reports copies to the scheduler; returns whether there were any."""
        if done or failed:
            self.scheduler.complete([*done, *failed], failed)
        return bool(done or failed)

    def _check(self) -> None:
        """Checks all invariants, if verifying."""
        if self.verify:
            self.checks += 1
            audit(self.scheduler)

    # ---- results -------------------------------------------------------------------------------

    def _commit(self, flight: Flight) -> None:
        """Commits the oldest step in flight and stores its tokens."""
        self._tell(*self.executor.settle(flight.launched))
        self.steps += 1
        try:
            tokens: list[int] = self.executor.result(flight.launched).tolist()
        except Exception as error:
            self._failed(flight, error)
            return
        plan = flight.plan
        dropped = set(self.scheduler.dropped(plan))
        if flight.steady is not None and not dropped:
            self._go_on(plan, flight.steady, tokens)
            return
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
                if len(ids) >= live.params.max_tokens:
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
                if live.output.outputs[index].finish_reason is None:
                    lanes.append(live.lanes[index])
                    learned.append(token)
                if self._learn(live, index, token):
                    stopped.append(position if width == 1 else (position, k))
            if live.output.finished:
                ended.append(live)
        self.book.learn_all(np.array(lanes, dtype=np.int64), np.array(learned, dtype=np.int64))
        given: Any = np.array(sampled, dtype=np.int64) if simple else sampled
        self._over(self.scheduler.commit(plan, given, stopped))
        for live in ended:
            self._forget(live)
        self._check()

    def _go_on(self, plan: Plan, steady: Steady, tokens: list[int]) -> None:
        """Commits a decode-only step of plain sequences: none was dropped, each gets one token."""
        given = np.array(tokens, dtype=np.int64)
        self.book.learn_all(steady.lanes, given)
        for append, token in zip(steady.appends, tokens, strict=True):
            append(token)
        # Equals Delta(name, 0, (token,), "", None) for each, without a Python call for each.
        parts = zip(steady.names, repeat(0), zip(tokens, strict=True), repeat(""), repeat(None))
        deltas = list(map(NEW_DELTA, parts))
        ended = np.flatnonzero(self.book.known[steady.lanes] >= steady.ends).tolist()
        for position in ended:
            steady.who[position][0].output.outputs[0].finish_reason = "length"
            deltas[position] = deltas[position]._replace(finish_reason="length")
        self._deltas += deltas
        self._over(self.scheduler.commit(plan, given))
        for position in ended:
            self._forget(steady.who[position][0])
        self._check()

    def _over(self, requests: list[Finished]) -> None:
        """Closes requests that the scheduler ended."""
        for finished in requests:
            done = self.live.get(finished.request_id)
            if done is not None:
                done.output.preemptions = finished.preemptions

    def _learn(self, live: EngineRequest, index: int, token: int) -> bool:
        """Adds one token to a sequence; returns whether it stops here (its length apart)."""
        completion, params = live.output.outputs[index], live.params
        if completion.finish_reason is not None:
            return False
        completion.token_ids.append(token)
        stop: int | str | None = None
        if token in params.stop_token_ids or (token in self.ends and not params.ignore_eos):
            stop = token
        text = live.texts[index]
        if stop is None:
            stop = text.add(completion.token_ids)
        over = len(completion.token_ids) >= params.max_tokens
        if stop is not None:
            completion.finish_reason, completion.stop_reason = "stop", stop
        elif over:
            completion.finish_reason = "length"
        new = text.take(ended=completion.finish_reason is not None)
        completion.text = text.text[: text.given]
        reason = completion.finish_reason
        self._deltas.append(Delta(live.output.request_id, index, (token,), new, reason))
        if reason is not None:
            name = live.output.request_id
            if any(c.finish_reason is None for c in live.output.outputs):
                self.book.drop(name, index)
        return stop is not None and not over

    def _close(self, live: EngineRequest, reason: str, error: str | None = None) -> None:
        """Ends the request; keeps its output."""
        live.output.error = error
        for completion in live.output.outputs:
            if completion.finish_reason is None:
                completion.finish_reason = reason
                self._deltas.append(
                    Delta(live.output.request_id, completion.index, (), "", reason)
                )
        self._forget(live)

    def _forget(self, live: EngineRequest) -> None:
        """Deletes all state of the request."""
        name = live.output.request_id
        live.gone = True
        self.live.pop(name, None)
        self.book.drop_request(name, range(live.params.n))

    # ---- failures ------------------------------------------------------------------------------

    def _failed(self, flight: Flight, error: Exception) -> None:
        """A forward raised: restarts every request in it with its tokens."""
        text = f"{type(error).__name__}: {error}"
        self.failures.append(f"step {flight.plan.step}: {text}")
        rows = flight.plan.scheduled_seq_groups
        failed_requests = {row.request_id: None for row in rows if row.request_id in self.live}
        for name in failed_requests:
            self.scheduler.abort(name)
        self.scheduler.commit(flight.plan, [0] * len(flight.who))
        for name in failed_requests:
            live = self.live[name]
            self.book.drop_request(name, range(live.params.n))
            live.lanes.clear()
            live.tries += 1
            if live.tries > RETRIES or not self._again(live):
                self._close(live, "error", text)

    def _again(self, live: EngineRequest) -> bool:
        """Adds the request again; its tokens are now part of the prompt."""
        output, params = live.output, live.params
        if params.n > 1:
            # Its branches differ in length: sample all of it again. The tokens are the same,
            # because they depend on seed, branch and position alone.
            for index in range(params.n):
                output.outputs[index] = Completion(index)
                live.texts[index] = Text(
                    self.decode, params.stops, keep_stop=params.include_stop_str_in_output
                )
            live.forked = False
        done = len(output.outputs[0].token_ids) if params.n == 1 else 0
        request = Request(
            request_id=output.request_id,
            prompt_tokens=len(output.prompt_token_ids) + done,
            max_tokens=params.max_tokens - done,
            n=params.n,
            priority=params.priority,
            arrival_time=self.clock(),
        )
        return not isinstance(self.scheduler.add(request), Rejected)
