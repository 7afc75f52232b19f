# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""The ledger on formulas: what an action does to any state at all.

Guarantees: every primitive emits its precondition as an obligation, and a block step with a contract is replaced
by it, once what the contract requires is an obligation too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import z3

from lineclear_spec.contracts import CONTRACTS
from lineclear_spec.invariants import clauses
from lineclear_spec.kernel import queries
from lineclear_spec.kernel.methods import Kernel
from lineclear_spec.kernel.records import CPU, GPU
from lineclear_spec.language.conditional import on_formulas
from lineclear_spec.logic import if_else
from lineclear_spec.symbolic.blocks import Blocks
from lineclear_spec.symbolic.bulk import Bulk
from lineclear_spec.symbolic.by_contract import ByContract
from lineclear_spec.symbolic.cache import Cache
from lineclear_spec.symbolic.ends import Ends
from lineclear_spec.symbolic.ghosts import Ghosts
from lineclear_spec.symbolic.holdings import Holdings
from lineclear_spec.symbolic.kv import KvGhosts
from lineclear_spec.symbolic.pool import Pools, SymbolicLimits, SymbolicPool
from lineclear_spec.symbolic.records import (
    Forwards,
    Operations,
    Records,
    SymbolicBatch,
    SymbolicCalendar,
)
from lineclear_spec.symbolic.state import FIELDS, Block, Request, Sequence, State
from lineclear_spec.symbolic.terms import Misuse, Record, Term, raw
from lineclear_spec.symbolic.vectors import Held, Members, Table

#: (sort of a record, field) -> what a list of the record is.
LISTS: dict[tuple[Any, str], Any] = {
    (Sequence, "table"): Table,
    (Request, "held"): Held,
    (Request, "members"): Members,
}


