"""The textbook's example, y = ln x₁ + x₁·x₂ − sin x₂ at (2, 5), as the player is given it."""

from html import escape

NODES = [
    # id, name, operation, formula, place of the box in the picture
    ("n1", "v₁", "input", "x₁", (140, 30)),
    ("n2", "v₂", "input", "x₂", (350, 30)),
    ("n3", "v₃", "ln", "ln v₁", (70, 130)),
    ("n4", "v₄", "multiply", "v₁·v₂", (230, 130)),
    ("n5", "v₅", "sin", "sin v₂", (400, 130)),
    ("n6", "v₆", "add", "v₃ + v₄", (150, 230)),
    ("n7", "v₇", "subtract", "v₆ − v₅", (275, 330)),
]
EDGES = [
    ("n1", "n3"),
    ("n1", "n4"),
    ("n2", "n4"),
    ("n2", "n5"),
    ("n3", "n6"),
    ("n4", "n6"),
    ("n6", "n7"),
    ("n5", "n7"),
]
USES = {to: [start for start, end in EDGES if end == to] for _, to in EDGES}
COLUMNS = ["", "formula", "numbers", "value"]
STYLE = """
.picture { --box: #f4f3ef; --edge: #9aa0aa; --text: #22252b }
@media (prefers-color-scheme: dark) {
  .picture { --box: #2a2e36; --edge: #767d89; --text: #e6e4df }
}
.picture .node rect { fill: var(--box); stroke: var(--edge) }
.picture .node text { fill: var(--text); text-anchor: middle; font: 15px serif }
.picture .edge path { fill: none; stroke: var(--edge); stroke-width: 1.4px }
"""


def picture(nodes=NODES, edges=EDGES):
    places = {id_: place for id_, *_, place in nodes}
    right = max(x for x, _ in places.values()) + 80
    low = max(y for _, y in places.values()) + 30
    parts = [
        f'<svg class="picture" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {right} {low}">',
        f"<style>{STYLE}</style>",
    ]
    for start, end in edges:
        (x0, y0), (x1, y1) = places[start], places[end]
        path = f"M{x0} {y0 + 17}C{x0} {y0 + 60} {x1} {y1 - 60} {x1} {y1 - 17}"
        parts.append(f'<g class="edge" data-from="{start}" data-to="{end}"><path d="{path}"/></g>')
    for id_, name, _, formula, (x, y) in nodes:
        title = escape(f"{name} = {formula}")
        parts.append(
            f'<g class="node op" id="{id_}" data-node="{id_}"><title>{title}</title>'
            f'<rect x="{x - 62}" y="{y - 17}" width="124" height="34" rx="6"/>'
            f'<text x="{x}" y="{y + 5}">{title}</text></g>'
        )
    return "".join(parts) + "</svg>"


def step(node, name, formula, numbers, value, uses=(), says="", **more):
    row = {"node": node, "name": name, "formula": formula, "numbers": numbers, "value": value}
    return {**row, "uses": list(uses), "says": says, **more}


def forward(node, name, formula, numbers, value, says):
    return step(node, name, formula, numbers, value, USES.get(node, ()), says)


FORWARD = [
    forward("n1", "v₁", "x₁", "", "2", "The input x₁."),
    forward("n2", "v₂", "x₂", "", "5", "The input x₂."),
    forward("n3", "v₃", "ln v₁", "ln 2", "0.693", "The natural logarithm of v₁."),
    forward("n4", "v₄", "v₁·v₂", "2·5", "10", "The product of v₁ and v₂."),
    forward("n5", "v₅", "sin v₂", "sin 5", "−0.959", "The sine of v₂."),
    forward("n6", "v₆", "v₃ + v₄", "0.693 + 10", "10.693", "The sum of v₃ and v₄."),
    forward("n7", "v₇", "v₆ − v₅", "10.693 − (−0.959)", "11.652", "The difference: this is y."),
]

TANGENT_RULES = ["", "", "v̇₁/v₁", "v̇₁·v₂ + v̇₂·v₁", "v̇₂·cos v₂", "v̇₃ + v̇₄", "v̇₆ − v̇₅"]
TANGENTS = {
    "x₁": [
        ("1", "1"),
        ("0", "0"),
        ("1/2", "0.5"),
        ("1·5 + 0·2", "5"),
        ("0·0.284", "0"),
        ("0.5 + 5", "5.5"),
        ("5.5 − 0", "5.5"),
    ],
    "x₂": [
        ("0", "0"),
        ("1", "1"),
        ("0/2", "0"),
        ("0·5 + 1·2", "2"),
        ("1·0.284", "0.284"),
        ("0 + 2", "2"),
        ("2 − 0.284", "1.716"),
    ],
}


