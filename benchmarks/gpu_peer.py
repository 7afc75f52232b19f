# pyright: basic
"""transformers' continuous batching in the best form that runs without other packages.

Its flash path needs flash-attn; here the same path is served by the flash kernel that torch brings.
CUDA graphs and asynchronous batching are on, blocks of 256, 8,192 tokens in a step, prefix sharing
off. Runs are made by one manager, so what is captured and compiled is warm after the first.
"""

from __future__ import annotations

import time
from typing import Any

import torch

Result = dict[str, Any]
NAME = "paged|torch_flash"


def attend(
    module: Any,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    attention_mask: Any = None,
    cache: Any = None,
    cu_seq_lens_q: Any = None,
    cu_seq_lens_k: Any = None,
    max_seqlen_q: Any = None,
    max_seqlen_k: Any = None,
    block_table: Any = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """The library's varlen path over its paged cache, by torch's flash kernel."""
    if isinstance(cu_seq_lens_k, dict):
        cu_seq_lens_k = cu_seq_lens_k["full_attention"]
    if isinstance(max_seqlen_k, dict):
        max_seqlen_k = max_seqlen_k["full_attention"]
    k, v = cache.update(
        key_states=k, value_states=v, layer_idx=module.layer_idx,
        read_index=more["read_index"], write_index=more["write_index"],
    )  # fmt: skip
    found = torch.ops.aten._flash_attention_forward(
        q.transpose(1, 2).squeeze(0).contiguous(), k.contiguous(), v.contiguous(),
        cu_seq_lens_q.to(torch.int32), cu_seq_lens_k.to(torch.int32).clone(),
        max_seqlen_q, max_seqlen_k, 0.0, True, False, scale=module.scaling,
    )  # fmt: skip
    return found[0], None


class Peer:
    """A model of the shape of a preset behind the library's manager.

    Args:
        preset: name of the shape.
        blocks: of 256 tokens.
        most: requests at once.
        offload: GiB of host memory that it may move KV to.
    """

    def __init__(self, preset: str, blocks: int, most: int = 128, offload: float = 0.0) -> None:
        from transformers import (
            AttentionInterface,
            AutoModelForCausalLM,
            ContinuousBatchingConfig,
            GenerationConfig,
        )

        from lineclear_gpu.presets import preset as settings_of

        AttentionInterface.register(NAME, attend)
        factory: Any = AutoModelForCausalLM
        with torch.device("cuda"):
            self.model = factory.from_config(
                settings_of(preset), dtype=torch.bfloat16, attn_implementation="sdpa"
            ).eval()
        self.model.config._attn_implementation = NAME
        generation = GenerationConfig(
            max_new_tokens=512, do_sample=False, eos_token_id=-1, pad_token_id=0
        )
        batching = ContinuousBatchingConfig(
            block_size=256, num_blocks=blocks, max_batch_tokens=8192, max_requests_per_batch=most,
            use_cuda_graph=True, use_async_batching=True, allow_block_sharing=False,
            cpu_offload_space=offload,
        )  # fmt: skip
        self.manager = self.model.init_continuous_batching(
            generation_config=generation, continuous_batching_config=batching
        )
        self.manager.warmup()
        self.manager.start()

    def run(self, prompts: list[list[int]], outputs: list[int]) -> float:
        """Output tokens a second, from the first request until the last result."""
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for prompt, most in zip(prompts, outputs, strict=True):
            self.manager.add_request(prompt, max_new_tokens=most)
        tokens = done = 0
        while done < len(prompts):
            result = self.manager.get_result(timeout=30)
            if result is None:
                raise RuntimeError("the peer gave no result for 30 s")
            if result.error is not None:
                raise RuntimeError(f"the peer failed: {result.error}")
            if result.is_finished():
                done += 1
                tokens += len(result.generated_tokens)
        seconds = time.perf_counter() - begin
        if tokens != sum(outputs):
            raise RuntimeError(f"the peer made {tokens} tokens of {sum(outputs)}")
        return tokens / seconds

    def close(self) -> None:
        """Ends the manager's thread."""
        self.manager.stop(block=True)
        del self.manager, self.model
        torch.cuda.empty_cache()
