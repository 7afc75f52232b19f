# pyright: basic
"""Supported models run exactly over the pool; all others are rejected, by the name of their need."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from stand_ins import NoCap

from lineclear_gpu import plug
from lineclear_gpu.attention import Gather
from lineclear_gpu.model import (
    Model,
    ModelError,
    Unsupported,
    adopt,
    load_model,
    probe,
    random_model,
)
from lineclear_gpu.plug import NAME, attend, own_attention
from lineclear_gpu.pool import KVPool
from lineclear_gpu.presets import PRESETS, preset
from lineclear_gpu.runner import ModelRunner
from lineclear_gpu.shape import KVShape

TINY = [name for name in PRESETS if name.startswith("tiny")]


@pytest.fixture(scope="module")
def llama() -> Model:
    return load_model("tiny-llama")


@pytest.mark.parametrize("name", TINY)
def test_presets_load_and_are_the_same_every_time(name: str) -> None:
    first, second = load_model(name), load_model(name)
    assert first.dtype == torch.float32
    assert (first.layers, first.head_dim) == (len(first.windows), 16)
    weights = zip(first.module.parameters(), second.module.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in weights)
    other = load_model(name, seed=1)
    assert not torch.equal(next(first.module.parameters()), next(other.module.parameters()))
    assert first.eos_token_ids == ()


def test_a_preset_does_not_disturb_the_random_state() -> None:
    torch.manual_seed(4)
    wanted = torch.rand(3)
    torch.manual_seed(4)
    load_model("tiny-llama")
    assert torch.equal(torch.rand(3), wanted)


def test_sixteen_bits() -> None:
    for dtype in (torch.bfloat16, torch.float16):
        assert load_model("tiny-qwen3", dtype=dtype).dtype == dtype


def test_a_model_from_a_folder(tmp_path: Path, llama: Model) -> None:
    with own_attention(llama.module):
        llama.module.save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path))
    weights = zip(llama.module.parameters(), loaded.module.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in weights)
    assert loaded.tokenizer is None


def test_an_unknown_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="holds no model") as output:
        load_model(str(tmp_path))
    assert "tiny-llama" in str(output.value)
    assert "\n" not in str(output.value)
    with pytest.raises(ModelError, match="only settings of presets"):
        load_model(str(tmp_path), changes={"hidden_size": 8})
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="no CUDA device"):
            load_model("tiny-llama", device="cuda")


@pytest.mark.parametrize(
    ("kind", "changes", "needs"),
    [
        ("gpt_oss", {}, "attention sinks"),
        ("deepseek_v3", {}, "latent attention"),
        ("mamba", {}, "state space layers"),
        ("jamba", {}, "state space layers"),
        ("qwen3_next", {}, "linear attention"),
        ("llama4_text", {}, "chunked attention"),
        ("gemma3n_text", {}, "share KV"),
        ("bloom", {}, "ALiBi"),
        ("minimax", {}, "recurrent layers"),
        ("t5", {}, "an encoder"),
        ("qwen3", {"layer_types": ["full_attention", "chunked_attention"]}, "chunked attention"),
        ("llama", {"is_causal": False}, "both directions"),
        ("gemma3_text", {"use_bidirectional_attention": True}, "both directions"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    kind: str, changes: dict[str, Any], needs: str
) -> None:
    with pytest.raises(Unsupported, match=needs) as output:
        random_model(preset(kind, **changes))
    assert kind in str(output.value)
    assert "\n" not in str(output.value)


def test_a_soft_cap_is_that_of_the_configuration() -> None:
    assert random_model(preset("gemma2", sliding_window=5)).cap == 50.0
    assert (
        random_model(preset("gemma2", attn_logit_softcapping=None, sliding_window=5)).cap is None
    )
    # The probe runs such a model, so it compares capped logits: the same without the cap differ.
    made = load_model("tiny-gemma2")
    assert made.cap == 1.0
    with pytest.raises(Unsupported, match="gives different logits over the pool"):
        probe(made, NoCap())


# ---- what reaches the attention function ---------------------------------------------------------


class Called:
    """Replaces the attention layer of a model."""

    layer_idx = 0
    is_causal = True


class Stored(Exception):
    """All checks passed, and KV is stored."""


def stored(*_: Any) -> None:
    raise Stored


def call(kv_heads: int = 2, **changes: Any) -> None:
    query = torch.zeros(1, 4, 3, 8)
    key = torch.zeros(1, 2, 3, 8)
    forward = plug.ForwardContext(
        SimpleNamespace(slots=torch.zeros(3)),  # type: ignore[arg-type]
        lambda index: torch.zeros(4, 2, 4, kv_heads, 8),
        Gather(),
        stored,
        (None, 5),
    )
    arguments = {"attention_mask": None, "lineclear": forward, **changes}
    attend(Called(), query, key, arguments.pop("value", key), **arguments)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ({"s_aux": torch.zeros(4)}, "s_aux=a tensor of shape .4,.: attention sinks"),
        ({"softcap": 0.0}, "softcap=0.0: a soft cap that is not positive"),
        ({"logit_softcapping": 50.0}, "logit_softcapping=50.0: a soft cap"),
        ({"position_bias": torch.zeros(4)}, "a bias on positions"),
        ({"surprise": 1}, "surprise=1: an unknown argument"),
        ({"dropout": 0.1}, "dropout"),
        ({"attention_mask": torch.zeros(1, 1, 3, 3)}, "attention_mask"),
        ({"is_causal": False}, "both directions"),
        ({"lineclear": None}, "without its forward"),
        ({"value": torch.zeros(1, 2, 3, 4)}, "keys and values of one shape"),
        ({"value": torch.zeros(1, 2, 4, 8)}, "keys and values of one shape"),
        ({"kv_heads": 3}, "2 KV heads of size 8, the pool has 3 of size 8"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_arguments_are_refused_never_ignored(argument: dict[str, Any], said: str) -> None:
    with pytest.raises(Unsupported, match=said):
        call(**argument)


def test_harmless_arguments_pass_the_checks() -> None:
    with pytest.raises(Stored):
        call(s_aux=None, softcap=None, use_cache=False, position_ids=torch.zeros(1, 3))
    with pytest.raises(Stored):
        call(softcap=50.0)


def run(model: Model, **kwargs: Any) -> None:
    probe(model, Gather(), **kwargs)


def test_dropout_in_training_is_refused(llama: Model) -> None:
    model = load_model("tiny-llama", changes={"attention_dropout": 0.3})
    model.module.train()
    with pytest.raises(
        Unsupported, match=r"dropout in attention is not supported: call model\.eval"
    ):
        run(model)


def test_a_layer_that_is_left_out_or_called_twice() -> None:
    model = load_model("tiny-llama")
    model.module.model.layers[1].self_attn.layer_idx = 0
    with pytest.raises(Unsupported, match="layer 0 attends where layer 1 is due"):
        run(model)
    model = load_model("tiny-llama")
    model.module.model.layers = model.module.model.layers[:1]
    with pytest.raises(Unsupported, match="1 of 2 layers attend"):
        run(model)


def test_a_window_that_the_layer_forgets() -> None:
    model = load_model("tiny-gemma3")
    model.module.model.layers[2].self_attn.sliding_window = None
    with pytest.raises(Unsupported, match="layer 2 has a sliding window of 9"):
        run(model)


def test_a_soft_cap_that_the_layer_forgets_or_changes() -> None:
    for wrong in (None, 2.0):
        model = load_model("tiny-gemma2")
        model.module.model.layers[1].self_attn.attn_logit_softcapping = wrong
        with pytest.raises(Unsupported, match=f"layer 1 has a soft cap of 1.0 .* with {wrong}"):
            run(model)
    with pytest.raises(Unsupported, match=r"layer 0 has a soft cap of 30\.0"):
        # Its configuration has the setting and its layers ignore it.
        random_model(preset("tiny-gemma3", attn_logit_softcapping=30.0))


def test_a_soft_cap_needs_attention_that_has_one() -> None:
    model = load_model("tiny-gemma2")

    class Uncapped(Gather):
        name = "uncapped"
        caps = False

    wanted = "uncapped attention does not implement; use paged or gather"
    with pytest.raises(Unsupported, match=wanted):
        probe(model, Uncapped())
    shape = KVShape(model.layers, model.kv_heads, model.head_dim, 4, model.dtype)
    with pytest.raises(Unsupported, match=wanted):
        ModelRunner(model, KVPool(shape, 4, 0), backend=Uncapped())


def test_the_probe_sees_what_no_argument_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer that adds a bias only in its own attention."""
    model = load_model("tiny-llama")
    attention = model.module.model.layers[0].self_attn
    usual = attention.forward

    def biased(*args: Any, **kwargs: Any) -> Any:
        out, weights = usual(*args, **kwargs)
        return (out, weights) if "lineclear" in kwargs else (out + 0.1, weights)

    monkeypatch.setattr(attention, "forward", biased)
    with pytest.raises(Unsupported, match="gives different logits over the pool"):
        run(model)


def test_own_attention_has_the_soft_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some versions say that the model supports torch's function, which leaves the cap out."""
    model = load_model("tiny-gemma2")
    monkeypatch.setattr(type(model.module), "_supports_sdpa", True)
    with own_attention(model.module) as module:
        assert module.config._attn_implementation == "eager"
    run(model)
    monkeypatch.setattr(type(model.module), "_supports_sdpa", False)
    with own_attention(load_model("tiny-llama").module) as module:
        assert module.config._attn_implementation == "sdpa"


def test_own_attention_is_restored(llama: Model) -> None:
    assert llama.module.config._attn_implementation == NAME
    with own_attention(llama.module) as module:
        assert module.config._attn_implementation == "sdpa"
    assert llama.module.config._attn_implementation == NAME
    again = adopt(llama.module)
    assert again.windows == llama.windows
