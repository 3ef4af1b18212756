"""SVG: well formed, complete, self-contained, in both themes."""

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest

from chainrule.explaining.picture import Picture, PictureEdge, PictureNode, svg
from chainrule.explaining.picture.theme import COLOURS
from tests.explaining.picture.samples import random_picture, textbook

pytest.importorskip("igraph")

NS = "{http://www.w3.org/2000/svg}"
NASTY = '<b a="1">&amp; \' ]]> --> \x00\x1b \ud800 梯度 \u202e'


def parsed(picture, **options):
    return ET.fromstring(svg(picture, **options))


def nodes_of(root):
    return {g.get("data-node"): g for g in root.iter(f"{NS}g") if g.get("data-node")}


@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
@pytest.mark.parametrize("seed", range(4))
def test_every_node_and_edge_is_there(seed, theme):
    picture = random_picture(seed)
    root = parsed(picture, theme=theme)
    nodes = nodes_of(root)
    assert list(nodes) == [node.id for node in picture.nodes]
    for node in picture.nodes:
        group = nodes[node.id]
        assert group.get("id") == node.id
        assert group.get("class").split()[:2] == ["node", node.kind]
        assert node.title in group.find(f"{NS}title").text
    edges = [g for g in root.iter(f"{NS}g") if g.get("data-from")]
    assert [(g.get("data-from"), g.get("data-to")) for g in edges] == [
        (edge.source, edge.target) for edge in picture.edges
    ]


def test_what_the_step_player_relies_on():
    root = parsed(textbook())
    assert root.get("role") == "img"
    assert root.get("aria-label") == "f (7 nodes, 8 edges)"
    v1 = nodes_of(root)["v1"]
    assert v1.get("class") == "node input saved"
    value = next(t for t in v1.iter(f"{NS}text") if t.get("data-line") == "value")
    assert value.text == "0.693"


def test_texts_of_all_kinds_survive():
    node = PictureNode("a", NASTY, [("value", NASTY), (NASTY, "1")], group=(NASTY,))
    picture = Picture(
        [node, PictureNode("b b", "y")],
        [PictureEdge("a", "b b", NASTY, NASTY)],
        title=NASTY,
        note=NASTY,
    )
    root = parsed(picture)
    title = nodes_of(root)["a"].find(f"{NS}title").text
    assert '<b a="1">&amp; \' ]]> --> ' in title
    assert "梯度" in title
    assert not list(root.iter(f"{NS}b"))


def test_it_needs_nothing_from_outside():
    text = svg(textbook()).replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "http" not in text
    assert "url(" not in text
    assert "<script" not in text


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_plain_colours_stand_where_custom_properties_are_not_known(theme):
    root = parsed(textbook(), theme=theme)
    dark = theme == "dark"
    back = next(r for r in root.iter(f"{NS}rect") if r.get("class") == "background")
    assert back.get("fill") == COLOURS["background"][dark]
    for box in (r for r in root.iter(f"{NS}rect") if r.get("class") == "box"):
        assert box.get("fill") in {pair[dark] for pair in COLOURS.values()}
    for text in root.iter(f"{NS}text"):
        assert text.get("fill") in {COLOURS[name][dark] for name in ("ink", "muted")}


def luminance(colour):
    """Relative luminance, WCAG 2.1."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True])
def test_texts_can_be_read_on_their_surfaces(dark):
    def contrast(a, b):
        high, low = sorted((luminance(COLOURS[a][dark]), luminance(COLOURS[b][dark])))[::-1]
        return (high + 0.05) / (low + 0.05)

    surfaces = ("background", "frame", "op", "input", "constant", "output", "adjoint", "tangent")
    for surface in surfaces:
        assert contrast("ink", surface) >= 7
        assert contrast("muted", surface) >= 4.5
    for kind in surfaces[2:]:
        assert contrast(f"{kind}-line", "background") >= 2.8


def test_every_custom_property_is_declared():
    text = svg(textbook())
    used = set(re.findall(r"var\(--cr-([\w-]+)\)", text))
    assert used == set(COLOURS)


def test_a_legend_names_what_is_there():
    texts = {t.text for t in parsed(textbook()).iter(f"{NS}text")}
    assert {"input", "operation", "output", "kept for backward"} <= texts
    assert not {"constant", "adjoint", "tangent"} & texts
    alone = Picture([PictureNode("a", "x")], [])
    assert "operation" not in {t.text for t in parsed(alone).iter(f"{NS}text")}


def test_columns_of_numbers_keep_their_spaces():
    node = PictureNode("a", "x", [("value", "[[ 1.   20.]\n [30.    4.]]")])
    shown = [t.text for t in parsed(Picture([node], [])).iter(f"{NS}text")]
    rows = [t.replace("\u00a0", " ") for t in shown]
    assert "[[ 1.   20.]" in rows
    assert " [30.    4.]]" in rows
    assert not any("  " in t for t in shown)


def test_direction_and_theme_are_checked():
    with pytest.raises(ValueError, match="theme is one of auto, light, dark, not 'blue'"):
        svg(textbook(), theme="blue")
    with pytest.raises(ValueError, match='"down" or "right"'):
        svg(textbook(), direction="left")


def test_another_program_draws_it(tmp_path):
    program = shutil.which("rsvg-convert")
    if program is None:
        pytest.skip("rsvg-convert is not installed")
    path = tmp_path / "g.svg"
    path.write_text(svg(textbook()), encoding="utf-8")
    done = subprocess.run([program, path], capture_output=True, check=True)
    assert done.stdout[:8] == b"\x89PNG\r\n\x1a\n"
    assert not done.stderr
