# pyright: basic
"""`lineclear run` with a model: loads it, sizes the pool, serves the workload, compares and reports.

Guarantees: exit code 0 only if every accepted request ended as expected, no invariant was violated and,
with --compare, the tokens equal those under ample memory; 1 only if one was violated or a token differs.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lineclear.cli.exits import INCONCLUSIVE, PASSED, REFUTED, UsageError
from lineclear.cli.output import write_json, write_text
from lineclear.cli.settings import read_settings
from lineclear.cli.simulate import load
from lineclear_gpu.model_arguments import SMALL, dtype_of, refuse_of_gpu
from lineclear_gpu.serving import params_of, serve, summary

if TYPE_CHECKING:
    from lineclear.config import Config
    from lineclear.workload.workload import Workload
    from lineclear_gpu.model import Model

#: Requests per second; arrival times have no effect here.
AT_ONCE = 1e9
#: A model with fewer weights is computed by one thread.
FEW_WEIGHTS = 50_000_000


def run_model(arguments: argparse.Namespace, device: str) -> int:
    """Serves a workload with a model."""
    from lineclear_gpu.block_names import serving_settings
    from lineclear_gpu.costs import weighs
    from lineclear_gpu.engine import EngineError
    from lineclear_gpu.llm import LLM, CalibrationError
    from lineclear_gpu.model import ModelError, Unsupported, load_model
    from lineclear_gpu.pool import PoolError

    refuse_of_gpu(arguments, device, "eager", "gpu_memory_utilization")
    if arguments.generate is None:
        arguments.parser.refuse("all requests are added at once", "request_rate")
    dtype = dtype_of(arguments)
    drawn = arguments.workload is None
    defaults = {"max_steps_in_flight": 2} if device == "cuda" else {}
    config = read_settings(arguments, SMALL if drawn else defaults, serving_settings)
    if arguments.calibration is not None and not weighs(config):
        raise UsageError(
            f"--calibration {arguments.calibration} is read only if --preemption-mode is auto, there are CPU "
            f"blocks and no costs are set; the mode is {config.preemption_mode}: omit --calibration, or set auto"
        )
    shortened = drawn and arguments.generate is None
    workload = short(arguments) if shortened else load(arguments, seeded=True)
    sampling = params_of(workload, arguments)  # before a model is loaded in vain
    try:
        model = load_model(arguments.model, device=device, dtype=dtype, seed=arguments.seed)
        use_threads(model)
        llm = LLM(
            model, config=sized(arguments, config, model), verify=arguments.verify_each_step,
            seed=arguments.seed, eager=arguments.eager or None, progress=recording,
            calibration=arguments.calibration,
        )  # fmt: skip
    except (ModelError, Unsupported, PoolError, EngineError, CalibrationError) as error:
        raise UsageError(str(error)) from error
    if device == "cuda":
        sys.stderr.write(f"{llm.recorded}\n{llm.calibrated}\n")
    recorded = llm.recorded
    served = serve(llm, workload, sampling, arguments)
    same: bool | None = None
    if arguments.compare:
        llm.close()
        ample = replace(
            llm.config,
            num_gpu_blocks=llm.config.max_num_seqs
            * -(-llm.config.max_model_len // llm.config.block_size),
            prefix_caching="off",
        )
        again = LLM(model, config=ample, seed=arguments.seed, eager=arguments.eager or None)
        reference = serve(again, workload, sampling, arguments, quiet=True)
        same = same_tokens(served["tokens"], reference["tokens"])
        served["ample"] = {
            "preemptions": reference["preemptions"],
            "seconds": reference["seconds"],
            "cut": reference["unfinished"] + len(reference["errors"]),
        }
    del served["tokens"]
    result = {"model": arguments.model, "device": device, "dtype": str(model.dtype), **served}
    result["recorded"] = recorded
    result["costs"] = {
        "swap_token_cost": llm.config.swap_token_cost,
        "recompute_token_cost": llm.config.recompute_token_cost,
        "source": llm.calibrated,
    }
    result["same_tokens"] = same
    if arguments.format == "json":
        write_json(result)
    else:
        write_text(summary(result))
    if same is False or result["violations"]:
        return REFUTED
    none_accepted = len(result["rejected"]) == result["requests"]
    cut = result["errors"] or result["unfinished"] or (same and result["ample"]["cut"])
    return INCONCLUSIVE if none_accepted or cut else PASSED


def same_tokens(found: dict[Any, Any], wanted: dict[Any, Any]) -> bool:
    """Whether two runs of `serve` have the same tokens of each request that both served, as far as both went."""
    for request in found.keys() & wanted.keys():
        (ended, outputs), (ended_too, others) = found[request], wanted[request]
        for one, other in zip(outputs, others, strict=True):
            common = None if ended and ended_too else min(len(one), len(other))
            if one[:common] != other[:common]:
                return False
    return True


def use_threads(model: Model) -> None:
    """One thread for a small model on the CPU, unless the user's environment says how many.

    A step of a tiny model is microseconds of work in each of hundreds of operations, and every one of
    them waits until the last thread is scheduled: on a busy machine with two cores such a step took
    eight to twenty times as long with two threads as with one.
    """
    import torch

    if model.device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        weights = sum(each.numel() for each in model.module.parameters())
        if weights < FEW_WEIGHTS:
            torch.set_num_threads(1)


def recording(done: int, total: int) -> None:
    """Shows progress of recording on a terminal."""
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        sys.stderr.write(f"\rrecording steps: {done} of {total}{end}")
        sys.stderr.flush()


def short(arguments: argparse.Namespace) -> Workload:
    """The default workload: short prompts and outputs, for a tiny model."""
    from lineclear.workload.workload import Lengths, WorkloadError, synthetic

    prompts = Lengths(median=48, sigma=0.8, least=4, most=160)
    outputs = Lengths(median=24, sigma=0.6, least=4, most=64)
    arguments.parser.refuse("a generated workload has limits of its own", "max_tokens")
    count = arguments.num_requests or 24
    try:
        return synthetic(count, AT_ONCE, arguments.seed, prompts=prompts, outputs=outputs)
    except WorkloadError as error:
        raise UsageError(str(error)) from error


def sized(arguments: argparse.Namespace, config: Config, model: Any) -> Config:
    """The settings, with a pool sized to the device unless given."""
    from lineclear_gpu.pool import blocks_for
    from lineclear_gpu.reserve import reserve
    from lineclear_gpu.shape import KVShape

    config = replace(config, max_model_len=min(config.max_model_len, model.max_model_len))
    chosen = arguments.num_gpu_blocks is not None or arguments.config is not None
    if chosen or arguments.workload is None or model.device.type == "cpu":
        return config
    shape = KVShape(model.layers, model.kv_heads, model.head_dim, config.block_size, model.dtype)
    reserved = reserve(model, config, None, not arguments.eager)
    blocks = blocks_for(shape, model.device, arguments.gpu_memory_utilization, reserved)
    return replace(config, num_gpu_blocks=blocks)
