"""What happened when: phases of requests and samples of the pools."""

from __future__ import annotations

from itertools import pairwise

from lineclear.config import Config
from lineclear.simulation.history import EVERY, PHASES, History
from lineclear.simulation.metrics import Collector
from lineclear.simulation.simulate import Simulation
from lineclear.workload.generators import generate


def run(mode: str) -> History:
    config = Config(
        num_gpu_blocks=96, num_cpu_blocks=64, max_model_len=1024, max_num_seqs=32,
        preemption_mode=mode,
    )  # fmt: skip
    history = History()
    workload = generate("poisson", 80, 40, 1)
    plain = Collector()
    for collector in (history, plain):
        result = Simulation(workload, config, check_every=0, collector=collector).run()
        assert result.finished + len(result.rejected) == 80
    assert history.report() == plain.report()
    return history


def test_phases_follow_each_other_to_the_end() -> None:
    history = run("swap")
    seen: set[tuple[str, str]] = set()
    for name, life in history.phases.items():
        assert life[0] == (history.times[name].arrived, "waiting")
        assert life[-1] == (history.times[name].finished, "done")
        assert [moment for moment, _ in life] == sorted(moment for moment, _ in life)
        assert {phase for _, phase in life[:-1]} <= set(PHASES)
        seen |= {(one, two) for (_, one), (_, two) in pairwise(life)}
        swapped = sum(phase == "swapped" for _, phase in life)
        assert swapped <= history.times[name].preemptions
    assert {("waiting", "prefill"), ("prefill", "decode"), ("decode", "swapped")} <= seen
    assert ("swapped", "decode") in seen
    assert ("waiting", "decode") not in seen


def test_a_recompute_goes_back_to_waiting() -> None:
    history = run("recompute")
    lives = [[phase for _, phase in life] for life in history.phases.values()]
    again = [life for life in lives if life.count("waiting") > 1]
    assert again
    assert all(life[life.index("waiting", 1) + 1] == "prefill" for life in again)


def test_samples_keep_the_extremes() -> None:
    history = run("swap")
    moments = [sample.moment for sample in history.samples]
    assert all(b - a >= EVERY for a, b in pairwise(moments))
    assert max(sample.gpu for sample in history.samples) == history.gpu_usage_peak
    assert max(sample.cpu for sample in history.samples) == history.cpu_usage_peak > 0
    assert max(sample.waiting for sample in history.samples) > 0
