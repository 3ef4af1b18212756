"""The colours of pictures, as CSS custom properties and as plain values."""

from __future__ import annotations

THEMES = ("auto", "light", "dark")

# What is coloured: (light, dark).  A kind of node has a surface and a line.
COLOURS = {
    "background": ("#ffffff", "#11151b"),
    "ink": ("#1b2430", "#e7ebf1"),
    "muted": ("#5a6573", "#9aa6b5"),
    "edge": ("#7d8896", "#7f8b9a"),
    "frame": ("#f6f7f9", "#171c24"),
    "frame-line": ("#cdd4dc", "#343d4a"),
    "op": ("#ffffff", "#1e2530"),
    "op-line": ("#8b96a4", "#667282"),
    "input": ("#e6f0fd", "#13283f"),
    "input-line": ("#2a6bc9", "#5fa0f2"),
    "constant": ("#f3f4f6", "#20252c"),
    "constant-line": ("#8b96a4", "#7a8594"),
    "output": ("#e3f5ea", "#11301f"),
    "output-line": ("#1d8650", "#4fc487"),
    "adjoint": ("#fdebe9", "#391b1c"),
    "adjoint-line": ("#c2433b", "#f0877d"),
    "tangent": ("#f1eafc", "#281d3c"),
    "tangent-line": ("#7449c4", "#b497f4"),
    "saved": ("#dd9a00", "#f2bc42"),
}
KINDS_OF_NODES = ("input", "constant", "op", "output", "adjoint", "tangent")
KINDS_OF_EDGES = {"adjoint": "adjoint-line", "tangent": "tangent-line", "saved": "saved"}


def colour(name: str, theme: str) -> str:
    """The plain value of a colour, for viewers without custom properties."""
    return COLOURS[name][theme == "dark"]


def _properties(dark: bool) -> str:
    scheme = "dark" if dark else "light"
    values = "".join(f"--cr-{name}:{pair[dark]};" for name, pair in COLOURS.items())
    return f"{{color-scheme:{scheme};{values}}}"


def css(theme: str) -> str:
    """The style sheet of a picture.

    `auto` follows the system, and beyond it the notebook or page that says what it shows:
    JupyterLab, VS Code, and pages with `data-theme`.
    """
    rules = []
    if theme == "auto":
        light, dark = _properties(False), _properties(True)
        inside = ".cr-picture.cr-auto"
        rules.append(f"{inside}{light}")
        rules.append(f"@media (prefers-color-scheme:dark){{{inside}{dark}}}")
        for hosts, values in (
            (('[data-jp-theme-light="true"]', "body.vscode-light", '[data-theme="light"]'), light),
            (('[data-jp-theme-light="false"]', "body.vscode-dark", '[data-theme="dark"]'), dark),
        ):
            rules.append(",".join(f"{host} {inside}" for host in hosts) + values)
    else:
        rules.append(f".cr-picture.cr-{theme}{_properties(theme == 'dark')}")
    rules += [f".cr-picture {selector}{{{body}}}" for selector, body in _PAINT]
    return "\n".join(rules)


_PAINT = [
    (".background", "fill:var(--cr-background)"),
    (".name,.heading", "fill:var(--cr-ink)"),
    (".text", "fill:var(--cr-ink)"),
    (".label,.note", "fill:var(--cr-muted)"),
    (".frame rect", "fill:var(--cr-frame);stroke:var(--cr-frame-line)"),
    (".frame-label", "fill:var(--cr-muted);stroke:var(--cr-frame);paint-order:stroke"),
    (".edge .line", "stroke:var(--cr-edge)"),
    (".edge .head", "fill:var(--cr-edge)"),
    (".edge text", "fill:var(--cr-ink);stroke:var(--cr-background);paint-order:stroke"),
    (".legend text", "fill:var(--cr-muted);stroke:none"),
    (".stripe", "fill:var(--cr-saved)"),
    *(
        (f".{kind} .box", f"fill:var(--cr-{kind});stroke:var(--cr-{kind}-line)")
        for kind in KINDS_OF_NODES
    ),
    *((f".edge.{kind} .line", f"stroke:var(--cr-{name})") for kind, name in KINDS_OF_EDGES.items()),
    *((f".edge.{kind} .head", f"fill:var(--cr-{name})") for kind, name in KINDS_OF_EDGES.items()),
]
