"""Which models run over the pool, decided by their configuration before weights are loaded.

Guarantees: a configuration known to need anything but causal softmax attention with one KV shape
in all layers is rejected, with the name of what it needs. What a configuration does not show,
`plug` rejects when a layer is called, and `model.probe` by comparing logits.
"""
# pyright: basic

from __future__ import annotations

from typing import Any

from lineclear_gpu.plug import Unsupported

#: Attributes that count as set unless they are None, False or 0.
REFUSED = {
    "is_encoder_decoder": "an encoder beside its decoder",
    "vision_config": "images; load its text model alone",
    "audio_config": "audio; load its text model alone",
    "kv_lora_rank": "latent attention (MLA)",
    "alibi": "a bias on positions (ALiBi)",
    "attention_chunk_size": "chunked attention",
    "use_bidirectional_attention": "attention in both directions",
    "num_kv_shared_layers": "layers that share KV with others",
    "index_topk": "sparse attention by index",
    "ssm_state_size": "state space layers (Mamba)",
    "state_size": "state space layers (Mamba)",
    "mamba_d_state": "state space layers (Mamba)",
    "linear_num_value_heads": "linear attention",
    "global_head_dim": "heads of several sizes",
    "num_global_key_value_heads": "layers with several numbers of KV heads",
    "block_configs": "layers of several shapes",
}

#: Names of unsupported kinds of layers; another kind appears under its own name.
KINDS = {
    "linear_attention": "recurrent layers (Mamba or linear attention)",
    "mamba": "recurrent layers (Mamba or linear attention)",
    "conv": "convolutions",
    "hybrid": "layers that mix attention and recurrence",
    "chunked_attention": "chunked attention",
}
SUPPORTED_KINDS = ("full_attention", "sliding_attention")

#: Architectures whose needs their configuration does not show.
ARCHITECTURES = {
    "gpt_oss": "attention sinks",
    "mimo_v2_flash": "attention sinks",
    "bloom": "a bias on positions (ALiBi)",
    "mpt": "a bias on positions (ALiBi)",
    "t5": "an encoder beside its decoder",
    "rwkv": "linear attention",
    "openelm": "layers with several numbers of KV heads",
}


def refuse(config: Any, needs: str) -> Unsupported:
    """The error."""
    return Unsupported(
        f"model type {config.model_type!r} needs {needs}, which is not supported over the pool"
    )


def value(config: Any, name: str) -> Any:
    """One setting, None if absent.

    Raises:
        Unsupported: its value differs among layers; some configurations raise then.
    """
    try:
        return getattr(config, name, None)
    except Exception as error:
        raise refuse(config, f"layers of several shapes ({name} differs among them)") from error


def check_config(config: Any) -> None:
    """Rejects a configuration with unsupported needs.

    Raises:
        Unsupported: names what the model needs.
    """
    if config.model_type in ARCHITECTURES:
        raise refuse(config, ARCHITECTURES[config.model_type])
    for name, needs in REFUSED.items():
        if value(config, name):
            raise refuse(config, f"{needs} ({name} is set)")
    if value(config, "is_causal") is False:
        raise refuse(config, "attention in both directions (is_causal is False)")
    for kind in value(config, "layer_types") or ():
        if kind not in SUPPORTED_KINDS:
            raise refuse(config, f"{KINDS.get(kind, kind)} ({kind} among its layer_types)")
    for name in ("num_hidden_layers", "num_attention_heads"):
        if not isinstance(value(config, name), int):
            raise refuse(config, f"layers of several shapes ({name} is not a single number)")
    for name in ("head_dim", "num_key_value_heads"):
        if not isinstance(value(config, name), int | None):
            raise refuse(config, f"layers of several shapes ({name} is not a single number)")


def check_class(model: Any) -> None:
    """Rejects a built model with unsupported needs.

    Raises:
        Unsupported: names what the model needs.
    """
    import inspect

    name = type(model).__name__
    if not getattr(model, "_supports_attention_backend", False):
        raise Unsupported(f"{name} does not accept another attention function")
    if "logits_to_keep" not in inspect.signature(model.forward).parameters:
        raise Unsupported(f"{name} cannot skip logits (no logits_to_keep)")
    for parameter, _ in model.named_parameters():
        last = parameter.rsplit(".", 1)[-1]
        if "sink" in last:
            raise Unsupported(f"{name} needs attention sinks ({parameter}), not supported")


def windows(config: Any) -> tuple[int | None, ...]:
    """The configured sliding window of each layer, None for full attention.

    A layer that attends with another window is rejected. Where the configuration names no kinds of
    layers, its window holds for all of them.
    """
    layers: int = config.num_hidden_layers
    window: int | None = getattr(config, "sliding_window", None)
    if getattr(config, "use_sliding_window", True) is False:
        window = None
    kinds = getattr(config, "layer_types", None)
    if kinds:
        return tuple(window if kind == "sliding_attention" else None for kind in kinds)
    return (window,) * layers


def soft_cap(config: Any) -> float | None:
    """The configured soft cap of attention scores, None for none.

    A layer that attends with another one is rejected.
    """
    found = value(config, "attn_logit_softcapping")
    return float(found) if found else None
