"""transformers' continuous batching, recorded while it runs unmodified under memory pressure.

With one step in flight, and with two.
What is asserted is that runs end and that the log says what happened. Whether it keeps the rules is
the engine's affair, and no test of ours.
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import nullcontext
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


def make(later: bool) -> Any:
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
        use_async_batching=later,
    )
    made = model.init_continuous_batching(
        generation_config=generation, continuous_batching_config=sizes
    )
    made.batch_processor = made._create_batch_processor()
    return made


class Stream:
    """A stand-in for a device's stream or event: on a CPU every copy is over when it returns."""

    def __init__(self, *rest: Any, **named: Any) -> None: ...

    def record_event(self, event: Any) -> None: ...

    def wait_event(self, event: Any) -> None: ...

    def synchronize(self) -> None: ...


@pytest.fixture(scope="module")
def manager() -> Any:
    """A manager that knows the tokens of a step before it prepares the next."""
    return make(later=False)


@pytest.fixture(scope="module")
def later() -> Any:
    """A manager with two steps in flight.

    The engine refuses this on a CPU, for which it has no streams: they are stand-ins here. What prepares,
    runs and settles batches is the engine's own.
    """
    import importlib

    inside: Any = importlib.import_module(
        "transformers.generation.continuous_batching.input_outputs"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inside.ContinuousBatchingAsyncIOs, "_supported_device_types", ("cpu",))
        patch.setattr(inside, "create_device_stream", Stream)
        patch.setattr(inside, "stream_context", nullcontext)
        patch.setattr(torch, "Event", Stream)
        yield make(later=True)


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
    begun = not processor.use_async_batching
    for _ in range(200):
        if processor.prepare_next_batch():
            manager._generation_step()
            if begun:
                processor.update_batch()
            begun = True
        elif not processor.has_pending_requests():
            break
    if processor.use_async_batching:  # the last step is in flight
        processor.inputs_and_outputs.swap_io_pairs()
        processor.update_batch()
    recorder.detach()
    while (output := manager.get_result(timeout=0)) is not None:
        got[output.request_id] = len(output.generated_tokens)
    return events, got


def kept(events: list[dict[str, Any]]) -> Counter[str]:
    """Tokens that each request kept, by the log."""
    flights: list[tuple[int, dict[str, int]]] = []
    tokens: Counter[str] = Counter()
    for event in events:
        if event["e"] == "step":
            flights.append((event["n"], {row[0]: row[3] for row in event["rows"]}))
        elif event["e"] == "preempt" and event.get("lost"):
            for _, rows in flights:
                rows.pop(event["r"], None)
        elif event["e"] == "settle":
            n, rows = flights.pop(0)
            assert n == event["n"]
            tokens.update({**rows, **dict(event.get("kept", ()))})
    assert not flights
    return tokens


@PINNED
@pytest.mark.parametrize("name", ["manager", "later"])
def test_a_run_ends_and_its_log_says_what_happened(
    name: str, request: pytest.FixtureRequest
) -> None:
    manager = request.getfixturevalue(name)
    kinds: Counter[str] = Counter()
    for seed in range(2):
        events, got = drive(manager, seed, 6)
        checker = Checker(header_of(manager.batch_processor, INSTALLED))
        checker.run(events)  # what it finds is not asserted
        kinds += checker.counts
        assert checker.standings()
        assert kept(events) == got
        assert (
            max_in_flight(events)
            == checker.header.max_steps_in_flight
            == (2 if name == "later" else 1)
        )
        assert {e["r"] for e in events if e["e"] == "submit"} == set(got)
        assert {e["r"] for e in events if e["e"] == "finish"} == set(got)
    assert min(kinds[kind] for kind in ("submit", "alloc", "free", "step", "settle", "check")) > 8


def max_in_flight(events: list[dict[str, Any]]) -> int:
    """The most steps that were not settled at once."""
    flying = most = 0
    for event in events:
        flying += {"step": 1, "settle": -1}.get(event["e"], 0)
        most = max(most, flying)
    return most


@PINNED
def test_what_steps_in_flight_sampled_for_a_preempted_request_is_lost(later: Any) -> None:
    assert any(
        event["e"] == "preempt" and event.get("lost")
        for seed in range(6)
        for event in drive(later, seed, 6)[0]
    )


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
