"""The stateful test of the scheduler with prefix caching: prompts begin as earlier sequences do.

Tokens are numbers that no two sequences draw, so a prompt that begins with tokens of another sequence has
its whole beginning, and a read of any other content shows on the device. Outputs are named as they are
kept; what is named is given by the device's record of a sequence alone.
"""

# pyright: basic

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import pytest

pytest.importorskip("hypothesis")

from cache_faults import evict_what_is_held, evict_what_is_shared
from cache_mirror import CacheMirror
from device_orders import ORDERS
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test
from scheduler_machine import CONFIGS, REQUESTS, SIZE, TOTALS, Machine, World

from lineclear.config import EVICTION, Config
from lineclear.prefix_names import PrefixNames
from lineclear.request import InvalidRequest, Request
from lineclear.testing.device import WrongContent
from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel.records import Refused

#: Tokens of sequences that a prompt may begin with.
REMEMBERED = 4


class CachingWorld(World):
    """Scheduler, device, model and names. The oracle knows no holds, and judges nothing.

    The journal is not replayed for the theorem of KV: there a name means tokens of its own, and names of
    branches that share the first tokens of a block would not. What is read is compared on the device.
    """

    replays = False

    def __init__(
        self, config: Config, seed: int, order: str = "random", asked: bool = False
    ) -> None:
        super().__init__(config, seed, order=order)
        self.bench.judge = None
        self.names = PrefixNames(SIZE, self.scheduler.ledger.cached)
        self.said: list[list[int]] = []
        self.late: set[int] = set()
        self.readers: list[tuple[int, tuple[int, list[Any]]]] = []
        self.mirror = CacheMirror()
        self.scheduler.watch_prefix_cache(self.mirror)
        self.asked = asked
        if asked:
            self.scheduler.ask_for_names(self.following)

    def add(self, prompt: int, most: int, n: int, priority: int, name: int) -> None:
        draw = self.random
        begin = self.guess(prompt)
        if not begin and self.said and draw.random() < 0.8:
            begin = draw.choice(self.said)[: draw.randint(prompt // 2, prompt)]
        tokens = begin + [self.device.token() for _ in range(prompt - len(begin))]
        given = self.names.of(tokens) if draw.random() < 0.8 else ()
        request = Request(
            request_id=name, prompt_tokens=prompt, max_tokens=most, n=n, priority=priority,
            prefix_names=given,
        )  # fmt: skip
        if name in self.live:
            with pytest.raises(InvalidRequest):
                self.scheduler.add(request)
            return
        self.bench.add(request, tokens)
        self.late.discard(name)
        if not given and draw.random() < 0.5:
            self.late.add(name)  # its prompt gets names when it has run, whatever has become of it
        self.remember(tokens)

    def guess(self, _: int) -> list[int]:
        """What a prompt begins with, whatever was said; nothing but in a world with a fault."""
        return []

    def remember(self, tokens: list[int]) -> None:
        self.said = [*self.said[1 - REMEMBERED :], [*tokens]]

    def commit(self) -> None:
        super().commit()
        for name, live in self.live.items():
            entry = self.scheduler.entries[name]
            for sequence in entry.record.members:
                words, branch = sequence.block_names, live.branches[entry.branch(sequence)]
                full = len(branch.tokens) // SIZE
                of_prompt = len(words) < live.request.prompt_tokens // SIZE
                if self.asked and not of_prompt:
                    continue
                named = words or live.request.prefix_names or name in self.late
                if named and len(words) < full:
                    tokens = branch.tokens[len(words) * SIZE : full * SIZE]
                    self.remember(branch.tokens)
                    given = self.names.of(tokens, words)
                    self.name(name, len(words), given, entry.branch(sequence))

    def name(self, name: Any, first: int, names: tuple[int, ...], branch: int) -> None:
        self.scheduler.name_blocks(name, first, names, branch)

    def following(self, name: Any, branch: int, words: tuple[int, ...]) -> tuple[int, ...]:
        """Names of what the model knows of a branch, if the request has names."""
        live = self.live.get(name)
        found = None if live is None else live.branches.get(branch)
        if found is None or live is None:
            return ()
        if not (words or live.request.prefix_names or name in self.late):
            return ()
        full = len(found.tokens) // SIZE * SIZE
        self.remember(found.tokens)
        return self.names.of(found.tokens[len(words) * SIZE : full], words)

    def hold(self) -> None:
        """A reader holds a block, or lets one go."""
        scheduler, draw = self.scheduler, self.random
        names = [*scheduler.ledger.cached]
        if self.readers and draw.random() < 0.5:
            name, _ = self.readers.pop(draw.randrange(len(self.readers)))
            scheduler.let_go(name)
        elif names and len(self.readers) < 3:
            name = draw.choice(names)
            place = scheduler.hold(name)
            assert (place is None) == (name in scheduler.cache.forgotten)
            if place is not None:
                self.readers.append((name, (place, self.content(place))))

    def content(self, place: int) -> list[Any]:
        """What the device has in a block."""
        return [self.device.content.get(("gpu", place, k), (None,))[0] for k in range(SIZE)]

    def let_all_go(self) -> None:
        for name, _ in self.readers:
            self.scheduler.let_go(name)
        self.readers = []

    def check(self) -> None:
        super().check()
        cache = self.scheduler.cache
        assert self.mirror.names == {*self.scheduler.ledger.cached} - cache.forgotten
        for name, (place, content) in self.readers:  # what is read stays where it is, as it is
            assert self.scheduler.ledger.cached[name].block_id == place
            assert self.content(place) == content


class CachingMachine(Machine):
    """The same rules with prefix caching, and resets."""

    world: CachingWorld

    @initialize(
        config=CONFIGS,
        caching=st.sampled_from(["all", "all", "prompt"]),
        eviction=st.sampled_from(EVICTION),
        wait=st.booleans(),
        seed=st.integers(0, 1 << 16),
        first=st.lists(REQUESTS, min_size=6, max_size=10),
        order=st.sampled_from(list(ORDERS)),
        asked=st.booleans(),
    )
    def start(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        config: Config,
        caching: str,
        eviction: str,
        wait: bool,
        seed: int,
        first: list[tuple[int, int, int, int, int]],
        order: str,
        asked: bool,
    ) -> None:
        from dataclasses import replace

        config = replace(
            config, prefix_caching=caching, prefix_eviction=eviction, wait_for_prefix=wait
        )
        self.world = CachingWorld(config, seed, order, asked)
        for request in first:
            self.world.add(*request)
        for _ in range(4):
            self.turn(True)

    @rule()
    def hold(self) -> None:
        self.world.hold()
        self.world.check()

    @rule(likely=st.integers(0, 3))
    def reset(self, likely: int) -> None:
        if likely == 0:
            self.world.scheduler.reset_prefix_cache()
            self.world.check()

    def teardown(self) -> None:
        if (
            hasattr(self, "world") and sys.exc_info()[0] is None
        ):  # else another error would hide it
            world = self.world
            TOTALS["held"] += len(world.readers)
            world.let_all_go()  # or nothing might end: progress presumes it
            for _ in range(600):
                if not world.live and not world.flights:
                    break
                world.complete(len(world.copies), failing=False)
                self.turn(True)
            world.scheduler.reset_prefix_cache()  # nothing rests any more
            counters = world.scheduler.counters
            TOTALS["tokens found"] += counters.prefix_hits
            super().teardown()


def run(kind: type[Machine], examples: int, *, plain: bool = False) -> Counter[str]:
    """Runs examples; `plain`: a failure is not shrunk, which takes minutes."""
    TOTALS.clear()
    phases = (Phase.generate,) if plain else tuple(Phase)
    chosen = settings(
        max_examples=examples,
        stateful_step_count=40,
        phases=phases,
        report_multiple_bugs=not plain,
    )
    run_state_machine_as_test(kind, settings=chosen)
    return TOTALS


@pytest.mark.slow
def test_every_call_keeps_every_invariant_with_shared_blocks() -> None:
    totals = run(CachingMachine, 60)
    assert totals["issue_step"] > 1000
    per_step = {name: 100 * totals[name] / totals["issue_step"] for name in totals}
    floors = {
        "publish": 20.0,
        "admit_cached": 3.0,
        "evict": 5.0,
        "unlist": 0.5,
        "tokens found": 2.0,
    }
    assert {name: per_step[name] for name, floor in floors.items() if per_step[name] < floor} == {}
    rare = {"rejoin", "discard_swapped", "fail_copy", "dispatch_copies"}
    assert set(ACTIONS) - rare <= set(totals)
    assert totals["held"] > 5


class EarlyWorld(CachingWorld):
    """Names a block whose last token is not known, with a guess."""

    def commit(self) -> None:
        super().commit()
        for name, live in self.live.items():
            entry = self.scheduler.entries[name]
            words, tokens = (
                entry.first.block_names,
                live.branches[0].tokens if 0 in live.branches else [],
            )
            if live.request.n == 1 and words and len(tokens) == (len(words) + 1) * SIZE - 1:
                guess = self.device.token()
                block = [*tokens[len(words) * SIZE :], guess]
                self.name(name, len(words), self.names.of(block, words), 0)
                self.guesses = [*getattr(self, "guesses", [])[-3:], [*tokens, guess]]

    def guess(self, prompt: int) -> list[int]:
        found = [tokens for tokens in getattr(self, "guesses", []) if len(tokens) < prompt]
        return self.random.choice(found) if found and self.random.random() < 0.7 else []


def test_names_that_are_given_too_early_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.CachingWorld", EarlyWorld)
    with pytest.raises(WrongContent, match="its own there is"):
        run(CachingMachine, 200, plain=True)


def test_an_eviction_of_what_is_held_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    evict_what_is_held(monkeypatch)
    with pytest.raises((KeyError, AssertionError, Refused)):
        run(CachingMachine, 200, plain=True)


def test_an_eviction_of_blocks_that_are_about_to_be_shared_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evict_what_is_shared(monkeypatch)
    with pytest.raises(Refused, match="every block to share can be found"):
        run(CachingMachine, 200, plain=True)
