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
from typing import Protocol

import torch

from lineclear.config import Config
from lineclear.monitor.audit import audit
from lineclear.monitor.hazards import Hazards
from lineclear.plan import Plan
from lineclear.request import Rejected, Request
from lineclear.scheduler import Scheduler
from lineclear_gpu.batch import Batch
from lineclear_gpu.book import Book
from lineclear_gpu.executor import Executor
from lineclear_gpu.flights import EngineRequest, Flight
from lineclear_gpu.lanes import Lanes
from lineclear_gpu.outputs import Completion, Decode, Delta, RequestOutput
from lineclear_gpu.params import SamplingParams
from lineclear_gpu.pool import KVPool
from lineclear_gpu.results import Results
from lineclear_gpu.staging import fetch
from lineclear_gpu.streams import Streams
from lineclear_gpu.transfer import Transfer

__all__ = ["Engine", "EngineError", "Runner"]

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
        self.lanes = Lanes(self.book, self.live, len(runner.newest))
        self.results = Results(self.book, self.live)

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
        self.results.close(live, "abort")
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
            if not self._carry(self.scheduler.schedule()):
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
        return self.results.take()

    def run(self, on_step: Callable[[list[Delta]], object] = lambda _: None) -> None:
        """Steps until no work remains."""
        while self.busy:
            on_step(self.step())

    def _carry(self, plan: Plan) -> bool:
        """Launches a plan; returns whether it had any work."""
        if plan.is_empty:
            self._check()
            return False
        for request_id, branch, _ in plan.tables:
            if (request_id, branch) not in self.book.lane:
                self.lanes.enter(request_id, branch)
        batch = self.book.batch(plan)
        if plan.step is None:
            self.executor.launch(plan)
            self._check()
            return True
        flight_who, widths, batch = self.lanes.sampled(plan, batch)
        touched = self.book.accesses(batch) if self.executor.hazards is not None else ()
        launched = self.executor.launch(plan, lambda: self._forward(batch), touched)
        steady = self.lanes.steady
        if steady is not None and not steady.plain:
            steady = None
        self.flights.append(Flight(launched, plan, flight_who, widths, steady))
        self._check()
        return True

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
            given, ended = self.results.store_steady(flight.steady, tokens)
            self.results.over(self.scheduler.commit(plan, given))
        else:
            given, stopped, ended = self.results.store(flight, tokens, dropped, self.ends)
            self.results.over(self.scheduler.commit(plan, given, stopped))
        for live in ended:
            self.results.forget(live)
        self._check()

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
                self.results.close(live, "error", text)

    def _again(self, live: EngineRequest) -> bool:
        """Adds the request again; its tokens are now part of the prompt."""
        output, params = live.output, live.params
        if params.n > 1:
            # Its branches differ in length: sample all of it again. The tokens are the same,
            # because they depend on seed, branch and position alone.
            live.start_over(self.decode)
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
