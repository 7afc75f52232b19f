"""A few requests on the real scheduler, step by step.

Guarantees: every invariant is checked after every step; a row shows the state in which a step was
issued, so a block that it needs is taken already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lineclear.config import Config
from lineclear.lessons.run import LessonStep, Outputs, RequestAtStep, SceneRun
from lineclear.monitor.audit import InvariantViolation, audit
from lineclear.monitor.observer import Observer
from lineclear.plan import Plan
from lineclear.request import Rejected, Request
from lineclear.scheduler import Scheduler
from lineclear_spec.kernel.lifecycle import Phase
from lineclear_spec.kernel.records import Request as Record

#: A scene that is not over by then never will be.
MOST_STEPS = 500


@dataclass(frozen=True, slots=True)
class SceneRequest:
    """A request that appears in a scene.

    Attributes:
        name: a letter.
        prompt: tokens of its prompt.
        output: tokens that it generates.
        priority: higher is more important.
        step: it arrives before this step, counted from 1.
        n: sequences that its first token branches into.
        tenant: whom its service is charged to.
        predicted: a guess of how many tokens it will generate.
    """

    name: str
    prompt: int
    output: int
    priority: int = 0
    step: int = 1
    n: int = 1
    tenant: str | None = None
    predicted: int | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """Requests and settings.

    Attributes:
        title: what it shows.
        settings: of the scheduler, by `Config`'s names.
        entries: the requests.
    """

    title: str
    settings: Mapping[str, Any]
    entries: tuple[SceneRequest, ...]

    def run(self) -> SceneRun:
        """Plays it to the end."""
        return Play(self).run()


@dataclass(slots=True)
class Play:
    """A scene being played.

    Attributes:
        scene: which one.
        before: states when the last step was issued.
        events: what has happened since.
        branches: sequences that the first token of a request is still to branch into.
    """

    scene: Scene
    rows: list[LessonStep] = field(default_factory=list[LessonStep])
    before: dict[str, RequestAtStep] = field(default_factory=dict[str, RequestAtStep])
    events: list[str] = field(default_factory=list[str])
    rejected: dict[str, str] = field(default_factory=dict[str, str])
    finished: dict[str, int] = field(default_factory=dict[str, int])
    branches: dict[str, int] = field(default_factory=dict[str, int])

    def run(self) -> SceneRun:
        """To the last request's end, or to the first violation."""
        base = {"watermark": 0.0, "num_cpu_blocks": 0, "preemption_mode": "recompute"}
        scheduler = Scheduler(Config.from_mapping({**base, **self.scene.settings}))
        observer = Observer(scheduler.ledger)
        scheduler.ledger.journal = observer
        violations: list[str] = []
        try:
            for step in range(1, MOST_STEPS + 1):
                arriving = [entry for entry in self.scene.entries if entry.step == step]
                self.arrive(scheduler, arriving)
                if not scheduler.entries and all(e.step <= step for e in self.scene.entries):
                    break
                self.step(scheduler, step, observer.check)
        except InvariantViolation as violation:
            violations.append(f"step {scheduler.ledger.steps}: {violation}")
        return SceneRun(
            self.scene.title,
            tuple(entry.name for entry in self.scene.entries),
            tuple(self.rows),
            self.finished,
            self.rejected,
            tuple(violations),
        )

    def arrive(self, scheduler: Scheduler, entries: list[SceneRequest]) -> None:
        """Adds the requests that arrive now."""
        for entry in entries:
            answer = scheduler.add(
                Request(
                    request_id=entry.name,
                    prompt_tokens=entry.prompt,
                    max_tokens=entry.output,
                    n=entry.n,
                    priority=entry.priority,
                    arrival_time=float(entry.step),
                    tenant=entry.tenant,
                    predicted_tokens=entry.predicted,
                )
            )
            self.branches[entry.name] = entry.n
            if isinstance(answer, Rejected):
                self.rejected[entry.name] = answer.reason
            else:
                self.events.append(f"{entry.name} arrives")

    def step(self, scheduler: Scheduler, step: int, check: Callable[[], None]) -> None:
        """One step, every copy complete before the next."""
        plan = scheduler.schedule()
        audit(scheduler)
        check()
        states = {
            str(name): RequestAtStep(
                entry.record.phase, known(scheduler, entry.record), entry.record.blocks
            )
            for name, entry in scheduler.entries.items()
        }
        preempted = {str(name): mode for name, mode in plan.preempted}
        self.events += [f"{name} is preempted by {mode}" for name, mode in preempted.items()]
        self.events += self.changes(states)
        gpu, cpu = scheduler.ledger.gpu, scheduler.ledger.cpu
        self.rows.append(
            LessonStep(
                step,
                gpu.free,
                gpu.total - gpu.free,
                cpu.total - cpu.free,
                states,
                preempted,
                tuple(self.events),
                outputs_of(plan),
            )
        )
        self.events, self.before = [], states
        scheduler.complete(
            [o.number for o in plan.operations if o.kind in ("swap_in", "swap_out")]
        )
        if plan.step is None:
            return
        for finished in scheduler.commit(plan, self.sampled(plan)):
            name = str(finished.request_id)
            self.finished[name] = sum(output.generated_tokens for output in finished.outputs)
            self.events.append(f"{name} has finished")
        audit(scheduler)
        check()

    def sampled(self, plan: Plan) -> list[Any]:
        """A token for each row; the first of a request with several sequences branches."""
        found: list[Any] = []
        for row in plan.sampling:
            count = self.branches.pop(str(row.request_id), 1)
            found.append(0 if count == 1 else [[0]] * count)
        return found

    def changes(self, states: Mapping[str, RequestAtStep]) -> list[str]:
        """Who runs now, and who has another block."""
        found: list[str] = []
        for name, state in states.items():
            old = self.before.get(name)
            if state.phase != Phase.RUNNING:
                continue
            if old is None or old.phase == Phase.WAITING:
                found.append(f"{name} is admitted")
            elif old.phase == Phase.SWAPPED:
                found.append(f"{name} is swapped in")
            elif state.blocks > old.blocks:
                found.append(f"{name} takes a block")
        return found


def outputs_of(plan: Plan) -> Outputs:
    """The plan's figures."""
    scheduled: dict[str, int] = {}
    for row in plan.scheduled_seq_groups:
        name = str(row.request_id)
        scheduled[name] = scheduled.get(name, 0) + row.tokens
    return Outputs(
        scheduled,
        plan.num_batched_tokens,
        plan.num_prefill_groups,
        len(plan.blocks_to_swap_in),
        len(plan.blocks_to_swap_out),
        len(plan.blocks_to_copy),
    )


def known(scheduler: Scheduler, record: Record) -> int:
    """Tokens known of the longest sequence of a request."""
    return max(int(scheduler.ledger.num_tokens(sequence)) for sequence in record.members)
