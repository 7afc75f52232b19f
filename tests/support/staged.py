"""Stages of `lineclear check` that do nothing but end as they are asked to."""

from __future__ import annotations

from collections.abc import Callable

from lineclear.checks.stage import Context, Finding, Outcome, ReportCase, Stage

BAD = "rule <broken> & \x07 by a|b: 50%, see\nbelow"
PLACE = ("spec/table.py", 12)


def outcome(status: str, name: str = "one") -> Outcome:
    findings = [Finding("LC401", BAD, ("first", "second"), *PLACE)] if status == "refuted" else []
    cases = [ReportCase("one.group", "a case", status, BAD if findings else "")]
    return Outcome(name, status, "figures", findings=findings, cases=cases)


def stage(run: Callable[[Context], Outcome], name: str = "one") -> Stage:
    return Stage(name, run, ("reference",))


class Counted:
    """A stage that counts its runs."""

    def __init__(self, status: str) -> None:
        self.status = status
        self.runs = 0

    def __call__(self, context: Context) -> Outcome:
        self.runs += 1
        return outcome(self.status)
