# pyright: basic
"""A recording replays what was recorded: the imitation on a CPU, CUDA graphs on a GPU."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from served import BASE, GREEDY, MEMORY_PRESSURE, SAMPLED, prompts, tokens
from stand_ins import RecordedGraphs
from token_parity import reference_tokens

from lineclear_gpu.graphs import CudaGraphs
from lineclear_gpu.llm import LLM
from lineclear_gpu.model import load_model

# ---- the imitation --------------------------------------------------------------------------------


def test_a_number_of_the_host_is_frozen() -> None:
    given = torch.zeros(3)
    count = [2]

    def work() -> torch.Tensor:
        return given * count[0] + torch.arange(3)[:, None].squeeze(1)

    made = RecordedGraphs().record(work)
    count[0] = 100
    given.fill_(1.0)
    made.replay()
    assert made.out.tolist() == [2.0, 3.0, 4.0]
    given += 1
    made.replay()
    assert made.out.tolist() == [4.0, 5.0, 6.0]


def test_writes_and_views_are_run_again() -> None:
    memory, index = torch.zeros(4), torch.tensor([1])

    def work() -> torch.Tensor:
        memory.index_copy_(0, index, memory[index] + 1)
        memory.view(2, 2)[1].add_(1)
        return memory.clone()

    made = RecordedGraphs().record(work)
    assert memory.tolist() == [0, 1, 1, 1]
    index.fill_(0)
    made.replay()
    assert made.out.tolist() == memory.tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize(
    "work",
    [
        lambda x: x * x.sum().item(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x if bool(x.sum() > 0) else -x,
    ],
)
def test_what_reads_back_is_refused(work: Any) -> None:
    with pytest.raises(RuntimeError, match="from the device"):
        RecordedGraphs().record(functools.partial(work, torch.ones(3)))


# ---- on a GPU ---------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize(
    "name", ["tiny-llama", "tiny-qwen3", "tiny-mistral", "tiny-gemma2", "tiny-gemma3"]
)
@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize(("mode", "depth"), [("swap", 2), ("recompute", 2), ("auto", 1)])
def test_cuda_graphs_give_the_tokens_of_generate(
    name: str, fuse: bool, mode: str, depth: int
) -> None:
    from token_parity import compare

    from lineclear_gpu.runner import exact_float32

    exact_float32()
    chosen = load_model(name, device="cuda", dtype=torch.float32)
    wanted = reference_tokens(chosen, prompts(), 20)
    changes = {
        **BASE,
        **MEMORY_PRESSURE,
        "preemption_mode": mode,
        "max_steps_in_flight": depth,
        "swap_threshold": 24,
    }
    llm = LLM(
        chosen,
        verify=True,
        graphs=CudaGraphs(chosen.device),
        fuse=fuse,
        **changes,
    )
    assert llm.recorded.startswith("steps are recorded"), llm.recorded
    params = type(GREEDY)(max_tokens=20, temperature=0, ignore_eos=True)
    found = [each[0] for each in tokens(llm.generate(prompts(), params))]
    report = compare(chosen, prompts(), wanted, found, bound=1e-3)
    assert report, f"{name}, fuse {fuse}, {mode}, depth {depth}: {report}"
    assert llm.runner.replayed > 40
    assert llm.engine.scheduler.counters.preemptions.total() >= 2
    llm.close()


@pytest.mark.gpu
@pytest.mark.parametrize("most", [64, 128])
def test_cuda_graphs_with_more_rows_than_tokens(most: int) -> None:
    from token_parity import compare

    from lineclear_gpu.runner import exact_float32

    exact_float32()
    chosen = load_model("tiny-llama", device="cuda", dtype=torch.float32)
    wanted = reference_tokens(chosen, prompts(), 20)
    llm = LLM(
        chosen,
        verify=True,
        **{**BASE, "max_num_seqs": most, "max_num_batched_tokens": 128, "num_gpu_blocks": 400},
    )
    found = [
        each[0]
        for k in range(0, 10, 2)
        for each in tokens(llm.generate(prompts()[k : k + 2], GREEDY))
    ]
    report = compare(chosen, prompts(), wanted, found, bound=1e-3)
    assert report, f"{most} rows: {report}"
    assert llm.runner.eager == 0
    llm.close()


@pytest.mark.gpu
def test_a_capture_that_fails_leaves_the_next_one_possible() -> None:
    device = torch.device("cuda")

    def wrong() -> torch.Tensor:
        found = torch.ones(4, device=device) * 2
        if torch.cuda.is_current_stream_capturing():
            torch.cuda.synchronize()  # not allowed in a capture, which fails as a whole
        return found

    before = torch.cuda.current_stream()
    with pytest.raises(RuntimeError):
        CudaGraphs(device).record(wrong)
    assert torch.cuda.current_stream() == before
    assert torch.rand(3, device=device).shape == (3,)
    llm = LLM(load_model("tiny-llama", device="cuda", dtype=torch.float32), **BASE)
    assert llm.recorded.startswith("steps are recorded"), llm.recorded
    llm.close()


@pytest.mark.gpu
def test_cuda_graphs_sample_what_launched_steps_sample() -> None:
    from lineclear_gpu.runner import exact_float32

    exact_float32()
    chosen = load_model("tiny-llama", device="cuda", dtype=torch.float32)
    eager = LLM(chosen, eager=True, seed=3, **BASE)
    graphs = LLM(chosen, seed=3, fuse=False, **{**BASE, **MEMORY_PRESSURE})
    assert tokens(eager.generate(prompts(), SAMPLED)) == tokens(
        graphs.generate(prompts(), SAMPLED)
    )
    assert graphs.runner.replayed > graphs.runner.eager
    for llm in (eager, graphs):
        llm.close()
