"""What each decision of `kernel/progress.py` answers, exactly: neither more nor less than it says.

Guarantees: every function of `kernel/progress.py` but `behind` and `may_be_displaced` is bounded from both sides, so
that one that answers otherwise for any arguments fails here, whether or not a theorem would notice; of
`tokens_on_admission` only where a token is known and what is promised is not negative. The lemmas that theorems rest
on are in `liveness/decisions.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear_spec.kernel import progress
from lineclear_spec.logic import and_, implies, not_, or_


def one_of(value: Any, first: Any, other: Any) -> Any:
    """That it is the one or the other."""
    return or_(value == first, value == other)


def same(one: Any, other: Any) -> Any:
    """That two truth values are the same."""
    return and_(implies(one, other), implies(other, one))


def exact_decisions(
    whole: Callable[[str], Any], truth: Callable[[str], Any]
) -> list[tuple[str, Any]]:
    """Conditions by label, about the functions that run.

    Args:
        whole: any whole number, by name.
        truth: any truth value, by name.
    """
    return [*who_enters(whole, truth), *who_gets_what(whole, truth)]


def who_enters(whole: Callable[[str], Any], truth: Callable[[str], Any]) -> list[tuple[str, Any]]:
    """Decisions about requests that enter, and about room."""
    by, most, running, kept = map(whole, ("bypassed", "most", "running", "watermark"))
    free, due, seats, taken = map(whole, ("free", "due", "seats", "taken"))
    tokens, budget, batched, promised = map(whole, ("tokens", "budget", "batched", "promised"))
    known, limit, scheduled = map(whole, ("known", "limit", "scheduled"))
    parallel, width, made, more = map(whole, ("parallel", "width", "made", "more"))
    later = truth("may_fork_later")
    chunked, decode = truth("chunked_prefill"), truth("decode")
    preempted, pause, displaced, blocked = map(
        truth, ("preempted", "pause", "displaced", "blocked")
    )
    free_now = progress.kept_free(kept, running)
    there = progress.room(free, due, kept, seats, taken, tokens)
    computed = progress.tokens_on_admission(known, promised, limit)
    least = progress.least_tokens(tokens, decode, chunked)
    asked = progress.asked_tokens(tokens, budget)
    left = progress.tokens_left(budget, scheduled, batched, promised)
    held = progress.seats_of(parallel, width, made, later)
    return [
        (
            "a request has a seat for each sequence and for each that is still to be made, or keeps all",
            and_(
                implies(later, held == parallel),
                implies(and_(not_(later), made >= parallel), held == width),
                implies(and_(not_(later), made < parallel), held + made == width + parallel),
            ),
        ),
        (
            "a request that displaces, or enters beside a prompt that could use more, is sheltered, and no other",
            same(
                progress.is_sheltered(displaced, blocked),
                not_(and_(not_(displaced), not_(blocked))),
            ),
        ),
        (
            "beside a prompt that could use more, requests enter that have one sequence, and no others",
            same(progress.enters_beside(blocked, width), implies(blocked, not_(width >= 2))),
        ),
        (
            "sequences are added if and only if there are seats for them",
            same(progress.may_fork(width, more, seats), seats - width >= more),
        ),
        (
            "a request may be passed if and only if it was passed less often than the most that is allowed",
            same(progress.may_be_passed(by, most), most - by >= 1),
        ),
        (
            "others enter if and only if the head displaced none, no prompt lacks its share, and no preemption pauses",
            same(
                progress.admits_others(preempted, pause, displaced, blocked),
                not_(or_(displaced, blocked, and_(preempted, pause))),
            ),
        ),
        (
            "the watermark is kept free while a request runs, and nothing otherwise",
            and_(implies(running >= 1, free_now == kept), implies(running <= 0, free_now == 0)),
        ),
        (
            "a step has the blocks that are neither due nor kept free, and the seats that are left",
            and_(
                there.blocks + due + kept == free,
                there.seats + taken == seats,
                there.tokens == tokens,
            ),
        ),
        (
            "a request that enters computes what it knows and, within its last position, what is promised",
            implies(
                and_(known >= 1, promised >= 0),
                and_(
                    computed >= known,
                    computed <= known + promised,
                    or_(computed == known, computed <= limit - 1),
                    or_(computed == known + promised, computed >= limit - 1),
                ),
            ),
        ),
        (
            "who comes back asks for all of its tokens, and with chunking for one of a prompt",
            and_(
                implies(or_(decode, not_(chunked)), least == tokens),
                implies(and_(chunked, not_(decode)), least == 1),
            ),
        ),
        (
            "a request asks for its tokens, and for a whole step if those are more",
            and_(asked <= tokens, asked <= budget, one_of(asked, tokens, budget)),
        ),
        (
            "the tokens that are left are those that no sequence computes and that are not kept for others",
            left + scheduled + batched + promised == budget,
        ),
    ]


def who_gets_what(
    whole: Callable[[str], Any], truth: Callable[[str], Any]
) -> list[tuple[str, Any]]:
    """Decisions about tokens and blocks of sequences that run."""
    exist, last, reach, prompt, ahead = map(
        whole, ("exist", "last", "reach", "prompt", "lookahead")
    )
    tokens, left, slots, need, length, shared = map(
        whole, ("tokens", "left", "slots", "need", "length", "shared")
    )
    passed, wants, free = map(whole, ("passed", "wants", "free"))
    chunked, decode = truth("chunked_prefill"), truth("decode")
    given = progress.chunk(tokens, left, chunked)
    most = whole("most")
    share = progress.share_of(tokens, decode, most)
    drafts = progress.drafts_of(ahead, exist, last, decode)
    wanted = progress.wanted_tokens(exist, last, reach, ahead)
    room = progress.wanted_slots(slots, reach, tokens)
    blocks = progress.wanted_blocks(need, length, shared)
    return [
        (
            "a request grows if and only if its blocks and those of all before it are there",
            same(progress.grows(passed, wants, free), free - passed - wants >= 0),
        ),
        (
            "a step takes all tokens, or with chunking what is left, or none",
            and_(
                implies(tokens <= left, given == tokens),
                implies(and_(tokens > left, not_(chunked)), given == 0),
                implies(and_(tokens > left, chunked, left >= 0), given == left),
                implies(and_(tokens > left, chunked, left < 0), given == 0),
            ),
        ),
        (
            "a prompt may take all that it lacks, or the most that one may, and a decode all",
            and_(
                implies(decode, share == tokens),
                implies(and_(not_(decode), tokens <= most), share == tokens),
                implies(and_(not_(decode), tokens > most), share == most),
            ),
        ),
        (
            "a prompt lacks tokens of its share if and only if it got fewer",
            same(progress.lacks(left, tokens), tokens - left >= 1),
        ),
        (
            "a sequence decodes if and only if its newest token, a generated one, is all that it lacks",
            same(progress.decodes(exist, reach, prompt), and_(exist == reach + 1, exist > prompt)),
        ),
        (
            "drafts are as many as may be, within the last position, and only of a decode",
            and_(
                implies(not_(decode), drafts == 0),
                implies(
                    decode,
                    and_(
                        drafts <= ahead,
                        exist + drafts <= last,
                        or_(drafts == ahead, exist + drafts == last),
                    ),
                ),
            ),
        ),
        (
            "a sequence could compute what exists before its last position, and its drafts",
            and_(
                wanted + reach - ahead <= exist,
                wanted + reach - ahead <= last,
                one_of(wanted + reach - ahead, exist, last),
            ),
        ),
        (
            "a table has room for what it had and for what is computed, and for no more",
            and_(room >= slots, room >= reach + tokens, one_of(room, slots, reach + tokens)),
        ),
        (
            "a sequence takes the blocks that its table lacks, and none if it lacks none",
            and_(
                blocks >= 0,
                blocks + length + shared >= need,
                one_of(blocks, 0, need - length - shared),
            ),
        ),
        (
            "a further branch asks for what it does not share",
            progress.beside(need, shared) + shared == need,
        ),
    ]
