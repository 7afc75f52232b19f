"""vLLM's V1 schedulers on a CPU, recorded under memory pressure.

The engine's sources are not part of this project. Its wheel has them; only the .py files are needed,
57 MB, and neither its kernels nor a GPU:

    pip download vllm==0.33.0 --no-deps && unzip -q vllm-*.whl '*.py' -d vllm-sources
    pip install torch transformers pydantic msgspec cachetools
    VLLM_SOURCES=vllm-sources python examples/vllm_recorded.py --runs 200

`Scheduler`, `AsyncScheduler`, the KV cache manager, the block pool and the requests run as they are.
Stubbed: packages that are imported and not used (`vllm_sources.MISSING`), the engine's configuration, and the model,
which samples fixed tokens: this is accounting only. Each run is recorded by
`lineclear.recorders.VllmRecorder` and checked event by event, and what the scheduler sends to the
workers is compared with its tables.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, cast
from zlib import crc32

from vllm_sources import Settings, module

from lineclear.conform import Checker, Violation, Writer
from lineclear.recorders.vllm_v1 import VllmRecorder, header_of
from lineclear.testing import Limits
from lineclear.testing.scope import propose

VERSION = "0.33.0"


@dataclass(frozen=True)
class Setting:
    """How the engine is configured; six blocks of two tokens put every request under pressure."""

    caching: bool = True
    chunked: bool = True
    policy: str = "fcfs"
    later: bool = False
    """Whether the next step is planned before the tokens of the last one are known."""

    @property
    def limits(self) -> Limits:
        flights = 2 if self.later else 1
        return Limits(blocks=6, block_size=2, max_seqs=3, max_tokens=8, in_flight=flights,
                      chunked=self.chunked)  # fmt: skip

    @property
    def order(self) -> str | None:
        """The order of the queue; with two steps in flight, requests that wait for tokens are skipped."""
        names = {"fcfs": "fcfs", "priority": "priority_low_first"}
        return None if self.later else names[self.policy]


SETTINGS = {
    "Scheduler": Setting(),
    "Scheduler, no prefix cache": Setting(caching=False),
    "Scheduler, whole prompts": Setting(chunked=False),
    "Scheduler, by priority": Setting(policy="priority"),
    "AsyncScheduler": Setting(later=True),
    "AsyncScheduler, no prefix cache": Setting(later=True, caching=False),
    "AsyncScheduler, whole prompts": Setting(later=True, chunked=False),
    "AsyncScheduler, by priority": Setting(later=True, policy="priority"),
}


class Broken(Exception):
    """An event of the log breaks a rule."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(f"{violation.code} {violation.rule}.{violation.clause}")
        self.violation = violation


