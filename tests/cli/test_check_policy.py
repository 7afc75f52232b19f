"""`lineclear check --policy`: each stage, seen to pass and seen to fail; the example of the docs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("z3")

from own_policies import check, codes, write

from lineclear.cli import main

pytestmark = pytest.mark.usefixtures("module_folder")

ROOT = Path(__file__).parents[2]


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
    capsys: pytest.CaptureFixture[str], module_folder: Path
) -> None:
    code, stages = check(capsys, write("Lifo"), "--stage", "starvation")
    assert code == 1
    (finding,) = stages["starvation"]["findings"]
    assert finding["code"] == "LC503"
    assert "computes nothing for 1,500 steps, while 374 that arrived after it" in finding["title"]
    assert finding["file"] == "mine.py"
    assert finding["lines"][0] == "its plans repeat every 4 steps"
    (saved,) = (module_folder / ".lineclear").glob("LC503-*.itf.json")
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
def test_an_invalid_answer_is_reported_by_name(
    capsys: pytest.CaptureFixture[str], name: str, stage: str
) -> None:
    code, stages = check(capsys, write(name), "--stage", stage)
    assert code == 1
    assert set(codes(stages[stage])) == {"LC804"}
    assert name in stages[stage]["findings"][0]["title"]


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
        from lineclear_spec.liveness.theorems import CLAIMS

        CLAIMS.pop("Fifo", None)
        CLAIMS.pop("Lifo", None)


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
    Path("own.toml").write_text("max_bypasses = 2\n")
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
