# pyright: basic
"""A model that generates: prompts in, texts or tokens out.

Guarantees: outputs come in the order of the prompts; sizes are checked before anything is allocated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lineclear.config import Config
from lineclear_gpu.attention import AttentionBackend
from lineclear_gpu.block_names import serving_settings
from lineclear_gpu.calibration import CalibrationError, Subject, default_path
from lineclear_gpu.calibration import load as load_costs
from lineclear_gpu.calibration import save as save_costs
from lineclear_gpu.costs import measure, warm_up, weighs
from lineclear_gpu.engine import Engine, EngineError
from lineclear_gpu.graphs import CudaGraphs, Graphs
from lineclear_gpu.model import Model, fused_model, load_model
from lineclear_gpu.outputs import RequestOutput
from lineclear_gpu.params import SamplingParams, shown
from lineclear_gpu.pool import KVPool, blocks_for
from lineclear_gpu.reserve import reserve
from lineclear_gpu.runner import ModelRunner
from lineclear_gpu.shape import DTYPES, KVShape
from lineclear_gpu.streams import Streams
from lineclear_gpu.token_streams import TokenStream, TokenStreams
from lineclear_gpu.transfer import Transfer

__all__ = ["LLM", "CalibrationError", "Prompt"]

#: A text, token ids, or a dict with `prompt` or `prompt_token_ids`, and maybe `cache_salt`.
Prompt = str | Iterable[int] | Mapping[str, Any]
#: Keys of such a dict.
KEYS = ("prompt", "prompt_token_ids", "cache_salt")
#: CPU blocks for each GPU block, unless given, where victims are swapped.
HOST_SHARE = 0.25
#: Steps in flight on a GPU, unless given.
DEPTH = 2
#: Blocks on the CPU, where no memory limit is given.
CPU_BLOCKS = 1024


class LLM:
    """A model, its pools and an engine.

    Args:
        model: a preset, a folder, a hub id, or a `Model`.
        device: cuda or cpu; None for cuda if available.
        dtype: float32, float16 or bfloat16; None for the model's own.
        config: the scheduler's settings, taken as they are. Where `num_gpu_blocks` is not in
            `settings` and no config is given, the pool is sized by `gpu_memory_utilization`.
        gpu_memory_utilization: usable share of the device's memory.
        seed: seed of random weights, and of requests without one.
        streams: where operations run; default: those of the device.
        verify: whether to check every invariant in each step.
        attention: attention backend; default: by device.
        eager: whether the host launches every kernel of every step. None records steps on a GPU,
            and replays them with one launch, and is eager on a CPU.
        fuse: whether layers use merged projections and our kernels; None for yes on a GPU unless `eager` is set.
        graphs: records steps, instead of the device's default; for tests.
        record_chunks: whether steps with prompt chunks are recorded as well as decode-only steps,
            where steps are recorded.
        calibration: file of measured costs, which `auto` preemption weighs where `config` or `settings` leave both
            costs at their defaults. They are measured and added to the file if it lacks them. None for the user's
            file on a GPU and for the defaults on a CPU; False for the defaults.
        progress: called during recording with the number of steps recorded so far and in total.
        kv_events: whether to keep the prefix cache's events, for `engine.take_kv_events`.
        split_groups: whether the sequences of a group that does not fit run as requests of their own.
        settings: scheduler settings by name, instead of `config`. Prefix caching is on and victims
            are recomputed unless they say otherwise, see `serving_settings`.

    Raises:
        ModelError, Unsupported: the model cannot be loaded, or its attention is unsupported.
        PoolError: the pools do not fit.
        ConfigError: invalid settings.
        CalibrationError: the file of costs cannot be read.
    """

    def __init__(
        self,
        model: str | Model = "tiny-llama",
        *,
        device: str | None = None,
        dtype: str | None = None,
        config: Config | None = None,
        gpu_memory_utilization: float = 0.9,
        seed: int = 0,
        streams: Streams | None = None,
        verify: bool = False,
        attention: AttentionBackend | None = None,
        eager: bool | None = None,
        fuse: bool | None = None,
        graphs: Graphs | None = None,
        record_chunks: bool = True,
        calibration: str | Path | bool | None = None,
        progress: Callable[[int, int], object] = lambda *_: None,
        kv_events: bool = False,
        split_groups: bool = True,
        **settings: Any,
    ) -> None:
        """Loads the model and allocates the pools."""
        if dtype is not None and dtype not in DTYPES:
            raise EngineError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
        if config is not None and settings:
            raise EngineError("give config or single settings, not both")
        where = device or ("cuda" if torch.cuda.is_available() else "cpu")
        if isinstance(model, str):
            chosen = None if dtype is None else DTYPES[dtype]
            model = load_model(model, device=where, dtype=chosen, seed=seed)
        if fuse or (fuse is None and model.device.type == "cuda" and not eager):
            model = fused_model(model)
        self.model = model
        settings = serving_settings(settings)
        made = config or Config.from_mapping(settings)
        shape = KVShape(model.layers, model.kv_heads, model.head_dim, made.block_size, model.dtype)
        on_cpu = model.device.type == "cpu"
        if graphs is None and not on_cpu and not eager:
            graphs = CudaGraphs(model.device)
        if config is None:
            changes: dict[str, Any] = {}
            if "max_steps_in_flight" not in settings and not on_cpu:
                changes["max_steps_in_flight"] = DEPTH
            if "max_model_len" not in settings:
                changes["max_model_len"] = min(made.max_model_len, model.max_model_len)
            made = replace(made, **changes)
            if "num_gpu_blocks" not in settings:
                reserved = (
                    0
                    if on_cpu
                    else reserve(model, made, attention, graphs is not None, record_chunks)
                )
                blocks = blocks_for(shape, model.device, gpu_memory_utilization, reserved)
                changes["num_gpu_blocks"] = min(blocks, CPU_BLOCKS) if on_cpu else blocks
            if "num_cpu_blocks" not in settings:
                blocks = changes.get("num_gpu_blocks", made.num_gpu_blocks)
                swaps = made.preemption_mode != "recompute"
                changes["num_cpu_blocks"] = int(blocks * HOST_SHARE) if swaps else 0
            made = replace(made, **changes)
        self.config = made
        self.pool = KVPool(shape, made.num_gpu_blocks, made.num_cpu_blocks, model.device)
        self.runner = ModelRunner(
            model, self.pool, lanes=2 * made.max_num_seqs, backend=attention, check=verify,
            graphs=graphs, max_rows=made.max_num_seqs,
            max_tokens=made.max_num_batched_tokens if record_chunks else 0,
            max_len=made.max_model_len,
        )  # fmt: skip
        self.runner.record(progress)
        copies = Transfer(self.pool)
        if not on_cpu:
            warm_up(self.runner, copies, made, model.device)
        #: Where the costs of `auto` preemption come from, in one line.
        self.calibrated = "costs of the settings"
        if calibration is None:
            calibration = not on_cpu
        if calibration is not False and weighs(made):
            path = default_path() if calibration is True else Path(calibration)
            made = self._with_costs(made, path, copies)
        self.config = made
        self.runner.replayed = self.runner.eager = 0
        decode = None
        if model.tokenizer is not None:
            decode = lambda ids: model.tokenizer.decode(ids, skip_special_tokens=True)  # noqa: E731
        self.engine = Engine(
            made,
            self.runner,
            self.pool,
            vocab_size=model.vocab_size,
            decode=decode,
            eos_token_ids=model.eos_token_ids,
            seed=seed,
            streams=streams,
            verify=verify,
            kv_events=kv_events,
            split_groups=split_groups,
        )
        self.streams = TokenStreams(self.engine)
        self._asked = 0

    def subject(self) -> Subject:
        """What costs that are measured here belong to."""
        return Subject.of(
            self.model,
            self.pool.shape.token_bytes,
            self.config.block_size,
            self.runner.refused is None,
        )

    def _with_costs(self, config: Config, path: Path, copies: Transfer) -> Config:
        """The settings with the file's costs; measures them first if it has none."""
        subject = self.subject()
        costs = load_costs(path, subject)
        source = f"from {path}"
        if costs is None:
            costs = measure(self.runner, copies, config, self.model.device)
            source = f"measured now, kept in {path}"
            try:
                save_costs(path, subject, costs)
            except OSError as error:
                source = f"measured now, not kept: cannot write {path}: {error.strerror}"
        self.calibrated = f"{costs}, {source}"
        return replace(config, swap_token_cost=costs.swap, recompute_token_cost=costs.recompute)

    @property
    def recorded(self) -> str:
        """Whether steps are recorded, in one line; if not, why not."""
        graphs, refused = self.runner.graphs, self.runner.refused
        if graphs is None or refused is not None:
            return f"the host launches every kernel: {refused}"
        return f"steps are recorded and replayed; graphs hold {graphs.bytes():,} bytes"

    def generate(
        self,
        prompts: Prompt | Iterable[Prompt],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
    ) -> list[RequestOutput]:
        """Generates for every prompt; returns outputs in order.

        Args:
            prompts: a text, token ids, `{"prompt": text}` or `{"prompt_token_ids": ids}`, or a list of these. With
                `"cache_salt": text` in a dict its blocks are shared only with prompts of the same salt.
            sampling_params: one for all prompts, or one for each.

        Raises:
            EngineError: a prompt cannot be served; then nothing is generated for any.
        """
        added = self._add(prompts, sampling_params)
        self.streams.finish(added)
        return added

    def stream(self, prompt: Prompt, sampling_params: SamplingParams | None = None) -> TokenStream:
        """Generates for one prompt; yields new output as it comes.

        Several streams may be open, and other calls may run meanwhile. A stream that is left, by
        `break` or by an error, aborts its request.

        Raises:
            EngineError: the prompt cannot be served.
        """
        (added,) = self._add([prompt], sampling_params)
        return self.streams.open(added)

    def _add(
        self,
        prompts: Prompt | Iterable[Prompt],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None,
    ) -> list[RequestOutput]:
        """Adds all requests or none."""
        listed = one_or_many(prompts)
        params: Any = SamplingParams() if sampling_params is None else sampling_params
        if not isinstance(params, Iterable):
            params = [params] * len(listed)
        each: list[Any] = list(params)
        if len(each) != len(listed):
            raise EngineError(f"{len(listed)} prompts and {len(each)} sampling parameters")
        added: list[RequestOutput] = []
        try:
            for prompt, one in zip(listed, each, strict=True):
                if not isinstance(one, SamplingParams):
                    raise EngineError(f"give SamplingParams, not {type(one).__name__}")
                text, tokens = self.tokens(prompt)
                room = self.config.max_model_len - len(tokens)
                if room < 1:
                    raise EngineError(
                        f"a prompt of {len(tokens)} tokens leaves no room to generate: "
                        f"max_model_len is {self.config.max_model_len}"
                    )
                if one.max_tokens is not None and one.max_tokens > room:
                    one = replace(one, max_tokens=room)
                self._asked += 1
                while self._asked in self.engine.live:  # a caller may have chosen that id
                    self._asked += 1
                named: Any = prompt
                salt = named.get("cache_salt") if isinstance(prompt, Mapping) else None
                added.append(
                    self.engine.add(self._asked, tokens, one, prompt=text, cache_salt=salt)
                )
        except BaseException:
            for output in added:
                self.engine.abort(output.request_id)
            raise
        return added

    def tokens(self, prompt: Prompt) -> tuple[str | None, list[int]]:
        """The text of a prompt, if it has one, and its tokens.

        Raises:
            EngineError: it is text and the model has no tokenizer, a token is out of range, or it is no prompt.
        """
        text: Any = prompt
        if isinstance(prompt, Mapping):
            named: Mapping[Any, Any] = prompt
            text = named.get("prompt")
            wrong = [key for key in named if key not in KEYS]
            if text is not None and not isinstance(text, str):
                wrong.append("prompt")
            if wrong or not prompt:
                raise EngineError(
                    'a prompt is {"prompt_token_ids": [...]} or {"prompt": "..."}; '
                    f"{wrong[0] if wrong else prompt!r} is not understood"
                )
            if "prompt_token_ids" in named:
                return text, self.engine.intake.checked(named["prompt_token_ids"])
        if not isinstance(text, str):
            ids: Any = text
            return None, self.engine.intake.checked(ids)
        if self.model.tokenizer is None:
            raise EngineError(
                "the model has no tokenizer (its weights are random): give token ids"
            )
        return text, self.engine.intake.checked(self.model.tokenizer(text)["input_ids"])

    def reset_prefix_cache(self) -> int:
        """See `Engine.reset_prefix_cache`."""
        return self.engine.reset_prefix_cache()

    def close(self) -> None:
        """Frees the recorded steps and the memory of the pools."""
        self.runner.close()
        self.pool.close()


def one_or_many(prompts: Prompt | Iterable[Prompt]) -> list[Prompt]:
    """A list of prompts, from one or many.

    Raises:
        EngineError: it is neither.
    """
    alone: Any = prompts
    if isinstance(alone, str | Mapping):
        return [alone]
    try:
        if isinstance(alone, bytes | bytearray):
            raise TypeError
        listed: list[Any] = list(alone)
    except TypeError:  # an array without a dimension only seems to have elements
        raise EngineError(
            f"a prompt is a text, token ids, or a dict of them, not {shown(alone)}"
        ) from None
    # An array of one dimension has elements that seem iterable, and are not.
    if listed and isinstance(listed[0], Iterable) and getattr(listed[0], "ndim", None) != 0:
        return listed
    return [listed] if listed else []
