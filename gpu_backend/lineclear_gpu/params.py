# pyright: basic
"""How a request is sampled and when it ends.

Guarantees: existing parameters are valid: no value of them can raise in a step, where it would be
the failure of every request in it.
"""

from __future__ import annotations

import hashlib
import math
import operator
from dataclasses import dataclass
from typing import Any

from lineclear.request import MOST_PRIORITY

#: Seeds are whole numbers below this; engines draw seeds of requests without one from elsewhere.
SEEDS = 1 << 63
#: The engine makes an object for each sequence before it asks the scheduler: without a limit one
#: caller's n would take all memory.
MOST_SEQUENCES = 16_384
#: Lanes hold temperatures in float32: a higher one would be infinite there.
MOST_TEMPERATURE = 3e38


class ParamsError(ValueError):
    """Invalid parameters; the message is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """Sampling parameters, by their usual names.

    Attributes:
        n: sequences for each prompt, at most 16,384; they share the KV of the prompt.
        max_tokens: maximum number of tokens to generate, for each sequence; None for as many as
            the model's length leaves after the prompt.
        temperature: 0 is greedy; higher is more random.
        top_p: probability mass to sample from, 1 for all of it.
        top_k: number of likeliest tokens to sample from, 0 for all of them.
        seed: random seed, from 0 to 2**63 - 1; drawn from the engine's seed if None. With the same
            seed a prompt gives the same tokens, whatever else runs and however often it is
            preempted. A drawn seed equals no seed that can be given here.
        stop: texts that end a sequence; they are not part of its text. They need a tokenizer.
        stop_token_ids: tokens that end a sequence, besides the model's own.
        ignore_eos: whether to ignore the model's own end token.
        include_stop_str_in_output: whether the text keeps the stop text.
        priority: higher is more important.
        share_prefix: whether the request may find blocks of others that begin with the same tokens,
            and let its own be found, where prefix caching is on.
    """

    n: int = 1
    max_tokens: int | None = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] | list[str] | str | None = ()
    stop_token_ids: tuple[int, ...] | list[int] | None = ()
    ignore_eos: bool = False
    include_stop_str_in_output: bool = False
    priority: int = 0
    share_prefix: bool = True

    def __post_init__(self) -> None:
        """Rejects invalid parameters, and keeps copies of the lists.

        Raises:
            ParamsError: names the parameter, its value and what it may be.
        """
        for name, least, most in (
            ("n", 1, MOST_SEQUENCES),
            ("max_tokens", 1, None),
            ("top_k", 0, None),
            ("seed", 0, SEEDS - 1),
            ("priority", -MOST_PRIORITY, MOST_PRIORITY),
        ):
            value = getattr(self, name)
            if value is not None or name not in ("max_tokens", "seed"):
                self._set(name, integer(name, value, least, most))
        for name in ("temperature", "top_p"):
            self._set(name, number(name, getattr(self, name)))
        if not 0 <= self.temperature <= MOST_TEMPERATURE:
            raise ParamsError(
                f"temperature must lie between 0 (greedy) and {MOST_TEMPERATURE:g}, "
                f"not {self.temperature!r}"
            )
        if not 0 < self.top_p <= 1:
            raise ParamsError(f"top_p must be above 0 and at most 1, not {self.top_p!r}")
        for name in ("ignore_eos", "include_stop_str_in_output", "share_prefix"):
            if not isinstance(getattr(self, name), bool):
                raise ParamsError(f"{name} must be True or False, not {getattr(self, name)!r}")
        self._set("stop", texts(() if self.stop is None else self.stop))
        ends = () if self.stop_token_ids is None else self.stop_token_ids
        self._set("stop_token_ids", whole_numbers("stop_token_ids", ends))

    def _set(self, name: str, value: object) -> None:
        """Replaces a parameter by the value that was checked."""
        object.__setattr__(self, name, value)

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop texts."""
        return tuple(self.stop or ())

    @property
    def ends(self) -> tuple[int, ...]:
        """The stop tokens."""
        return tuple(self.stop_token_ids or ())


def shown(value: object) -> str:
    """A value in an error: on one line, and not too long of one."""
    try:
        text = " ".join(repr(value).split())
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def integer(name: str, value: Any, least: int, most: int | None) -> int:
    """A whole number, of Python or of numpy, within its bounds.

    Args:
        name: the parameter's name, for the message.
        value: what was given.
        least: the smallest value allowed.
        most: the largest, None for no limit.
    """
    try:
        found = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        found = None
    if found is None or found < least or (most is not None and found > most):
        bounds = f"of at least {least}" if most is None else f"from {least:,} to {most:,}"
        if most == MOST_PRIORITY:
            bounds = "between -10**300 and 10**300"
        raise ParamsError(f"{name} must be a whole number {bounds}, not {shown(value)}")
    return found


def number(name: str, value: Any) -> float:
    """A finite number, of Python or of numpy."""
    try:
        found = math.nan if isinstance(value, bool | str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise ParamsError(f"{name} must be a finite number, not {shown(value)}")
    return found


def texts(value: Any) -> tuple[str, ...]:
    """The stop texts: one, or several."""
    if isinstance(value, str):
        return (value,) if value else ()
    found: tuple[Any, ...] = tuple(value) if isinstance(value, list | tuple) else (None,)
    if not all(isinstance(text, str) for text in found):
        raise ParamsError(f"stop must be a text or a list of texts, not {shown(value)}")
    if not all(found):
        raise ParamsError("a stop text must not be empty: it would end every sequence at once")
    return found


def whole_numbers(name: str, values: Any) -> tuple[int, ...]:
    """Whole numbers, of Python, numpy or torch, from anything but a text.

    Raises:
        ParamsError: names the first value that is none.
    """
    try:
        if isinstance(values, str | bytes | bytearray):
            raise TypeError
        each: list[Any] = list(values)
    except Exception:  # an array without a dimension only seems to have elements
        raise ParamsError(f"{name} must be a list of whole numbers, not {shown(values)}") from None
    found: list[int] = []
    for value in each:
        try:
            if isinstance(value, bool):
                raise TypeError
            found.append(operator.index(value))
        except Exception:  # of an array that holds no values, for example
            raise ParamsError(
                f"{name} must be a list of whole numbers; {shown(value)} is none"
            ) from None
    return tuple(found)


def drawn_seed(seed: int, number: int) -> int:
    """The seed of a request without one; negative, so that it equals no seed that can be given."""
    text = f"{seed} {number}".encode()
    drawn = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
    return (drawn >> 1) - SEEDS
