"""A transformers model, made ready to run over a block pool.

Guarantees: a `Model` has causal softmax attention with one KV shape in all layers, and gave the
same logits over a pool as by its library's own attention when it was loaded; any other model is
refused, with the name of what it needs. It knows nothing about schedulers.
"""
# pyright: basic

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lineclear_gpu.attention import AttentionBackend, Gather, Rows
from lineclear_gpu.batch import Batch, slots_of
from lineclear_gpu.fusion import fuse, fused
from lineclear_gpu.kernels.storing import store_kv
from lineclear_gpu.plug import (
    NAME,
    Forward,
    Unsupported,
    own_attention,
    register,
)
from lineclear_gpu.presets import PRESETS, preset
from lineclear_gpu.supported import check_class, check_config, windows

__all__ = ["Model", "ModelError", "Unsupported", "adopt", "fused_model", "load_model", "probe"]

#: What a probe's logits may differ by, relative to their norm. Errors of meaning are of order 1.
TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-3, torch.float16: 5e-2, torch.bfloat16: 1e-1}


class ModelError(ValueError):
    """A model that can't be loaded; the message is one line that says what to change."""


@dataclass(frozen=True, eq=False)
class Model:
    """A model and what the pool has to know of it.

    Attributes:
        module: the transformers model, whose attention now reads a pool.
        tokenizer: its tokenizer, None for random weights.
        layers: attention layers.
        kv_heads: KV heads of each layer.
        head_dim: size of a head.
        vocab_size: size of its logits.
        max_model_len: positions it was made for.
        eos_token_ids: tokens that end its text.
        dtype: of weights, keys and values.
        device: where it is.
        windows: the sliding window of each layer, None where it sees everything.
        fused: whether its layers run with merged projections and kernels of ours.
    """

    module: Any
    tokenizer: Any
    layers: int
    kv_heads: int
    head_dim: int
    vocab_size: int
    max_model_len: int
    eos_token_ids: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    windows: tuple[int | None, ...]
    fused: bool = False

    def logits(
        self, tokens: Tensor, positions: Tensor, keep: Tensor | None, forward: Forward
    ) -> Tensor:
        """Logits after the tokens that `keep` names, in float32.  [S, V]

        Args:
            tokens: of all rows, one after the other.  [T] int64
            positions: of the same.  [T] int64
            keep: indices of tokens, None for all of them.  [S] int64
            forward: where KV is stored and read.

        Raises:
            Unsupported: the model asks for something that attention over the pool doesn't have.
        """
        return self.scores(tokens, positions, keep, forward).float()

    def scores(
        self, tokens: Tensor, positions: Tensor, keep: Tensor | None, forward: Forward
    ) -> Tensor:
        """As `logits`, in the type of the model.

        Raises:
            Unsupported: the model asks for something that attention over the pool doesn't have.
        """
        with torch.inference_mode(), fused(self.fused):
            out = self.module(
                input_ids=tokens[None],
                position_ids=positions[None],
                use_cache=False,
                logits_to_keep=0 if keep is None else keep,
                lineclear=forward,
            )
            forward.finish()
            logits: Tensor = out.logits[0]
            return logits


def load_model(
    name: str,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    seed: int = 0,
    changes: dict[str, Any] | None = None,
) -> Model:
    """A model by name.

    Args:
        name: a preset (random weights, nothing is downloaded), a folder with a model, or the id of
            a model on the Hugging Face hub.
        device: where it runs.
        dtype: None takes float32 on the CPU, and elsewhere the model's own or else bfloat16.
        seed: of random weights.
        changes: settings of a preset that differ.

    Raises:
        ModelError: there is no such model, or no such device.
        Unsupported: it needs what attention over the pool doesn't have; the message names it.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    where = torch.device(device)
    if where.type == "cuda" and not torch.cuda.is_available():
        raise ModelError("there is no CUDA device here; use --device cpu")
    if name in PRESETS:
        return random_model(preset(name, **(changes or {})), where, dtype, seed)
    if changes:
        raise ModelError(f"settings can be changed in presets only, not in {name!r}")
    try:
        config = AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        folder = "" if not Path(name).exists() else ", the folder is there but holds no model"
        raise ModelError(
            f"no model {name!r}: it is none of the presets ({', '.join(PRESETS)}), nor a folder, "
            f"nor a model that the hub could give{folder} ({first_line(error)})"
        ) from error
    check_config(config)
    chosen = dtype or default_dtype(where, config)
    try:
        module: Any = AutoModelForCausalLM.from_pretrained(name, dtype=chosen)
    except (OSError, ValueError) as error:
        raise ModelError(f"the model {name!r} can't be loaded: {first_line(error)}") from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, ImportError):
        tokenizer = None  # token ids still work
    return adopt(module.to(where), tokenizer)


def first_line(error: Exception) -> str:
    """What it says first."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def default_dtype(device: torch.device, config: Any) -> torch.dtype:
    """Float32 on the CPU; elsewhere the model's own if it is one of 16 bits, else bfloat16."""
    if device.type == "cpu":
        return torch.float32
    own = getattr(config, "dtype", None)
    return own if own in (torch.float16, torch.bfloat16) else torch.bfloat16


