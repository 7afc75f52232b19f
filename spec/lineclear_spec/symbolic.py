# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""The ledger on formulas: what an action does to any state at all.

Guarantees: every primitive emits its precondition as an obligation, and a loop is replaced by its
contract, once what the contract requires is an obligation too. It knows nothing about which
actions exist or what must hold after them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import z3

from lineclear_spec.contracts import CONTRACTS
from lineclear_spec.invariants import clauses
from lineclear_spec.primitives import Primitives, SymbolicPool
from lineclear_spec.queries import Due, Queries
from lineclear_spec.records import CPU, GPU
from lineclear_spec.state import (
    CHUNKED,
    CONSTANTS,
    FIELDS,
    Block,
    Request,
    Sequence,
    State,
    fresh,
    instance,
    quantify,
    unique,
)
from lineclear_spec.terms import Misuse, NoValue, Record, RequestRecord, SequenceRecord, Term, raw

__all__ = ["SymbolicLedger"]


class SymbolicLimits(NoValue):
    """The constants of any scheduler."""

    __slots__ = ()

    chunked = Term(CHUNKED)

    def __getattr__(self, name: str) -> Term:
        return Term(CONSTANTS[name])


class SymbolicLedger(NoValue, Queries, Primitives):
    """The ledger that actions are run on to find out what they do to any state.

    Args:
        state: the state before, usually arbitrary.
        induct: name of the loop to prove; every other loop is replaced by its contract.
    """

    symbolic = True
    journal = None

    def __init__(self, state: State, induct: str | None = None) -> None:
        object.__setattr__(self, "state", state)
        self.induct = induct
        self.assumptions: list[Any] = []
        self.guards: list[tuple[str, Any]] = []
        self.obligations: list[
            tuple[str, str, int, Any]
        ] = []  # kind, label, assumptions so far, goal
        self.limits = SymbolicLimits()
        self.gpu = SymbolicPool(self, GPU)
        self.cpu = SymbolicPool(self, CPU)
        self.wrote = False
        self.condition: Any = None
        self.promised_fields: dict[str, Any] = {}
        self.at_start: dict[str, Any] | None = None
        self.unchanged_at_guards = True

    def wrap(self, sort: Any, z: Any) -> Any:
        """A value of the ledger as an action sees it."""
        if sort == Request:
            return RequestRecord(self, z)
        if sort == Sequence:
            return SequenceRecord(self, z)
        if sort == Block:
            return Record(self, z)
        return Term(z)

    def __getattr__(self, name: str) -> Any:
        if name in FIELDS and not FIELDS[name][0]:
            return Term(getattr(self.state, name))
        raise AttributeError(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in FIELDS:
            if FIELDS[name][0]:
                raise Misuse(f"the ledger has no field {name} to write")
            self.wrote = True
            self.state.put(name, (), raw(value))
        else:
            object.__setattr__(self, name, value)

    # ---- control -----------------------------------------------------------------------------------------------

    def start_watching(self) -> None:
        """From here on, note whether the state is as it is now whenever a guard is evaluated."""
        self.at_start = dict(self.state.fields)

    def assume(self, formula: Any) -> None:
        """A fact about fresh values."""
        self.assumptions.append(
            formula if self.condition is None else z3.Implies(self.condition, formula)
        )

    def require(self, condition: Any, guard: str) -> None:
        """A guard.

        Inside a branch it would refuse only some states, but be assumed in all of them, so it is not
        allowed there.
        """
        if self.condition is not None:
            raise Misuse(f"guard inside a branch: {guard}; ask it before, with `implies`")
        if self.wrote:
            raise Misuse(f"guard after a write: {guard}")
        if self.at_start is not None:
            fields = self.state.fields
            self.unchanged_at_guards &= all(
                fields[name] is value for name, value in self.at_start.items()
            )
        z = raw(condition)
        self.guards.append((guard, z))
        self.assumptions.append(z)

    def demand(self, condition: Any, what: str) -> None:
        """A primitive's precondition: an obligation."""
        goal = raw(condition)
        whole = goal if self.condition is None else z3.Implies(self.condition, goal)
        self.obligations.append(("defined", what, len(self.assumptions), whole))
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

    def repeat(self, loop: str, count: Any, step: Callable[[Any], None], *arguments: Any) -> None:
        """Replace the loop by its contract, or prove the contract by induction.

        A contract speaks of the state after the whole loop, so a loop that runs only under a
        condition is not allowed.
        """
        if self.condition is not None:
            raise Misuse(f"the loop {loop} runs inside a branch: its contract has no condition")
        contract = CONTRACTS[loop]
        values = [a if isinstance(a, Due) else raw(a) for a in arguments]
        n = raw(count)
        before = self.state.snapshot()
        if self.induct == loop:
            self.start_watching()
        requirements = contract.requirements(before, n, *values)
        proving = self.induct == loop
        for label, domains, predicate in requirements:
            if proving:
                self.assume(quantify(domains, predicate))
            else:
                self.obligations.append(
                    (
                        "defined",
                        f"{loop}: {label}",
                        len(self.assumptions),
                        instance(domains, predicate),
                    )
                )
        self.wrote = True
        if not proving:
            self._demand_step_invariants(loop, before)
        if proving:
            for clause in clauses("step"):
                self.assume(quantify(clause.domains, lambda *x, c=clause: c.predicate(before, *x)))
            for label, domains, predicate in contract.promises(
                before, before, z3.IntVal(0), *values
            ):
                self.obligations.append(
                    ("base", label, len(self.assumptions), instance(domains, predicate))
                )
            k = z3.Int(unique("k"))
            self.assume(z3.And(0 <= k, k < n))
            self._forget(contract.modifies(*values), before, k, contract, values)
            middle = dict(self.state.fields)
            step(Term(k))
            self._refuse_unlisted(contract, values, middle)
            for clause in clauses("step"):
                goal = instance(clause.domains, lambda *x, c=clause: c.predicate(self.state, *x))
                self.obligations.append(("step", clause.name, len(self.assumptions), goal))
            for label, domains, predicate in contract.promises(before, self.state, k + 1, *values):
                self.obligations.append(
                    ("step", label, len(self.assumptions), instance(domains, predicate))
                )
        else:
            self._forget(contract.modifies(*values), before, n, contract, values)

    def _refuse_unlisted(self, contract: Any, values: list[Any], middle: dict[str, Any]) -> None:
        """An iteration that writes a field its contract does not list would be invisible to every
        caller.
        """
        listed = set(contract.modifies(*values))
        written = {name for name, field in self.state.fields.items() if field is not middle[name]}
        if written - listed:
            extra = ", ".join(sorted(written - listed))
            raise Misuse(
                f"the loop {contract.name} writes {extra}, which its contract does not list"
            )

    def _demand_step_invariants(self, loop: str, state: State) -> None:
        """The loop's proof starts from the step invariants: those whose fields were written are
        obligations.
        """
        for clause in clauses("step"):
            state.reads.clear()
            goal = instance(clause.domains, lambda *x, c=clause: c.predicate(state, *x))
            if not self.holds_already(clause.name, state):
                self.obligations.append(
                    ("defined", f"{loop}: {clause.name}", len(self.assumptions), goal)
                )

    def holds_already(self, clause: str, state: State) -> bool:
        """Whether no field that the clause read was written since it was assumed to hold."""
        start = self.at_start or {}
        untouched = all(state.fields[f] is start.get(f) for f in state.reads)
        promised = all(
            self.promised_fields.get(f"{clause}/{f}") is state.fields[f] for f in state.reads
        )
        return untouched or promised

    def _forget(
        self, modifies: tuple[str, ...], before: State, k: Any, contract: Any, values: list[Any]
    ) -> None:
        exact = contract.exact(before, k, *values) if self.induct != contract.name else {}
        for name in modifies:
            self.state.fields[name] = exact.get(name) or fresh(unique(name), name)
        after = self.state.snapshot()
        for clause in clauses("step"):
            after.reads.clear()
            formula = quantify(clause.domains, lambda *x, c=clause: c.predicate(after, *x))
            if after.reads & set(modifies):
                self.assume(formula)
                self.promised_fields |= {
                    f"{clause.name}/{name}": after.fields[name] for name in after.reads
                }
        for _, domains, predicate in contract.promises(before, after, k, *values):
            self.assume(quantify(domains, predicate))
