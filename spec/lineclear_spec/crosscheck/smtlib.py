# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportOptionalMemberAccess=false
"""The obligations of a unit as SMT-LIB 2 text, which any solver reads.

Guarantees: the text of a unit is the same in every process, names every symbol once, and is all
that the second solver and the stability run get to see.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import z3

from lineclear_spec.liveness.theorems import ORDER
from lineclear_spec.proof.obligations import Goal, Unit, build, units

TOKEN = re.compile(r"[()]|[^\s()]+")
#: An unknown value, and the inverse map or the count that belongs to it (`new!3_index`).
NUMBERED = re.compile(r"(\(?)([^\s()]+)!\d+(_[a-z_]+)?(?=[\s()])")
DECLARED = re.compile(r"\(declare-fun (\S+) \((.*?)\) (\S+)\)")
BOUND = re.compile(r"\((?:forall|exists) \(((?:\([^()]+\) ?)+)\)")

#: Nonlinear integer arithmetic is undecidable, and a solver's search there a matter of luck. With
#: one lemma about products, proved first and then used at these factors, what is left is linear.
LEMMA = "x * y is at least y, for x and y of at least 1"
LEMMA_DENIED = "(not (=> (and (<= 1 x) (<= 1 y)) (<= y (* x y))))"
FACTORS = (
    "f", "(- f)", "g", "(- g)", "(- f g)", "(- g f)", "(- (- g f) 1)", "(+ (- f g) 1)",
    "(- m g)", "(- g m)", "(- (- g 1) m)",
)  # fmt: skip

README = """\
Obligations of the action table, one file for each unit (an action, a loop, the start state, the
arithmetic), in SMT-LIB 2.6 with push and pop.

Expected answer: unsat, to every check-sat of every file. `sat` or `unknown` means not proved. The
comment above a check-sat names the obligation as kind/label. In arithmetic.smt2 the first answer
is a lemma about products, whose instances are asserted after it.

Uninterpreted functions, linear integers, quantifiers with patterns; arithmetic.smt2 is
quantifier-free and nonlinear, order_*.smt2 (the orders of policies) have reals and products. With cvc5:

    cvc5 --incremental FILE.smt2

