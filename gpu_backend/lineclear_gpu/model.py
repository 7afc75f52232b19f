"""A transformers model, prepared to run over a block pool.

Guarantees: a `Model` has causal softmax attention with one KV shape in all layers, and reproduced its library's
logits over a pool when it was loaded; any other model is rejected, with the name of what it needs.
"""
# pyright: basic

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lineclear_gpu.attention import AttentionBackend, Gather, Rows
from lineclear_gpu.batch import Batch
from lineclear_gpu.fusion import fuse, fused
from lineclear_gpu.kernels.storing import store_kv
from lineclear_gpu.plug import (
    NAME,
    ForwardContext,
    Unsupported,
    own_attention,
    register,
)
from lineclear_gpu.presets import PRESETS, preset
from lineclear_gpu.supported import check_class, check_config, soft_cap, windows

__all__ = ["Model", "ModelError", "Unsupported", "adopt", "fused_model", "load_model", "probe"]

#: Tolerance of the probe's logits, relative to their norm. Semantic errors are of order 1.
TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-3, torch.float16: 5e-2, torch.bfloat16: 1e-1}


class ModelError(ValueError):
    """The model cannot be loaded; the message says on one line what to change."""


@dataclass(frozen=True, eq=False)
class Model:
    """A model and its properties that the pool needs.

    Attributes:
        module: the transformers model, whose attention reads a pool.
        tokenizer: its tokenizer, None for random weights.
        layers: number of attention layers.
        kv_heads: KV heads of each layer.
        head_dim: size of a head.
        vocab_size: size of its logits.
        max_model_len: maximum number of positions.
        eos_token_ids: tokens that end its text.
        dtype: type of weights, keys and values.
        device: where it is.
        windows: the sliding window of each layer, None for full attention.
        cap: the soft cap of attention scores, None for none.
        fused: whether its layers use merged projections and our kernels.
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
    cap: float | None = None
    fused: bool = False

    def logits(
        self, tokens: Tensor, positions: Tensor, keep: Tensor | None, forward: ForwardContext
    ) -> Tensor:
        """Logits after the tokens at `keep`, in float32.  [S, V]

        Args:
            tokens: tokens of all rows, concatenated.  [T] int64
            positions: their positions.  [T] int64
            keep: indices of tokens, None for all of them.  [S] int64
            forward: stores and reads KV.

        Raises:
            Unsupported: the model needs something that attention over the pool lacks.
        """
        return self.scores(tokens, positions, keep, forward).float()

    def scores(
        self, tokens: Tensor, positions: Tensor, keep: Tensor | None, forward: ForwardContext
    ) -> Tensor:
        """Like `logits`, in the type of the model.

        Args:
            tokens: see `logits`.
            positions: see `logits`.
            keep: see `logits`.
            forward: see `logits`.

        Raises:
            Unsupported: the model needs something that attention over the pool lacks.
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
    """Loads a model by name.

    Args:
        name: a preset (random weights, nothing is downloaded), a folder with a model, or the id of
            a model on the Hugging Face hub.
        device: where it runs.
        dtype: None for float32 on the CPU, elsewhere the model's own or bfloat16.
        seed: seed of random weights.
        changes: settings that override a preset's.

    Raises:
        ModelError: there is no such model, or no such device.
        Unsupported: it needs something that attention over the pool lacks; the message names it.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    where = torch.device(device)
    if where.type == "cuda" and not torch.cuda.is_available():
        raise ModelError("there is no CUDA device here; use --device cpu")
    if name in PRESETS:
        return random_model(preset(name, **(changes or {})), where, dtype, seed)
    if changes:
        raise ModelError(f"only settings of presets can be changed, not of {name!r}")
    try:
        with without_retries_shown():
            config = AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        folder = "" if not Path(name).exists() else ", the folder exists but holds no model"
        raise ModelError(
            f"no model {name!r}: neither a preset ({', '.join(PRESETS)}), nor a folder, "
            f"nor a model of the hub{folder} ({first_line(error)})"
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


@contextmanager
def without_retries_shown() -> Iterator[None]:
    """The hub's library writes a line for each retry; the error that follows says it once."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def first_line(error: Exception) -> str:
    """The first line of an error."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def default_dtype(device: torch.device, config: Any) -> torch.dtype:
    """Float32 on the CPU; elsewhere the model's own if it has 16 bits, else bfloat16."""
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
    """Builds a model of this configuration with random weights.

    Args:
        config: a configuration of transformers.
        device: where the weights go.
        dtype: their type, None for that of the configuration.
        seed: seed of the weights.

    Raises:
        Unsupported: it needs something that attention over the pool lacks.
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


def adopt(module: Any, tokenizer: Any = None) -> Model:
    """Adopts an existing transformers model; its attention reads a pool from now on.

    Raises:
        Unsupported: it needs something that attention over the pool lacks.
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
        cap=soft_cap(config),
    )
    register()
    config._attn_implementation = NAME
    probe(model, Gather())
    return model


def fused_model(model: Model) -> Model:
    """The model with fused layers; unchanged if fusing changed its logits.

    It shares its weights with the given model, which runs as before.
    """
    if model.fused or not fuse(model.module):
        return model
    found = replace(model, fused=True)
    try:
        probe(found, Gather())
    except Unsupported:
        return model
    return found


def probe(model: Model, backend: AttentionBackend, length: int = 24) -> None:
    """Compares a few tokens, in three steps over a small pool, with the library's own attention.

    It catches what neither the configuration nor the arguments of attention show: a mask with
    another meaning, positions that are counted otherwise, a layer with state of its own.

    Raises:
        Unsupported: the logits differ, or an argument is not supported.
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
        batch = Batch.of([tokens[start:end].cpu().numpy()], [end], table, size)
        rows = Rows.of(batch, size, model.dtype, model.device)
        forward = ForwardContext(
            rows, lambda n: pool[:, n], backend, store_kv, model.windows, model.cap
        )
        where = torch.from_numpy(batch.positions).to(model.device)
        keep = torch.arange(end - start, device=model.device)
        found.append(model.logits(tokens[start:end], where, keep, forward))
    with own_attention(model.module), torch.inference_mode():
        wanted = model.module(input_ids=tokens[None], use_cache=False).logits[0].float()
    error = float((torch.cat(found) - wanted).norm() / wanted.norm())
    if not error <= TOLERANCES.get(model.dtype, 1e-1):
        raise Unsupported(
            f"{type(model.module).__name__} gives different logits over the pool than with its own "
            f"attention (relative difference {error:.2g}): its attention is not supported "
            "here"
        )
