"""The stateful test of the scheduler with prefix caching: prompts begin as earlier sequences do.

Tokens are numbers that no two sequences draw, so a prompt that begins with tokens of another sequence has
its whole beginning, and a read of any other content shows on the device. Outputs are named as they are
kept; what is named is given by the device's record of a sequence alone.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

pytest.importorskip("hypothesis")

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test
from scheduler_machine import CONFIGS, REQUESTS, SIZE, TOTALS, Machine, World

from lineclear.config import Config
from lineclear.kv_events import CacheMirror
from lineclear.prefix_names import PrefixNames
from lineclear.request import InvalidRequest, Request
from lineclear.scheduling.prefix_cache import PrefixCache
from lineclear.testing.device import WrongContent
from lineclear.testing.orders import ORDERS
from lineclear_spec.actions import ACTIONS
from lineclear_spec.records import Refused

#: Tokens of sequences that a prompt may begin with.
REMEMBERED = 4


class CachingWorld(World):
    """Scheduler, device, model and names. The oracle does not know prefix caching, and judges nothing."""

    def __init__(self, config: Config, seed: int, order: str = "random") -> None:
        super().__init__(config, seed, order=order)
        self.bench.judge = None
        self.names = PrefixNames(SIZE, self.scheduler.ledger.cached)
        self.said: list[list[int]] = []
        self.mirror = CacheMirror()
        self.scheduler.watch_prefix_cache(self.mirror)

    def add(self, prompt: int, most: int, n: int, priority: int, name: int) -> None:
        draw = self.random
        begin: list[int] = []
        if self.said and draw.random() < 0.8:
            begin = draw.choice(self.said)[: draw.randint(prompt // 2, prompt)]
        tokens = begin + [self.device.token() for _ in range(prompt - len(begin))]
        request = Request(
            request_id=name, prompt_tokens=prompt, max_tokens=most, n=n, priority=priority,
            prefix_names=self.names.of(tokens) if draw.random() < 0.9 else (),
        )  # fmt: skip
        if name in self.live:
            with pytest.raises(InvalidRequest):
                self.scheduler.add(request)
            return
        self.bench.add(request, tokens)
        self.remember(tokens)

    def remember(self, tokens: list[int]) -> None:
        self.said = [*self.said[1 - REMEMBERED :], [*tokens]]

    def commit(self) -> None:
        super().commit()
        for name, live in self.live.items():
            entry = self.scheduler.entries[name]
            for sequence in entry.record.members:
                words, branch = sequence.words, live.branches[entry.branch(sequence)]
                full = len(branch.tokens) // SIZE
                if (words or live.request.prefix_names) and len(words) < full:
                    tokens = branch.tokens[len(words) * SIZE : full * SIZE]
                    self.name(
                        name, len(words), self.names.of(tokens, words), entry.branch(sequence)
                    )
                    self.remember(branch.tokens)

    def name(self, name: Any, first: int, names: tuple[int, ...], branch: int) -> None:
        self.scheduler.name_blocks(name, first, names, branch)

    def check(self) -> None:
        super().check()
        assert self.mirror.names == {*self.scheduler.ledger.cached}


class CachingMachine(Machine):
    """The same rules with prefix caching, and resets."""

    world: CachingWorld

    @initialize(
        config=CONFIGS,
        caching=st.sampled_from(["all", "all", "prompt"]),
        seed=st.integers(0, 1 << 16),
        first=st.lists(REQUESTS, min_size=6, max_size=10),
        order=st.sampled_from(list(ORDERS)),
    )
    def start(  # type: ignore[override]
        self,
        config: Config,
        caching: str,
        seed: int,
        first: list[tuple[int, int, int, int, int]],
        order: str,
    ) -> None:
        from dataclasses import replace

        self.world = CachingWorld(replace(config, prefix_caching=caching), seed, order)
        for request in first:
            self.world.add(*request)
        for _ in range(4):
            self.turn(True)

    @rule(likely=st.integers(0, 3))
    def reset(self, likely: int) -> None:
        if likely == 0:
            self.world.scheduler.reset_prefix_cache()
            self.world.check()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            world = self.world
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
    rare = {"rejoin", "discard_swapped", "fail_copy", "carry"}
    assert set(ACTIONS) - rare <= set(totals)


class EarlyWorld(CachingWorld):
    """Names a block whose last token is not known, with a guess."""

    def commit(self) -> None:
        super().commit()
        for name, live in self.live.items():
            entry = self.scheduler.entries[name]
            words, tokens = (
                entry.first.words,
                live.branches[0].tokens if 0 in live.branches else [],
            )
            if live.request.n == 1 and words and len(tokens) == (len(words) + 1) * SIZE - 1:
                guess = self.device.token()
                block = [*tokens[len(words) * SIZE :], guess]
                self.name(name, len(words), self.names.of(block, words), 0)
                self.remember([*tokens, guess])


def test_names_that_are_given_too_early_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.CachingWorld", EarlyWorld)
    with pytest.raises(WrongContent, match="its own there is"):
        run(CachingMachine, 200, plain=True)


def test_an_eviction_of_blocks_that_are_about_to_be_shared_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free_up = PrefixCache.free_up
    monkeypatch.setattr(PrefixCache, "free_up", lambda self, count, _=(): free_up(self, count))
    with pytest.raises(Refused, match="every block to share can be found"):
        run(CachingMachine, 200, plain=True)
