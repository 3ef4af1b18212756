"""Drawings: files, notebooks, DOT."""

import os
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest

from chainrule.explaining.picture import Drawing, Picture, PictureEdge, PictureNode, dot
from tests.explaining.picture.samples import chain, random_picture, textbook

pytest.importorskip("igraph")


@pytest.mark.parametrize("suffix", [".svg", ".html", ".dot", ".gv", ".SVG"])
def test_files(tmp_path, suffix):
    path = tmp_path / f"graph{suffix}"
    assert Drawing(textbook()).save(path) == path
    text = path.read_text(encoding="utf-8")
    assert text.startswith(
        {"s": "<svg", "h": "<!doctype html>", "d": "digraph", "g": "digraph"}[suffix[1].lower()]
    )
    assert os.listdir(tmp_path) == [path.name]


def test_unknown_endings_say_which_there_are(tmp_path):
    with pytest.raises(ValueError, match=r"as \.svg, \.html or \.dot, not as 'g\.png'"):
        Drawing(textbook()).save(tmp_path / "g.png")


def test_missing_folders_and_folders_in_the_way(tmp_path):
    with pytest.raises(FileNotFoundError, match="Create it first"):
        Drawing(textbook()).save(tmp_path / "no" / "g.svg")
    (tmp_path / "d.svg").mkdir()
    with pytest.raises(IsADirectoryError, match="this is a folder"):
        Drawing(textbook()).save(tmp_path / "d.svg")


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "g.svg"
    path.write_text("old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        Drawing(textbook()).save(path)
    assert caught.value.errno == 28
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["g.svg"]


def test_a_write_protected_file_stays(tmp_path, monkeypatch):
    path = tmp_path / "g.svg"
    path.write_text("old")
    monkeypatch.setattr(os, "access", lambda *args: False)
    with pytest.raises(PermissionError, match="write-protected"):
        Drawing(textbook()).save(path)
    assert path.read_text() == "old"


def test_permissions_of_a_file_that_is_replaced_stay(tmp_path):
    path = tmp_path / "g.svg"
    path.write_text("old")
    path.chmod(0o640)
    Drawing(textbook()).save(path)
    assert path.stat().st_mode & 0o777 == 0o640


def test_notebooks():
    drawing = Drawing(textbook())
    assert ET.fromstring(drawing._repr_svg_()).tag.endswith("svg")
    page = ET.fromstring(drawing._repr_html_())
    assert page.tag == "div"
    assert page[0].tag.endswith("svg")


def test_repr_is_short():
    assert repr(Drawing(chain(3000))).startswith("<drawing: 300 nodes, ")


def test_words_are_checked_at_once():
    with pytest.raises(ValueError, match="theme is one of"):
        Drawing(textbook(), theme="x")
    with pytest.raises(ValueError, match="direction is"):
        Drawing(textbook(), direction="x")


def test_dot_quotes_everything():
    nodes = [
        PictureNode('a"b', 'say "x" \\N', [("value", "1\n2")], group=('g"', "}")),
        PictureNode("}", "y", kind="output", group=('g"', "}")),
    ]
    text = dot(Picture(nodes, [PictureEdge('a"b', "}", 'l"', "saved")], 't"'), direction="right")
    assert r'"a\"b" [label="say \"x\" \\N\nvalue 1\n2"' in text
    assert r'"a\"b" -> "}" [label="l\"", color="#dd9a00", style="dashed"];' in text
    assert "rankdir=LR" in text
    with pytest.raises(ValueError, match="direction"):
        dot(Picture([], []), direction="x")


@pytest.mark.parametrize("seed", range(3))
def test_graphviz_reads_it(seed):
    program = shutil.which("dot")
    if program is None:
        pytest.skip("Graphviz is not installed")
    picture = random_picture(seed)
    done = subprocess.run(
        [program, "-Tplain"], input=dot(picture), capture_output=True, text=True, check=True
    )
    lines = [line.split(" ")[0] for line in done.stdout.splitlines()]
    assert lines.count("node") == len(picture.nodes)
    assert lines.count("edge") == len(picture.edges)
