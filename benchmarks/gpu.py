# pyright: basic
"""Measures the device code on a GPU: speed, copies, tags; and the machine's limits in the same run.

    python benchmarks/gpu.py                        every section, a table
    python benchmarks/gpu.py --part speed           attention, a decode step, the engine and its peer
    python benchmarks/gpu.py --part copies          swaps, copies on write, the host, swap or recompute
    python benchmarks/gpu.py --part long            models, parity under memory pressure, tags
    python benchmarks/gpu.py --only limits,swaps    some sections
    python benchmarks/gpu.py --json FILE --markdown FILE

Each part takes less than 8 minutes, and has both sides of each of its ratios.

Times are medians; a copy's runs from before it is submitted until the GPU has passed it. Bytes are
checked after every measured copy. A failed section is reported and the others run; exit code 1
then, or if a required figure is missed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [
    str(ROOT / name)
    for name in ("spec", "reference", "gpu_backend", "benchmarks", "tests/support")
]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from gpu_attention import SHAPES, attention  # noqa: E402
from gpu_forward import forward  # noqa: E402
from gpu_models import models  # noqa: E402
from gpu_serving import decode, pressure, serving  # noqa: E402
from gpu_swapping import WORKLOADS, swapping  # noqa: E402

from lineclear.request import Request  # noqa: E402
from lineclear.scheduler import Config, Scheduler  # noqa: E402
from lineclear_gpu.book import Book  # noqa: E402
from lineclear_gpu.executor import Executor  # noqa: E402
from lineclear_gpu.graphs import CudaGraphs  # noqa: E402
from lineclear_gpu.kernels.copying import copy_rows  # noqa: E402
from lineclear_gpu.pool import KVPool  # noqa: E402
from lineclear_gpu.shape import KVShape  # noqa: E402
from lineclear_gpu.tag_run import Load, TagRun  # noqa: E402
from lineclear_gpu.tag_run import pressure as under_pressure  # noqa: E402
from lineclear_gpu.transfer import Transfer  # noqa: E402

DEVICE = torch.device("cuda")
GIB = 1 << 30
Result = dict[str, Any]

#: (row, section, key, required, aim, unit); a figure is a share of a limit or a time.
TABLE = (
    ("swap out, scattered 2 MiB blocks", "swaps", "2048 KiB out share", 0.92, 0.97, "of the link"),
    ("swap in, scattered 2 MiB blocks", "swaps", "2048 KiB in share", 0.92, 0.97, "of the link"),
    ("swap out, scattered 64 KiB blocks", "swaps", "64 KiB out share", 0.75, 0.90, "of the link"),
    ("swap in, scattered 64 KiB blocks", "swaps", "64 KiB in share", 0.75, 0.90, "of the link"),
    ("both ways at once", "both", "share", 0.85, 0.95, "of the two-way total"),
    ("copy on write, 64 MiB", "cow", "64 MiB share", 0.90, 0.95, "of the device copy"),
    ("copy on write, 512 MiB", "cow", "512 MiB share", 0.80, 0.88, "of the device copy"),
    (
        "slowdown of an HBM-bound kernel while swapping",
        "overlap",
        "slowdown",
        -1.05,
        -1.01,
        "times",
    ),
    ("host time of a step, 256 sequences", "host", "us", -300, -100, "us"),
    ("end to end, ample memory, beside the peer", "serving", "times the peer", 2.5, 4.0, "times"),
    ("the same under memory pressure", "pressure", "times the peer", 2.0, 4.0, "times"),
    ("swap over recompute there", "pressure", "swap over recompute", 1.0, 1.05, "times"),
    *(
        (
            f"auto over the better of swap and recompute, {name} requests",
            "swapping",
            f"{name}: auto over the better",
            0.95,
            1.0,
            "times",
        )
        for name in WORKLOADS
    ),
    (
        "a decode step of 128 sequences, over its floor",
        "decode",
        "over floor",
        -3.0,
        -2.0,
        "times",
    ),
    ("GPU idle between decode steps", "decode", "idle share", -0.08, -0.03, ""),
    ("memory of recorded steps", "decode", "graphs GiB", -2.0, -1.0, "GiB"),
    (
        "host of the engine a step, 256 sequences",
        "decode",
        "host ms, 256 sequences",
        -0.7,
        -0.4,
        "ms",
    ),
    *(
        (
            f"attention of decodes, head {head}, GQA {shared}, {rows} x {context}",
            "attention",
            f"head {head}, GQA {shared}, {rows} x {context} share",
            required,
            aim,
            "of the device copy",
        )
        for head, shared, rows, context, required, aim in SHAPES
    ),
)


def timed(work: Callable[[], object], repeat: int = 9, warm: int = 2) -> float:
    """Median seconds from before the call until the device is done."""
    for _ in range(warm):
        work()
    torch.cuda.synchronize()
    seconds: list[float] = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def shape_of(kib: int) -> KVShape:
    """A block of this many KiB: 16 tokens of 8 heads of 128 numbers of 16 bits in some layers."""
    if kib >= 64:
        return KVShape(kib // 64, 8, 128, 16, torch.bfloat16)
    return KVShape(1, kib // 8, 128, 16, torch.bfloat16)


# ---- sections -------------------------------------------------------------------------------------


def limits(_: Result) -> Result:
    """The machine's limits: one large copy each way, both at once, inside the device."""
    size = GIB
    host = torch.empty(2, size, dtype=torch.uint8).pin_memory()
    device = torch.empty(2, size, dtype=torch.uint8, device=DEVICE)
    device.random_(0, 255)
    host.random_(0, 255)
    out = size / timed(lambda: host[0].copy_(device[0], non_blocking=True)) / 1e9
    into = size / timed(lambda: device[1].copy_(host[1], non_blocking=True)) / 1e9
    one, two = torch.cuda.Stream(), torch.cuda.Stream()

    def both() -> None:
        with torch.cuda.stream(one):
            host[0].copy_(device[0], non_blocking=True)
        with torch.cuda.stream(two):
            device[1].copy_(host[1], non_blocking=True)

    together = 2 * size / timed(both) / 1e9
    words = device.view(torch.int64)
    inside = 2 * size / timed(lambda: words[1].copy_(words[0])) / 1e9
    return {"out GB/s": out, "in GB/s": into, "both GB/s": together, "device GB/s": inside}


