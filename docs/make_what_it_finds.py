"""Writes docs/what_it_finds.md from runs of engines whose sources are given.

    python docs/make_what_it_finds.py --nano-vllm FOLDER --mini-sglang FOLDER --vllm FOLDER [--runs 1000]

The folders of nano-vllm and mini-sglang are git repositories; each commit is taken out of them into a
temporary folder, nothing of them is changed. That of vLLM has the Python files of its wheel. Only
findings that have a public thread or a fix are written.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/what_it_finds.md"


@dataclass(frozen=True)
class Search:
    """One search of one engine at one commit.

    Attributes:
        engine: its name.
        repository: where it lives.
        commit: of the sources.
        adapter: in examples/.
        function: of the adapter.
        variable: that tells the adapter where the sources are.
        thread: of a finding, as Markdown; "" if nothing is expected to be published.
        rule: the finding that the thread is about; another one is not written.
    """

    engine: str
    repository: str
    commit: str
    adapter: str
    function: str
    variable: str
    thread: str = ""
    rule: str = ""


NANO = ("nano-vllm", "https://github.com/GeeeekExplorer/nano-vllm")
MINI = ("mini-sglang", "https://github.com/sgl-project/mini-sglang")
SEARCHES = (
    Search(*NANO, "f64d821", "nano_vllm_adapter.py", "make_scheduler", "NANO_VLLM",
           f"mended by [9fa256a]({NANO[1]}/commit/9fa256a)", "read.own"),
    Search(*NANO, "9fa256a", "nano_vllm_adapter.py", "make_scheduler", "NANO_VLLM"),
    Search(*NANO, "bb823b3", "nano_vllm_adapter.py", "make_scheduler", "NANO_VLLM"),
    Search(*NANO, "bb823b3", "nano_vllm_adapter.py", "make_oversize", "NANO_VLLM",
           f"[issue 274]({NANO[1]}/issues/274)", "refused"),
    Search(*MINI, "20fcd7f", "mini_sglang_adapter.py", "make_scheduler", "MINI_SGLANG",
           f"[pull request 142]({MINI[1]}/pull/142)", "conservation.free"),
)  # fmt: skip

#: Runs in a process of its own: the adapter puts stand-ins into sys.modules.
WORK = """
import json, sys
from lineclear.testing.campaign import Campaign, shorten
from lineclear.testing.random_search import random_runs
from lineclear.testing.target import load, module_of
import time
target, runs = sys.argv[1], int(sys.argv[2])
make = load(target)
limits = make().limits
campaign = Campaign(target, "random")
started = time.process_time()
found, campaign.tally = random_runs(make, range(runs))
seconds = time.process_time() - started
if found is not None:
    campaign.number, campaign.first = found.number, found.failure
    shorten(campaign, lambda line: None)
module = module_of(target.partition(":")[0])
print(json.dumps({
    "runs": campaign.tally.runs, "steps": campaign.tally.steps, "seconds": seconds,
    "shrinking": campaign.shrinking,
    "rule": None if campaign.failure is None else campaign.failure.rule,
    "message": None if campaign.failure is None else campaign.failure.message,
    "first": 0 if campaign.first is None else len(campaign.first.actions),
    "actions": campaign.actions, "stubbed": module.STUBBED,
    "limits": f"{limits.blocks} blocks of {limits.block_size}, {limits.max_seqs} rows, "
              f"{limits.max_tokens} tokens a step",
}))
"""


def lines_of(adapter: str) -> int:
    """Lines of code of an adapter: no blank lines, no documentation."""
    import ast

    tree = ast.parse((ROOT / "examples" / adapter).read_text(encoding="utf-8"))
    documented = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and ast.get_docstring(node)
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    text = (ROOT / "examples" / adapter).read_text(encoding="utf-8").splitlines()
    return sum(
        bool(line.strip()) and number not in documented for number, line in enumerate(text, 1)
    )


def search(one: Search, repository: Path, runs: int) -> dict[str, Any]:
    """Takes the commit out and searches it."""
    with tempfile.TemporaryDirectory() as folder:
        archive = ["git", "-C", str(repository), "archive", one.commit]
        packed = subprocess.run(archive, check=True, capture_output=True).stdout
        subprocess.run(["tar", "x", "-C", folder], input=packed, check=True)
        parts = [str(ROOT / part) for part in ("spec", "reference", "gpu_backend")]
        done = subprocess.run(
            [sys.executable, "-c", WORK, f"examples/{one.adapter}:{one.function}", str(runs)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(parts), one.variable: folder},
            check=True,
            capture_output=True,
            text=True,
        )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def recorded(folder: Path) -> list[dict[str, Any]]:
    """Runs vLLM's schedulers in every setting, in a process of their own."""
    parts = [str(ROOT / part) for part in ("spec", "reference", "gpu_backend")]
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / RECORDED), "--runs", str(RECORDED_RUNS)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(parts),
            "VLLM_SOURCES": str(folder.resolve()),
        },
        capture_output=True,
        text=True,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


#: Runs vLLM's schedulers; its stand-ins are in the second file.
RECORDED, STAND_INS = "vllm_recorded.py", "vllm_sources.py"
RECORDED_RUNS = 200
NEWLINE = "\n"  # Python 3.11 allows no backslash in a replacement field


