"""The page as text: complete, offline, and safe against what users write."""

import hashlib
import json
import re
import tomllib
from html.parser import HTMLParser
from importlib.resources import files
from math import cos, log, sin
from pathlib import Path

import pytest

from chainrule.explaining.player import page
from tests.explaining.player import textbook

ROOT = Path(__file__).parents[3]
WEB = ROOT / "web"
NAMESPACES = {
    "http://www.w3.org/2000/svg",
    "http://www.w3.org/1999/xhtml",
    "http://www.w3.org/1998/Math/MathML",
}


class Elements(HTMLParser):
    """What a page consists of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.inside = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts[-1] += data


def sources():
    """The digest of what the bundle is built from, as `web/build.mjs` takes it."""
    names = ["build.mjs", "package.json", "package-lock.json", "tsconfig.json"]
    names += [f"src/{path.name}" for path in (WEB / "src").iterdir()]
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{name}\0".encode() + (WEB / name).read_bytes() + b"\0")
    return digest.hexdigest()


@pytest.mark.parametrize("name", ["player.js", "player.css"])
def test_the_bundle_was_built_from_these_sources(name):
    first = (files("chainrule.explaining.player") / name).read_text(encoding="utf-8").split("\n")[0]
    assert sources() in first, "web/ has changed: run `make player`"


def test_licences_of_what_is_inlined_are_in_the_page():
    text = page(textbook.model())
    for name, version in json.loads((WEB / "package.json").read_text())["dependencies"].items():
        assert f"Contains {name} {version}" in text
    assert "Permission is hereby granted" in text


def test_the_lock_file_names_no_address():
    assert "resolved" not in (WEB / "package-lock.json").read_text()


def test_the_bundle_is_in_the_package():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert wheel["targets"]["wheel"]["packages"] == ["src/chainrule"]
    assert (ROOT / "src/chainrule/explaining/player/player.js").exists()


def test_nothing_is_fetched():
    text = page(textbook.model())
    assert set(re.findall(r"https?://[^\s\"'`<>)]+", text)) <= NAMESPACES
    elements = Elements(text).tags
    assert not [tag for tag, _ in elements if tag in ("link", "img", "iframe", "object", "embed")]
    assert not [attrs for _, attrs in elements if {"src", "href", "xlink:href"} & set(attrs)]
    assert "default-src 'none'" in text
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|WebSocket|import\(", text)


def test_the_textbook_page_is_small():
    assert len(page(textbook.model()).encode()) < 120_000


HOSTILE = "</script><script>alert(1)</script><!--<script>&amp;\u2028'\"<img src=x onerror=alert(2)>"


def hostile(value):
    """The model with hostile text in every place where a user's text can be."""
    if isinstance(value, dict):
        keep = {"key", "node", "id", "to", "uses", "pictures"}
        return {k: v if k in keep else hostile(v) for k, v in value.items()}
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return HOSTILE if isinstance(value, str) else value


def test_text_of_users_stays_text():
    plain, attacked = (Elements(page(m)) for m in (textbook.model(), hostile(textbook.model())))
    assert [tag for tag, _ in attacked.tags] == [tag for tag, _ in plain.tags]
    assert len(attacked.scripts) == 3
    data = json.loads(attacked.scripts[1])
    assert data["title"] == HOSTILE
    assert data["phases"][0]["steps"][0]["value"] == HOSTILE


def test_a_page_can_always_be_saved():
    model = textbook.model() | {"title": "a lone surrogate \ud800 and a null \0"}
    assert "a lone surrogate ?" in page(model).encode("utf-8").decode("utf-8")


def test_an_xml_declaration_is_left_out():
    model = textbook.model()
    declared = '<?xml version="1.0"?>\n<!DOCTYPE svg>\n' + model["pictures"]["forward"]
    assert page(model | {"pictures": {"forward": declared}}) == page(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("title"), "the model lacks 'title'"),
        (lambda m: m.update(phases=[]), "no phases: there is nothing to step through"),
        (lambda m: m["phases"][0].pop("columns"), "a phase lacks 'columns'"),
        (lambda m: m["phases"][0].update(columns=["a"]), "phase 'forward' has 1 columns"),
        (lambda m: m["phases"][0].update(steps=[]), "phase 'forward' has no steps"),
        (
            lambda m: m["phases"][0].update(steps=[{"fold": True, "text": "×11"}]),
            "phase 'forward' has no steps",
        ),
        (lambda m: m["nodes"].pop(), "phase 'forward', step 7: 'n7' is not among the nodes"),
        (lambda m: m["nodes"][0].pop("name"), "a node lacks 'name'"),
        (
            lambda m: m["phases"][0].update(
                steps=[*textbook.FORWARD, {"fold": True, "text": "", "covers": [{"node": "n1"}]}]
            ),
            "phase 'forward', a fold lacks 'name', 'value'",
        ),
        (
            lambda m: m["phases"].append(m["phases"][0]),
            "two phases have the key 'forward'",
        ),
        (lambda m: m.update(pictures={"forward": "<p>"}), "picture 'forward' is not SVG"),
    ],
)
def test_a_model_with_a_hole_is_told(change, message):
    model = textbook.model()
    change(model)
    with pytest.raises(ValueError, match=message):
        page(model)


def test_a_step_with_a_hole_is_told():
    model = textbook.model()
    model["phases"][0] = model["phases"][0] | {"steps": [{"node": "n1", "name": "v₁"}]}
    with pytest.raises(ValueError, match="phase 'forward', step 1 lacks 'formula', 'numbers'"):
        page(model)


def value_of(text):
    return float(text.replace("−", "-"))


def test_the_fixture_says_the_truth():
    """The sample's numbers against the functions themselves, so that a test of the page is one of
    the right numbers."""
    x1, x2 = 2.0, 5.0
    primal = [x1, x2, log(x1), x1 * x2, sin(x2), log(x1) + x1 * x2, log(x1) + x1 * x2 - sin(x2)]
    by_x1 = [1, 0, 1 / x1, x2, 0, 1 / x1 + x2, 1 / x1 + x2]
    by_x2 = [0, 1, 0, x1, cos(x2), x1, x1 - cos(x2)]
    adjoint = [1, 1, -1, 1, 1, x1 - cos(x2), 1 / x1 + x2]
    expected = [primal, by_x1, by_x2, adjoint]
    for phase, numbers in zip(textbook.model()["phases"], expected, strict=True):
        shown = [value_of(step["value"]) for step in phase["steps"]]
        assert shown == pytest.approx(numbers, abs=5e-4)
    for step in textbook.reverse():
        for entry in step["node_to_grad"]:
            parts = sum(map(value_of, entry["parts"]))
            assert parts == pytest.approx(value_of(entry["sum"]), abs=5e-4)
