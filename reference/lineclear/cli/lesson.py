"""`lineclear simulate --lesson`: runs one worked example of the lesson, or all.

Guarantees: exit code 1 exactly if a run violated an invariant; a wrong figure in the lesson is not a failure.
"""

from __future__ import annotations

import argparse

from lineclear.cli.exits import PASSED, REFUTED, UsageError
from lineclear.cli.output import write_json, write_text


def run_lesson(arguments: argparse.Namespace) -> int:
    """Runs one lesson or all of them, or lists them."""
    from lineclear.lessons import LESSONS, tell

    why = "--lesson has its own requests, settings and runs"
    arguments.parser.refuse_idle(why, "lesson", "format")
    if arguments.lesson == "list":
        titles = {name: lesson.title for name, lesson in LESSONS.items()}
        width = max(map(len, titles))
        if arguments.format == "json":
            write_json({"lessons": titles})
        else:
            write_text("\n".join(f"{name:{width}}  {title}" for name, title in titles.items()))
        return PASSED
    if arguments.lesson == "all":
        from lineclear.lessons.errata import tell_all

        everything = tell_all()
        if arguments.format == "json":
            write_json(everything.json())
        else:
            write_text(everything.text())
        return REFUTED if everything.violations else PASSED
    if arguments.lesson not in LESSONS:
        raise UsageError(f"unknown lesson {arguments.lesson!r}; known: all, {', '.join(LESSONS)}")
    result = tell(LESSONS[arguments.lesson])
    if arguments.format == "json":
        write_json(result.json())
    else:
        write_text(result.text())
    return REFUTED if any(run.violations for run in result.runs) else PASSED
