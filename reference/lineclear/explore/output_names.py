"""Names of tokens for a world in which output is shared, and prompts that go on where a sequence ended.

Guarantees: two blocks have one name exactly if their tokens and all tokens before them are equal; the same moves
give the same names. It is asked for what was known before the move that is being made, so that what it answers
depends on no call of the scheduler.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lineclear.testing.bench import Bench

#: Sequences that a prompt may go on from.
REMEMBERED = 3


class OutputNames:
    """The names that were given.

    Args:
        size: tokens of a block.

    Attributes:
        names: by the name before a block and its tokens.
        said: tokens of each branch of the requests that share, before the move.
        ended: tokens of the sequences that ended last.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.names: dict[tuple[int, tuple[int, ...]], int] = {}
        self.said: dict[tuple[Hashable, int], list[int]] = {}
        self.ended: list[list[int]] = []

    def look(self, bench: Bench) -> None:
        """What is known at this moment."""
        said = {
            (name, number): list(branch.tokens)
            for name, live in bench.live.items()
            if live.request.prefix_names
            for number, branch in live.branches.items()
        }
        self.ended += [tokens for key, tokens in self.said.items() if key not in said]
        del self.ended[:-REMEMBERED]
        self.said = said

    def of(self, tokens: list[int], words: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Names of the full blocks of these tokens, behind those that have names."""
        name, found = words[-1] if words else 0, list[int]()
        for at in range(len(words) * self.size, len(tokens) - self.size + 1, self.size):
            key = name, tuple(tokens[at : at + self.size])
            name = self.names.setdefault(key, len(self.names) + 1)
            found.append(name)
        return tuple(found)

    def following(self, name: Hashable, branch: int, words: tuple[int, ...]) -> tuple[int, ...]:
        """What the scheduler asks for."""
        return self.of(self.said.get((name, branch), []), words)

    def prompt(self, tokens: list[int], turn: int) -> list[int]:
        """The prompt of a request: that of its family, or, by turns, what a sequence of it that ended goes on with.

        Args:
            tokens: of its family.
            turn: a number of the request.
        """
        alike = [one for one in self.ended if one[0] == tokens[0] and len(one) > 1]
        if not alike or turn % 2:
            return tokens
        said = alike[turn // 2 % len(alike)][: len(tokens)]
        return said + tokens[len(said) :]
