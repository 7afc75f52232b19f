"""Proves that the policies' methods store what the functions of the lemmas return.

Guarantees: a method that the scheduler calls is what is run, on accounts of which nothing is known. Who waits is no
formula: the methods are run with one tenant alone, and with one other that waits. Methods that branch on a number
(`first`, `_skip`) are not run here; tests hold them against a second implementation.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

from lineclear.policies import accounts, feedback, turns, virtual_time
from lineclear.policies.accounts import Account, any_account, kept
from lineclear.policies.claims.turn_pairs import any_round
from lineclear_spec.language.forbidden_questions import refuse_questions
from lineclear_spec.liveness.theorems import unchecked
from lineclear_spec.logic import and_

ME, OTHER = "mine", "other"
#: What the scheduler tells a policy that shares among tenants.
EVENTS = ("backlogged", "idle", "admitted", "sampled", "decode_batch_changed")
FIELDS = Account._fields


def looked_through(kind: type[Any]) -> None:
    """Refuses a method that asks what kind of object it is handed.

    Raises:
        Forbidden: with the place.
    """
    methods = [vars(base).get(name) for base in kind.__mro__ for name in EVENTS]
    refuse_questions(kind, tuple(methods), (inspect.getattr_static(kind, "_open"),))


def of_accounts(kind: type[Any], unknowns: Any) -> list[tuple[str, Any]]:
    """Tokens sampled, and those of the decode batch, of any policy that shares among tenants."""
    looked_through(kind)
    step, tokens, change = (
        unknowns.whole("step"), unknowns.whole("tokens"), unknowns.whole("change", None),
    )  # fmt: skip
    before = any_account(unknowns, ME)
    drawn = unchecked(kind, accounts={ME: before})
    drawn.sampled(ME, tokens, step)
    joined = unchecked(kind, accounts={ME: before})
    joined.decode_batch_changed(ME, change, step)
    return [
        (
            "the policy's own methods charge sampled tokens, and count sequences in the decode batch, as the lemmas do",
            and_(
                kept(accounts.sampled(before, tokens, step), drawn.accounts[ME], *FIELDS),
                kept(
                    accounts.with_batch_changed(before, change, step), joined.accounts[ME], *FIELDS
                ),
            ),
        )
    ]


def of_virtual_time(kind: type[Any], unknowns: Any) -> list[tuple[str, Any]]:
    """Admission, coming back and leaving, under vtc."""
    step, tokens, virtual = map(unknowns.whole, ("step", "tokens", "virtual"))
    before = any_account(unknowns, ME)
    found: list[Any] = []
    for others in (False, True):
        waiting = {OTHER: 1} if others else {}
        served = unchecked(kind, accounts={ME: before}, virtual=virtual, turn=dict(waiting))
        served.admitted(ME, tokens, step)
        account, moved = virtual_time.admitted(before, virtual, tokens, step, not others)
        found += [kept(account, served.accounts[ME], *FIELDS), moved == served.virtual]
        back = unchecked(
            kind,
            accounts={ME: before},
            virtual=virtual,
            turn=dict(waiting),
            turns=1,
            heap=[],
            kept=0,
        )
        back.backlogged(ME, step)
        account = virtual_time.returned(before, virtual, step)
        counter, turn, tenant = back.heap[0]
        found += [kept(account, back.accounts[ME], *FIELDS), counter == account.charged]
        found += [tenant == ME, turn == 2, back.turn == {**waiting, ME: 2}]
        found += [back.virtual == virtual]
        back.idle(ME, step)
        rests = accounts.rests(account, step)
        found += [kept(rests, back.accounts[ME], *FIELDS), back.turn == waiting]
        found += [back.virtual == virtual]
    return [
        (
            "the policy's own methods store what the lemmas are about, alone and beside another",
            and_(*found),
        )
    ]


def of_rounds(kind: type[Any], unknowns: Any) -> list[tuple[str, Any]]:
    """Coming back and leaving, under drr."""
    step, tokens, left = map(unknowns.whole, ("step", "tokens", "left"))
    earned, place, theirs = (
        unknowns.whole(name, None) for name in ("earned", "place_mine", "place_other")
    )
    before, round_ = any_account(unknowns, ME), any_round(unknowns)
    found: list[Any] = []
    for others in ((), (OTHER,)):
        for away in (False, True):
            back = unchecked(
                kind,
                accounts={ME: before},
                earned={ME: earned},
                turn=round_,
                round=OrderedDict.fromkeys(others, theirs),
                left={ME: left} if away else {},
            )
            back.backlogged(ME, step)
            gone = turns.absent(round_.given, left if away else round_.given)
            account, owed = turns.returned(before, earned, gone, step)
            joined = turns.joined(round_)
            found += [kept(account, back.accounts[ME], *FIELDS), owed == back.earned[ME]]
            found += [kept(joined, back.turn, *round_._fields), back.round[ME] == joined.last]
            found += [list(back.round) == [*others, ME], not back.left]
    for order in ((ME,), (ME, OTHER), (OTHER, ME)):
        places = OrderedDict([(name, place if name == ME else theirs) for name in order])
        gone_ = unchecked(
            kind,
            accounts={ME: before},
            earned={ME: earned},
            turn=round_,
            round=places,
            left={},
        )
        gone_.idle(ME, step)
        after = turns.departed(round_, order[0] == ME)
        rests = accounts.rests(before, step)
        found += [kept(after, gone_.turn, *round_._fields), gone_.left[ME] == after.given]
        found += [kept(rests, gone_.accounts[ME], *FIELDS), gone_.earned[ME] == earned]
        found += [list(gone_.round) == [name for name in order if name != ME]]
    served = unchecked(kind, accounts={ME: before})
    served.admitted(ME, tokens, step)
    found.append(kept(accounts.admitted(before, tokens, step), served.accounts[ME], *FIELDS))
    return [
        (
            "the policy's own methods store what the lemmas are about, alone and beside another",
            and_(*found),
        )
    ]


def of_looks(kind: Any, policy: Any, unknowns: Any) -> list[tuple[str, Any]]:
    """A look under mlfq at a request that waits or runs, seen and promoted before or not."""
    refuse_questions(kind, (kind.looked_at, kind.base, kind.served, kind.level))
    step, generated, prompt, since, waits = map(
        unknowns.whole, ("step", "generated", "prompt_tokens", "since", "steps_that_it_waits")
    )
    seen, base, after = (
        unknowns.whole("seen", -1),
        unknowns.whole("base", None),
        unknowns.whole("promote_after", 1),
    )
    found: list[Any] = []
    for waiting in (None, waits):
        for was_seen in (False, True):
            for promoted in (False, True):
                asked = unchecked(
                    kind,
                    covers=policy.covers,
                    promote_after=after,
                    seen={1: (seen, since)} if was_seen else {},
                    promoted={1: base} if promoted else {},
                )
                request = SimpleNamespace(
                    number=1,
                    step=step,
                    generated=generated,
                    prompt_tokens=prompt,
                    waiting=waiting,
                )
                look, wait = asked.looked_at(request)
                before = feedback.Look(
                    seen if was_seen else -1,
                    since if was_seen else step,
                    base if promoted else -prompt,
                )
                wanted = feedback.looked(before, generated, step, after)
                found.append(kept(wanted, look, *feedback.Look._fields))
                runs = waiting is None
                found.append(
                    wait == feedback.next_look(wanted, generated, step, after, policy.covers, runs)
                )
                served = asked.served(request)
                found.append(served == generated - before.base)
                found.append(asked.level(served) == feedback.level(served, policy.covers))
    return [
        (
            "the policy's own methods look as the lemmas do, at who waits and who runs",
            and_(*found),
        )
    ]
