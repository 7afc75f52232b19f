"""Lemmas about `turns.py`: each event, several rounds at once, and the bound.

Guarantees: the functions that the policy calls are what is run. How a tenant's place is looked up and
stored is not here: tests hold that against the places.
"""

from __future__ import annotations

from typing import Any

from lineclear.policies import accounts, turns
from lineclear.policies.accounts import Account, any_account, kept
from lineclear.policies.claims.turn_pairs import any_round, more_turns
from lineclear.policies.turns import Round
from lineclear_spec.logic import and_, if_else, implies, not_, or_


def stands(most: Any, quantum: Any, account: Account, earned: Any, open_: Any, step: Any) -> Any:
    """The invariant of a tenant.

    Args:
        most: U, the most that is charged for a prompt and all that the tenant has started.
        quantum: Q.
        account: of the tenant; D, its credit, is what it earned less what is due at this step.
        earned: units.
        open_: what its started requests may still be charged.
        step: the present one.
    """
    credit = turns.credit(account, earned, step)
    return and_(
        account.since <= step,
        open_ >= 0,
        open_ <= most,
        -most <= credit - open_,
        credit <= quantum,
    )


def lemmas(policy: Any, unknowns: Any) -> list[tuple[str, Any]]:
    """One lemma for each thing that happens to a tenant, and the bound."""
    quantum = policy.quantum
    most, step, open_, more, less, gone, tokens, rounds = map(
        unknowns.whole, ("most", "step", "open", "more", "less", "gone", "tokens", "rounds")
    )
    earned, change = unknowns.whole("earned", None), unknowns.whole("change", None)
    account = any_account(unknowns, "mine")
    round_ = any_round(unknowns)

    def holds(after: Account, got: Any, still_open: Any, when: Any = step) -> Any:
        return stands(most, quantum, after, got, still_open, when)

    def due(after: Account, got: Any, when: Any = step) -> Any:
        return turns.credit(after, got, when)

    before, credit = holds(account, earned, open_), due(account, earned)
    later, refill, stays = turns.visited(round_, account, earned, quantum, step)
    served = accounts.admitted(account, tokens, step)
    drawn, spent = accounts.sampled(account, tokens, step), account.output * tokens
    back, owed = turns.returned(account, earned, gone, step)
    jumped = turns.skipped(earned, quantum, rounds)
    short = credit + quantum * rounds <= 0
    least = turns.short_rounds(credit, quantum)
    other = unknowns.whole("other_quotient", 1)  # tenants that wait
    return [
        (
            "a turn keeps the credit between -U and Q",
            implies(before, holds(account, refill, open_)),
        ),
        (
            "a turn that begins without credit earns one quantum, all of it, and only then",
            implies(
                and_(before, not_(turns.has_credit(credit))),
                refill == if_else(round_.begun, earned, earned + quantum),
            ),
        ),
        (
            "a turn has begun once the head was asked, and goes on while there is credit",
            and_(
                later.begun,
                later.last == round_.last,
                later.given == round_.given,
                or_(
                    and_(stays, turns.credit(account, refill, step) >= 1),
                    and_(not_(stays), turns.credit(account, refill, step) <= 0),
                ),
            ),
        ),
        (
            "being served with credit keeps it between -U and Q",
            implies(
                and_(
                    before,
                    turns.has_credit(credit),
                    account.prompt * tokens + open_ + more <= most,
                ),
                and_(
                    holds(served, earned, open_ + more),
                    credit - due(served, earned) == account.prompt * tokens,
                ),
            ),
        ),
        (
            "sampled tokens keep it between -U and Q",
            implies(and_(before, spent <= open_), holds(drawn, earned, open_ - spent)),
        ),
        (
            "a step with sequences in the decode batch keeps it between -U and Q",
            implies(
                and_(before, account.rate <= open_),
                holds(account, earned, open_ - account.rate, step + 1),
            ),
        ),
        (
            "a sequence that joins or leaves the decode batch keeps it between -U and Q",
            implies(
                before, holds(accounts.with_batch_changed(account, change, step), earned, open_)
            ),
        ),
        (
            "an end, and an empty queue, keep it between -U and Q",
            implies(
                and_(before, less <= open_),
                and_(
                    holds(accounts.rests(account, step), earned, open_ - less),
                    holds(account, earned, open_ - less),
                ),
            ),
        ),
        (
            "coming back keeps it between -U and Q",
            implies(and_(before, less <= open_), holds(back, owed, open_ - less)),
        ),
        (
            "coming back brings no credit, and pays back what the rounds have earned, no more",
            implies(
                before,
                and_(
                    back.waiting,
                    due(back, owed) <= 0,
                    or_(due(back, owed) == 0, due(back, owed) == credit + gone),
                    due(back, owed) <= credit + gone,
                    accounts.accrued(back, step) == accounts.accrued(account, step),
                    kept(account, back, "prompt", "output", "rate"),
                ),
            ),
        ),
        (
            "a forgotten tenant comes back as if it were new",
            implies(
                and_(before, turns.forgotten(account, earned, gone, step)),
                and_(not_(account.waiting), due(back, owed) == 0, back.rate == 0),
            ),
        ),
        (
            "rounds without credit may be taken at once, and keep it between -U and Q",
            implies(
                and_(before, short),
                and_(
                    holds(account, jumped, open_),
                    not_(turns.has_credit(due(account, jumped))),
                    due(account, jumped) == credit + quantum * rounds,
                ),
            ),
        ),
        (
            "one round more taken at once is one turn more",
            implies(
                and_(before, short),
                turns.skipped(earned, quantum, rounds + 1) - earned
                == turns.refilled(due(account, jumped), quantum) - credit,
            ),
        ),
        (
            "the rounds that are taken at once end one turn before there is credit",
            implies(
                not_(turns.has_credit(credit)),
                and_(
                    least >= 0,
                    credit + quantum * least <= 0,
                    turns.has_credit(credit + quantum * least + quantum),
                ),
            ),
        ),
        (
            "a round earns who is away a quantum at most",
            turns.portion(quantum, other) * other <= quantum,
        ),
        given_back(unknowns, round_),
        more_turns(unknowns),
        difference(unknowns, most, quantum),
    ]


