# pyright: basic
"""The table of the device: its one action, apart from the scheduler's table.

Guarantees: what is proved of a device holds of every one that keeps to these guards, in whatever order it
carries operations out. The scheduler never runs this and its journal never has it.
"""

from __future__ import annotations

from typing import Any

from lineclear_spec.logic import not_


def run(device: Any, number: Any) -> None:
    """The device carries out an operation whose waits are over."""
    # GUARD
    device.require(number >= 1, "operations are numbered from 1")
    device.require(number <= device.dispatched, "a plan has dispatched the operation")
    device.require(not_(device.has_run(number)), "it has not run")
    device.require(device.waits_over(number), "every operation that it waits for has run")
    device.require(
        device.in_order(number), "on the compute stream each runs after those before it"
    )
    # EFFECT
    device.execute(number)
