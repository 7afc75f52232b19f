"""`lineclear prove --theorems`: theorems with their premises, without unrequested proofs."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

pytest.importorskip("z3")

from lineclear.cli import main
from lineclear.policies import BUILT_IN, FirstComeFirstServed, load_claims
from lineclear_spec.liveness.theorems import CLAIMS
from lineclear_spec.proof.answers import Result

ASKED = ["prove", "decisions", "empty_pool", "order_fcfs", "order_priority", "--theorems"]


@pytest.fixture
def answered(all_proofs: list[Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of the table as it is was asked once in this test run."""

    def prove(names: Any, seeds: Any, progress: Any, second: Any) -> list[Result]:
        assert list(seeds) == [0]
        assert second is None
        return [result for result in all_proofs if result.unit in names]

    monkeypatch.setattr("lineclear_spec.proof.prove.prove", prove)


def asked(capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert main([*ASKED, *more]) == 3  # other theorems have obligations that were not asked
    return capsys.readouterr().out


@pytest.mark.usefixtures("answered")
def test_theorems_stand_by_what_was_asked(capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(asked(capsys, "--format", "json"))
    found: dict[str, Any] = {t["theorem"]: t for t in content["theorems"]}
    assert found["fcfs.P8"]["status"] == "proved"
    assert found["fcfs.P8"]["premises"] == {"F2": "guard", "F4": "guard"}
    assert found["priority.P7"]["holds"] is False
    assert found["priority.P7"]["status"] == "proved"
    assert found["priority.P7"]["rests_on"] == [
        "order_priority/progress/a more important request comes before, however late it arrives"
    ]
    assert found["fcfs.P1"]["status"] == "not asked"
    assert found["fcfs.P1"]["whole_table"] is True
    assert found["fcfs.P1"]["not_asked"] == found["fcfs.P1"]["obligations"] - sum(
        r["unit"] in ("decisions", "empty_pool") for r in content["obligations"]
    )
    assert found["fcfs.P1"]["obligations"] == len(content["table"])
    assert {r["status"] for r in content["obligations"]} == {"proved"}
    assert {r["kind"] for r in content["obligations"]} == {"progress"}


@pytest.mark.usefixtures("answered")
def test_the_table_tells_what_fails_and_who_sees_to_premises(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = asked(capsys)
    assert re.search(r"priority\.P7 +fails, proved +a request may wait for ever", text)
    assert "F8  monitored  the environment answers" in text
    assert "docs/trust.md has the induction that joins the lemmas." in text


@pytest.mark.usefixtures("answered")
def test_a_theorem_whose_obligations_were_not_asked_is_not_proved(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["prove", "dispatch_copies", "order_fcfs", "--theorems"]) == 3
    text = capsys.readouterr().out
    for name in ("P1", "P6a", "P6b", "P7", "P8"):
        assert re.search(rf"fcfs\.{name} +not asked ", text), name
    assert "not asked: decisions/progress/the first request of all is the head" in text
    assert re.search(r"and \d,?\d\d\d more that were not asked", text)


def test_a_policy_that_displaces_against_its_order_is_refuted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def anybody(self: Any, waiting: Any, running: Any) -> bool:
        return True

    monkeypatch.setattr(FirstComeFirstServed, "may_displace", anybody)
    assert main(["prove", "order_fcfs", "--theorems"]) in (1, 3)
    assert "a displaced request comes later in the order" in capsys.readouterr().out


def test_claims_are_entered_by_the_files_of_policies() -> None:
    load_claims()
    assert {"fcfs", "priority"} <= set(CLAIMS) & set(BUILT_IN)