def tangents(along):
    rows = []
    for (id_, name, *_), rule, (numbers, value) in zip(
        NODES, TANGENT_RULES, TANGENTS[along], strict=True
    ):
        says = f"How fast {name} grows with {along}."
        rows.append(
            step(id_, name.replace("v", "v̇"), rule, numbers, value, USES.get(id_, ()), says)
        )
    return rows


# The steps back: node, formula, numbers, value, what uses the node, what is sent to its arguments.
BACK = [
    ("n7", "∂y/∂v₇", "", "1", [], [("n6", "v̄₇", "1"), ("n5", "−v̄₇", "−1")]),
    ("n6", "v̄₇", "1", "1", ["n7"], [("n3", "v̄₆", "1"), ("n4", "v̄₆", "1")]),
    ("n5", "−v̄₇", "−1", "−1", ["n7"], [("n2", "v̄₅·cos v₂", "−0.284")]),
    ("n4", "v̄₆", "1", "1", ["n6"], [("n1", "v̄₄·v₂", "5"), ("n2", "v̄₄·v₁", "2")]),
    ("n3", "v̄₆", "1", "1", ["n6"], [("n1", "v̄₃/v₁", "0.5")]),
    ("n2", "v̄₄·v₁ + v̄₅·cos v₂", "1·2 + (−1)·0.284", "1.716", ["n4", "n5"], []),
    ("n1", "v̄₃/v₁ + v̄₄·v₂", "1/2 + 1·5", "5.5", ["n3", "n4"], []),
]
SUMS = {  # node_to_grad of a node by the number of partial adjoints that have arrived
    "n7": ["1"],
    "n6": ["1"],
    "n5": ["−1"],
    "n4": ["1"],
    "n3": ["1"],
    "n2": ["−0.284", "1.716"],
    "n1": ["5", "5.5"],
}


def reverse():
    names = {id_: name for id_, name, *_ in NODES}
    parts = {"n7": ["1"]}
    rows = []
    for node, formula, numbers, value, uses, sends in BACK:
        for to, _, sent in sends:
            parts.setdefault(to, []).append(sent)
        ledger = [
            {"node": id_, "name": names[id_], "parts": list(got), "sum": SUMS[id_][len(got) - 1]}
            for id_, got in parts.items()
        ]
        rows.append(
            step(
                node,
                names[node].replace("v", "v̄"),
                formula,
                numbers,
                value,
                uses,
                f"How much y changes with {names[node]}.",
                sends=[{"to": to, "text": text, "value": sent} for to, text, sent in sends],
                node_to_grad=ledger,
            )
        )
    return rows


def model():
    return {
        "title": "ln x₁ + x₁·x₂ − sin x₂",
        "subtitle": "at x₁ = 2, x₂ = 5",
        "pictures": {"forward": picture()},
        "nodes": [
            {
                "id": id_,
                "name": name,
                "op": op,
                "formula": formula,
                "shape": "",
                "line": "demo.py:3",
            }
            for id_, name, op, formula, _ in NODES
        ],
        "phases": [
            {
                "key": "forward",
                "title": "Forward",
                "about": "Each variable from the ones before it.",
                "columns": COLUMNS,
                "steps": FORWARD,
            },
            *(
                {
                    "key": f"tangent:{along.replace('₁', '1').replace('₂', '2')}",
                    "title": f"Tangents along {along}",
                    "about": f"The derivative of each variable with respect to {along}.",
                    "columns": ["", "formula", "numbers", "tangent"],
                    "steps": tangents(along),
                }
                for along in TANGENTS
            ),
            {
                "key": "reverse",
                "title": "Reverse",
                "about": "The derivative of y with respect to each variable, from the end back.",
                "columns": ["", "formula", "numbers", "adjoint"],
                "steps": reverse(),
            },
        ],
        "result": [{"name": "∂y/∂x₁", "value": "5.5"}, {"name": "∂y/∂x₂", "value": "1.716"}],
    }