def given_back(unknowns: Any, round_: Round) -> tuple[str, Any]:
    """The lemmas about an absent tenant's earnings, turn by turn and in rounds taken at once."""
    part, left, since, rounds, waiting = (
        unknowns.whole(name) for name in ("part", "left", "given_since", "rounds", "waiting")
    )
    none, more, one_more = (
        turns.passed(round_, count, waiting, part) for count in (0, rounds, rounds + 1)
    )
    return (
        "who is away earns its part for every turn that went by, and nothing else",
        and_(
            turns.absent(left, left) == 0,
            turns.absent(left + since, left) == since,
            turns.turned(round_, part).given == round_.given + part,
            turns.joined(round_).given == round_.given,
            turns.departed(round_, unknowns.truth("head")).given == round_.given,
            none.given == round_.given,
            one_more.given - more.given == part * waiting,
        ),
    )


def difference(unknowns: Any, most: Any, quantum: Any) -> tuple[str, Any]:
    """The bound of P13, from the credits at two moments."""
    credits = [unknowns.whole(f"credit_{k}", None) for k in range(4)]
    mine, late, other, other_late = credits
    apart = unknowns.whole("turns_apart", None)  # what one earned more: a turn's quantum at most
    service = apart - (late - mine) + (other_late - other)
    within = [and_(-most <= c, c <= quantum) for c in credits]
    return (
        "with turns that differ by at most one the service differs by Q + 2 (Q + U) at most",
        implies(
            and_(*within, -quantum <= apart, apart <= quantum),
            and_(
                service <= turns.gap(quantum, most),
                -service <= turns.gap(quantum, most),
            ),
        ),
    )
