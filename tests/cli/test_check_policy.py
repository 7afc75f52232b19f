"""`lineclear check --policy`: each stage, seen to pass and seen to fail; the example of the docs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("z3")

from lineclear.checks import walks
from lineclear.cli import main

ROOT = Path(__file__).parents[2]
POLICY = """
from lineclear_spec.theorems import CLAIMS, Claims, Fact, claim
from lineclear_spec.logic import if_else, given, implies

class {name}:
    name = "{name}"
{body}
"""
PLAIN = """
    def may_displace(self, waiting, running):
        return False
"""
BODIES = {
    "Fifo": "    def key(self, request):\n        return request.number" + PLAIN,
    "Lifo": "    def key(self, request):\n        return -request.number" + PLAIN,
    "Meant": "    may_starve = True\n    def key(self, request):\n        return -request.number"
    + PLAIN,
    "Lots": "    def key(self, request):\n        import random\n        return random.random()"
    + PLAIN,
    "Sly": "    def key(self, request):\n"
    "        return request.number if type(request.n) is not int else -request.number" + PLAIN,
    "Sometimes": "    def key(self, request):\n        return {0: 0}[request.priority]" + PLAIN,
    "Late": "    def key(self, request):\n        return 0\n"
    "    def share(self, request, budget, sharers):\n        return request.generated" + PLAIN,
    "NoDeadline": "    def key(self, request):\n"
    "        return if_else(given(request.deadline), request.number, -request.number)" + PLAIN,
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("mine", "my_policy")):
            del sys.modules[name]


def write(name: str, module: str = "mine", more: str = "") -> str:
    text = POLICY.format(name=name, body=BODIES[name]) + more
    Path(f"{module}.py").write_text(text)
    return f"{module}:{name}"


def check(capsys: pytest.CaptureFixture[str], policy: str, *more: str) -> tuple[int, Any]:
    """The exit code, and outcomes by stage."""
    capsys.readouterr()
    code = main(["check", "--fast", "--policy", policy, "--format", "json", *more])
    stages = json.loads(capsys.readouterr().out)["stages"]
    return code, {stage["name"]: stage for stage in stages}


def codes(stage: Any) -> list[str]:
    return [finding["code"] for finding in stage["findings"]]


def test_an_order_of_arrival_passes_every_stage_and_is_proved(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, stages = check(capsys, write("Fifo"))
    assert code == 0
    assert {stage["status"] for stage in stages.values()} == {"passed"}
    assert list(stages) == ["policy", "order", "behaviours", "scheduler", "starvation"]
    assert stages["order"]["figures"]["none_starves_by"] == "order of arrival"
    assert (
        stages["starvation"]["left_out"] == "freedom from starvation is proved: order of arrival"
    )
    assert all(stage["cases"] for stage in stages.values())


def test_who_lets_others_pass_for_ever_is_red_with_a_run_that_replays(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    code, stages = check(capsys, write("Lifo"), "--stage", "starvation")
    assert code == 1
    (finding,) = stages["starvation"]["findings"]
    assert finding["code"] == "LC503"
    assert "computes nothing for 1,500 steps, while 374 that arrived after it" in finding["title"]
    assert finding["file"] == "mine.py"
    assert finding["lines"][0] == "its plans repeat every 4 steps"
    (saved,) = (folder / ".lineclear").glob("LC503-*.itf.json")
    capsys.readouterr()
    assert main(["replay", str(saved)]) == 0
    assert "waiting" in capsys.readouterr().out


def test_who_says_so_himself_gets_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    code, stages = check(capsys, write("Meant"), "--stage", "starvation")
    assert code == 0
    assert codes(stages["starvation"]) == ["LC803"]
    assert "starvation is declared" in stages["starvation"]["summary"]


def test_lots_are_no_order(capsys: pytest.CaptureFixture[str]) -> None:
    code, stages = check(capsys, write("Lots"), "--stage", "policy", "--stage", "order")
    assert code == 1
    assert codes(stages["policy"]) == ["LC805"]
    assert stages["order"]["status"] == "skipped"
    assert "not proved, only tested" in stages["order"]["summary"]


def test_a_formula_that_is_not_what_runs_is_no_proof(capsys: pytest.CaptureFixture[str]) -> None:
    """Its formula would be proved to serve in order of arrival, but it serves the last one first."""
    code, stages = check(capsys, write("Sly"), "--stage", "order")
    assert code == 3
    summary = stages["order"]["summary"]
    assert "Sly: not proved, only tested: " in summary
    assert "mine.py:8: `ifexp` is not allowed in key, which is run on formulas" in summary


def test_what_is_proved_of_requests_with_a_deadline_is_not_of_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, stages = check(capsys, write("NoDeadline"), "--stage", "order")
    assert code == 0
    assert stages["order"]["figures"]["none_starves_by"] == ""
    assert "freedom from starvation is not proved" in stages["order"]["left_out"]


@pytest.mark.parametrize(
    ("name", "stage"), [("Sometimes", "policy"), ("Sometimes", "scheduler"), ("Late", "policy")]
)
def test_an_answer_that_cannot_be_meant_is_told_by_name(
    capsys: pytest.CaptureFixture[str], name: str, stage: str
) -> None:
    code, stages = check(capsys, write(name), "--stage", stage)
    assert code == 1
    assert set(codes(stages[stage])) == {"LC804"}
    assert name in stages[stage]["findings"][0]["title"]


#: Orders that turn round in every step, by policies that let anybody be displaced.
TURNING = {
    "Flip": "request.number if request.step % 2 else -request.number",
    "Waits": "0 if request.waiting is not None else 1",
}


def write_turning(monkeypatch: pytest.MonkeyPatch, name: str) -> str:
    body = f"""    def key(self, request):
        return {TURNING[name]}
    def may_displace(self, waiting, running):
        return True
    def review(self, request):
        return 1
