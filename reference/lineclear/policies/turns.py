"""Deficit round robin in whole numbers: credits, turns and rounds, as pure functions.

Guarantees: these functions run in the policy (`drr.py`) and on formulas in its lemmas (`claims/turn_lemmas.py`,
`claims/turn_pairs.py`). A tenant's credit is what it earned less what it was charged. A tenant that waits has a place
in the round; places only grow, the least is the head, and who goes to the end gets the next.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from lineclear.policies import accounts
from lineclear.policies.accounts import Account
from lineclear_spec.logic import and_, if_else, not_, smaller

#: Parts of the unit that would hold all settings. With them a quantum is divided exactly by any
#: number of waiting tenants up to 16; among more a tenant that is away is paid back less, never more.
PARTS = 720_720


class Round(NamedTuple):
    """Whose turn it is and what went by.

    Attributes:
        begun: whether the turn of the head has begun.
        last: the greatest place that was given.
        given: units that a tenant has earned that was away since the policy was made.
    """

    begun: bool
    last: int
    given: int


# ---- one tenant --------------------------------------------------------------------------------


def credit(account: Account, earned: Any, step: Any) -> Any:
    """A tenant's earnings less its charges."""
    return earned - accounts.accrued(account, step)


def has_credit(credit: Any) -> Any:
    """Whether a turn goes on."""
    return credit > 0


def refilled(credit: Any, quantum: Any) -> Any:
    """The credit after a turn came: one quantum more, and no more than one quantum."""
    return smaller(quantum, credit + quantum)


def earned_back(credit: Any, gone: Any) -> Any:
    """The credit of a tenant that comes back, after rounds that would have earned it so much."""
    return smaller(0, credit + gone)


def visited(
    round_: Round, account: Account, earned: Any, quantum: Any, step: Any
) -> tuple[Round, Any, Any]:
    """The head is asked whether its turn goes on: the round, what it earned, and the answer.

    Args:
        round_: whose turn it is.
        account: account of the head's tenant.
        earned: units that the tenant has earned.
        quantum: units that a turn gives.
        step: the step.
    """
    spent = accounts.accrued(account, step)
    now = if_else(round_.begun, earned, spent + refilled(earned - spent, quantum))
    return Round(True, round_.last, round_.given), now, has_credit(now - spent)


def returned(account: Account, earned: Any, gone: Any, step: Any) -> tuple[Account, Any]:
    """A request of the tenant waits now: no credit, and what it still owes.

    Args:
        account: account of the tenant.
        earned: units that the tenant has earned.
        gone: units that the rounds would have given it while it was away.
        step: the step.
    """
    owed = earned_back(credit(account, earned, step), gone)
    now = accounts.waits(account, step)
    return now, now.charged + owed


def absent(given: Any, left: Any) -> Any:
    """The earnings of a tenant since it left, when `given` had been given."""
    return given - left


def forgotten(account: Account, earned: Any, gone: Any, step: Any) -> Any:
    """Whether the account is as good as none: it owes nothing and nothing is charged to it.

    Args:
        account: account of the tenant.
        earned: units that the tenant has earned.
        gone: units that the rounds would have given it while it was away.
        step: the step.
    """
    return and_(
        not_(account.waiting), account.rate == 0, credit(account, earned, step) + gone >= 0
    )


# ---- the round ---------------------------------------------------------------------------------


def joined(round_: Round) -> Round:
    """A tenant begins to wait: it gets the last place."""
    return Round(round_.begun, round_.last + 1, round_.given)


def turned(round_: Round, part: Any) -> Round:
    """The head has no credit and goes to the last place; who is away earns its part of a quantum."""
    return Round(False, round_.last + 1, round_.given + part)


def departed(round_: Round, head: Any) -> Round:
    """A tenant waits no more; if it was the head the turn of the one behind it has not begun."""
    return Round(and_(round_.begun, not_(head)), round_.last, round_.given)


def portion(quantum: Any, waiting: Any) -> Any:
    """The earnings of an absent tenant from one turn of a waiting one, rounded down."""
    return quantum // waiting


# ---- many rounds at once -----------------------------------------------------------------------


def short_rounds(credit: Any, quantum: Any) -> Any:
    """Rounds after which a tenant without credit still has none; with one more it has."""
    return -credit // quantum


def skipped(earned: Any, quantum: Any, rounds: Any) -> Any:
    """A tenant's earnings after rounds in which it got no credit."""
    return earned + quantum * rounds


def passed(round_: Round, rounds: Any, waiting: Any, part: Any) -> Round:
    """Skips rounds in which no tenant gets credit: the positions stay.

    Args:
        round_: whose turn it is.
        rounds: how many rounds are skipped.
        waiting: number of tenants that wait.
        part: units that an away tenant earns while one of them has its turn.
    """
    return Round(round_.begun, round_.last, round_.given + part * waiting * rounds)


def gap(quantum: Any, charged: Any) -> Any:
    """The most by which two tenants' service differs, if one has at most so much charged at once."""
    return quantum + 2 * (quantum + charged)


#: The functions that run in the policy and that its lemmas run on formulas.
RUNS = (
    credit,
    has_credit,
    refilled,
    earned_back,
    visited,
    returned,
    absent,
    forgotten,
    joined,
    turned,
    departed,
    portion,
    short_rounds,
    skipped,
    passed,
    gap,
)
