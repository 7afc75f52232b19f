# pyright: basic
"""Text: what is shown of an incomplete character, and which stop text wins."""

from __future__ import annotations

from itertools import pairwise

import pytest
from served import GREEDY, expected, made, prompts

from lineclear_gpu.outputs import Text
from lineclear_gpu.params import SamplingParams

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st

#: Any text as tokens: a token is some bytes of it.
Pieces = list[bytes]


def text_of(
    pieces: Pieces, stops: tuple[str, ...] = (), *, keep_stop: bool = False
) -> tuple[str, str | None, str]:
    """The text and the stop text of tokens that come one at a time, and what was handed out of it."""

    def decode(ids: list[int]) -> str:
        return b"".join(pieces[k] for k in ids).decode("utf-8", errors="replace")

    text = Text(decode, stops, keep_stop=keep_stop)
    handed = ""
    invalid = "\ufffd" in b"".join(pieces).decode("utf-8", errors="replace")
    for count in range(1, len(pieces) + 1):
        stop = text.add(list(range(count)))
        ended = stop is not None or count == len(pieces)
        new = text.take(ended=ended)
        assert ended or invalid or "\ufffd" not in new
        handed += new
        if stop is not None:
            return text.text, stop, handed
    return text.text, None, handed


def test_a_last_token_that_ends_inside_a_character_keeps_its_visible_part() -> None:
    assert text_of([b"a", b"x\xe2\x82"]) == ("ax\ufffd", None, "ax\ufffd")
    assert text_of([b"a", b"x\xe2", b"\x82"]) == ("ax\ufffd", None, "ax\ufffd")
    assert text_of([b"a", b"x\xe2", b"\x82", b"\xac"]) == ("ax€", None, "ax€")


def test_a_stop_text_is_seen_although_a_character_behind_it_is_incomplete() -> None:
    assert text_of([b"a", b"bc\xe2", b"\x82\xac"], ("bc",)) == ("a", "bc", "a")


@pytest.mark.parametrize(
    ("stops", "text", "stop"),
    [
        (("d", "b"), "a", "b"),
        (("b", "d"), "a", "b"),
        (("bcd", "c"), "ab", "c"),
        (("c", "bc"), "a", "bc"),
        (("abc", "cd"), "", "abc"),
    ],
)
def test_of_several_stop_texts_in_one_token_the_first_that_is_complete_wins(
    stops: tuple[str, ...], text: str, stop: str
) -> None:
    assert text_of([b"abcde"], stops) == (text, stop, text)
    assert text_of([b"a", b"b", b"c", b"d", b"e"], stops) == (text, stop, text)


def test_the_stop_text_is_kept_on_request() -> None:
    assert text_of([b"abcde"], ("d", "bc"), keep_stop=True) == ("abc", "bc", "abc")


@given(
    st.text("abé€😀", max_size=24),
    st.lists(st.text("abé€", min_size=1, max_size=3), max_size=3),
    st.lists(st.integers(1, 40), max_size=12),
    st.booleans(),
)
def test_text_and_stop_do_not_depend_on_where_tokens_end(
    written: str, stops: list[str], cuts: list[int], keep: bool
) -> None:
    whole = written.encode()
    places = sorted({cut for cut in cuts if cut < len(whole)} | {0, len(whole)})
    pieces = [whole[a:b] for a, b in pairwise(places)]
    each = [whole[k : k + 1] for k in range(len(whole))]
    one = text_of(pieces, tuple(stops), keep_stop=keep)
    assert one == text_of(each, tuple(stops), keep_stop=keep)
    assert one[0] == one[2]
    # Against the definition: the first end of a stop text, and the longest that ends there.
    ends = [
        (at + len(stop), -len(stop), stop) for stop in stops if (at := written.find(stop)) >= 0
    ]
    if not ends:
        assert one[:2] == (written, None)
        return
    end, length, stop = min(ends)
    assert one[:2] == (written[: end if keep else end + length], stop)


