"""The model that a scheduler under test runs: it keeps the content of every slot of every block.

Guarantees: the content of a position includes its whole prefix, as KV does, so a read shows a
block of another request, of an earlier life, or of the same tokens after another prefix. Tokens
depend on the request and the position alone, so a run is repeatable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from zlib import crc32

from lineclear.testing.failure import Failure
from lineclear.testing.protocol import NO_TOKEN, Copy, Limits, Row

#: The content of an unwritten slot.
EMPTY = -1
#: Sampled tokens are few, so that requests share prefixes by chance.
ALPHABET = 3


@dataclass(eq=False, slots=True)
class ModelRequest:
    """A request of the model.

    Attributes:
        prompt: number of prompt tokens.
        max_new: number of tokens to generate.
        tokens: prompt and sampled tokens.
        content: content of each position of `tokens` once it is computed.
        over: steps since it ended or was aborted, None while it is live.
    """

    prompt: int
    max_new: int
    tokens: list[int]
    content: list[int] = field(default_factory=list[int])
    over: int | None = None

    @property
    def sampled(self) -> int:
        """Number of sampled tokens."""
        return len(self.tokens) - self.prompt


class SlotModel:
    """Executes rows on a pool of slots.

    Args:
        limits: limits of the scheduler.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.sequences: dict[str, ModelRequest] = {}
        self.slots: dict[int, list[int]] = {}  # block id -> content of its slots
        self.prefixes: dict[tuple[int, int], int] = {}  # (content before, token) -> content

    def add(self, request_id: str, prompt: Sequence[int], max_new: int) -> None:
        """Adds an accepted request."""
        sequence = self.sequences[request_id] = ModelRequest(len(prompt), max_new, [])
        for token in prompt:
            self._append(sequence, token)

    def _append(self, sequence: ModelRequest, token: int) -> None:
        before = sequence.content[-1] if sequence.content else EMPTY
        key = before, token
        sequence.tokens.append(token)
        sequence.content.append(self.prefixes.setdefault(key, len(self.prefixes)))

    def complete(self, sequence: ModelRequest) -> bool:
        """Whether it has all its tokens."""
        stop = self.limits.stop_token
        return sequence.sampled >= sequence.max_new or (
            stop is not None and sequence.sampled > 0 and sequence.tokens[-1] == stop
        )

    def holds(self, block: int) -> tuple[int, ...]:
        """Content of its slots, EMPTY if unwritten."""
        return tuple(self.slots.get(block, [EMPTY] * self.limits.block_size))

    def copy(self, copies: Sequence[Copy]) -> None:
        """Makes the copies, in order."""
        for one in copies:
            for name, block in (("source", one.source), ("target", one.target)):
                if block not in self.limits.block_ids:
                    raise Failure(
                        "row.table", f"a copy has block {block} as its {name}: no such block"
                    )
            self.slots[one.target] = list(self.holds(one.source))

    def keeps(self, row: Row) -> bool:
        """Whether the request of a row keeps what the row samples."""
        sequence = self.sequences.get(row.request_id)
        return row.samples and sequence is not None and not self.past(sequence)

    def execute(self, rows: Sequence[Row]) -> list[int]:
        """One forward pass: a token for each row.

        Raises:
            Failure: a row reads KV that is not its own, or is impossible.
        """
        for row in rows:
            self._admit(row)
        first, then = self._read, self._write
        if self.limits.same_step_hits:
            first, then = then, first
        for action in (first, then):
            for row in rows:
                action(row)
        return [self._sample(row) for row in rows]

    def _admit(self, row: Row) -> None:
        name, size = row.request_id, self.limits.block_size
        sequence = self.sequences.get(name)
        if sequence is None:
            raise Failure("row.live", f"a row of {name!r}, which was never accepted")
        if sequence.over is not None and sequence.over > self.limits.dying_steps:
            raise Failure("row.live", f"a row of {name!r}, which ended {sequence.over} steps ago")
        known, end = len(sequence.tokens), row.start + row.tokens
        late = self.limits.in_flight - 1 if self.past(sequence) else 0
        if row.tokens < 1 or row.start < 0 or end > known + late:
            raise Failure(
                "row.tokens",
                f"the row of {name!r} computes {row.tokens} tokens from position {row.start}, but it "
                f"has {known} tokens",
            )
        used = row.table[: -(-end // size)]
        bad = [block for block in used if block not in self.limits.device_ids]
        if bad or end > len(row.table) * size:
            ids = self.limits.device_ids
            raise Failure(
                "row.table",
                f"the row of {name!r} computes up to position {end - 1} in blocks "
                f"{list(row.table)} of {size}; the device has blocks {ids[0]} to {ids[-1]}",
            )
        if row.samples != (end >= known):
            raise Failure(
                "row.samples",
                f"the row of {name!r} ends before position {end} of {known} known tokens and "
                f"{'samples' if row.samples else 'samples nothing'}",
            )

    def past(self, sequence: ModelRequest) -> bool:
        """Whether it gets no more tokens."""
        return sequence.over is not None or self.complete(sequence)

    def _read(self, row: Row) -> None:
        sequence, size = self.sequences[row.request_id], self.limits.block_size
        for position in range(row.start):
            block = row.table[position // size]
            found = self.holds(block)[position % size]
            if found != sequence.content[position]:
                raise Failure(
                    "read.own",
                    f"the row of {row.request_id!r} reads position {position} from block {block}, "
                    f"slot {position % size}: it holds {self.content_text(found)}, expected "
                    f"{self.content_text(sequence.content[position])}",
                )

    def _write(self, row: Row) -> None:
        sequence, size = self.sequences[row.request_id], self.limits.block_size
        for position in range(row.start, row.start + row.tokens):
            slots = self.slots.setdefault(row.table[position // size], [EMPTY] * size)
            past = position >= len(sequence.content)  # the row past the end of a request
            slots[position % size] = EMPTY if past else sequence.content[position]

    def _sample(self, row: Row) -> int:
        if not row.samples:
            return NO_TOKEN
        stop = self.limits.stop_token
        drawn = crc32(f"{row.request_id}:{row.start + row.tokens}".encode())
        token = stop if stop is not None and drawn % 11 == 0 else drawn % ALPHABET
        if self.keeps(row):
            self._append(self.sequences[row.request_id], token)
        return token

    def content_text(self, content: int) -> str:
        """Content in words: a token and its predecessors."""
        if content == EMPTY:
            return "nothing"
        back = {value: key for key, value in self.prefixes.items()}
        tokens: list[int] = []
        while content != EMPTY:
            content, token = back[content]
            tokens.append(token)
        tokens.reverse()
        before = " ".join(map(str, tokens[:-1]))
        return f"token {tokens[-1]} after {before}" if before else f"token {tokens[-1]}, the first"
