"""A small SVG canvas: boxes, arrows and text, legible on light and on dark pages.

Guarantees: every picture brings its own background, changes all colours together with the reader's
colour scheme, and needs no program and no font of its own.
"""

from __future__ import annotations

import html
import math

Point = tuple[float, float]

#: Height of a line of text, and the space around it.
LINE = 22.0
PADDING = 10.0
#: Mean widths in the 13 px face; the fonts that readers have differ by a few percent.
LETTER, CAPITAL = 7.0, 9.6

STYLE = """\
    .page { fill: #ffffff; stroke: #d0d7de }
    .box { fill: #ddf4ff; stroke: #0969da; stroke-width: 1.5 }
    .last { fill: #eaeef2; stroke: #57606a; stroke-width: 1.5 }
    .stripe { fill: #f3f5f7 }
    .arrow { fill: none; stroke: #57606a; stroke-width: 1.5 }
    .head { fill: #57606a }
    .plate { fill: #ffffff }
    text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
    .bold { font-weight: 600 }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117; stroke: #30363d }
      .box { fill: #12304f; stroke: #58a6ff }
      .last { fill: #21262d; stroke: #8b949e }
      .stripe { fill: #161b22 }
      .arrow { stroke: #8b949e }
      .head { fill: #8b949e }
      .plate { fill: #0d1117 }
      text { fill: #e6edf3 }
    }"""


def text_width(text: str, *, bold: bool = False) -> float:
    """About how wide the text will be."""
    capitals = sum(letter.isupper() for letter in text)
    width = capitals * CAPITAL + (len(text) - capitals) * LETTER
    return width * (1.07 if bold else 1.0)


def number(value: float) -> str:
    """A coordinate with at most one decimal place."""
    return f"{value:.1f}".removesuffix(".0")


class Drawing:
    """One picture; later parts are drawn over earlier ones."""

    def __init__(self, title: str, width: float, height: float) -> None:
        self.title = title
        self.width = width
        self.height = height
        self.parts: list[str] = []

    def box(
        self, centre: Point, width: float, height: float, label: str, kind: str = "box"
    ) -> None:
        """A rounded box with its label in the middle.

        Args:
            centre: its middle.
            width, height: its size.
            label: its text.
            kind: its class in the style sheet.
        """
        x, y = centre
        self.parts.append(
            f'<rect class="{kind}" x="{number(x - width / 2)}" y="{number(y - height / 2)}" '
            f'width="{number(width)}" height="{number(height)}" rx="8"/>'
        )
        self.text(x, y + 4.5, label, anchor="middle", bold=True)

    def stripe(self, x: float, y: float, width: float, height: float) -> None:
        """A band behind a row of text.

        Args:
            x, y: its upper left corner.
            width, height: its size.
        """
        self.parts.append(
            f'<rect class="stripe" x="{number(x)}" y="{number(y)}" width="{number(width)}" '
            f'height="{number(height)}"/>'
        )

    def arrow(self, start: Point, bend: Point, end: Point) -> None:
        """A curve from start to end, drawn towards `bend`, with a head at its end."""
        path = " ".join(number(value) for value in (*bend, *end))
        self.parts.append(
            f'<path class="arrow" d="M {number(start[0])} {number(start[1])} Q {path}"/>'
        )
        angle = math.atan2(end[1] - bend[1], end[0] - bend[0])
        corners = [end] + [
            (end[0] - 9 * math.cos(angle + turn), end[1] - 9 * math.sin(angle + turn))
            for turn in (0.4, -0.4)
        ]
        points = " ".join(f"{number(x)},{number(y)}" for x, y in corners)
        self.parts.append(f'<polygon class="head" points="{points}"/>')

    def label(self, centre: Point, lines: list[str]) -> None:
        """Lines of text over whatever they cross."""
        x, y = centre
        width = max(text_width(line) for line in lines) + 6
        height = 17.0 * len(lines)
        self.parts.append(
            f'<rect class="plate" x="{number(x - width / 2)}" y="{number(y - height / 2)}" '
            f'width="{number(width)}" height="{number(height)}"/>'
        )
        for index, line in enumerate(lines):
            self.text(x, y - height / 2 + 13 + 17 * index, line, anchor="middle")

    def text(
        self, x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False
    ) -> None:
        """One line of text on its baseline.

        Args:
            x, y: where the text is anchored.
            text: what it says.
            anchor: which part of the text stands there: start, middle or end.
            bold: whether it is bold.
        """
        if not text:
            return
        weight = ' class="bold"' if bold else ""
        place = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self.parts.append(
            f'<text x="{number(x)}" y="{number(y)}"{weight}{place}>{html.escape(text)}</text>'
        )

    def document(self) -> str:
        """The whole picture."""
        size = f"{number(self.width)} {number(self.height)}"
        width, height = size.split()
        body = "\n".join(f"  {part}" for part in self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{width}" '
            f'height="{height}" role="img" aria-label="{html.escape(self.title)}">\n'
            f"  <title>{html.escape(self.title)}</title>\n"
            f"  <style>\n{STYLE}\n  </style>\n"
            f'  <rect class="page" x="0.5" y="0.5" width="{number(self.width - 1)}" '
            f'height="{number(self.height - 1)}" rx="6"/>\n'
            f"{body}\n"
            "</svg>\n"
        )
