# pyright: basic
"""Recorded steps give the tokens of launched ones, under any pool, order and shortage."""

from __future__ import annotations

import gc
import inspect
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from served import BASE, GREEDY, MEMORY_PRESSURE, SAMPLED, expected, made, model, prompts, tokens
from stand_ins import DelayedStreams, RecordedGraphs
from token_parity import reference_tokens

from lineclear_gpu import steps
from lineclear_gpu.batch import Batch
from lineclear_gpu.book import Book
from lineclear_gpu.buckets import Field
from lineclear_gpu.graphs import Graphs, Recorded
from lineclear_gpu.llm import LLM
from lineclear_gpu.model import load_model
from lineclear_gpu.paged import Paged
from lineclear_gpu.reserve import reserve


def recorded(seed: int = 0, chosen: Any = None, **changes: Any) -> LLM:
    """Like `made`, with every recordable step recorded."""
    return made_with(RecordedGraphs(), seed, chosen, **changes)


def made_with(graphs: Graphs, seed: int, chosen: Any, **changes: Any) -> LLM:
    fuse = changes.pop("fuse", None)
    return LLM(
        chosen or model(),
        streams=DelayedStreams(seed=seed),
        verify=True,
        seed=3,
        attention=Paged(),
        graphs=graphs,
        fuse=fuse,
        **{**BASE, **changes},
    )


@pytest.mark.parametrize(("mode", "depth"), [("swap", 2), ("recompute", 1), ("auto", 2)])
def test_memory_pressure_gives_the_tokens_of_generate(mode: str, depth: int) -> None:
    llm = recorded(
        depth,
        **MEMORY_PRESSURE,
        max_steps_in_flight=depth,
        preemption_mode=mode,
        swap_threshold=24,
    )
    found = llm.generate(prompts(), GREEDY)
    assert [each[0] for each in tokens(found)] == expected(), f"mode {mode}, depth {depth}"
    assert llm.engine.scheduler.counters.preemptions.total() >= 2
    assert llm.runner.replayed > 40
    assert llm.runner.eager == 0
    hazards = llm.engine.executor.hazards
    assert hazards is not None
    assert hazards.checked > 0 or mode == "recompute"  # one stream orders itself


def test_steps_with_chunks_are_recorded_unless_switched_off() -> None:
    for record, launched in ((True, False), (False, True)):
        changes: dict[str, Any] = {} if record else {"record_chunks": False}
        llm = LLM(
            model(), seed=3, attention=Paged(), graphs=RecordedGraphs(), **{**BASE, **changes}
        )
        assert [each[0] for each in tokens(llm.generate(prompts(), GREEDY))] == expected()
        assert llm.runner.replayed > 20
        assert bool(llm.runner.eager) == launched
    chunks = inspect.signature(reserve).parameters["chunks"]
    assert chunks.default is True  # the memory of what is recorded by default is kept by default


@pytest.mark.parametrize("most", [64, 80])
def test_as_many_rows_as_tokens_and_more_rows_than_tokens(most: int) -> None:
    """Steps of 64 tokens, where 64 or 80 rows may run: chunks are not mistaken for decodes."""
    llm = recorded(max_num_seqs=most, num_gpu_blocks=400)
    assert llm.runner.steps is not None
    assert llm.runner.steps.mixed is not None
    assert 64 in llm.runner.steps.mixed.sizes
    found = llm.generate(prompts()[:2], GREEDY) + llm.generate(prompts()[2:4], GREEDY)
    assert [each[0] for each in tokens(found)] == expected()[:4]
    assert llm.runner.eager == 0


def test_sampled_tokens_and_branches_are_those_of_launched_steps() -> None:
    wanted = tokens(made().generate(prompts(), SAMPLED))
    llm = recorded(1, **MEMORY_PRESSURE, max_steps_in_flight=2, preemption_mode="swap")
    assert tokens(llm.generate(prompts(), SAMPLED)) == wanted
    assert llm.runner.replayed > llm.runner.eager


@pytest.mark.parametrize("name", ["tiny-qwen3", "tiny-mistral", "tiny-gemma2", "tiny-gemma3"])
def test_other_models_fused_and_recorded(name: str) -> None:
    chosen = load_model(name)
    wanted = reference_tokens(chosen, prompts()[:6], 12)
    llm = recorded(
        2, chosen, num_gpu_blocks=13, preemption_mode="swap", max_steps_in_flight=2, fuse=True
    )
    assert llm.model.fused
    params = type(GREEDY)(max_tokens=12, temperature=0, ignore_eos=True)
    assert [each[0] for each in tokens(llm.generate(prompts()[:6], params))] == wanted
    assert llm.runner.replayed
    assert reference_tokens(chosen, prompts()[:2], 12) == wanted[:2]  # by the library's own code


def test_lanes_beyond_those_that_were_recorded_record_anew() -> None:
    llm = recorded()
    before = llm.runner.steps
    llm.runner._remember(2 * len(llm.runner.newest), llm.runner.newest)
    assert llm.runner.steps is not before
    assert [each[0] for each in tokens(llm.generate(prompts(), GREEDY))] == expected()


