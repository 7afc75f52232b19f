# pyright: basic
"""Broken tables that KV has to do with: an execution of each in which a token is wrong.

Guarantees: a witness was executed. The table with one statement dropped, or one wait changed, reads KV that is not
the sequence's own (T1) or accepts a token that was not computed from it (T2); the table itself does neither in
the same execution, or refuses it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel.records import Broken
from lineclear_spec.modelcheck.choices import absurd_arguments, arguments_of
from lineclear_spec.modelcheck.explore import records
from lineclear_spec.modelcheck.kv_walks import OFTEN, RARE, KvWalk, follow, steps_of
from lineclear_spec.modelcheck.worlds import Bounds, Step
from lineclear_spec.mutation.judge import noticed
from lineclear_spec.mutation.mutants import DROPS, Mutant, generate, installed
from lineclear_spec.mutation.trial import USED_BY

ROOM: dict[str, Any] = {"max_num_batched_tokens": 6, "max_num_seqs": 3, "open": 5}
WORLDS = {
    bounds.name: bounds
    for bounds in (
        Bounds("small", block_size=2, gpu_blocks=5, cpu_blocks=4, live=3,
               shapes=((1, 4, 1), (3, 6, 1), (2, 6, 2)), tokens=(1, 2, 3), drafts=(0, 1), accepted=(1, 2), **ROOM),
        Bounds("names", block_size=1, gpu_blocks=5, cpu_blocks=3, live=3,
               shapes=((2, 4, 1, 1), (3, 5, 2, 1)), tokens=(1, 2, 3), **ROOM),
        Bounds("one", block_size=1, gpu_blocks=6, cpu_blocks=4, max_model_len=6, live=3,
               shapes=((2, 5, 1), (2, 6, 2), (1, 6, 1, 1)), tokens=(1, 2, 3), drafts=(0, 1, 2),
               accepted=(1, 2), **ROOM),
        Bounds("two", block_size=2, gpu_blocks=6, cpu_blocks=4, max_model_len=6, live=3,
               shapes=((3, 6, 2), (2, 5, 1)), tokens=(1, 3), **ROOM),
        Bounds("pairs", block_size=2, gpu_blocks=6, cpu_blocks=3, max_model_len=8, live=3,
               shapes=((4, 6, 1, 1), (5, 7, 1, 1), (3, 6, 2, 1)), tokens=(1, 2, 4), **ROOM),
        Bounds("long", block_size=1, gpu_blocks=12, cpu_blocks=4, max_model_len=6, live=3,
               shapes=((2, 6, 2), (1, 6, 1, 1), (4, 6, 1, 1)), tokens=(1, 3), drafts=(0, 2), accepted=(1, 2), **ROOM),
        Bounds("wide", block_size=1, gpu_blocks=10, cpu_blocks=10, max_model_len=6, live=4,
               shapes=((2, 4, 1, 1), (3, 5, 2, 1), (2, 5, 1)), tokens=(1, 2, 3), **ROOM),
    )
}  # fmt: skip
#: What the theorem is about: a topic, and pieces of the statements that belong to it; the first one counts.
TOPICS: dict[str, tuple[str, ...]] = {
    "waits": ("ledger.order(", "every operation that it waits for"),
    "fences and barriers": (
        "barrier", "ledger.gpu.take(", ".put(", ".fence(", "request.last_swap =", "allocate_gpu(",
    ),
    "copies": (
        "record_copies", "relocate", "it waits for", "its swap-out", "request.open_swap =",
        "ledger.close(",
        "forget_copy", "void_samples", "move_blocks", "clear_tables",
    ),
    "plan": ("grew", "send_whole", "send_tables", "ledger.send()"),
    "drafts": ("draft", "rejected"),
    "samples": ("owes a sample", "owes it a sample", "owes the parent", "own_samples =", "the oldest that owes"),
}  # fmt: skip
#: Functions all of whose statements belong to a topic.
WHOLE = {
    "publish": "publication", "publish_run": "publication", "seal_entry": "publication",
    "seal_entries": "publication", "admit_cached": "publication", "share_cached": "publication",
    "evict": "rests", "unlist": "rests", "free_resting": "rests", "let_go": "rests",
    "rejoin": "branches", "fork": "branches", "replace_entry": "branches", "share_table": "branches",
    "copy_on_write": "branches",
    "finish_each": "ends", "clear_each": "ends", "end_in_batch": "ends",
}  # fmt: skip


#: Waits that are longer than they must be, which makes no token wrong.
LONGER = (
    "waits for everything before",
    "waits for everything decided",
    "waits for everything but the last",
)


class Witness(NamedTuple):
    """An execution of a broken table.

    Attributes:
        world: its bounds, by name.
        trace: of actions and of the device, one step after a comma.
        wrong: what is false in the end.
    """

    world: str
    trace: str
    wrong: str


def topic_of(mutant: Mutant) -> str:
    """What of the theorem the mutant is about; "" if it is about something else."""
    for topic, pieces in TOPICS.items():
        if any(piece in mutant.text for piece in pieces):
            return topic
    return WHOLE.get(mutant.function, "")


@cache
def of_kv() -> dict[str, tuple[Mutant, str]]:
    """The mutants that drop a statement or shorten a wait and that are of a topic, by name, each with its topic."""
    made = generate((*DROPS, "wait changed"))
    found = [(m, topic_of(m)) for m in made if m.variant not in LONGER]
    return {m.name: (m, topic) for m, topic in found if topic}


def actions_of(mutant: Mutant) -> tuple[str, ...]:
    """The actions that run what is broken."""
    return (mutant.function,) if mutant.function in ACTIONS else USED_BY[mutant.function]


def wrong_tokens_of(walk: KvWalk) -> list[str]:
    """What is false of tokens, and not only of versions or of the abstract machine."""
    return [line for line in walk.wrong if line.startswith(("T1", "T2"))]


def text_of(steps: list[Step]) -> str:
    """The same, written down; a copy that fails is `run 3 1`."""
    lines = []
    for name, arguments in steps:
        if name == "run":
            arguments = (arguments[0], *(arguments[1:] if any(arguments[1:]) else ()))
        lines.append(
            " ".join([name, *[str(int(a)) if isinstance(a, bool) else str(a) for a in arguments]])
        )
    return ", ".join(lines)


def shows(mutant: Mutant, world: str, trace: str) -> str:
    """What is wrong at the end of the trace of the broken table; "" if nothing is, or if the same is wrong of the
    table as it is.
    """
    bounds, steps = WORLDS[world], steps_of(trace)
    with broken(mutant) as bodies:
        walk = KvWalk(bounds, bodies)
        found = wrong_tokens_of(follow(walk, steps, wrong_tokens_of))
    if not found or follow(KvWalk(bounds), steps, wrong_tokens_of).wrong:
        return ""
    return found[0]


@contextmanager
def broken(mutant: Mutant) -> Generator[dict[str, Any]]:
    """Within the block the broken block step stands in for the real one; bodies for a walk."""
    with installed(mutant) as body:
        yield {} if body is None else {mutant.function: body}


def shrunk(mutant: Mutant, world: str, steps: list[Step]) -> list[Step]:
    """The steps without those that make no difference."""
    for k in range(len(steps) - 2, -1, -1):
        fewer = steps[:k] + steps[k + 1 :]
        if k < len(steps) and shows(mutant, world, text_of(fewer)):
            steps = fewer
    return steps


def at_random(walk: KvWalk, rng: random.Random, favoured: tuple[str, ...], tries: int) -> None:
    """Goes on at random until a token is wrong; the favoured actions come often, with absurd arguments too.

    Args:
        walk: that goes on.
        rng: of every choice.
        favoured: actions.
        tries: moves at most.
    """
    names = [n for n in ACTIONS if n not in RARE or n in favoured]
    weights = [OFTEN.get(n, 2) + (6 if n in favoured else 0) for n in names]
    pace, fails = rng.choice((0.1, 0.3, 0.5)), rng.choice((0.0, 0.3))
    for _ in range(tries):
        if wrong_tokens_of(walk):
            return
        ledger = walk.ledger
        if rng.random() < pace:
            ready = [n for n in range(1, ledger.issued + 1) if n not in ledger.device.ran]
            if ready:
                walk.runs(
                    max(ready) if rng.random() < 0.3 else rng.choice(ready), rng.random() < fails
                )
            continue
        name = rng.choice(RARE) if rng.random() < 0.1 else rng.choices(names, weights)[0]
        choices = list(arguments_of(walk.bounds, ledger, name))
        if name in favoured:
            choices += absurd_arguments(walk.bounds, ledger, name)
        step = (name, rng.choice(choices)) if choices else None
        if step and (name in favoured or not refused(walk, step)):
            walk.act(step)


def refused(walk: KvWalk, step: Step) -> bool:
    """Whether the table's own guards refuse the step, or end in an error, as they may once the table is broken; asked
    before the walk is copied.
    """
    name, arguments = step
    try:
        return name not in ("submit", "reject") and bool(
            walk.ledger.failing(name, records(walk.ledger, arguments))
        )
    except (Broken, IndexError, KeyError):
        return True


def hunt(
    mutant: Mutant, known: list[Witness], walks: int = 150, tries: int = 1200
) -> Witness | None:
    """An execution in which a token is wrong: a known one, or one that begins like a known one, or any.

    Args:
        mutant: the broken table.
        known: executions in which other tables were wrong.
        walks: how many are tried at random.
        tries: steps of each that are tried.
    """
    for row in known:
        if shows(mutant, row.world, row.trace):
            return made(mutant, row.world, steps_of(row.trace))
    for seed in range(walks):
        rng = random.Random(f"{mutant.name} {seed}")
        world, begin = rng.choice(list(WORLDS)), []
        if known and rng.random() < 0.7:
            row = rng.choice(known)
            steps = steps_of(row.trace)
            world, begin = row.world, steps[: rng.randrange(len(steps) + 1)]
        with broken(mutant) as bodies:
            walk = follow(KvWalk(WORLDS[world], bodies), begin, wrong_tokens_of)
            at_random(walk, rng, actions_of(mutant), tries)
        if wrong_tokens_of(walk) and shows(mutant, world, text_of(walk.trace)):
            return made(mutant, world, walk.trace)
    return None


def made(mutant: Mutant, world: str, steps: list[Step]) -> Witness:
    """The witness of these steps, as short as it gets."""
    trace = text_of(shrunk(mutant, world, steps))
    return Witness(world, trace, shows(mutant, world, trace))


def read() -> dict[str, Witness]:
    """The witnesses that are kept with the source, by mutant."""
    text = resources.files("lineclear_spec.mutation").joinpath("kv_mutants.json").read_text()
    return {name: Witness(*row) for name, row in json.loads(text).items()}


def written(found: Mapping[str, Iterable[object]]) -> str:
    """The text of that file, or of one of other rows."""
    return json.dumps({name: list(row) for name, row in sorted(found.items())}, indent=1) + "\n"


def unproved(mutant: Mutant) -> str | None:
    """The first obligation of `lineclear prove kv` that is not proved of the broken table, or None."""
    own = (f"kv_{mutant.function}",) if mutant.function in ACTIONS else ()
    return noticed(mutant, units=(*own, *mutant.units))
