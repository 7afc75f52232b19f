"""Imports vLLM's scheduler from its .py files alone: what it imports and does not use is a stand-in.

The engine's sources are not part of this project; `vllm_recorded.py` tells where they come from.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

VARIABLE = "VLLM_SOURCES"
#: Packages that vLLM imports; each that is not installed is an empty stand-in.
MISSING = (
    "aiohttp", "av", "cbor2", "cloudpickle", "cpuinfo", "cv2", "fastapi", "llguidance", "openai",
    "openai_harmony", "partial_json_parser", "prometheus_client", "psutil", "pybase64", "requests",
    "runai_model_streamer", "scipy", "soundfile", "soxr", "torchaudio", "torchcodec", "urllib3", "uvloop",
    "xgrammar", "xxhash", "zmq",
)  # fmt: skip


def sources() -> Path:
    """The folder with the engine's sources."""
    folder = Path(os.environ.get(VARIABLE, "vllm-sources"))
    if not (folder / "vllm/v1/core/sched/scheduler.py").is_file():
        raise FileNotFoundError(f"{folder} has no vllm/v1/core/sched/scheduler.py; set {VARIABLE}")
    return folder


class AnyType(type):
    """A class that can stand in annotations, be subclassed, and has every attribute."""

    def __getitem__(cls, item: object) -> AnyType:
        return cls

    def __or__(cls, other: object) -> AnyType:
        return cls

    def __ror__(cls, other: object) -> AnyType:
        return cls

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return any_type(name)


class Anything:
    """A call of an instance, as of a decorator, returns the first argument."""

    def __init__(self, *rest: Any, **named: Any) -> None:
        pass

    def __init_subclass__(cls, **named: Any) -> None:
        pass

    def __call__(self, *rest: Any, **named: Any) -> Any:
        return rest[0] if rest else self

    @classmethod
    def __get_pydantic_core_schema__(cls, *rest: Any) -> Any:
        return importlib.import_module("pydantic_core.core_schema").any_schema()


def any_type(name: str) -> AnyType:
    """A new class of this name."""
    return AnyType(name, (Anything,), {})


class Empty(ModuleType):
    """A stand-in for a package."""

    __path__: Any = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = any_type(name)
        setattr(self, name, made)
        return made


class Finder(MetaPathFinder, Loader):
    """Finds stand-ins, after everything that is installed."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        if name.partition(".")[0] in MISSING:
            return ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def module(name: str) -> Any:
    """A module of vLLM, by its name after `vllm.`."""
    if "vllm" not in sys.modules:
        sys.path.insert(0, str(sources()))
        sys.meta_path.append(Finder())
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    return importlib.import_module(f"vllm.{name}")


class Settings:
    """A configuration whose other fields are None."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)
