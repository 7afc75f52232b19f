"""Computes who computes how many tokens in a step, on plain data.

Guarantees: as `step.py`, of which it is a part. Decodes come before unfinished prompts; a prompt takes no more than
its share before every other has had its own.
"""

from __future__ import annotations

from collections.abc import Hashable

from lineclear.oracle.orders import Orders
from lineclear.oracle.state import OracleRequest, OracleState
from lineclear.oracle.work import Work, divides, grow

#: Request, branch, tokens, drafts, first position, whether it samples, whether it is a prefill.
ServedRow = tuple[Hashable, int, int, int, int, bool, bool]


class Serving:
    """The part of a step that serves.

    Args:
        state: as the step changes it.
        orders: of the policy.

    Attributes:
        prefills: unfinished prompts that are served, and the tokens of each.
        decodes: the other sequences that are, likewise.
        short: an unfinished prompt lacks tokens of its share.
        longs: whose prompts could use more than their share.
    """

    def __init__(self, state: OracleState, orders: Orders) -> None:
        self.state, self.config, self.orders = state, state.config, orders
        self.prefills: list[tuple[Work, int]] = []
        self.decodes: list[tuple[Work, int]] = []
        self.short = False
        self.longs: set[OracleRequest] = set()

    @property
    def tokens(self) -> int:
        """Tokens of the step that nothing has taken."""
        taken = sum(tokens for _, tokens in (*self.prefills, *self.decodes))
        return self.config.max_num_batched_tokens - taken

    def share(self, work: Work) -> int:
        """The tokens that a sequence may take while others could use them: a prompt no more than the threshold."""
        if work.decodes:
            return work.tokens
        return min(work.tokens, self.threshold)

    @property
    def threshold(self) -> int:
        """The limit on the tokens of one prompt: all that a sequence may have if there is none."""
        config, given = self.config, self.config.long_prefill_token_threshold
        if given == 0 or not config.enable_chunked_prefill:
            return config.max_model_len
        return config.max_num_batched_tokens // 4 or 1 if given is None else given

    def part(self, work: Work, share: int, tokens: int) -> int:
        """The number of tokens that a sequence takes of those left: it is cut only if that is allowed."""
        if share <= tokens:
            return share
        return tokens if divides(self.config, work.branch) else 0

    def long(self, work: Work) -> bool:
        """Whether a prompt could use more than its share."""
        return self.share(work) < work.tokens

    def serve(self, works: dict[OracleRequest, list[Work]]) -> None:
        """Serves running requests: decodes, then unfinished prompts in order, until one does not get its share."""
        for work in in_order_of_service([work for found in works.values() for work in found]):
            share = self.share(work)
            part = 0 if self.short else self.part(work, share, self.tokens)
            if not work.decodes:
                self.short = self.short or part < share
                if share < work.tokens:
                    self.longs.add(work.live)
            self.give(work, part)

    def begin(self, work: Work) -> None:
        """Serves a sequence of a request that enters."""
        if self.long(work):
            self.longs.add(work.live)
        self.give(work, self.part(work, self.share(work), self.tokens))

    def give(self, work: Work, tokens: int) -> None:
        """The sequence takes its blocks, and so many tokens, or the share that the policy allows."""
        grow(self.state, work)
        if work.decodes:
            self.decodes.append((work, tokens))
            return
        if self.config.enable_chunked_prefill and tokens:
            share = self.orders.share(work.live)
            tokens = tokens if share is None else min(tokens, share)
        self.prefills.append((work, tokens))

    def hand_out(self) -> None:
        """Gives tokens that the shares left over to the first in the order that can use them."""
        if not self.config.enable_chunked_prefill:
            return
        for k, (work, tokens) in enumerate(self.prefills):
            if tokens:
                more = min(work.tokens - tokens, self.tokens)
                self.prefills[k] = (work, tokens + more)

    def rows(self) -> list[ServedRow]:
        """The rows of the plan, prefills first; the state is as after it."""
        rows: list[ServedRow] = []
        for work, tokens in (*self.prefills, *self.decodes):
            if not tokens:
                continue
            branch = work.branch
            drafts = max(0, tokens - (work.tokens - work.drafts))
            samples = work.start + tokens - drafts == branch.num_tokens + branch.scheduled_samples
            branch.num_dispatched_tokens = work.start + tokens
            branch.scheduled_samples += samples
            rows.append(
                (
                    work.live.name,
                    branch.number,
                    tokens,
                    drafts,
                    work.start,
                    samples,
                    not work.decodes,
                )
            )
        return rows


def in_order_of_service(works: list[Work]) -> list[Work]:
    """Decodes before unfinished prompts, each in their order."""
    return sorted(works, key=lambda work: not work.decodes)
