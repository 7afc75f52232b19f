"""The attention function that transformers calls, reading and writing the pool.

Guarantees: in a forward, each layer stores its KV and attends once. Every argument that reaches the attention
function is known here; one that would change the result and is not implemented is rejected by name, never ignored.
"""
# pyright: basic

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lineclear_gpu.attention import AttentionBackend, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: The name under which transformers has the function. It treats names with "flash" or "paged|" specially.
NAME = "lineclear_pool"

#: Arguments that do not affect attention, or repeat what `Rows` has.
KNOWN = frozenset(
    {
        "cache_position",
        "layer_idx",
        "logits_to_keep",
        "output_attentions",
        "output_hidden_states",
        "output_router_logits",
        "position_embeddings",
        "position_ids",
        "return_dict",
        "use_cache",
    }
)

#: Unsupported features, by the argument that requests them.
MEANINGS = {
    "s_aux": "attention sinks",
    "sinks": "attention sinks",
    "softcap": "a soft cap that is not positive",
    "logit_softcapping": "a soft cap on attention scores",
    "position_bias": "a bias on positions",
    "alibi": "a bias on positions (ALiBi)",
    "indices": "sparse attention by index",
    "cu_seq_lens_q": "packed sequences of another kind",
    "cu_seq_lens_k": "packed sequences of another kind",
    "past_key_values": "a cache of its own",
}


class Unsupported(ValueError):
    """The model cannot run over the pool; the message names what it needs, on one line."""


class ForwardContext:
    """State of one forward, shared by its attention layers.

    Args:
        rows: the rows of the step.
        layer: the pool's view of one layer, [num_blocks, 2, block_size, kv_heads, head_dim].
        backend: computes attention.
        store: stores keys and values [T, kv_heads, head_dim] into slots [T] of a layer's view.
        windows: what each layer must be called with, by its number; it may call with more.
        cap: the soft cap that each layer must be called with; likewise.
    """

    __slots__ = ("backend", "cap", "layer", "rows", "seen", "store", "windows")

    def __init__(
        self,
        rows: Rows,
        layer: Callable[[int], Tensor],
        backend: AttentionBackend,
        store: Callable[[Tensor, Tensor, Tensor, Tensor], None],
        windows: tuple[int | None, ...],
        cap: float | None = None,
    ) -> None:
        """Starts before the first layer."""
        self.rows = rows
        self.layer = layer
        self.backend = backend
        self.store = store
        self.windows = windows
        self.cap = cap
        self.seen = 0

    def finish(self) -> None:
        """Rejects a model that skipped a layer.

        Raises:
            Unsupported: the number of layers that attended is wrong.
        """
        if self.seen != len(self.windows):
            raise Unsupported(
                f"{self.seen} of {len(self.windows)} layers attend over the pool; models that mix "
                "in layers of another kind are not supported"
            )


def check_cap(backend: AttentionBackend, cap: float | None) -> None:
    """Rejects a soft cap that the attention backend does not implement.

    Raises:
        Unsupported: names another backend.
    """
    if cap is not None and not backend.caps:
        raise Unsupported(
            f"the model has a soft cap of {cap} on attention scores, which {backend.name} "
            "attention does not implement; use paged or gather attention"
        )


def refuse(name: str, value: object, module: object) -> Unsupported:
    """The error for an unsupported argument."""
    meaning = MEANINGS.get(name, "an unknown argument")
    return Unsupported(
        f"{type(module).__name__} asks for {name}={describe(value)}: {meaning}, "
        "which is not supported over the pool"
    )


def describe(value: object) -> str:
    """A value, on one line."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) < 40 else type(value).__name__


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    is_causal: bool | None = None,
    lineclear: ForwardContext | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Called by transformers in each layer, with rotated queries and keys.

    Args:
        module: the attention layer.
        query: [1, H, T, D]
        key: [1, kv_heads, T, D]
        value: [1, kv_heads, T, D]
        attention_mask: must be None.
        scaling: factor applied to the scores, 1 / sqrt(D) if None.
        dropout: must be 0.
        sliding_window: how many positions back a token sees, itself included.
        softcap: each scaled score s becomes softcap * tanh(s / softcap); must be positive.
        is_causal: must not be False.
        lineclear: the forward.
        others: rejected unless they are None or known to have no effect.

    Returns:
        [1, T, H, D], and None for the weights.

    Raises:
        Unsupported: an argument has another value.
    """
    if lineclear is None:
        raise Unsupported(
            f"{type(module).__name__} was called without its forward: the model does not hand "
            "unknown arguments on to its attention layers"
        )
    if attention_mask is not None:
        raise refuse("attention_mask", attention_mask, module)
    if dropout:
        raise Unsupported("dropout in attention is not supported: call model.eval() first")
    if is_causal is False or getattr(module, "is_causal", True) is False:
        raise Unsupported(f"{type(module).__name__} attends in both directions, not causally")
    for name, content in others.items():
        if content is not None and content is not False and name not in KNOWN:
            raise refuse(name, content, module)
    index: Any = getattr(module, "layer_idx", None)
    if index != lineclear.seen:
        raise Unsupported(
            f"layer {index} attends where layer {lineclear.seen} is due: every layer must have "
            "attention of its own, in order"
        )
    wanted = lineclear.windows[index]
    if wanted is not None and sliding_window != wanted:
        raise Unsupported(
            f"layer {index} has a sliding window of {wanted} in the configuration and attends "
            f"with {sliding_window}"
        )
    if lineclear.cap is not None and softcap != lineclear.cap:
        raise Unsupported(
            f"layer {index} has a soft cap of {lineclear.cap} in the configuration and attends "
            f"with {softcap}"
        )
    if softcap is not None and not softcap > 0:
        raise refuse("softcap", softcap, module)
    check_cap(lineclear.backend, softcap)
    lineclear.seen += 1
    if query.shape[0] != 1 or value.shape != key.shape:
        raise Unsupported(
            f"queries {tuple(query.shape)}, keys {tuple(key.shape)}, values "
            f"{tuple(value.shape)}: keys and values of one shape are supported, in a batch of 1"
        )
    view = lineclear.layer(index)
    if key.shape[1] != view.shape[3] or key.shape[3] != view.shape[4]:
        raise Unsupported(
            f"layer {index} has {key.shape[1]} KV heads of size {key.shape[3]}, the pool has "
            f"{view.shape[3]} of size {view.shape[4]}: every layer must have the same KV shape"
        )
    rows = lineclear.rows
    lineclear.store(view, key[0].transpose(0, 1), value[0].transpose(0, 1), rows.slots)
    scale = query.shape[3] ** -0.5 if scaling is None else scaling
    queries = query[0].transpose(0, 1)
    result = lineclear.backend.attend(queries, view, rows, scale, sliding_window, softcap)
    return result[None], None


def register() -> None:
    """Registers the function with transformers; idempotent.

    No mask is registered under the name, so the library makes none.
    """
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)


@contextmanager
def own_attention(model: Any) -> Iterator[Any]:
    """The model with its library's own attention, for references.

    With a soft cap that is its eager attention: some versions let such a model use torch's
    scaled_dot_product_attention, which leaves the cap out.
    """
    before = model.config._attn_implementation
    capped = getattr(model.config, "attn_logit_softcapping", None)
    model.config._attn_implementation = "sdpa" if model._supports_sdpa and not capped else "eager"
    try:
        yield model
    finally:
        model.config._attn_implementation = before
