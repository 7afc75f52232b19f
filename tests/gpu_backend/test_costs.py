# pyright: basic
"""Costs of a token: by a clock of the test's own, kept in a file, and what `auto` makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from served import BASE, GREEDY, MEMORY_PRESSURE, expected, model, prompts, tokens

from lineclear.config import Config
from lineclear_gpu import costs
from lineclear_gpu.batch import Batch
from lineclear_gpu.calibration import CalibrationError, Subject, default_path, load, save
from lineclear_gpu.costs import Costs, measure, warm_up, weighs
from lineclear_gpu.llm import LLM

CPU = torch.device("cpu")
CONFIG = Config(block_size=16, num_gpu_blocks=200, num_cpu_blocks=100, max_num_seqs=16)


class Machine:
    """A clock, and operations that take a known time by it."""

    def __init__(self, slow_first: float = 1.0, blocks: int = 200) -> None:
        self.now = 0.0
        self.slow_first = slow_first
        self.blocks = blocks
        self.calls: list[tuple[str, int]] = []
        self.pairs: list[tuple[int, int]] = []
        self.batches: list[Batch] = []
        self.newest = torch.zeros(0, dtype=torch.int64)

    def spend(self, what: str, microseconds: float) -> None:
        first = what not in {name for name, _ in self.calls}
        self.calls.append((what, int(microseconds)))
        odd = 50.0 if len(self.calls) == 3 else 1.0  # one run in the middle is disturbed
        self.now += microseconds * 1e-6 * (self.slow_first if first else odd)

    def out(self, pairs: list[tuple[int, int]]) -> None:
        self.pairs = pairs
        self.spend("out", 10.0 * len(pairs))

    def into(self, pairs: list[tuple[int, int]]) -> None:
        assert sorted(pairs) == sorted((host, device) for device, host in self.pairs)
        self.spend("into", 6.0 * len(pairs))

    def forward(self, batch: Batch) -> torch.Tensor:
        batch.check(16, self.blocks)
        self.batches.append(batch)
        self.spend("forward", 3.0 * len(batch.tokens))
        return torch.zeros(0)


def test_a_token_costs_what_the_clock_says_once_kernels_are_compiled() -> None:
    machine = Machine(slow_first=1000.0)
    found = measure(machine, machine, CONFIG, CPU, lambda: machine.now)
    assert found.swap == pytest.approx((10.0 + 6.0) / 16)
    assert found.recompute == pytest.approx(3.0)
    assert str(found) == "a token costs 1 us to swap and 3 us to recompute"
    assert len(machine.pairs) == 64
    devices, hosts = zip(*machine.pairs, strict=True)
    assert len(set(devices)) == len(set(hosts)) == 64
    assert max(devices) < 200
    assert max(hosts) < 100
    assert list(devices) != sorted(devices)  # scattered, as a request's blocks are
    assert {len(batch.tokens) for batch in machine.batches} == {2048}
    assert machine.batches[0].rows == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"num_gpu_blocks": 3, "num_cpu_blocks": 1},
        {"max_num_batched_tokens": 20, "max_num_seqs": 1},
        {"max_model_len": 24},
    ],
    ids=str,
)
def test_small_pools_and_budgets_are_measured_too(changes: dict[str, Any]) -> None:
    config = replace(CONFIG, **changes)
    machine = Machine()
    found = measure(machine, machine, config, CPU, lambda: machine.now)
    assert found.recompute == pytest.approx(3.0)
    batch = machine.batches[0]
    batch.check(16, config.num_gpu_blocks)
    assert len(batch.tokens) <= config.max_num_batched_tokens
    assert batch.lengths.max() <= config.max_model_len
    assert batch.rows <= config.max_num_seqs
    machine = Machine()
    warm_up(machine, machine, config, CPU)
    machine.batches[0].check(16, config.num_gpu_blocks)
    assert {name for name, _ in machine.calls} == {"out", "into", "forward"}


def test_warming_up_runs_the_largest_step() -> None:
    machine = Machine(blocks=2000)
    warm_up(machine, machine, replace(CONFIG, num_gpu_blocks=2000, num_cpu_blocks=0), CPU)
    assert [len(batch.tokens) for batch in machine.batches] == [8192]
    assert {name for name, _ in machine.calls} == {"forward"}  # without a CPU pool nothing swaps


# ---- the file ----------------------------------------------------------------------------------------

SUBJECT = Subject("NVIDIA H200", "LlamaForCausalLM, 5 parameters", "bfloat16", 64, 16, "recorded")


def test_costs_hold_for_what_they_were_measured_with(tmp_path: Path) -> None:
    path = tmp_path / "new" / "costs.json"
    assert load(path, SUBJECT) is None
    save(path, SUBJECT, Costs(1.5, 3.0))
    others = [
        replace(SUBJECT, **change)
        for change in (
            {"device": "cpu"}, {"model": "other"}, {"dtype": "float16"}, {"token_bytes": 65},
            {"block_size": 32}, {"steps": "launched"},
        )
    ]  # fmt: skip
    for other in others:
        assert load(path, other) is None
        save(path, other, Costs(9.0, 9.0))
    assert load(path, SUBJECT) == Costs(1.5, 3.0)
    save(path, SUBJECT, Costs(2.0, 3.0))
    assert load(path, SUBJECT) == Costs(2.0, 3.0)
    assert len(json.loads(path.read_text())["entries"]) == 7
    assert [each.name for each in path.parent.iterdir()] == ["costs.json"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not valid JSON: "),
        ("[]", "its JSON is not what"),
        ('{"version": 2, "entries": []}', "version 2, not 1"),
        ('{"version": 1, "entries": [{"subject": {"device": "x"}}]}', "its JSON is not what"),
        ('{"version": 1, "entries": [3]}', "its JSON is not what"),
        ("NEGATIVE", "swap costs -1"),
        ("ENDLESS", "recompute costs inf"),
    ],
)
def test_a_file_of_another_kind_is_refused_and_left_alone(
    text: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "costs.json"
    if text in ("NEGATIVE", "ENDLESS"):
        save(path, SUBJECT, Costs(-1, 1) if text == "NEGATIVE" else Costs(1, float("inf")))
    else:
        path.write_text(text)
    before = path.read_bytes()
    uses: tuple[Callable[..., object], ...] = (load, partial(save, costs=Costs(1, 1)))
    for use in uses:
        with pytest.raises(CalibrationError, match=said) as output:
            use(path, SUBJECT)
        assert "delete it, or name another file (--file, --calibration or " in str(output.value)
        assert "\n" not in str(output.value)
    assert path.read_bytes() == before


def test_where_the_file_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LINECLEAR_CALIBRATION", str(tmp_path / "mine.json"))
    assert default_path() == tmp_path / "mine.json"
    monkeypatch.delenv("LINECLEAR_CALIBRATION")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "lineclear" / "calibration.json"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_path() == Path.home() / ".cache" / "lineclear" / "calibration.json"


# ---- what `auto` makes of them ---------------------------------------------------------------------


def served(path: Path | bool | None, **changes: Any) -> LLM:
    settings = {**BASE, **MEMORY_PRESSURE, "preemption_mode": "auto", **changes}
    return LLM(model(), calibration=path, seed=3, **settings)


@pytest.mark.parametrize(("costs_", "mode"), [(Costs(1, 90), "swap"), (Costs(90, 1), "recompute")])
def test_auto_does_what_costs_less_by_the_file(costs_: Costs, mode: str, tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    save(path, served(False).subject(), costs_)
    llm = served(path)
    assert llm.config.swap_token_cost == costs_.swap
    assert llm.calibrated == f"{costs_}, from {path}"
    assert [each[0] for each in tokens(llm.generate(prompts(), GREEDY))] == expected()
    preempted = llm.engine.scheduler.counters.preemptions
    assert preempted[mode] >= 2
    # Copies that the CPU pool has no room for are recomputed.
    assert mode == "swap" or preempted["swap"] == 0


def test_costs_that_the_file_lacks_are_measured_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "costs.json"
    llm = served(path)
    assert llm.calibrated.endswith(f"measured now, kept in {path}")
    assert load(path, llm.subject()) == Costs(
        llm.config.swap_token_cost, llm.config.recompute_token_cost
    )
    assert llm.engine.config == llm.config
    assert [each[0] for each in tokens(llm.generate(prompts(), GREEDY))] == expected()
    monkeypatch.setattr("lineclear_gpu.llm.measure", None)
    assert served(path).calibrated.endswith(f"from {path}")


def test_settings_come_first_and_only_auto_weighs_costs(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    for changes in (
        {"swap_token_cost": 0.5},
        {"recompute_token_cost": 2.0},
        {"preemption_mode": "swap"},
        {"num_cpu_blocks": 0},
    ):
        llm = served(path, **changes)
        assert not weighs(llm.config)
        assert llm.calibrated == "costs of the settings"
    assert not path.exists()
    assert served(None).calibrated == "costs of the settings"  # on a CPU none are asked for
    assert weighs(served(None).config)


def test_a_file_that_cannot_be_written_does_not_stop_serving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    llm = served(tmp_path / "costs.json")
    assert "not kept: cannot write" in llm.calibrated
    assert llm.calibrated.endswith("Read-only file system")
    assert not weighs(llm.config)
    assert costs.RUNS == 5


@pytest.mark.gpu
def test_on_a_gpu_costs_are_measured_at_start_and_kept(tmp_path: Path) -> None:
    from lineclear_gpu.model import load_model

    chosen = load_model("tiny-llama", device="cuda", dtype=torch.bfloat16)
    path = tmp_path / "costs.json"
    settings = {**BASE, **MEMORY_PRESSURE, "preemption_mode": "auto"}
    llm = LLM(chosen, calibration=path, **settings)
    assert llm.calibrated.endswith(f"kept in {path}")
    assert 0 < llm.config.swap_token_cost < 1000
    assert 0 < llm.config.recompute_token_cost < 1000
    assert llm.runner.eager == llm.runner.replayed == 0
    again = LLM(chosen, calibration=path, **settings)
    assert again.config == llm.config
    for each in (llm, again):
        each.close()
