"""States of the toy that differ only in the names of requests and places: one class, and how many it has.

Guarantees: two states are in one class exactly if a renaming of requests and places makes them
equal; the size of a class is counted, not estimated.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import comb, perm
from typing import Any

from lineclear_spec.ledger import Ledger
from lineclear_spec.lifecycle import Phase
from lineclear_spec.records import Request

__all__ = ["alike", "class_of", "labellings", "members"]

#: In the order of their numbers; None for one that is over.
Requests = Sequence[Request | None]


def alike(request: Request) -> tuple[int, ...]:
    """What of a request decides its future, names of places aside."""
    if request.phase == Phase.NEW:
        return (0, request.prompt)
    return int(request.phase), request.members[0].known_tokens


def class_of(requests: Requests) -> tuple[Any, ...]:
    """The requests that are not over, by what they are; those not submitted, by their prompts."""
    return tuple(sorted([alike(r) for r in requests if r is not None]))


def members(ledger: Ledger, requests: Requests) -> int:
    """Labelled states of the toy with any free place that look like this one.

    Names of places: choices of disjoint sets. Names of requests: ways to give the rows to requests
    so that no request knows fewer tokens than its prompt. Each is reached: one request after the
    other may be submitted, decode alone to its tokens and wait again; then those to be swapped are
    admitted and moved one by one, and the running ones are admitted.
    """
    ways = 1
    for phase, pool in ((Phase.RUNNING, ledger.gpu), (Phase.SWAPPED, ledger.cpu)):
        free = pool.total
        for request in requests:
            if request is not None and request.phase == phase:
                ways *= comb(free, request.blocks)
                free -= request.blocks
    return ways * labellings(requests)


def labellings(requests: Requests) -> int:
    """Ways to name the requests."""
    prompts = [k % 3 + 1 for k in range(len(requests))]
    news = [r.prompt for r in requests if r is not None and r.phase == Phase.NEW]
    ways = 1
    for prompt in set(news):  # which of the requests with this prompt are not submitted
        ways *= comb(prompts.count(prompt), news.count(prompt))
    for prompt in news:
        prompts.remove(prompt)
    rows = sorted(alike(r) for r in requests if r is not None and r.phase != Phase.NEW)
    # rows with few tokens choose first: who may have them may have every row with more
    for taken, tokens in enumerate(sorted(tokens for _, tokens in rows)):
        ways *= sum(prompt <= tokens for prompt in prompts) - taken
    for _, same in groupby(rows):
        count = len(list(same))
        ways //= perm(count)
    return ways