def random_model(
    config: Any,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    seed: int = 0,
) -> Model:
    """A model of this configuration with random weights.

    Raises:
        Unsupported: it needs what attention over the pool doesn't have.
    """
    from transformers import AutoModelForCausalLM

    factory: Any = AutoModelForCausalLM
    check_config(config)
    where = torch.device(device)
    devices = [where] if where.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), where:
        torch.manual_seed(seed)
        module = factory.from_config(config, dtype=dtype or default_dtype(where, config))
    return adopt(module.to(where), None)


def adopt(module: Any, tokenizer: Any = None, backend: AttentionBackend | None = None) -> Model:
    """Takes a transformers model that is built already; its attention reads a pool from now on.

    Raises:
        Unsupported: it needs what attention over the pool doesn't have.
    """
    config = module.config
    check_config(config)
    check_class(module)
    module.eval()
    heads = config.num_attention_heads
    weight = next(module.parameters())
    ends = getattr(module.generation_config, "eos_token_id", None)
    if ends is None:
        ends = getattr(config, "eos_token_id", None)
    model = Model(
        module=module,
        tokenizer=tokenizer,
        layers=config.num_hidden_layers,
        kv_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        vocab_size=config.vocab_size,
        max_model_len=getattr(config, "max_position_embeddings", None) or 2048,
        eos_token_ids=() if ends is None else (ends,) if isinstance(ends, int) else tuple(ends),
        dtype=weight.dtype,
        device=weight.device,
        windows=windows(config),
    )
    register()
    config._attn_implementation = NAME
    probe(model, backend or Gather())
    return model


def fused_model(model: Model, backend: AttentionBackend | None = None) -> Model:
    """The model with fewer launches in its layers; as it is, if that changed its logits.

    It shares its weights with the model that was given, which runs as before.
    """
    if model.fused or not fuse(model.module):
        return model
    found = replace(model, fused=True)
    try:
        probe(found, backend or Gather())
    except Unsupported:
        return model
    return found


def probe(model: Model, backend: AttentionBackend, length: int = 24) -> None:
    """Runs a few tokens over a small pool in three steps and by the library's own attention.

    It catches what neither the configuration nor an argument of attention shows: a mask with
    another meaning, positions that are counted otherwise, a layer with state of its own.

    Raises:
        Unsupported: the logits differ, or an argument can't be honoured.
    """
    size = 4
    blocks = -(-length // size)
    generator = torch.Generator().manual_seed(length)
    tokens = torch.randint(model.vocab_size, (length,), generator=generator).to(model.device)
    shape = (blocks + 1, model.layers, 2, size, model.kv_heads, model.head_dim)
    pool = torch.full(shape, float("nan"), dtype=model.dtype, device=model.device)
    table = np.arange(blocks, 0, -1, dtype=np.int32)[None]
    found: list[Tensor] = []
    cuts = (0, length // 2 + 1, length - 1, length)
    for start, end in pairwise(cuts):
        positions = np.arange(start, end)
        starts = np.array([0, end - start])
        none = np.zeros(1, dtype=np.int64)
        batch = Batch(
            tokens=tokens[start:end].cpu().numpy(),
            positions=positions,
            row_starts=starts,
            context_lens=np.array([end]),
            tables=table,
            slots=slots_of(table, starts, positions, size),
            lanes=none,
            sample_rows=none,
        )
        rows = Rows.of(batch, size, model.dtype, model.device)
        forward = Forward(rows, lambda n: pool[:, n], backend, store_kv, model.windows)
        where = torch.from_numpy(positions).to(model.device)
        keep = torch.arange(end - start, device=model.device)
        found.append(model.logits(tokens[start:end], where, keep, forward))
    with own_attention(model.module), torch.inference_mode():
        wanted = model.module(input_ids=tokens[None], use_cache=False).logits[0].float()
    error = float((torch.cat(found) - wanted).norm() / wanted.norm())
    if not error <= TOLERANCES.get(model.dtype, 1e-1):
        raise Unsupported(
            f"{type(model.module).__name__} gives other logits over the pool than by its own "
            f"attention (relative difference {error:.2g}): it attends in a way that is not known "
            "here"
        )
