"""The virtual token counter in whole numbers: every change of a counter and of the virtual time.

Guarantees: these functions run in the policy (`vtc.py`) and on formulas in its lemmas (`lemmas`). Each
event is one function, of the account that it is about and the virtual time; what the account shares
with those of other policies is in `accounts.py`, with its contracts.
"""

from __future__ import annotations

from typing import Any

from lineclear.policies import accounts
from lineclear.policies.accounts import Account, any_account, kept
from lineclear_spec.logic import and_, if_else, implies, larger, not_, or_


def lifted(counter: Any, virtual: Any) -> Any:
    """The counter, or the virtual time if that is more."""
    return larger(counter, virtual)


def leads(now: Any, least: Any) -> Any:
    """Whether a counter is the least, if none was below `least` and counters only grow."""
    return now <= least


def returned(account: Account, virtual: Any, step: Any) -> Account:
    """A request of the tenant waits now: its counter is lifted to the virtual time."""
    now = accounts.waits(account, step)
    return Account(
        now.prompt, now.output, lifted(now.charged, virtual), now.rate, now.since, now.waiting
    )


def admitted(
    account: Account, virtual: Any, tokens: Any, step: Any, alone: Any
) -> tuple[Account, Any]:
    """A request is admitted: the account after the charge, and the virtual time.

    The virtual time is the counter of the tenant that is served, before it pays; and after, if
    no other waits (`alone`): the next one is compared with the last that was served.

    Args:
        account: account of the request's tenant.
        virtual: the virtual time, in units.
        tokens: units that the admission charges.
        step: the step.
        alone: whether no other tenant waits.
    """
    turn = lifted(virtual, accounts.accrued(account, step))
    after = accounts.admitted(account, tokens, step)
    return after, if_else(alone, lifted(turn, after.charged), turn)


def forgotten(account: Account, virtual: Any, step: Any) -> Any:
    """Whether the account is as good as none: it would be lifted if the tenant came back."""
    return and_(
        not_(account.waiting), account.rate == 0, accounts.accrued(account, step) <= virtual
    )


def gap(most: Any) -> Any:
    """The most by which two tenants' service differs, if one has at most so much charged at once."""
    return 2 * most


#: The functions that run in the policy and that its lemmas run on formulas.
RUNS = (lifted, leads, returned, admitted, forgotten, gap)


# ---- lemmas ------------------------------------------------------------------------------------


def stands(most: Any, virtual: Any, account: Account, open_: Any, step: Any) -> Any:
    """I(V): what always holds of a tenant.

    Args:
        most: U, the most that is charged for a prompt and all that the tenant has started.
        virtual: V, the virtual time.
        account: of the tenant; c, its counter, is what is due at this step.
        open_: what its started requests may still be charged.
        step: the present one.
    """
    counter = accounts.accrued(account, step)
    return and_(
        virtual >= 0,
        account.since <= step,
        implies(account.waiting, virtual <= counter),
        open_ >= 0,
        open_ <= most,
        counter + open_ <= virtual + most,
    )


