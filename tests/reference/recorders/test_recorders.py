"""transformers' continuous batching, recorded while it runs unmodified under a starved pool.

What is asserted is that runs end and that the log says what happened. Whether it keeps the rules is
the engine's affair, and no test of ours.
"""

from __future__ import annotations

import logging
from collections import Counter
from importlib.metadata import version
from random import Random
from typing import Any

import pytest

from lineclear.conform import Checker
from lineclear.recorders import Hooks, MissingHook, TransformersRecorder
from lineclear.recorders.transformers_batching import WRITTEN_FOR, header_of

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
INSTALLED = version("transformers")
PINNED = pytest.mark.skipif(
    INSTALLED != WRITTEN_FOR,
    reason=f"transformers {INSTALLED}: the recorder was written for {WRITTEN_FOR}",
)


@pytest.fixture(scope="module")
def manager() -> Any:
    """A manager of a random model with four letters, six blocks and eight tokens a step."""
    import transformers as library
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    hf: Any = library
    logging.getLogger("ContinuousBatchingLogger").setLevel(logging.CRITICAL)
    config = hf.LlamaConfig(
        vocab_size=4,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        max_position_embeddings=64,
        attn_implementation="sdpa",
    )
    model = hf.LlamaForCausalLM(config)
    model.eval()
    generation = hf.GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0)
    sizes = ContinuousBatchingConfig(
        page_size=4,
        num_blocks=6,
        max_batch_tokens=8,
        use_cuda_graph=False,
        use_async_batching=False,
    )
    made = model.init_continuous_batching(
        generation_config=generation, continuous_batching_config=sizes
    )
    made.batch_processor = made._create_batch_processor()
    return made


def drive(manager: Any, seed: int, requests: int) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Events of one workload, and the tokens that each request got."""
    processor, events, got = manager.batch_processor, list[dict[str, Any]](), dict[str, int]()
    processor.reset()
    processor.cache.free_all_requests(clear_ledgers=True)
    processor.cache.pool.reset()
    recorder = TransformersRecorder(processor, events.append)
    random = Random(seed)
    for number in range(requests):
        prompt = [random.randrange(2) for _ in range(random.randint(1, 9))]
        manager.add_request(prompt, request_id=f"r{number}", max_new_tokens=random.randint(1, 8))
    for _ in range(200):
        if processor.prepare_next_batch():
            manager._generation_step()
            processor.update_batch()
        elif not processor.has_pending_requests():
            break
    recorder.detach()
    while (output := manager.get_result(timeout=0)) is not None:
        got[output.request_id] = len(output.generated_tokens)
    return events, got


@PINNED
def test_a_run_ends_and_its_log_says_what_happened(manager: Any) -> None:
    kinds: Counter[str] = Counter()
    for seed in range(2):
        events, got = drive(manager, seed, 6)
        checker = Checker(header_of(manager.batch_processor, INSTALLED))
        checker.run(events)  # what it finds is not asserted
        kinds += checker.counts
        assert checker.standings()
        samples: Counter[str] = Counter()
        for event in events:
            if event["e"] == "step":
                samples.update({row[0]: row[3] for row in event["rows"]})
        assert samples == got
        assert events[-1] == {"e": "idle"}
        assert {e["r"] for e in events if e["e"] == "submit"} == set(got)
        assert {e["r"] for e in events if e["e"] == "finish"} == set(got)
    assert min(kinds[kind] for kind in ("submit", "alloc", "free", "step", "settle", "check")) > 8


@PINNED
def test_the_engine_is_as_it_was_when_the_recorder_is_gone(manager: Any) -> None:
    processor: Any = manager.batch_processor

    def attributes() -> tuple[set[str], set[str]]:
        return set(processor.__dict__), set(processor.scheduler.__dict__)

    before = attributes()
    recorder = TransformersRecorder(processor, lambda event: None)
    assert "update_batch" in processor.__dict__
    recorder.detach()
    assert attributes() == before


@PINNED
def test_a_hook_that_is_gone_fails_by_its_name(
    manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor: Any = manager.batch_processor
    monkeypatch.delattr(processor.__class__, "update_batch")
    with pytest.raises(MissingHook, match="ContinuousBatchProcessor has no 'update_batch'"):
        TransformersRecorder(processor, lambda event: None)
    monkeypatch.undo()
    monkeypatch.delattr(processor.scheduler, "waiting_requests_order")
    with pytest.raises(MissingHook, match="has no 'waiting_requests_order'"):
        TransformersRecorder(processor, lambda event: None)


def test_hooks_are_taken_away_in_any_case() -> None:
    class Engine:
        def call(self) -> int:
            return 1

    engine, hooks = Engine(), Hooks("an engine")
    hooks.put(engine, "call", lambda method: lambda: method() + 1)
    assert engine.call() == 2
    hooks.remove()
    assert engine.call() == 1
    with pytest.raises(MissingHook, match="an engine: Engine has no 'cancel'"):
        hooks.put(engine, "cancel", lambda method: method)
