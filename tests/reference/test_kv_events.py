"""The stream of a cache's events gives the state of the cache, and is read as vLLM's events are."""

# pyright: basic

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cache_mirror import CacheMirror
from hypothesis import given
from hypothesis import strategies as st
from named_requests import config, step

from lineclear.cli import main
from lineclear.config import EVICTION
from lineclear.kv_events import Cleared, KVEventLog, Removed, Stored, written
from lineclear.monitor.audit import audit
from lineclear.prefix_names import PrefixNames
from lineclear.request import Request
from lineclear.scheduler import Scheduler

#: Prompts, which begin alike.
PROMPTS = ([1, 1, 2, 2, 3, 3, 4], [1, 1, 2, 2, 5, 5, 5, 5], [1, 1, 2], [7, 7, 7, 7, 7, 7])
CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(PROMPTS), st.integers(1, 6), st.integers(1, 2)),
        st.tuples(st.just("step")),
        st.tuples(st.just("step")),
        st.tuples(st.just("abort"), st.integers(0, 3)),
        st.tuples(st.just("reset")),
        st.tuples(st.just("hold"), st.integers(0, 9)),
    ),
    max_size=40,
)


class Driven:
    """A scheduler with a small pool, its events, and a mirror of its cache."""

    def __init__(self, blocks: int = 9, asked: bool = False, **settings: Any) -> None:
        self.scheduler = Scheduler(config(num_gpu_blocks=blocks, max_model_len=14, **settings))
        self.readers: list[int] = []
        self.names = PrefixNames(2, self.scheduler.ledger.cached, meanings=True)
        times = count()
        self.log = KVEventLog(self.names, lambda: float(next(times)))
        self.mirror = CacheMirror()
        self.batches: list[list[Any]] = []
        self.made = 0
        self.tokens: dict[int, list[int]] = {}
        self.asked = asked
        if asked:
            self.scheduler.ask_for_names(self.following)

        def receive(event: Any) -> None:
            self.mirror(event)
            self.log(event)

        self.scheduler.watch_prefix_cache(receive)

    def following(self, name: Any, branch: int, names: tuple[int, ...]) -> tuple[int, ...]:
        """Of all full blocks; outputs are zeros."""
        entry = self.scheduler.entries[name]
        (sequence,) = [each for each in entry.record.members if entry.branch(each) == branch]
        tokens = [*self.tokens[name], *[0] * 20][: self.scheduler.ledger.num_tokens(sequence)]
        return self.names.of(tokens[len(names) * 2 :], names)

    def call(self, kind: str, *arguments: Any) -> None:
        scheduler = self.scheduler
        if kind == "add":
            prompt, most, n = arguments
            self.made += 1
            self.tokens[self.made] = [*prompt]
            scheduler.add(
                Request(
                    request_id=self.made,
                    prompt_tokens=len(prompt),
                    max_tokens=most,
                    n=n,
                    prefix_names=self.names.of(prompt),
                )
            )
        elif kind == "step":
            step(scheduler)
            for entry in scheduler.entries.values():  # outputs are zeros
                sequence, known = entry.first, scheduler.ledger.num_tokens(entry.first)
                names, prompt = sequence.block_names, self.tokens[int(str(entry.request_id))]
                tokens = [*prompt, *[0] * 20][:known]
                more = self.names.of(tokens[len(names) * 2 :], names)
                if not self.asked:
                    scheduler.name_blocks(entry.request_id, len(names), more)
        elif kind == "reset":
            scheduler.reset_prefix_cache()
        elif kind == "hold":
            found = [*scheduler.ledger.cached]
            if len(self.readers) > 2 or not found:
                for name in self.readers:
                    scheduler.let_go(name)
                self.readers = []
            elif scheduler.hold(name := found[arguments[0] % len(found)]) is not None:
                self.readers.append(name)
        elif scheduler.entries:
            live = [*scheduler.entries]
            scheduler.abort(live[arguments[0] % len(live)])
        self.batches.append(self.log.take())
        audit(scheduler)


@given(CALLS, st.sampled_from(EVICTION), st.booleans(), st.booleans())
def test_the_events_give_the_state_of_the_cache(
    calls: list[tuple[Any, ...]], eviction: str, wait: bool, asked: bool
) -> None:
    driven = Driven(asked=asked, prefix_eviction=eviction, wait_for_prefix=wait)
    for call in calls:
        driven.call(*call)
        cache = driven.scheduler.cache
        assert driven.mirror.names == {*driven.scheduler.ledger.cached} - cache.forgotten


