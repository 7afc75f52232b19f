"""The operators of the kernel: the only methods that are implemented twice, for plain data and for formulas.

Plain data are the Python objects of a running scheduler; formulas are terms of a solver that stand for any such
objects. All else in the kernel is written in operators, once. Guarantees: `language/vocabulary.py` takes the methods
that a function of the kernel may call from this list, so that one that calls another is refused before it runs on
formulas, and a test refuses a method of both ledgers that is not listed. What an operator assumes on formulas is
proved by the lemmas of its row, or stands there as assumed; but that the records listed are finitely many, and that one
block can be chosen for each name (`seal_each`, `free_tables`), is argued beside the code alone.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operator:
    """One row.

    Attributes:
        name: what it is called.
        methods: its methods, as `owner.method`; the owner is the ledger or one of its containers.
        plain: what runs on plain data.
        formulas: what it is on formulas.
        lemmas: the units of proofs that its assumptions rest on; none if it is a definition.
        tests: those that compare the two implementations, each with its file.
        assumed: what formulas assume that no lemma proves, with the reason; "" if nothing.
    """

    name: str
    methods: tuple[str, ...]
    plain: str
    formulas: str
    lemmas: tuple[str, ...]
    tests: tuple[str, ...]
    assumed: str = ""


def of(owner: str, methods: str) -> tuple[str, ...]:
    """Methods of one owner."""
    return tuple([f"{owner}.{method}" for method in methods.split()])


def tested(file: str, names: str) -> tuple[str, ...]:
    """Tests of one file."""
    return tuple([f"tests/spec/symbolic/test_{file}.py::test_{name}" for name in names.split()])


OPERATORS: tuple[Operator, ...] = (
    Operator(
        "field",
        (),
        "an attribute is read or written",
        "a function of the record; a write changes it at one point",
        (),
        (
            *tested("block_operators", "something_done_for_each"),
            *tested("operation_operators", "fields_of_an_operation"),
        ),
    ),
    Operator(
        "number and truth value",
        (),
        "int and bool, and the connectives of `logic.py` on them",
        "a `Term`: integers and booleans of the solver",
        (),
        tested("number_operators", "numbers_and_truth_values"),
    ),
    Operator(
        "division by the block size",
        ("ledger.need", "ledger.block_of", "ledger.cap"),
        "`//` and `*`",
        "three unknown functions: monotone, and one token more needs at most one block more",
        ("arithmetic",),
        tested("number_operators", "division"),
    ),
    Operator(
        "guard and branch",
        ("ledger.require", "ledger.demand", "ledger.branch"),
        "an `if`, which raises or runs a function",
        "an assumption, an obligation, and fields that are an If",
        (),
        tested("guard_operators", "guards_and_branches"),
    ),
    Operator(
        "phase and queue",
        ("ledger.allowed", "ledger.enqueue"),
        "`in` a set of phases; del and set in two of the three dicts by phase",
        "a disjunction; the field `queue`",
        (),
        tested("guard_operators", "phases_and_queues"),
    ),
    Operator(
        "pool",
        ("pool.take", "pool.latest", "pool.fence", "pool.put"),
        "take: the end of the list of free blocks is cut off; put: the block ids are appended to it; fence: "
        "numbers by block id are set; latest: the largest of them",
        "`free` and a permutation whose free part comes first; `last_use` by block id; a number that no fence exceeds "
        "and one attains",
        ("lemma_put", "lemma_latest"),
        (
            *tested("pool_operators", "pool"),
            *tested("cache_operators", "fences"),
        ),
    ),
    Operator(
        "list",
        ("table.extend", "table.clear", "members.append", "members.remove", "members.clear"),
        "list: extend, append, remove, clear, [i], [i:j], [i:j] = records",
        "length and entries; entries within a range are those of the vector",
        (),
        tested("container_operators", "list members"),
    ),
    Operator(
        "ordered set",
        ("ledger.hold", "ledger.empty", "decode_batch.add", "decode_batch.remove"),
        "the keys of a dict; a request that may have one sequence only has no set of blocks: its table says the same",
        "size and entries; a block that `empty` takes out has ref 0 (on plain data nothing leads to it any more, and "
        "its record may stand for a new block)",
        (),
        (
            *tested("container_operators", "set set_of_a_request_that_may_have_one_sequence_only"),
            *tested("calendar_operators", "batch_and_calendars"),
        ),
    ),
    Operator(
        "remove all",
        ("ledger.remove_all",),
        "del in a loop",
        "a set of the other elements, in any order",
        ("lemma_remove_all",),
        tested("container_operators", "set"),
    ),
    Operator(
        "each to its own",
        of("ledger", "append_new_each requests_of free_tables unlist_each enqueue_each"),
        "a loop over sequences or requests, which does to each what is done to one alone; of tables that are freed, "
        "what `unnamed`, `seal_each`, `drop_sealed` and the step `let_go` do",
        "one entry more for each sequence; sets that have each block with its owner besides; vectors of requests and "
        "of their private blocks; the batch without some sequences, in any order; names, if several blocks are to get "
        "one, for any one of them",
        (
            "lemma_hold_each",
            "lemma_remove_all",
            "lemma_select",
            "lemma_others_of",
            "lemma_only_entry",
        ),
        (
            *tested("block_operators", "each_to_its_own"),
            *tested("end_operators", "requests_that_end_at_once tables_that_are_given_up"),
        ),
        "records can be made: see `new record`",
    ),
    Operator(
        "operations by number",
        ("ledger.is_open", "ledger.first_open", "operations.pop", "step_operations.pop"),
        "a dict: in, min of its keys, [k], [k] = number, pop",
        "the field `open` and fields of the number; the least number that is open",
        ("lemma_first_open",),
        tested("operation_operators", "operations_by_number"),
    ),
    Operator(
        "calendar",
        (
            *of("boundaries", "mark unmark postpone bucket"),
            *of("endings", "mark unmark postpone bucket"),
        ),
        "a dict of dicts by step",
        "a field of the sequence: the step under which it is listed",
        ("lemma_select",),
        tested("calendar_operators", "batch_and_calendars"),
    ),
    Operator(
        "records as they are now",
        of("ledger", "listed backwards always block_ids held_at"),
        "list, reversed, itertools.repeat, an attribute of each",
        "a vector: size, entries and the index of an entry, of the state of this moment",
        (),
        (
            *tested("view_operators", "views"),
            *tested("container_operators", "set"),
            *tested("block_operators", "new_blocks"),
        ),
    ),
    Operator(
        "select and all",
        ("ledger.select", "ledger.all_of", "ledger.unshared_from"),
        "filter(condition, records), all(map(condition, records)), a comprehension",
        "an enumeration of the elements of which the condition holds; the condition for every element; that the "
        "ref is 1 for every entry from one on",
        ("lemma_select",),
        tested("view_operators", "views"),
    ),
    Operator(
        "each",
        ("ledger.each",),
        "a loop",
        "the body runs once, on an arbitrary record; what it writes there is written to every element",
        (),
        tested("block_operators", "something_done_for_each"),
        "runs make no difference to each other, as each writes its own record alone: argued in `Bulk.each`, and "
        "what would break it is refused there",
    ),
    Operator(
        "new record",
        ("ledger.new_blocks", "ledger.new_sequence", "ledger.new_operation"),
        "a call of the class",
        "a record that was not there before; a number with its fields",
        (),
        (
            *tested("block_operators", "new_blocks"),
            *tested("operation_operators", "new_sequence_and_operation"),
        ),
        "there are as many records that nothing refers to yet, and that no plan has, as are made: Python can "
        "always make another object",
    ),
    Operator(
        "fields of each block",
        ("ledger.relocate", "ledger.count_up", "ledger.count_down", "ledger.drop_sealed"),
        "attributes are written in a loop, for sealed blocks over all tables of a request",
        "fields, the owners of block ids and the ghost list of holders, point by point; the holders of each "
        "sealed block that are not of the request, listed anew",
        ("lemma_others_of",),
        (
            *tested("block_operators", "relocate_and_copies counts"),
            *tested("cache_operators", "drop_sealed"),
        ),
    ),
    Operator(
        "what a plan sends, and which blocks rest",
        of("ledger", "record_copies grew send_whole send rest wake"),
        "pairs are appended to an operation (`record_copies`: no ghost, a device executes them), or to what waits to "
        "be sent; a key is set in an ordered dict, or deleted; what waits, of sequences that run, becomes what "
        "the plan says",
        "`record_copies`: the ghosts `touch` and `source` at the last operation; the table that a reader of plans has "
        "of each sequence, as far as it was sent and as far as more waits, point by point; nothing of what rests",
        (),
        (
            *tested("block_operators", "relocate_and_copies what_is_sent"),
            *tested("cache_operators", "resting"),
        ),
    ),
    Operator(
        "blocks by name",
        of(
            "ledger",
            "name_of inherit is_listed all_listed listing finds found_among lost_among "
            "found alone seal forget_name unnamed drop_each seal_each",
        ),
        "a list of names for each sequence, 0 behind its end; a dict from names to blocks: in, [name], "
        "[name] = block, pop; the private blocks of some entries by their names, in a loop",
        "the field `block_name`; the fields `name` and `listed` of a block, and `cached`, which leads from a name "
        "to a block; an enumeration of the blocks, each found by the only entry that refers to it, and sets "
        "without them, in any order",
        ("lemma_only_entry", "lemma_select", "lemma_drop_each"),
        (
            *tested("cache_operators", "names blocks_by_name found_and_lost_among"),
            *tested("unnamed", "unnamed"),
            *tested("cache_operators", "one_block"),
        ),
    ),
    Operator(
        "ghost",
        of(
            "ledger",
            "note_move note_step note_swap note_twin note_good note_voided note_fork note_sample",
        ),
        "nothing",
        "fields that only invariants read",
        (),
        tested("ghost_operators", "ghosts_do_nothing_on_plain_data ghosts ghosts_of_kv"),
        "a bound of the KV that a child shares, and the tokens that a sequence will have, exist: argued in "
        "`symbolic/ghosts.py` and `symbolic/kv.py`",
    ),
)


def words(owner: str) -> frozenset[str]:
    """Names of the operators that are methods of this owner."""
    pairs = [word.split(".") for row in OPERATORS for word in row.methods]
    return frozenset(word for name, word in pairs if name == owner)
