"""What the environment may do next: every action, with every argument worth a try.

Guarantees: every living request and sequence is tried, however many came before it, and one that is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from lineclear_spec.modelcheck.ghosts import GhostLedger
from lineclear_spec.modelcheck.worlds import Bounds

T = TypeVar("T")

#: The actions that decide an operation.
DECIDE = frozenset({"swap_out", "swap_in", "copy_on_write", "issue_step"})


def around(records: list[T], living: list[bool]) -> list[T]:
    """Those that live, and the last one that does not: the others are refused for the same reason."""
    over = [k for k, lives in enumerate(living) if not lives][-1:]
    return [record for k, record in enumerate(records) if living[k] or k in over]


def tried(ledger: GhostLedger) -> tuple[list[str], list[str]]:
    """The sequences and the requests."""
    sequences = around(ledger.sequences, [s.alive for s in ledger.sequences])
    requests = around(ledger.requests, [1 <= r.phase <= 3 for r in ledger.requests])
    return [f"s{s.id}" for s in sequences], [f"r{r.id}" for r in requests]


def arguments_of(bounds: Bounds, ledger: GhostLedger, name: str) -> Iterator[tuple[Any, ...]]:
    """Every choice of arguments worth a try in this state, sensible or not."""
    sequences, requests = tried(ledger)
    if name in DECIDE and len(ledger.operations) >= bounds.open:
        return
    if name == "submit":
        if len(ledger.waiting) + len(ledger.running) + len(ledger.swapped) < bounds.live:
            yield from bounds.shapes
        return
    if name == "reject":
        yield (1, bounds.max_model_len + 1, 1)
    elif name in ("issue_step", "commit_step", "dispatch_copies", "lift_fences", "finish_each"):
        yield ()
    elif name == "complete_copy":
        for number in sorted(ledger.operations):
            yield (number,)
    elif name == "append_slots":
        yield from ((s, n) for s in sequences for n in bounds.counts)
    elif name == "schedule_tokens":
        yield from ((s, t, d) for s in sequences for t in bounds.tokens for d in bounds.drafts)
    elif name == "sample":
        for s in sequences:
            sequence = ledger.sequences[int(s[1:]) - 1]
            step, drafts = ledger.sampling_step(sequence), sequence.drafts
            yield from ((s, step, a, max(0, drafts + 1 - a)) for a in bounds.accepted)
    elif name == "fork":
        yield from ((s, 1) for s in sequences)
    elif name == "rejoin":
        size = bounds.block_size
        for s in sequences:
            prompt = ledger.sequences[int(s[1:]) - 1].request.prompt
            yield from ((s, size * n) for n in range(1, max(prompt // size, 1) + 1))
    elif name in ("prune", "copy_on_write", "join_batch", "leave_batch"):
        yield from ((s,) for s in sequences)
    elif name == "publish":
        yield from ((s, k) for s, count in named(ledger, sequences) for k in range(count))
    elif name == "publish_run":
        # Two entries or more, from the first or the second: one alone is what `publish` takes.
        for s, last in named(ledger, sequences):
            yield from ((s, first, end) for first in (0, 1) for end in range(first + 2, last + 1))
    elif name in ("evict", "unlist"):
        yield from ((n,) for n in sorted(ledger.cached))
    elif name in ("hold_block", "release_block"):
        held = name == "release_block"
        yield from ((n,) for n in sorted(ledger.cached) if bool(ledger.cached[n].readers) == held)
    elif name == "admit_cached":
        for r in requests:
            prompt_names = ledger.requests[int(r[1:]) - 1].prompt_names
            yield from ((r, bounds.block_size * n) for n in range(1, len(prompt_names) + 1))
    else:
        yield from ((r,) for r in requests)


def named(ledger: GhostLedger, sequences: list[str]) -> Iterator[tuple[str, int]]:
    """How many entries of each table have tokens with names."""
    for s in sequences:
        sequence = ledger.sequences[int(s[1:]) - 1]
        yield s, min(len(sequence.table), len(sequence.block_names))


def absurd_arguments(bounds: Bounds, ledger: GhostLedger, name: str) -> Iterator[tuple[Any, ...]]:
    """Arguments that some guard must refuse, tried in every state but never a transition of the search."""
    sequences, requests = tried(ledger)
    big = bounds.gpu_blocks * bounds.block_size
    if name == "submit":
        long = bounds.max_model_len
        yield from (
            (0, 2, 1),
            (2, 1, 1),
            (1, long + 1, 1),
            (1, 2, 0),
            (1, 2, bounds.max_num_seqs + 1),
        )
        yield from ((1, 5, 1), (1, big + 2, 1), (3, long, bounds.max_num_seqs))
        yield from ((r,) for r in requests)
    elif name == "complete_copy":
        yield from (
            (number,) for number in range(ledger.issued + 2) if number not in ledger.operations
        )
    elif name == "append_slots":
        yield from ((s, n) for s in sequences for n in (-2, 0, 2, 4))
    elif name == "schedule_tokens":
        yield from (
            (s, t, d)
            for s in sequences
            for t, d in ((1, -1), (0, 0), (1, 1), (2, 1), (3, 2), (2, 0), (3, 0), (4, 0))
        )
    elif name == "sample":
        for s in sequences:
            for step in range(ledger.committed + 2):
                yield from (
                    (s, step, a, r)
                    for a, r in (
                        (1, 0),
                        (1, 1),
                        (2, 0),
                        (1, -1),
                        (2, -1),
                        (3, -1),
                        (1, 2),
                        (2, 2),
                        (4, 0),
                        (0, 1),
                        (0, 2),
                    )
                )
    elif name == "fork":
        yield from ((s, n) for s in sequences for n in (-3, 0, 1, 3))
    elif name == "publish":
        if any(r.prompt_names for r in ledger.requests):
            for s in sequences:
                entries = len(ledger.sequences[int(s[1:]) - 1].table)
                yield from ((s, index) for index in range(-1, entries + 1))
    elif name == "publish_run":
        if any(r.prompt_names for r in ledger.requests):
            for s in sequences:
                entries = len(ledger.sequences[int(s[1:]) - 1].table)
                yield from ((s, f, e) for f in range(-1, 2) for e in range(-1, entries + 2))
    elif name in ("evict", "unlist", "hold_block", "release_block"):
        if any(r.prompt_names for r in ledger.requests):
            names = {n for r in ledger.requests for n in r.prompt_names}
            yield from ((n,) for n in sorted({0, *names} - set(ledger.cached)))
        if name == "release_block":
            yield from ((n,) for n, block in sorted(ledger.cached.items()) if not block.readers)
    elif name == "admit_cached":
        for r in requests:
            if ledger.requests[int(r[1:]) - 1].prompt_names:
                yield from ((r, n) for n in range(-1, bounds.max_model_len + 1))
    elif name == "rejoin":
        yield from ((s, n) for s in sequences for n in (-2, 0, 1, 2, 3, 4))
    elif name in (
        "admit",
        "swap_out",
        "swap_in",
        "recompute",
        "discard_swapped",
        "fail_copy",
        "finish",
        "abort",
        "reject",
    ):
        yield from ((r,) for r in requests)
