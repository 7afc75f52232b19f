"""Small models with random weights, so that nothing is downloaded.

Guarantees: a name gives the same configuration everywhere, and with one seed the same weights on
the CPU. The weights are drawn wide enough that the two best logits of a token are seldom close: a
greedy test then shows an error rather than a tie. The small models' output weights are not those of
the embedding: with tied random weights the best token is mostly the last one, whatever attention does.
"""
# pyright: basic

from __future__ import annotations

from typing import Any

#: Vocabulary of the small models: 256 bytes, and room for special tokens.
VOCABULARY = 320

TINY: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 4096,
    "initializer_range": 0.2,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}

#: Name -> (model type in transformers, settings).
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "tiny-llama": ("llama", TINY),
    "tiny-qwen3": ("qwen3", {**TINY, "num_key_value_heads": 1}),
    "tiny-mistral": ("mistral", {**TINY, "sliding_window": 7}),
    # Its scores are large enough for the cap to change most tokens.
    "tiny-gemma2": (
        "gemma2",
        {**TINY, "sliding_window": 7, "attn_logit_softcapping": 1.0, "query_pre_attn_scalar": 16},
    ),
    "tiny-gemma3": (
        "gemma3_text",
        {
            **TINY,
            "num_hidden_layers": 3,
            "sliding_window": 9,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "query_pre_attn_scalar": 16,
        },
    ),
    # 1.5 billion parameters, 32 KiB of KV a token in 16 bits: what benchmarks run.
    "llama-1.5b": (
        "llama",
        {
            "vocab_size": 128256,
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 16,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 64,
            "max_position_embeddings": 8192,
            "bos_token_id": None,
            "eos_token_id": None,
            "pad_token_id": None,
        },
    ),
}


def preset(name: str, **changes: Any) -> Any:
    """A transformers configuration.

    Args:
        name: one of PRESETS, or a model type of transformers, shrunk.
        changes: settings to override.
    """
    from transformers import AutoConfig

    kind, settings = PRESETS.get(name, (name, TINY))
    return AutoConfig.for_model(kind, **{**settings, **changes})
