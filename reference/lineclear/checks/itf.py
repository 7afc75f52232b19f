"""Counterexamples on disk, as ITF (Apalache's Informal Trace Format), and as a test.

Guarantees: reading returns what was written; a damaged file is reported on one line.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, cast

from lineclear.checks.counterexample import FORMAT, Counterexample, CounterexampleError


def dumps(saved: Counterexample) -> str:
    """The file's text; for the scheduler, its states are its moves."""
    if saved.kind == "scheduler":
        states: list[dict[str, Any]] = [{"move": move} for move in ("start", *saved.moves)]
    else:
        states = saved.execute().states
    meta = {
        "format": "ITF",
        "format-description": "https://apalache-mc.org/docs/adr/015adr-trace.html",
        "description": f"{saved.rule} broken: {saved.what}",
        "lineclear": FORMAT,
        "counterexample": saved.as_dict(),
        "states": digest([{"#meta": {"index": k}, **state} for k, state in enumerate(states)]),
    }
    rows = [
        json.dumps({"#meta": {"index": k}, **state}, separators=(",", ":"))
        for k, state in enumerate(states)
    ]
    names = json.dumps(list(states[0]))
    return (
        f'{{"#meta": {json.dumps(meta)},\n "params": [],\n "vars": {names},\n "states": [\n'
        + ",\n".join(rows)
        + "\n]}\n"
    )


def digest(states: object) -> str:
    """A short name of the states: equal states have equal names."""
    text = json.dumps(states, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def write(saved: Counterexample, path: Path) -> None:
    """Writes the file.

    Raises:
        OSError: the file can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dumps(saved), encoding="utf-8")


def read(text: str) -> Counterexample | None:
    """The counterexample in a file's text; None if the file is something else.

    Raises:
        CounterexampleError: it is a damaged counterexample.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        if f'"lineclear": "{FORMAT}"' in text[:2000]:
            raise CounterexampleError("truncated, or not valid JSON") from None
        return None
    meta = cast("dict[str, Any]", content).get("#meta") if isinstance(content, dict) else None
    if not isinstance(meta, dict):
        return None
    named = cast("dict[str, Any]", meta)
    if named.get("lineclear") != FORMAT or not isinstance(named.get("counterexample"), dict):
        raise CounterexampleError(f"an ITF trace, but not a {FORMAT!r}")
    # What is executed is the trace alone, so that the states are those that were saved says that the
    # file is whole; they may differ from what the table does today.
    if named.get("states") != digest(cast("dict[str, Any]", content).get("states")):
        raise CounterexampleError(
            "its states are not those that were saved with it: it was cut or edited; save it again"
        )
    return Counterexample.from_dict(named["counterexample"])


TEST = '''"""{rule} must hold. Written by `lineclear replay --emit-test`.

{kept}
"""

import json

from lineclear.checks.counterexample import Counterexample

SAVED = json.loads(r"""{saved}""")


def test_{name}() -> None:
    seen = Counterexample.from_dict(SAVED).execute()
    assert {claim}, seen.{reason}
'''
RUN = '''"""{rule}: {what}

The environment's moves are repeated on the current scheduler; the test fails until the error is
fixed. Written by `lineclear replay --emit-test`.
"""

import json

from lineclear.checks.again import occurs

SAVED = json.loads(r"""{saved}""")


def test_{name}() -> None:
    assert not occurs(SAVED), occurs(SAVED)
'''


def emit_test(saved: Counterexample) -> str:
    """A pytest file that fails while the rule is broken; for a mutant, once it breaks no rule.

    Raises:
        CounterexampleError: it lacks the environment's moves.
    """
    name = "".join(c if c.isalnum() else "_" for c in f"{saved.mutant or saved.rule}".lower())
    text = json.dumps(saved.as_dict(), indent=1)
    if '"""' in text:
        text = text.replace('"""', '\\"\\"\\"')
    if saved.kind == "scheduler":
        if not saved.again:
            raise CounterexampleError(
                "it lacks the environment's moves: use a file that the current lineclear check has saved"
            )
        text = json.dumps(dict(saved.again), indent=1)
        what = saved.what.replace('"', "'").replace("\\", "/")
        return RUN.format(rule=saved.rule, what=what, name=name, saved=text)
    if saved.kind == "mutant":
        kept = f"The table without `{saved.mutant}` must be seen to break a rule by this trace."
        return TEST.format(
            rule=saved.rule,
            kept=kept,
            saved=text,
            name=name,
            claim="seen.breaks",
            reason="refused",
        )
    kept = "Fails while the table allows this trace and the trace breaks a rule."
    return TEST.format(
        rule=saved.rule, kept=kept, saved=text, name=name, claim="not seen.breaks", reason="broken"
    )
