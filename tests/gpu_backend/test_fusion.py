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
        ("gemma3_text", {}, {"norm": 13, "projections": 2, "rotation": 2, "gate": 2}),
        ("tiny-gemma2", {}, {"norm": 9, "projections": 2, "rotation": 2, "gate": 2}),
        ("olmo2", {}, {"norm": 9, "projections": 2, "rotation": 2, "gate": 2}),
        ("phi3", {}, {"norm": 5, "rotation": 2, "gate": 2}),
        ("phi3", {"partial_rotary_factor": 0.5}, {"norm": 5, "rotation": 2, "gate": 2}),
    ],
)
def test_logits_stay_what_they_were(kind: str, changes: dict[str, Any], parts: Any) -> None:
    made = random_model(preset(kind, **changes))
    tokens = torch.randint(320, (1, 17), generator=torch.Generator().manual_seed(1))
    with own_attention(made.module), torch.inference_mode():
        before = made.module(input_ids=tokens, use_cache=False).logits
        found = fuse(made.module)
        after = made.module(input_ids=tokens, use_cache=False).logits
        # outside, the library's own code runs, on the same weights
        assert torch.equal(before, after)
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
    assert not fuse(nn.Sequential(nn.LayerNorm(8), nn.BatchNorm1d(8), nn.GroupNorm(2, 8)))
    gate: Any = nn.Module()
    gate.gate_proj, gate.up_proj = nn.Linear(8, 6, bias=False), nn.Linear(8, 6, bias=False)
    gate.down_proj = nn.Linear(6, 8, bias=False)
    gate.config = type("Config", (), {"hidden_act": "silu"})()
    gate.forward = lambda x: gate.down_proj(gate.gate_proj(x) + gate.up_proj(x))
    assert not fusion.replace_gate(gate)


class Norm(nn.Module):
    """The library's norms: llama's, olmo2's and gemma's."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.eps = 1e-6
        generator = torch.Generator().manual_seed(3)
        self.weight = nn.Parameter(torch.randn(64, generator=generator).to(torch.bfloat16))

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        wide = given.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        if self.form == "llama":
            return self.weight * wide.to(given.dtype)
        factor = self.weight.float() + (1.0 if self.form == "gemma" else 0.0)
        return (wide * factor).to(given.dtype)


@pytest.mark.parametrize("form", ["llama", "olmo2", "gemma"])
def test_each_norm_rounds_where_the_library_rounds(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = Norm(form)
    given = torch.randn(1, 50, 64, generator=torch.Generator().manual_seed(4)).to(torch.bfloat16)
    own = part(given)
    assert fusion.replace_norm(part)
    assert torch.equal(part(given), own)
    with fused():
        assert torch.equal(part(given), own)
    shifted = form == "gemma"
    monkeypatch.setattr(fusion, "NORMS", [n for n in fusion.NORMS if n["shift"] != shifted])
    assert not fusion.replace_norm(Norm(form))  # another factor is no rounding


def test_a_merged_gate_of_another_meaning_is_left_as_it_is() -> None:
    def gate(half: int) -> Any:
        made: Any = nn.Module()
        made.gate_up_proj = nn.Linear(8, 12, bias=False)
        made.down_proj = nn.Linear(6, 8, bias=False)
        made.config = type("Config", (), {"hidden_act": "silu"})()

        def forward(x: torch.Tensor) -> torch.Tensor:
            halves = made.gate_up_proj(x).chunk(2, dim=-1)
            found: torch.Tensor = made.down_proj(
                halves[1 - half] * nn.functional.silu(halves[half])
            )
            return found

        made.forward = forward
        return made

    assert fusion.replace_merged_gate(gate(0))
    assert not fusion.replace_merged_gate(gate(1))  # the second half is the gate


def test_a_fusion_that_changes_logits_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    made = load_model("tiny-llama", seed=5)
    assert fused_model(made).fused
    monkeypatch.setattr(fusion, "gated", lambda both, kind: both[..., : both.shape[-1] // 2])
    assert not fused_model(made).fused
    assert not model.fused_model(made).fused
