# pyright: basic
"""`lineclear run`: the scheduler drives a real block pool, with a model or with tags.

Guarantees: exit code 0 only if every request ended as expected, no invariant was violated and,
with --compare, the tokens equal those under ample memory. torch and transformers are imported only
when it runs.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lineclear.cli.exits import INCONCLUSIVE, PASSED, REFUTED, UsageError
from lineclear.cli.output import add_format, write_json, write_text
from lineclear.cli.settings import add_settings, read_settings
from lineclear.cli.simulate import add_workload, load

if TYPE_CHECKING:
    from lineclear.config import Config
    from lineclear.workload.workload import Workload
    from lineclear_gpu.llm import LLM
    from lineclear_gpu.outputs import RequestOutput

__all__ = ["add_parser", "run"]

EPILOG = """\
Prompts are random tokens; prompt and output lengths come from the workload. All requests are added
at once, in order.

examples:
  lineclear run                                     a tiny model on the CPU, short of memory
  lineclear run --compare                           the same, and again with an ample pool: equal?
  lineclear run --model none --steps 5000           no model: tags in every slot, checked when read
  lineclear run trace.csv --model ./llama --device cuda --gpu-memory-utilization 0.8
  lineclear run --verify-each-step --format json    every invariant in every step
"""

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
    "depth": 2,
}

#: Requests per second; arrival times have no effect here.
EVERYBODY_AT_ONCE = 1e9


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "run",
        help="run a model on the verified scheduler",
        description="Run a model, or tags instead of one, over real block pools.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workload", nargs="?", metavar="WORKLOAD", help="default: a random one")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda if available")
    parser.add_argument(
        "--model",
        default="tiny-llama",
        metavar="NAME",
        help="a preset with random weights, a folder, an id of the hub, or none (default: tiny-llama)",
    )
    parser.add_argument("--dtype", metavar="NAME", help="float32, float16 or bfloat16")
    parser.add_argument(
        "--gpu-memory-utilization", type=float, default=0.9, metavar="SHARE", help="default: 0.9"
    )
    parser.add_argument(
        "--eager",
        action="store_true",
        help="on a GPU: no recorded steps and no fused layers; the host launches every kernel",
    )
    parser.add_argument(
        "--calibration",
        metavar="FILE",
        help="measured costs for --preemption-mode auto (default: on a GPU the file of "
        "`lineclear calibrate`; measured at start if it lacks them)",
    )
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy (default: 0)")
    parser.add_argument("--steps", type=int, metavar="N", help="stop after this many steps")
    parser.add_argument(
        "--verify-each-step",
        action="store_true",
        help="check every invariant and the order of all accesses after each step",
    )
    parser.add_argument(
        "--compare", action="store_true", help="run again with ample memory and compare tokens"
    )
    add_settings(parser)
    add_workload(parser)
    add_format(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs with tags or with a model."""
    import torch

    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("there is no CUDA device here; use --device cpu")
    if arguments.steps is not None and arguments.steps < 1:
        raise UsageError(f"--steps is {arguments.steps}; give 1 or more")
    if arguments.model == "none":
        return run_tags(arguments, device)
    return run_model(arguments, device)


# ---- tags -----------------------------------------------------------------------------------------


def run_tags(arguments: argparse.Namespace, device: str) -> int:
    """Random requests, forks and aborts; checks every slot that is read."""
    from lineclear_gpu.tag_run import TagRun, pressure

    if arguments.workload is not None or arguments.generate is not None:
        raise UsageError("--model none generates its own requests: omit the workload")
    defaults = {name: getattr(pressure(), name) for name in SMALL}
    config = read_settings(arguments, defaults)
    steps = arguments.steps or 2000
    start = time.perf_counter()
    made = TagRun(config, arguments.seed, device=device, check=arguments.verify_each_step)
    figures = made.run(steps)
    seconds = time.perf_counter() - start
    result = {
        "model": None,
        "device": device,
        "seed": arguments.seed,
        "steps": figures.steps,
        "rows": figures.rows,
        "slots_checked": figures.slots,
        "wrong_slots": 0,
        "events": dict(sorted(figures.events.items())),
        "seconds": seconds,
    }
    if arguments.format == "json":
        write_json(result)
    else:
        events = ", ".join(f"{count:,} {name}" for name, count in result["events"].items())
        write_text(
            f"{figures.steps:,} steps on {device} in {seconds:.1f} s, {figures.rows:,} rows\n"
            f"{figures.slots:,} slots read and checked, none wrong\n{events}"
        )
    return PASSED


# ---- models ---------------------------------------------------------------------------------------


