"""The scheduler under memory pressure on a test device that sees only plans.

Guarantees: the device's own record, the oracle and every invariant check every step; the same seed
makes the same run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lineclear.checks.counterexample import from_scheduler
from lineclear.checks.saved_moves import by_run
from lineclear.checks.stage import Finding
from lineclear.checks.walks import code_of_error

if TYPE_CHECKING:
    from lineclear.config import Config

__all__ = ["on_device", "under_pressure", "with_drafts"]

#: Calls of `schedule` or `commit` in a run, before every request is left to end.
TURNS = 50
#: The device's orders of unordered operations; the seeds take turns.
ORDERS_OF_A_SEED = 3


def with_drafts(config: Config) -> Config:
    """The same with drafts, if these rules take any."""
    from lineclear.config import ConfigError

    drafts = 2
    most = max(config.max_num_batched_tokens, config.max_num_seqs * (1 + drafts))
    try:
        return replace(config, num_lookahead_slots=drafts, max_num_batched_tokens=most)
    except ConfigError:
        return config


def on_device(name: str, config: Config, seed: int) -> tuple[Finding | None, int]:
    """Runs on a device that sees only plans, in several orders of what waits leave open.

    Users fork, prune, stop and abort; copies fail and are reported late. Half of the runs have
    drafts.
    """
    from lineclear.testing.orders import ORDERS

    names = list(ORDERS)
    steps = 0
    for turn in range(ORDERS_OF_A_SEED):
        order = names[(ORDERS_OF_A_SEED * seed + turn) % len(names)]
        chosen = with_drafts(config) if (seed + turn) % 2 else config
        finding, some = under_pressure(f"{name}, {order} order, seed {seed}", chosen, order, seed)
        steps += some
        if finding is not None:
            return finding, steps
    return None, steps


def under_pressure(
    where: str, config: Config, order: str, seed: int
) -> tuple[Finding | None, int]:
    """Makes one run; returns its finding, if any, and its number of steps.

    Args:
        where: name of the run.
        config: settings.
        order: a key of `testing.orders.ORDERS`.
        seed: seed of the requests and of the order.
    """
    from lineclear.monitor.liveness import Stalled
    from lineclear.oracle import Oracle
    from lineclear.scheduler import Scheduler
    from lineclear.testing.orders import order_named
    from lineclear.testing.pressure import Pressure

    scheduler = Scheduler(config)
    run = Pressure(scheduler, order_named(order, seed), seed, judge=Oracle(scheduler))
    code, title = "", ""
    lines: tuple[str, ...] = ()
    try:
        run.run(TURNS)
        if not run.end():
            code, title = "LC501", "nothing moves: requests are live and nothing ends them"
            lines = tuple(scheduler.stall_report().text().splitlines())
    except Stalled as alarm:
        code, title, lines = "LC501", alarm.what, tuple(alarm.report.text().splitlines())
    except Exception as error:  # a scheduler that raises is the finding
        title = f"{type(error).__name__}: {error}".splitlines()[0]
        code = code_of_error(title)
    steps = scheduler.counters.steps
    if not code:
        return None, steps
    asked = [move for move in run.moves if move.startswith("submit")]
    last = run.moves[-12:]
    shown = (
        "what was asked:",
        *[f"  {move}" for move in asked],
        "the last calls:",
        *[f"  {move}" for move in last],
        *lines[:12],
    )
    rule = "" if code == "LC501" else title.partition(":")[0]
    again = by_run("device", code, rule, config, seed, order)
    saved = from_scheduler(rule, title, run.moves, (), again)
    whole = f"step {steps}: {title} ({where})"
    return Finding(code, whole, shown, content=saved.as_dict()), steps
