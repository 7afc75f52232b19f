"""The account of one tenant in whole numbers, and every change of it, as pure functions.

Guarantees: these functions run in the policies and on formulas in the proofs; each has a contract
(`contracts`) that says, apart from its effect, what it changes and what it leaves as it was. Nothing
is done in a step for sequences that simply go on: what they are charged accrues at a rate, which
changes when one of them joins or leaves the decode batch.

All amounts are whole numbers of the unit of the policy, see `units.py`. A tenant's weight divides its
prices once, when the account is opened; from then on charges are sums and products of whole numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from lineclear_spec.logic import and_, implies, not_


class Rates(NamedTuple):
    """Units that one token costs a tenant, its weight included.

    Attributes:
        prompt: of a prompt, once for each request.
        output: that is generated.
    """

    prompt: int
    output: int


class Account(NamedTuple):
    """The charges of one tenant.

    Attributes:
        prompt: units for a token of a prompt; never changes.
        output: units for a generated token; never changes.
        charged: units, up to the step `since`.
        rate: units that its sequences in the decode batch are charged in each step.
        since: the step up to which `charged` counts.
        waiting: whether a request of the tenant waits.
    """

    prompt: int
    output: int
    charged: int
    rate: int
    since: int
    waiting: bool


def opened(rates: Rates) -> Account:
    """Nothing was charged."""
    return Account(rates.prompt, rates.output, 0, 0, 0, False)


def paid(charged: Any, price: Any) -> Any:
    """The charges after one more."""
    return charged + price


def accrued(account: Account, step: Any) -> Any:
    """All that was charged up to a step that is not before `since`."""
    return paid(account.charged, account.rate * (step - account.since))


def settled(account: Account, step: Any) -> Account:
    """The same account, counted up to this step."""
    return Account(
        account.prompt,
        account.output,
        accrued(account, step),
        account.rate,
        step,
        account.waiting,
    )


def charge(account: Account, price: Any, step: Any) -> Account:
    """So many units are charged at this step."""
    return Account(
        account.prompt,
        account.output,
        paid(accrued(account, step), price),
        account.rate,
        step,
        account.waiting,
    )


def admitted(account: Account, tokens: Any, step: Any) -> Account:
    """A request with so many prompt tokens is admitted for the first time."""
    return charge(account, account.prompt * tokens, step)


def sampled(account: Account, tokens: Any, step: Any) -> Account:
    """So many tokens are sampled for sequences that are not in the decode batch."""
    return charge(account, account.output * tokens, step)


def with_batch_changed(account: Account, change: Any, step: Any) -> Account:
    """So many more, or fewer, of its sequences are sampled one token in every step."""
    return Account(
        account.prompt,
        account.output,
        accrued(account, step),
        account.rate + account.output * change,
        step,
        account.waiting,
    )


def waits(account: Account, step: Any) -> Account:
    """A request of the tenant waits now, and none did before."""
    now = settled(account, step)
    return Account(now.prompt, now.output, now.charged, now.rate, now.since, True)


def rests(account: Account, step: Any) -> Account:
    """No request of the tenant waits any more."""
    now = settled(account, step)
    return Account(now.prompt, now.output, now.charged, now.rate, now.since, False)


#: The functions that run in the policy and that its lemmas run on formulas.
def most_charged(dearest: Rates, prompt: Any, output: Any, sequences: Any) -> Any:
    """U: what a prompt and all tokens of so many sequences cost at these rates.

    Args:
        dearest: the highest price of a token of a prompt and of one generated.
        prompt: tokens of the longest prompt.
        output: tokens that a sequence generates at most.
        sequences: sequences at once.
    """
    return dearest.prompt * prompt + dearest.output * (sequences * output)


RUNS = (
    opened,
    paid,
    accrued,
    settled,
    charge,
    admitted,
    sampled,
    with_batch_changed,
    waits,
    rests,
    most_charged,
)


# ---- contracts ---------------------------------------------------------------------------------


def any_account(unknowns: Any, name: str) -> Account:
    """An account of which nothing is known but the ranges of its fields."""
    return Account(
        unknowns.whole(f"{name}_prompt_rate", 1),
        unknowns.whole(f"{name}_output_rate", 1),
        unknowns.whole(f"{name}_charged"),
        unknowns.whole(f"{name}_rate"),
        unknowns.whole(f"{name}_since"),
        unknowns.truth(f"{name}_waits"),
    )


def kept(before: Any, after: Any, *fields: str) -> Any:
    """Whether fields of two records are equal."""
    return and_(*[getattr(before, name) == getattr(after, name) for name in fields])


RATES = ("prompt", "output")
#: How the labels of `contracts` begin, for theorems that rest on them.
CONTRACTS = (
    "an account is settled",
    "a step more costs",
    "an admission charges the prompt, at the tenant's rate for prompts, and nothing else",
    "sampled tokens are charged",
    "a sequence in the decode batch more or less",
    "to wait costs nothing",
    "to wait no more costs nothing",
)


def contracts(unknowns: Any) -> list[tuple[str, Any]]:
    """The lemmas about each change of an account, and about the fields that it keeps."""
    account = any_account(unknowns, "account")
    step, tokens = unknowns.whole("step"), unknowns.whole("tokens")
    change = unknowns.whole("change", None)
    counted = account.since <= step
    now = account.charged + account.rate * (step - account.since)
    one = accrued(settled(account, step), step + 1)
    entered, drawn = admitted(account, tokens, step), sampled(account, tokens, step)
    joined = with_batch_changed(account, change, step)
    begun, ended = waits(account, step), rests(account, step)
    return [
        (
            "an account is settled up to a step without changing what is due",
            implies(
                counted,
                and_(
                    settled(account, step).since == step,
                    settled(account, step).charged == now,
                    settled(account, account.since).charged == account.charged,
                    kept(account, settled(account, step), *RATES, "rate", "waiting"),
                ),
            ),
        ),
        (
            "a step more costs a tenant one token for each of its sequences in the decode batch",
            implies(counted, one - now == account.rate),
        ),
        (
            "an admission charges the prompt, at the tenant's rate for prompts, and nothing else",
            implies(
                counted,
                and_(
                    accrued(entered, step) - now == account.prompt * tokens,
                    entered.since == step,
                    kept(account, entered, *RATES, "rate", "waiting"),
                ),
            ),
        ),
        (
            "sampled tokens are charged at the tenant's rate for outputs, and nothing else",
            implies(
                counted,
                and_(
                    accrued(drawn, step) - now == account.output * tokens,
                    drawn.since == step,
                    kept(account, drawn, *RATES, "rate", "waiting"),
                ),
            ),
        ),
        (
            "a sequence in the decode batch more or less moves the rate by the tenant's rate for outputs",
            implies(
                counted,
                and_(
                    accrued(joined, step) == now,
                    joined.rate - account.rate == account.output * change,
                    joined.since == step,
                    kept(account, joined, *RATES, "waiting"),
                ),
            ),
        ),
        (
            "to wait costs nothing",
            implies(
                counted,
                and_(
                    begun.waiting,
                    accrued(begun, step) == now,
                    kept(account, begun, *RATES, "rate"),
                ),
            ),
        ),
        (
            "to wait no more costs nothing",
            implies(
                counted,
                and_(
                    not_(ended.waiting),
                    accrued(ended, step) == now,
                    kept(account, ended, *RATES, "rate"),
                ),
            ),
        ),
    ]
