"""Runs `lineclear compare` on three public traces and writes docs/compare.md and its pictures.

    python docs/make_compare.py FOLDER            with the traces in it
    python docs/make_compare.py FOLDER --check    exit 1 if the page is stale; pictures are not compared

The traces are not part of this repository; the page says where they come from. It takes a minute or
two, and needs the extra `plot`.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "compare.md"
PICTURES = DOCS / "pictures"


@dataclass(frozen=True, slots=True)
class Trace:
    """One section of the page.

    Attributes:
        name: of the pictures.
        file: in the folder.
        title: heading.
        command: what is run, after the file's name.
        pictures: which are shown, and what is to be seen in each.
        text: what the table says.
        source: whom to credit.
    """

    name: str
    file: str
    title: str
    command: str
    pictures: dict[str, str]
    text: str
    source: str


TRACES = (
    Trace(
        "tenants",
        "vtc_lmsys_27clients.csv",
        "27 tenants: first come, first served against fair sharing",
        "--policies fcfs,vtc,drr --num-gpu-blocks 256 --max-num-seqs 8 --step-time base=0.03 "
        "--step-time per_token=0.0003",
        {
            "service": "service by tenant, and the greatest gap between tenants that wait",
            "timeline": "requests through their phases",
        },
        "The device is made slow, so that more is asked for than can be served, as on the A10G of the "
        "paper. With first come, first served the gap between tenants that wait grows for as long as "
        "they do; with the virtual token counter and with deficit round robin it is flat, well below the "
        "proved bound (which allows for every seat being one tenant's and every output as long as the "
        "longest), and the tokens a second are the same. The published artifact measured the same shape: "
        "for two overloaded clients a gap of 237,738 that grows with first come, first served, of 9,050 "
        "and flat with the counter; and on this trace 777 and 779 tokens a second. Ours differs from it in "
        "scale (this slice has 553 of its 1,500 requests, and the device is another) and in one thing "
        "besides: there the counter lowers the mean time to the first token by 15%, here by 1%. Its "
        "windowed shortfall of service is another measure than our gap. Light tenants no longer wait behind "
        "heavy ones, and so the 99th percentile, which is a heavy tenant's, is worse.",
        "VTC artifact, `fair_bench/real_trace.pkl` of <https://github.com/Ying1123/VTC-artifact> "
        "(commit 192c2e2), Apache-2.0; Sheng et al., *Fairness in Serving Large Language Models*, OSDI 2024.",
    ),
    Trace(
        "guesses",
        "ssjf_predictions_multi_cls.csv",
        "Guessed lengths: the mean against the tail",
        "--policies fcfs,sjf,sjf_aging,mlfq --num-gpu-blocks 512 --max-num-seqs 32 --request-rate 20",
        {
            "latency": "time to first token, and for each token after it",
            "usage": "KV in use, requests that run and that wait",
        },
        "The file has true lengths and, for each, a predictor's guess of one of five classes; arrivals "
        "are drawn. Shortest job first by the guess more than halves the mean time to the first token, "
        "and the longest wait is seven times that of first come, first served: what is long waits for "
        "whatever is short. Aging by 0.05 seconds a token hardly differs from first come, first served "
        "here, because a guess is a class between 0 and 4 and not a number of tokens. The multi-level "
        "queue knows no lengths and moves requests down as they are served, so it preempts most, by swap "
        "and by recompute, which costs throughput in so small a pool.",
        "`model-serving/prediction/final/predictions_warmup_multi_cls_1000K.csv` of "
        "<https://github.com/James-QiuHaoran/LLM-serving-with-proxy-models>, Apache-2.0; Qiu et al., "
        "arXiv 2404.08509. The first 2,000 rows.",
    ),
    Trace(
        "conversations",
        "azure2023_conv.csv",
        "Conversations: a pool that is short of memory now and then",
        "--policies fcfs,lpl,mlfq,fair --num-gpu-blocks 1280 --num-cpu-blocks 128 --max-model-len 16384",
        {"usage": "KV in use, requests that run and that wait"},
        "Nothing is known of outputs here but their cap, so what can be sorted by is the prompt. Longest "
        "prefill last lowers the mean time to the first token and raises the longest wait. Fair shares of "
        "a step change nothing as long as prompts are shorter than a step. All serve the same tokens a "
        "second: the trace asks for less than the device can do, except in bursts.",
        "Azure LLM inference trace 2023, `AzureLLMInferenceTrace_conv.csv` of "
        "<https://github.com/Azure/AzurePublicDataset> (commit b469a11), CC-BY 4.0; Patel et al., "
        "*Splitwise*, ISCA 2024. The first 2,000 rows.",
    ),
)

HEAD = """\
# Policies compared on three traces

<!-- generated by `python docs/make_compare.py FOLDER`, do not edit -->

Times are simulated by a stated model of a device (`lineclear simulate --step-time help`): they say how
these runs compare with each other, not how fast a device is. [validation.md](validation.md) says how far
the simulator is from the log of a real engine. `lineclear compare --help` says what the columns are;
`gap` and `bound` are the greatest difference of service between two tenants that wait, seen and
proved. Below stands each bound that a theorem states for these settings and requests, beside the most
that was seen in the run. [policies.md](policies.md) says what each policy guarantees.
"""


def run(folder: Path, trace: Trace, pictures: Path) -> str:
    """The table that the command prints; the pictures are put beside the page."""
    command = [sys.executable, "-m", "lineclear", "compare", str(folder / trace.file)]
    flags = [*shlex.split(trace.command), "--plot", str(pictures), "--picture", "png"]
    print(f"lineclear compare {trace.file} {trace.command}", file=sys.stderr)
    done = subprocess.run([*command, *flags], stdout=subprocess.PIPE, check=False, text=True)
    if done.returncode != 0:
        raise SystemExit(f"lineclear compare {trace.file} ended with {done.returncode}")
    lines = done.stdout.split("\n")
    kept = [line.rstrip() for line in lines[2:] if str(pictures) not in line]
    return "\n".join(kept).strip()


def section(folder: Path, trace: Trace, pictures: Path) -> str:
    """One trace."""
    table = run(folder, trace, pictures)
    shown = "\n\n".join(
        f"![{what}](pictures/{trace.name}-{name}.png)" for name, what in trace.pictures.items()
    )
    return (
        f"## {trace.title}\n\n```text\nlineclear compare {trace.file} {trace.command}\n\n{table}\n```\n\n"
        f"{trace.text}\n\n{shown}\n\nSource: {trace.source} Not part of this repository.\n"
    )


def main() -> int:
    """Writes the page and its pictures, or compares the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the traces are")
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    missing = [trace.file for trace in TRACES if not (arguments.folder / trace.file).is_file()]
    if missing:
        parser.error(f"there is no {missing[0]} in {arguments.folder}")
    with tempfile.TemporaryDirectory() as place:
        folders = {trace.name: Path(place) / trace.name for trace in TRACES}
        sections = [section(arguments.folder, trace, folders[trace.name]) for trace in TRACES]
        page = "\n".join([HEAD, *sections])
        if arguments.check:
            if PAGE.read_text(encoding="utf-8") != page:
                print(f"{PAGE} is stale: python docs/make_compare.py FOLDER")
                return 1
            return 0
        PICTURES.mkdir(exist_ok=True)
        for trace in TRACES:
            for name in trace.pictures:
                shutil.copyfile(
                    folders[trace.name] / f"{name}.png", PICTURES / f"{trace.name}-{name}.png"
                )
        PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
