"""Exit codes, and the errors that lead to them.

Guarantees: each code has one meaning; 0 only for what ran and passed.
"""

from __future__ import annotations

PASSED = 0
REFUTED = 1
USAGE = 2
INCONCLUSIVE = 3
#: Why a run of requests is inconclusive although it went to its end.
NONE_ACCEPTED = "inconclusive: no request was accepted"
#: An error of lineclear itself, with its traceback; sysexits.h calls it EX_SOFTWARE.
DEFECT = 70
#: Shell convention for programs ended by SIGINT and by SIGPIPE.
INTERRUPTED = 130
BROKEN_PIPE = 141

#: Import name of each optional package -> its name in the registry and the extra that installs it.
EXTRAS = {
    "z3": ("z3-solver", "verify"),
    "cvc5": ("cvc5", "verify"),
    "hypothesis": ("hypothesis", "verify"),
    "pytest": ("pytest", "verify"),
    "torch": ("torch", "gpu"),
    "transformers": ("transformers", "gpu"),
    "triton": ("triton", "gpu"),
    "matplotlib": ("matplotlib", "plot"),
    "ray": ("ray", "ray"),
}


class UsageError(Exception):
    """The command cannot run as given; the message says on one line what to do."""


def missing_extra(who: str, error: ModuleNotFoundError) -> str | None:
    """The line that says what to install, or None if the missing module is not optional."""
    module = (error.name or "").partition(".")[0]
    if module not in EXTRAS:
        return None
    package, extra = EXTRAS[module]
    return f'{who} needs {package}: pip install "lineclear[{extra}]"'