@given(st.lists(st.binary(min_size=1, max_size=4), max_size=10))
def test_bytes_that_are_no_text_are_shown_as_the_decoder_shows_them(pieces: Pieces) -> None:
    text, _, handed = text_of(pieces)
    assert text == handed == b"".join(pieces).decode("utf-8", errors="replace")


def test_the_engine_shows_the_visible_part_too() -> None:
    engine = made().engine
    last = expected()[0][:6]
    engine.decode = lambda ids: "a" * len(ids) + ("x\ufffd" if ids and ids[-1] == last[-1] else "")
    engine.add("a", prompts()[0], SamplingParams(max_tokens=6, temperature=0, ignore_eos=True))
    output = engine.live["a"].output
    given_text = ""
    while engine.busy:
        given_text += "".join(delta.text for delta in engine.step())
    assert given_text == output.outputs[0].text
    assert output.outputs[0].text.endswith("x\ufffd")


def test_a_text_that_cannot_be_made_of_a_last_token_is_an_error_too() -> None:
    engine = made().engine
    last = expected()[0]
    assert last[-1] not in last[:-1]

    def decode(ids: list[int]) -> str:
        return "x" * len(ids) if last[-1] not in ids else "x" * (1 // 0)

    engine.decode = decode
    engine.add("a", prompts()[0], GREEDY)
    output = engine.live["a"].output
    engine.run()
    assert output.error == "ZeroDivisionError: integer division or modulo by zero"
    assert output.outputs[0].finish_reason == "error"
    assert output.outputs[0].token_ids == last
    assert engine.scheduler.cache.available == 200


def test_what_may_become_a_stop_text_is_held_back_and_given_if_it_does_not() -> None:
    text = Text(lambda ids: "".join(map(chr, ids)), ("abc",), keep_stop=False)
    given: list[str] = []
    said = [ord(c) for c in "xabyab"]
    for count in range(1, len(said) + 1):
        assert text.add(said[:count]) is None
        given.append(text.take(ended=False))
    assert given == ["x", "", "", "aby", "", ""]
    assert text.take(ended=True) == "ab"


def test_bytes_that_are_no_character_yet_are_held_back() -> None:
    def decode(ids: list[int]) -> str:
        return bytes(ids).decode("utf-8", errors="replace")

    text = Text(decode, (), keep_stop=False)
    said = list("aé€z".encode())
    given = ""
    for count in range(1, len(said) + 1):
        text.add(said[:count])
        new = text.take(ended=False)
        assert "\ufffd" not in new
        given += new
    assert given == "aé€z"


def test_tokens_without_text_are_decoded_a_few_times_only() -> None:
    """As a model's own end token, over and over, if it is to be ignored."""
    decoded = 0

    def decode(ids: list[int]) -> str:
        nonlocal decoded
        decoded += len(ids)
        return "".join(chr(token) for token in ids if token)

    text = Text(decode, (), keep_stop=False)
    said = [ord("a"), ord("b"), *[0] * 500, ord("c"), *[0] * 500, ord("d")]
    for count in range(1, len(said) + 1):
        text.add(said[:count])
    assert text.take(ended=True) == "abcd"
    assert decoded < 8 * len(said)  # with up to three of the tokens before


@pytest.mark.parametrize("errors", ["replace", "ignore"])
def test_a_decoder_may_show_nothing_of_an_incomplete_character(errors: str) -> None:
    """Its bytes are no tokens without text: they are decoded again with the next ones."""
    said = "aé€😀z".encode()
    text = Text(lambda ids: bytes(ids).decode(errors=errors), (), keep_stop=False)
    for count in range(1, len(said) + 1):
        text.add(list(said[:count]))
    assert text.take(ended=True) == "aé€😀z"


def test_stop_texts_that_have_not_begun_are_not_compared() -> None:
    class Compared(str):
        times = 0

        def startswith(self, *rest: object) -> bool:
            Compared.times += 1
            return super().startswith(*rest)  # type: ignore[arg-type]

    text = Text(lambda ids: "x" * len(ids), (Compared("y" * 500), Compared("zx")), keep_stop=False)
    for count in range(1, 501):
        text.add([0] * count)
        text.take(ended=False)
    assert Compared.times == 0
