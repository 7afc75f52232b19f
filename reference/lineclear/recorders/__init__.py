"""Event logs of engines that run unmodified: hooks on attributes of their instances."""

from lineclear.recorders.hooks import Hooks, MissingHook
from lineclear.recorders.transformers_batching import TransformersRecorder
from lineclear.recorders.vllm_v1 import VllmRecorder

__all__ = ["Hooks", "MissingHook", "TransformersRecorder", "VllmRecorder"]
