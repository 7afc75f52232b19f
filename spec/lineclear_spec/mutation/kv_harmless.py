# pyright: basic
"""Broken tables in which no token is wrong, or none was found: of each what shows it.

Guarantees: a row of `mutation/kv_harmless.json` was computed, by a proof (`mutation/kv_what_holds.py`) or by a search
(`mutation/kv_search.py`); `docs/make_kv.py --harmless` computes all of them anew.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from lineclear_spec.mutation.kv_declared import Tried
from lineclear_spec.mutation.kv_mutants import of_kv
from lineclear_spec.mutation.kv_search import Searched, searched
from lineclear_spec.mutation.kv_second_solver import doubted
from lineclear_spec.mutation.kv_what_holds import Kept, what_holds

#: Those of which it is proved, and what the proof is offered.
OFFERED: dict[Tried, tuple[str, ...]] = {
    Tried.NOTHING: (
        "admit_cached.guard.2", "admit_cached.guard.3", "admit_cached.guard.4", "admit_cached.guard.7",
        "copy_on_write.guard.3", "end_in_batch.effect.2", "evict.effect.1", "evict.guard.1", "evict.guard.3",
        "fail_copy.effect.3", "fail_copy.guard.3", "finish_each.guard.1", "finish_each.guard.2", "fork.guard.4",
        "publish.effect.1", "publish.guard.6", "publish.guard.7", "publish.guard.8", "publish.guard.9",
        "publish_run.effect.1", "complete_copy.effect.2", "swap_in.effect.5", "unlist.effect.1", "unlist.guard.1",
        "unlist.guard.3",
    ),
    Tried.CLAUSES: (
        "clear_table.effect.4", "clear_tables.effect.1", "free_resting.effect.2", "join_batch.guard.11",
        "let_go.effect.2", "move_blocks.effect.2", "sample.guard.9", "swap_out.effect.4", "unlist.guard.2",
    ),
    Tried.SEALED_WRITES: ("admit_cached.guard.5",),
}  # fmt: skip
PROVED: dict[str, Tried] = {name: tried for tried, names in OFFERED.items() for name in names}
#: What a request has done at first, in several of the executions below.
COMPUTED = "schedule_tokens s1 {0} 0, issue_step, run 1, commit_step"
PAIR = "submit 2 4 1 1, admit r1, " + COMPUTED.format(2)
PLAIN = "submit 2 5 1, admit r1, " + COMPUTED.format(2)
NAMED = "submit 3 5 2 1, admit r1, " + COMPUTED.format(3)
TWO = "submit 3 6 2, admit r1, " + COMPUTED.format(3)
FORKED = f"{TWO}, fork s1 1, sample s1 1 1 0, recompute r1, admit r1"
AGAIN = f"{FORKED}, schedule_tokens s1 3 0, issue_step, run 2, commit_step"
DRAFTED = "submit 2 5 1, admit r1, append_slots s1 1, schedule_tokens s1 3 1, issue_step, run 1, commit_step"
DROPPED = f"{DRAFTED}, recompute r1"
STEADY = "sample s1 1 1 0, join_batch s1, issue_step, run 2, commit_step, finish_each"
ENDED = f"submit 1 3 1, admit r1, {COMPUTED.format(1)}, {STEADY}"
#: The others: the world, and an execution in which the missing statement matters, from which the search sets out.
BEGINNINGS: dict[str, tuple[str, str]] = {
    "admit_cached.effect.5": ("wide", f"{PAIR}, publish s1 0, submit 2 4 1 1, admit_cached r2 1"),
    "admit_cached.effect.6": ("wide", f"{PAIR}, publish s1 0, submit 2 4 1 1, admit_cached r2 1"),
    "seal_entry.effect.1": ("wide", f"{PAIR}, publish s1 0"),
    "seal_entries.effect.2": ("wide", f"{PAIR}, publish_run s1 0 2"),
    "discard_swapped.effect.2": ("one", f"{PLAIN}, swap_out r1, discard_swapped r1"),
    "join_batch.guard.10": (
        "wide",
        f"{PAIR}, publish s1 0, recompute r1, admit_cached r1 1, schedule_tokens s1 1 0, issue_step, join_batch s1",
    ),
    "schedule_tokens.effect.8": ("one", PLAIN),
    "fork.guard.5": ("wide", f"{NAMED}, fork s1 0"),
    "fork.effect.1": ("wide", f"{NAMED}, fork s1 1"),
    "fork.effect.3": ("wide", f"{NAMED}, fork s1 1"),
    "fork.effect.4": ("wide", f"{NAMED}, fork s1 1"),
    "fork.effect.5": ("wide", f"{NAMED}, fork s1 1"),
    "rejoin.guard.1": ("two", f"{AGAIN}, swap_out r1, dispatch_copies, run 3, complete_copy 3, rejoin s2 2"),
    "rejoin.guard.4": ("two", f"{AGAIN}, rejoin s2 -2"),
    "rejoin.guard.7": ("two", f"{AGAIN}, rejoin s2 3"),
    "rejoin.effect.2": ("two", f"{AGAIN}, rejoin s2 2"),
    "rejoin.effect.3": ("two", f"{AGAIN}, rejoin s2 2"),
    "forget_computed.effect.6": ("one", DROPPED),
    "forget_computed.effect.7": ("one", DROPPED),
    "replace_entry.effect.1": ("two", f"{TWO}, fork s1 1, copy_on_write s2"),
    "replace_entry.effect.2": ("two", f"{TWO}, fork s1 1, copy_on_write s2"),
    "replace_entry.effect.3": ("two", f"{TWO}, fork s1 1, copy_on_write s2"),
    "swap_out.effect.1": ("one", f"{PLAIN}, swap_out r1"),
    "finish_each.effect.1": ("one", ENDED),
    "finish_each.effect.3": ("one", ENDED),
    "clear_each.effect.1": ("wide", f"{PAIR}, publish_run s1 0 2, {STEADY}"),
    "end_in_batch.effect.1": ("one", ENDED),
    "end_in_batch.effect.3": ("one", ENDED),
    "end_in_batch.effect.4": ("one", ENDED),
    "end_in_batch.effect.5": ("one", ENDED),
    "finish.effect.1": ("one", f"{PLAIN}, finish r1"),
    "abort.effect.1": ("one", f"{PLAIN}, abort r1"),
    "commit_step.effect.1": ("one", PLAIN),
    "complete_copy.effect.1": ("one", f"{PLAIN}, swap_out r1, dispatch_copies, run 2, complete_copy 2"),
    "recompute.effect.3": (
        "one", f"{PLAIN}, swap_out r1, dispatch_copies, run 2, complete_copy 2, swap_in r1, recompute r1, admit r1",
    ),
    "copy_on_write.effect.1": ("two", f"{TWO}, fork s1 1, copy_on_write s2"),
    "copy_on_write.guard.2": ("two", f"{TWO}, fork s1 1"),
    "copy_on_write.guard.4": ("two", f"{TWO}, sample s1 1 1 0, append_slots s1 1, copy_on_write s1"),
    "copy_on_write.guard.5": ("two", f"{TWO}, fork s1 1"),
    "fork.guard.8": ("two", TWO),
    "rejoin.guard.2": ("two", AGAIN),
}  # fmt: skip


def harmless(name: str) -> Kept | Searched | list[str]:
    """What shows it, computed anew; what is not proved if a proof fails."""
    mutant = of_kv()[name][0]
    if name in PROVED:
        row = what_holds(mutant, PROVED[name])
        return row._replace(doubted=tuple(doubted(mutant, row))) if isinstance(row, Kept) else row
    return searched(mutant, *BEGINNINGS[name])


def said(row: Kept | Searched) -> str:
    """The row in words."""
    if isinstance(row, Searched):
        scope = "all" if row.complete else f"every execution of {row.depth} more steps"
        return f"none in {row.states} states of world `{row.world}`, {scope}"
    parts = [
        f"with a weaker `{'`, `'.join(row.weaker)}`" if row.weaker else "",
        f"without `{'`, `'.join(row.lost)}`" if row.lost else "",
        f"without contracts' `{'`, `'.join(row.unasked)}`" if row.unasked else "",
        f"it ends in an error: {'; '.join(row.raises)}" if row.raises else "",
    ]
    how = ", ".join(part for part in parts if part)
    by = f" by Z3 alone, cvc5 leaves `{'`, `'.join(row.doubted)}` open" if row.doubted else ""
    return f"none possible: proved{by}{f' ({how})' if how else ''}"


def read() -> dict[str, Kept | Searched]:
    """The rows that are kept with the source, by mutant."""
    text = resources.files("lineclear_spec.mutation").joinpath("kv_harmless.json").read_text()
    rows = json.loads(text).items()
    return {name: Searched(*row) if name in BEGINNINGS else kept(row) for name, row in rows}


def kept(row: list[Any]) -> Kept:
    """A proof's row as it was."""
    *clauses, tried, doubts = row
    weaker, lost, unasked, raises = [tuple(names) for names in clauses]
    return Kept(weaker, lost, unasked, raises, Tried(tried), tuple(doubts))
