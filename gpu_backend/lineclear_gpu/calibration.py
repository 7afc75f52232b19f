"""The file of measured costs: one entry for each device and model, read when serving starts.

Guarantees: costs are used only for the device, model, type, block size and kind of steps that they
were measured with; a file is replaced as a whole or not at all.
"""
# pyright: basic

from __future__ import annotations

import json
import math
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from lineclear_gpu.costs import Costs
from lineclear_gpu.model import Model

#: Names the file, instead of the user's own.
ENVIRONMENT = "LINECLEAR_CALIBRATION"
VERSION = 1


class CalibrationError(ValueError):
    """A file of costs that cannot be read; the message says on one line what to do."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What costs were measured with.

    Attributes:
        device: name of the GPU, or cpu.
        model: class of the model and its number of parameters.
        dtype: type of weights and KV.
        token_bytes: bytes of a token's KV.
        block_size: tokens of a block.
        steps: recorded or launched.
    """

    device: str
    model: str
    dtype: str
    token_bytes: int
    block_size: int
    steps: str

    @classmethod
    def of(cls, model: Model, token_bytes: int, block_size: int, recorded: bool) -> Subject:
        """That of a model on its device.

        Args:
            model: the model.
            token_bytes: bytes of KV for each token.
            block_size: tokens per block.
            recorded: whether steps are recorded as graphs.
        """
        cuda = model.device.type == "cuda"
        parameters = sum(each.numel() for each in model.module.parameters())
        return cls(
            device=torch.cuda.get_device_name(model.device) if cuda else "cpu",
            model=f"{type(model.module).__name__}, {parameters:,} parameters",
            dtype=str(model.dtype).removeprefix("torch."),
            token_bytes=token_bytes,
            block_size=block_size,
            steps="recorded" if recorded else "launched",
        )


def default_path() -> Path:
    """The file of LINECLEAR_CALIBRATION, else calibration.json in the user's cache folder."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "lineclear" / "calibration.json"


def entries(path: Path) -> list[dict[str, Any]]:
    """The entries of a file; none if it does not exist.

    Raises:
        CalibrationError: it is no file of costs.
    """
    try:
        if path.exists() and not path.is_file():  # a device may never end
            raise CalibrationError(
                f"{path} is no file, so it holds no costs: name one (--file, --calibration or {ENVIRONMENT})"
            )
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unusable(path, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise unusable(path, "not valid UTF-8") from error
    try:
        found = json.loads(text)
        if found["version"] != VERSION:
            raise unusable(path, f"version {found['version']}, not {VERSION}")
        listed: list[dict[str, Any]] = [dict(each) for each in found["entries"]]
        for each in listed:
            Subject(**each["subject"])
            for name in ("swap", "recompute"):
                if not (math.isfinite(each["costs"][name]) and each["costs"][name] >= 0):
                    raise ValueError(f"{name} costs {each['costs'][name]}")
    except CalibrationError:
        raise
    except json.JSONDecodeError as error:
        raise unusable(path, f"not valid JSON: {error}") from error
    except ValueError as error:
        raise unusable(path, str(error)) from error
    except (KeyError, TypeError) as error:
        raise unusable(path, "its JSON is not what `lineclear calibrate` writes") from error
    return listed


def unusable(path: Path, why: str) -> CalibrationError:
    """The error."""
    return CalibrationError(
        f"{path} holds no measured costs ({why}); delete it, or name another file "
        f"(--file, --calibration or {ENVIRONMENT})"
    )


def load(path: Path, subject: Subject) -> Costs | None:
    """The costs measured with this, None if there are none.

    Raises:
        CalibrationError: it is no file of costs.
    """
    for each in entries(path):
        if each["subject"] == asdict(subject):
            return Costs(float(each["costs"]["swap"]), float(each["costs"]["recompute"]))
    return None


def save(path: Path, subject: Subject, costs: Costs) -> None:
    """Adds an entry, or replaces the one of the same subject.

    Raises:
        CalibrationError: there is a file and it holds no costs.
        OSError: it cannot be written.
    """
    mine = {"subject": asdict(subject), "costs": asdict(costs)}
    kept = [each for each in entries(path) if each["subject"] != mine["subject"]]
    text = json.dumps({"version": VERSION, "entries": [*kept, mine]}, indent=1) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
