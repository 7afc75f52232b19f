"""How a request is sampled and when it ends.

Guarantees: existing parameters are valid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["ParamsError", "SamplingParams"]


class ParamsError(ValueError):
    """Invalid parameters; the message is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """Sampling parameters, by their usual names.

    Attributes:
        n: sequences for each prompt; they share the KV of the prompt.
        max_tokens: maximum number of tokens to generate, for each sequence.
        temperature: 0 is greedy; higher is more random.
        top_p: probability mass to sample from, 1 for all of it.
        top_k: number of likeliest tokens to sample from, 0 for all of them.
        seed: random seed; drawn from the engine's seed if None. With the same seed a prompt gives
            the same tokens, whatever else runs and however often it is preempted.
        stop: texts that end a sequence; they are not part of its text.
        stop_token_ids: tokens that end a sequence, besides the model's own.
        ignore_eos: whether to ignore the model's own end token.
        include_stop_str_in_output: whether the text keeps the stop text.
        priority: higher is more important.
    """

    n: int = 1
    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] | list[str] | str = ()
    stop_token_ids: tuple[int, ...] | list[int] = ()
    ignore_eos: bool = False
    include_stop_str_in_output: bool = False
    priority: int = 0

    def __post_init__(self) -> None:
        """Rejects invalid parameters."""
        for name, least in (("n", 1), ("max_tokens", 1), ("top_k", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ParamsError(
                    f"{name} must be a whole number of at least {least}, not {value!r}"
                )
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ParamsError(f"temperature must be at least 0, not {self.temperature!r}")
        if not 0 < self.top_p <= 1:
            raise ParamsError(f"top_p must be above 0 and at most 1, not {self.top_p!r}")
        if any(not text for text in self.stops):
            raise ParamsError("a stop text must not be empty: it would end every sequence at once")

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop texts."""
        return (self.stop,) if isinstance(self.stop, str) and self.stop else tuple(self.stop)