def test_what_fills_a_bucket_up_touches_the_spare_block_alone() -> None:
    llm = recorded()
    pool = llm.pool
    pool.whole.fill_(7.0)
    llm.generate(prompts()[:3], GREEDY)  # 3 rows in a bucket of 4
    assert llm.runner.replayed
    spare = pool.whole[pool.trash]
    assert bool((spare != 7.0).any())
    held = {int(block) for block in np.unique(llm.engine.book.tables)}
    untouched = [block for block in range(pool.num_gpu_blocks) if block not in held]
    assert len(untouched) > 100
    assert bool((pool.gpu[untouched] == 7.0).all())
    assert pool.trash == llm.config.num_gpu_blocks  # no plan can name it
    with pytest.raises(IndexError):
        llm.engine.executor.transfer.out([(pool.trash, 0)])


@pytest.mark.parametrize(("field", "filling"), [("slots", 200 * 8), ("lanes", 16)])
def test_a_filling_that_belongs_to_a_sequence_is_seen(
    field: str, filling: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks the guard itself: padding is stored into a sequence's block."""
    own = Field

    def wrong(dtype: Any, given: int, *more: Any, **named: Any) -> Any:
        return own(dtype, 0 if given == filling else given, *more, **named)

    monkeypatch.setattr(steps, "Field", wrong)
    llm = recorded(max_steps_in_flight=2)  # a step needs a token that only the device has
    assert llm.runner.steps is not None
    assert llm.runner.steps.decodes.fields[field].filling == 0
    found = llm.generate(prompts()[:3], GREEDY)
    assert [each[0] for each in tokens(found)] != expected()[:3]


def test_a_step_of_those_that_simply_go_on_is_the_same_made_quickly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick = Book._decode_batch
    compared: list[int] = []

    def both(self: Book, plan: Any, lanes: Any) -> Batch:
        before = self.num_dispatched_tokens.copy()
        found = quick(self, plan, lanes)
        after, self.num_dispatched_tokens = self.num_dispatched_tokens, before
        wanted = self._any_batch(plan, lanes)
        assert np.array_equal(after, self.num_dispatched_tokens)
        for each in fields(Batch):
            one, other = getattr(found, each.name), getattr(wanted, each.name)
            assert one is other is None or np.array_equal(one, other), each.name
        compared.append(len(lanes))
        return found

    monkeypatch.setattr(Book, "_decode_batch", both)
    made(2, **MEMORY_PRESSURE, max_steps_in_flight=2, preemption_mode="swap").generate(
        prompts(), GREEDY
    )
    assert len(compared) > 20


# ---- what cannot be recorded ----------------------------------------------------------------------


class Refuses(Graphs):
    """Records nothing."""

    def _record(self, work: Any) -> Recorded:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")


def test_a_model_that_cannot_be_recorded_runs_launch_by_launch_and_says_why() -> None:
    llm = made_with(Refuses(), 0, None)
    assert llm.recorded == (
        "the host launches every kernel: operation not permitted when stream is capturing"
    )
    assert [each[0] for each in tokens(llm.generate(prompts(), GREEDY))] == expected()
    assert llm.runner.replayed == 0


def test_other_attention_is_not_recorded_and_says_why() -> None:
    llm = LLM(model(), graphs=RecordedGraphs(), **BASE)
    assert "gather attention reads lengths on the host" in llm.recorded
    assert "it was not requested" in LLM(model(), **BASE).recorded


def test_a_step_that_is_too_large_runs_launch_by_launch() -> None:
    llm = recorded(max_num_batched_tokens=96)
    assert llm.runner.steps is not None
    assert llm.runner.steps.mixed is not None
    llm.runner.steps.mixed.sizes = [64]
    assert [each[0] for each in tokens(llm.generate(prompts(), GREEDY))] == expected()
    assert llm.runner.eager
    assert llm.runner.replayed


class Watches(RecordedGraphs):
    """Notes whether garbage may be collected while work is recorded; the last record fails."""

    def __init__(self, fails: bool) -> None:
        self.fails = fails
        self.enabled: list[bool] = []
        self.freed = 0

    def _record(self, work: Any) -> Recorded:
        self.enabled.append(gc.isenabled())
        if self.fails:
            raise RuntimeError("operation failed due to a previous error during capture")
        made = super()._record(work)

        def free() -> None:
            self.freed += 1
            made.free()

        return Recorded(made.replay, made.out, free)


@pytest.mark.parametrize("fails", [False, True])
def test_no_garbage_is_collected_while_steps_are_recorded(fails: bool) -> None:
    graphs = Watches(fails)
    assert gc.isenabled()
    made_with(graphs, 0, None)
    assert graphs.enabled
    assert not any(graphs.enabled)
    assert gc.isenabled()
    gc.disable()
    try:
        made_with(graphs, 0, None)
        assert not gc.isenabled()  # it stays as it was
    finally:
        gc.enable()


def test_closing_frees_what_is_recorded_at_once() -> None:
    graphs = Watches(False)
    llm = made_with(graphs, 0, None)
    steps = llm.runner.steps
    assert steps is not None
    recorded = [made for each in steps.buckets() for made in each._recorded.values()]
    assert len(recorded) == len(graphs.enabled) > 5
    llm.close()
    assert graphs.freed == len(recorded)
    assert not any(each._recorded or each._layouts for each in steps.buckets())
    assert llm.recorded == "the host launches every kernel: its recorded steps were freed"
    # Lanes that grow replace the recorded steps: those of before are freed, too.
    llm = made_with(graphs, 0, None)
    graphs.freed = 0
    llm.runner._remember(2 * len(llm.runner.newest), llm.runner.newest)
    assert graphs.freed == len(recorded)
