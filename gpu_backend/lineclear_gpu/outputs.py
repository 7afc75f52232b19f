"""What a request has generated, as its caller sees it; text from tokens, and where it stops.

Guarantees: a text that was handed out never changes: what may still become another character, or
the beginning of a stop text, is held back. It knows nothing about models or schedulers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Completion", "Decode", "Delta", "RequestOutput", "Text"]

#: Token ids to text.
Decode = Callable[[list[int]], str]
#: What a decoder makes of bytes that are no character yet.
UNFINISHED = "\ufffd"


class Delta(NamedTuple):
    """What is new of one sequence.

    Attributes:
        request_id: whose.
        index: which of its sequences.
        token_ids: the new tokens.
        text: the new text, "" without a tokenizer.
        finish_reason: stop, length, abort or error once it has ended, else None.
    """

    request_id: Hashable
    index: int  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]
    token_ids: tuple[int, ...]
    text: str
    finish_reason: str | None


@dataclass(slots=True)
class Completion:
    """One sequence of a request.

    Attributes:
        index: which.
        token_ids: all that was generated, the token that ended it included.
        text: all of its text.
        finish_reason: stop, length, abort or error; None while it goes on.
        stop_reason: the stop text or token that ended it, if one did.
    """

    index: int
    token_ids: list[int] = field(default_factory=list[int])
    text: str = ""
    finish_reason: str | None = None
    stop_reason: int | str | None = None


@dataclass(slots=True)
class RequestOutput:
    """One request.

    Attributes:
        request_id: the caller's id.
        prompt: its text, if it came as one.
        prompt_token_ids: its tokens.
        outputs: its sequences, in order.
        preemptions: how often it was preempted.
        error: why it ended, if that was an error.
    """

    request_id: Hashable
    prompt: str | None
    prompt_token_ids: list[int]
    outputs: list[Completion]
    preemptions: int = 0
    error: str | None = None

    @property
    def finished(self) -> bool:
        """Whether all its sequences have ended."""
        return all(output.finish_reason is not None for output in self.outputs)


class Text:
    """The text of one sequence as its tokens come.

    Args:
        decode: makes a text of tokens, None for no text at all.
        stops: texts that end it.
        keep_stop: whether the stop text stays.
    """

    def __init__(self, decode: Decode | None, stops: tuple[str, ...], *, keep_stop: bool) -> None:
        """Nothing was generated."""
        self.decode = decode
        self.stops = stops
        self.keep_stop = keep_stop
        self.text = ""  # all that is known
        self.given = 0  # characters handed out
        self._start = 0  # tokens before this are in `text` for good
        self._known = 0  # tokens whose text is in `text`
        self._longest = max(map(len, stops), default=1) - 1

    def add(self, tokens: list[int]) -> str | None:
        """Looks at the newest of all tokens; the stop text that it completed, if it did.

        Args:
            tokens: all tokens so far.
        """
        if self.decode is None:
            return None
        # A token's text may depend on the ones before it: the difference of two texts is its own.
        before = self.decode(tokens[self._start : self._known])
        after = self.decode(tokens[self._start :])
        if after.endswith(UNFINISHED) or len(after) <= len(before):
            return None
        seen = len(self.text)
        self.text += after[len(before) :]
        self._start, self._known = self._known, len(tokens)
        for stop in self.stops:
            at = self.text.find(stop, max(0, seen - len(stop) + 1))
            if at >= 0:
                self.text = self.text[: at + (len(stop) if self.keep_stop else 0)]
                return stop
        return None

    def take(self, *, ended: bool) -> str:
        """What may be handed out now; the rest of it once the sequence has ended."""
        upto = len(self.text)
        if not ended and self.stops:
            for size in range(min(self._longest, upto), 0, -1):
                if any(stop.startswith(self.text[upto - size :]) for stop in self.stops):
                    upto -= size
                    break
        new = self.text[self.given : upto] if upto > self.given else ""
        self.given = max(self.given, upto)
        return new
