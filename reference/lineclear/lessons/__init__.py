"""The worked examples of a well-known lesson on schedulers, run on this scheduler.

Guarantees: every figure beside one of the lesson's comes from a run or from arithmetic done here;
none is written down. It knows nothing about the command line.
"""

from __future__ import annotations

from lineclear.lessons.lesson import Claim, Lesson, Told, tell
from lineclear.lessons.scenes import LESSONS

__all__ = ["LESSONS", "Claim", "Lesson", "Told", "tell"]
