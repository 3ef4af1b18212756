"""What the step player shows, as plain data; and the picture of an explanation.

`web/README.md` says what the page makes of each field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chainrule.core.node import Node
from chainrule.explaining.fold import Repeat
from chainrule.explaining.naming import derivative, variable
from chainrule.explaining.picture.drawing import Drawing
from chainrule.explaining.picture.from_graph import kinds_of, saved_by
from chainrule.explaining.picture.from_graph import picture_of as known_picture
from chainrule.explaining.picture.model import Picture, PictureEdge, PictureNode
from chainrule.explaining.traces import Row, Trace
from chainrule.graph.numerals import numeral
from chainrule.transforms.tracing import INPUT

if TYPE_CHECKING:
    from chainrule.explaining.explanation import Explanation

FEW_NODES = 60  # of graphs whose extension by adjoints is drawn as well
ABOUT = {
    "forward": "Every value in the order in which it is computed.",
    "tangent": "How fast every value changes with {along}, carried along with the values.",
    "reverse": (
        "How fast the result changes with every value, from the last to the first. node_to_grad "
        "collects what each use of a value contributes; the sum is its adjoint."
    ),
}


def model_of(explanation: Explanation, mode: str = "all") -> dict[str, Any]:
    """The model of an explanation, for `chainrule.explaining.player.page`."""
    e = explanation
    names = e.names("unicode")
    nodes = []
    for row in e.forward.rows:
        shape = row.of.shape
        nodes.append({
            "id": node_id(e, row.of), "name": names[row.of],
            "op": "input" if row.of.prim is INPUT else row.of.prim.name,
            "formula": e.formula(row), "line": e.place(row.of),
            "shape": "×".join(map(str, shape)) if shape else "",
        })  # fmt: skip
    pictures = {"forward": drawing_of(e, bare=True).svg}
    extended = _extended(e)
    if extended is not None:
        pictures["reverse"] = Drawing(extended[0]).svg
    return {
        "title": e.what,
        "subtitle": e.title.removeprefix(e.what).strip(),
        "pictures": pictures,
        "nodes": nodes,
        "phases": [
            _phase(e, t, names, {} if extended is None else extended[1])
            for t in e.traces(mode)
            if t.rows
        ],
        "result": [
            {
                "name": derivative(e.y, variable(name)),
                "value": "0" if value is None else numeral(value, e.digits),
            }
            for name, value in e.gradients.items()
        ],
    }


def node_id(explanation: Explanation, node: Node) -> str:
    """The id of a node in pictures and data."""
    return f"n{explanation.index[node]}"


def _extended(e: Explanation) -> tuple[Picture, dict[Node, str]] | None:
    """The graph extended by its adjoints, as a picture, and the adjoint of each node in it.

    None for large graphs: their extension is for `draw`.
    """
    if len(e.graph.nodes) > FEW_NODES:
        return None
    walk = e.graph.backpropagate(wrt=list(e.wrt))
    graph = walk.graph
    ids = {n: node_id(e, n) if n in e.index else f"a{i}" for i, n in enumerate(graph.nodes)}
    plain = known_picture(graph)
    renamed = {f"n{i}": ids[n] for i, n in enumerate(graph.nodes)}
    nodes = [replace(n, id=renamed[n.id], lines=()) for n in plain.nodes]
    edges = [replace(x, source=renamed[x.source], target=renamed[x.target]) for x in plain.edges]
    by_name = {name: n for n, name in graph.names.items()}
    place = {
        row.of: ids[by_name[walk.adjoints[e.graph.names[row.of]]]]
        for row in e.reverse.rows if walk.adjoints.get(e.graph.names[row.of]) in by_name
    }  # fmt: skip
    return Picture(nodes, edges), place


def _phase(
    e: Explanation, trace: Trace, names: Mapping[Node, str], extended: Mapping[Node, str]
) -> dict[str, Any]:
    along = "" if trace.along is None else variable(trace.along.params["name"])  # type: ignore[index]
    key = trace.kind
    if trace.along is not None:
        key = f"tangent:{trace.along.params['name']}"  # type: ignore[index]
    ledger = _Ledger(e, trace) if trace.kind == "reverse" else None
    steps: list[dict[str, Any]] = []
    shown = iter(e.shown(trace))
    for item in shown:
        if isinstance(item, Repeat):
            folded = trace.rows[item.start : item.start + item.length * item.rounds]
            if ledger is not None:
                for row in folded:
                    ledger.take(row)
            covers = [
                {"node": node_id(e, r.of), "name": names[r.target], "value": e.number(r.target)}
                for r in folded
            ]
            steps.append({"fold": True, "text": e.fold_text(trace, item), "covers": covers})
            continue
        row = trace.rows[item]
        steps.append(_step(e, row, names, ledger))
        if ledger is not None and row.of in extended:
            steps[-1]["extended"] = extended[row.of]
    return {
        "key": key, "title": e.title_of(trace), "about": ABOUT[trace.kind].format(along=along),
        "columns": ["", "formula", "numbers", "value"], "steps": steps,
    }  # fmt: skip


def _step(
    e: Explanation, row: Row, names: Mapping[Node, str], ledger: _Ledger | None
) -> dict[str, Any]:
    name, value = names[row.target], e.number(row.target)
    made: dict[str, Any] = {
        "node": node_id(e, row.of), "name": name, "formula": e.formula(row),
        "numbers": e.numbers(row),
        "value": value, "uses": _uses(e, row), "says": _sentence(e, row, names),
    }  # fmt: skip
    if ledger is not None:
        ledger.take(row)
        made["sends"] = [
            {"to": node_id(e, to), "text": e.term(t), "value": e.number(t)}
            for to, t in row.sent if to.shape is not None
        ]  # fmt: skip
        made["node_to_grad"] = ledger.entries(row)
    return made


def _sentence(e: Explanation, row: Row, names: Mapping[Node, str]) -> str:
    """What a step does, in words."""
    name = names[row.of]
    kind = row.symbol.kind
    if kind == "value":
        return "" if row.terms else f"{name} is given."
    if kind == "tangent":
        if row.terms:
            return f"How fast {name} changes: the chain rule, from the tangents of what it uses."
        return f"{name} is an input: the direction says how fast it changes."
    users = [names[n] for n in e.graph.nodes if row.of in n.parents and n in names]
    if e.is_seed(row) or not users:
        return "The result changes with itself at rate 1."
    if len(row.terms) == 1:
        return f"{name} is used once, by {users[0]}."
    return f"{name} is used by {', '.join(users[:-1])} and {users[-1]}: what they send adds up."


def _uses(e: Explanation, row: Row) -> list[str]:
    """The nodes whose values, tangents or adjoints a row's formula speaks of."""
    of = {r.target: r.of for t in e.traces("all") for r in t.rows}
    found = {of[n] for t in row.terms for n in e.leaves(t) if n in of}
    return [node_id(e, n) for n in sorted(found, key=e.index.__getitem__)]