"""


@dataclass(frozen=True, slots=True)
class Query:
    """One obligation: kind, label, how many assumptions it may use, and the goal denied."""

    kind: str
    label: str
    depth: int
    denial: str


@dataclass(frozen=True, slots=True)
class Script:
    """The text of one unit, in parts.

    Attributes:
        name: the unit.
        sorts: names of the uninterpreted sorts.
        functions: name -> (sorts of the arguments, sort of the result).
        hypotheses: formulas that every obligation may use.
        assumptions: formulas that an obligation may use up to its depth.
        queries: the obligations, by depth.
    """

    name: str
    sorts: tuple[str, ...]
    functions: dict[str, tuple[str, str]]
    hypotheses: tuple[str, ...]
    assumptions: tuple[str, ...]
    queries: tuple[Query, ...]

    @property
    def logic(self) -> str:
        """The SMT-LIB logic."""
        if self.name.startswith(ORDER):
            return "ALL"  # a policy may weigh times and counts
        return "QF_NIA" if self.name == "arithmetic" else "UFLIA"

    def declarations(self) -> list[str]:
        """Commands that declare every sort and function."""
        return [
            *[f"(declare-sort {name} 0)" for name in self.sorts],
            *[f"(declare-fun {n} ({a}) {r})" for n, (a, r) in self.functions.items()],
        ]

    def text(self) -> str:
        """The whole as a script that asks one `check-sat` for each obligation."""
        lines = [f"(set-logic {self.logic})", *self.declarations()]
        lines += [f"(assert {formula})" for formula in self.hypotheses]
        added = 0
        for query in self.queries:
            lines += [f"(assert {formula})" for formula in self.assumptions[added : query.depth]]
            added = max(added, query.depth)
            comment = " ".join(f"; {query.kind}/{query.label}".split())  # on one line: no command
            lines += ["(push 1)", comment, f"(assert {query.denial})"]
            lines += ["(check-sat)", "(pop 1)"]
        return "\n".join([*lines, "(exit)", ""])

    def hinted(self, hints: Sequence[Sequence[int] | None]) -> str:
        """The same with few premises for each obligation: those whose numbers its hint has, all if there is none."""
        premises = [*self.hypotheses, *self.assumptions]
        lines = [f"(set-logic {self.logic})", *self.declarations()]
        for query, hint in zip(self.queries, hints, strict=True):
            few = range(len(self.hypotheses) + query.depth) if hint is None else hint
            lines += ["(push 1)", *[f"(assert {premises[k]})" for k in few]]
            lines += [f"(assert {query.denial})", "(check-sat)", "(pop 1)"]
        return "\n".join([*lines, "(exit)", ""])


def rewritten(text: str, name: Callable[[str, bool], str]) -> str:
    """One formula on one line without `let`, each symbol as `name(symbol, it is applied)` says.

    A conjunction or disjunction of one formula, which z3 prints and the standard does not allow, becomes the formula,
    and so does a conjunction of one formula and `true`.
    """
    # What z3 shares, ($x1 ...) or (?x1 ...), one in each let. An inner let may give such a name to another formula.
    shared: dict[str, str] = {}
    outer: list[tuple[str, str]] = []
    stack: list[list[str]] = [[]]
    for token in TOKEN.findall(text):
        if token == "(":
            stack.append([])
        elif token == ")":
            node = stack.pop()
            head = node[0] if node else ""
            if head == "let":
                shared.update([outer.pop()])
                stack[-1].append(node[1])
            elif head[:1] in ("$", "?"):
                outer.append((head, shared.get(head, "")))
                shared[head] = node[1]
            elif (head in ("and", "or") and len(node) == 2) or (
                head == "and" and node[2:] == ["true"]
            ):
                stack[-1].append(node[1])
            elif node:
                stack[-1].append(f"({' '.join(node)})")
        else:
            known = shared.get(token) if stack[-1] else None
            stack[-1].append(known or name(token, not stack[-1]))
    return stack[0][0]


def printed(formulas: Sequence[z3.BoolRef]) -> tuple[list[str], list[str]]:
    """What z3 prints: the declarations, and the formulas in order."""
    *rest, last = formulas
    others = (z3.Ast * len(rest))(*[formula.as_ast() for formula in rest])
    text = z3.Z3_benchmark_to_smtlib_string(
        last.ctx_ref(), "", "", "", "", len(rest), others, last.as_ast()
    )
    declarations: list[str] = []
    found: list[str] = []
    for part in re.split(r"\n(?=\((?:assert|declare-|check-sat))", text):
        if part.startswith("(assert"):
            found.append(part.removeprefix("(assert").rstrip()[:-1])
        elif part.startswith("(declare-"):
            declarations.append(" ".join(part.split()))
    if len(found) != len(formulas):
        raise RuntimeError(f"{len(formulas)} formulas were written as {len(found)}")
    return declarations, found


def write(unit: Unit) -> Script:
    """The unit as text.

    Raises:
        ValueError: two symbols, or a symbol and a bound variable or a shared formula, would have one name.
    """
    goals = unit.asked
    declarations, found = printed(
        [*unit.hypotheses, *unit.assumptions, *[z3.Not(g.formula) for g in goals]]
    )
    declared: dict[tuple[str, bool], tuple[str, str]] = {}
    for line in declarations:
        match = DECLARED.fullmatch(line)
        if match:
            symbol, arguments, result = match.groups()
            if (symbol, bool(arguments)) in declared:
                raise ValueError(f"{unit.name}: {symbol} is declared twice")
            if symbol[0] in "$?":
                raise ValueError(
                    f"{unit.name}: {symbol} begins as z3's names of shared formulas do"
                )
            declared[symbol, bool(arguments)] = (arguments, result)
    # z3 tells a constant from a function of the same name, the standard does not.
    names = {
        key: f"the_{key[0]}" if not key[1] and (key[0], True) in declared else key[0]
        for key in declared
    }
    text = [rewritten(f, lambda token, head: names.get((token, head), token)) for f in found]
    numbers: dict[tuple[str, bool], str] = {}

    def numbered(match: re.Match[str]) -> str:
        """Unknown values are numbered from one through a process; here from one through the unit."""
        key = (match[0].removeprefix("("), bool(match[1]))
        number = numbers.setdefault(key, f"{match[2]}!{len(numbers) + 1}{match[3] or ''}")
        return match[1] + number

    text = NUMBERED.sub(numbered, "\n".join(text)).split("\n")
    names = {key: numbers.get((name, key[1]), name) for key, name in names.items()}
    if len(set(names.values())) < len(declared):
        raise ValueError(f"{unit.name}: two symbols have one name")
    bound = {v.split()[0] for f in text for m in BOUND.findall(f) for v in m[1:].split("(")}
    if clash := bound & set(names.values()):
        raise ValueError(f"{unit.name}: {min(clash)} is a symbol and a bound variable")
    after, last = len(unit.hypotheses), len(unit.hypotheses) + len(unit.assumptions)
    script = Script(
        unit.name,
        tuple(sorted(d.split()[1] for d in declarations if d.startswith("(declare-sort"))),
        dict(sorted((names[key], sorts) for key, sorts in declared.items())),
        tuple(text[:after]),
        tuple(text[after:last]),
        tuple(Query(g.kind, g.label, g.depth, f) for g, f in zip(goals, text[last:], strict=True)),
    )
    return with_lemma(script) if unit.name == "arithmetic" else script


def with_lemma(script: Script) -> Script:
    """The lemma as the first obligation, and its instances as assumptions of all the others."""
    return replace(
        script,
        functions=script.functions | dict.fromkeys("fgmsxy", ("", "Int")),
        assumptions=tuple(f"(=> (and (<= 1 {x}) (<= 1 s)) (<= s (* {x} s)))" for x in FACTORS),
        queries=(
            Query("lemma", LEMMA, 0, LEMMA_DENIED),
            *[replace(query, depth=len(FACTORS)) for query in script.queries],
        ),
    )


def renamed(script: Script, names: dict[str, str]) -> Script:
    """The same script with other names for its functions and sorts."""

    def again(text: str) -> str:
        return rewritten(text, lambda token, _: names.get(token, token))

    def sorts(arguments: str) -> str:
        return " ".join(names.get(s, s) for s in arguments.split())

    return replace(
        script,
        sorts=tuple(names.get(s, s) for s in script.sorts),
        functions={
            names.get(n, n): (sorts(a), sorts(r)) for n, (a, r) in script.functions.items()
        },
        hypotheses=tuple(map(again, script.hypotheses)),
        assumptions=tuple(map(again, script.assumptions)),
        queries=tuple(replace(q, denial=again(q.denial)) for q in script.queries),
    )


def read(script: Script) -> Unit:
    """The unit that z3 reads from the text."""
    formulas = [*script.hypotheses, *script.assumptions, *[q.denial for q in script.queries]]
    lines = [*script.declarations(), *[f"(assert {formula})" for formula in formulas]]
    vector = z3.parse_smt2_string("\n".join(lines))
    found = [vector[k] for k in range(len(vector))]
    if len(found) != len(formulas):
        raise RuntimeError(f"{script.name}: {len(formulas)} formulas were read as {len(found)}")
    first, second = len(script.hypotheses), len(script.hypotheses) + len(script.assumptions)
    goals = [
        Goal(query.kind, query.label, query.depth, denial.arg(0))
        for query, denial in zip(script.queries, found[second:], strict=True)
    ]
    return Unit(script.name, found[:first], found[first:second], goals)


def export(directory: Path | str, names: Sequence[str] | None = None) -> list[Path]:
    """Write one `.smt2` file for each unit (all if None), and a README; the files' paths."""
    texts = {name: write(build(name)).text() for name in names or units()}
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README").write_text(README, encoding="utf-8")
    paths: list[Path] = []
    for name, text in texts.items():
        path = folder / f"{name}.smt2"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths
