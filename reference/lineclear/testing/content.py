"""An executor without a device: it keeps the content of every block, token by token.

Guarantees: it is told nothing but plans, so a table that was told wrongly, a copy that is missing,
or a block that two requests write shows as a token read that is not the sequence's own. It does
everything at once, in the order of the plan; `device.py` does it in any order that waits allow.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from lineclear.plan import Plan
from lineclear.testing.device import Branch, Device, WrongContent

__all__ = ["Branch", "ContentExecutor", "WrongContent"]


class _Sampling(Device):
    """A device whose tokens are the caller's."""

    def __init__(self, block_size: int, sample: Callable[[], int]) -> None:
        """Both pools are empty."""
        super().__init__(block_size)
        self.token = sample  # type: ignore[method-assign]


class ContentExecutor:
    """Executes plans on two pools of tokens.

    Args:
        block_size: tokens in a block.
        sample: a token that nobody has had yet.
        accept: how many of so many drafts are right.
    """

    def __init__(
        self, block_size: int, sample: Callable[[], int], accept: Callable[[int], int]
    ) -> None:
        """Both pools are empty."""
        self.block_size = block_size
        self.accept = accept
        self.device = _Sampling(block_size, sample)

    @property
    def branches(self) -> dict[tuple[Hashable, int], Branch]:
        """Every sequence by (request id, branch)."""
        return self.device.branches

    def add(self, request_id: Hashable, prompt: Iterable[int]) -> Branch:
        """A request with these tokens was accepted."""
        return self.device.add(request_id, list(prompt))

    def fork(self, parent: Branch, name: tuple[Hashable, int], tokens: Iterable[int]) -> Branch:
        """A commit made another branch, which has these tokens and shares all KV of its parent."""
        return self.device.fork(parent, name, tokens)

    def execute(self, plan: Plan) -> list[list[int]]:
        """Does what the plan says; the tokens sampled for each entry of `plan.sampling`.

        They are pending until the commit, and the caller then moves them to `tokens` or drops them.

        Raises:
            WrongContent: a sequence read another's token.
        """
        forward = self.device.launch(plan)
        if forward is None:
            return []
        sampled: list[list[int]] = []
        for row in forward.sampling:
            accepted = self.accept(len(row.guesses))
            assert row.token is not None
            tokens = [*row.guesses[:accepted], row.token]
            row.branch.pending[-1:] = tokens
            row.branch.position += accepted
            sampled.append(tokens)
        return sampled