def swaps(found: Result) -> Result:
    """Scattered blocks out and in, by each way."""
    result: Result = {}
    link = found.get("limits", {})
    for kib in (2048, 512, 256, 64, 16):
        shape = shape_of(kib)
        count = min(GIB // shape.block_bytes, 16384)
        pool = KVPool(shape, count, count, DEVICE)
        random = np.random.default_rng(kib)
        left, right = random.permutation(count), random.permutation(count)
        out = list(zip(left.tolist(), right.tolist(), strict=True))
        back = [(host, device) for device, host in out]
        pool.gpu_rows.random_(0, 255)
        before = pool.gpu_rows.clone()
        for way in ("auto", "batch", "kernel"):
            try:
                transfer = Transfer(pool, way)
                total = count * shape.block_bytes
                gone = total / timed(lambda t=transfer, p=out: t.out(p), 5) / 1e9
                pool.gpu_rows.zero_()
                came = total / timed(lambda t=transfer, p=back: t.into(p), 5) / 1e9
                if not torch.equal(pool.gpu_rows, before):
                    raise AssertionError(f"{kib} KiB by {way}: bytes differ")
            except Exception as error:
                result[f"{kib} KiB {way} error"] = f"{type(error).__name__}: {error}"
                continue
            result[f"{kib} KiB out {way} GB/s"] = gone
            result[f"{kib} KiB in {way} GB/s"] = came
            if way == "auto" and link:
                result[f"{kib} KiB out share"] = gone / link["out GB/s"]
                result[f"{kib} KiB in share"] = came / link["in GB/s"]
        pool.close()
        del pool, before
        torch.cuda.empty_cache()
    return result


def both(found: Result) -> Result:
    """Moves 2 MiB blocks out of one half of the pool and into the other."""
    shape = shape_of(2048)
    count = GIB // shape.block_bytes
    pool = KVPool(shape, 2 * count, 2 * count, DEVICE)
    pool.gpu_rows.random_(0, 255)
    random = np.random.default_rng(1)
    order = random.permutation(count)
    out = [(int(k), int(order[k])) for k in range(count)]
    back = [(count + int(order[k]), count + int(k)) for k in range(count)]
    first, second = Transfer(pool), Transfer(pool)
    one, two = torch.cuda.Stream(), torch.cuda.Stream()

    def work() -> None:
        with torch.cuda.stream(one):
            first.out(out)
        with torch.cuda.stream(two):
            second.into(back)

    rate = 2 * count * shape.block_bytes / timed(work, 7) / 1e9
    pool.close()
    total = found.get("limits", {}).get("both GB/s")
    return {"GB/s": rate, "share": rate / total if total else None}


def cow(found: Result) -> Result:
    """Copies of blocks inside the pool, bytes read and written."""
    result: Result = {}
    limit = found.get("limits", {}).get("device GB/s")
    shape = shape_of(2048)
    for mib in (16, 64, 512):
        count = mib // 2
        pool = KVPool(shape, 4 * count, 0, DEVICE)
        pool.gpu_rows.random_(0, 255)
        random = np.random.default_rng(mib)
        places = random.permutation(4 * count)
        pairs = [
            (int(a), int(b))
            for a, b in zip(places[:count], places[count : 2 * count], strict=True)
        ]
        table = torch.tensor(pairs, dtype=torch.int32, device=DEVICE)
        from lineclear_gpu.kernels.copying import copy_rows_triton

        whole = timed(lambda p=pairs, pool=pool: copy_rows(pool.gpu_rows, p), 15, 4)
        # The kernel alone: many in one graph, as its launch takes the host as long as 64 MiB take.
        many = 20
        copy_rows_triton(pool.gpu_rows, pool.gpu_rows, table)
        torch.cuda.synchronize()
        graph: Any = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(many):
                copy_rows_triton(pool.gpu_rows, pool.gpu_rows, table)
        graph.replay()
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        times: list[float] = []
        for _ in range(7):
            start.record()
            graph.replay()
            end.record()
            torch.cuda.synchronize()
            times.append(start.elapsed_time(end) / 1e3 / many)
        moved = 2 * mib * (1 << 20)
        for source, target in pairs[:8]:
            assert torch.equal(pool.gpu_rows[source], pool.gpu_rows[target])
        rate = moved / statistics.median(times) / 1e9
        result[f"{mib} MiB GB/s"] = rate
        result[f"{mib} MiB with launch GB/s"] = moved / whole / 1e9
        result[f"{mib} MiB share"] = rate / limit if limit else None
        graph.reset()
        del graph, pool
    return result


def overlap(_: Result) -> Result:
    """An HBM-bound kernel with and without a swap beside it."""
    shape = shape_of(2048)
    count = 4 * GIB // shape.block_bytes
    pool = KVPool(shape, count, count, DEVICE)
    random = np.random.default_rng(2)
    order = random.permutation(count)
    pairs = [(int(k), int(order[k])) for k in range(count)]
    transfer = Transfer(pool)
    side = torch.cuda.Stream()
    a, b = (torch.empty(GIB // 4, dtype=torch.float32, device=DEVICE) for _ in range(2))
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def kernel(times: int) -> float:
        torch.cuda.synchronize()
        start.record()
        for _ in range(times):
            b.copy_(a)
        end.record()
        end.synchronize()
        return start.elapsed_time(end)

    kernel(10)
    alone = statistics.median(kernel(40) for _ in range(5))
    beside: list[float] = []
    for _ in range(5):
        torch.cuda.synchronize()
        with torch.cuda.stream(side):
            transfer.out(pairs)
            ended = torch.cuda.Event()
            ended.record()
        start.record()
        for _ in range(40):
            b.copy_(a)
        end.record()
        end.synchronize()
        beside.append(start.elapsed_time(end))
        if ended.query():
            raise AssertionError("the swap ended before the kernels; it must be larger")
    pool.close()
    return {
        "alone ms": alone,
        "beside ms": statistics.median(beside),
        "slowdown": statistics.median(beside) / alone,
    }


def host(_: Result) -> Result:
    """Host time of the backend for a step of 256 sequences without swaps."""
    count = 256
    config = Config(
        num_gpu_blocks=count * 40, num_cpu_blocks=0, max_num_seqs=count, max_model_len=640,
        max_num_batched_tokens=count * 16, watermark=0.0, depth=2,
    )  # fmt: skip
    scheduler = Scheduler(config)
    book = Book(config.block_size, config.max_model_len, count)
    pool = KVPool(KVShape(1, 1, 8, config.block_size), config.num_gpu_blocks, 0, DEVICE)
    executor = Executor(pool)
    for number in range(count):
        scheduler.add(Request(request_id=number, prompt_tokens=16 + number % 16, max_tokens=512))
        book.add(number, range(16 + number % 16))
    backend: list[float] = []
    whole: list[float] = []
    flights: list[Any] = []
    for step in range(300):
        begin = time.perf_counter()
        plan = scheduler.schedule()
        middle = time.perf_counter()
        batch = book.batch(plan)
        launched = executor.launch(plan, lambda: None)
        spent = time.perf_counter() - middle
        flights.append((plan, launched, batch))
        if len(flights) == 2:
            old, ended, had = flights.pop(0)
            middle = time.perf_counter()
            executor.settle(ended)
            executor.result(ended)
            spent += time.perf_counter() - middle
            lanes = had.sample_lanes
            scheduler.commit(old, np.zeros(len(lanes), dtype=np.int64))
            middle = time.perf_counter()
            book.learn_all(lanes, 0)
            spent += time.perf_counter() - middle
        if step >= 50:
            backend.append(spent)
            whole.append(time.perf_counter() - begin)
    return {
        "us": statistics.median(backend) * 1e6,
        "mean us": statistics.mean(backend) * 1e6,
        "with the scheduler us": statistics.median(whole) * 1e6,
        "sequences": count,
    }


#: Processes that run tags in parallel, and their total number of steps.
PROCESSES, TAG_STEPS = 8, 200_000


def tag_worker(number: int, steps: int, seconds: float) -> list[Result]:
    """Runs seed after seed until it has this many steps."""
    begin = time.perf_counter()
    runs: list[Result] = []
    seed = number
    while steps > 0 and time.perf_counter() - begin < seconds:
        config = under_pressure(
            depth=1 + seed // 2 % 2,
            scheduling_policy=("fcfs", "priority")[seed % 2],
            preemption_mode=("auto", "swap", "recompute")[seed % 3],
        )
        fail = (0.0, 0.02)[seed // 4 % 2]
        load = Load(fail=fail, abort=0.02)
        graphs = None if seed % 5 == 4 else CudaGraphs(DEVICE)
        run = TagRun(config, seed, device="cuda", check=False, poison=64, load=load, graphs=graphs)
        wanted = min(5_000, steps)
        while run.figures.steps < wanted and time.perf_counter() - begin < seconds:
            try:
                run.run(min(500, wanted - run.figures.steps))
            except Exception as error:
                recorded = "recorded" if graphs else "launched"
                raise AssertionError(
                    f"seed {seed}, {recorded}, {load}, {config}: {error}"
                ) from error
        run.pool.close()
        steps -= run.figures.steps
        settings_of_run = {"seed": seed, "policy": config.scheduling_policy, "depth": config.depth}
        figures = {"steps": run.figures.steps, "slots": run.figures.slots}
        figures["recorded"] = graphs is not None
        events = {"mode": config.preemption_mode, "fail": fail, "events": dict(run.figures.events)}
        runs.append(settings_of_run | figures | events)
        seed += PROCESSES
    return runs


def tags(_: Result) -> Result:
    """The tag runner under memory pressure; checks every slot that is read."""
    start = time.perf_counter()
    context = torch.multiprocessing.get_context("spawn")
    with context.Pool(PROCESSES) as workers:
        share = [(k, TAG_STEPS // PROCESSES, 240.0) for k in range(PROCESSES)]
        runs = [run for made in workers.starmap(tag_worker, share) for run in made]
    seconds = time.perf_counter() - start
    events: dict[str, int] = {}
    for run in runs:
        for name, count in run["events"].items():
            events[name] = events.get(name, 0) + count
    steps = sum(run["steps"] for run in runs)
    return {
        "steps": steps,
        "of them in runs of recorded steps": sum(r["steps"] for r in runs if r["recorded"]),
        "of them in runs with failing copies": sum(r["steps"] for r in runs if r["fail"]),
        "slots checked": sum(run["slots"] for run in runs),
        "wrong": 0,  # a wrong one raises
        "seconds": seconds,
        "steps a second": steps / seconds,
        **{f"events: {name}": count for name, count in sorted(events.items())},
        "runs": runs,
    }


# ---- models -----------------------------------------------------------------------------------------


def serve(model: Any, prompts: Any, outputs: list[int], **settings: Any) -> Result:
    """The engine's run: tokens, steps and preemptions."""
    from lineclear_gpu.llm import LLM
    from lineclear_gpu.params import SamplingParams

    llm = LLM(model, max_num_seqs=128, max_num_batched_tokens=2048, max_model_len=1100,
              block_size=16, watermark=0.0, seed=0, **settings)  # fmt: skip
    params = [SamplingParams(max_tokens=n, temperature=0, ignore_eos=True) for n in outputs]
    found = llm.generate(prompts, params)
    counters = llm.engine.scheduler.counters
    result: Result = {
        "steps": llm.engine.steps,
        "replayed": llm.runner.replayed,
        "swaps": counters.preemptions["swap"],
        "recomputes": counters.preemptions["recompute"],
        "tokens": [output.outputs[0].token_ids for output in found],
    }
    llm.close()
    del llm
    torch.cuda.empty_cache()
    return result


#: Margin of float32 logits below which rounding may decide a greedy token either way.
TIE = 1e-3


def parity(_: Result) -> Result:
    """Memory pressure against ample memory in float32: a small model, at least 2,000 steps."""
    from lineclear_gpu.model import load_model
    from lineclear_gpu.parity import compare
    from lineclear_gpu.runner import exact_float32

    exact_float32()
    changes = {"num_hidden_layers": 4, "hidden_size": 256, "intermediate_size": 512}
    made = load_model("tiny-llama", device="cuda", dtype=torch.float32, changes=changes)
    random = np.random.default_rng(3)
    prompts = [random.integers(0, 320, size).tolist() for size in random.integers(16, 200, 160)]
    outputs = random.integers(64, 400, 160).tolist()
    result: Result = {"tokens": sum(outputs), "tie": TIE}
    totals = {"steps": 0, "of them recorded": 0, "requests that differ": 0, "ties": 0, "wrong": 0}
    runs: list[tuple[str, dict[str, Any]]] = [
        (f"{mode}, depth {depth}", {"preemption_mode": mode, "depth": depth})
        for mode in ("swap", "recompute", "auto")
        for depth in (1, 2)
    ]
    runs.append(("launched, swap, depth 2", {"preemption_mode": "swap", "eager": True}))
    ample: dict[bool, Result] = {}
    for name, settings in runs:
        eager = bool(settings.get("eager"))
        if eager not in ample:
            roomy = {"num_gpu_blocks": 12000, "num_cpu_blocks": 0, "eager": eager}
            ample[eager] = serve(made, prompts, outputs, **roomy)
        served = serve(made, prompts, outputs, num_gpu_blocks=300, num_cpu_blocks=1200, **settings)
        report = compare(made, prompts, ample[eager]["tokens"], served["tokens"], bound=TIE)
        result[f"{name}: preemptions"] = served["swaps"] + served["recomputes"]
        result[f"{name}: ties, wrong"] = f"{len(report.excused)}, {len(report.wrong)}"
        for each in report.wrong[:3]:
            print(name, settings, str(each), flush=True)
        widest = max((each.margin for each in report.excused), default=0.0)
        result[f"{name}: widest tie"] = widest
        totals["steps"] += served["steps"]
        totals["of them recorded"] += served["replayed"]
        totals["requests that differ"] += len(report.excused) + len(report.wrong)
        totals["ties"] += len(report.excused)
        totals["wrong"] += len(report.wrong)
    if totals["wrong"]:
        raise AssertionError(f"{totals['wrong']} requests differ beyond a tie: {result}")
    return result | totals


SECTIONS: dict[str, Callable[[Result], Result]] = {
    "limits": limits,
    "swaps": swaps,
    "both": both,
    "cow": cow,
    "overlap": overlap,
    "host": host,
    "attention": attention,
    "decode": decode,
    "serving": serving,
    "pressure": pressure,
    "swapping": swapping,
    "forward": forward,
    "models": models,
    "parity": parity,
    "tags": tags,
}
#: Sections that run together; each part takes less than 8 minutes.
PARTS = {
    "copies": ("limits", "swaps", "both", "cow", "overlap", "host", "swapping"),
    "speed": ("attention", "decode", "serving", "pressure"),
    "long": ("models", "parity", "tags"),
}


# ---- reports ---------------------------------------------------------------------------------------


def machine() -> Result:
    """The machine and the versions."""
    import triton

    return {
        "date": datetime.date.today().isoformat(),
        "gpu": torch.cuda.get_device_name(),
        "memory GiB": round(torch.cuda.get_device_properties(0).total_memory / GIB, 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "triton": triton.__version__,
        "numpy": np.__version__,
    }


def judged(found: Result) -> list[tuple[str, str, str, str, bool]]:
    """Name, measured, required, aim and verdict of each table row whose section ran."""
    rows = []
    for title, section, key, required, aim, unit in TABLE:
        if section not in found:
            continue
        value = found[section].get(key)
        share = unit.startswith("of ") or not unit

        def shown(number: float, share: bool = share, unit: str = unit) -> str:
            return f"{number:.1%} {unit}".strip() if share else f"{number:.3g} {unit}"

        bounds = shown(abs(required)), shown(abs(aim))
        if value is None:
            rows.append((title, "not measured", *bounds, False))
            continue
        holds = value <= -required if required < 0 else value >= required
        rows.append((title, shown(value), *bounds, holds))
    return rows


def markdown(found: Result, part: str | None = None, only: str | None = None) -> str:
    """The page of the documentation."""
    chosen = (f" --only {only}" if only else "") + (f" --part {part}" if part else "")
    where = found["machine"]
    lines = [
        "# On a GPU",
        "",
        f"Made by `python benchmarks/gpu.py{chosen} --markdown FILE`; "
        + ", ".join(f"{key} {value}" for key, value in where.items())
        + ".",
        "",
        "| what | measured | required | aim |",
        "|---|---|---|---|",
    ]
    for title, value, required, aim, holds in judged(found):
        lines.append(f"| {title} | {value}{'' if holds else ' (missed)'} | {required} | {aim} |")
    for name, section in found.items():
        if name in ("machine",):
            continue
        lines += ["", f"## {name}", "", "| figure | value |", "|---|---|"]
        for key, value in section.items():
            if isinstance(value, (list, dict)):
                continue
            shown = f"{value:,.4g}" if isinstance(value, float) else f"{value}"
            lines.append(f"| {key} | {shown} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Runs the sections."""
    parser = argparse.ArgumentParser(description="Device code on a GPU.")
    parser.add_argument("--only", help="names of sections, comma separated")
    parser.add_argument("--part", choices=tuple(PARTS), help="some sections that belong together")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--markdown", metavar="FILE")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("there is no CUDA device here", file=sys.stderr)
        return 2
    chosen = arguments.only.split(",") if arguments.only else list(SECTIONS)
    if arguments.part:
        chosen = [*(chosen if arguments.only else ()), *PARTS[arguments.part]]
    found: Result = {"machine": machine()}
    failed = False
    stream = torch.cuda.Stream()  # the driver takes no batch of copies on the default stream
    for name in chosen:
        start = time.perf_counter()
        try:
            with torch.cuda.stream(stream):
                found[name] = SECTIONS[name](found)
        except Exception as error:
            failed = True
            found[name] = {"error": f"{type(error).__name__}: {error}"}
            traceback.print_exc()
        print(f"{name}: {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
        if arguments.json:
            Path(arguments.json).write_text(json.dumps(found, indent=1) + "\n")
        if arguments.markdown:
            Path(arguments.markdown).write_text(markdown(found, arguments.part, arguments.only))
    print(markdown(found, arguments.part, arguments.only))
    missed = [row[0] for row in judged(found) if not row[4]]
    return 1 if failed or missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
