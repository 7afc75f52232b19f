# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""What operations write, on formulas.

Guarantees: a `note_...` writes fields of `symbolic/kv_fields.py` only and does nothing on plain data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import z3

from lineclear_spec.invariants import TIERS, is_free, within
from lineclear_spec.kernel.records import CPU, GPU
from lineclear_spec.symbolic.kv_fields import POSITION, PROMPT_KV
from lineclear_spec.symbolic.sorts import Int, Kv, Sequence
from lineclear_spec.symbolic.state import BLOCK_OF, BLOCK_SIZE, State, unique
from lineclear_spec.symbolic.terms import Whole, raw

NEVER = -1  # the number of a copy that is never to be trusted


def trusted(s: Any, number: Any) -> Any:
    """Whether a copy is none, or known to have succeeded."""
    return z3.Or(number == 0, s.good(number))


def being_built(s: Any, q: Any) -> Any:
    """Whether the sequence takes part in the step being built."""
    return z3.And(s.alive(q), z3.Or(s.in_decode_batch(q), s.last_step(q) == s.steps + 1))


class KvGhosts(Whole):
    """The statements of a symbolic ledger that say what an operation writes."""

    rows: State | None = None  # the state in which the plan of a forward was written

    def _expects(self, old: State, o: Any) -> None:
        """The operation meets the versions of this moment."""
        for tier, name in TIERS:
            self.state.fields[f"expected_{name}"] = lambda x, p, tier=tier: z3.If(
                x == o, old.version(tier, p), old.expected(tier, x, p)
            )

    def _writes(self, old: State, o: Any, tier: int, target: Callable[[Any], Any]) -> None:
        """The operation writes the block ids of the tier of which `target` holds."""
        name = "gpu" if tier == GPU else "cpu"
        s = self.state
        s.fields[f"writes_{name}"] = lambda x, p: z3.If(x == o, target(p), old.writes(tier, x, p))
        s.fields[f"version_{name}"] = lambda p: z3.If(target(p), o, old.version(tier, p))

    def note_swap(self, number: Any, tier: int) -> None:
        """Each block id of the tier that the copy touches holds from now on what its source does, if the copy
        succeeds.
        """
        s, o = self.state, raw(number)
        old = s.snapshot()
        other, name = (CPU, "gpu") if tier == GPU else (GPU, "cpu")

        def origin(field: Callable[..., Any], p: Any, k: Any) -> Any:
            block_id = old.source(tier, o, p)
            return field(other, old.version(other, block_id), block_id, k)

        self._writes(old, o, tier, lambda p: old.touch(tier, o, p))
        self._expects(old, o)
        s.fields[f"content_{name}"] = lambda x, p, k: z3.If(
            x == o, origin(old.content, p, k), old.content(tier, x, p, k)
        )
        s.fields[f"relies_{name}"] = lambda x, p, k: z3.If(
            x == o,
            z3.If(trusted(old, origin(old.relies, p, k)), o, NEVER),
            old.relies(tier, x, p, k),
        )

    def note_twin(self, number: Any, sequence: Any, index: Any) -> None:
        """The block of the entry holds from now on what its source does, and relies on what that relies on."""
        s, o = self.state, raw(number)
        old = s.snapshot()
        twin = old.block_id(old.table(sequence.z, raw(index)))
        block_id = old.source(GPU, o, twin)
        now = old.version(GPU, block_id)
        self._writes(old, o, GPU, lambda p: p == twin)
        self._expects(old, o)
        s.fields["content_gpu"] = lambda x, p, k: z3.If(
            x == o, old.content(GPU, now, block_id, k), old.content(GPU, x, p, k)
        )
        s.fields["relies_gpu"] = lambda x, p, k: z3.If(
            x == o, old.relies(GPU, now, block_id, k), old.relies(GPU, x, p, k)
        )

    def note_good(self, number: Any) -> None:
        """A copy is complete: if its request still waits for it, it has succeeded."""
        s, o = self.state, raw(number)
        s.put("good", (o,), z3.Or(s.good(o), s.open_swap(s.request_of(o)) == o))

    def _begin_with_prompt(self, q: Any, r: Any) -> None:
        """A new sequence begins with the prompt, and no plan has it yet."""
        s, n = self.state, z3.Int("n")
        kv, takes, prompt = s.token_kv, s.takes, s.prompt(r)
        self.assume(z3.ForAll([n], z3.Not(takes(n, q)), patterns=[takes(n, q)]))
        s.fields["token_kv"] = lambda x, i: z3.If(
            z3.And(x == q, within(0, i, prompt)), PROMPT_KV(r, i), kv(x, i)
        )

    def _foresee(self, who: Callable[[Any], Any], start: Callable[[Any], Any]) -> None:
        """From `start` on the KV of the tokens of these sequences is unknown: others come than `token_kv` foresaw."""
        kv = self.state.token_kv
        foreseen = z3.Function(unique("foreseen"), Sequence, Int, Kv)
        self.state.fields["token_kv"] = lambda q, i: z3.If(
            z3.And(who(q), i >= start(q)), foreseen(q, i), kv(q, i)
        )

    def note_voided(self, request: Any) -> None:
        """Samples that were scheduled come no more: other tokens follow those that are known."""
        s, r = self.state.snapshot(), request.z
        self._foresee(lambda q: s.request(q) == r, lambda q: s.num_tokens(q))

    def note_fork(self, parent: Any, child: Any, tokens: Any) -> None:
        """The child begins with what its parent knows, and with all of its own tokens but the last as drafts."""
        s = self.state.snapshot()
        known, kv = s.own_tokens(parent.z) + raw(tokens) - 1, s.token_kv
        self.state.fields["token_kv"] = lambda q, i: z3.If(
            z3.And(q == child.z, within(0, i, known)), kv(parent.z, i), kv(q, i)
        )

    def note_sample(self, sequence: Any, step: Any, accepted: Any, rejected: Any) -> None:
        """See `GhostLedger.note_sample`: the newest token is another than was foreseen if a draft was rejected or
        dropped, or the forward computed a draft where it comes.
        """
        s, q = self.state.snapshot(), sequence.z
        newest = s.own_tokens(q) + raw(accepted) - 1
        computed = newest < s.row_last(s.forward_of(raw(step)), q)
        wrong = z3.Or(raw(rejected) >= 1, s.late_drafts(q) >= 1, computed)
        self._foresee(lambda x: z3.And(x == q, wrong), lambda _: newest)

    @staticmethod
    def _rests_on(old: State, q: Any) -> Any:
        """The copy on which what the forward computes of a sequence rests."""
        return old.open_swap(old.request(q))

    def _writers(self, old: State) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Two functions: of a block id, the sequence whose positions the forward writes there, the first holder of its
        block; of a sequence and a block, whether an entry names the block.
        """
        return lambda p: old.holder(old.owner(GPU, p), 0), lambda _q, b: old.ref(b) >= 1

    def _write_rows(self, number: Any, old: State) -> None:
        """The forward's plan: who takes part, with which positions, in which block ids; and what it writes there."""
        s, o = self.state, raw(number)
        self.rows = old

        def row(name: str, value: Callable[..., Any]) -> None:
            before = s.fields[name]
            s.fields[name] = lambda x, *a: z3.If(x == o, value(*a), before(x, *a))

        def first(q: Any) -> Any:
            return old.first_scheduled(q)

        def last(q: Any) -> Any:
            return z3.If(
                old.in_decode_batch(q), old.offset(q) + old.steps + 1, old.own_dispatched(q)
            )

        row("takes", lambda q: being_built(old, q))
        row("row_first", first)
        row("row_last", last)
        row("row_length", old.sent_length)
        row("row_block_id", old.sent_block_id)
        row("row_kv", old.token_kv)
        row("row_relies", lambda q: self._rests_on(old, q))
        writer, names = self._writers(old)

        def entry(p: Any) -> Any:
            return old.index(writer(p), old.owner(GPU, p))

        def there(p: Any) -> Any:
            here = z3.And(within(0, p, old.total(GPU)), z3.Not(is_free(old, GPU, p)))
            return here, names(writer(p), old.owner(GPU, p)), being_built(old, writer(p))

        def written(p: Any, k: Any) -> Any:
            q, i = writer(p), POSITION(entry(p), k)
            return z3.And(*there(p), within(0, k, BLOCK_SIZE), within(first(q), i, last(q)))

        def target(p: Any) -> Any:
            return z3.And(*there(p), BLOCK_OF(first(writer(p))) <= entry(p))

        row("slot_written", written)
        row("writer", writer)
        row("written_as", entry)
        self._writes(old, o, GPU, target)
        self._expects(old, o)
        row(
            "content_gpu",
            lambda p, k: z3.If(
                written(p, k),
                old.token_kv(writer(p), POSITION(entry(p), k)),
                old.content(GPU, old.version(GPU, p), p, k),
            ),
        )
        row(
            "relies_gpu",
            lambda p, k: z3.If(
                written(p, k),
                self._rests_on(old, writer(p)),
                old.relies(GPU, old.version(GPU, p), p, k),
            ),
        )
