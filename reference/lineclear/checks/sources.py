"""The source files that a stage's answer depends on.

Guarantees: every file that a module of `lineclear` may import is listed, whether the import is at
the top or inside a function; a package brings all its files, since those are also imported by
names computed at run time. An import that the text does not show brings the whole package.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGES = {"spec": "lineclear_spec", "reference": "lineclear"}
SUFFIXES = (".py", ".json", ".toml")


def folder_of(part: str) -> Path:
    """The folder of a package, by the name of its part of the tree.

    Raises:
        RuntimeError: the package has no folder.
    """
    spec = find_spec(PACKAGES[part])
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"the package {PACKAGES[part]} has no folder")
    return Path(spec.submodule_search_locations[0])


def files(top: Path) -> list[Path]:
    """Every source file below a folder, sorted."""
    return [p for p in sorted(top.rglob("*")) if p.suffix in SUFFIXES and p.is_file()]


def closure(module: str, top: Path | None = None) -> list[Path]:
    """Files of `lineclear` that a module of it may import, directly or not, itself included.

    Args:
        module: its dotted name, such as `lineclear.checks.table`.
        top: the folder of `lineclear`; where it is imported from if None.
    """
    root = folder_of("reference") if top is None else top
    found: set[Path] = set()
    waiting = [path_of(root, module.split(".")[1:])]
    while waiting:
        path = waiting.pop()
        if path is None:
            return files(root)
        if path in found:
            continue
        found.add(path)
        if path.name == "__init__.py" and path.parent != root:
            waiting += files(path.parent)
        if path.suffix == ".py":
            waiting += imported(root, path.read_bytes())
    # The enclosing packages' own files run first.
    above = {folder / "__init__.py" for path in found for folder in path.parents}
    return sorted(found | {path for path in above if root in (path.parent, *path.parent.parents)})


def path_of(root: Path, parts: list[str]) -> Path | None:
    """The file of a module, from its name below the package."""
    plain = root.joinpath(*parts)
    for path in (plain.with_suffix(".py") if parts else plain, plain / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def names(text: bytes) -> tuple[tuple[str, str], ...]:
    """(module, name) of each import in a source text; name is "" for `import module`."""
    return tuple(found(ast.parse(text)))


def found(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Imports anywhere in the tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "lineclear." if node.level else node.module or ""
            yield from ((module, alias.name) for alias in node.names)


def imported(root: Path, text: bytes) -> list[Path | None]:
    """Files that a source text imports; None stands for the whole package."""
    paths: list[Path | None] = []
    for module, name in names(text):
        first, *parts = module.split(".")
        if first != "lineclear":
            continue
        below = path_of(root, [*parts, name]) if name else None
        if below is not None:
            paths.append(below)  # a module of its own
        elif parts or not name or name.startswith("__"):
            paths.append(path_of(root, parts))
        else:
            paths.append(None)  # a name that the package resolves lazily
    return paths