def run_model(arguments: argparse.Namespace, device: str) -> int:
    """Serves a workload with a model."""
    from lineclear_gpu.engine import EngineError
    from lineclear_gpu.llm import LLM, CalibrationError
    from lineclear_gpu.model import ModelError, Unsupported, load_model
    from lineclear_gpu.pool import PoolError
    from lineclear_gpu.shape import DTYPES

    if arguments.dtype is not None and arguments.dtype not in DTYPES:
        raise UsageError(f"--dtype is one of {', '.join(DTYPES)}, not {arguments.dtype}")
    drawn = arguments.workload is None
    defaults = {"depth": 2} if device == "cuda" else {}
    config = read_settings(arguments, SMALL if drawn else defaults)
    workload = short(arguments) if drawn and arguments.generate is None else load(arguments)
    try:
        model = load_model(
            arguments.model,
            device=device,
            dtype=DTYPES.get(arguments.dtype or ""),
            seed=arguments.seed,
        )
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
    served = serve(llm, workload, arguments)
    same: bool | None = None
    if arguments.compare:
        llm.close()
        ample = replace(
            llm.config,
            num_gpu_blocks=llm.config.max_num_seqs
            * -(-llm.config.max_model_len // llm.config.block_size),
        )
        again = LLM(model, config=ample, seed=arguments.seed, eager=arguments.eager or None)
        reference = serve(again, workload, arguments, quiet=True)
        same = served["tokens"] == reference["tokens"]
        served["ample"] = {
            "preemptions": reference["preemptions"],
            "seconds": reference["seconds"],
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
    return INCONCLUSIVE if result["errors"] or result["unfinished"] else PASSED


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
    rate = arguments.request_rate or EVERYBODY_AT_ONCE
    try:
        return synthetic(
            arguments.num_requests or 24, rate, arguments.seed, prompts=prompts, outputs=outputs
        )
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


def serve(
    llm: LLM, workload: Workload, arguments: argparse.Namespace, *, quiet: bool = False
) -> dict[str, Any]:
    """Serves the workload; returns figures and tokens."""
    from lineclear.monitor.audit import InvariantViolation
    from lineclear.monitor.hazards import Hazard
    from lineclear_gpu.engine import EngineError
    from lineclear_gpu.params import SamplingParams

    engine = llm.engine
    draw = random.Random(arguments.seed)
    outputs: list[RequestOutput] = []
    rejected: list[str] = []
    begin = time.perf_counter()
    for number, arrival in enumerate(workload.requests):
        prompt = [draw.randrange(llm.model.vocab_size) for _ in range(arrival.prompt_tokens)]
        params = SamplingParams(
            n=arrival.parallel,
            max_tokens=max(arrival.output_tokens),
            temperature=arguments.temperature,
            seed=number,
            ignore_eos=True,
            priority=arrival.priority,
        )
        try:
            engine.add(arrival.request_id, prompt, params, tenant=arrival.client or None)
            outputs.append(engine.live[arrival.request_id].output)
        except EngineError as error:
            rejected.append(str(error))
    first: dict[Any, float] = {}
    last: dict[Any, float] = {}
    violations: list[str] = []
    view = ProgressView(engine, quiet)
    with view:
        try:
            while engine.busy and (arguments.steps is None or engine.steps < arguments.steps):
                deltas = engine.step()
                now = time.perf_counter() - begin
                for delta in deltas:
                    if delta.token_ids:
                        first.setdefault(delta.request_id, now)
                        last[delta.request_id] = now
                view.show(deltas)
        except (InvariantViolation, Hazard) as violation:
            violations.append(str(violation))
    seconds = time.perf_counter() - begin
    generated = sum(len(c.token_ids) for output in outputs for c in output.outputs)
    rates = [
        (last[o.request_id] - first[o.request_id]) / (most - 1)
        for o in outputs
        if (most := max(len(c.token_ids) for c in o.outputs)) > 1
    ]
    counters = engine.scheduler.counters
    hazards = engine.executor.hazards
    return {
        "workload": workload.name,
        "requests": len(workload.requests),
        "finished": sum(output.finished and output.error is None for output in outputs),
        "unfinished": sum(not output.finished for output in outputs),
        "rejected": rejected,
        "errors": [f"{o.request_id}: {o.error}" for o in outputs if o.error is not None],
        "failed_steps": list(engine.failures),
        "steps": engine.steps,
        "preemptions": {
            "swap": counters.preemptions["swap"],
            "recompute": counters.preemptions["recompute"],
        },
        "generated_tokens": generated,
        "seconds": seconds,
        "tokens_per_second": generated / seconds if seconds else None,
        "ttft": spread(list(first.values())),
        "tpot": spread(rates),
        "invariant_checks": engine.checks,
        "ordered_accesses": 0 if hazards is None else hazards.checked,
        "violations": violations,
        "blocks": {"gpu": llm.config.num_gpu_blocks, "cpu": llm.config.num_cpu_blocks},
        "bytes_out": engine.executor.transfer.bytes_out,
        "bytes_in": engine.executor.transfer.bytes_in,
        "tokens": [[c.token_ids for c in output.outputs] for output in outputs],
    }


def spread(values: list[float]) -> dict[str, float] | None:
    """Mean and percentiles, in seconds."""
    if not values:
        return None
    ordered = sorted(values)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return {"mean": statistics.mean(values), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99)}


#: Seconds between two updates on a terminal, and between two lines elsewhere.
PICTURES, LINES = 0.2, 10.0


class ProgressView:
    """Progress on standard error: a live view on a terminal, otherwise a line now and then."""

    def __init__(self, engine: Any, quiet: bool) -> None:
        self.engine = engine
        self.quiet = quiet
        self.tokens = 0
        self.begin = self.drawn = time.perf_counter()
        self._last = (0, 0, 0.0)  # tokens, steps and seconds of waiting at the last update
        self._live: Any = None

    def __enter__(self) -> ProgressView:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, deltas: list[Any]) -> None:
        """Updates the figures; redraws if it is time."""
        self.tokens += sum(len(delta.token_ids) for delta in deltas)
        now = time.perf_counter()
        passed = now - self.drawn
        if self.quiet or passed < (LINES if self._live is None else PICTURES):
            return
        line = self.line(passed)
        self.drawn = now
        if self._live is None:
            sys.stderr.write(line + "\n")
        else:
            self._live.update(line)

    def line(self, passed: float) -> str:
        """The figures of the last `passed` seconds."""
        engine = self.engine
        tokens, steps, waited = self._last
        self._last = (self.tokens, engine.steps, engine.executor.waited)
        done = max(1, engine.steps - steps)
        device = (engine.executor.waited - waited) / done * 1e3
        step = passed / done * 1e3
        ledger, counters = engine.scheduler.ledger, engine.scheduler.counters
        used = 1 - ledger.gpu.free / ledger.gpu.total
        return (
            f"{(self.tokens - tokens) / passed:,.0f} tokens/s   step {engine.steps:,}, "
            f"{step:.2f} ms (host {max(0.0, step - device):.2f}, device waited for {device:.2f})   "
            f"KV {used:.0%}   {len(ledger.running)} running, {len(ledger.waiting)} waiting, "
            f"{len(ledger.swapped)} swapped   preempted: {counters.preemptions['swap']} swap, "
            f"{counters.preemptions['recompute']} recompute"
        )


