"""The cache of `lineclear check`: what is served again, and what never is."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from refusals import printed
from staged import Counted, outcome, stage

from lineclear.checks import cache, registry, table
from lineclear.checks.stage import Context, Stage
from lineclear.cli import main


def test_a_second_run_is_served_and_says_so(
    fake: Counted, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "(cached)" not in printed(capsys, "check")
    assert "(cached)" in printed(capsys, "check")
    assert fake.runs == 1
    assert main(["check", "--no-cache"]) == 0
    assert fake.runs == 2


@pytest.mark.parametrize(("status", "code"), [("refuted", 1), ("unknown", 3), ("skipped", 3)])
def test_what_failed_is_never_served(fake: Counted, status: str, code: int) -> None:
    fake.status = status
    assert [main(["check"]), main(["check"])] == [code, code]
    assert fake.runs == 2
    assert not list(Path(".lineclear").glob("check/*.json"))


def test_a_failure_written_into_the_cache_is_not_served(fake: Counted) -> None:
    main(["check"])
    (path,) = Path(".lineclear/check").glob("*.json")
    context = Context(root=Path.cwd())
    name = cache.key(registry.STAGES[0], context)
    cache.save(registry.STAGES[0], context, name, outcome("passed"))
    content = json.loads(path.read_text())
    content["outcome"]["status"] = "refuted"
    path.write_text(json.dumps(content))
    assert cache.load(registry.STAGES[0], context, name) is None


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"key": 1}', "\x00"])
def test_a_damaged_file_is_no_file(fake: Counted, damage: str) -> None:
    main(["check"])
    (path,) = Path(".lineclear/check").glob("*.json")
    path.write_text(damage)
    assert main(["check"]) == 0
    assert fake.runs == 2
    assert main(["check"]) == 0
    assert fake.runs == 2  # the file was written again


def test_a_changed_figure_in_the_file_is_noticed(fake: Counted) -> None:
    main(["check"])
    (path,) = Path(".lineclear/check").glob("*.json")
    path.write_text(path.read_text().replace("figures", "better"))
    assert main(["check"]) == 0
    assert fake.runs == 2


def test_the_key_depends_on_all_that_matters(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = stage(Counted("passed"))
    first = cache.key(made, Context(root=tmp_path))
    assert first == cache.key(made, Context(root=tmp_path))
    keys = {
        first,
        cache.key(made, Context("fast", root=tmp_path)),
        cache.key(made, Context(config_text="depth", root=tmp_path)),
        cache.key(Stage("one", made.run, ("lineclear_spec",)), Context(root=tmp_path)),
        cache.key(Stage("one", made.run, ("lineclear",), ("z3-solver",)), Context(root=tmp_path)),
        cache.key(
            Stage("one", made.run, ("lineclear",), extra=lambda _: "page"), Context(root=tmp_path)
        ),
    }

    def another(_: str) -> str:
        return "another"

    def more(part: str) -> list[tuple[str, bytes]]:
        return [*read(part), ("new.py", b"")]

    monkeypatch.setattr(cache, "version", another)
    keys.add(cache.key(made, Context(root=tmp_path)))
    monkeypatch.undo()
    read = cache.sources
    monkeypatch.setattr(cache, "sources", more)
    keys.add(cache.key(made, Context(root=tmp_path)))
    assert len(keys) == 8


def test_every_source_file_is_in_the_key() -> None:
    names = {name for name, _ in cache.sources("lineclear_spec")}
    assert {"kernel/ledger.py", "proof/baseline.json"} <= names
    assert any(name.startswith("actions/") for name in names)
    assert "checks/cache.py" in {name for name, _ in cache.sources("lineclear")}


def test_every_stage_names_packages_with_files() -> None:
    for one in (*registry.STAGES, *registry.POLICY_STAGES):
        assert all(cache.sources(package) for package in one.sources), one.name


def test_what_the_stages_of_the_table_import_is_in_their_keys() -> None:
    """Else an answer of before a change would be served after it."""
    tree = ast.parse(Path(table.__file__).read_text())
    named = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    named |= {
        a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names
    }
    mine = {name for name in named if name.partition(".")[0] in ("lineclear", "lineclear_spec")}
    assert len(mine) > 5
    assert all(name.startswith(tuple(f"{p}." for p in registry.TABLE)) for name in mine), mine


def test_a_policy_of_ones_own_is_never_served(fake: Counted, tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    config.write_text('scheduling_policy = "lineclear.policies.fcfs:FirstComeFirstServed"\n')
    assert main(["check", "--config", str(config)]) == 0
    assert main(["check", "--config", str(config)]) == 0
    assert fake.runs == 2


def test_a_folder_that_cannot_be_written_is_no_failure(fake: Counted) -> None:
    Path(".lineclear").write_text("a file")
    assert main(["check"]) == 0
    assert main(["check"]) == 0
    assert fake.runs == 2
