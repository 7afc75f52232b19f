# pyright: basic
"""The arguments that every command with a model has: device, model, type; and a small pool.

torch is imported only when a device or a type is chosen.
"""

from __future__ import annotations

import argparse
from typing import Any

from lineclear.cli.exits import UsageError

#: Defaults for a drawn workload: a pool that is too small.
SMALL = {
    "num_gpu_blocks": 30,
    "num_cpu_blocks": 16,
    "block_size": 16,
    "max_num_seqs": 16,
    "max_num_batched_tokens": 256,
    "max_model_len": 256,
    "watermark": 0.0,
    "scheduling_policy": "priority",
    "preemption_mode": "by_length",
    "swap_threshold": 80,
    "max_steps_in_flight": 2,
}


def add_model(parser: argparse.ArgumentParser, kinds: str) -> None:
    """Adds the arguments that choose a device, a model and its type; `kinds` lists what a name may be."""
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda if available")
    parser.add_argument(
        "--model", default="tiny-llama", metavar="NAME", help=f"{kinds} (default: tiny-llama)"
    )
    parser.add_argument("--dtype", metavar="NAME", help="float32, float16 or bfloat16")


def device_of(arguments: argparse.Namespace) -> str:
    """The chosen device; by default a GPU, if there is one.

    Raises:
        UsageError: there is no such device.
    """
    import torch

    device: str = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("there is no CUDA device here; use --device cpu")
    return device


def refuse_of_gpu(arguments: argparse.Namespace, device: str, *names: str) -> None:
    """Refuses these arguments, which say how a GPU is used, on a CPU.

    Raises:
        UsageError: names those that were written.
    """
    if device == "cpu":
        why = "a CPU records no steps, fuses no layers and has pools of the sizes of the settings"
        arguments.parser.refuse(why, *names)


def dtype_of(arguments: argparse.Namespace) -> Any:
    """The chosen torch type; None for that of the model.

    Raises:
        UsageError: there is no such type.
    """
    from lineclear_gpu.shape import DTYPES

    if arguments.dtype is not None and arguments.dtype not in DTYPES:
        raise UsageError(f"--dtype is one of {', '.join(DTYPES)}, not {arguments.dtype}")
    return DTYPES.get(arguments.dtype or "")
