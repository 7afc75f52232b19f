"""The diagrams say what the lifecycle and the table say, in every format."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from lineclear_spec.actions import ACTIONS
from lineclear_spec.kernel.lifecycle import EVENTS, Phase, RequestLifecycle
from lineclear_spec.report.diagram import (
    FORMATS,
    GENERATED,
    actions_diagram,
    lifecycle_diagram,
    matrix_diagram,
)
from lineclear_spec.report.drawing import Drawing, text_width
from lineclear_spec.report.table import Table

EDGES = {
    (source.name, target.name, event)
    for event, (sources, target) in EVENTS.items()
    for source in sources
}
CELLS = {"admit": {"queue": "x", "budget": "."}, "finish": {"queue": "x"}}


def all_diagrams(form: str) -> list[str]:
    return [
        lifecycle_diagram(form),
        actions_diagram(form, ACTIONS.values()),
        matrix_diagram(form, CELLS, ("queue", "budget"), "x proved"),
    ]


def mermaid_edges(text: str) -> set[tuple[str, str, str]]:
    return set(re.findall(r"^ +(\w+) --> (\w+) ?: (\w+)", text, re.MULTILINE))


def test_mermaid_has_exactly_the_edges_of_the_lifecycle() -> None:
    assert mermaid_edges(lifecycle_diagram("mermaid")) == EDGES


def test_mermaid_agrees_with_the_library_that_runs_the_machine() -> None:
    theirs = re.findall(r"^ +(\w+) --> (\w+) ?: (.+)", f"{RequestLifecycle:mermaid}", re.MULTILINE)
    events = {(a.upper(), b.upper(), e.strip().lower().replace(" ", "_")) for a, b, e in theirs}
    assert events == mermaid_edges(lifecycle_diagram("mermaid"))


def test_dot_has_exactly_the_edges_of_the_lifecycle() -> None:
    found = re.findall(r'(\w+) -> (\w+) \[label="([^"]*)"\]', lifecycle_diagram("dot"))
    assert {(a, b, event) for a, b, names in found for event in names.split("\\n")} == EDGES


def test_markdown_has_one_row_for_each_event() -> None:
    rows = re.findall(r"^\| (\w+) +\| ([A-Z, ]+?) +\| (\w+) +\|$", lifecycle_diagram("md"), re.M)
    assert {(a, target, event) for event, s, target in rows for a in s.split(", ")} == EDGES


def test_json_is_the_lifecycle() -> None:
    content = json.loads(lifecycle_diagram("json"))
    assert content["phases"] == [phase.name for phase in Phase]
    found = {(a, row["to"], row["event"]) for row in content["events"] for a in row["from"]}
    assert found == EDGES


def test_svg_names_every_phase_and_event_inside_the_page() -> None:
    root = ElementTree.fromstring(lifecycle_diagram("svg").split("\n", 1)[1])
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    space = "{http://www.w3.org/2000/svg}"
    texts = list(root.iter(f"{space}text"))
    labels = [text.text for text in texts]
    assert {phase.name for phase in Phase} <= set(labels)
    assert sorted(x for x in labels if x and x.islower()) == sorted(event for *_, event in EDGES)
    for text in texts:
        x, half = float(text.attrib["x"]), text_width(text.text or "") / 2
        assert half <= x <= width - half
        assert 0 < float(text.attrib["y"]) < height
    assert len(list(root.iter(f"{space}polygon"))) == len({(a, b) for a, b, _ in EDGES})


def test_svg_labels_do_not_cover_one_another() -> None:
    root = ElementTree.fromstring(lifecycle_diagram("svg").split("\n", 1)[1])
    boxes: list[tuple[float, float, float, float]] = []
    for box in root.iter("{http://www.w3.org/2000/svg}rect"):
        if box.attrib["class"] != "page":
            x, y = float(box.attrib["x"]), float(box.attrib["y"])
            w, h = float(box.attrib["width"]), float(box.attrib["height"])
            boxes.append((x, y, x + w, y + h))
    for index, (a, b, c, d) in enumerate(boxes):
        for e, f, g, h in boxes[:index]:
            assert c <= e or g <= a or d <= f or h <= b


@pytest.mark.parametrize("form", FORMATS)
def test_every_diagram_has_every_format_and_says_where_it_comes_from(form: str) -> None:
    for text in all_diagrams(form):
        assert GENERATED in text.split("\n", 2)[0] + text.split("\n", 2)[1]
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
    assert all_diagrams(form) == all_diagrams(form)


def test_an_unknown_format_is_refused() -> None:
    refused = "no format 'png'; choose one of mermaid"
    with pytest.raises(ValueError, match=refused):
        lifecycle_diagram("png")
    with pytest.raises(ValueError, match=refused):
        actions_diagram("png", ACTIONS.values())
    with pytest.raises(ValueError, match=refused):
        matrix_diagram("png", CELLS, ("queue",))


def test_action_table_has_every_action_with_its_sentence() -> None:
    text = actions_diagram("md", ACTIONS.values())
    for name, action in ACTIONS.items():
        assert re.search(rf"^\| {name} .*{re.escape(action.sentence)}", text, re.MULTILINE)


def test_action_diagram_draws_moves_as_edges_and_notes_the_rest() -> None:
    text = actions_diagram("mermaid", ACTIONS.values())
    moves = {name for name, action in ACTIONS.items() if action.event is not None}
    assert {event for *_, event in mermaid_edges(text)} == moves
    note = text.split("note right of RUNNING")[1].split("end note")[0]
    still = {name for name, action in ACTIONS.items() if action.event is None}
    assert still == {line.strip() for line in note.splitlines()} - {"", "the phase stays:"}


def test_matrix_leaves_gaps_empty() -> None:
    text = matrix_diagram("md", CELLS, ("queue", "budget"), "x proved")
    assert "| admit  | x     | .      |\n| finish | x     |        |\n\nx proved\n" in text
    assert json.loads(matrix_diagram("json", CELLS, ("queue", "budget")))["rows"] == [
        {"action": "admit", "queue": "x", "budget": "."},
        {"action": "finish", "queue": "x", "budget": ""},
    ]


def test_text_that_means_something_to_a_format_is_escaped() -> None:
    table = Table('a "b" & c', ("x",), (('a | "b" <c> & #d',),), 'say "so" & <go>')
    assert '| a \\| "b" <c> & #d |' in table.markdown()
    assert "a | #quot;b#quot; <c> & #35;d" in table.mermaid()
    assert "a | &quot;b&quot; &lt;c&gt; &amp; #d" in table.dot()
    assert 'label="say \\"so\\" & <go>"' in table.dot()
    texts = [t.text for t in ElementTree.fromstring(table.svg()).iter() if t.tag.endswith("text")]
    assert texts == ["x", 'a | "b" <c> & #d', 'say "so" & <go>']


def test_a_row_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"row \('a',\) has 2 cells under 1 columns"):
        Table("t", ("x",), (("a", "b"),))


def test_a_picture_is_legible_on_light_and_dark_pages() -> None:
    style = Drawing("empty", 10, 10).document()
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    for name in (".page", ".box", ".last", ".arrow", ".head", ".plate", "text"):
        assert f"{name} {{" in light
        assert f"{name} {{" in dark
