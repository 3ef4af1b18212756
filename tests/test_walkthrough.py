"""The pages that the library writes parts of: examples, tables and pictures are what they were."""

import importlib.util
import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from chainrule.cli import main

DOCS = Path(__file__).resolve().parents[1] / "docs"
spec = importlib.util.spec_from_file_location("make_pictures", DOCS / "make_pictures.py")
make_pictures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_pictures)
ENGLISH, CHINESE, REFERENCE = (DOCS / name for name in make_pictures.PAGES)
MARKERS = re.compile(r"<!-- (?:insert|picture): .*? -->")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module", params=make_pictures.PAGES)
def page(request):
    pytest.importorskip("sympy")
    pytest.importorskip("matplotlib")
    pytest.importorskip("igraph")
    path = DOCS / request.param
    return path, make_pictures.make(path)


def test_tables_are_what_the_library_makes(page):
    path, made = page
    assert path.read_text(encoding="utf-8") == made.text, "run: python docs/make_pictures.py"


def test_pictures_are_what_the_library_makes(page):
    path, made = page
    assert made.pictures
    for name, content in made.pictures.items():
        stored = (DOCS / name).read_text(encoding="utf-8")
        assert structure(stored) == structure(content), f"{name}: python docs/make_pictures.py"
        assert f"]({name})" in path.read_text(encoding="utf-8")


def structure(svg):
    """Nodes, edges and texts of a picture: what does not depend on fonts and on the platform."""
    root = ET.fromstring(svg)
    groups = [g.attrib for g in root.iter(f"{SVG}g")]
    nodes = sorted((g["data-node"], g["class"]) for g in groups if "data-node" in g)
    edges = sorted((g["data-from"], g["data-to"], g["class"]) for g in groups if "data-from" in g)
    texts = sorted("".join(t.itertext()).strip() for t in root.iter(f"{SVG}text"))
    return nodes, edges, texts


def test_no_picture_is_left_over():
    named = {n for p in (ENGLISH, CHINESE, REFERENCE) for n in re.findall(r"\]\((pictures/.+?)\)",
             p.read_text(encoding="utf-8"))}  # fmt: skip
    assert named == {f"pictures/{p.name}" for p in (DOCS / "pictures").iterdir()}


def test_both_languages_have_the_same_code_and_formulas():
    english, chinese = (p.read_text(encoding="utf-8") for p in (ENGLISH, CHINESE))
    assert re.findall(r"```.*?```", english, re.S) == re.findall(r"```.*?```", chinese, re.S)
    assert MARKERS.findall(english) == MARKERS.findall(chinese)
    assert len(re.findall(r"^#", english, re.M)) == len(re.findall(r"^#", chinese, re.M))
    displayed = [re.findall(r"\$\$.*?\$\$", text, re.S) for text in (english, chinese)]
    for a, b in zip(*displayed, strict=True):
        assert without_words(a) == without_words(b)


def without_words(formula):
    formula = re.sub(r"\\qquad\\text\{.*?\}\\qquad|\\text\{.*?\}", "", formula)
    return re.sub(r"\s|,|\\qquad", "", formula)


def test_the_chinese_page_has_no_english_left_in_tables():
    made = re.findall(r"<!-- insert: .*?-->(.*?)<!-- end -->", CHINESE.read_text("utf-8"), re.S)
    known = {
        "log",
        "sin",
        "cos",
        "ln",
        "exp",
        "rosenbrock",
        "product",
        "map",
        "logistic",
        "n",
        "f",
        "x",
        "y",
        "v",
        "B",
    }
    for table in made:
        assert set(re.findall(r"[A-Za-z]+", table)) <= known


def test_links_between_pages():
    for path in (ENGLISH, CHINESE, REFERENCE):
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (DOCS / target).exists(), f"{path.name}: {target}"


def commands():
    for block in re.findall(r"```console\n(.*?)```", REFERENCE.read_text("utf-8"), re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            yield pytest.param(shlex.split(command)[1:], output, id=command)


@pytest.mark.parametrize(("words", "output"), list(commands()))
def test_commands(words, output, capsys):
    pytest.importorskip("click")
    main(words)
    printed = capsys.readouterr()
    assert printed.out + printed.err == output


@pytest.mark.parametrize("path", [ENGLISH, CHINESE, REFERENCE], ids=lambda p: p.name)
def test_formulas_are_shown_by_github(path):
    # It wants white space before an opening dollar sign and no letter after a closing one, and
    # takes a backslash before punctuation for an escape, in formulas too.
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.S)
    formulas = list(re.finditer(r"\$\$[^$]+\$\$|\$[^$\n]+\$", text))
    assert len(formulas) == text.replace("$$", "$").count("$") / 2
    for found in formulas:
        before, after = text[found.start() - 1], text[found.end()]
        assert before.isspace(), found[0]
        assert not after.isalnum(), found[0]
        assert not re.search(r"\\[^A-Za-z\s]", found[0]), found[0]
