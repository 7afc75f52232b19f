# pyright: basic
"""Merged projections and our kernels give the library's results, or are not used."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from lineclear_gpu import fusion, model
from lineclear_gpu.fusion import fuse, fused
from lineclear_gpu.model import fused_model, load_model, random_model
from lineclear_gpu.plug import own_attention
from lineclear_gpu.presets import preset


@pytest.mark.parametrize(
    ("kind", "changes", "parts"),
    [
        ("llama", {}, {"norm": 5, "projections": 2, "rotation": 2, "gate": 2}),
        ("qwen2", {}, {"norm": 5, "projections": 2, "rotation": 2, "gate": 2}),
        ("qwen3", {}, {"norm": 9, "projections": 2, "rotation": 2, "gate": 2}),
        ("gemma3_text", {}, {"projections": 2, "rotation": 2, "gate": 2}),
        ("olmo2", {}, None),
        ("phi3", {}, None),
    ],
)
def test_logits_stay_what_they_were(kind: str, changes: dict[str, Any], parts: Any) -> None:
    made = random_model(preset(kind, **changes))
    tokens = torch.randint(320, (1, 17), generator=torch.Generator().manual_seed(1))
    with own_attention(made.module), torch.inference_mode():
        before = made.module(input_ids=tokens, use_cache=False).logits
        found = fuse(made.module)
        after = made.module(input_ids=tokens, use_cache=False).logits
        assert torch.equal(
            before, after
        )  # outside, the library's own code runs, on the same weights
        with fused():
            inside = made.module(input_ids=tokens, use_cache=False).logits
    assert float((inside - before).norm() / before.norm()) < 1e-5
    if parts is not None:
        assert found == parts
    assert fuse(made.module) == found  # once


def test_merged_weights_take_no_memory_of_their_own() -> None:
    made = load_model("tiny-llama")
    names = [name for name, _ in made.module.named_parameters()]
    fuse(made.module)
    attention = made.module.model.layers[0].self_attn
    storages = {
        each.weight.untyped_storage().data_ptr()
        for each in (attention.q_proj, attention.k_proj, attention.v_proj)
    }
    assert len(storages) == 1
    assert [name for name, _ in made.module.named_parameters()] == names


def test_a_layer_called_with_another_input_computes_its_own() -> None:
    part = nn.Module()
    part.q_proj, part.k_proj, part.v_proj = (nn.Linear(8, 4) for _ in range(3))
    one, other = torch.randn(1, 2, 8), torch.randn(1, 2, 8)
    wanted = part.k_proj(other), part.v_proj(one)
    assert fusion.merge(part, ("q_proj", "k_proj", "v_proj"))
    with fused():
        part.q_proj(one)
        assert torch.equal(part.k_proj(other), wanted[0])
        assert torch.allclose(part.v_proj(one), wanted[1])


def test_a_part_of_another_meaning_is_left_as_it_is() -> None:
    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(8))
            self.variance_epsilon = 1e-5

        def forward(self, given: torch.Tensor) -> torch.Tensor:
            return given * (1 + self.weight)  # no norm at all

    assert not fusion.replace_norm(Other())
    gate: Any = nn.Module()
    gate.gate_proj, gate.up_proj = nn.Linear(8, 6, bias=False), nn.Linear(8, 6, bias=False)
    gate.down_proj = nn.Linear(6, 8, bias=False)
    gate.config = type("Config", (), {"hidden_act": "silu"})()
    gate.forward = lambda x: gate.down_proj(gate.gate_proj(x) + gate.up_proj(x))
    assert not fusion.replace_gate(gate)


def test_a_fusion_that_changes_logits_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    made = load_model("tiny-llama", seed=5)
    assert fused_model(made).fused
    monkeypatch.setattr(fusion, "gated", lambda both, kind: both[..., : both.shape[-1] // 2])
    assert not fused_model(made).fused
    assert not model.fused_model(made).fused
