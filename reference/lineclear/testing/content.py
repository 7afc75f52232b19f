"""An executor without a device: it keeps the content of every block, token by token.

Guarantees: it is told nothing but plans, so a table that was told wrongly, a copy that is missing,
or a block that two requests write shows as a token read that is not the sequence's own. It knows
nothing about the ledger, and nothing about when copies end: it does everything at once, in the
order of the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from lineclear.plan import Plan, Scheduled

__all__ = ["Branch", "ContentExecutor", "WrongContent"]

Name = tuple[Hashable, int]


class WrongContent(AssertionError):
    """A sequence read a position whose content is not its own token there."""


@dataclass(eq=False, slots=True)
class Branch:
    """A sequence as an executor knows it.

    Attributes:
        tokens: the prompt, and what commits have kept.
        pending: sampled by steps that are not committed.
        table: its GPU blocks, as plans told them.
        position: the first position without KV.
    """

    tokens: list[int]
    pending: list[int] = field(default_factory=list[int])
    table: list[int] = field(default_factory=list[int])
    position: int = 0

    @property
    def history(self) -> list[int]:
        """All its tokens."""
        return self.tokens + self.pending


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
        self.sample = sample
        self.accept = accept
        self.branches: dict[Name, Branch] = {}
        self.gpu: dict[tuple[int, int], int] = {}  # (block, slot) -> token
        self.cpu: dict[tuple[int, int], int] = {}

    def add(self, request_id: Hashable, prompt: Iterable[int]) -> Branch:
        """A request with these tokens was accepted."""
        branch = self.branches[request_id, 0] = Branch(list(prompt))
        return branch

    def fork(self, parent: Branch, name: Name, tokens: Iterable[int]) -> Branch:
        """A commit made another branch, which has these tokens and shares all KV of its parent."""
        child = self.branches[name] = Branch(list(tokens), position=parent.position)
        return child

    def execute(self, plan: Plan) -> list[list[int]]:
        """Does what the plan says; the tokens sampled for each entry of `plan.sampling`.

        They are pending until the commit, and the caller then moves them to `tokens` or drops them.

        Raises:
            WrongContent: a sequence read another's token.
        """
        self._copy(plan)
        for name, branch, place in plan.new_blocks:
            self.branches[name, branch].table.append(place)
        for name, branch, places in plan.tables:
            self.branches[name, branch].table = list(places)
        rows = list(plan.scheduled_seq_groups)
        for row in rows:
            self._read(row)
        sampled: dict[int, list[int]] = {}
        for row in rows:
            tokens = self._write(row)
            if row.samples:
                sampled[id(row)] = tokens
        return [sampled[id(row)] for row in plan.sampling]

    def _copy(self, plan: Plan) -> None:
        for operation in plan.operations:
            source = self.cpu if operation.kind == "swap_in" else self.gpu
            target = self.cpu if operation.kind == "swap_out" else self.gpu
            for left, right in operation.blocks:
                for slot in range(self.block_size):
                    target[right, slot] = source.get((left, slot), 0)

    def _start(self, row: Scheduled, branch: Branch) -> int:
        return branch.position if row.start is None else row.start

    def _slot(self, branch: Branch, position: int) -> tuple[int, int]:
        return branch.table[position // self.block_size], position % self.block_size

    def _read(self, row: Scheduled) -> None:
        branch = self.branches[row.request_id, row.branch]
        history = branch.history
        for position in range(self._start(row, branch)):
            found = self.gpu.get(self._slot(branch, position), 0)
            if found != history[position]:
                raise WrongContent(
                    f"request {row.request_id!r}, branch {row.branch} reads token {found} at "
                    f"position {position}; its own there is {history[position]}"
                )

    def _write(self, row: Scheduled) -> list[int]:
        branch = self.branches[row.request_id, row.branch]
        history, start = branch.history, self._start(row, branch)
        sure = start + row.tokens - row.drafts
        if row.samples != (sure == len(history)):
            raise WrongContent(
                f"request {row.request_id!r}, branch {row.branch}: a step up to position {sure} "
                f"of {len(history)} tokens {'samples' if row.samples else 'samples nothing'}"
            )
        guesses = [self.sample() for _ in range(row.drafts)]
        for position, token in enumerate([*history[start:sure], *guesses], start):
            self.gpu[self._slot(branch, position)] = token
        branch.position = sure
        if not row.samples:
            return []
        accepted = self.accept(row.drafts)
        branch.position += accepted
        tokens = [*guesses[:accepted], self.sample()]
        branch.pending += tokens
        return tokens
