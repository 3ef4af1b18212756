"""What the step player shows, as plain data; and the picture of an explanation.

`web/README.md` says what the page makes of each field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chainrule.core.node import Node
from chainrule.explaining.fold import Repeat
from chainrule.explaining.naming import derivative, variable
from chainrule.explaining.picture.drawing import Drawing
from chainrule.explaining.picture.from_graph import kinds_of, saved_by
from chainrule.explaining.picture.model import Picture, PictureEdge, PictureNode
from chainrule.explaining.traces import Row, Trace
from chainrule.graph.numerals import numeral
from chainrule.transforms.tracing import INPUT

if TYPE_CHECKING:
    from chainrule.explaining.explanation import Explanation

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
    title, _, at = e.title.partition(" at ")
    return {
        "title": title,
        "subtitle": f"at {at}" if at else "",
        "pictures": {"forward": drawing_of(e, bare=True).svg},
        "nodes": nodes,
        "phases": [_phase(e, t, names) for t in e.traces(mode) if t.rows],
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


def _phase(e: Explanation, trace: Trace, names: Mapping[Node, str]) -> dict[str, Any]:
    along = "" if trace.along is None else variable(trace.along.params["name"])  # type: ignore[index]
    key = trace.kind
    if trace.along is not None:
        key = f"tangent:{trace.along.params['name']}"  # type: ignore[index]
    ledger = _Ledger(e, trace) if trace.kind == "reverse" else None
    steps: list[dict[str, Any]] = []
    shown = iter(e.shown(trace))
    for item in shown:
        if isinstance(item, Repeat):
            if ledger is not None:
                for i in range(item.start, item.start + item.length * item.rounds):
                    ledger.take(trace.rows[i])
            steps.append({"fold": True, "text": e.fold_text(trace, item)})
            continue
        steps.append(_step(e, trace.rows[item], names, ledger))
    return {
        "key": key, "title": e.title_of(trace), "about": ABOUT[trace.kind].format(along=along),
        "columns": ["", "formula", "numbers", "value"], "steps": steps,
    }  # fmt: skip


def _step(
    e: Explanation, row: Row, names: Mapping[Node, str], ledger: _Ledger | None
) -> dict[str, Any]:
    name, value = names[row.target], e.number(row.target)
    formula, numbers = e.formula(row), e.numbers(row)
    made: dict[str, Any] = {
        "node": node_id(e, row.of), "name": name, "formula": formula, "numbers": numbers,
        "value": value, "uses": _uses(e, row), "says": _sentence(name, formula, numbers, value),
    }  # fmt: skip
    if ledger is not None:
        ledger.take(row)
        made["sends"] = [
            {"to": node_id(e, to), "text": e.term(t), "value": e.number(t)}
            for to, t in row.sent if to.shape is not None
        ]  # fmt: skip
        made["node_to_grad"] = ledger.entries(row)
    return made


def _sentence(name: str, formula: str, numbers: str, value: str) -> str:
    parts = [name, *[p for p in (formula, numbers) if p], value]
    text = " = ".join(dict.fromkeys(parts))
    return text + "."


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
    return Picture(nodes, edges, "" if bare else e.title)


__all__ = ["drawing_of", "model_of", "picture_of"]
