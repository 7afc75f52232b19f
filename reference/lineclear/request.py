"""What a caller submits, what it gets back, and every error of the scheduler.

Guarantees: a `Request` that exists has sizes that make sense.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from math import inf, isfinite
from typing import Any, NamedTuple, cast

import numpy as np

Token = int | np.integer[Any]
#: What a step sampled for one sequence: a token, or its continuations, each a list of tokens.
Sample = Token | Sequence[Sequence[Token]]
#: What `commit` takes: by position in `plan.sampling`, or by (request id, branch).
Sampled = (
    np.ndarray[Any, np.dtype[np.integer[Any]]]
    | Sequence[Sample]
    | Mapping[tuple[Any, int], Sample]
)


class SchedulerError(ValueError):
    """A call that can't be carried out; nothing has changed."""


class InvalidRequest(SchedulerError):
    """A request with an invalid size or id."""


class PlanError(SchedulerError):
    """A plan that is foreign, stale or out of order."""


class SampledError(SchedulerError):
    """Sampled tokens that do not match the plan."""


def whole(name: str, value: object, least: int | None = None) -> None:
    """Refuses what is not a whole number, of at least `least` if there is one."""
    fits = isinstance(value, int) and not isinstance(value, bool)
    if not (fits and (least is None or cast("int", value) >= least)):
        bound = "" if least is None else f" of at least {least}"
        remedy = "; make a Python int of it" * isinstance(value, np.integer)
        raise InvalidRequest(f"{name} must be a whole number{bound}, not {value!r}{remedy}")


