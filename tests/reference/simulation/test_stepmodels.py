"""Models of step times: what they say, what a fit finds again, and what is refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from lineclear.cli import main
from lineclear.simulation.stepmodels import constant, fit, fitted, linear
from lineclear.simulation.steptime import StepTime


def measured(count: int, noise: float = 0.0) -> list[dict[str, float]]:
    """Steps of a known device: 8 ms, 20 us a token, 30 ns a token of context."""
    draw = random.Random(5)
    rows: list[dict[str, float]] = []
    for _ in range(count):
        tokens, context = draw.randint(1, 2048), draw.randint(0, 200_000)
        seconds = 8e-3 + 20e-6 * tokens + 30e-9 * context
        seconds *= 1 + noise * draw.uniform(-1, 1)
        rows.append({"tokens": tokens, "context": context, "seconds": seconds})
    return rows


def test_constant_and_linear() -> None:
    assert constant(0.02).step(500, 9, 1000, 77) == 0.02
    assert linear(0.01, 1e-4).step(50, 9, 1000, 77) == pytest.approx(0.015)
    with pytest.raises(ValueError, match="base and copy_bandwidth are at least 1e-12"):
        constant(0.0)
    with pytest.raises(ValueError, match=r"per_token is -1.0; give a number from 0 to 1e\+12"):
        linear(0.1, -1.0)


def test_a_fit_finds_known_terms_again() -> None:
    model = fit(measured(200))
    assert model.base == pytest.approx(8e-3)
    assert model.per_token == pytest.approx(20e-6)
    assert model.per_context == pytest.approx(30e-9)
    assert model.per_sequence == model.per_pair == 0
    rough = fit(measured(400, noise=0.05))
    assert rough.per_token == pytest.approx(20e-6, rel=0.05)


def test_a_term_that_would_be_below_0_is_left_out() -> None:
    rows = [{**row, "pairs": 1e6 - row["tokens"] * 400} for row in measured(200)]
    for row in rows:
        row["seconds"] = 5e-3 + 1e-5 * row["tokens"]
    model = fit(rows)
    assert model.per_pair >= 0
    assert model.per_context >= 0
    assert model.base > 0
    found = [model.step(int(r["tokens"]), 0, int(r["context"]), int(r["pairs"])) for r in rows]
    assert max(abs(a - r["seconds"]) for a, r in zip(found, rows, strict=True)) < 0.02


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tokens\n1\n", "needs a column seconds"),
        ("seconds\n" + "0.1\n" * 9, "none of the columns"),
        ("tokens,seconds\n1,0.1\n", "1 measured steps; a fit needs 8 or more"),
        ("tokens,seconds\n" + "1,0.1\n" * 9 + "x,0.1\n", "row 11: tokens is 'x'"),
        ("tokens,seconds\n" + "1,-0.1\n", "row 2: seconds is '-0.1'"),
        (
            "tokens,seconds\n" + "".join(f"{k},{k - 5}\n" for k in range(6, 20)),
            "an empty step is not above 0",
        ),
    ],
)
def test_a_file_that_says_nothing_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        fitted(str(path))


def test_the_command_takes_whole_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "steps.csv"
    lines = [f"{row['tokens']},{row['context']},{row['seconds']}" for row in measured(40)]
    path.write_text("tokens,context,seconds\n" + "\n".join(lines) + "\n", encoding="utf-8")
    for model in (f"fit={path}", "constant=0.02", "linear=0.01,0.0001"):
        assert main(["simulate", "--num-requests", "5", "--step-time", model]) == 0
    for model, said in (
        ("linear=0.1", "write constant=SECONDS or linear=BASE,PER_TOKEN"),
        ("constant=fast", "must be a number, not 'fast'"),
        ("fit=nowhere.csv", "cannot read nowhere.csv"),
        ("speed=1", "NAME is one of constant, linear, fit, base"),
    ):
        assert main(["simulate", "--num-requests", "5", "--step-time", model]) == 2
        assert said in capsys.readouterr().err


def test_what_is_given_besides_changes_the_model() -> None:
    from lineclear.cli.simulate import step_time

    model = step_time(["linear=0.01,0.0001", "copy_base=0.5"])
    assert (model.base, model.per_token, model.copy_base) == (0.01, 0.0001, 0.5)
    assert step_time([]) == StepTime()
