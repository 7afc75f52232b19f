"""The packaging says the same thing in every place where it says it."""

from __future__ import annotations

import ast
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import lineclear

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def name_of(requirement: str) -> str:
    """The distribution's name, without bounds, extras and markers."""
    return re.split(r"[\s\[<>=;!~]", requirement, maxsplit=1)[0]


def requirements() -> list[str]:
    """Every requirement that pyproject.toml states, our own extras left out."""
    project = PROJECT["project"]
    groups = [*project["optional-dependencies"].values(), *PROJECT["dependency-groups"].values()]
    stated = [entry for group in groups for entry in group if isinstance(entry, str)]
    found = {name_of(entry) for entry in [*project["dependencies"], *stated]}
    return sorted(found - {"lineclear"})


def pins() -> dict[str, str]:
    """What constraints.txt pins."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    entries = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", entry) for entry in entries)
    return dict(entry.split("==") for entry in entries)


@pytest.mark.parametrize("name", requirements())
def test_every_requirement_is_pinned(name: str) -> None:
    assert name in pins()


def test_a_device_is_needed_only_for_the_gpu_extra() -> None:
    project = PROJECT["project"]
    device = {"torch", "transformers", "triton"}
    elsewhere = [*project["dependencies"], *project["optional-dependencies"]["verify"]]
    assert not device & {name_of(entry) for entry in elsewhere}
    assert device == {name_of(e) for e in project["optional-dependencies"]["gpu"]}


def test_what_a_device_needs_is_tested_on_the_cpu() -> None:
    gpu = PROJECT["project"]["optional-dependencies"]["gpu"]
    tested = PROJECT["dependency-groups"]["test"]
    assert {name_of(entry) for entry in gpu} <= {name_of(entry) for entry in tested}


def test_the_test_group_brings_all_that_the_verify_extra_brings() -> None:
    verify = PROJECT["project"]["optional-dependencies"]["verify"]
    assert set(verify) <= set(PROJECT["dependency-groups"]["test"])


def test_every_package_is_shipped_and_typed() -> None:
    packages: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    roots: list[str] = PROJECT["tool"]["pytest"]["ini_options"]["pythonpath"]
    assert [package.split("/")[0] for package in packages] == roots[: len(packages)]
    for package in packages:
        assert (ROOT / package / "py.typed").is_file()
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").split()[0:2] == ["Apache", "License"]


def test_the_changelog_begins_with_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = re.search(r"^## (\S+?),? ", changelog, re.MULTILINE)
    assert first is not None
    assert first.group(1) == lineclear.__version__


def test_examples_are_the_same_in_every_run_unless_new_ones_are_asked_for(
    pytestconfig: pytest.Config,
) -> None:
    hypothesis = pytest.importorskip("hypothesis")
    asked = os.environ.get("LINECLEAR_RANDOM", "") not in ("", "0")
    asked = asked or pytestconfig.getoption("markexpr") == "random"
    assert hypothesis.settings().derandomize is not asked
    assert hypothesis.settings().deadline is None


@pytest.mark.parametrize(
    ("passes", "sentence", "most"),
    [
        ("123", r"These are (\d+) modules and about ([\d,]+) lines", (76, 13_800)),
        ("1", r"Pass 1, (\d+) modules and (?:about )?([\d,]+) lines", (29, 4_950)),
    ],
)
def test_the_list_of_files_to_audit_has_the_size_that_it_states(
    passes: str, sentence: str, most: tuple[int, int]
) -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 100
    rows = re.findall(r"^\| (\d) \|(.*)$", text, re.MULTILINE)
    names = [n for k, row in rows if k in passes for n in re.findall(r"`([\w/]+\.py)`", row)]
    files = [ROOT / "spec/lineclear_spec" / name for name in names]
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
    stated = re.search(sentence, text)
    assert stated is not None
    assert len(files) == len(set(files)) == int(stated[1])
    assert abs(lines - int(stated[2].replace(",", ""))) <= 100
    assert len(files) <= most[0]
    assert lines <= most[1]


#: A class name that two modules have, and why both keep it.
DOUBLED = {
    "Failure": "an unstable proof; the error of `lineclear.testing`, a public name",
    "Limits": "the constants of the kernel; those of a scheduler under test, a public name",
    "Request": "the kernel's record; what a caller submits, a public name",
    "Row": "a record of a view in the prover; a row of a forward pass, a public name",
    "Table": "rows of a printed table; the block table on formulas",
}


#: A protocol has the name of what it describes.
PROTOCOLS = {"protocol.py", "record_protocols.py"}


def test_a_class_name_has_one_meaning() -> None:
    places: dict[str, list[Path]] = {}
    for package in ("spec", "reference", "gpu_backend"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if path.name in PROTOCOLS and package == "spec":
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    places.setdefault(node.name, []).append(path.relative_to(ROOT))
    doubled = {name: found for name, found in places.items() if len(found) > 1}
    assert doubled.keys() == DOUBLED.keys(), doubled


#: The packages, and where their files are.
PACKAGES = {
    "lineclear_spec": ROOT / "spec/lineclear_spec",
    "lineclear": ROOT / "reference/lineclear",
    "lineclear_gpu": ROOT / "gpu_backend/lineclear_gpu",
}


def sources() -> dict[str, str]:
    """The text of each module, by its dotted name; a package has the name of its folder."""
    found: dict[str, str] = {}
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join([package, *parts]).removesuffix(".__init__")
            found[name] = path.read_text(encoding="utf-8")
    return found


def imports(texts: dict[str, str]) -> dict[str, set[str]]:
    """What each module imports anywhere in its text: in functions and under TYPE_CHECKING too.

    Packages have no row: each imports its own modules, so that users need not name them.
    """
    packages = {name for name in texts if any(other.startswith(f"{name}.") for other in texts)}
    edges: dict[str, set[str]] = {}
    for name, text in texts.items():
        if name in packages:
            continue
        named: set[str] = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name} has a relative import"
                module = node.module or ""
                named |= {module, *[f"{module}.{alias.name}" for alias in node.names]}
            elif isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
        edges[name] = (named & texts.keys()) - packages
    return edges


def in_cycles(edges: dict[str, set[str]]) -> set[str]:
    """Modules that can be reached from themselves, or that lie between two such."""
    left = {name: set(targets) for name, targets in edges.items()}
    while True:
        named = {target for targets in left.values() for target in targets}
        keep = {name for name, targets in left.items() if targets and name in named}
        if keep == left.keys():
            return keep
        left = {name: left[name] & keep for name in keep}


def test_no_module_imports_itself_through_others() -> None:
    texts = sources()
    assert len(texts) > 400
    edges = imports(texts)
    assert sum(map(len, edges.values())) > 1500
    assert not in_cycles(edges)


@pytest.mark.parametrize(
    "planted",
    [
        "from lineclear.checks.walks import walks",
        "import lineclear.checks.walks",
        "from lineclear.checks import walks",
        "def late():\n    from lineclear.checks.walks import walks",
        "if TYPE_CHECKING:\n    from lineclear.checks.walks import walks",
    ],
)
def test_a_planted_cycle_is_seen(planted: str) -> None:
    texts = sources()
    texts["lineclear.checks.behaviours"] += f"\n{planted}\n"
    assert in_cycles(imports(texts)) == {"lineclear.checks.behaviours", "lineclear.checks.walks"}


def test_tests_of_the_specification_lie_in_its_rooms() -> None:
    rooms = {path.parent.name for path in (ROOT / "spec/lineclear_spec").glob("*/__init__.py")}
    tests = [path.relative_to(ROOT / "tests/spec") for path in (ROOT / "tests/spec").rglob("*.py")]
    assert {path.parent.name for path in tests} - rooms == {""}
    assert {path.stem for path in tests if not path.parent.name} == {"test_parallel"}


def parameters_of(node: ast.FunctionDef) -> list[str]:
    """The names of its parameters, self and cls aside."""
    given = node.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    names = [parameter.arg for parameter in every if parameter is not None]
    return [name for name in names if name not in ("self", "cls")]


def functions(
    tree: ast.AST, holder: ast.ClassDef | None = None
) -> list[tuple[str, str, ast.FunctionDef]]:
    """Public functions and methods, constructors too, but no nested ones: name, docstring, node.

    The docstring of a constructor is that of its class, and its own.
    """
    found: list[tuple[str, str, ast.FunctionDef]] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            text = ast.get_docstring(node) or ""
            if node.name == "__init__" and holder is not None:
                # A dataclass that makes its own constructor describes its fields alone.
                text += (ast.get_docstring(holder) or "").replace("Attributes:", "Args:")
            elif node.name.startswith("_"):
                continue
            found.append((f"{holder.name}.{node.name}" if holder else node.name, text, node))
        elif isinstance(node, ast.ClassDef):
            found += [] if node.name.startswith("_") else functions(node, node)
        elif isinstance(node, ast.If | ast.Try):
            found += functions(node, holder)
    return found


def undescribed(texts: dict[str, str]) -> list[str]:
    """Functions with four or more parameters whose docstring has no Args section, and sections that name
    other parameters.

    A method may refer to the one that it implements, "See `Class.method`". A postcondition in postconditions/ has the
    arguments of its action.
    """
    found: list[str] = []
    for module, text in texts.items():
        for name, docstring, node in functions(ast.parse(text)):
            names = parameters_of(node)
            postcondition = (
                module.startswith("lineclear_spec.postconditions.") and node.decorator_list
            )
            if len(names) < 4 or postcondition or docstring.startswith("See `"):
                continue
            section = docstring.partition("Args:\n")[2].partition("\n\n")[0]
            lacking = [p for p in names if not re.search(rf"\b{p}\b", section)]
            if lacking:
                found.append(f"{module}.{name}: {', '.join(lacking)}")
    return found


def test_functions_with_four_parameters_describe_each() -> None:
    assert undescribed(sources()) == []


def test_a_planted_function_without_args_is_seen() -> None:
    planted = 'def call(a, b, *, c, **d):\n    """Does it."""\n'
    assert undescribed({"lineclear.planted": planted}) == ["lineclear.planted.call: a, b, c, d"]
    described = (
        'def call(a, b, *, c, **d):\n    """Does it.\n\n    Args:\n        a, b, c: it.\n    """\n'
    )
    assert undescribed({"lineclear.planted": described}) == ["lineclear.planted.call: d"]
    three = "class Made:\n    def call(self, a, b, c): ...\n"
    assert undescribed({"lineclear.planted": three}) == []
