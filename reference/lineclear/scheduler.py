"""The scheduler: policies decide, the table of actions enforces.

Guarantees: every change to a request or a block is an action of `lineclear_spec.actions`, but for the names
that callers give (`name_blocks`, `ask_for_names`); a call that raises an error of its own has changed nothing; the same
calls give the same journal. If a function that the caller gave (`watch_prefix_cache`, `ask_for_names`) raises, or the
policy or the key of `eviction` raises what is no `Exception` (such as KeyboardInterrupt), the call during which it came
is finished, and the next call raises it and does nothing else. If it came during `add`, `add` aborts the request and
raises it. What a journal raises comes out at once: discard the scheduler then.

A request passes these modules of `lineclear.scheduling`, in this order: `live_requests` takes it in,
`step` chooses it, `transitions` lets it run, `dispatch` issues the step, `commit` applies its result.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from lineclear.config import Config
from lineclear.journal.memory import Ring
from lineclear.monitor.stall import Stall
from lineclear.monitor.stall_report import stall_report
from lineclear.monitor.stats import stats
from lineclear.plan import Plan
from lineclear.policies import Policy, make
from lineclear.request import (
    Accepted,
    Finished,
    PlanError,
    Rejected,
    Request,
    Sampled,
    SchedulerError,
)
from lineclear.rules import load, rules_of
from lineclear.scheduling.cache_calls import CacheCalls, check_callable
from lineclear.scheduling.commit import Commit, CommitParts
from lineclear.scheduling.counters import Counters, PlanChanges
from lineclear.scheduling.decode_batch import DecodeBatch
from lineclear.scheduling.dispatch import Dispatch
from lineclear.scheduling.eviction import EvictionKey
from lineclear.scheduling.flight import InFlight
from lineclear.scheduling.live_request import LiveRequest
from lineclear.scheduling.live_requests import LiveRequests
from lineclear.scheduling.policy_adapter import PolicyAdapter
from lineclear.scheduling.prefix_cache import PrefixCache
from lineclear.scheduling.receiver import AskedKey
from lineclear.scheduling.step import Step, StepParts
from lineclear.scheduling.swap_reports import SwapReports
from lineclear.scheduling.transitions import Transitions
from lineclear.scheduling.victims import Victims
from lineclear_spec import actions
from lineclear_spec.kernel.ledger import Ledger

#: How a pause treats the requests that are live.
PAUSES = ("keep", "wait", "recompute")
Journal = Callable[[str, tuple[object, ...]], None]


class Scheduler(CacheCalls):
    """A continuous-batching scheduler over a paged KV cache; calls come from one thread at a time, since nothing
    here locks.

    Args:
        config: settings; the default preset if None.
        policy: decides which request comes first; the one that `config` names if None.
        clock: seconds, stamped on plans and results, used for nothing else; None stamps nothing.
        journal: called with every action and its arguments, and must not raise; a `Ring` of the last ones if None.
        step_factory: how a step is built; the class that `config.rules` names if None.
        eviction: the key by which blocks of the prefix cache are evicted; see `scheduling/eviction.py`. That of
            `config.prefix_eviction` if None.
    """

    def __init__(
        self,
        config: Config | None = None,
        policy: Policy | None = None,
        clock: Callable[[], float] | None = None,
        journal: Journal | None = None,
        step_factory: type[Step] | None = None,
        eviction: EvictionKey | None = None,
    ) -> None:
        """Nothing is live and nothing is in flight.

        Raises:
            SchedulerError: an argument is not what it has to be.
        """
        config = self.config = checked_config(config)
        if policy is None:
            policy = make(config.scheduling_policy, dict(config.policy_options))
        step: type[Step] = (
            load(rules_of(config.rules).step) if step_factory is None else step_factory
        )
        check_parts(policy, step, clock=clock, journal=journal, eviction=eviction)
        ledger = self.ledger = Ledger(config.limits())
        self.clock = clock
        adapter = self.adapter = PolicyAdapter(policy)
        ring = Ring()
        self.journal: Journal = ring if journal is None else journal
        # A method is called faster than an object.
        ledger.journal = ring.__call__ if journal is None else journal
        counters = self.counters = Counters()
        live = self.live = LiveRequests(config, ledger, adapter, counters)
        self.in_flight = InFlight(config.max_steps_in_flight)
        batch = self.batch = DecodeBatch(ledger, live, self.in_flight, adapter)
        changes = self.changes = PlanChanges()
        key = None if eviction is None else AskedKey(eviction, adapter)
        cache = self.cache = PrefixCache(config, ledger, counters, key)
        transitions = Transitions(config, ledger, live, batch, changes, counters, adapter, cache)
        self.transitions = transitions
        victims = Victims(config.victim, ledger, live)
        self.step_parts = StepParts(
            config, ledger, live, batch, victims, transitions, adapter, cache
        )
        self._step = step
        self._dispatch = Dispatch(
            ledger, live, batch, self.in_flight, changes, counters, adapter, cache
        )
        joins = not config.num_lookahead_slots and self._step.decodes_every_step
        self._commit_parts = CommitParts(
            ledger,
            live,
            batch,
            transitions,
            counters,
            joins,
            config.max_steps_in_flight > 1,
            cache,
        )
        self._swap_reports = SwapReports(ledger, live, transitions)
        self.admission_blocked_by = ""

    # ---- requests ------------------------------------------------------------------------------

    def add(self, request: Request) -> Accepted | Rejected:
        """Takes a request in, or turns it away with the reason.

        Raises:
            InvalidRequest: it is no `Request`, or its id is that of a live request, is not hashable or does not equal
                itself.
        """
        self.adapter.check_caller()
        entry = self.live.add(request)
        if isinstance(entry, Rejected):
            return entry
        if self.adapter.interruption is not None:
            self.transitions.end(entry, actions.abort)  # the caller gets no answer
            self.adapter.check_caller()
        return Accepted(entry.request_id)

    def abort(self, request_id: Hashable) -> bool:
        """Ends a request in whatever phase it is; False if it is not live: clients race.

        Raises:
            InvalidRequest: the id is not hashable.
        """
        self.adapter.check_caller()
        entry = self.live.find(request_id)
        if entry is None:
            return False
        self._abort(entry)
        return True

    def _abort(self, entry: LiveRequest) -> None:
        """The request, which is live, ends."""
        self.transitions.end(entry, actions.abort)
        self.counters.aborted += 1

    def restart(self, request_id: Hashable) -> bool:
        """Starts a live request again, whose KV is lost; False if it is not live.

        For a step that failed on the device: to be called before that step is committed. Everything
        that the request holds is freed, and samples of its steps in flight are dropped. It waits at
        the place that its arrival, priority and tenant gave it, and is not asked to pass admission
        again: neither `max_waiting` nor `drain` turns it away. A request with one sequence keeps
        its tokens, and `max_tokens` counts them; one with n > 1 begins again behind its prompt.

        Raises:
            InvalidRequest: the id is not hashable.
        """
        self.adapter.check_caller()
        entry = self.live.find(request_id)
        if entry is None:
            return False
        self.transitions.restart(entry)
        return True

    def abort_all(self) -> list[Hashable]:
        """Aborts every live request; returns their ids."""
        self.adapter.check_caller()
        entries = list(self.entries.values())
        for entry in entries:
            self._abort(entry)
        return [entry.request_id for entry in entries]

    def drain(self) -> int:
        """Rejects new requests from now on; returns the number of live ones."""
        self.adapter.check_caller()
        self.live.draining = True
        return len(self.entries)

    def pause(self, mode: str = "keep") -> None:
        """Holds the requests until `resume`; new ones are taken in and wait.

        A request that was preempted for growth under `wait` waits for `resume`, too. Plans of a pause may
        dispatch copies that were decided before; steps in flight are to be committed as ever. No theorem about
        progress speaks of a pause.

        Args:
            mode: "keep" issues no step, and every request stays as it is. "wait" admits no request, and
                those that run go on to their end. "recompute" frees the blocks of every request at once;
                each then waits with the tokens that it has. A block that a step in flight may still touch
                is fenced: the step of its next owner waits for that one.

        Raises:
            SchedulerError: there is no such mode, or the scheduler is paused.
        """
        self.adapter.check_caller()
        if not isinstance(mode, str) or mode not in PAUSES:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise SchedulerError(f"mode must be one of {', '.join(PAUSES)}, not {mode!r}")
        if self.live.paused:
            raise SchedulerError(
                f"the scheduler is paused (mode {self.live.paused}); resume it first"
            )
        self.live.paused = mode
        self.admission_blocked_by = "paused"
        if mode == "recompute":
            self.transitions.free_all()

    def resume(self) -> None:
        """Ends a pause; without one it does nothing."""
        self.adapter.check_caller()
        if self.live.paused:
            self.live.paused = self.admission_blocked_by = ""

    # ---- steps ---------------------------------------------------------------------------------

    def schedule(self) -> Plan:
        """The next plan; its step, if it has one, is in flight from now on.

        A plan whose `step` is None computes nothing and needs no commit. It may still have operations to
        run, tables to apply and ended requests, unless `is_empty`.

        Raises:
            SchedulerError: `max_steps_in_flight` steps are in flight; commit the oldest first.
        """
        self.adapter.check_caller()
        self.in_flight.check_room()
        time = None if self.clock is None else self.clock()
        ledger, live, batch = self.ledger, self.live, self.batch
        # `complete_up_to` looks at every open operation: it is called only if `barrier` may make the next step wait.
        if ledger.barrier > ledger.done and ledger.complete_up_to() > ledger.done:
            actions.lift_fences(ledger)
        if live.paused in ("keep", "recompute"):
            return self._dispatch.issue((), time, hold=True)
        if live.reviews:
            live.review()
        batch.leave_at_their_last_token()
        if self.cache.late:
            self.cache.publish_late()
        # `head()` is asked last because it has an effect: it asks a tenant policy, which may begin the next turn.
        if batch.alone and live.waiting.head() is None:
            # sequences in the decode batch only: no loop over them
            return self._dispatch.issue((), time)
        step = self._step(self.step_parts)
        step.build()
        self.admission_blocked_by = step.admission_blocked_by
        return self._dispatch.issue(step.pairs, time)

    def commit(
        self, plan: Plan, sampled: Sampled, stopped: Iterable[int | tuple[int, int]] = ()
    ) -> list[Finished]:
        """Commits the oldest step in flight with its sampled tokens; returns the requests that it finished.

        Args:
            plan: the oldest plan that has a step and was not committed. A plan without a step
                needs no commit; one is accepted and does nothing.
            sampled: one token for each entry of `plan.sampling`, as an array or a list: [17]. An entry
                of a list may be a list of continuations, each a list of 1 to 1 + drafts tokens: [[[17, 4]]]
                accepts one draft, [[[17], [18]]] forks a second branch, [[]] prunes the branch. Or a
                mapping of (request id, branch) to such entries: {("a", 0): 17}.
            stopped: positions in `plan.sampling` that end with this token (stop token, stop
                string); (position, k) ends only the k-th of several continuations.

        Raises:
            PlanError: the plan is foreign, stale or out of order.
            SampledError: tokens or positions do not match the plan.
        """
        self.adapter.check_caller()
        try:
            if plan.step is None:
                return Commit.of_nothing(sampled, stopped)
        except AttributeError as error:
            raise PlanError(f"plan must be one that schedule returned, not {plan!r}") from error
        flight = self.in_flight.oldest(plan)
        time = None if self.clock is None else self.clock()
        outcome = Commit(self._commit_parts, flight, sampled, stopped)  # or refuses
        self.in_flight.flights.popleft()
        return outcome.apply(time)

    def dropped(self, plan: Plan) -> list[int]:
        """Positions of `plan.sampling` whose tokens the commit will not keep.

        The request ended meanwhile, or its KV was freed before it was known to be good: a copy
        failed, or it was preempted by a recompute while its copy in was under way. What was
        sampled for any other preempted request is kept.

        Raises:
            PlanError: the plan is not in flight.
        """
        return self.in_flight.of(plan).dropped()

    def complete(self, operations: Iterable[int], failed: Iterable[int] = ()) -> list[Hashable]:
        """Reports swaps that are complete or have failed; a failed one turns its request into a recompute.

        A commit says that the forward ran, and with it every copy that it waited for: these need
        not be reported, and a later report changes nothing. A failed copy has to be reported before
        that commit: what the step sampled for the request is dropped then, and what it had
        generated before is kept. Block copies run with the forward and are done with it.

        Args:
            operations: numbers of swaps that have ended.
            failed: numbers of those that failed; they may stand in `operations` too.

        Returns:
            The ids of requests whose copy failed.

        Raises:
            SchedulerError: a number is no swap that a plan has dispatched, or is reported as failed
                after a commit said that it was done; or these are no lists of numbers; nothing has changed.
        """
        self.adapter.check_caller()
        return self._swap_reports.complete(operations, failed)

    # ---- reports -------------------------------------------------------------------------------

    def stats(self, prefix: str = "") -> dict[str, int | float]:
        """Gauges of this moment and counters since the start; reading them changes nothing.

        Args:
            prefix: "vllm:" gives vLLM's names to what vLLM counts too, and "lineclear:" to the rest.
        """
        return stats(self, prefix)

    def stall_report(self) -> Stall:
        """What each live request holds at this moment, and which guard keeps each that waits."""
        return stall_report(self)


def checked_config(config: object) -> Config:
    """The settings; the default ones for None.

    Raises:
        SchedulerError: it is no `Config`.
    """
    if config is None:
        return Config()
    if not isinstance(config, Config):
        raise SchedulerError(
            f"config must be a Config, not {config!r}; Config.from_mapping makes one of a table"
        )
    return config


def check_parts(policy: object, step_factory: object, **functions: object) -> None:
    """A scheduler can call what it is made with.

    Raises:
        SchedulerError: it cannot.
    """
    methods = ("key", "may_displace")
    if isinstance(policy, type) or not all(hasattr(policy, method) for method in methods):
        raise SchedulerError(
            f"policy must be an object with the methods key and may_displace, not {policy!r}; "
            "Config(scheduling_policy=...) takes the name of one"
        )
    if not isinstance(step_factory, type) or not hasattr(step_factory, "decodes_every_step"):
        raise SchedulerError(
            f"step_factory must be a class that builds steps, not {step_factory!r}; "
            "derive one from lineclear.scheduling.step.Step"
        )
    for name, function in functions.items():
        if function is not None:
            check_callable(name, function)
