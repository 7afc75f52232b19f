"""Ways to build a step: injected, loaded by name, and never imported by what schedules."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from drive import Drive, rows, small
from faulty import ANY_FIT, BROKEN

from lineclear.config import Config, ConfigError
from lineclear.request import Request
from lineclear.rules import RULES, load, rules_of
from lineclear.scheduler import Scheduler
from lineclear.scheduling.step import Step


class Shy(Step):
    """Admits nothing."""

    lacks = ("the head is admitted if it fits",)
    needs: dict[str, Any] = {"max_steps_in_flight": 1}  # noqa: RUF012

    def _admit_all(self) -> None:
        pass


def test_a_step_factory_builds_every_step() -> None:
    scheduler = Scheduler(small(), step_factory=Shy)
    scheduler.add(Request(request_id="a", prompt_tokens=3, max_tokens=2))
    assert scheduler.schedule().is_empty
    assert len(scheduler.ledger.waiting) == 1


def test_a_class_of_ones_own_is_named_like_a_policy() -> None:
    name = f"{__name__}:Shy"
    sys.modules.setdefault(__name__, sys.modules[Shy.__module__])
    config = small(rules=name)
    assert config.lacking == Shy.lacks
    assert rules_of(name).replaces  # what it decides is not what is proved, unless it says so
    with pytest.raises(ConfigError, match="need max_steps_in_flight = 1"):
        small(rules=name, max_steps_in_flight=2)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sglang", "rules must be one of lineclear, vllm_v0, vllm_v0_chunked, nano_vllm, or mod"),
        ("no_such_module:Step", "No module named 'no_such_module'"),
        ("lineclear.evidence.faults:Nothing", "has no attribute 'Nothing'"),
    ],
)
def test_rules_that_cannot_be_loaded_are_refused(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Config(rules=name)


def test_every_named_class_is_a_step() -> None:
    paths = [rules.step for rules in RULES.values()] + [c.rules for c in BROKEN.values()]
    assert all(issubclass(load(path), Step) for path in paths)
    assert len(set(paths)) == len(paths) == 7


@pytest.mark.parametrize("name", ["tail_requeue", "any_fit", "longest_victim"])
def test_a_file_that_says_broken_is_still_read(name: str) -> None:
    changes = {"victim": "longest", "pause_after_preemption": False}
    settings = {"broken": name, **(changes if name == "longest_victim" else {})}
    assert Config.from_mapping(settings) == BROKEN[f"broken_{name}"]
    assert Config.from_mapping({"broken": ""}) == Config()
    with pytest.raises(ConfigError, match="broken must be one of tail_requeue"):
        Config.from_mapping({"broken": "everything"})


#: Rooms that a scheduler needs none of.
TOOLS = "checks cli conform evidence explore lessons oracle report simulation testing theorems workload"


def test_what_schedules_loads_no_tool_no_baseline_and_no_fault() -> None:
    code = (
        "import sys, lineclear.scheduler as s; from lineclear.config import PRESETS, Config\n"
        "s.Scheduler()\n"
        f"tools = {TOOLS.split()}\n"
        "print([m for m in sys.modules if m.startswith('lineclear.') and m.split('.')[1] in tools])\n"
        "s.Scheduler(PRESETS['vllm_v0'])\n"
        "print('lineclear.evidence.vllm_v0' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "True"]


def test_a_request_passes_one_that_does_not_fit_only_without_the_rule() -> None:
    for rules, passes in (("lineclear", False), (ANY_FIT, True)):
        drive = Drive(num_gpu_blocks=4, rules=rules)
        drive.add("runs", 9, 4)
        drive.step()
        drive.add("large", 9, 4)
        drive.add("little", 2, 2)
        assert ("little" in rows(drive.step())) is passes
