# pyright: basic
"""`lineclear calibrate`: measures what swapping and recomputing a token cost, and keeps it in a file.

Guarantees: exit code 0 only if the costs were measured now and are in the file. torch and
transformers are imported only when it runs.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lineclear.cli.exits import PASSED, UsageError
from lineclear.cli.files import need_file, need_folder
from lineclear.cli.numbers import whole
from lineclear.cli.output import add_format, write_json, write_text
from lineclear_gpu.model_arguments import add_model, device_of, dtype_of, refuse_of_gpu

EPILOG = """\
The costs are microseconds per token: to move its KV out and in again, and to compute its KV again in a
step of many tokens. `lineclear run` and LLM read them from the file when preemption_mode is auto and the
settings leave both costs at their defaults. They hold for one device, model, type and block size;
another one has an entry of its own.

The file is that of LINECLEAR_CALIBRATION, else lineclear/calibration.json in the user's cache folder
(XDG_CACHE_HOME, else ~/.cache).

examples:
  lineclear calibrate --model ./llama               on the GPU, if there is one
  lineclear calibrate --model ./llama --eager       for `lineclear run --eager`
  lineclear calibrate --format json                 the costs, the file and what they hold for
  lineclear calibrate --file costs.json && lineclear run --calibration costs.json
"""


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "calibrate",
        help="measure what swap and recompute cost on this device",
        description="Measure what swapping and recomputing a token cost here; keep it in a file.",
        epilog=EPILOG,
    )
    add_model(parser, "a preset with random weights, a folder or an id of the hub")
    parser.add_argument(
        "--block-size",
        type=whole(1, 256),
        default=16,
        metavar="INT",
        help="tokens per block (default: 16)",
    )
    parser.add_argument(
        "--eager", action="store_true", help="the host launches every kernel of the measured steps"
    )
    parser.add_argument("--file", metavar="FILE", help="where to keep the costs")
    add_format(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measures and saves."""
    from lineclear.config import ConfigError
    from lineclear_gpu.calibration import CalibrationError, default_path, entries, save
    from lineclear_gpu.costs import BLOCKS, TOKENS, measure
    from lineclear_gpu.llm import LLM
    from lineclear_gpu.model import ModelError, Unsupported, load_model
    from lineclear_gpu.pool import PoolError
    from lineclear_gpu.transfer import Transfer

    device, dtype = device_of(arguments), dtype_of(arguments)
    refuse_of_gpu(arguments, device, "eager")
    path = default_path() if arguments.file is None else Path(arguments.file)
    try:
        (need_file if path.exists() else need_folder)(path)
    except UsageError as error:
        raise UsageError(f"{error}; name another file with --file") from error
    size: int = arguments.block_size
    try:
        entries(path)  # whether it holds costs, before the work
        llm = LLM(
            load_model(arguments.model, device=device, dtype=dtype),
            eager=arguments.eager or None,
            calibration=False,
            block_size=size,
            max_num_seqs=16,
            max_num_batched_tokens=TOKENS,
            num_gpu_blocks=max(BLOCKS, -(-2 * TOKENS // size)),
            num_cpu_blocks=BLOCKS,
        )
        subject = llm.subject()
        costs = measure(llm.runner, Transfer(llm.pool), llm.config, llm.model.device)
        llm.close()
        save(path, subject, costs)
    except (ModelError, Unsupported, PoolError, ConfigError, CalibrationError) as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror}; name another file with --file"
        ) from error
    result = {
        "file": str(path),
        "swap_token_cost": costs.swap,
        "recompute_token_cost": costs.recompute,
        "unit": "microseconds per token",
        **asdict(subject),
    }
    if arguments.format == "json":
        write_json(result)
    else:
        write_text(
            f"{costs}\n"
            f"{subject.model}, {subject.dtype} on {subject.device}, {subject.token_bytes:,} bytes a "
            f"token in blocks of {subject.block_size}, steps {subject.steps}\n"
            f"kept in {path}"
        )
    return PASSED
