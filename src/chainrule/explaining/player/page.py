"""Assembles the step player's page: the model as data, the pictures, and the built bundle.

The bundle, `player.js` and `player.css`, is built from `web/`. Text of the model reaches the page
as text only, in the data and in the tables. Scripts run by their digest only (a content security
policy in the page says so), and the same policy keeps the page from loading anything.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from importlib.resources import files
from typing import Any

COLUMNS = 4  # of every trace: name, formula, numbers, value
FIELDS = ("name", "formula", "numbers", "value")
MARK = 'document.documentElement.classList.add("scripted")'

TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
</style>
<script>{mark}</script>
</head>
<body>
<div id="player"></div>
<article class="full">
{full}
</article>
<script type="application/json" id="model">{data}</script>
<script>
{script}
</script>
</body>
</html>
"""


def page(model: Mapping[str, Any]) -> str:
    """The step player for a model, as the text of one HTML file that needs nothing else.

    The model holds what there is to show, as text: `title`, `subtitle`, `pictures` (SVG by key,
    with `g.node[data-node]` and `g.edge[data-from][data-to]`), `nodes`, `phases` with their
    `steps`, and `result`; `web/README.md` lists all fields. Without JavaScript, and on paper, the
    page shows the pictures and all traces as tables.

    Raises:
        ValueError: the model lacks a field, has two phases with one key, a phase without steps or
            with other than four columns, a step at a node that is not listed, or a picture that is
            not SVG.

    Example:
        >>> from chainrule.explaining.player import page
        >>> step = {"node": "n1", "name": "v₁", "formula": "x", "numbers": "", "value": "2"}
        >>> columns = ["", "formula", "numbers", "value"]
        >>> phase = {"key": "forward", "title": "Forward", "columns": columns, "steps": [step]}
        >>> node = {"id": "n1", "name": "v₁"}
        >>> page({"title": "x", "nodes": [node], "phases": [phase]})[:15]
        '<!DOCTYPE html>'
    """
    check(model)
    script = f"\n{_bundle('player.js')}\n"
    data = {key: value for key, value in model.items() if key != "pictures"}
    text = TEMPLATE.format(
        policy=_policy(MARK, script),
        title=escape(model["title"]),
        style=_bundle("player.css"),
        mark=MARK,
        full="\n".join(_full(model)),
        data=_as_data(data),
        script=script.strip("\n"),
    )
    # A lone surrogate, which a Python string may hold, is no text: the page could not be saved.
    return text.encode("utf-8", "replace").decode("utf-8")


def check(model: Mapping[str, Any]) -> None:
    """Raises ValueError where the model lacks what the player needs, and says what."""
    _need(model, ("title", "nodes", "phases"), "the model")
    known = set()
    for node in model["nodes"]:
        _need(node, ("id", "name"), "a node")
        known.add(node["id"])
    if not model["phases"]:
        raise ValueError("the model has no phases: there is nothing to step through")
    keys = set()
    for phase in model["phases"]:
        _check_phase(phase, known)
        if phase["key"] in keys:
            raise ValueError(
                f"two phases have the key {phase['key']!r}; links tell them apart by it"
            )
        keys.add(phase["key"])
    for key, picture in model.get("pictures", {}).items():
        if not _bare(picture).startswith("<svg"):
            raise ValueError(f"picture {key!r} is not SVG: it starts with {picture[:20]!r}")


def _check_phase(phase: Mapping[str, Any], known: set[str]) -> None:
    _need(phase, ("key", "title", "columns", "steps"), "a phase")
    where = f"phase {phase['key']!r}"
    if len(phase["columns"]) != COLUMNS:
        raise ValueError(
            f"{where} has {len(phase['columns'])} columns; a trace has {COLUMNS}: "
            "name, formula, numbers, value"
        )
    steps = [row for row in phase["steps"] if not row.get("fold")]
    if not steps:
        raise ValueError(f"{where} has no steps: leave it out of the model")
    told: list[tuple[str, Mapping[str, Any], tuple[str, ...]]] = [
        (f"{where}, step {place}", step, FIELDS) for place, step in enumerate(steps, 1)
    ]
    for row in phase["steps"]:
        told += [(f"{where}, a fold", one, ("name", "value")) for one in row.get("covers", ())]
    for what, step, fields in told:
        _need(step, ("node", *fields), what)
        if step["node"] not in known:
            raise ValueError(f"{what}: {step['node']!r} is not among the nodes")


def _need(mapping: Mapping[str, Any], keys: tuple[str, ...], what: str) -> None:
    missing = [key for key in keys if key not in mapping]
    if missing:
        raise ValueError(f"{what} lacks {', '.join(map(repr, missing))}")


def _bundle(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8").strip()


def _policy(*scripts: str) -> str:
    """Nothing is loaded from anywhere, and only these scripts run."""
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _as_data(model: Mapping[str, Any]) -> str:
    """JSON that cannot end the script element it stands in: no `<` is left in it."""
    return json.dumps(model, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _bare(picture: str) -> str:
    """An SVG without the XML declaration and the document type, which HTML does not have."""
    return re.sub(r"\A\s*(<\?xml[^>]*>\s*)?(<!DOCTYPE[^>]*>\s*)?", "", picture)


def _full(model: Mapping[str, Any]) -> Iterator[str]:
    """All there is as plain HTML: what is read without JavaScript, and on paper."""
    yield f"<header><h1>{escape(model['title'])}</h1>"
    yield f"<p>{escape(model.get('subtitle', ''))}</p></header>"
    for key, picture in model.get("pictures", {}).items():
        yield f'<figure data-picture="{escape(key)}">{_bare(picture)}</figure>'
    for phase in model["phases"]:
        yield from _table(phase)
    for entry in model.get("result", ()):
        yield f"<p>{escape(entry['name'])} = <b>{escape(entry['value'])}</b></p>"


def _table(phase: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2>{escape(phase['title'])}</h2>"
    yield f"<p>{escape(phase.get('about', ''))}</p>"
    heads = "".join(f'<th scope="col">{escape(column)}</th>' for column in phase["columns"])
    yield f"<table><thead><tr>{heads}</tr></thead><tbody>"
    for row in phase["steps"]:
        if row.get("fold"):
            yield f'<tr><td colspan="{COLUMNS}">{escape(row["text"])}</td></tr>'
        else:
            cells = "".join(f"<td>{escape(row[field])}</td>" for field in FIELDS)
            yield f"<tr>{cells}</tr>"
    yield "</tbody></table>"
