"""Tables in Markdown, and the places of a page that are generated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

Rows = Iterable[Sequence[object]]


def table(head: Sequence[str], rows: Rows) -> str:
    """A table in Markdown; a column that holds a number is set to the right."""
    body = [[number(cell) for cell in row] for row in rows]
    right = [
        bool(body) and all(re.fullmatch(r"[\d,]+( of [\d,]+)?", row[k]) for row in body)
        for k in range(len(head))
    ]
    marks = ["---:" if r else "---" for r in right]
    return "\n".join(f"| {' | '.join(row)} |" for row in ([*head], marks, *body))


def number(cell: object) -> str:
    """A cell; thousands are separated."""
    return f"{cell:,}" if type(cell) is int else str(cell).replace("|", "\\|")


def between(text: str, name: str) -> str:
    """What stands between the marks of a section."""
    start, end = f"<!-- figures: {name} -->", f"<!-- end of {name} -->"
    return text[text.index(start) + len(start) : text.index(end)].strip()


def fill(text: str, sections: dict[str, str]) -> str:
    """Replaces what stands between the marks of each section that the text has."""
    for name, content in sections.items():
        start, end = f"<!-- figures: {name} -->", f"<!-- end of {name} -->"
        pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
        block = f"{start}\n\n{content}\n\n{end}"
        text = pattern.sub(lambda _, block=block: block, text)
    return text
