"""Fewer launches per layer: merged projections, one kernel each for norm, rotation and gate.

Guarantees: a part is replaced only if its replacement reproduced the library's result, and the whole model only if
its logits did not change. Outside `fused()` the library's own code runs, on the same weights, so a reference never
uses what it checks. Parts are found by their structure, not by the model's name.
"""
# pyright: basic

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from lineclear_gpu.kernels.fused import GATES, gated, rms_norm, rotate

#: Tolerance of a part's result, relative to its norm.
BOUNDS = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
#: Whether the replacements are active.
_active = False


@contextmanager
def fused(on: bool = True) -> Iterator[None]:
    """Activates the replacements inside, if `on`."""
    global _active
    before, _active = _active, on
    try:
        yield
    finally:
        _active = before


def fuse(module: nn.Module) -> Counter[str]:
    """Replaces the parts that match, once; returns how many of each kind.

    Merged weights keep their names: the parameters become views of the merged ones.
    """
    known: Any = module
    if hasattr(known, "_lineclear_parts"):
        return Counter(known._lineclear_parts)
    found: Counter[str] = Counter()
    with torch.inference_mode(False), torch.no_grad():
        parts: list[Any] = list(module.modules())
        for part in parts:
            if isinstance(epsilon(part), float) and isinstance(
                getattr(part, "weight", None), nn.Parameter
            ):
                found["norm"] += replace_norm(part)
            if all(linear(part, name) for name in ("q_proj", "k_proj", "v_proj")):
                found["projections"] += merge(part, ("q_proj", "k_proj", "v_proj"))
                found["rotation"] += replace_rotation(part, part.q_proj.weight)
            if linear(part, "qkv_proj"):  # merged by the library
                found["rotation"] += replace_rotation(part, part.qkv_proj.weight)
            if all(linear(part, name) for name in ("gate_proj", "up_proj", "down_proj")):
                found["gate"] += replace_gate(part)
            if all(linear(part, name) for name in ("gate_up_proj", "down_proj")):
                found["gate"] += replace_merged_gate(part)
    known._lineclear_parts = dict(+found)
    return +found


def linear(part: nn.Module, name: str) -> bool:
    """Whether a part has a plain linear layer with this name."""
    return type(getattr(part, name, None)) is nn.Linear


def epsilon(part: nn.Module) -> Any:
    """What keeps a norm's root from 0, by either of its names; None if neither is there."""
    found = getattr(part, "variance_epsilon", None)
    return getattr(part, "eps", None) if found is None else found


def difference(wanted: Tensor, found: Tensor) -> float:
    """Norm of the difference, relative to the norm of the expected result."""
    wanted, found = wanted.detach().float(), found.detach().float()
    return float((found - wanted).norm() / wanted.norm())


def agrees(wanted: Tensor, found: Tensor) -> bool:
    """Whether a replacement gave the expected result."""
    return difference(wanted, found) <= BOUNDS.get(wanted.dtype, 1e-5)


def replace(part: nn.Module, forward: Callable[..., Any]) -> None:
    """Makes a part run `forward` inside `fused`, and its own code outside."""
    own = part.forward

    def either(*given: Any, **named: Any) -> Any:
        return forward(*given, **named) if _active else own(*given, **named)

    part.forward = either


def like(weight: Tensor, *shape: int) -> Tensor:
    """Deterministic random numbers of a weight's type and device."""
    generator = torch.Generator().manual_seed(sum(shape))
    found: Tensor = torch.randn(*shape, generator=generator).to(weight)
    return found


#: Forms of a root mean square norm: arguments of `rms_norm`. The first of the closest is chosen.
NORMS: tuple[dict[str, bool], ...] = (
    {"rounded": True, "shift": False},  # llama
    {"rounded": False, "shift": False},  # olmo2
    {"rounded": False, "shift": True},  # gemma
)


def replace_norm(part: Any) -> bool:
    """A root mean square norm over the last dimension, of the form that is closest to its own."""
    weight, eps = part.weight, float(epsilon(part))
    own = part.forward

    def forward(given: Tensor) -> Tensor:
        if given.dim() not in (3, 4) or given.shape[0] != 1 or given.stride(-1) != 1:
            other: Tensor = own(given)
            return other
        return rms_norm(given, part.weight, eps, **form)

    if weight.dim() != 1:
        return False
    given = like(weight, 1, 3, weight.shape[0])
    try:
        wanted = own(given)
    except Exception:  # a norm over several dimensions
        return False
    if not isinstance(wanted, Tensor) or wanted.shape != given.shape or not wanted.norm() > 0:
        return False
    form = min(NORMS, key=lambda each: difference(wanted, rms_norm(given, weight, eps, **each)))
    if not agrees(wanted, rms_norm(given, weight, eps, **form)):
        return False
    replace(part, forward)
    return True


