"""What the recorder reads of vLLM's V1 scheduler and block pool, and the header that it makes of it.

Guarantees: nothing is changed, and every attribute is checked before the first is read, so that
another version of the engine fails with the name of what it lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from lineclear.conform import Header
from lineclear.recorders.hooks import Hooks, MissingHook

#: The version that the recorder was tested with.
WRITTEN_FOR = "0.33.0"
ENGINE = "vLLM V1"

#: The attributes that are read, by their path from the scheduler.
READ: Mapping[str, tuple[str, ...]] = {
    "": (
        "requests", "waiting", "kv_holding_waiting", "running", "connector", "block_size",
        "hash_block_size", "num_spec_tokens", "max_num_active_reqs", "max_num_scheduled_tokens",
        "vllm_config", "kv_cache_manager",
    ),
    "vllm_config": ("max_concurrent_batches", "scheduler_config"),
    "vllm_config.scheduler_config": ("long_prefill_token_threshold",),
    "kv_cache_manager": ("coordinator", "block_pool"),
    "kv_cache_manager.coordinator": ("single_type_managers",),
    "kv_cache_manager.block_pool": (
        "num_gpu_blocks", "free_block_queue", "cached_block_hash_to_block",
    ),
    "kv_cache_manager.block_pool.free_block_queue": ("get_all_free_blocks",),
    "kv_cache_manager.block_pool.cached_block_hash_to_block": ("_cache", "contain"),
}  # fmt: skip


def unsupported(scheduler: Any) -> str:
    """What the scheduler does and the log cannot say; "" if there is nothing.

    Raises:
        MissingHook: names an attribute that the engine lacks.
    """
    hooks = Hooks(ENGINE)
    hooks.need_below(scheduler, READ)
    managers = scheduler.kv_cache_manager.coordinator.single_type_managers
    if len(managers) != 1:
        return f"{len(managers)} groups of layers with separate tables: use a model with one"
    (manager,) = managers
    hooks.need(manager, "req_to_blocks", "block_size")
    if type(manager).__name__ != "FullAttentionManager":
        return f"a {type(manager).__name__}: use a model with full attention"
    sizes = scheduler.block_size, scheduler.hash_block_size, manager.block_size
    if len(set(sizes)) > 1:
        return "blocks of {}, hashes of {}, tables of {} tokens: use one size".format(*sizes)
    if scheduler.connector is not None:
        return "a KV connector: leave kv_transfer_config None"
    if scheduler.num_spec_tokens:
        return f"{scheduler.num_spec_tokens} speculative tokens: leave speculative_config None"
    return ""


def header_of(scheduler: Any, version: str = "") -> Header:
    """The first line of the log.

    Raises:
        MissingHook: the engine lacks an attribute, or does what the log cannot say.
    """
    if what := unsupported(scheduler):
        raise MissingHook(f"{ENGINE}: the recorder does not support {what}")
    config = scheduler.vllm_config
    return Header(
        engine=f"{ENGINE} {type(scheduler).__name__}",
        version=version,
        blocks=scheduler.kv_cache_manager.block_pool.num_gpu_blocks - 1,
        first_id=1,  # block 0 is the null block
        block_size=scheduler.block_size,
        max_seqs=scheduler.max_num_active_reqs,
        max_tokens=scheduler.max_num_scheduled_tokens,
        max_steps_in_flight=config.max_concurrent_batches,
        same_step_hits=True,  # blocks are published when they are allocated
        chunk=config.scheduler_config.long_prefill_token_threshold or None,
        settings={"recorded": "accounting only: the scheduler and its blocks, no KV, no model"},
    )


class VllmState:
    """The present tables, free blocks, cache and queues of one scheduler.

    Args:
        scheduler: a supported one.
    """

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.coordinator = scheduler.kv_cache_manager.coordinator
        self.pool = scheduler.kv_cache_manager.block_pool
        (self.manager,) = self.coordinator.single_type_managers

    def table(self, name: str) -> list[int]:
        """The blocks of a request."""
        return [block.block_id for block in self.manager.req_to_blocks.get(name, ())]

    def published(self) -> set[int]:
        """The blocks that the engine's prefix cache finds."""
        found: set[int] = set()
        for entry in self.pool.cached_block_hash_to_block._cache.values():
            several = isinstance(entry, dict)  # blocks with the same content, by their ids
            found.update(cast("dict[int, Any]", entry) if several else [entry.block_id])
        return found

    def check(self) -> dict[str, Any]:
        """The engine's view of its free blocks and queues, as an event."""
        scheduler, published = self.scheduler, self.published()
        free = [block.block_id for block in self.pool.free_block_queue.get_all_free_blocks()]
        waiting = [*scheduler.kv_holding_waiting, *scheduler.waiting]
        return {
            "e": "check",
            "free": [block for block in free if block not in published],
            "waiting": [request.request_id for request in waiting],
            "running": [request.request_id for request in scheduler.running],
        }
