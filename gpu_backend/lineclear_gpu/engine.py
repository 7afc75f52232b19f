# pyright: basic
"""Serves requests: the scheduler decides, the executor runs its plans, a runner computes tokens.

Guarantees: every token handed out was sampled by a step whose KV was valid (`_commit` has the order on which that
rests). `add` rejects an invalid request before any step sees it, so no step raises because of a request's
parameters. If a forward raises, its rows are run again in halves; a request whose row raises by itself loses its KV
and starts again, with its tokens and at its place in the order; one that fails again ends with the error, and all
others go on. Ctrl-C waits for the end of a step, so that an engine serves on after it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from lineclear.config import Config
from lineclear.monitor.audit import audit
from lineclear.monitor.hazards import Hazards
from lineclear.plan import Plan
from lineclear.scheduler import Scheduler
from lineclear_gpu.block_names import BlockNames
from lineclear_gpu.book import Book
from lineclear_gpu.executor import Executor
from lineclear_gpu.flights import EngineRequest, Flight
from lineclear_gpu.forwards import ForwardRunner, Runner, Sampled, error_text
from lineclear_gpu.intake import Intake
from lineclear_gpu.lanes import Lanes
from lineclear_gpu.outputs import Decode, Delta, RequestOutput
from lineclear_gpu.params import SamplingParams, drawn_seed, shown
from lineclear_gpu.pool import KVPool
from lineclear_gpu.results import Results
from lineclear_gpu.section import EngineError, Section
from lineclear_gpu.streams import Streams

__all__ = ["Engine", "EngineError", "Runner"]

#: How often a request restarts after a forward that raised because of it.
RETRIES = 1
#: Failed steps whose errors are kept: a server must not grow with what has failed.
MOST_FAILURES = 100


class Engine:
    """A scheduler, two pools and a runner; calls come from one thread at a time, since nothing here locks.

    Args:
        config: the scheduler's settings.
        runner: computes batches over the pool.
        pool: the blocks.
        vocab_size: token ids are below it.
        decode: converts tokens to text, None for no text.
        eos_token_ids: tokens that end a sequence unless its parameters ignore them.
        seed: seed of requests without one.
        streams: where operations run; default: the streams of the pool's device.
        verify: whether to check every invariant and the access order in each step.
        kv_events: whether to keep the events of the prefix cache for `take_kv_events`.
        split_groups: whether the sequences of a group that does not fit run as requests of their own.
    """

    def __init__(
        self,
        config: Config,
        runner: Runner,
        pool: KVPool,
        *,
        vocab_size: int,
        decode: Decode | None = None,
        eos_token_ids: Iterable[int] = (),
        seed: int = 0,
        streams: Streams | None = None,
        verify: bool = False,
        kv_events: bool = False,
        split_groups: bool = True,
    ) -> None:
        """Starts without requests."""
        if config.num_lookahead_slots:
            raise EngineError(
                f"num_lookahead_slots is {config.num_lookahead_slots}; it must be 0, since the engine "
                "drafts no tokens"
            )
        for size, owner in (
            ("num_gpu_blocks", pool),
            ("num_cpu_blocks", pool),
            ("block_size", pool.shape),
        ):
            has, wanted = getattr(owner, size), getattr(config, size)
            if has != wanted:
                raise EngineError(
                    f"{size} is {has} in the pool and {wanted} in the config; they must be equal: make the pool of the "
                    "config's sizes"
                )
        self.config = config
        self.runner = runner
        self.pool = pool
        self.decode = decode
        self.ends = frozenset(eos_token_ids)
        self.seed = seed
        self.verify = verify
        self.scheduler = Scheduler(config)
        self.book = Book(config.block_size, config.max_model_len, len(runner.newest))
        self.executor = Executor(pool, streams, hazards=Hazards() if verify else None)
        self.live: dict[Hashable, EngineRequest] = {}
        self.flights: deque[Flight] = deque()
        self.steps = 0  # steps committed
        self.checks = 0  # audits made, if verifying
        self.failed_steps = 0  # steps in which a row or the whole forward failed
        # of the last failed steps, the errors and the requests that failed
        self.failures: deque[str] = deque(maxlen=MOST_FAILURES)
        self.launches = 0  # plans launched
        self._accepted = 0
        self._whole = Section()
        self._forwards = ForwardRunner(runner)
        self.lanes = Lanes(self.book, self.live, len(runner.newest))
        caching = config.prefix_caching != "off"
        self.names = BlockNames(self.scheduler, self.book, events=kv_events) if caching else None
        self.results = Results(self.book, self.live, self.names)
        self.intake = Intake(
            self.scheduler, vocab_size, decode is not None, self.names, split_groups
        )

    # ---- requests ------------------------------------------------------------------------------

    def add(
        self,
        request_id: Hashable,
        prompt_token_ids: Iterable[int],
        params: SamplingParams | None = None,
        *,
        prompt: str | None = None,
        tenant: Hashable = None,
        cache_salt: str | None = None,
    ) -> RequestOutput:
        """Adds a request; returns its output, which `step` fills.

        If the n sequences of a group do not fit together into the pool or into `max_num_seqs`, but each alone does,
        they run as n requests of one sequence, unless `split_groups` is off.

        Args:
            request_id: unique among live requests.
            prompt_token_ids: its prompt.
            params: how it is sampled; the defaults if None.
            prompt: its text, for the output.
            tenant: whom its service is charged to. It keeps no blocks apart: give a salt for that.
            cache_salt: with prefix caching, requests share blocks only if their salts are equal.

        Raises:
            EngineError: the request is rejected; the message says why.
            InvalidRequest: a request with this id is live or has an open stream, or the id or tenant is not hashable.
        """
        params = SamplingParams() if params is None else params
        self.results.check_id(request_id)
        with self._whole:
            output, parts, most = self.intake.take(
                request_id, prompt_token_ids, params, prompt, tenant, cache_salt
            )
            self._accepted += 1
            seed = drawn_seed(self.seed, self._accepted) if params.seed is None else params.seed
            ends = params.ends or (self.ends and not params.ignore_eos)
            if len(parts) > 1:
                params = replace(params, n=1)
                self.results.groups.add(output, parts)
            for number, part in enumerate(parts):
                live = EngineRequest(part, params, most, seed, self.decode, number)
                live.since = self.launches
                live.plain = params.n == 1 and self.decode is None and not ends
                self.live[part.request_id] = live
        return output

    def abort(self, request_id: Hashable) -> bool:
        """Aborts a request; returns whether it was live. Called while a step runs, it takes effect at that step's
        end. After a step that was broken off it does nothing.
        """
        output = self.output_of(request_id)
        if output is None:
            return False
        for part in self.results.groups.parts(output):
            live = self.live.get(part.request_id)
            if live is not None:
                self._whole.after(partial(self._abort, live))
        return True

    def output_of(self, request_id: Hashable) -> RequestOutput | None:
        """The output of a request that has not ended; None if there is none with this id."""
        try:
            live = self.live.get(request_id)
        except TypeError:  # an id that cannot be hashed is of no request
            return None
        return self.results.groups.live(request_id) if live is None else live.output

    def _abort(self, live: EngineRequest) -> None:
        if not live.gone:
            self.scheduler.abort(live.output.request_id)
            self.results.close(live, "abort")

    def reset_prefix_cache(self) -> int:
        """Forgets every cached block, so that no later request finds one; returns how many could be found.

        Requests that run keep what they share. To be called after weights were replaced, or between tests.
        """
        return 0 if self.names is None else self.names.reset()

    def take_kv_events(self) -> list[Any]:
        """The batch `[seconds, events]` of what the prefix cache stored and removed since the last call.

        Events are dicts of vLLM's names; seconds are those of the wall clock. Without prefix caching, or
        without `kv_events`, there are none.
        """
        log = None if self.names is None else self.names.events
        return [time.time(), []] if log is None else log.take()

    @property
    def busy(self) -> bool:
        """Whether work remains."""
        return bool(self.live) or bool(self.flights)

    # ---- steps ---------------------------------------------------------------------------------

    def step(self) -> list[Delta]:
        """Launches as many steps as may be in flight and commits the oldest; returns new output.

        The output of a request that `LLM.generate` or a stream of `LLM` reads is given to that reader and not returned.

        Raises:
            EngineError: requests are live but none can progress, as while `scheduler.pause` holds all of them; or an
                error broke an earlier step off.
            Exception: a step was broken off, and the engine has to be made anew; a forward or a copy that raises
                breaks none off.
        """
        with self._whole:
            try:
                self._step()
            except EngineError:  # no request can progress; nothing is half done
                raise
            except Exception as error:
                self._whole.broken = error_text(error)
                raise
        return self.results.take()

    def _step(self) -> None:
        launched = False
        while len(self.flights) < self.config.max_steps_in_flight:
            if not self._launch(self.scheduler.schedule()):
                break
            launched = True
        if self.flights:
            self._commit(self.flights.popleft())
        elif not launched and self.live:
            self._end_a_stall()
        self._report(*self.executor.poll())

    def _end_a_stall(self) -> None:
        """Nothing was launched and nothing is in flight: waits for open copies; if there are none, schedules again.

        Raises:
            EngineError: no copy was open, and the second plan was empty too.
        """
        if self._report(*self.executor.drain()):
            return
        # The step that launched nothing may have preempted, and with `pause_after_preemption` such a one
        # admits no request: only a second one tells.
        if self._launch(self.scheduler.schedule()) or self._report(*self.executor.drain()):
            return
        raise EngineError(f"no request can progress:\n{self.scheduler.stall_report().text()}")

    def run(self, on_step: Callable[[list[Delta]], object] = lambda _: None) -> None:
        """Steps until no work remains."""
        while self.busy:
            on_step(self.step())

    def _launch(self, plan: Plan) -> bool:
        """Launches a plan; returns whether it had any work."""
        if plan.is_empty:
            self._check()
            return False
        self.launches += 1
        entered: set[Hashable] = set()
        for request_id, branch, _ in plan.tables:
            if (request_id, branch) not in self.book.lane:
                self.lanes.enter(request_id, branch)
                entered.add(request_id)
        if entered and self.names is not None:
            self._note_hits(plan, entered)
        batch = self.book.batch(plan)
        if plan.step is None:
            self.executor.launch(plan)
            self._check()
            return True
        flight_who, widths, batch = self.lanes.sampled(plan, batch)
        touched = self.book.accesses(batch) if self.executor.hazards is not None else ()
        self.executor.launch(plan, lambda: self._forwards.run(batch), touched)
        steady = self.lanes.decode_rows
        if steady is not None and not steady.plain:
            steady = None
        self.flights.append(Flight(plan, self.launches, flight_who, widths, steady))
        self._check()
        return True

    def _note_hits(self, plan: Plan, entered: set[Hashable]) -> None:
        """Sets `num_cached_tokens` of requests that are admitted for the first time: tokens before their first row."""
        for row in plan.scheduled_seq_groups.first:
            if row.request_id in entered and row.start and not self.live[row.request_id].tries:
                self.live[row.request_id].output.num_cached_tokens = row.start

    def _report(self, done: list[int], failed: list[int]) -> bool:
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
        """Commits the oldest step in flight and stores its tokens.

        The order keeps tokens of bad KV out: first copies that failed are reported, then requests whose rows
        failed start again; then `dropped` names the samples of both, and only then is the step committed.
        """
        self._report(*self.executor.wait_for(flight.plan))
        self.steps += 1
        tokens, failed = self._result(flight)
        self._restart(flight, failed)
        plan = flight.plan
        dropped = set(self.scheduler.dropped(plan))
        if flight.decode_batch is not None and not dropped:
            given, ended = self.results.store_decodes(flight.decode_batch, tokens)
            self.results.over(self.scheduler.commit(plan, given))
        else:
            given, stopped, ended = self.results.store(flight, tokens, dropped, self.ends)
            self.results.over(self.scheduler.commit(plan, given, stopped))
        for live in ended:
            self.results.forget(live)
        while self.results.broken:
            live, error = self.results.broken.popitem()
            if not live.gone:
                self._end(live, error)
        self._check()

    # ---- failures ------------------------------------------------------------------------------

    def _result(self, flight: Flight) -> tuple[list[int], dict[Hashable, str]]:
        """The tokens of a step, and the requests that failed in it with their errors."""
        rows = flight.plan.scheduled_seq_groups
        failed = {
            name: error_text(error)
            for name, error in self.executor.failed_blocks(flight.plan).items()
        }
        error: str | None
        try:
            sampled: Sampled = self.executor.result(flight.plan)
            tokens: list[int] = sampled.tokens.tolist()
            error = sampled.error
            failed |= {rows[row].request_id: text for row, text in sampled.failed.items()}
        except Exception as raised:  # nothing of the step is known
            tokens, error = [0] * sum(flight.widths), error_text(raised)
            failed |= {row.request_id: error for row in rows}
        if error is not None or failed:
            names = ", ".join(map(shown, failed)) or "no request alone"
            error = error or next(iter(failed.values()))
            self.failed_steps += 1
            self.failures.append(f"step {flight.plan.step}: {error} (failed: {names})")
        return tokens, failed

    def _restart(self, flight: Flight, failed: dict[Hashable, str]) -> None:
        """Requests that failed in a step start again with their tokens, or end with the error.

        A failure in a step that was launched before the request last started again (`since`) has been dealt with.
        """
        for name, text in failed.items():
            live = self.live.get(name)
            if live is None or flight.number <= live.since:
                continue
            live.tries += 1
            if live.tries > RETRIES:
                self._end(live, text)
                continue
            self.scheduler.restart(name)
            self.book.drop_request(name, range(live.params.n))
            live.start_again(self.launches)

    def _end(self, live: EngineRequest, error: str) -> None:
        """Ends one request with an error."""
        self.scheduler.abort(live.output.request_id)
        self.results.close(live, "error", error)
