"""Every stage of `lineclear check`, in order. To add one: a function and a line here.

Guarantees: names are unique. A stage's module is imported when it runs, so a run served from the
cache loads no solver.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from lineclear.checks.stage import Context, Outcome, Stage

SOLVERS = ("z3-solver", "cvc5")
BOTH = ("lineclear_spec", "lineclear")
#: The searches and mutants of the table depend on no scheduler. What solvers prove does: on policies with claims, and
#: on what `entering.py` runs on formulas; their answers to the same formulas are kept apart (`Context.answers`).
TABLE = ("lineclear_spec", "lineclear.checks")


def later(module: str, name: str) -> Callable[[Context], Outcome]:
    """The function with that name in `lineclear.checks`, imported when called."""

    def run(context: Context) -> Outcome:
        outcome: Outcome = getattr(import_module(f"lineclear.checks.{module}"), name)(context)
        return outcome

    return run


def generated_files(context: Context) -> str:
    """The input of the diagrams' stage."""
    from lineclear.checks.generated import content

    return content(context)


#: The stages, those that find most in least time first. `run` maps a `Context` to an `Outcome`; `sources`
#: are the files that the answer depends on (the cache drops it when they change).
STAGES: tuple[Stage, ...] = (
    Stage("controls", later("controls", "controls"), BOTH, SOLVERS[:1]),
    Stage("proofs", later("proofs", "proofs"), BOTH, SOLVERS),
    Stage("scheduler", later("walks", "walks"), BOTH),
    Stage("behaviours", later("behaviours", "behaviours"), BOTH),
    Stage("second solver", later("proofs", "second_solver"), BOTH, SOLVERS),
    Stage("stability", later("proofs", "stability"), BOTH, SOLVERS, ("deep",)),
    Stage("mutants", later("table", "mutants"), TABLE, SOLVERS),
    Stage("exploration", later("table", "exploration"), TABLE),
    Stage("witnesses", later("table", "witnesses"), TABLE),
    Stage("diagrams", later("generated", "diagrams"), BOTH, SOLVERS, extra=generated_files),
)

#: The stages of `--policy`: everything that depends on a policy. The table's proofs hold under any policy.
POLICY_STAGES: tuple[Stage, ...] = (
    Stage("policy", later("own", "answers"), BOTH),
    Stage("order", later("own", "order"), BOTH, SOLVERS[:1]),
    Stage("behaviours", later("behaviours", "behaviours"), BOTH),
    Stage("scheduler", later("walks", "walks"), BOTH),
    Stage("starvation", later("passing", "starvation"), BOTH),
)