def section(results: list[dict[str, Any]]) -> list[str]:
    """What the runs of vLLM's schedulers found, if it is nothing or may be published."""
    runs = sum(result["runs"] for result in results)
    steps = sum(result["events"]["step"] for result in results)
    adapter = lines_of(RECORDED) + lines_of(STAND_INS)
    version, stubbed = constants()
    rows = [
        f"| {result['setting']} | {result['runs']:,}, {events['step']:,} | {events.get('preempt', 0)} | "
        f"{events.get('abort', 0)} | {events.get('hit', 0)} | {sum(events.values()):,} | none | "
        f"{result['seconds']} |"
        for result in results
        for events in [result["events"]]
    ]
    return f"""
## vLLM {version}, V1 scheduler and block pool

No violation in {runs:,} runs, {steps:,} steps; accounting only: no model, no KV.

| scheduler | runs, steps | preempts | aborts | hits | events | rule | seconds |
| --- | --- | --- | --- | --- | --- | --- | --- |
{NEWLINE.join(rows)}

Settings: 6 blocks of 2 tokens, 3 rows, 8 tokens a step; prompts are computed in chunks unless whole
prompts are named; a third of the requests may stop before their last token. Each run is recorded by
`lineclear.recorders.VllmRecorder` and checked event by event, and the tables that the plans give to the
workers are compared with the scheduler's.

| driver | lines | stubbed |
| --- | --- | --- |
| [{RECORDED}](../examples/{RECORDED}), [{STAND_INS}](../examples/{STAND_INS}) | {adapter} | the model; \
the configuration but for SchedulerConfig; where they are not installed: {", ".join(stubbed)} |

[Recipe](recorders.md#vllms-v1-scheduler).""".splitlines()


def constants() -> tuple[str, tuple[str, ...]]:
    """The version that was run, and the packages that have stand-ins; importing runs nothing of vLLM."""
    sys.path.insert(0, str(ROOT / "examples"))
    from vllm_recorded import VERSION
    from vllm_sources import MISSING

    return VERSION, MISSING


INTRODUCTION = """\
<!-- generated by `python docs/make_what_it_finds.py`, do not edit -->

# What it finds

A finding concerns this version under these settings and may be an error of our adapter. No finding is
no proof. lineclear is not affiliated with these projects. Findings without a public thread or a fix
are not on this page. The order of the rows says nothing about the engines.

Each row of the first table is a search by `lineclear test` with the adapter in [examples](../examples),
seed 0, until a rule was broken or the runs were used up. How to repeat one:
[test your scheduler](test_your_scheduler.md#an-engine-whose-sources-you-download).
"""


def page(rows: list[tuple[Search, dict[str, Any]]], vllm: list[dict[str, Any]]) -> str:
    """The page; `vllm` is empty if its runs found what has no public thread."""
    lines = [INTRODUCTION]
    lines += [
        "| engine, commit | settings | runs, steps | rule | public | actions | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one, got in rows:
        public = got["rule"] == one.rule and bool(one.thread)
        rule = f"`{got['rule']}`" if public else "none"
        actions = f"{got['first']}, shrunk to {len(got['actions'])}" if public else ""
        extra = ", oversize requests" if one.function == "make_oversize" else ""
        seconds = f"{got['seconds']:.1f}"
        if public:
            seconds += f", shrinking {got['shrinking']:.1f}"
        lines.append(
            f"| {one.engine} {one.commit} | {got['limits']}{extra} | {got['runs']:,}, "
            f"{got['steps']:,} | {rule} | {one.thread if public else ''} | {actions} | {seconds} |"
        )
    lines += ["", "| adapter | lines | stubbed |", "| --- | --- | --- |"]
    stubbed = {one.adapter: got["stubbed"] for one, got in rows}
    for adapter, names in stubbed.items():
        lines.append(
            f"| [{adapter}](../examples/{adapter}) | {lines_of(adapter)} | {'; '.join(names)} |"
        )
    for one, got in rows:
        if got["rule"] == one.rule and one.thread:
            lines += ["", f"## {one.engine} {one.commit}: `{one.rule}`", "", f"{one.thread}.", ""]
            lines += ["```", got["message"], ""]
            lines += [f"{tuple(action)!r}" for action in got["actions"]]
            lines += ["```"]
    lines += section(vllm) if vllm else []
    return "\n".join(lines) + "\n"


def main() -> int:
    """Searches, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nano-vllm", type=Path, required=True)
    parser.add_argument("--mini-sglang", type=Path, required=True)
    parser.add_argument("--vllm", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=1000)
    arguments = parser.parse_args()
    folders = {"nano-vllm": arguments.nano_vllm, "mini-sglang": arguments.mini_sglang}
    rows: list[tuple[Search, dict[str, Any]]] = []
    hidden = 0
    for one in SEARCHES:
        started = time.monotonic()
        got = search(one, folders[one.engine], arguments.runs)
        shown = got["rule"] in (None, one.rule)
        hidden += not shown
        rows += [(one, got)] if shown else []
        print(f"{one.engine} {one.commit} {one.function}: {time.monotonic() - started:.0f} s")
    vllm = recorded(arguments.vllm)
    for result in vllm:
        print(f"vLLM, {result['setting']}: {result['runs']} runs, {result['seconds']} s")
    if any(result["broken"] for result in vllm):
        hidden, vllm = hidden + 1, []
    PAGE.write_text(page(rows, vllm), encoding="utf-8")
    if hidden:
        print(f"{hidden} searches found what has no public thread: they are not on the page")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
