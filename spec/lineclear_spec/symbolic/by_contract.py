# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""Block steps on formulas: each is proved once, and then replaced by its contract; what lemmas presume.

Guarantees: what a contract requires, and the step invariants, are obligations where a step is replaced by it; what it
ensures is assumed there, and an obligation where the step itself is run.
"""

from __future__ import annotations

from typing import Any

from lineclear_spec.contracts import CONTRACTS
from lineclear_spec.invariants import INVARIANTS, clauses
from lineclear_spec.kernel.methods import Kernel
from lineclear_spec.symbolic.state import State, fresh, instance, quantify, shown, stated, unique
from lineclear_spec.symbolic.terms import Misuse, Whole, raw
from lineclear_spec.symbolic.vectors import Bucket, Vector

#: Block steps that find what a request holds through its members, on plain data.
THROUGH_MEMBERS = frozenset({"take_blocks", "replace_entry", "clear_tables", "move_blocks"})


class Dated(dict[str, Any]):
    """The fields of a state, with how much was known when each was written last.

    A goal that reads only some fields is given only the assumptions that there were when the last of these was
    written. That is sound, as a goal that follows from fewer hypotheses follows from all; and it is faster.

    Attributes:
        known: by field, how many assumptions there were when it was written last.
    """

    def __init__(self, fields: dict[str, Any], assumptions: list[Any]) -> None:
        super().__init__(fields)
        self.assumptions = assumptions
        self.known = dict.fromkeys(fields, len(assumptions))

    def __setitem__(self, name: str, field: Any) -> None:
        super().__setitem__(name, field)
        self.known[name] = len(self.assumptions)


class ByContract(Whole):
    """The part of the ledger on formulas that knows contracts."""

    def by_contract(self, name: str, *arguments: Any) -> None:
        """Replace a block step by its contract: what it requires is an obligation, what it ensures is assumed.

        A contract speaks of the state after the whole step, so a step that runs only under a
        condition is not allowed.
        """
        if self.condition is not None:
            raise Misuse(f"the step {name} runs inside a branch: its contract has no condition")
        contract = CONTRACTS[name]
        before = self.state.snapshot()
        values = [a if isinstance(a, Vector) else raw(a) for a in arguments]
        if any(isinstance(a, Vector) and not isinstance(a, Bucket) for a in values):
            raise Misuse(f"{name} is proved of a bucket: the `count` of a list is not its size")
        count = contract.count(before, *values)
        for label, domains, predicate in contract.requirements(before, count, *values):
            self._owe("defined", f"{name}: {label}", instance(domains, predicate))
        self._demand_step_invariants(name, before)
        self._refuse_in_action(name, set(contract.modifies(*values)))
        self._forget(contract, before, count, values)

    def prove(self, name: str, *arguments: Any) -> None:
        """Run a block step from any state that meets its requirements and the step invariants; what
        the contract ensures, and the step invariants, are obligations.
        """
        contract = CONTRACTS[name]
        before = self.state.snapshot()
        values = [a if isinstance(a, Vector) else raw(a) for a in arguments]
        count = contract.count(before, *values)
        self.start_watching()
        self.given = {clause.name for clause in clauses("step")}
        for label, domains, predicate in contract.requirements(before, count, *values):
            self.given.add(label)
            self.assume(quantify(domains, predicate))
        for clause in clauses("step"):
            self.assume(stated(clause, before))
        start = dict(self.state.fields)
        dated = self.state.fields = Dated(self.state.fields, self.assumptions)
        getattr(Kernel, name)(self, *arguments)
        self._refuse_unlisted(contract, values, start)
        after = self.state
        for clause in clauses("step"):
            after.reads.clear()
            goal = shown(clause, after)
            frame = self.unchanged(after)
            known = max((dated.known[field] for field in after.reads), default=0)
            self.obligations.append(("preserved", clause.name, known, None if frame else goal))
        for label, domains, predicate in contract.promised(before, after, count, *values):
            self._owe("contract", label, instance(domains, predicate))

    def _owe(self, kind: str, label: str, goal: Any) -> None:
        self.obligations.append((kind, label, len(self.assumptions), goal))

    def _refuse_unlisted(self, contract: Any, values: list[Any], start: dict[str, Any]) -> None:
        """A step that writes a field its contract does not list would be invisible to every caller."""
        listed = set(contract.modifies(*values))
        written = {name for name, field in self.state.fields.items() if field is not start[name]}
        if written - listed:
            extra = ", ".join(sorted(written - listed))
            raise Misuse(
                f"the step {contract.name} writes {extra}, which its contract does not list"
            )

    def _refuse_in_action(self, name: str, written: set[str]) -> None:
        """Refuse what the contract of a step does not see: plain data looks for members that were written, or a plan
        may have dispatched the operation that it copies for.
        """
        if name in THROUGH_MEMBERS:
            self._presume_members(name)
        if written & {"source_gpu", "source_cpu"}:
            if self.state.fields["issued"] is self.untouched["issued"]:
                raise Misuse(
                    f"{name} copies for an operation that a plan may have dispatched: decide one before"
                )
            self._copies_once()
        self.freed |= "ref" in written

    def _presume_members(self, what: str) -> None:
        """Refuse to go on once members were written: of a request that may have one sequence only, plain data takes
        the first member's table for all that it holds.
        """
        if any(self.state.fields[f] is not self.untouched[f] for f in ("width", "member")):
            raise Misuse(
                f"{what} is found through the members of a request, which were written: do it before"
            )

    def _copies_once(self) -> None:
        """Refuse to record copies for one operation twice: a device would do both at once, in any order."""
        if self.copied is self.state.fields["issued"]:
            raise Misuse("copies are recorded twice for one operation: record all of them at once")
        self.copied = self.state.fields["issued"]

    def _demand_step_invariants(self, name: str, state: State) -> None:
        """The proof of the step starts from the step invariants: those whose fields were written are obligations."""
        for clause in clauses("step"):
            state.reads.clear()
            goal = shown(clause, state)
            if not self.holds_already(clause.name, state):
                self._owe("defined", f"{name}: {clause.name}", goal)

    def demand_of_lemma(self, fact: Any, what: str) -> None:
        """What the lemma of an operator presumes: an obligation, so that what the operator assumes then is
        true of something. No later goal needs it.
        """
        self.demand(fact, what, keep=False)

    def _by_lemma(self, invariant: str, fact: Any) -> None:
        """Assume what is proved, in a unit of its own, of every state in which an invariant holds.

        Raises:
            Misuse: a field that the invariant reads was written since it was assumed to hold.
        """
        self.presume(invariant)
        self.assume(fact)

    def presume(self, invariant: str) -> None:
        """Refuse to go on unless an invariant holds here.

        Raises:
            Misuse: a field that the invariant reads was written since it was assumed to hold, or it was not
                assumed at all, as a boundary invariant in a block step.
        """
        for clause in INVARIANTS[invariant].clauses:
            if clause.name not in self.given:
                raise Misuse(f"a lemma needs {clause.name}, which is no hypothesis here")
            self.state.reads.clear()
            stated(clause, self.state)
            if not self.holds_already(clause.name, self.state):
                raise Misuse(f"a lemma needs {clause.name}, which may not hold here")

    def presume_tables(self) -> None:
        """Refuse to go on unless each request holds what the tables of its members name, where plain data may look."""
        self.presume("holdings")
        self.presume("group_local")  # the tables, and which blocks have names
        self._presume_members("what a request holds")

    def _forget(self, contract: Any, before: State, count: Any, values: list[Any]) -> None:
        """Every field that the step may write is unknown from here on, but for what the contract ensures.

        Args:
            contract: of the step.
            before: the state in which it begins.
            count: what the contract counts.
            values: its arguments.

        The step was proved to end, from any state that meets the requirements and the step invariants, in a state
        with these postconditions and the step invariants, and to write no other field (`prove`). Requirements and
        invariants were made obligations just before. So whatever the step does here is among what the unknown fields
        may be, and what is proved of all of them holds of it.
        """
        modifies = contract.modifies(*values)
        exact = contract.exact(before, count, *values)
        for name in modifies:
            self.state.fields[name] = exact.get(name) or fresh(unique(name), name)
        after = self.state.snapshot()
        for clause in clauses("step"):
            after.reads.clear()
            formula = stated(clause, after)
            if after.reads & set(modifies):
                self.assume(formula)
                self.promised_fields |= {
                    f"{clause.name}/{name}": after.fields[name] for name in after.reads
                }
        for _, domains, predicate in contract.promised(before, after, count, *values):
            self.assume(quantify(domains, predicate))