class Engine:
    """One of vLLM's schedulers, its plans in flight, what its workers know, and its recorder."""

    def __init__(self, setting: Setting) -> None:
        self.setting, self.limits = setting, setting.limits
        self.outputs, self.request = module("v1.outputs"), module("v1.request")
        self.sampling = module("sampling_params").SamplingParams
        hashing, function = module("v1.core.kv_cache_utils"), module("utils.hashing").sha256
        hashing.init_none_hash(function)
        self.hasher = hashing.get_request_block_hasher(self.limits.block_size, function)
        name = "AsyncScheduler" if setting.later else "Scheduler"
        cls = getattr(module(f"v1.core.sched.{'async_' * setting.later}scheduler"), name)
        self.scheduler = cls(
            vllm_config=self.config(module("config.scheduler").SchedulerConfig),
            kv_cache_config=self.cache(module("v1.kv_cache_interface")),
            structured_output_manager=Settings(accept_tokens=lambda *_: True),
            block_size=self.limits.block_size,
        )
        self.tables: dict[str, list[int]] = {}
        self.flights: list[Any] = []
        self.names: list[str] = []
        header = replace(header_of(self.scheduler, VERSION), order=setting.order)
        self.keep: Callable[[dict[str, Any]], object] = lambda event: None
        self.checker = Checker(header)
        self.recorder = VllmRecorder(self.scheduler, self.judge)

    def config(self, scheduler_config: Any) -> Settings:
        limits, setting = self.limits, self.setting
        longest = limits.longest + 1 if setting.chunked else limits.max_tokens
        return Settings(
            scheduler_config=scheduler_config(
                max_model_len=longest,
                is_encoder_decoder=False,
                max_num_batched_tokens=limits.max_tokens,
                max_num_seqs=limits.max_seqs,
                enable_chunked_prefill=setting.chunked,
                policy=setting.policy,
                async_scheduling=setting.later,
            ),
            cache_config=Settings(
                num_gpu_blocks=limits.blocks + 1, enable_prefix_caching=setting.caching
            ),
            model_config=Settings(max_model_len=longest),
            parallel_config=Settings(
                data_parallel_index=0,
                data_parallel_size=1,
                decode_context_parallel_size=1,
                prefill_context_parallel_size=1,
                pipeline_parallel_size=1,
            ),
            observability_config=Settings(per_request_spec_decode_metrics="none"),
            ec_manager_config=Settings(get_encoder_cache_manager_obj=lambda: None),
            aux_output_config=Settings(enabled=False),
            num_speculative_tokens=0,
            num_lookahead_tokens=0,
            num_prefill_lookahead_tokens=0,
            num_hash_lookahead_tokens=0,
            max_in_flight_tokens=limits.max_tokens * limits.in_flight,
            max_concurrent_batches=limits.in_flight,
        )

    def cache(self, interface: Any) -> Any:
        float32 = importlib.import_module("torch").float32
        size = self.limits.block_size
        spec = interface.FullAttentionSpec(
            block_size=size, num_kv_heads=1, head_size=1, dtype=float32
        )
        blocks = self.limits.blocks + 1  # block 0 is the null block
        return interface.KVCacheConfig(blocks, [], [interface.KVCacheGroupSpec(["layer"], spec)])

    def judge(self, event: dict[str, Any]) -> None:
        """Checks an event of the log."""
        self.keep(event)
        for violation in self.checker.feed(event):
            raise Broken(violation)

    def submit(self, name: str, prompt: Sequence[int], max_new: int) -> None:
        stop = [2] if crc32(name.encode()) % 3 == 0 else []
        self.names.append(name)
        self.scheduler.add_request(
            self.request.Request(
                request_id=name,
                prompt_token_ids=list(prompt),
                sampling_params=self.sampling(
                    max_tokens=max_new, ignore_eos=True, temperature=0.0, stop_token_ids=stop
                ),
                pooling_params=None,
                arrival_time=float(len(self.names)),
                priority=len(prompt) % 3 if self.setting.policy == "priority" else 0,
                block_hasher=self.hasher,
            )
        )

    def abort(self, name: str) -> None:
        self.scheduler.finish_requests(name, self.request.RequestStatus.FINISHED_ABORTED)

    def step(self) -> None:
        """One turn of the engine's loop."""
        if self.scheduler.has_requests():
            plan = self.scheduler.schedule()
            samples = self.forward(plan)
            self.flights.append((plan, samples))
            if len(self.flights) < self.limits.in_flight and plan.num_scheduled_tokens:
                return
        if self.flights:
            plan, samples = self.flights.pop(0)
            names = list(samples)
            self.scheduler.update_from_output(
                plan,
                self.outputs.ModelRunnerOutput(
                    req_ids=names,
                    req_id_to_index={name: index for index, name in enumerate(names)},
                    sampled_token_ids=list(samples.values()),
                ),
            )

    def forward(self, plan: Any) -> dict[str, list[int]]:
        """Samples for each row, after a comparison of the workers' tables with the scheduler's."""
        for name in plan.finished_req_ids:
            self.tables.pop(name, None)
        for new in plan.scheduled_new_reqs:
            self.tables[new.req_id] = list(new.block_ids[0])
        cached = plan.scheduled_cached_reqs
        for name, blocks in zip(cached.req_ids, cached.new_block_ids, strict=True):
            if name in cached.resumed_req_ids:
                self.tables[name] = []
            self.tables[name] += blocks[0] if blocks else []
        samples: dict[str, list[int]] = {}
        for name in plan.num_scheduled_tokens:
            request = self.scheduler.requests[name]
            if self.tables[name] != self.recorder.state.table(name):
                raise AssertionError(
                    f"{name}: the workers know {self.tables[name]}, the scheduler "
                    f"{self.recorder.state.table(name)}"
                )
            token = crc32(f"{name}:{request.num_computed_tokens}".encode()) % 3
            samples[name] = [] if request.is_prefill_chunk else [token]
        return samples


def drive(engine: Engine, number: int) -> None:
    """One random workload, then steps until every request has ended.

    Raises:
        Broken: an event breaks a rule.
    """
    longest = engine.scheduler.max_model_len
    for kind, *rest in propose(Random(f"vllm:{number}"), engine.limits):
        if kind == "step":
            engine.step()
        elif kind == "abort":
            engine.abort(cast("str", rest[0]))
        else:
            name, prompt, max_new = cast("tuple[str, Sequence[int], int]", tuple(rest))
            if len(prompt) + max_new <= longest:  # the front end rejects others
                engine.submit(name, prompt, max_new)
    while engine.scheduler.has_unfinished_requests() or engine.flights:
        engine.step()


def search(name: str, runs: int) -> dict[str, Any]:
    """Runs of one setting until one breaks a rule or raises: their number, events and seconds."""
    counts: Counter[str] = Counter()
    Engine(SETTINGS[name])  # the first one imports vLLM, which is not timed
    started, done, broken = time.process_time(), 0, ""
    while done < runs and not broken:
        engine = Engine(SETTINGS[name])
        try:
            drive(engine, done)
        except Exception as error:  # any exception is a finding
            broken = f"run {done}: {type(error).__name__}: {error}"
        counts += engine.checker.counts
        done += 1
    seconds = round(time.process_time() - started, 1)
    return {"setting": name, "runs": done, "seconds": seconds, "broken": broken, "events": counts}


def main() -> int:
    """Prints one JSON object for each setting."""
    parser = argparse.ArgumentParser(description="vLLM's V1 schedulers, recorded and checked.")
    parser.add_argument("--runs", type=int, default=200, help="of each setting (default: 200)")
    parser.add_argument("--setting", choices=SETTINGS, help="only this one")
    parser.add_argument("--log", metavar="FILE", help="write the log of the setting's first run")
    arguments = parser.parse_args()
    results = [search(name, arguments.runs) for name in SETTINGS
               if arguments.setting in (None, name)]  # fmt: skip
    for result in results:
        print(json.dumps(result))
    if arguments.log:
        engine = Engine(SETTINGS[arguments.setting or "Scheduler"])
        with open(arguments.log, "w", encoding="utf-8") as file:
            engine.keep = Writer(file, engine.checker.header)
            drive(engine, 0)
    return int(any(result["broken"] for result in results))


if __name__ == "__main__":
    raise SystemExit(main())
