"""A table of plain text, written as Markdown, Mermaid or JSON.

Guarantees: the same rows give the same text, byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


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

    def json(self) -> dict[str, Any]:
        """Rows as objects with the columns as keys."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"title": self.title, "rows": rows, "note": self.note}


def escape_mermaid(text: str) -> str:
    """Text inside a quoted Mermaid label."""
    return text.replace("#", "#35;").replace('"', "#quot;")