def summary(result: dict[str, Any]) -> str:
    """The result as text."""
    swaps, recomputes = result["preemptions"]["swap"], result["preemptions"]["recompute"]
    rows = [
        (
            "model",
            f"{result['model']} ({result['dtype'].removeprefix('torch.')}) on {result['device']}",
        ),
        ("workload", result["workload"]),
        ("pool", f"{result['blocks']['gpu']:,} GPU and {result['blocks']['cpu']:,} CPU blocks"),
        (
            "requests",
            f"{result['requests']:,}: {result['finished']:,} finished, "
            f"{len(result['rejected']):,} rejected, {len(result['errors']):,} failed",
        ),
        ("steps", f"{result['steps']:,} in {result['seconds']:.1f} s"),
        ("tokens", f"{result['generated_tokens']:,}, {result['tokens_per_second']:,.0f} a second"),
        (
            "preemptions",
            f"{swaps:,} by swap ({result['bytes_out']:,} bytes out, {result['bytes_in']:,} in), "
            f"{recomputes:,} by recompute",
        ),
    ]
    if result["invariant_checks"]:
        rows.append(
            (
                "invariants",
                f"checked {result['invariant_checks']:,} times, {len(result['violations'])} "
                f"violations; {result['ordered_accesses']:,} conflicting accesses, all ordered",
            )
        )
    if result["same_tokens"] is not None:
        rows.append(
            (
                "ample pool",
                f"{'the same' if result['same_tokens'] else 'OTHER'} tokens; preempted there: "
                f"{result['ample']['preemptions']['swap']} by swap, "
                f"{result['ample']['preemptions']['recompute']} by recompute",
            )
        )
    lines = [f"{name:12}  {value}" for name, value in rows]
    for key in ("ttft", "tpot"):
        if result[key] is not None:
            parts = ", ".join(f"{name} {value:.4f}" for name, value in result[key].items())
            lines.append(f"{key.upper():12}  {parts} s")
    for key in ("rejected", "errors", "failed_steps", "violations"):
        lines += [f"{key.replace('_', ' ')}: {line}" for line in result[key][:5]]
    return "\n".join(lines)
