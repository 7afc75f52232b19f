"""The worked examples of a well-known lesson on schedulers, run on this scheduler.

Guarantees: every figure beside one of the lesson's comes from a run or from arithmetic done here;
none is written down.
"""

from __future__ import annotations

from lineclear.lessons.lesson import Claim, Lesson, LessonResult, tell
from lineclear.lessons.measured import POLICY_TABLE
from lineclear.lessons.orders import FCFS, PRIORITY, QUESTION_4, SJF
from lineclear.lessons.outputs import BUDGET, OUTPUTS, QUEUES
from lineclear.lessons.phases import ORDER
from lineclear.lessons.preemption import SWAP_OR_RECOMPUTE, VICTIM_RULES
from lineclear.lessons.scenes import (
    DECISION_TREE,
    FIVE_STEP,
    QUESTION_3,
    QUESTION_5,
    SIMULATOR,
    WHY_PREEMPTION,
)
from lineclear.lessons.shares import FAIR, WEIGHTED_FAIR

__all__ = ["LESSONS", "Claim", "Lesson", "LessonResult", "tell"]

#: In the order of the lesson.
LESSONS: dict[str, Lesson] = {
    lesson.name: lesson
    for lesson in (
        QUEUES,
        OUTPUTS,
        BUDGET,
        ORDER,
        FIVE_STEP,
        FCFS,
        PRIORITY,
        FAIR,
        POLICY_TABLE,
        WHY_PREEMPTION,
        SWAP_OR_RECOMPUTE,
        VICTIM_RULES,
        DECISION_TREE,
        SIMULATOR,
        SJF,
        WEIGHTED_FAIR,
        QUESTION_3,
        QUESTION_4,
        QUESTION_5,
    )
}
