"""What tests of plants share: a ledger with a request that runs, which obligations of a unit fail, and a block step
that stands for another one.
"""

# pyright: basic

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear_spec.actions import admit, submit
from lineclear_spec.kernel import blocks
from lineclear_spec.kernel.ledger import Ledger
from lineclear_spec.kernel.records import Limits, Request
from lineclear_spec.mutation.mutants import put_step
from lineclear_spec.proof.obligations import build
from lineclear_spec.proof.prove import prove_unit


def red(unit: str, body: Any = None) -> list[str]:
    """Keys of the obligations of a unit that are not proved."""
    return [r.key for r in prove_unit(build(unit, body), budget=400_000) if r.status != "proved"]


def running(parallel: int = 1, prompt: int = 3) -> tuple[Ledger, Request]:
    """A ledger, and its one request, which runs."""
    made = Ledger(Limits(block_size=2, gpu_blocks=12, cpu_blocks=12, max_model_len=16))
    request = made.new_request(prompt, 8, parallel)
    submit(made, request)
    admit(made, request)
    return made, request


def installed(name: str, body: Any, run: Callable[[], Any]) -> Any:
    """What `run` gives while another function stands for the block step."""
    right = getattr(blocks, name)
    put_step(name, body)
    try:
        return run()
    finally:
        put_step(name, right)
