# pyright: basic
"""Serves a workload with a model: the figures of it, and the figures as text.

Guarantees: the prompts depend on the workload, the vocabulary and the seed alone. A violated
invariant ends the run and is among its figures. torch is imported only when it runs.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from typing import TYPE_CHECKING, Any

from lineclear.cli.exits import NONE_ACCEPTED, UsageError
from lineclear.cli.progress import StatusLine
from lineclear.simulation.metrics import spread

if TYPE_CHECKING:
    from lineclear.workload.workload import Workload
    from lineclear_gpu.engine import Engine
    from lineclear_gpu.llm import LLM
    from lineclear_gpu.outputs import RequestOutput
    from lineclear_gpu.params import SamplingParams


#: Seconds between two lines about a run, where standard error is not a terminal.
LINES = 10.0


class Speed:
    """What an engine has done since it was last looked at.

    Attributes:
        tokens: generated so far.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.tokens = 0
        self._last = (0, 0, 0.0)  # tokens, steps and seconds of waiting at the last look

    def line(self, passed: float) -> str:
        """The figures of the last `passed` seconds."""
        engine = self.engine
        tokens, steps, waited = self._last
        self._last = (self.tokens, engine.steps, engine.executor.waited)
        done = max(1, engine.steps - steps)
        device = (engine.executor.waited - waited) / done * 1e3
        step = passed / done * 1e3
        ledger, counters = engine.scheduler.ledger, engine.scheduler.counters
        used = 1 - (ledger.gpu.free + len(ledger.resting)) / ledger.gpu.total
        return (
            f"{(self.tokens - tokens) / passed:,.0f} tokens/s   step {engine.steps:,}, "
            f"{step:.2f} ms (host {max(0.0, step - device):.2f}, device waited for {device:.2f})   "
            f"KV {used:.0%}   {len(ledger.running)} running, {len(ledger.waiting)} waiting, "
            f"{len(ledger.swapped)} swapped   preempted: {counters.preemptions['swap']} swap, "
            f"{counters.preemptions['recompute']} recompute"
        )


def params_of(workload: Workload, arguments: argparse.Namespace) -> list[SamplingParams]:
    """How each request of the workload is sampled.

    Raises:
        UsageError: an argument or a row of the workload cannot be sampled with.
    """
    from lineclear_gpu.params import ParamsError, SamplingParams

    try:
        return [
            SamplingParams(
                n=arrival.parallel,
                max_tokens=max(arrival.output_tokens),
                temperature=arguments.temperature,
                seed=number,
                ignore_eos=True,
                priority=arrival.priority,
            )
            for number, arrival in enumerate(workload.requests)
        ]
    except ParamsError as error:
        raise UsageError(str(error)) from error


def serve(
    llm: LLM,
    workload: Workload,
    sampling: list[SamplingParams],
    arguments: argparse.Namespace,
    *,
    quiet: bool = False,
) -> dict[str, Any]:
    """Serves the workload; returns figures, and of each request whether it ended well, and its tokens.

    Args:
        llm: the engine and its model.
        workload: the requests.
        sampling: how each is sampled, of `params_of`.
        arguments: of the command.
        quiet: whether to show no progress.
    """
    from lineclear.monitor.audit import InvariantViolation
    from lineclear.monitor.hazards import Hazard
    from lineclear_gpu.engine import EngineError

    engine = llm.engine
    draw = random.Random(arguments.seed)
    outputs: list[RequestOutput] = []
    rejected: list[str] = []
    begin = time.perf_counter()
    for arrival, params in zip(workload.requests, sampling, strict=True):
        prompt = [draw.randrange(llm.model.vocab_size) for _ in range(arrival.prompt_tokens)]
        try:
            tenant = arrival.client or None
            outputs.append(engine.add(arrival.request_id, prompt, params, tenant=tenant))
        except EngineError as error:
            rejected.append(str(error))
    first: dict[Any, float] = {}
    last: dict[Any, float] = {}
    violations: list[str] = []
    speed = Speed(engine)
    with StatusLine(math.inf if quiet else LINES) as shown:
        try:
            while engine.busy and (arguments.steps is None or engine.steps < arguments.steps):
                deltas = engine.step()
                now = time.perf_counter() - begin
                for delta in deltas:
                    if delta.token_ids:
                        first.setdefault(delta.request_id, now)
                        last[delta.request_id] = now
                speed.tokens += sum(len(delta.token_ids) for delta in deltas)
                shown.show(speed.line)
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
        "failed_steps": list(engine.failures),  # the last ones
        "num_failed_steps": engine.failed_steps,
        "steps": engine.steps,
        "preemptions": {
            "swap": counters.preemptions["swap"],
            "recompute": counters.preemptions["recompute"],
        },
        "prefix_cache": {
            "queried_tokens": counters.prefix_queries,
            "found_tokens": counters.prefix_hits,
            "evicted_blocks": counters.evicted,
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
        "tokens": {
            o.request_id: (o.finished and o.error is None, [c.token_ids for c in o.outputs])
            for o in outputs
        },
    }


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
    cache = result["prefix_cache"]
    if cache["queried_tokens"]:
        rows.append(
            (
                "prefix cache",
                f"{cache['found_tokens']:,} of {cache['queried_tokens']:,} prompt tokens found, "
                f"{cache['evicted_blocks']:,} blocks evicted",
            )
        )
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
    lines += [NONE_ACCEPTED] if len(result["rejected"]) == result["requests"] else []
    for key in ("rejected", "errors", "failed_steps", "violations"):
        lines += [f"{key.replace('_', ' ')}: {line}" for line in result[key][:5]]
    return "\n".join(lines)
