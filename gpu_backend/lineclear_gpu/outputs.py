"""The output of a request: tokens to text, and where text stops.

Guarantees: text that was handed out never changes: characters that later tokens may still change,
and the beginning of a possible stop text, are held back.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

#: Converts token ids to text.
Decode = Callable[[list[int]], str]
#: How a decoder shows bytes that are no complete character yet.
UNFINISHED = "\ufffd"
#: Tokens at most of a character that is not complete: each has a byte at least, and UTF-8 needs four.
BYTES = 3


class Delta(NamedTuple):
    """New output of one sequence.

    Attributes:
        request_id: the request.
        index: the sequence within it.
        token_ids: the new tokens.
        text: the new text, "" without a tokenizer.
        finish_reason: stop, length, abort or error once it has ended, else None.
    """

    request_id: Hashable
    index: int  # type: ignore[assignment]
    token_ids: tuple[int, ...]
    text: str
    finish_reason: str | None


@dataclass(slots=True)
class Completion:
    """One sequence of a request.

    Attributes:
        index: its index.
        token_ids: all generated tokens, including the one that ended it.
        text: all of its text.
        finish_reason: stop, length, abort or error; None while it is live.
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
        prompt: its text, if given as text.
        prompt_token_ids: its tokens.
        outputs: its sequences, in order.
        preemptions: how often it was preempted.
        num_cached_tokens: tokens of its prompt that were not computed, because blocks that hold
            them were found when it was first admitted.
        error: the error that ended it, if any.
    """

    request_id: Hashable
    prompt: str | None
    prompt_token_ids: list[int]
    outputs: list[Completion]
    preemptions: int = 0
    num_cached_tokens: int = 0
    error: str | None = None

    @property
    def finished(self) -> bool:
        """Whether all its sequences have ended."""
        return all(output.finish_reason is not None for output in self.outputs)


class Text:
    """Detokenizes one sequence incrementally.

    Args:
        decode: converts tokens to text, None for no text.
        stops: texts that end it.
        keep_stop: whether the text keeps the stop text.
    """

    def __init__(self, decode: Decode | None, stops: tuple[str, ...], *, keep_stop: bool) -> None:
        """Starts empty."""
        self.decode = decode
        self.stops = stops
        self.keep_stop = keep_stop
        self.text = ""  # all known text that no later token changes
        self.given = 0  # characters handed out
        self._tail = ""  # how the decoder shows the bytes of a character that is not complete
        self._read = 0  # tokens
        # A token's text may depend on the tokens before it, so text is decoded in a window of tokens.
        self._window: list[int] = []
        self._known = 0  # tokens of the window up to which its text is complete
        self._shown = 0  # characters of the window's text that are in `text`

    def add(self, tokens: list[int]) -> str | None:
        """Processes the newest tokens; returns the stop text that they completed, if any.

        Args:
            tokens: all tokens so far.
        """
        if self.decode is None:
            return None
        window = self._window + tokens[self._read :]
        self._read = len(tokens)
        text = self.decode(window)
        complete = text.rstrip(UNFINISHED)
        before, self._tail = self._tail, text[len(complete) :]
        new = complete[self._shown :]
        seen = len(self.text)
        self.text += new
        if new and not self._tail:
            self._window = window[self._known :]
            self._known = len(self._window)
            self._shown = len(self.decode(self._window))
        elif new or before or self._tail or not self._known:
            self._window, self._shown = window, max(self._shown, len(complete))
        else:
            # Tokens without text, such as special ones: the window keeps the newest, which may be bytes of a character
            # of which the decoder shows nothing yet.
            self._window = window[: self._known] + window[self._known :][-BYTES:]
        return self._stop(seen)

    def _stop(self, seen: int) -> str | None:
        """Cuts the text at the stop text that is complete first, and returns it.

        Args:
            seen: characters in which no stop text was complete.
        """
        found: list[tuple[int, int, str]] = []
        for stop in self.stops:
            at = self.text.find(stop, max(0, seen - len(stop) + 1))
            if at >= 0:
                found.append((at + len(stop), at, stop))
        if not found:
            return None
        # As if the text had come one character at a time; of two that end together the longer one.
        end, at, stop = min(found)
        self.text = self.text[: end if self.keep_stop else at]
        self._tail = ""
        return stop

    def take(self, *, ended: bool) -> str:
        """The text that may be handed out now; all of it once the sequence has ended.

        What a sequence that has ended leaves of an incomplete character is shown as the decoder shows it.
        """
        if ended:
            self.text += self._tail
            self._tail = ""
        upto = len(self.text)
        if not ended:
            upto -= max((begun(stop, self.text) for stop in self.stops), default=0)
        new = self.text[self.given : upto] if upto > self.given else ""
        self.given = max(self.given, upto)
        return new


def begun(stop: str, text: str) -> int:
    """How many characters at the end of a text, which lacks the stop text, may be its beginning."""
    at = text.find(stop[0], max(0, len(text) - len(stop) + 1))
    while at >= 0 and not stop.startswith(text[at:]):
        at = text.find(stop[0], at + 1)
    return 0 if at < 0 else len(text) - at
