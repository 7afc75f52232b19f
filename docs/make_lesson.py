"""Writes docs/lesson.md: every example of the lesson, run.

python docs/make_lesson.py            write the page
python docs/make_lesson.py --check    1 if the page is stale
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("spec", "reference")]

from lineclear.lessons.everything import tell_all  # noqa: E402
from lineclear.lessons.page import page  # noqa: E402

PAGE = ROOT / "docs" / "lesson.md"


def main() -> int:
    """Writes or checks."""
    text = page(tell_all())
    if "--check" in sys.argv[1:]:
        if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
            return 0
        print("docs/lesson.md is stale: run python docs/make_lesson.py", file=sys.stderr)
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