class SymbolicLedger(
    ByContract, Records, Bulk, Blocks, Holdings, Cache, Ends, Ghosts, KvGhosts, Kernel
):
    """The ledger that actions are run on to find out what they do to any state.

    A block step that has a contract is replaced by it; `prove` runs the step itself.

    Args:
        state: the state before, usually arbitrary.
    """

    # Fields of the state, each read and written by `__getattr__` and `__setattr__`.
    issued: Any
    done: Any
    dispatched: Any
    barrier: Any
    steps: Any
    committed: Any
    step_tokens: Any
    step_sequences: Any
    decode_batch_size: Term
    decode_batch: SymbolicBatch

    symbolic = True
    journal = None
    lists = LISTS
    if_else = staticmethod(if_else)

    def __init__(self, state: State) -> None:
        object.__setattr__(self, "state", state)
        # While `Bulk.each` runs its body: the one record that stands for all. `Record` refuses every other of its sort.
        self.generic: Any = None
        self.assumptions: list[Any] = []
        self.guards: list[tuple[str, Any]] = []
        # Kind, label, assumptions so far, goal.
        self.obligations: list[tuple[str, str, int, Any]] = []
        self.limits = SymbolicLimits(self.assume)
        self.gpu = SymbolicPool(self, GPU)
        self.cpu = SymbolicPool(self, CPU)
        self.pools = Pools(self)
        self.operations = Operations(self)
        self.step_operations = Forwards(self)
        self.boundaries = SymbolicCalendar(self, "boundary")
        self.endings = SymbolicCalendar(self, "ending")
        # A field of states has that name too.
        object.__setattr__(self, "decode_batch", SymbolicBatch(self))
        # The fields at the beginning; `at_start` is None until hypotheses are about them.
        self.untouched = dict(state.fields)
        self.condition: Any = None
        self.freed = False  # whether blocks were, whose ref plain data leaves as it is
        self.sent = False  # whether what waits was sent
        self.copied: Any = None  # `issued` when copies were recorded last
        # "clause/field" -> the field of which it was assumed.
        self.promised_fields: dict[str, Any] = {}
        # Hypotheses, and the state that they are about.
        self.given = {clause.name for clause in clauses()}
        self.at_start: dict[str, Any] | None = None

    def wrap(self, sort: Any, z: Any) -> Any:
        """A value of the ledger as an action sees it."""
        return Record(self, z) if sort in (Request, Sequence, Block) else Term(z)

    def __getattr__(self, name: str) -> Any:
        if name in FIELDS and not FIELDS[name][0]:
            return Term(getattr(self.state, name))
        raise AttributeError(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in FIELDS:
            if FIELDS[name][0]:
                raise Misuse(f"the ledger has no field {name} to write")
            self.state.put(name, (), raw(value))
        else:
            object.__setattr__(self, name, value)

    # ---- control -----------------------------------------------------------------------------------------------

    @contextmanager
    def only_asked(self, *, condition: bool) -> Iterator[None]:
        """Inside, a query runs, or a condition of `select` or `all_of`.

        It may not write or guard: on plain data a condition runs for each element, of none not at all, and of two
        values between which a query chooses one is worked out, while formulas have both at once. A condition may not
        assume or demand either, as it runs here for a variable that is bound later.

        Raises:
            Misuse: it does.
        """

        def done() -> tuple[int, ...]:
            asked = (len(self.assumptions), len(self.obligations)) if condition else ()
            return len(self.guards), *asked

        before, fields = done(), dict(self.state.fields)
        yield
        if any(self.state.fields[name] is not value for name, value in fields.items()):
            raise Misuse("a query or a condition writes: it may only ask")
        if done() != before:
            raise Misuse(
                "a query has a guard, or a condition a guard, a precondition or a fact of its own"
            )

    def start_watching(self) -> None:
        """The hypotheses are about the state as it is now."""
        self.at_start = dict(self.state.fields)

    @property
    def wrote(self) -> bool:
        """Whether a field was written since the start."""
        return any(self.state.fields[name] is not field for name, field in self.untouched.items())

    def assume(self, formula: Any) -> None:
        """Add a hypothesis; who calls this says why it holds."""
        self.assumptions.append(
            formula if self.condition is None else z3.Implies(self.condition, formula)
        )

    def require(self, condition: Any, guard: str) -> None:
        """A guard.

        Inside a branch it would refuse only some states, but be assumed in all of them, so it is not allowed there, nor
        in a query or a condition (`only_asked`).
        """
        if self.condition is not None:
            raise Misuse(f"guard inside a branch: {guard}; ask it before, with `implies`")
        if self.wrote:
            raise Misuse(f"guard after a write: {guard}; put it before the first write")
        z = raw(condition)
        self.guards.append((guard, z))
        self.assumptions.append(z)

    def demand(self, condition: Any, what: str, *, keep: bool = True) -> None:
        """A precondition: an obligation, and a fact from here on unless it is not to be kept."""
        goal = raw(condition)
        whole = goal if self.condition is None else z3.Implies(self.condition, goal)
        self.obligations.append(("defined", what, len(self.assumptions), whole))
        if keep:
            self.assumptions.append(whole)  # proved just before, so it may be used from here on

    def branch(self, condition: Any, then: Callable[[], None]) -> None:
        """Run `then` where the condition holds."""
        outer, before = self.condition, dict(self.state.fields)
        test = raw(condition)
        self.condition = test if outer is None else z3.And(outer, test)
        try:
            then()
        finally:
            self.condition = outer
        for name, new in self.state.fields.items():
            old = before[name]
            if new is not old:
                if FIELDS[name][0]:
                    self.state.fields[name] = lambda *a, new=new, old=old: z3.If(
                        test, new(*a), old(*a)
                    )
                else:
                    self.state.fields[name] = z3.If(test, new, old)

    def unchanged(self, state: State) -> bool:
        """Whether no field that was read of the state was written since the watch began."""
        start = self.at_start or {}
        return all(state.fields[f] is start.get(f) for f in state.reads)

    def holds_already(self, clause: str, state: State) -> bool:
        """Whether no field that the clause read was written since it was assumed to hold.

        A clause is a function of the fields that it reads, and reading is noted by `State`, so that
        two states with the same fields there give it the same value. It was assumed either of the
        state at the start, by the hypotheses, or of the state after a contract, by `_forget`, which notes
        all fields that the clause read at once: those noted last are the fields of one state. A field is the
        same only if it is the same object: a write makes a new one, even of the same value.
        """
        promised = all(
            self.promised_fields.get(f"{clause}/{f}") is state.fields[f] for f in state.reads
        )
        return self.unchanged(state) or promised


def replaced(name: str) -> Callable[..., None]:
    """The method that stands for a block step with a contract."""

    def step(ledger: SymbolicLedger, *arguments: Any) -> None:
        ledger.by_contract(name, *arguments)

    return step


def worst_case(ledger: SymbolicLedger, request: Any) -> Term:
    """`queries.worst_case` as a function that is left open: see `State.worst_case`."""
    return Term(ledger.state.worst_case(request.z))


@cache
def query(function: Any) -> Callable[..., Any]:
    """The method that a query is on formulas."""
    text = on_formulas(function)

    def answer(ledger: SymbolicLedger, *arguments: Any) -> Any:
        with ledger.only_asked(condition=False):
            return text(ledger, *arguments)

    return answer


for _name in queries.__all__:
    setattr(SymbolicLedger, _name, query(getattr(queries, _name)))
SymbolicLedger.worst_case = worst_case  # type: ignore[assignment]
for _name in CONTRACTS:
    setattr(SymbolicLedger, _name, replaced(_name))
