"""Checks an executor's answer against the plan.

Invariant: an answer that passes can be applied whole, so a refused one changes nothing. Of tokens only the
types are read.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np

from lineclear.request import SampledError
from lineclear.scheduling.flight import IssuedStep
from lineclear.scheduling.live_request import LiveRequest
from lineclear_spec.kernel.progress import may_fork
from lineclear_spec.kernel.records import Request as Record

#: What a caller leaves out: no position ends.
NOTHING: tuple[int, ...] = ()
#: One continuation of one token.
ONE = (1,)
#: Sequences or not, these are no list of tokens: a set has no order.
NO_LIST = (str, bytes, set, frozenset)
#: By position, tokens of each continuation; a position that is not here got one token.
Lengths = dict[int, tuple[int, ...]]
#: By position, which continuations end; None is all of them.
Stops = dict[int, frozenset[int] | None]


def lengths_of(flight: IssuedStep, sampled: Any, of: Mapping[Record, LiveRequest]) -> Lengths:
    """Lengths of the continuations at each position where they are not simply one token.

    Args:
        flight: the step.
        sampled: what was given for it.
        of: requests that ran once, by their record.

    Raises:
        SampledError: the entries are not what the plan asks for.
    """
    count = len(flight.plan.sampling)
    if isinstance(sampled, np.ndarray):  # the usual case first
        array = cast("np.ndarray[Any, np.dtype[Any]]", sampled)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise SampledError("an array of sampled tokens has one dimension and whole numbers")
        if len(array) != count:
            check_count(len(array), count)
        return {}
    if isinstance(sampled, Mapping):
        sampled = in_order(flight, sampled)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(sampled, NO_LIST):
        raise SampledError(
            f"sampled is {sampled!r}: it must be an array, a list or a mapping; a text or a set is no list of tokens"
        )
    try:
        check_count(len(sampled), count)
    except TypeError as error:
        raise SampledError("sampled must be an array or a list, one entry per position") from error
    if set(map(type, sampled)) <= {int}:
        return {}
    lengths: Lengths = {}
    for position, entry in enumerate(sampled):
        sizes = sizes_of(position, entry, 1 + flight.plan.sampling[position].drafts)
        if sizes != ONE:
            lengths[position] = sizes
    check_seats(flight, lengths, of)
    return lengths


def check_count(given: int, count: int) -> None:
    """One entry for each sequence that the plan samples."""
    if given != count:
        raise SampledError(
            f"the plan samples {count} sequences, {given} entries were given: give one for each row of plan.sampling"
        )


def in_order(flight: IssuedStep, sampled: Mapping[Any, Any]) -> list[Any]:
    """The entries of a mapping in the order of the plan."""
    names = [(row.request_id, row.branch) for row in flight.plan.sampling]
    missing = [name for name in names if name not in sampled]
    if missing:
        raise SampledError(f"nothing was given for {missing[0]!r}, which the plan samples")
    if len(sampled) != len(names):
        known = set(names)
        extra = next(name for name in sampled if name not in known)
        raise SampledError(f"the plan does not sample {extra!r}; keys are (request id, branch)")
    return [sampled[name] for name in names]


def sizes_of(position: int, entry: Any, most: int) -> tuple[int, ...]:
    """Tokens of each continuation at one position."""
    if is_token(entry):
        return ONE
    sizes: list[int] = []
    try:
        for tokens in listed(entry):
            if not all(map(is_token, listed(tokens))):
                raise TypeError
            sizes.append(len(tokens))
    except TypeError as error:
        raise SampledError(
            f"position {position}: a token or a list of lists of tokens, not {entry!r}"
        ) from error
    for size in sizes:
        if not 1 <= size <= most:
            raise SampledError(
                f"position {position}: a continuation has 1 to {most} tokens here, not {size}"
            )
    return tuple(sizes)


def is_token(value: object) -> bool:
    """Whether it is a whole number; a truth value is none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def listed(value: Any) -> Any:
    """What may be a list.

    Raises:
        TypeError: it has no order, or is a text.
    """
    if isinstance(value, (*NO_LIST, Mapping)):
        raise TypeError
    return value


def check_seats(flight: IssuedStep, lengths: Lengths, of: Mapping[Record, LiveRequest]) -> None:
    """No request gets more sequences than it has seats."""
    more: Counter[Record] = Counter()
    for position, sizes in lengths.items():
        sequence = flight.sequence(position)
        if sequence.alive:
            more[sequence.request] += len(sizes) - 1
    for position in lengths:
        record = flight.sequence(position).request
        if not record.width:
            continue
        entry = of[record]
        if not may_fork(record.width, more[record], entry.seats):
            given_back = record.parallel - entry.seats
            raise SampledError(
                f"request {entry.request_id!r} may have {record.parallel} sequences at once"
                + f" and has given {given_back} seats back" * (given_back > 0)
                + f", these continuations would make it {record.width + more[record]}"
                + "; give may_fork_later in its Request" * (given_back > 0)
            )


def positions_of(
    flight: IssuedStep, stopped: Iterable[int | tuple[int, int]], lengths: Lengths
) -> Stops:
    """Which continuations end.

    Raises:
        SampledError: a position is not in the plan, or has no such continuation.
    """
    count = len(flight.plan.sampling)
    stops: Stops = {}
    try:
        given: list[Any] = list(stopped)
    except TypeError as error:
        raise SampledError("stopped must be a list of positions in plan.sampling") from error
    for entry in given:
        pair: Any = (entry,)
        if isinstance(entry, tuple) and len(entry) == 2:  # pyright: ignore[reportUnknownArgumentType]
            pair = entry  # pyright: ignore[reportUnknownVariableType]
        try:
            if bool in map(type, pair):
                raise TypeError
            position, *which = map(operator.index, pair)
        except TypeError as error:
            raise SampledError(
                f"stopped has positions or (position, continuation), whole numbers, not {entry!r}"
            ) from error
        if not 0 <= position < count:
            raise SampledError(
                f"stopped position {position}: the plan has {count} rows in plan.sampling, counted from 0"
            )
        most = len(lengths.get(position, ONE))
        if which and not 0 <= which[0] < most:
            raise SampledError(f"position {position} has {most} continuations, not {entry!r}")
        before = stops.get(position, frozenset())
        stops[position] = None if before is None or not which else before | {which[0]}
    return stops
