"""Functions over records of built-in policies: what may be read, called and gone through, and no more."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scripts import module_of

from lineclear_spec.language.dialect import check_functions
from lineclear_spec.language.source import Forbidden

HEAD = """
from __future__ import annotations
import math
import os
from typing import Any, NamedTuple
from lineclear.policies import accounts
from lineclear_spec.logic import and_, if_else, larger

class Plain(NamedTuple):
    left: int
    right: int

class Method(NamedTuple):
    left: int
    def __eq__(self, other): return True

class Default(NamedTuple):
    left: int = 3

class Below(Plain):
    pass

PARTS = (1, 2)
"""
#: A function of a module of built-in policies -> what is refused of it; "" if nothing.
FUNCTIONS = {
    "def f(x: Any) -> Any:\n    return Plain(x + 1, x)": "",
    "def f(r: Plain) -> Any:\n    return r.left // r.right": "",
    "def f(r: Any, s: Any) -> Any:\n    return accounts.charge(r, s, s), if_else(s < 1, s, 0)": "",
    "def f(x: Any, parts: Any) -> Any:\n    found = 0\n    for part in reversed(parts):\n"
    "        found = found + larger(x, part)\n    return found": "",
    "def f(x: Any, n: int) -> Any:\n    return tuple([x * (2**k) for k in range(n)])": "",
    "def f(x: Any) -> Any:\n    return Method(x)": "a call of `Method`",
    "def f(x: Any) -> Any:\n    return Default(x)": "a call of `Default`",
    "def f(x: Any) -> Any:\n    return Below(x, x)": "a call of `Below`",
    "def f(r: Plain) -> Any:\n    return r._fields": "reading `_fields`",
    "def f(r: Plain) -> Any:\n    return r.__class__": "reading `__class__`",
    "def f(r: Plain) -> Any:\n    return r.missing": "reading `missing`",
    "def f(r: Plain) -> Any:\n    return r[0]": "the index `r[0]`",
    "def f(r: Plain) -> Any:\n    return r._replace(left=1)": "a call of `r._replace`",
    "def f(x: Any) -> Any:\n    return math.floor(x)": "a call of `math.floor`",
    "def f(x: Any) -> Any:\n    return os.getpid()": "a call of `os.getpid`",
    "def f(x: Any) -> Any:\n    return accounts.NamedTuple('R', [])": "a call of `accounts.NamedTuple`",
    "def f(x: Any) -> Any:\n    found = 0\n    for part in PARTS:\n        found = found + part\n"
    "    return found": "a loop over anything but a range or a parameter",
    "def f(x: Any) -> Any:\n    parts = (x, 1)\n    found = 0\n    for part in parts:\n"
    "        found = found + part\n    return found": "a loop over anything but a range or a parameter",
    "def f(x: Any, n: int) -> Any:\n    return tuple([x for k in range(n) if k > 1])": "not made of a range",
    "def f(x: Any, parts: Any) -> Any:\n    return tuple([x for k in parts])": "not made of a range",
    "def f(x: Any) -> Any:\n    return tuple(x)": "not made of a range",
    "def f(x: Any, n: int) -> Any:\n    return [x for k in range(n)]": "`listcomp`",
    "def f(r: Plain) -> Any:\n    return if_else(r is None, 0, r.left)": "`is`",
    "def f(r: Plain) -> Any:\n    return 0 if r.left < 1 else 1": "`ifexp`",
    "def f(r: Plain) -> Any:\n    return isinstance(r, Plain) & True": "a call of `isinstance`",
}


@pytest.fixture
def made(tmp_path: Path) -> Iterator[object]:
    """Makes a module of this text, called as if it were a built-in policy's."""

    def make(text: str) -> Any:
        path = tmp_path / "made_up.py"
        path.write_text(HEAD + text + "\n")
        return module_of(path, "lineclear.policies.made_up", listed=True)

    yield make
    sys.modules.pop("lineclear.policies.made_up", None)


@pytest.mark.parametrize("text", FUNCTIONS)
def test_a_function_over_records_may_do_this_and_no_more(made: object, text: str) -> None:
    assert callable(made)
    function: Any = vars(made(text))["f"]
    refused = FUNCTIONS[text]
    if not refused:
        check_functions([function])
        return
    with pytest.raises(Forbidden) as caught:
        check_functions([function])
    assert refused in str(caught.value)
    assert "made_up.py:" in str(caught.value)


def test_every_function_that_a_lemma_of_accounts_runs_is_checked() -> None:
    from lineclear.policies import accounts, feedback, turns, virtual_time

    helpers = {"lemmas", "stands", "contracts", "any_account", "kept", "difference", "looks"}
    for module in (accounts, feedback, turns, virtual_time):
        check_functions(module.RUNS)
        defined = {
            name
            for name, found in vars(module).items()
            if getattr(found, "__module__", "") == module.__name__
            and getattr(found, "__code__", None)
        }
        assert defined - helpers == {run.__name__ for run in module.RUNS}
