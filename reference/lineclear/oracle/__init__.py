"""The step that a scheduler has to make, from plain data, and whether it made it.

Guarantees: `Oracle` judges one call of the scheduler at a time. It shares no decision with the code
that it judges: it uses neither `step.py` and what that asks, nor `kernel/progress.py`.
"""

from lineclear.oracle.judge import Oracle
from lineclear.oracle.rules import RULES, Undone

__all__ = ["RULES", "Oracle", "Undone"]
