"""What a scene showed: the state at each step, as data and as a trace.

Guarantees: a row shows the state in which a step was issued, so a block that the step needs is taken already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lineclear_spec.kernel.lifecycle import Phase

#: Requests up to which each has a column of its own, and steps that are shown of longer traces.
MOST_COLUMNS, HEAD, TAIL = 8, 6, 2


@dataclass(frozen=True, slots=True)
class RequestAtStep:
    """A request when a step is issued.

    Attributes:
        phase: where it is in its life.
        tokens: tokens known of it.
        blocks: blocks that it holds.
    """

    phase: Phase
    tokens: int
    blocks: int

    def text(self) -> str:
        """As a cell of the trace."""
        if self.phase == Phase.WAITING:
            return f"{self.tokens} waits"
        return f"{self.tokens} in {self.blocks}{' cpu' if self.phase == Phase.SWAPPED else ''}"


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a plan says, by the names of the lesson's outputs.

    Attributes:
        scheduled: tokens that the step computes of each request.
        num_batched_tokens: of all of them.
        num_prefill_groups: entries that compute more than the newest token.
        blocks_to_swap_in: copies in.
        blocks_to_swap_out: copies out.
        blocks_to_copy: copies on write.
    """

    scheduled: Mapping[str, int]
    num_batched_tokens: int
    num_prefill_groups: int
    blocks_to_swap_in: int
    blocks_to_swap_out: int
    blocks_to_copy: int


@dataclass(frozen=True, slots=True)
class LessonStep:
    """One step, as issued.

    Attributes:
        step: counted from 1.
        gpu_free: free blocks of the GPU pool.
        gpu_used: blocks of it that are held.
        cpu_used: blocks of the CPU pool that are held.
        states: live requests by name.
        preempted: how each request that was preempted for this step was.
        events: what happened since the step before, in words.
        outputs: what the plan says.
    """

    step: int
    gpu_free: int
    gpu_used: int
    cpu_used: int
    states: Mapping[str, RequestAtStep]
    preempted: Mapping[str, str]
    events: tuple[str, ...]
    outputs: Outputs

    def tokens(self, name: str) -> int:
        """Tokens known of a request, 0 if it is not live."""
        return self.states[name].tokens if name in self.states else 0

    def blocks(self, name: str) -> int:
        """GPU blocks that a request holds."""
        state = self.states.get(name)
        return state.blocks if state is not None and state.phase == Phase.RUNNING else 0

    def waits(self, name: str) -> bool:
        """Whether a request waits, for the first time or again."""
        return name in self.states and self.states[name].phase == Phase.WAITING


@dataclass(frozen=True, slots=True)
class SceneRun:
    """A scene that was played.

    Attributes:
        title: of the scene.
        names: of its requests.
        rows: its steps.
        finished: tokens that each finished request generated.
        rejected: why each rejected request was.
        violations: the invariant that did not hold, if one did not.
    """

    title: str
    names: tuple[str, ...]
    rows: tuple[LessonStep, ...]
    finished: Mapping[str, int]
    rejected: Mapping[str, str]
    violations: tuple[str, ...]

    @property
    def preemptions(self) -> int:
        """How often a request was preempted."""
        return sum(len(row.preempted) for row in self.rows)

    def admitted(self, name: str) -> int:
        """The step in which a request is first computed, 0 if it never is."""
        return next((row.step for row in self.rows if row.outputs.scheduled.get(name)), 0)

    def json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {
            "title": self.title,
            "steps": [
                {
                    "step": row.step,
                    "gpu_free": row.gpu_free,
                    "cpu_used": row.cpu_used,
                    "requests": {
                        name: {"phase": s.phase.name, "tokens": s.tokens, "blocks": s.blocks}
                        for name, s in row.states.items()
                    },
                    "preempted": dict(row.preempted),
                    "events": list(row.events),
                    "outputs": asdict(row.outputs),
                }
                for row in self.rows
            ],
            "finished": dict(self.finished),
            "rejected": dict(self.rejected),
            "violations": list(self.violations),
        }

    def lines(self) -> list[str]:
        """The trace, steps in which nothing but tokens changed left out."""
        lines = [self.title]
        lines += [f"  {name} is rejected: {why}" for name, why in self.rejected.items()]
        names = [name for name in self.names if name not in self.rejected]
        if self.rows:
            lines += self.columns(names) if len(names) <= MOST_COLUMNS else self.crowd()
        lines += [f"  violated: {violation}" for violation in self.violations]
        return lines

    def columns(self, names: list[str]) -> list[str]:
        """A column for each request."""
        width = 2 + max(
            (len(s.text()) for row in self.rows for s in row.states.values()), default=0
        )
        lines = [f"  step  free{''.join(f'{name:>{width}}' for name in names)}   what happened"]
        quiet: list[LessonStep] = []
        for row in (*self.rows, None):
            if row is not None and not row.events:
                quiet.append(row)
                continue
            if quiet:
                decodes = not any(silent.outputs.num_prefill_groups for silent in quiet)
                steps = f"{len(quiet)} step{'s' * (len(quiet) > 1)}"
                lines.append(f"   ...  {steps}{', a token each' * decodes}")
            quiet = []
            if row is not None:
                states = [row.states[name].text() if name in row.states else "" for name in names]
                cells = "".join(f"{text:>{width}}" for text in states)
                events = "; ".join(row.events)
                lines.append(f"  {row.step:4}  {row.gpu_free:4}{cells}   {events}")
        return lines

    def crowd(self) -> list[str]:
        """How many run and wait, at the beginning and at the end, for requests without number."""
        lines = ["  step  free  running  waiting  tokens   what happened"]
        for number, row in enumerate(self.rows):
            if HEAD <= number < len(self.rows) - TAIL:
                if number == HEAD:
                    lines.append(f"   ...  {len(self.rows) - HEAD - TAIL} steps")
                continue
            phases = [state.phase for state in row.states.values()]
            running, tokens = phases.count(Phase.RUNNING), row.outputs.num_batched_tokens
            events = "; ".join(row.events[:3])
            more = f"; and {len(row.events) - 3} more" if len(row.events) > 3 else ""
            lines.append(
                f"  {row.step:4}  {row.gpu_free:4}  {running:7}  {len(phases) - running:7}  "
                f"{tokens:6}   {events}{more}"
            )
        return lines
