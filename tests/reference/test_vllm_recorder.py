"""The recorder of vLLM's V1 scheduler.

What is asserted of the engine is that runs end and that the log says what happened; whether it keeps
the rules is its affair. That the log shows a fault is asserted with faults planted here. The tests
with the mark `vllm` need the engine's Python files, in the folder that VLLM_SOURCES names, and run it in
a process of its own: the recipe is in docs/recorders.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lineclear.conform import Checker
from lineclear.recorders import MissingHook, VllmRecorder
from lineclear.recorders.vllm_v1 import header_of

ROOT = Path(__file__).parents[2]
VARIABLE = "VLLM_SOURCES"

#: One run with each fault planted, by name: what the log breaks, or "" if nothing; then the rest.
WORK = """
import json
from contextlib import ExitStack
from unittest.mock import patch
from vllm_recorded import SETTINGS, Broken, Engine, drive, search
from vllm_sources import module

pool = module("v1.core.block_pool")
hashing = module("v1.core.kv_cache_utils")
scheduling = module("v1.core.sched.scheduler").Scheduler
coordinator = module("v1.core.kv_cache_coordinator").KVCacheCoordinator
hasher = hashing.get_request_block_hasher

def lengths(size, function):
    "Hashes that name how many tokens come before, not which."
    def blind(request):
        have = len(request.block_hashes)
        return [function((size, k)) for k in range(have, request.num_tokens // size)]
    return blind

def overdraw(self, *rest, **named):
    self.max_num_scheduled_tokens = self.scheduler_config.max_num_batched_tokens = 9
    return schedule(self, *rest, **named)

schedule = scheduling.schedule
FAULTS = {
    "a block is freed and lost": (pool.BlockPool, "free_blocks", lambda self, blocks: None),
    "a block keeps its key": (pool.BlockPool, "_maybe_evict_cached_block", lambda self, b: False),
    "keys are blind to tokens": (hashing, "get_request_block_hasher", lengths),
    "a table is not freed": (coordinator, "free", lambda self, request_id: None),
    "a step is too large": (scheduling, "schedule", overdraw),
}

def broken(runs=30):
    for number in range(runs):
        try:
            drive(Engine(SETTINGS["Scheduler"]), number)
        except Broken as error:
            return f"{error.violation.rule}.{error.violation.clause}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return ""

faults = {}
for name, (owner, attribute, fault) in FAULTS.items():
    with patch.object(owner, attribute, fault):
        faults[name] = broken()

engine = Engine(SETTINGS["Scheduler"])
parts = engine.scheduler, engine.recorder.state.coordinator, engine.recorder.state.pool
hooked = [sorted(vars(part)) for part in parts]
engine.recorder.detach()
hooks = sorted({name for before, part in zip(hooked, parts) for name in before if name not in vars(part)})

engine, events = Engine(SETTINGS["Scheduler"]), []
engine.keep = events.append
engine.submit("a", (0, 1, 0, 1), 3)
engine.step()
engine.scheduler.reset_prefix_cache(reset_running_requests=True)
while engine.scheduler.has_unfinished_requests():
    engine.step()

print(json.dumps({
    "settings": [search(name, 8) for name in SETTINGS],
    "faults": faults,
    "hooks": hooks,
    "reset": events,
}))
"""


def never(key: object, block: int) -> bool:
    """A cache without blocks."""
    return False


def stand_in() -> Any:
    """The attributes of a scheduler that the recorder reads and wraps; it does nothing."""
    queue = SimpleNamespace(get_all_free_blocks=list)
    cache = SimpleNamespace(_cache={}, contain=never)
    pool = SimpleNamespace(
        num_gpu_blocks=9,
        free_block_queue=queue,
        cached_block_hash_to_block=cache,
        cache_full_blocks=print,
        _remove_cached_block_hashes=print,
        reset_prefix_cache=print,
    )
    manager = type("FullAttentionManager", (), {"req_to_blocks": {}, "block_size": 4})()
    coordinator = SimpleNamespace(
        single_type_managers=[manager],
        allocate_new_computed_blocks=print,
        allocate_new_blocks=print,
        free=print,
    )
    names = ("add_request", "schedule", "update_from_output", "finish_requests",
             "reset_prefix_cache", "_preempt_request", "_free_request")  # fmt: skip
    return SimpleNamespace(
        **dict.fromkeys(names, print),
        requests={},
        waiting=[],
        kv_holding_waiting=[],
        running=[],
        connector=None,
        block_size=4,
        hash_block_size=4,
        num_spec_tokens=0,
        max_num_active_reqs=3,
        max_num_scheduled_tokens=16,
        vllm_config=SimpleNamespace(
            max_concurrent_batches=2,
            scheduler_config=SimpleNamespace(long_prefill_token_threshold=0),
        ),
        kv_cache_manager=SimpleNamespace(coordinator=coordinator, block_pool=pool),
    )


def test_the_header_has_the_sizes_of_the_engine() -> None:
    header = header_of(stand_in(), "0.0")
    assert (header.blocks, header.first_id, header.block_size) == (8, 1, 4)
    assert (header.max_seqs, header.max_tokens, header.max_steps_in_flight) == (3, 16, 2)
    assert "accounting only" in header.settings["recorded"]
    Checker(header)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("", "kv_holding_waiting"),
        ("", "_free_request"),
        ("kv_cache_manager.coordinator", "allocate_new_blocks"),
        ("kv_cache_manager.block_pool", "_remove_cached_block_hashes"),
        ("kv_cache_manager.block_pool.cached_block_hash_to_block", "_cache"),
    ],
)
def test_an_attribute_that_is_gone_is_named(path: str, name: str) -> None:
    scheduler = owner = stand_in()
    for part in filter(None, path.split(".")):
        owner = getattr(owner, part)
    delattr(owner, name)
    with pytest.raises(MissingHook, match=f"has no '{name}'"):
        VllmRecorder(scheduler, print)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"connector": object()}, "KV connector"),
        ({"num_spec_tokens": 2}, "2 speculative tokens"),
        ({"hash_block_size": 2}, "hashes of 2"),
    ],
)
def test_what_the_log_cannot_say_is_refused(change: dict[str, Any], what: str) -> None:
    scheduler = stand_in()
    for name, value in change.items():
        setattr(scheduler, name, value)
    with pytest.raises(MissingHook, match=what):
        VllmRecorder(scheduler, print)
    managers = scheduler.kv_cache_manager.coordinator.single_type_managers
    managers[0] = type("MambaManager", (), {"req_to_blocks": {}, "block_size": 4})()
    with pytest.raises(MissingHook, match="MambaManager"):
        VllmRecorder(scheduler, print)
    managers *= 2
    with pytest.raises(MissingHook, match="2 groups of layers"):
        VllmRecorder(scheduler, print)


# ---- the engine ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reported() -> dict[str, Any]:
    """What the process with the engine reports."""
    folder = os.environ.get(VARIABLE, "")
    if not folder:
        pytest.skip(f"{VARIABLE} names no folder with vLLM's Python files: see docs/recorders.md")
    parts = [str(ROOT / part) for part in ("spec", "reference", "gpu_backend", "examples")]
    environment = {VARIABLE: str(Path(folder).resolve()), "PYTHONPATH": os.pathsep.join(parts)}
    done = subprocess.run(
        [sys.executable, "-c", WORK],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.vllm
def test_runs_end_and_their_logs_say_what_happened(reported: dict[str, Any]) -> None:
    for result in reported["settings"]:
        events = result["events"]
        if result["broken"]:  # the engine's affair; the run has ended with a report
            continue
        assert result["runs"] == 8
        assert min(events[kind] for kind in ("submit", "alloc", "step", "settle", "free")) > 8
        assert events["submit"] == events["finish"] + events.get("abort", 0)
        assert ("store" in events) == ("no prefix cache" not in result["setting"])
    kinds = {kind for result in reported["settings"] for kind in result["events"]}
    assert kinds >= {"hit", "evict", "preempt", "abort", "idle", "check"}


@pytest.mark.vllm
def test_the_log_shows_a_planted_fault(reported: dict[str, Any]) -> None:
    assert reported["faults"] == {
        "a block is freed and lost": "conservation.free",
        "a block keeps its key": "allocation.published",
        "keys are blind to tokens": "hit.key",
        "a table is not freed": "once.holds",
        "a step is too large": "budget.tokens",
    }


@pytest.mark.vllm
def test_the_engine_is_as_it_was_when_the_recorder_is_gone(reported: dict[str, Any]) -> None:
    assert len(reported["hooks"]) == 12  # reset_prefix_cache is wrapped twice
    assert "update_from_output" in reported["hooks"]


@pytest.mark.vllm
def test_a_reset_of_the_cache_is_in_the_log(reported: dict[str, Any]) -> None:
    kinds = [event["e"] for event in reported["reset"]]
    reset = kinds.index("preempt")
    assert kinds[reset - 1 : reset + 3] == ["free", "preempt", "evict", "check"]
    assert kinds[-2:] == ["finish", "check"]
