# pyright: basic
"""Broken tables that KV has to do with: an execution of each in which a token is wrong, and its proof fails."""

from __future__ import annotations

import pytest

pytest.importorskip("z3")

from lineclear_spec.kv_mutants import of_kv, read, shows, unproved

#: Of these no token is wrong: the guard of `swap_in` has seen the copy out complete, so that waiting for the barrier is
#: enough; and places that are not given back are never given to another.
HARMLESS = {
    "swap_out.effect.4": "request.moved = number",
    "swap_in.effect.5": "request.moved = number",
    "free_resting.effect.2": "ledger.gpu.put(",
    "let_go.effect.2": "ledger.gpu.put(",
    "clear_table.effect.4": "ledger.pools[tier].put(",
    "clear_tables.effect.1": "ledger.pools[tier].put(",
    "move_blocks.effect.2": "ledger.pools[source].put(",
}
#: What shortens a wait, or drops it, the barrier, a fence, or what a plan sends.
ORDER = ("waits", "fences and barriers", "plan")


@pytest.mark.parametrize("name", sorted(read()))
def test_a_token_is_wrong(name: str) -> None:
    row = read()[name]
    assert shows(of_kv()[name][0], row.world, row.trace) == row.wrong


def test_of_every_wait_and_fence_and_of_what_plans_send_an_execution_is_kept() -> None:
    missing = {name for name, (_, topic) in of_kv().items() if topic in ORDER} - set(read())
    assert missing == set(HARMLESS)
    for name, text in HARMLESS.items():
        assert text in of_kv()[name][0].text


@pytest.mark.deep
@pytest.mark.parametrize("name", sorted(of_kv()))
def test_it_is_not_proved(name: str) -> None:
    assert unproved(of_kv()[name][0])


@pytest.mark.parametrize(
    "name", ["issue_step.effect.2", "grant_gpu.effect.1", "publish.guard.4", "issue_step.effect.3"]
)
def test_some_are_not_proved(name: str) -> None:
    assert unproved(of_kv()[name][0])
