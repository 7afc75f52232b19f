"""Runs of the real scheduler in which a property fails, one for each cell that says so.

Guarantees: what a refutation says was seen is read from the plans of a run, by a check that shares
nothing with the policy; the run can be written as a journal.
"""

from __future__ import annotations

from lineclear.evidence.refutations.drive import Drive, NotShown
from lineclear.evidence.refutations.refutation import REFUTATIONS, Demonstration, Refutation, find

__all__ = ["REFUTATIONS", "Demonstration", "Drive", "NotShown", "Refutation", "find"]
