"""The dictionary of the state is complete, and frames say what they leave out."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import lineclear_spec
from lineclear_spec.kernel.records import Block, Operation, Pool, Request, Sequence
from lineclear_spec.postconditions import frames
from lineclear_spec.symbolic.fields import FIELDS, GHOSTS
from lineclear_spec.symbolic.kv_fields import KV_FIELDS

ROOT = Path(lineclear_spec.__file__).parent
#: What actions are written in, and the operators on plain data.
WRITTEN = [
    *sorted((ROOT / "actions").glob("*.py")),
    *[
        ROOT / "kernel" / f"{name}.py"
        for name in "blocks primitives queries records containers ledger ledger_cache".split()
    ],
]


def without_tier(name: str) -> str:
    """A field of a pool, without its tier."""
    return name.removesuffix("_gpu").removesuffix("_cpu")


def test_every_field_is_in_a_frame_or_left_out_for_a_reason() -> None:
    named = {
        *frames.REQUEST,
        *frames.SEQUENCE,
        *frames.BLOCK,
        *frames.CLOCKS,
        *("ref", "request", "member", "table", "free", "open", "wait"),  # written out in the parts
    }
    left_out = [name for names in frames.LEFT_OUT.values() for name in names]
    assert len(left_out) == len(set(left_out))
    assert not named & set(left_out)
    assert named | set(left_out) == {without_tier(name) for name in FIELDS.keys() - KV_FIELDS}


def test_plain_data_has_no_ghost_and_nothing_that_runs_reads_one() -> None:
    ghosts = {without_tier(name) for name in GHOSTS}
    assert GHOSTS < set(FIELDS)
    for record in (Block, Operation, Pool, Request, Sequence):
        assert not ghosts & set(dir(record)), record
    for path in WRITTEN:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                assert node.attr not in ghosts, f"{path.name}:{node.lineno} reads {node.attr}"


class Pools(SimpleNamespace):
    """A view of two pools of three block ids: which block ids are free, in the order of the list."""

    listed: tuple[int, ...]

    def free(self, _tier: int) -> int:
        return len(self.listed)

    def total(self, _tier: int) -> int:
        return 3

    def position(self, _tier: int, block_id: int) -> int:
        return self.listed.index(block_id) if block_id in self.listed else 3


@pytest.mark.parametrize(("after", "same"), [((1, 0), True), ((0, 2), False), ((0,), False)])
def test_a_pool_is_the_same_if_the_same_places_are_free(after: Any, same: bool) -> None:
    """One block id taken and another one freed leaves the count as it was, and is no frame."""
    part = frames.free(Pools(listed=(0, 1)), Pools(listed=after))
    assert all(part.predicate(block_id) for block_id in range(3)) is same