def moment(name: str, value: object) -> None:
    """Refuses what is no moment: a key that is made of it might be no number."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and -MOST_PRIORITY <= cast("float", value) <= MOST_PRIORITY):
        raise InvalidRequest(f"{name} must be seconds between -10**300 and 10**300, not {value!r}")


#: What a request has that is given none.
NO_NAMES: tuple[int, ...] = ()
#: The type of a name.
INTEGERS = frozenset((int,))


def checked_names(names: Iterable[int]) -> tuple[int, ...]:
    """Names of blocks as a tuple.

    Raises:
        InvalidRequest: they are no whole numbers of at least 1, or one is there twice.
    """
    try:
        found = tuple(names)
    except TypeError as error:
        raise InvalidRequest(f"names of blocks must be a sequence, not {names!r}") from error
    if found and (not INTEGERS.issuperset(map(type, found)) or min(found) < 1):
        for name in found:
            whole("a prefix name", name, 1)
    if len(set(found)) < len(found):
        raise InvalidRequest(
            "prefix_names has a name twice: a name is that of a block and of all blocks before it"
        )
    return found


#: Beyond it a key of floats would overflow, and one caller would put an end to a policy.
MOST_PRIORITY = 10**300


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class Request:
    """One request; lengths only, the scheduler stores no token ids.

    Attributes:
        request_id: any hashable value, unique among live requests.
        prompt_tokens: tokens of the prompt, at least 1.
        max_tokens: tokens to generate at most, at least 1.
        n: sequences the request may have at once (parallel sampling, beams).
        priority: higher is more important; between -10**300 and 10**300.
        arrival_time: seconds, for metrics and for policies; not used by the default order.
        tenant: whom its service is charged to, by policies that share among tenants.
        predicted_tokens: a guess of how many tokens it will generate; None for no guess.
        deadline: when it should be done, on the clock of arrival_time; None for no deadline.
        prefix_names: a name for each full block of the prompt, for prefix caching: equal exactly where
            the tokens of the block, all tokens before it, and whatever else its KV depends on (adapter,
            images, a salt that keeps tenants apart) are equal. Names are whole numbers of at least 1;
            none means that the request neither finds blocks nor lets its own be found.
        may_fork_later: whether branches may fork in the place of others that ended in an earlier step (beam
            search whose width shrinks and grows): then it keeps n seats until it ends. Otherwise a branch
            that ends gives its seat to other requests.
    """

    request_id: Hashable
    prompt_tokens: int
    max_tokens: int
    n: int = 1
    priority: int = 0
    arrival_time: float = 0.0
    tenant: Hashable = None
    predicted_tokens: int | None = None
    deadline: float | None = None
    prefix_names: tuple[int, ...] = ()
    may_fork_later: bool = False

    def __init__(
        self,
        *,
        request_id: Hashable,
        prompt_tokens: int,
        max_tokens: int,
        n: int = 1,
        priority: int = 0,
        arrival_time: float = 0.0,
        tenant: Hashable = None,
        predicted_tokens: int | None = None,
        deadline: float | None = None,
        prefix_names: Iterable[int] = NO_NAMES,
        may_fork_later: bool = False,
    ) -> None:
        """Rejects invalid sizes."""
        if not (
            type(prompt_tokens) is type(max_tokens) is type(n) is type(priority) is int
            and prompt_tokens >= 1
            and max_tokens >= 1
            and n >= 1
        ):
            whole("prompt_tokens", prompt_tokens, 1)
            whole("max_tokens", max_tokens, 1)
            whole("n", n, 1)
            whole("priority", priority)
        if predicted_tokens is not None:
            whole("predicted_tokens", predicted_tokens, 0)
        if not -MOST_PRIORITY <= priority <= MOST_PRIORITY:
            raise InvalidRequest(
                f"priority must be between -10**300 and 10**300, not {priority!r}"
            )
        if not (type(arrival_time) is float and isfinite(arrival_time)):
            moment("arrival_time", arrival_time)
        if deadline is not None and not (isinstance(deadline, float) and deadline == inf):
            moment("deadline", deadline)
        if tenant is not None:
            try:
                hash(tenant)
            except Exception as error:
                raise InvalidRequest(f"tenant must be hashable, not {tenant!r}") from error
            if tenant != tenant:  # as nan: no two requests would be of one tenant
                raise InvalidRequest(f"tenant must equal itself, not {tenant!r}")
        set_id(self, request_id)
        set_prompt(self, prompt_tokens)
        set_most(self, max_tokens)
        set_n(self, n)
        set_priority(self, priority)
        set_arrival(self, arrival_time)
        set_tenant(self, tenant)
        set_predicted(self, predicted_tokens)
        set_deadline(self, deadline)
        set_names(self, () if prefix_names is NO_NAMES else checked_names(prefix_names))
        if may_fork_later is not False and may_fork_later is not True:
            raise InvalidRequest(f"may_fork_later must be true or false, not {may_fork_later!r}")
        set_later(self, may_fork_later)


# A frozen class refuses ordinary assignments; its slots' own setters cost half of what
# `object.__setattr__` does, and a million requests are made of nothing else.
(
    set_id,
    set_prompt,
    set_most,
    set_n,
    set_priority,
    set_arrival,
    set_tenant,
    set_predicted,
    set_deadline,
    set_names,
    set_later,
) = (getattr(Request, field.name).__set__ for field in fields(Request))


class Accepted(NamedTuple):
    """The request waits."""

    request_id: Hashable


@dataclass(frozen=True, slots=True)
class Rejected:
    """The request was turned away, for this reason, and left no trace.

    Attributes:
        request_id: the caller's id.
        reason: a sentence with the figures.
        code: the setting that turned it away: max_model_len, max_num_seqs, max_num_batched_tokens, num_gpu_blocks,
            max_waiting or max_waiting_tokens; or draining. Codes stay as they are, sentences may change.
    """

    request_id: Hashable
    reason: str
    code: str = ""

    def __bool__(self) -> bool:
        """False."""
        return False


class Output(NamedTuple):
    """One finished branch: generated tokens and why it ended (stop, length, pruned)."""

    branch: int
    generated_tokens: int
    reason: str


class Finished(NamedTuple):
    """One finished request.

    Attributes:
        request_id: the caller's id, free to be used again.
        reason: of the branch that ended last: stop, length or pruned.
        outputs: every branch, in the order of their ends.
        preemptions: how often the request was preempted.
        time: when it ended, by the scheduler's clock.
    """

    request_id: Hashable
    reason: str
    outputs: tuple[Output, ...]
    preemptions: int
    time: float | None = None