def lemmas(unknowns: Any) -> list[tuple[str, Any]]:
    """One lemma for each event, for the tenant that it is about and for any other."""
    most, virtual, step, open_, others, more, less, tokens, entry = map(
        unknowns.whole,
        ("most", "virtual", "step", "open", "other_open", "more", "less", "tokens", "entry"),
    )
    alone = unknowns.truth("alone")
    change = unknowns.whole("change", None)
    mine, other = any_account(unknowns, "mine"), any_account(unknowns, "other")
    counter, theirs = accounts.accrued(mine, step), accounts.accrued(other, step)
    before = and_(
        stands(most, virtual, mine, open_, step), stands(most, virtual, other, others, step)
    )
    # A tenant that has no further request is reported idle before its admission is.
    rest = accounts.rests(mine, step)
    price = mine.prompt * tokens
    chosen = and_(
        before,
        mine.waiting,
        implies(other.waiting, counter <= theirs),
        price + open_ + more <= most,
    )
    goes_on, turn = admitted(mine, virtual, tokens, step, False)
    leaves, last = admitted(rest, virtual, tokens, step, alone)
    drawn = accounts.sampled(mine, tokens, step)
    spent = mine.output * tokens
    back = returned(mine, virtual, step)
    fresh = accounts.opened(accounts.Rates(mine.prompt, mine.output))
    return [
        (
            "the tenant that is chosen has the least counter",
            implies(and_(leads(counter, entry), entry <= theirs), counter <= theirs),
        ),
        (
            "admission keeps I(V)",
            implies(
                chosen,
                and_(
                    stands(most, turn, goes_on, open_ + more, step),
                    stands(most, turn, other, others, step),
                ),
            ),
        ),
        (
            "admission of the last request of a tenant keeps I(V)",
            implies(
                and_(chosen, implies(alone, not_(other.waiting))),
                and_(
                    stands(most, last, leaves, open_ + more, step),
                    stands(most, last, other, others, step),
                ),
            ),
        ),
        (
            "an admission charges the prompt, at the tenant's rate for prompts, and moves V to c",
            implies(
                before,
                and_(
                    accounts.accrued(goes_on, step) - counter == price,
                    kept(mine, goes_on, "prompt", "output", "rate", "waiting"),
                    or_(turn == counter, turn == virtual),
                    turn >= counter,
                    turn >= virtual,
                ),
            ),
        ),
        (
            "V moves on to what the last that was served has paid if no tenant waits, and only then",
            implies(
                before,
                and_(
                    implies(alone, last >= accounts.accrued(leaves, step)),
                    implies(not_(alone), last == turn),
                    last >= turn,
                ),
            ),
        ),
        (
            "sampled tokens keep I(V)",
            implies(
                and_(before, spent <= open_),
                and_(
                    stands(most, virtual, drawn, open_ - spent, step),
                    stands(most, virtual, other, others, step),
                ),
            ),
        ),
        (
            "a step with sequences in the decode batch keeps I(V)",
            implies(
                and_(before, mine.rate <= open_),
                stands(most, virtual, mine, open_ - mine.rate, step + 1),
            ),
        ),
        (
            "a sequence that joins or leaves the decode batch keeps I(V)",
            implies(
                before,
                stands(
                    most, virtual, accounts.with_batch_changed(mine, change, step), open_, step
                ),
            ),
        ),
        (
            "coming back, by an arrival or because a request was preempted, keeps I(V)",
            implies(and_(before, less <= open_), stands(most, virtual, back, open_ - less, step)),
        ),
        (
            "coming back lifts the counter to V, and no further",
            implies(
                before,
                and_(
                    back.waiting,
                    accounts.accrued(back, step) >= counter,
                    accounts.accrued(back, step) >= virtual,
                    or_(
                        accounts.accrued(back, step) == counter,
                        accounts.accrued(back, step) == virtual,
                    ),
                    kept(mine, back, "prompt", "output", "rate"),
                ),
            ),
        ),
        (
            "an end, and an empty queue, keep I(V)",
            implies(
                and_(before, less <= open_),
                and_(
                    stands(most, virtual, rest, open_ - less, step),
                    stands(most, virtual, mine, open_ - less, step),
                ),
            ),
        ),
        (
            "a new tenant is in I(V)",
            implies(
                and_(virtual >= 0, open_ >= 0, open_ <= most),
                stands(most, virtual, fresh, open_, step),
            ),
        ),
        (
            "a forgotten tenant comes back as if it were new",
            implies(
                and_(before, forgotten(mine, virtual, step)),
                and_(
                    not_(mine.waiting),
                    accounts.accrued(back, step)
                    == accounts.accrued(returned(fresh, virtual, step), step),
                    back.rate == fresh.rate,
                ),
            ),
        ),
        (
            "counters of two who wait differ by U at most",
            implies(
                and_(before, mine.waiting, other.waiting),
                and_(counter - theirs <= most, theirs - counter <= most),
            ),
        ),
        (
            "an admission raises a counter by the price of its prompt",
            implies(
                and_(before, tokens >= 1), accounts.accrued(goes_on, step) - counter >= mine.prompt
            ),
        ),
        (
            "a new tenant goes before each that is above the virtual time, which does not move by it",
            implies(
                and_(before, virtual < counter),
                and_(
                    accounts.accrued(returned(fresh, virtual, step), step) < counter,
                    admitted(returned(fresh, virtual, step), virtual, tokens, step, False)[1]
                    == virtual,
                ),
            ),
        ),
        difference(unknowns, most),
    ]


def difference(unknowns: Any, most: Any) -> tuple[str, Any]:
    """The bound of P12, from the counters at two moments."""
    mine, theirs, later, other_later = map(
        unknowns.whole, ("mine_first", "other_first", "mine_last", "other_last")
    )
    apart = [and_(a - b <= most, b - a <= most) for a, b in ((mine, theirs), (later, other_later))]
    return (
        "with counters that differ by U at both ends the service differs by 2 U at most",
        implies(
            and_(*apart),
            and_(
                (later - mine) - (other_later - theirs) <= gap(most),
                (other_later - theirs) - (later - mine) <= gap(most),
            ),
        ),
    )
