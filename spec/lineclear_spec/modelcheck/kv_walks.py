# pyright: basic
"""Random walks of the table with a device that runs what its waits allow, in any order, and whose copies fail.

Guarantees: the walk knows what is done and what has failed from the device alone, as a scheduler does. The theorem of
KV says what is wrong: it is evaluated whenever the device runs an operation and whenever a sample is accepted.
"""

from __future__ import annotations

import ast
import inspect
import random
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel.records import Broken, Refused
from lineclear_spec.kv.device import run
from lineclear_spec.language.statements import made
from lineclear_spec.modelcheck.choices import arguments_of
from lineclear_spec.modelcheck.explore import perform, prepare, records
from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.modelcheck.kv_concrete import (
    LEARNING,
    Executed,
    no_move,
    wrong_run,
    wrong_tokens,
)
from lineclear_spec.modelcheck.snapshot import ConcreteView
from lineclear_spec.modelcheck.worlds import Bounds, Step

#: Actions that end what a walk is about, and those that bring it further.
RARE = ("reject", "abort", "finish", "prune", "lift_fences", "recompute", "discard_swapped")
#: Drawn apart, and readers, who touch no KV.
APART = ("publish_run", "finish_each", "hold_block", "release_block")
OFTEN = {
    "schedule_tokens": 8, "issue_step": 6, "commit_step": 6, "sample": 8, "append_slots": 4, "admit": 6, "submit": 3,
    "leave_batch": 1, "unlist": 1,
}  # fmt: skip
Bodies = Mapping[str, Callable[..., Any]]


class KvWalk:
    """One walk.

    Attributes:
        ledger: where it stands.
        wrong: what the theorem says that is false, with the number of the step in which it was.
        trace: what was done; `("run", (number, fails))` is the device's.
    """

    def __init__(self, bounds: Bounds, bodies: Bodies | None = None, device: Any = run) -> None:
        self.bounds, self.device = bounds, device
        self.bodies: dict[str, Callable[..., Any]] = {n: row.body for n, row in ACTIONS.items()}
        self.bodies |= bodies or {}
        self.ledger = GhostLedger(bounds.limits())
        self.wrong: list[str] = []
        self.trace: list[Step] = []
        self.forwards = self.samples = 0

    def copy(self) -> KvWalk:
        """An independent walk that stands where this one does."""
        twin = object.__new__(KvWalk)
        vars(twin).update(vars(self))
        twin.ledger = self.ledger.clone()
        twin.wrong, twin.trace = self.wrong.copy(), self.trace.copy()
        return twin

    def runs(self, number: int, fails: bool = False) -> bool:
        """The device runs an operation, if it may; a copy between tiers may fail."""
        ledger, device = self.ledger, self.ledger.device
        operation = ledger.history.get(number)
        if operation is None:
            return False
        view = ConcreteView(ledger)
        if fails and operation.kind in ("swap_in", "swap_out"):
            device.fails.add(number)
        try:
            self.device(device, number)
        except Refused:
            device.fails.discard(number)
            return False
        view.device.fails |= device.fails
        self.wrong += wrong_run(view, number)
        self.forwards += operation.is_forward
        self.trace.append(("run", (number, fails)))
        return True

    def honest(self, step: Step) -> bool:
        """Whether the device has said what the action takes for granted."""
        ledger, device = self.ledger, self.ledger.device
        name, arguments = step
        if name == "complete_copy":
            request = (
                ledger.operations[arguments[0]].request
                if arguments[0] in ledger.operations
                else None
            )
            waited = request is not None and request.open_swap == arguments[0]
            return arguments[0] in device.ran and not (waited and arguments[0] in device.fails)
        if name == "commit_step":
            return ledger.step_operations.get(ledger.committed + 1) in device.ran
        if name == "fail_copy":
            copy = ledger.requests[int(arguments[0][1:]) - 1].open_swap
            return copy in device.ran and copy in device.fails
        return True

    def act(self, step: Step) -> bool:
        """Do an action if its guards allow it; whether it was done."""
        name = step[0]
        if name == "name_blocks":
            return self.names(step)
        if not self.honest(step):
            return False
        ledger = self.ledger.clone()
        own = prepare(ledger, step)
        before = ConcreteView(ledger)
        try:
            result = perform(ledger, step, own, self.bodies[name])
        except (Refused, Broken, KeyError, IndexError, ValueError):
            return False
        self.samples += name in LEARNING
        after = ConcreteView(ledger)
        done = Executed(name, before, after, own, result)
        self.wrong += wrong_tokens(done) + no_move(done)
        self.ledger = ledger
        self.trace.append(step)
        return True

    def names(self, step: Step) -> bool:
        """The caller names the next blocks of a sequence, all of whose tokens are known."""
        ledger = self.ledger
        (sequence,), given = records(ledger, step[1][:1]), step[1][1:]
        full = ledger.num_tokens(sequence) // ledger.limits.block_size
        if len(sequence.block_names) + len(given) > full:
            return False
        ledger.name_blocks(sequence, given)
        self.trace.append(step)
        return True

    def at_random(self, seed: int, steps: int, at_once: float = 0.0) -> KvWalk:
        """So many tries at random, until something is wrong.

        Args:
            seed: of the draws.
            steps: tries.
            at_once: how often whole tables are published instead, so that 0 leaves the draws alone.
        """
        rng = random.Random(seed)
        names = [n for n in ACTIONS if n not in (*RARE, *APART)]
        weights = [OFTEN.get(n, 2) for n in names]
        pace = rng.choice((0.1, 0.3, 0.5))
        for _ in range(steps):
            if self.wrong:
                break
            if rng.random() < pace:
                ready = [
                    n for n in range(1, self.ledger.issued + 1) if n not in self.ledger.device.ran
                ]
                if ready:
                    self.runs(rng.choice(ready), rng.random() < 0.3)
                continue
            if at_once and rng.random() < at_once:
                for step in list(arguments_of(self.bounds, self.ledger, "publish_run")):
                    self.act(("publish_run", step))
                self.act(("finish_each", ()))
                continue
            name = rng.choice(RARE) if rng.random() < 0.02 else rng.choices(names, weights)[0]
            choices = list(arguments_of(self.bounds, self.ledger, name))
            if choices:
                self.act((name, rng.choice(choices)))
        return self


