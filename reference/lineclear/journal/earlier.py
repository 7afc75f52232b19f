"""Journals of format 1, which call actions, limits and parts of the state by earlier words.

Guarantees: a journal of format 1 is read as if today's words stood there, and its digest is compared with that of the
same state in the words that it was made from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = "lineclear journal 1"
EARLIER_DIGEST = "digest of format 1"
#: Actions and limits, as format 1 calls them: today's words.
TODAY = {
    "settle_step": "commit_step",
    "settle_copy": "complete_copy",
    "carry": "dispatch_copies",
    "retire": "lift_fences",
    "depth": "max_steps_in_flight",
}
#: Parts of the state today: the words from which a digest of format 1 was made.
EARLIER = {
    "committed": "settled",
    "dispatched": "carried",
    "num_tokens": "known",
    "num_computed_tokens": "computed",
    "num_allocated_slots": "slots",
}


def is_earlier(first: object) -> bool:
    """Whether a journal that begins with this line is of format 1."""
    return isinstance(first, dict) and cast("dict[str, Any]", first).get("journal") == FORMAT


def in_todays_words(row: object) -> object:
    """A line of format 1 as format 2 has it, but for its digest, which stands under `EARLIER_DIGEST`."""
    if isinstance(row, list) and row:
        name, *arguments = cast("list[object]", row)
        return [TODAY.get(name, name) if isinstance(name, str) else name, *arguments]
    content = cast("dict[str, Any]", row) if isinstance(row, dict) else {}
    if isinstance(content.get("limits"), dict):
        limits = {TODAY.get(name, name): value for name, value in content["limits"].items()}
        return {**content, "journal": "lineclear journal 2", "limits": limits}
    return {EARLIER_DIGEST if name == "digest" else name: content[name] for name in content}


def in_earlier_words(state: Any) -> Any:
    """A state whose parts have the words of format 1."""
    if isinstance(state, dict):
        parts = cast("dict[str, Any]", state)
        return {EARLIER.get(name, name): in_earlier_words(value) for name, value in parts.items()}
    if isinstance(state, list):
        return list(map(in_earlier_words, cast("Iterable[Any]", state)))
    return state
