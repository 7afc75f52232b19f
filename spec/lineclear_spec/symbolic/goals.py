# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""What an obligation is, and what units of obligations are made of: unknown arguments, the start state.

Guarantees: an obligation is a list of hypotheses and a goal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import z3

from lineclear_spec.invariants.clause import NEVER
from lineclear_spec.symbolic.ledger import SymbolicLedger
from lineclear_spec.symbolic.state import CONSTANTS, FIELDS, Request, Sequence, State, fresh
from lineclear_spec.symbolic.terms import Misuse, Term
from lineclear_spec.symbolic.vectors import Bucket


@dataclass(frozen=True, slots=True)
class Goal:
    """One obligation of a unit.

    Attributes:
        kind: initiation (of the start state), preserved (a clause after an action or a block step), contract,
            defined (a precondition is met), refusal, base and step (of the induction of a lemma), arithmetic, ranking
            (a measure that an action lowers or leaves), calendar (what one lists) or progress (a decision,
            an order); of KV also cut, theorem and refines (the action is a move of `kv/refinement.py`).
        label: the invariant's clause, the contract's part or the precondition.
        depth: how many of the unit's assumptions it may use.
        formula: what is to be shown; None if nothing that the clause reads is written (*frame*).
    """

    kind: str
    label: str
    depth: int
    formula: Any

    def __post_init__(self) -> None:
        if self.formula is None and self.kind not in ("preserved", "refines"):
            raise Misuse(f"{self.kind} {self.label} says nothing: its predicate returns None")


@dataclass(slots=True)
class Unit:
    """The obligations of one action, block step or lemma, over shared hypotheses.

    Attributes:
        name: of the unit.
        hypotheses: formulas that every goal may use.
        assumptions: formulas that came up in the order of execution; a goal may use its first `depth`.
        goals: what is to be shown, those of the least depth first: the proofs rest on that order (`prove.prove_unit`).
        guards: of an action, each with its text.
        before: the state before an action.
        after: the state after it.
    """

    name: str
    hypotheses: list[Any]
    assumptions: list[Any] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    guards: list[tuple[str, Any]] = field(default_factory=list)
    before: State | None = None
    after: State | None = None

    def by_depth(self) -> list[Goal]:
        """The goals. A proof adds assumptions as their depth grows, and takes none back.

        Raises:
            Misuse: a goal comes after one of a larger depth, so that it would be asked with more than it may use.
        """
        depths = [goal.depth for goal in self.goals]
        if depths != sorted(depths):
            raise Misuse(f"{self.name}: the goals are not sorted by depth: {depths}")
        return self.goals

    @property
    def asked(self) -> list[Goal]:
        """The goals that a solver is asked, by depth."""
        return [goal for goal in self.by_depth() if goal.formula is not None]


#: Names of parameters of actions and block steps, by what they are.
REQUESTS = frozenset({"request"})
SEQUENCES = frozenset({"sequence", "parent", "child"})
NUMBERS = frozenset(
    "accepted drafts end first index name num_blocks num_slots number rejected shared step tokens".split()
)


def record(ledger: SymbolicLedger, name: str) -> Any:
    """An unknown argument of an action or a block step. The name of its parameter tells its sort.

    Fields, constants and bound variables are z3 constants too, and two of one name are one value. No
    name in Python has a dot.

    Raises:
        Misuse: the name is in no list, so that a record might be taken for a number.
    """
    own = f"argument.{name}"
    if name in REQUESTS:
        return ledger.wrap(Request, z3.Const(own, Request))
    if name in SEQUENCES:
        return ledger.wrap(Sequence, z3.Const(own, Sequence))
    if name in NUMBERS:
        return Term(z3.Int(own))
    raise Misuse(f"the parameter {name} is in no list of symbolic/goals.py: enter what it is")


def several(ledger: SymbolicLedger, name: str) -> Bucket:
    """Any number of sequences."""
    at = z3.Function(f"argument.{name}", z3.IntSort(), Sequence)
    index_of = z3.Function(f"argument.{name}.index_of", Sequence, z3.IntSort())
    size = z3.Int(f"argument.{name}.count")
    return Bucket(ledger, Sequence, size, at, index_of)


#: What the empty ledger fixes: nothing is decided, held, named or counted, and every record that is
#: still to be made is new. A request is as its caller made it, and a field that is written before it is
#: read may have any value, so everything else is unknown in the start state.
EMPTY = frozenset(
    "last_use_gpu last_use_cpu touch_gpu touch_cpu ref length alive in_decode_batch last_step phase queue width blocks "
    "open_swap last_swap releases born decode_batch_size issued done dispatched barrier steps committed step_tokens "
    "step_sequences open is_forward name readers listed "
    "writes_gpu writes_cpu version_gpu version_cpu actual_gpu actual_cpu ran good takes slot_written".split()
)


def start_state() -> State:
    """The state of the empty ledger, and of a device that has carried out nothing."""
    fields: dict[str, Any] = {}
    for name, (arguments, result) in FIELDS.items():
        # Names that the caller ever gives, whatever the ledger is: `Ledger.name_blocks` says why.
        given = name in ("block_name", "prompt_names")
        fields[name] = fresh(name if given else f"start_{name}", name)
        if name in EMPTY:
            nothing = z3.IntVal(0) if result == z3.IntSort() else z3.BoolVal(False)
            fields[name] = (lambda *_, nothing=nothing: nothing) if arguments else nothing
    for name in ("boundary", "ending"):
        fields[name] = lambda _: z3.IntVal(NEVER)
    for tier in ("gpu", "cpu"):
        total = CONSTANTS[f"total_{tier}"]
        fields[f"free_{tier}"] = total
        fields[f"order_{tier}"] = lambda j, total=total: total - 1 - j
        fields[f"position_{tier}"] = lambda p, total=total: total - 1 - p
        content = fields[f"content_{tier}"]  # what memory holds at first is its version 0
        fields[f"memory_{tier}"] = lambda p, k, content=content: content(z3.IntVal(0), p, k)
    return State(fields)