def steps_of(trace: str) -> list[Step]:
    """The steps of a text, as tools print them, one after a comma: `swap_out r1, run 2`."""
    rows = [line.split() for line in trace.split(",")]
    return [
        (n, tuple([int(a) if a.lstrip("-").isdigit() else a for a in rest])) for n, *rest in rows
    ]


def broken(name: str, old: str, new: str) -> Callable[..., Any]:
    """The body of an action with a piece of its text replaced.

    Raises:
        ValueError: the text has no such piece.
    """
    body = ACTIONS[name].body
    text = textwrap.dedent(inspect.getsource(body))
    text = text[text.index("def ") :]
    if old not in text:
        raise ValueError(f"{name} has no {old!r}")
    node = ast.parse(text.replace(old, new)).body[0]
    assert isinstance(node, ast.FunctionDef)
    return made(node, body)


def follow(
    walk: KvWalk, steps: list[Step], wrong: Callable[[KvWalk], object], *, whole: bool = False
) -> KvWalk:
    """The walk after these steps, until something is wrong, or one of them is refused or names what is not there.

    `run 3` is the device's, and `run 3 1` is a copy that fails.

    Args:
        walk: where it begins.
        steps: to be taken.
        wrong: what ends it.
        whole: whether a step that names what is not there is an error (IndexError).
    """
    for name, arguments in steps:
        try:
            done = (
                walk.runs(arguments[0], len(arguments) > 1 and bool(arguments[1]))
                if name == "run"
                else walk.act((name, arguments))
            )
        except IndexError:
            if whole:
                raise
            break
        if not done or wrong(walk):
            break
    return walk


def directed(bounds: Bounds, text: str, bodies: Bodies) -> KvWalk:
    """The walk that a text tells, until a step is refused or something is wrong."""
    return follow(KvWalk(bounds, bodies), steps_of(text), lambda walk: walk.wrong, whole=True)
