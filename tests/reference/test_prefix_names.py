"""Names stand for prefixes: equal exactly where tokens, what comes before, and what else counts are equal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lineclear.prefix_names import SPARE, PrefixNames, unpacked

TOKENS = st.lists(st.integers(0, 2), max_size=12)


@given(TOKENS, TOKENS, st.integers(1, 4), st.sampled_from([None, "a", ("a", 1)]))
def test_names_are_equal_exactly_where_prefixes_are(
    first: list[int], second: list[int], size: int, salt: object
) -> None:
    names = PrefixNames(size)
    ours, theirs = names.of(first), names.of(second, extra=salt)
    for k, (mine, other) in enumerate(zip(ours, theirs, strict=False)):
        same = salt is None and first[: (k + 1) * size] == second[: (k + 1) * size]
        assert (mine == other) == same
    assert len(ours) == len(first) // size
    assert len({*ours}) == len(ours)


@given(TOKENS, st.integers(1, 3), st.integers(0, 4))
def test_names_that_are_given_later_are_those_of_the_whole(
    tokens: list[int], size: int, blocks: int
) -> None:
    names = PrefixNames(size)
    whole = names.of(tokens)
    begun = names.of(tokens[: blocks * size])
    assert begun + names.of(tokens[len(begun) * size :], begun) == whole


def test_a_salt_in_the_first_block_counts_for_all() -> None:
    names = PrefixNames(2)
    assert not {*names.of([1, 2, 3, 4], extra="a")} & {*names.of([1, 2, 3, 4], extra="b")}
    assert names.of([1, 2], extra="a") == names.of([1, 2], extra="a")


def test_tokens_are_compared_not_their_hashes() -> None:
    names = PrefixNames(1)
    tokens = [hash(-1), -1, -2]  # Python gives -1 and -2 the same hash
    assert hash(-1) == hash(-2)
    assert len({names.of([token])[0] for token in tokens}) == 2


@given(
    st.lists(st.sampled_from([0, -1, 5, 2**31 - 1, 2**31, -(2**40), 2**62]), max_size=9),
    st.lists(st.sampled_from([0, -1, 5, 2**31 - 1, 2**31, -(2**40), 2**62]), max_size=9),
    st.integers(1, 3),
)
def test_a_token_that_needs_64_bits_changes_no_other_block(
    first: list[int], second: list[int], size: int
) -> None:
    """Whatever else is named in one call, a block has the name that it has alone."""
    names = PrefixNames(size, meanings=True)
    whole = names.of(first)
    begun: tuple[int, ...] = ()
    for at in range(0, len(first) - size + 1, size):
        begun += names.of(first[at : at + size], begun)
    assert begun == whole
    for k, (mine, other) in enumerate(zip(whole, names.of(second), strict=False)):
        assert (mine == other) == (first[: (k + 1) * size] == second[: (k + 1) * size])
    assert names.meanings is not None
    contents = [token for name in whole for token in unpacked(names.meanings[name][1], size)]
    assert contents == first[: len(whole) * size]


def test_memory_is_bounded_by_what_is_used_or_found() -> None:
    cached: set[int] = set()
    names = PrefixNames(1, cached)
    kept = names.of([1, 2, 3])
    cached.update(names.of([7, 8]))
    names.release(names.of([7, 8]))
    for token in range(20 * SPARE):
        names.release(names.of([1000 + token]))
    assert len(names) <= 2 * (len(kept) + len(cached)) + 2 * SPARE
    assert names.of([1, 2, 3]) == kept
    assert {*names.of([7, 8])} == cached


def test_a_forgotten_name_is_never_given_again() -> None:
    names = PrefixNames(1)
    first = names.of([5])
    names.release(first)
    names.sweep()
    assert len(names) == 0
    assert names.of([6]) != first
    assert names.of([5]) != first


def test_a_name_is_in_use_until_each_request_that_had_it_has_ended() -> None:
    names = PrefixNames(1)
    first, second = names.of([1, 2]), names.of([1, 3])
    assert first[0] == second[0]
    names.release(first)
    assert [names.in_use(name) for name in (*first, second[1])] == [True, False, True]
    names.sweep()
    assert [*names.names.values()] == [*second]
    third = names.of([1, 3])
    names.release(second)
    names.sweep()
    assert [*names.names.values()] == [*third]
    names.release(third)
    names.sweep()
    assert not names.names
    assert not names.others


def test_a_name_that_is_found_and_that_no_request_uses_is_used_again() -> None:
    cached: set[int] = set()
    names = PrefixNames(1, cached)
    first = names.of([1])
    cached.update(first)
    names.release(first)
    names.sweep()
    assert names.of([1]) == first
    cached.clear()
    names.sweep()
    assert names.of([1]) == first