def merge(part: Any, names: tuple[str, ...]) -> bool:
    """Merges linear layers of one input: the first computes all, the others take their share.

    The library calls them in sequence with the same tensor; when it does not, each computes its own.
    """
    layers = [getattr(part, name) for name in names]
    biased = [layer.bias is not None for layer in layers]
    if len({layer.in_features for layer in layers}) > 1 or any(biased) != all(biased):
        return False
    weight, bias = joined(layers)
    sizes = [layer.out_features for layer in layers]
    left: list[Any] = [None, ()]  # the input of the last call, and the shares of the others

    def first(given: Tensor) -> Tensor:
        parts = torch.split(functional.linear(given, weight, bias), sizes, dim=-1)
        left[0], left[1] = given, parts
        found: Tensor = parts[0]
        return found

    replace(layers[0], first)
    for index, layer in enumerate(layers[1:], 1):

        def other(given: Tensor, index: int = index, own: Any = layer.forward) -> Tensor:
            found: Tensor = own(given) if left[0] is not given else left[1][index]
            if left[0] is given and index == len(sizes) - 1:
                left[0], left[1] = None, ()
            return found

        replace(layer, other)
    return True


def joined(layers: list[Any]) -> tuple[Tensor, Tensor | None]:
    """The stacked weights of linear layers; each layer's weight becomes a view."""
    weight = torch.cat([layer.weight.data for layer in layers])
    bias = None if layers[0].bias is None else torch.cat([layer.bias.data for layer in layers])
    begin = 0
    for layer in layers:
        end = begin + layer.out_features
        layer.weight.data = weight[begin:end]
        if bias is not None:
            layer.bias.data = bias[begin:end]
        begin = end
    return weight, bias


def replace_gate(part: Any) -> bool:
    """down(activation(gate(x)) * up(x)), with gate and up merged and one kernel between."""
    layers = [part.gate_proj, part.up_proj]
    shapes = {(layer.in_features, layer.out_features, layer.bias is None) for layer in layers}
    if activation(part) not in GATES or len(shapes) > 1:
        return False
    weight, bias = joined(layers)
    return use_gate(part, part.gate_proj, lambda given: functional.linear(given, weight, bias))


def replace_merged_gate(part: Any) -> bool:
    """The same where the library has merged gate and up: one kernel for the gate's operations."""
    if activation(part) not in GATES or part.gate_up_proj.out_features % 2:
        return False
    return use_gate(part, part.gate_up_proj, part.gate_up_proj)


def use_gate(part: Any, first: Any, both: Callable[[Tensor], Tensor]) -> bool:
    """Replaces the part's forward by one with a single kernel behind gate and up, if the two agree; whether it did.

    `both` computes gate and up side by side; `first` is a layer of it, for the shape of a trial input.
    """
    kind: Any = activation(part)

    def forward(given: Tensor) -> Tensor:
        found: Tensor = part.down_proj(gated(both(given), kind))
        return found

    given = like(first.weight, 1, 3, first.in_features)
    if not agrees(part.forward(given), forward(given)):
        return False
    replace(part, forward)
    return True


def activation(part: Any) -> str | None:
    """The activation of a gate, by the name in its configuration."""
    config = getattr(part, "config", None)
    return getattr(config, "hidden_act", None) or getattr(config, "hidden_activation", None)


#: Modules of the library whose rotation was replaced, and whether that succeeded.
_rotations: dict[str, bool] = {}


def replace_rotation(part: Any, weight: Tensor) -> bool:
    """Replaces the library module's function that rotates queries and keys.

    Args:
        part: an attention layer.
        weight: of its projection, for type and device.
    """
    name = type(part).__module__
    module: Any = sys.modules[name]
    own = getattr(module, "apply_rotary_pos_emb", None)
    size = getattr(part, "head_dim", None)
    if name in _rotations or own is None or not isinstance(size, int) or size % 2:
        return _rotations.get(name, False)
    query, key = like(weight, 1, 4, 3, size), like(weight, 1, 2, 3, size)
    angles = like(weight, 1, 3, size // 2)
    cos, sin = (torch.cat((each, each), dim=-1) for each in (angles.cos(), angles.sin()))
    try:
        wanted = own(query, key, cos, sin)
    except Exception:  # a different form
        _rotations[name] = False
        return False
    found = rotate(query, key, cos, sin)
    _rotations[name] = all(agrees(*pair) for pair in zip(wanted, found, strict=True))

    def either(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *more: Any, **named: Any) -> Any:
        simple = _active and not more and not named and q.shape[0] == 1 and cos.dim() == 3
        whole = cos.shape[-1] == q.shape[-1] == k.shape[-1] and cos.shape == sin.shape
        beside = q.stride(-1) == k.stride(-1) == cos.stride(-1) == sin.stride(-1) == 1
        if simple and whole and beside and cos.dtype == q.dtype and cos.stride() == sin.stride():
            return rotate(q, k, cos, sin)
        return own(q, k, cos, sin, *more, **named)

    if _rotations[name]:
        module.apply_rotary_pos_emb = either
    return _rotations[name]
