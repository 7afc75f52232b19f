# pyright: basic
"""The page of models matches its script; benchmarks of the device run on the CPU."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest
from scripts import module_of

from lineclear_gpu.model import load_model

ROOT = Path(__file__).parents[2]


def test_the_page_names_every_model_of_the_script() -> None:
    """`make docs` runs all models; here the lists are compared and two models run."""
    models = module_of(ROOT / "docs/make_models.py")
    rows = re.findall(
        r"^\| ([^|-][^|]*?) \|", models.PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    names = [name for name, _, _ in models.TESTED]
    assert rows == ["model", *names, "model type", *models.REFUSED]
    tokens, swaps = models.tested(*models.TESTED[0][1:])
    assert tokens == models.PROMPTS * models.TOKENS
    assert swaps > 0
    with pytest.raises(SystemExit, match="listed as refused and runs"):
        models.refusal("llama")


def test_a_stale_page_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    models = module_of(ROOT / "docs/make_models.py")
    monkeypatch.setattr(models, "page", lambda: "new\n")
    monkeypatch.setattr(models, "PAGE", tmp_path / "models.md")
    monkeypatch.setattr(sys, "argv", ["make_models.py"])
    assert models.main() == 0
    monkeypatch.setattr(sys, "argv", ["make_models.py", "--check"])
    assert models.main() == 0
    models.PAGE.write_text("old\n", encoding="utf-8")
    assert models.main() == 1


def test_the_benchmark_of_preemption_runs_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    section = importlib.import_module("gpu_swapping")
    few = section.Workload(((3, (20, 40), (30, 40)), (1, (50, 60), (20, 21))), 4, 8, 90)
    found = section.swapping({}, load_model("tiny-llama"), {"few": few}, 1)
    for mode in section.MODES:
        assert len(found[f"few, {mode}: every run"]) == 1
    assert found["few, swap: swaps"] > 0
    assert found["few, recompute: recomputes"] > 0
    assert found["few: costs"].startswith("a token costs ")
    rates = [found[f"few, {mode}: tokens/s"] for mode in section.MODES]
    assert found["few: auto over the better"] == rates[2] / max(rates[:2])
    assert set(section.WORKLOADS) == {"short", "long", "mixed"}
    for work in section.WORKLOADS.values():
        prompts, outputs = work.requests(1000)
        totals = [len(p) + out for p, out in zip(prompts, outputs, strict=True)]
        assert max(totals) <= work.longest
        assert 16 * work.blocks < sum(totals) / len(totals) * work.rows


def test_the_benchmark_of_prefix_caching_runs_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    section = importlib.import_module("gpu_caching")
    turns = section.turns({}, "cpu", "tiny-llama", 64, 1)
    assert turns["tokens found by the second"] == 80
    found = section.parity({}, "cpu", 12, 24, 30)
    assert found["tokens found"] > 0
    assert found["wrong"] == 0
    with pytest.raises(AssertionError, match="too short"):
        section.parity({}, "cpu", 2, 12, 1000)
    tags = section.tags({}, 40, True, "cpu")
    assert tags["events: hits"] > 0
    assert tags["steps"] >= 40
