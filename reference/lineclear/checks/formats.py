"""The result of a check as text, JSON, JUnit XML, GitHub annotations or Markdown.

Guarantees: each format names every stage, including those not run, and every finding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from lineclear.checks.codes import CODES
from lineclear.checks.stage import Finding, Outcome, ReportCase

FORMATS = ("text", "json", "junit", "github", "markdown")
#: Findings shown per stage on a screen; the other formats have them all.
MOST = 3
XML_SAFE = {9, 10, 13}


def notes(outcomes: Sequence[Outcome]) -> list[str]:
    """What was not run, stage by stage."""
    return [f"{o.name}: {o.left_out}" for o in outcomes if o.left_out]


def verdict(code: int) -> str:
    """The last line."""
    return {0: "passed", 1: "FAILED", 3: "INCONCLUSIVE"}[code]


def text(outcomes: Sequence[Outcome], mode: str, code: int, saved: dict[int, str]) -> str:
    """The one-screen summary; `saved` maps a finding's identity to its file.

    Args:
        outcomes: one for each stage.
        mode: fast, default or deep.
        code: the exit code.
        saved: file of each counterexample, by the identity of its finding.
    """
    width = max((len(o.name) for o in outcomes), default=0)
    lines = [
        f"lineclear check     {mode} run, {len(outcomes)} {'stage' if len(outcomes) == 1 else 'stages'}",
        "",
    ]
    for o in outcomes:
        took = "cached" if o.cached else "" if o.status == "skipped" else f"{o.seconds:.1f} s"
        mark = o.status if o.status in ("passed", "skipped") else o.status.upper()
        lines.append(f"  {mark:<8} {o.name:<{width}}  {o.summary}{f'  ({took})' if took else ''}")
    for o in outcomes:
        for finding in o.findings[:MOST]:
            lines += ["", *finding_lines(finding, saved)]
        if len(o.findings) > MOST:
            lines += ["", f"... and {len(o.findings) - MOST} more findings of {o.name}"]
    left = notes(outcomes)
    if left:
        lines += ["", f"  not run     {left[0]}", *[f"              {line}" for line in left[1:]]]
    lines += [
        "",
        "  not proved here: the induction that joins the progress lemmas, the devices; docs/trust.md",
        "",
        f"  {verdict(code)}",
    ]
    return "\n".join(lines)


def finding_lines(finding: Finding, saved: dict[int, str]) -> list[str]:
    """A finding as text."""
    lines = [f"{finding.code} {finding.title}", f"  {CODES[finding.code].title}"]
    lines += [f"  {line}" for line in finding.lines]
    if finding.file:
        lines.append(f"  source    {finding.file}:{finding.line}")
    path = saved.get(id(finding))
    if path is not None:
        lines.append(f"  lineclear replay {path}")
    return [*lines, f"  lineclear explain {finding.code}"]


def as_json(outcomes: Sequence[Outcome], mode: str, code: int) -> dict[str, Any]:
    """The JSON output."""
    from lineclear import __version__

    return {
        "tool": "lineclear",
        "version": __version__,
        "mode": mode,
        "exit_code": code,
        "stages": [o.as_dict() for o in outcomes],
        "not_run": notes(outcomes),
    }


def clean(value: str) -> str:
    """Removes the characters that XML cannot represent."""
    return "".join(
        c if ord(c) in XML_SAFE or 0x20 <= ord(c) <= 0xD7FF or 0xE000 <= ord(c) <= 0xFFFD else "?"
        for c in value
    )


def junit(outcomes: Sequence[Outcome], command: str = "check") -> str:
    """One suite for each stage, one case for each obligation, exploration and family of mutants."""
    top = ElementTree.Element("testsuites", name=f"lineclear {command}")
    for o in outcomes:
        failed = sum(case.status == "refuted" for case in o.cases)
        errors = sum(case.status == "unknown" for case in o.cases)
        suite = ElementTree.SubElement(
            top,
            "testsuite",
            name=o.name,
            tests=str(max(len(o.cases), 1)),
            failures=str(failed),
            errors=str(errors),
            skipped=str(
                int(o.status == "skipped") + sum(case.status == "skipped" for case in o.cases)
            ),
            time=f"{o.seconds:.2f}",
        )
        for row in o.cases or [ReportCase(o.name, o.name, o.status, o.left_out or o.summary)]:
            case = ElementTree.SubElement(
                suite, "testcase", classname=clean(row.group), name=clean(row.name)
            )
            tag = {"refuted": "failure", "unknown": "error", "skipped": "skipped"}.get(row.status)
            if tag is not None:
                ElementTree.SubElement(case, tag, message=clean(row.message or row.status))
        if o.findings:
            output = ElementTree.SubElement(suite, "system-out")
            output.text = clean("\n\n".join("\n".join(finding_lines(f, {})) for f in o.findings))
    ElementTree.indent(top)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(top, "unicode") + "\n"


def escaped(value: str, *, part: bool = False) -> str:
    """Escapes a message of a workflow command, or a property if `part`."""
    value = value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return value.replace(":", "%3A").replace(",", "%2C") if part else value


def github(outcomes: Sequence[Outcome], code: int, command: str = "check") -> str:
    """A workflow command for each finding, which annotates its source line."""
    lines: list[str] = []
    for o in outcomes:
        for finding in o.findings:
            level = "notice" if finding.code == "LC802" else "error"
            where = (
                f"file={escaped(finding.file, part=True)},line={max(finding.line, 1)},"
                if finding.file
                else ""
            )
            title = escaped(f"{finding.code} {CODES[finding.code].title}", part=True)
            message = escaped("\n".join((finding.title, *finding.lines)))
            lines.append(f"::{level} {where}title={title}::{message}")
    counts = Counter(o.status for o in outcomes)
    figures = ", ".join(f"{count} {status}" for status, count in counts.items())
    return "\n".join([*lines, f"lineclear {command}: {verdict(code)}: {figures}"])


def cell(value: str) -> str:
    """Escapes a table cell."""
    return value.replace("|", "\\|").replace("\n", " ")


def markdown(outcomes: Sequence[Outcome], mode: str, code: int, command: str = "check") -> str:
    """The summary as a table, for a step summary.

    Args:
        outcomes: one for each stage.
        mode: fast, default or deep.
        code: the exit code.
        command: for the heading.
    """
    lines = [
        f"### lineclear {command}: {verdict(code)} ({mode} run)",
        "",
        "| stage | status | figures | seconds |",
        "| --- | --- | --- | ---: |",
    ]
    for o in outcomes:
        took = "cached" if o.cached else f"{o.seconds:.1f}"
        lines.append(f"| {cell(o.name)} | {o.status} | {cell(o.summary)} | {took} |")
    for o in outcomes:
        for finding in o.findings:
            lines += ["", f"**{finding.code}** {finding.title}", ""]
            if finding.lines:
                lines += ["```", *finding.lines, "```"]
    left = notes(outcomes)
    if left:
        lines += ["", "Not run: " + "; ".join(left) + "."]
    return "\n".join(lines)
