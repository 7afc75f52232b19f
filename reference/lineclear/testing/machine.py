"""Drives a scheduler under test action by action, and checks each.

Guarantees: the scheduler's state is read by `observe` alone, before the forward pass and after the call; the
difference goes to the checker of the log, and the model checks what rows read. An action that is impossible in the
present state does nothing, so a trace remains valid when parts of it are removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, cast

from lineclear.conform.schema import shown
from lineclear.testing.difference import check_event, difference
from lineclear.testing.failure import Action, Failure, place_of
from lineclear.testing.judge import Judge, LogLine
from lineclear.testing.model import SlotModel
from lineclear.testing.observed import frozen, picture
from lineclear.testing.protocol import Copy, Make, Observation, Row
from lineclear.testing.stuck import stuck
from lineclear.testing.watchdog import TookTooLong, returns_within

#: Time limit of one run in seconds; a run of the searches takes milliseconds.
PATIENCE = 20.0


class Machine:
    """A scheduler, the model that it schedules, and the checker.

    Args:
        make: creates the scheduler.
        record: called with every event of the log.
    """

    def __init__(self, make: Make, record: LogLine | None = None) -> None:
        """Starts without requests.

        Raises:
            Failure: the scheduler cannot be created or observed.
        """
        self.actions: list[Action] = []
        self.seen = Observation({}, ())
        self.model: SlotModel | None = None
        self.engine = self._call(make)
        self.limits = self.engine.limits
        self.model = SlotModel(self.limits)
        self.seen = self._observe()
        self.judge = Judge(self.limits, record)
        self.live: list[str] = []
        self.accepted = 0
        self.steps = 0
        self._late: dict[
            str, int
        ] = {}  # live requests with all their tokens -> steps that left them live
        # requests that ended -> "finish" or "abort", given to the checker `dying_steps` steps later
        self._leaving: dict[str, str] = {}
        self._executed = False
        self._copies = 0
        self._failure: Failure | None = None
        self._judge([check_event(self.seen, self.limits)])

    # ---- actions -------------------------------------------------------------------------------

    def do(self, action: Action) -> None:
        """Executes one action of a trace.

        Raises:
            Failure: a rule is broken.
            ValueError: it is none, see `replay`.
        """
        match action:
            case ("submit", str(name), [*prompt], int(max_new)):  # pyright: ignore[reportUnknownVariableType]
                self.submit(name, cast("list[int]", prompt), max_new)
            case ("abort", str(name)):
                self.abort(name)
            case ("step",):
                self.step()
            case _:
                raise ValueError(
                    f"{action!r} is not an action: use (submit, id, prompt, new tokens), (abort, id) or (step,)"
                )

    def submit(self, name: str, prompt: Iterable[int], max_new: int) -> bool:
        """Submits a request; False if it is rejected, its name was used before, it has no prompt or max_new is below 1.

        Raises:
            Failure: a rule is broken.
        """
        tokens = list(prompt)
        if self._model.sequences.get(name) is not None or not tokens or max_new < 1:
            return False
        self.actions.append(("submit", name, tuple(tokens), max_new))
        accepted = self._call(self.engine.submit, name, list(tokens), max_new)
        if not isinstance(cast("object", accepted), bool):
            self._fail("raises", f"submit returned {accepted!r}; it must return True or False")
        if not accepted:
            self._judge([{"e": "reject", "r": name}])
            self._look()
            return False
        size = self.limits.device_blocks * self.limits.block_size
        if len(tokens) + max_new - 1 > size:
            self._fail(
                "refused",
                f"{name!r} needs {len(tokens) + max_new - 1} positions and was accepted, but the "
                f"device has {size}: submit must return False for it",
            )
        self.accepted += 1
        self._model.add(name, tokens, max_new)
        self.live.append(name)
        self._judge([{"e": "submit", "r": name, "prompt": len(tokens), "max": max_new}])
        self._look()
        return True

    def abort(self, name: str) -> bool:
        """Aborts a live request; False if there is none with this name, or if `Limits.aborts` is false.

        Raises:
            Failure: a rule is broken.
        """
        if name not in self.live or not self.limits.aborts:
            return False
        self.actions.append(("abort", name))
        self._call(self.engine.abort, name)
        self._over(name, "abort")
        self._look()
        return True

    def step(self) -> list[str]:
        """One step; returns the requests that ended in it.

        Raises:
            Failure: a rule is broken.
        """
        self.actions.append(("step",))
        self.steps += 1
        self._executed = False
        for sequence in self._model.sequences.values():
            if sequence.over is not None:
                sequence.over += 1
        ended = self._ended(self._call(self.engine.step, self._execute))
        if self._failure is not None:  # the scheduler caught it
            raise self._failure
        if not self._executed:
            self._judge([{"e": "idle"}])
        self._ends(ended)
        self._look()
        return ended

    def drain(self) -> None:
        """Steps until no request is live and every ended one is reported, `dying_steps` steps after its end.

        Raises:
            Failure: a rule is broken.
        """
        while self.live:
            self.step()
        while self._leaving:
            self.step()

    # ---- inside --------------------------------------------------------------------------------

    @property
    def _model(self) -> SlotModel:
        assert self.model is not None
        return self.model

    def _execute(self, rows: Iterable[Row], copies: Iterable[Copy] = ()) -> list[int]:
        try:
            return self._forward(
                self._listed("row", Row, rows), self._listed("copy", Copy, copies)
            )
        except Failure as failure:
            self._failure = failure
            raise

    def _forward(self, rows: list[Row], copies: list[Copy]) -> list[int]:
        if self._executed:
            self._fail("step.once", "the step calls `execute` a second time")
        self._executed = True
        seen = self._observe()
        by_name = {row.request_id: row for row in rows}
        self._told(seen, rows=by_name, copies=copies)
        self._guard(self._model.copy, copies)
        for row in rows:
            held = seen.tables.get(row.request_id, ())
            used = -(-(row.start + row.tokens) // self.limits.block_size)
            if tuple(row.table[:used]) != tuple(held[:used]):
                self._fail(
                    "row.table",
                    f"the row of {row.request_id!r} names {list(row.table)}, but it holds {list(held)}",
                )
        keeps = [self._model.keeps(row) for row in rows]
        tokens = self._guard(self._model.execute, rows)  # first: a wrong read is the most telling
        self.judge.step(rows, keeps, self._fail)
        self.judge.settle(self._fail)
        return cast("list[int]", tokens)

    def _observe(self) -> Observation:
        """The scheduler's state, copied."""
        seen = self._call(self.engine.observe)
        try:
            return frozen(seen)
        except TypeError as error:
            self._fail("raises", str(error))

    def _ended(self, answer: Any) -> list[str]:
        """What a step returned."""
        ended = each(answer)
        if type(answer) is str or not all(isinstance(name, str) for name in ended):
            self._fail(
                "raises",
                f"step returned {shown(answer)}; it must return the ids of the requests that "
                "ended, an empty list for none",
            )
        return ended

    def _listed(self, what: str, kind: type[Any], given: Any) -> list[Any]:
        """What `execute` was given."""
        rows = each(given)
        for row in rows:
            if not isinstance(row, kind):
                self._fail(
                    "raises",
                    f"execute was called with the {what} {shown(row)}; a {what} must be a "
                    f"lineclear.testing.{kind.__name__}",
                )
        return rows

    def _ends(self, ended: list[str]) -> None:
        for name in ended:
            if name not in self.live:
                self._fail(
                    "end.once", f"step returned {name!r}, which is not live: return a request once"
                )
            sequence = self._model.sequences[name]
            if not self._model.complete(sequence):
                self._fail(
                    "end.early",
                    f"{name!r} ended with {sequence.sampled} of {sequence.max_new} tokens",
                )
            self._over(name, "finish")
        for name in self.live:
            if self._model.complete(self._model.sequences[name]):
                late = self._late[name] = self._late.get(name, 0) + 1
                if late >= self.limits.in_flight:
                    self._fail("end.late", f"{name!r} has all its tokens, but did not end")

    def _over(self, name: str, kind: str) -> None:
        self.live.remove(name)
        self._late.pop(name, None)
        self._model.sequences[name].over = 0
        self._leaving[name] = kind

    def _look(self) -> None:
        """Observes; reports changes, and ended requests whose time to die is over."""
        seen = self._observe()
        self._told(seen)
        for name, kind in list(self._leaving.items()):
            over = self._model.sequences[name].over
            if over is not None and over >= self.limits.dying_steps:
                del self._leaving[name]
                self._judge([{"e": kind, "r": name}])
        self._judge([check_event(seen, self.limits, self._leaving)])

    def _told(self, seen: Observation, **known: Any) -> None:
        """Reports the difference to the previous observation."""
        events = difference(
            self.seen,
            seen,
            self.limits,
            number=self._copies,
            after_step=self.judge.number,
            ended=self._leaving,
            **known,
        )
        self._copies += len(known.get("copies", ()))
        self.seen = seen
        self._judge(events)

    def _judge(self, events: Sequence[dict[str, Any]]) -> None:
        for event in events:
            self.judge.feed(event, self._fail)

    def _fail(self, rule: str, message: str, place: str = "") -> NoReturn:
        state = picture(self.seen, self.model)
        if rule.startswith("progress."):
            state += stuck(self.seen, self.limits, self.judge.checker)
        raise Failure(
            rule,
            message,
            place=place,
            state=state,
            actions=self.actions,
        )

    def _guard(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls the model, and adds the state to its errors."""
        try:
            return function(*arguments)
        except Failure as failure:
            self._fail(failure.rule, failure.message)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls the scheduler."""
        try:
            return function(*arguments)
        except Failure:
            raise
        except TookTooLong:
            name = getattr(function, "__name__", "the call")
            self._fail("returns", f"{name} did not return: the run took more than {PATIENCE:g} s")
        except (Exception, SystemExit) as error:  # any exception is the finding
            what = f"{type(error).__name__}: {error}".strip(": ")
            self._fail("raises", what, place_of(error.__traceback__))


def each(given: Any) -> list[Any]:
    """What it holds; if it is no iterable, itself."""
    return list(given) if hasattr(given, "__iter__") else [given]


def run(
    make: Make,
    actions: Callable[[Machine], Iterable[Action]],
    *,
    drain: bool,
    record: LogLine | None = None,
) -> Machine:
    """Executes the actions with a new scheduler; optionally steps until every request has ended.

    Args:
        make: creates the scheduler.
        actions: the actions, given the new machine.
        drain: whether to step until every request has ended.
        record: called with every event of the log.

    Raises:
        Failure: a rule is broken, or the run takes too long.
    """
    with returns_within(PATIENCE):
        machine = Machine(make, record)
        for action in actions(machine):
            machine.do(action)
        if drain:
            machine.drain()
    return machine


def replay(make: Make, actions: Iterable[Action], record: LogLine | None = None) -> Machine:
    """Executes the actions with a new scheduler, then steps until every request has ended.

    Args:
        make: creates the scheduler.
        actions: ("submit", request id, prompt, new tokens), ("abort", request id), ("step",).
        record: called with every event of the log.

    Raises:
        Failure: a rule is broken.
    """
    return run(make, lambda _: actions, drain=True, record=record)
