"""Caches outcomes by content, so that a second run without a change does no work.

Guarantees: only passed outcomes are cached; they are used only if the sources, the solvers, Python, the mode and the
configuration are identical, byte by byte. A damaged file counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import tempfile
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from lineclear.checks.stage import Context, Outcome, Stage

FOLDER = ".lineclear"
FORMAT = "lineclear check 1"
SUFFIXES = (".py", ".json", ".toml")


def folder(root: Path) -> Path:
    """The cache folder: in the project, or in the user's cache if it cannot be written."""
    if os.access(root, os.W_OK):
        return root / FOLDER / "check"
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "lineclear" / "check"


def sources(package: str) -> list[tuple[str, bytes]]:
    """The source files of a package, by their names in it.

    Raises:
        RuntimeError: the package has no folder.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"the package {package} has no folder")
    top = Path(spec.submodule_search_locations[0])
    paths = [p for p in sorted(top.rglob("*")) if p.suffix in SUFFIXES and p.is_file()]
    return [(str(path.relative_to(top)), path.read_bytes()) for path in paths]


def version(package: str) -> str:
    """The installed version, or `absent`."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def modules_of(policy: str) -> str:
    """A digest of a policy's module and of every module beside or below it that is imported.

    Other inputs of a policy, such as a file or the time, are not included.

    Returns:
        "" for a built-in policy, or if its module has no file.
    """
    module, separator, _ = policy.partition(":")
    file = getattr(sys.modules.get(module), "__file__", None)
    if not separator or file is None:
        return ""
    top = Path(file).resolve().parent
    found = hashlib.sha256()
    for name, loaded in sorted(sys.modules.items()):
        path = getattr(loaded, "__file__", None)
        if not isinstance(path, str) or not os.path.isabs(path):
            continue  # some synthetic modules name a file that does not exist
        place = Path(path).resolve()
        if top in place.parents and place.is_file():
            found.update(name.encode() + b"\0" + place.read_bytes() + b"\0")
    return found.hexdigest()


def key(stage: Stage, context: Context) -> str:
    """A key for everything that the outcome depends on."""
    found = hashlib.sha256()

    def add(text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        found.update(len(data).to_bytes(8, "big") + data)

    for text in (FORMAT, stage.name, context.mode, context.config_text, repr(context.config)):
        add(text)
    add(context.policy)
    add(context.policy_text)
    add(f"{platform.python_implementation()} {sys.version} {platform.machine()}")
    for package in (*stage.packages, "python-statemachine"):
        add(f"{package} {version(package)}")
    add(stage.extra(context))
    for part in stage.sources:
        for name, content in sources(part):
            add(name)
            add(content)
    return found.hexdigest()


def path_of(stage: Stage, name: str, root: Path) -> Path:
    """The file of an outcome."""
    return folder(root) / f"{stage.name.replace(' ', '-')}-{name[:32]}.json"


def load(stage: Stage, context: Context, name: str) -> Outcome | None:
    """Loads the outcome of an earlier run with this key, if it passed."""
    if not stage.cacheable or context.mode not in stage.modes:
        return None
    try:
        whole = json.loads(path_of(stage, name, context.root).read_text(encoding="utf-8"))
        serialized = json.dumps(whole["outcome"], sort_keys=True)
        if (
            whole["key"] != name
            or whole["digest"] != hashlib.sha256(serialized.encode()).hexdigest()
        ):
            return None
        outcome = Outcome.from_dict(whole["outcome"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if outcome.status != "passed" or outcome.name != stage.name:
        return None
    outcome.cached = True
    return outcome


def save(stage: Stage, context: Context, name: str, outcome: Outcome) -> None:
    """Saves a passed outcome under the key taken before it ran; other outcomes are not cached.

    Args:
        stage: the stage that ran.
        context: its input.
        name: `key` of both, taken before the stage ran.
        outcome: what it found.
    """
    if not stage.cacheable or outcome.status != "passed" or outcome.cached:
        return
    path = path_of(stage, name, context.root)
    content = outcome.as_dict()
    serialized = json.dumps(content, sort_keys=True)
    whole = {
        "key": name,
        "digest": hashlib.sha256(serialized.encode()).hexdigest(),
        "outcome": content,
    }
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(whole, file)
        os.replace(temporary, path)
    except OSError:  # an unwritable cache is not an error
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
