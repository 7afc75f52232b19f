"""A table of plain text, written as Markdown, Mermaid, DOT, SVG or JSON.

Guarantees: the same rows give the same text, byte for byte.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lineclear_spec.report.drawing import LINE, PADDING, Drawing, text_width


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a heading, with a title and a note that explains the marks.

    Attributes:
        title: what the rows are.
        columns: the heading.
        rows: as many cells each as there are columns.
        note: one line under the table; may be empty.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        """Refuses a row of the wrong length."""
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"row {row[:1]} has {len(row)} cells under {len(self.columns)} columns"
                )

    def markdown(self) -> str:
        """A Markdown table, padded so that it reads as text too."""
        cells = [[cell.replace("|", "\\|") for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(self.columns))]

        def line(row: Sequence[str]) -> str:
            return f"| {' | '.join(c.ljust(w) for c, w in zip(row, widths, strict=True))} |"

        rule = [f"|{'|'.join('-' * (width + 2) for width in widths)}|"]
        note = ["", self.note] if self.note else []
        return "\n".join([line(cells[0]), *rule, *map(line, cells[1:]), *note]) + "\n"

    def mermaid(self) -> str:
        """A Mermaid block diagram: one block for each cell, empty cells as spaces."""
        lines = ["block-beta", f"  columns {len(self.columns)}"]
        for number, row in enumerate((self.columns, *self.rows)):
            blocks = (
                f'c{number}_{index}["{escape_mermaid(cell)}"]' if cell else "space"
                for index, cell in enumerate(row)
            )
            lines.append(f"  {' '.join(blocks)}")
        return "\n".join(lines) + "\n"

    def dot(self) -> str:
        """One DOT node that is a table."""

        def line(row: Sequence[str], tag: str) -> str:
            cells = "".join(
                f"<td align='left'>{tag and f'<{tag}>'}{html.escape(cell) or ' '}"
                f"{tag and f'</{tag}>'}</td>"
                for cell in row
            )
            return f"    <tr>{cells}</tr>"

        heading = line(self.columns, "b")
        body = "\n".join(line(row, "") for row in self.rows)
        return (
            "digraph {\n"
            f'  graph [label="{escape_dot(self.note or self.title)}"]\n'
            '  node [shape=plain fontname="sans-serif"]\n'
            "  table [label=<<table border='0' cellborder='1' cellspacing='0' cellpadding='4'>\n"
            f"{heading}\n{body}\n"
            "  </table>>]\n"
            "}\n"
        )

    def svg(self) -> str:
        """The table as a picture."""
        rows = (self.columns, *self.rows)
        widths = [
            max(text_width(row[i], bold=number == 0) for number, row in enumerate(rows))
            + 2 * PADDING
            for i in range(len(self.columns))
        ]
        lefts = [PADDING + sum(widths[:i]) for i in range(len(widths))]
        width = max(sum(widths), text_width(self.note)) + 2 * PADDING
        drawing = Drawing(self.title, width, LINE * (len(rows) + bool(self.note)) + 2 * PADDING)
        for number, row in enumerate(rows):
            top = PADDING + LINE * number
            if number % 2:
                drawing.stripe(PADDING, top, sum(widths), LINE)
            for left, cell in zip(lefts, row, strict=True):
                drawing.text(left + PADDING, top + LINE * 0.7, cell, bold=number == 0)
        if self.note:
            drawing.text(2 * PADDING, PADDING + LINE * (len(rows) + 0.7), self.note)
        return drawing.document()

    def json(self) -> dict[str, Any]:
        """Rows as objects with the columns as keys."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"title": self.title, "rows": rows, "note": self.note}


def escape_mermaid(text: str) -> str:
    """Text inside a quoted Mermaid label."""
    return text.replace("#", "#35;").replace('"', "#quot;")


def escape_dot(text: str) -> str:
    """Text inside a quoted DOT string."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