def busy() -> Driven:
    """A run in which blocks are stored, evicted and cleared."""
    driven = Driven(12)
    for k in range(14):
        driven.call("add", PROMPTS[k % 4], 1 + k % 4, 1)
        driven.call("step")
        if k == 9:
            driven.call("reset")
    return driven


def test_events_have_the_shape_of_vllms() -> None:
    driven = busy()
    events = [event for _, batch in driven.batches for event in batch]
    assert {event["type"] for event in events} == {
        "BlockStored", "BlockRemoved", "AllBlocksCleared",
    }  # fmt: skip
    stored = [event for event in events if event["type"] == "BlockStored"]
    first = stored[0]
    assert first["token_ids"] == [1, 1, 2, 2, 3, 3]
    assert first["parent_block_hash"] is None
    assert first["block_size"] == 2
    assert len(first["block_hashes"]) == len(first["extra_keys"]) == 3
    # A block that others have stored is the parent of what follows it.
    assert any(event["parent_block_hash"] in first["block_hashes"] for event in stored[1:])
    parents: dict[int, list[int]] = {}
    for event in stored:  # the tokens of a chain are those of a prompt and of zeros behind it
        before = parents.get(event["parent_block_hash"] or 0, [])
        for k, name in enumerate(event["block_hashes"]):
            before = [*before, *event["token_ids"][2 * k : 2 * k + 2]]
            parents[name] = before
            assert any([*prompt, *[0] * 9][: len(before)] == before for prompt in PROMPTS)


def test_salts_are_sent_as_keys() -> None:
    scheduler = Scheduler(config())
    names = PrefixNames(2, scheduler.ledger.cached, meanings=True)
    log = KVEventLog(names, lambda: 1.0)
    scheduler.watch_prefix_cache(log)
    scheduler.add(
        Request(
            request_id=1, prompt_tokens=5, max_tokens=1, prefix_names=names.of([1] * 5, extra="s")
        )
    )
    step(scheduler)
    (event,) = log.take()[1]
    assert event["extra_keys"] == [["s"], None]
    with pytest.raises(ValueError, match="meanings=True"):
        KVEventLog(PrefixNames(2), lambda: 1.0)


def conformed(tmp_path: Path, batches: list[list[Any]]) -> int:
    path = tmp_path / "events.jsonl"
    path.write_text(written(batches))
    return main(["conform", str(path)])


def test_conform_reads_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batches = busy().batches
    assert conformed(tmp_path, batches) == 0
    said = capsys.readouterr().out
    assert "vLLM KV cache events" in said


def lost(batches: list[list[Any]], kind: str) -> list[list[Any]]:
    """Without the first event of a kind, of blocks that are evicted later."""
    copied: list[list[Any]] = json.loads(json.dumps(batches))
    events_sent = [event for _, events in copied for event in events]
    gone = {
        n
        for event in events_sent
        if event["type"] == "BlockRemoved"
        for n in event["block_hashes"]
    }
    for _, events in copied:
        for event in events:
            if event["type"] == kind and gone.intersection(event.get("block_hashes", gone)):
                events.remove(event)
                return copied
    raise AssertionError(kind)


def test_a_lost_event_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batches = busy().batches
    assert conformed(tmp_path, lost(batches, "BlockStored")) == 1
    assert "is evicted, but it is not published under" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda event: () if isinstance(event, Removed) else (event,), "stored already|is not"),
        (lambda event: (event, event) if isinstance(event, Stored) else (event,), "already"),
        (lambda event: (event, event) if isinstance(event, Removed) else (event,), "not stored"),
        (lambda event: () if isinstance(event, Cleared) else (event,), "stored already|is not"),
    ],
)
def test_a_wrong_stream_is_noticed_by_the_mirror(fault: Callable[[Any], Any], said: str) -> None:
    driven = Driven(12)
    mirror = CacheMirror()

    def receive(event: Any) -> None:
        for each in fault(event):
            mirror(each)

    driven.scheduler.watch_prefix_cache(receive)
    with pytest.raises(ValueError, match=said):  # noqa: PT012
        for k in range(30):
            driven.call("add", PROMPTS[k % 4], 1 + k % 4, 1)
            driven.call("step")
            if k == 9:
                driven.call("reset")
            if mirror.names != {*driven.scheduler.ledger.cached}:
                raise ValueError("the mirror is not the cache")