"""
    monkeypatch.setitem(BODIES, name, body)
    return write(name)


@pytest.fixture
def one_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage runs its first configuration alone; what it does with a finding is the same."""
    every = walks.configurations
    monkeypatch.setattr(walks, "configurations", lambda context: islice(every(context), 1))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]


def anybody_may_be_displaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler without the rule that each displacement is paid for by a token."""
    from lineclear.scheduling import step

    def always(sheltered: bool, kept_a_token: bool) -> bool:
        return True

    monkeypatch.setattr(step, "may_be_displaced", always)


@pytest.mark.parametrize("name", TURNING)
def test_orders_that_turn_round_in_every_step_are_no_end_of_progress(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A request that displaced another keeps a token before it is displaced, whatever the order does."""
    code, stages = check(capsys, write_turning(monkeypatch, name), "--stage", "scheduler")
    assert (code, codes(stages["scheduler"])) == (0, [])


@pytest.mark.parametrize("name", TURNING)
def test_without_the_rule_the_first_wrong_displacement_is_found(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The oracle keeps the rule by itself, so that no run gets as far as the livelock."""
    policy = write_turning(monkeypatch, name)
    anybody_may_be_displaced(monkeypatch)
    code, stages = check(capsys, policy, "--stage", "scheduler")
    assert code == 1
    assert set(codes(stages["scheduler"])) == {"LC405"}


@pytest.mark.usefixtures("one_configuration")
def test_requests_that_displace_each_other_for_ever_are_found(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the rule off in the scheduler and in the oracle, the watch sees that no request gets a token. The bound of
    the theorem is some 4,000 steps here: a smaller one is seen to be passed in the same way.
    """
    from lineclear.monitor import liveness
    from lineclear.oracle import state

    def soon(*_: Any) -> int:
        return 300

    monkeypatch.setattr(liveness, "steps_to_a_token", soon)

    policy = write_turning(monkeypatch, "Flip")
    anybody_may_be_displaced(monkeypatch)
    live_of: Any = state.live_of

    def unprotected(*arguments: Any) -> Any:
        return live_of(*arguments[:3], False, *arguments[4:])

    monkeypatch.setattr(state, "live_of", unprotected)
    code, stages = check(capsys, policy, "--stage", "scheduler")
    assert code == 1
    assert set(codes(stages["scheduler"])) == {"LC501"}
    (saved, *_) = Path(".lineclear").glob("LC501-*.itf.json")
    capsys.readouterr()
    assert main(["replay", str(saved)]) == 1
    said = capsys.readouterr().out
    assert "found again with the same environment" in said
    assert "no request advances: no request learned a token" in said


def test_a_claim_of_ones_own_is_proved_or_refuted(capsys: pytest.CaptureFixture[str]) -> None:
    fact = """
claim(Claims("{0}", lambda _: {0}(), (), (Fact("who arrives earlier comes before", lambda a, b, _:
    implies(a.arrival < b.arrival, a.order < b.order)),)))
"""
    try:
        code, stages = check(
            capsys, write("Fifo", "mine_a", fact.format("Fifo")), "--stage", "order"
        )
        assert (code, stages["order"]["figures"]["asked"]) == (0, 5)
        code, stages = check(
            capsys, write("Lifo", "mine_b", fact.format("Lifo")), "--stage", "order"
        )
        assert (code, codes(stages["order"])) == (1, ["LC101"])
    finally:
        from lineclear_spec.theorems import CLAIMS

        CLAIMS.pop("Fifo", None)
        CLAIMS.pop("Lifo", None)


def test_a_policy_that_breaks_the_scheduler_is_found(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search of small worlds finds what this policy could do to an unsafe scheduler."""
    from lineclear.scheduling.entry import Entry
    from lineclear.scheduling.queues import RunningOrder
    from lineclear.scheduling.step import Step

    right = Step._displace  # pyright: ignore[reportPrivateUsage]

    def careless(self: Step, jobs: list[Any]) -> list[Any]:
        def from_the_last(running: RunningOrder, entry: Entry) -> Iterator[Entry]:
            for other in reversed(list(running.entries.values())):
                self.ledger.gpu.free -= other.number > 1
            return iter(())

        with monkeypatch.context() as patch:
            patch.setattr(RunningOrder, "from_the_last", from_the_last)
            return right(self, jobs)

    monkeypatch.setattr(Step, "_displace", careless)
    body = "    def key(self, request):\n        return -request.priority" + PLAIN
    monkeypatch.setitem(BODIES, "Urgent", body)
    from lineclear.checks.behaviours import chosen, look
    from lineclear.checks.stage import Context
    from lineclear.cli.check import set_policy

    context = Context("fast")
    set_policy(context, write("Urgent"), {})
    findings = [row for bounds in chosen(context) for row in look(bounds)[4]]
    assert "LC401" in {finding.code for finding in findings}


def test_outcomes_are_kept_until_the_module_changes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = ModuleType("made_up")
    made_up.__file__ = "_nowhere.py"  # like some packages
    monkeypatch.setitem(sys.modules, "made_up", made_up)
    policy = write("Fifo")
    assert not check(capsys, policy, "--stage", "policy")[1]["policy"]["cached"]
    assert check(capsys, policy, "--stage", "policy")[1]["policy"]["cached"]
    Path("mine.py").write_text(Path("mine.py").read_text() + "\n# another\n")
    assert not check(capsys, policy, "--stage", "policy")[1]["policy"]["cached"]


@pytest.mark.parametrize(
    ("text", "policy", "complaint"),
    [
        ("", "mine:Nobody", "has no attribute 'Nobody'"),
        ("", "nowhere_at_all:Policy", "No module named"),
        ("def", "mine:P", "SyntaxError"),
        ("1 / 0", "mine:P", "ZeroDivisionError"),
        ("raise SystemExit(7)", "mine:P", "SystemExit: 7"),
        ("class P:\n    pass", "mine:P", "it has no `name`"),
        ("class P:\n    name = 'p'", "mine:P", "no method key(view)"),
        ("class P:\n    name = 'p'\n    key = 3\n    may_displace = 3", "mine:P", "`key` is 3"),
        (
            "class P:\n    name = 'p'\n    def key(self): return 0\n    def may_displace(self, a, b): 0",
            "mine:P",
            "`key` is called as key(view): too many positional arguments",
        ),
        (
            "class P:\n    name = 'p'\n    def key(self, v): yield 0\n"
            "    def may_displace(self, a, b): 0",
            "mine:P",
            "no generator and no coroutine",
        ),
        (
            "class P:\n    def __init__(self): raise OSError('no disk')",
            "mine:P",
            "OSError: no disk",
        ),
        ("P = 3", "mine:P", "3 is not a callable object"),
        ("", "mine", "or module:Class"),
    ],
)
def test_what_is_no_policy_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], text: str, policy: str, complaint: str
) -> None:
    Path("mine.py").write_text(text)
    for command in (
        ["check", "--policy", policy],
        ["simulate", "--scheduling-policy", policy],
    ):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert complaint in said
        assert said.count("\n") == 1


def test_options_reach_the_policy_or_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    sys.path.insert(0, str(ROOT / "docs/examples"))
    policy = "my_policy:ShortAnswersFirst"
    assert (
        check(capsys, policy, "--policy-options", "seconds_per_token=2", "--stage", "order")[0]
        == 0
    )
    assert main(["check", "--policy", policy, "--policy-options", "speed=2"]) == 2
    assert "has no option speed; it has seconds_per_token" in capsys.readouterr().err
    assert main(["check", "--policy-options", "speed=2"]) == 2


def test_the_example_of_the_page_is_the_file_and_passes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    example = (ROOT / "docs/examples/my_policy.py").read_text()
    assert example in (ROOT / "docs/policy_interface.md").read_text()
    assert len(example.splitlines()) <= 30
    sys.path.insert(0, str(ROOT / "docs/examples"))
    code, stages = check(capsys, "my_policy:ShortAnswersFirst")
    assert code == 0
    assert {stage["status"] for stage in stages.values()} == {"passed"}
    assert (
        main(["compare", "--policies", "fcfs,my_policy:ShortAnswersFirst", "--num-requests", "9"])
        == 0
    )


def test_a_setting_that_lets_others_pass_takes_the_proof_away(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("own.toml").write_text("bypass = 2\n")
    code, stages = check(capsys, write("Fifo"), "--stage", "order", "--config", "own.toml")
    assert (code, stages["order"]["figures"]["none_starves_by"]) == (0, "")
    Path("own.toml").write_text('rules = "nano_vllm"\n')
    assert main(["check", "--policy", "mine:Fifo", "--config", "own.toml"]) == 2


@pytest.mark.parametrize("policy", ["mlfq", "vtc", "priority"])
def test_built_in_policies_are_checked_too(
    capsys: pytest.CaptureFixture[str], policy: str
) -> None:
    code, stages = check(
        capsys, policy, "--stage", "policy", "--stage", "order", "--stage", "starvation"
    )
    assert code == 0
    assert codes(stages["starvation"]) == (["LC803"] if policy == "priority" else [])
    by = stages["order"]["figures"]["none_starves_by"]
    assert by == ("" if policy == "priority" else f"{policy}.P7")
