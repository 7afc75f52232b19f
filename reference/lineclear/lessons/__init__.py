"""The worked examples of a well-known lesson on schedulers, run on this scheduler.

Guarantees: every figure beside one of the lesson's comes from a run or from arithmetic done here;
none is written down. It knows nothing about the command line.
"""

from __future__ import annotations

from lineclear.lessons.comparison import COMPARISON
from lineclear.lessons.errata import ERRATA, Erratum
from lineclear.lessons.exercises import SJF, WEIGHTED_FAIR
from lineclear.lessons.giving_way import MODES, VICTIMS
from lineclear.lessons.lesson import Claim, Lesson, Told, tell
from lineclear.lessons.loops import FAIR, FCFS, PRIORITY
from lineclear.lessons.parts import ORDER, PARTS
from lineclear.lessons.scenes import (
    DECISION_TREE,
    FIVE_STEP,
    QUESTION_3,
    QUESTION_5,
    SIMULATOR,
    WHY_PREEMPTION,
)

__all__ = ["ERRATA", "LESSONS", "Claim", "Erratum", "Lesson", "Told", "tell"]

#: In the order of the lesson.
LESSONS = {
    lesson.name: lesson
    for lesson in (
        PARTS,
        ORDER,
        FIVE_STEP,
        FCFS,
        PRIORITY,
        FAIR,
        COMPARISON,
        WHY_PREEMPTION,
        MODES,
        VICTIMS,
        DECISION_TREE,
        SIMULATOR,
        SJF,
        WEIGHTED_FAIR,
        QUESTION_3,
        QUESTION_5,
    )
}