class _Ledger:
    """The contents of `node_to_grad` as the reverse walk goes on."""

    def __init__(self, e: Explanation, trace: Trace) -> None:
        self.e = e
        self.parts: dict[Node, list[str]] = {n: [e.number(seed)] for n, seed in trace.seeds.items()}
        self.sums: dict[Node, str] = {}

    def take(self, row: Row) -> None:
        """Note what a step has summed and sent."""
        self.sums[row.of] = self.e.number(row.target)
        for to, term in row.sent:
            if to.shape is not None:
                self.parts.setdefault(to, []).append(self.e.number(term))

    def entries(self, row: Row) -> list[dict[str, Any]]:
        """All entries after a step, in the order of the values."""
        names = self.e.names("unicode")
        return [
            {
                "node": node_id(self.e, n), "name": names[n], "parts": self.parts[n],
                "sum": self.sums.get(n, ""),
            }
            for n in sorted(self.parts, key=self.e.index.__getitem__)
        ]  # fmt: skip


def drawing_of(explanation: Explanation, bare: bool = False) -> Drawing:
    """The graph of an explanation as a picture; `bare` leaves out values and adjoints."""
    return Drawing(picture_of(explanation, bare))


def picture_of(explanation: Explanation, bare: bool = False) -> Picture:
    """The picture of an explanation, boxes named and numbered as in its tables."""
    e = explanation
    names = e.names("unicode")
    kinds = kinds_of(e.graph)
    saved = saved_by(e.graph, kinds)
    adjoints = {row.of: row.target for row in e.reverse.rows}
    outputs = set(e.graph.outputs)
    nodes, edges = [], []
    for row in e.forward.rows:
        node = row.of
        kind = "output" if node in outputs and kinds[node] == "op" else kinds[node]
        lines = []
        if not bare:
            lines.append(("value", e.number(node)))
            if node in adjoints:
                lines.append(("adjoint", e.number(adjoints[node])))
        if node.shape:
            lines.append(("shape", "×".join(map(str, node.shape))))
        op = "" if node.prim is INPUT else node.prim.name
        title = f"{names[node]} = {e.formula(row)}"
        nodes.append(
            PictureNode(node_id(e, node), title, tuple(lines), kind, node in saved, (), op)
        )
        for p in dict.fromkeys(node.parents):
            if p is not None:
                edges.append(PictureEdge(node_id(e, p), node_id(e, node)))
    return Picture(nodes, edges, "" if bare else e.title.replace(" at ", "\nat ", 1))


__all__ = ["drawing_of", "model_of", "picture_of"]
