# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""A symbolic state: every field of the ledger as a term or as a function from terms to terms.

Guarantees: a write makes a new function that is an `If` over the old one, so no array theory is
needed, and every field that a predicate reads is noted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import z3

from lineclear_spec.kernel.records import GPU
from lineclear_spec.symbolic.fields import COPIES, FIELDS, POOL, POOL_GHOSTS
from lineclear_spec.symbolic.kv_fields import FAILS, NAME_KV, POSITION, PROMPT_KV, SLOT, TIERED
from lineclear_spec.symbolic.quantified import (
    DOMAINS,
    bound,
    fresh,
    instance,
    numbering,
    quantify,
    shown,
    stated,
    unique,
)
from lineclear_spec.symbolic.sorts import Block, Int, Request, Sequence
from lineclear_spec.symbolic.view import Derived

__all__ = [
    "BLOCK_OF", "BLOCK_SIZE", "CAP", "CHUNKED", "CONSTANTS", "CUT_LONG", "DOMAINS", "FIELDS", "NEED",
    "PRECEDING", "Block", "Int", "Request", "Sequence", "State", "fresh", "instance", "numbering", "quantify",
    "shown", "stated", "unique",
]  # fmt: skip

CONSTANTS = {
    name: z3.Int(name)
    for name in "total_gpu total_cpu max_num_batched_tokens max_num_seqs max_model_len max_steps_in_flight".split()
}
#: ceil(n / block_size), floor(n / block_size) and m * block_size: `symbolic/rounding.py` says what is known of them.
NEED = z3.Function("need", Int, Int)
BLOCK_OF = z3.Function("block_of", Int, Int)
CAP = z3.Function("cap", Int, Int)
WORST_CASE = z3.Function("worst_case", Int, Int, Int, Int)
BLOCK_SIZE = z3.Int("block_size")
CHUNKED = z3.Bool("chunked")
CUT_LONG = z3.Bool("cut_long")
PRECEDING = z3.Function("preceding", Int, Int)


class State(Derived):
    """One state: every field, and which of them were read."""

    def __init__(self, fields: dict[str, Any], reads: set[str] | None = None) -> None:
        self.fields = fields
        self.reads: set[str] = set() if reads is None else reads

    @classmethod
    def arbitrary(cls, suffix: str = "") -> State:
        """Any state at all."""
        return cls({name: fresh(name + suffix, name) for name in FIELDS})

    def snapshot(self) -> State:
        """A state with the same fields, to be written apart."""
        return State(dict(self.fields))

    def __getattr__(self, name: str) -> Any:
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name not in FIELDS:
            raise AttributeError(name)
        self.reads.add(name)
        return self.fields[name]

    #: Whether any sequence may be computed in several steps, or else one of more tokens than max_num_batched_tokens.
    chunked, cut_long = CHUNKED, CUT_LONG
    #: ceil(n / block_size), m * block_size, floor(n / block_size).
    need, cap, block_of = staticmethod(NEED), staticmethod(CAP), staticmethod(BLOCK_OF)
    #: How many blocks come before the one of that name in every sequence that has it.
    preceding = staticmethod(PRECEDING)
    #: What `symbolic/kv_fields.py` says of operations, positions, prompts and names.
    fails, slot_of, position_of = staticmethod(FAILS), staticmethod(SLOT), staticmethod(POSITION)
    prompt_kv, name_kv = staticmethod(PROMPT_KV), staticmethod(NAME_KV)

    def total(self, tier: int) -> Any:
        """Number of block ids."""
        return CONSTANTS["total_gpu" if tier == GPU else "total_cpu"]

    @staticmethod
    def every(domain: str, predicate: Callable[[Any], Any]) -> Any:
        """Whether the predicate holds of everything."""
        return quantify((domain,), predicate)

    @staticmethod
    def some(domain: str, predicate: Callable[[Any], Any]) -> Any:
        """Whether the predicate holds of something."""
        variable = z3.Const(f"some_{domain}", DOMAINS[domain])
        return z3.Exists([variable], bound((variable,), predicate))

    def worst_case(self, r: Any) -> Any:
        """An unknown function of the three numbers that `queries.worst_case` reads: prompt, limit and parallel.

        What is proved of every such function holds of that one too. Spelled out it would double the
        work of every proof, and only `liveness/admission.py` needs to know it.
        """
        return WORST_CASE(self.prompt(r), self.limit(r), self.parallel(r))

    @staticmethod
    def if_else(condition: Any, then: Any, otherwise: Any) -> Any:
        """If-then-else."""
        return z3.If(condition, then, otherwise)

    def put(self, name: str, arguments: tuple[Any, ...], value: Any) -> None:
        """Write one point of a field."""
        old = self.fields[name]
        if not arguments:
            self.fields[name] = value
            return
        self.fields[name] = lambda *a: z3.If(
            z3.And(*[x == y for x, y in zip(a, arguments, strict=True)]), value, old(*a)
        )

    def put_where(self, name: str, where: Callable[..., Any], value: Any) -> None:
        """Write every point of a field at which `where` holds: one value, or a function of the point."""
        old = self.fields[name]
        self.fields[name] = lambda *a: z3.If(
            where(*a), value(*a) if callable(value) else value, old(*a)
        )


def tiered(name: str) -> Callable[..., Any]:
    """The accessor of a field that there is once for each tier: `v.last_use(GPU, p)`."""

    def field(state: State, tier: int, *arguments: Any) -> Any:
        found = getattr(state, f"{name}_{'gpu' if tier == GPU else 'cpu'}")
        return found(*arguments) if arguments else found

    return field


for _name in (*POOL, *POOL_GHOSTS, *COPIES, *TIERED):
    setattr(State, _name, tiered(_name))
