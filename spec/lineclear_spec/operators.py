"""The operators of the kernel: the only words of its block steps that have two readings.

Guarantees: `vocabulary.py` takes the words of the kernel from this list, so that a block step in
which another operator stands is refused before it is run on formulas. Each row names the operator on
plain data and on formulas, the lemma that its assumptions are proved by (none if formulas define it),
and the test that holds the two readings against each other.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["OPERATORS", "Operator", "as_dicts", "as_lines", "words"]


@dataclass(frozen=True, slots=True)
class Operator:
    """One row.

    Attributes:
        name: what it is called.
        of: whose method the words are: the ledger's, a pool's, a list's or a set's; "" of syntax.
        words: the methods.
        plain: what runs on plain data.
        formulas: what it is on formulas.
        lemma: the unit of proofs that its assumptions rest on; "" if it is a definition.
        test: in `tests/spec/test_operators.py`, or in the file that is named.
    """

    name: str
    of: str
    words: tuple[str, ...]
    plain: str
    formulas: str
    lemma: str
    test: str


OPERATORS: tuple[Operator, ...] = (
    Operator(
        "field",
        "",
        (),
        "an attribute is read or written",
        "a function of the record; a write changes it at one point",
        "",
        "test_something_done_for_each",
    ),
    Operator(
        "take",
        "pool",
        ("take",),
        "the end of the list of free places is cut off",
        "`free` falls, and the places are those that ended the free part of the permutation",
        "",
        "test_pool",
    ),
    Operator(
        "latest",
        "pool",
        ("latest",),
        "max over the fences of places",
        "a number that no fence exceeds and one attains",
        "lemma_latest",
        "test_pool",
    ),
    Operator(
        "put",
        "pool",
        ("put",),
        "places are written behind the list of free ones, their fences by place",
        "another permutation, whose free part has these places besides; fences at each of them",
        "lemma_put",
        "test_pool",
    ),
    Operator(
        "list",
        "table",
        ("extend", "clear"),
        "list: extend, clear, [i], [i:j], [i:j] = records",
        "length and entries; entries within a range are those of the vector",
        "",
        "test_list",
    ),
    Operator(
        "append each",
        "ledger",
        ("append_each",),
        "list.append in a loop over two lists",
        "one entry more for each sequence of the vector",
        "",
        "test_each_to_its_own",
    ),
    Operator(
        "ordered set",
        "held",
        ("update", "clear"),
        "the keys of a dict: update, clear",
        "size and entries; a block that leaves the set of its request has no name",
        "",
        "test_set",
    ),
    Operator(
        "remove all",
        "ledger",
        ("remove_all",),
        "del in a loop",
        "a set of the other elements, in any order",
        "lemma_remove_all",
        "test_set",
    ),
    Operator(
        "hold each",
        "ledger",
        ("hold_each",),
        "a key is set in a loop over two lists",
        "sets that have each block of the vector with its owner besides",
        "lemma_hold_each",
        "test_each_to_its_own",
    ),
    Operator(
        "records as they are now",
        "ledger",
        ("listed", "backwards", "ordered", "always"),
        "list, reversed, dict.fromkeys, itertools.repeat",
        "a vector: size, entries and the index of an entry, of the state of this moment",
        "",
        "test_views",
    ),
    Operator(
        "select",
        "ledger",
        ("select",),
        "filter",
        "an enumeration of the elements of which the condition holds",
        "lemma_select",
        "test_views",
    ),
    Operator(
        "all",
        "ledger",
        ("all_of", "all_from"),
        "all(map(condition, records))",
        "the condition for every element, or every entry from one on",
        "",
        "test_views",
    ),
    Operator(
        "each",
        "ledger",
        ("each",),
        "a loop",
        "what one run writes to a record of which nothing is known, of every element",
        "",
        "test_something_done_for_each",
    ),
    Operator(
        "places",
        "ledger",
        ("places",),
        "an attribute of each record of a list",
        "a vector whose index of a place is that of its owner",
        "",
        "test_views",
    ),
    Operator(
        "new blocks",
        "ledger",
        ("new_blocks",),
        "a call of the class for each place",
        "blocks that nothing named before, as many as places",
        "",
        "test_new_blocks",
    ),
    Operator(
        "relocate",
        "ledger",
        ("relocate",),
        "two attributes are written in a loop",
        "two fields and the owners of places, point by point",
        "",
        "test_relocate_and_copies",
    ),
    Operator(
        "count up, count down",
        "ledger",
        ("count_up", "count_down"),
        "`ref` is raised or lowered in a loop",
        "`ref` and the ghost list of holders, point by point",
        "",
        "test_counts",
    ),
    Operator(
        "note copies",
        "ledger",
        ("note_copies",),
        "pairs are appended to an operation",
        "the ghosts `touch` and `source` at the last operation",
        "",
        "test_relocate_and_copies",
    ),
    Operator(
        "grew",
        "ledger",
        ("grew",),
        "pairs are appended to what the next plan tells",
        "nothing: no field of the state",
        "",
        "tests/cli/test_planted.py::test_p16_a_plan_that_does_not_tell_a_table_is_red",
    ),
)


def words(of: str) -> frozenset[str]:
    """The operators that are methods of the ledger, a pool, a list or a set."""
    return frozenset(word for row in OPERATORS if row.of == of for word in row.words)


def as_dicts() -> list[dict[str, Any]]:
    """For JSON."""
    return [asdict(row) for row in OPERATORS]


def as_lines() -> list[str]:
    """For people: each operator with both readings, the lemma and the test."""
    lines: list[str] = []
    for k, row in enumerate(OPERATORS, 1):
        lines += [
            f"{k:2}  {row.name}" + (f" ({', '.join(row.words)})" if row.words else ""),
            f"      plain data  {row.plain}",
            f"      formulas    {row.formulas}",
            f"      lemma       {row.lemma or 'none: formulas define it'}",
            f"      test        {row.test}",
        ]
    return lines
