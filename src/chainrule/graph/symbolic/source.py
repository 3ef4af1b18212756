"""Formulas as Python programs: functions of NumPy arrays or of tensors."""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.node import Node
from chainrule.graph.formula import equation
from chainrule.graph.ir import Graph
from chainrule.graph.pieces import ATOM, Piece, Writer
from chainrule.graph.symbolic.expressions import Expr, is_leaf, postorder, use_counts

DEPTH = 30  # operations inside each other in one statement; Python refuses 200 parentheses

_NUMPY = {
    "xlogy": "scipy.special.xlogy", "xlog1py": "scipy.special.xlog1py",
    "entr": "scipy.special.entr", "logit": "scipy.special.logit",
    "asin": "np.arcsin", "acos": "np.arccos", "atan": "np.arctan", "asinh": "np.arcsinh",
    "acosh": "np.arccosh", "atanh": "np.arctanh", "atan2": "np.arctan2", "abs": "np.abs",
    "sigmoid": "scipy.special.expit", "clamp": "np.clip", "clamp_min": "np.maximum",
    "clamp_max": "np.minimum", "lgamma": "scipy.special.gammaln",
    "digamma": "scipy.special.psi", "bessel_j0": "scipy.special.j0",
    "bessel_j1": "scipy.special.j1", "bessel_y0": "scipy.special.y0",
    "bessel_y1": "scipy.special.y1", "modified_bessel_k0": "scipy.special.k0",
    "modified_bessel_k1": "scipy.special.k1", "scaled_modified_bessel_k0": "scipy.special.k0e",
    "scaled_modified_bessel_k1": "scipy.special.k1e",
}  # fmt: skip
_CHAINRULE = {
    "floor_divide": "cr.floor_divide", "abs": "cr.abs", "round": "cr.round",
    "modified_bessel_k0": "cr.special.modified_bessel_k0",
}  # fmt: skip
# With parameters, as functions of the operands: {0}, {1}, and parameters by name.
_WITH_PARAMS = {
    "numpy": {
        "relu": "np.maximum({0}, 0)", "rsqrt": "(1 / np.sqrt({0}))",
        "round": "np.round({0}, {decimals})", "frac": "np.modf({0})[0]",
        "polygamma": "scipy.special.polygamma({n}, {0})",
        "leaky_relu": "np.where({0} > 0, {0}, {negative_slope} * {0})",
        "prelu": "np.where({0} > 0, {0}, {1} * {0})", "softsign": "({0} / (1 + np.abs({0})))",
        "silu": "({0} * scipy.special.expit({0}))", "detach": "{0}",
        "log_sigmoid": "(-np.logaddexp(0, -{0}))",
        "hardshrink": "np.where(np.abs({0}) <= {lambd}, 0, {0})",
        "softshrink": "({0} - np.clip({0}, -{lambd}, {lambd}))",
        "threshold": "np.where({0} > {threshold}, {0}, {value})",
        "truncated_divide": "np.trunc({0} / {1})", "lerp": "({0} + {2} * ({1} - {0}))",
        "hardtanh": "np.clip({0}, {low}, {high})", "astype": "np.asarray({0}).astype('{dtype}')",
    },
    "chainrule": {
        "polygamma": "cr.polygamma({n}, {0})", "round": "cr.round({0}, decimals={decimals})",
        "leaky_relu": "cr.nn.functional.leaky_relu({0}, {negative_slope})",
        "prelu": "cr.where({0} > 0, {0}, {1} * {0})",
        "softsign": "cr.nn.functional.softsign({0})", "silu": "cr.nn.functional.silu({0})",
        "detach": "{0}.detach()", "log_sigmoid": "cr.nn.functional.logsigmoid({0})",
        "hardshrink": "cr.nn.functional.hardshrink({0}, {lambd})",
        "softshrink": "cr.nn.functional.softshrink({0}, {lambd})",
        "threshold": "cr.nn.functional.threshold({0}, {threshold}, {value})",
        "softplus": "cr.nn.functional.softplus({0}, {beta}, {threshold})",
        "hardswish": "cr.nn.functional.hardswish({0})", "mish": "cr.nn.functional.mish({0})",
        "gelu_tanh": "cr.nn.functional.gelu({0}, approximate='tanh')",
        "truncated_divide": "cr.div({0}, {1}, rounding_mode='trunc')",
        "hardtanh": "cr.clamp({0}, {low}, {high})", "astype": "{0}.to(cr.{dtype})",
    },
}  # fmt: skip
_OPERATORS = frozenset({
    "add", "subtract", "multiply", "divide", "negative", "reciprocal", "pow", "square", "equal",
    "not_equal", "less", "less_equal", "greater", "greater_equal",
})  # fmt: skip


class SourceWriter(Writer):
    """Writes expressions as Python, functions with their module."""

    def __init__(self, module: str) -> None:
        super().__init__("python")
        self.module = module
        self.used: set[str] = set()

    def number(self, value: Any) -> Piece:
        """A constant, exact."""
        v = np.asarray(value)[()]
        if v.dtype.kind == "f" and not np.isfinite(v):
            self.used.add("math")
            name = "math.nan" if v != v else "math.inf"
            return self.name(f"-{name}" if v < 0 else name)
        if v.dtype.kind == "f" and v == int(v) and abs(v) < 2**53:
            return self.name(repr(int(v)))
        return self.name(repr(v.item()))

    def operation(self, node: Node, args: list[Piece]) -> Piece:
        """One operation; those that are not operators are functions of the module."""
        name = node.prim.name
        template = _WITH_PARAMS[self.module].get(name)
        if template is not None:
            params = {k: getattr(v, "name", v) for k, v in (node.params or {}).items()}
            self._note(template)
            return Piece(template.format(*[self.wrap(a, ATOM) for a in args], **params), ATOM)
        if name in _OPERATORS:
            return equation(self, node, args)
        return self.call(self._function(node), [a.text for a in args])

    def text(self, root: Expr, names: dict[Node, str]) -> str:
        """An expression in terms of the names of nodes, at which it ends."""
        if type(root) is not Node:
            return self.number(root).text
        done = {n: self.name(name) for n, name in names.items()}
        for node in postorder([root], names):
            if node not in done:
                args = [
                    self.number(a) if p is None else done[p]
                    for a, p in zip(node.args, node.parents, strict=True)
                ]
                done[node] = self.operation(node, args)
        return done[root].text

    def _function(self, node: Node) -> str:
        """The function of the module that a primitive is.

        Raises:
            NotImplementedError: if there is none.
        """
        name = node.prim.name
        if node.params:
            raise self._missing(node)
        found = (_NUMPY if self.module == "numpy" else _CHAINRULE).get(name)
        if found is None and self.module == "numpy":
            if hasattr(np, name):
                found = f"np.{name}"
            elif getattr(node.prim.eval, "scipy_name", None):
                found = f"scipy.special.{node.prim.eval.scipy_name}"
        elif found is None:
            import chainrule as cr

            for place, title in ((cr, "cr"), (cr.special, "cr.special")):
                if hasattr(place, name):
                    found = f"{title}.{name}"
                    break
        if found is None:
            raise self._missing(node)
        self._note(found)
        return found

    def _note(self, text: str) -> None:
        if "scipy." in text:
            self.used.add("scipy.special")

    def _missing(self, node: Node) -> NotImplementedError:
        other = "chainrule" if self.module == "numpy" else "numpy"
        return NotImplementedError(
            f"{node.prim.name} ({node.where}) is no function of {self.module} with these "
            f"parameters; try source(module={other!r}), or run the graph: .graph"
        )


def source_of(
    graph: Graph, name: str, module: str, formulas: Sequence[np.ndarray], names: dict[Node, str],
    *, shared: bool, single: bool,
) -> str:  # fmt: skip
    """A Python function that computes arrays of expressions."""
    if module not in _WITH_PARAMS:
        raise ValueError(f"module must be 'numpy' or 'chainrule', got {module!r}")
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is no name for a Python function")
    writer = SourceWriter(module)
    parameters, opening = _parameters(graph)
    names = {
        n: text.replace(old, new, 1) if text.startswith(old) else text
        for n, text in names.items()
        for old, new in [_renamed(n, opening)]
    }
    roots = [e for a in formulas for e in a.ravel()]
    body = []
    taken = {*parameters, "np", "cr", "math", "scipy"}
    for node in _statements(roots, shared):
        if node in names:
            continue
        number = len(names)
        while f"t{number}" in taken:
            number += 1
        taken.add(f"t{number}")
        body.append(f"    t{number} = {writer.text(node, names)}")
        names[node] = f"t{number}"
    outs = [_array(a, names, writer) for a in formulas]
    body.append(f"    return {', '.join(outs)}")
    head = {"numpy": "import numpy as np", "chainrule": "import chainrule as cr"}[module]
    imports = [head] if f"{head.split()[-1]}." in "\n".join(body) else []
    imports = [*(f"import {m}" for m in sorted(writer.used)), *imports]
    lines = [*imports, "", ""] if imports else []
    return "\n".join([*lines, f"def {name}({', '.join(parameters)}):", *body])


def _parameters(graph: Graph) -> tuple[list[str], dict[str, str]]:
    """Names of the parameters, and per input's name the parameter's: made an identifier."""
    names: dict[str, str] = {}
    for given in graph.input_names:
        made = "".join(c if c.isalnum() or c == "_" else "_" for c in given).strip("_")
        if not made.isidentifier() or keyword.iskeyword(made):
            made = f"{made}_" if made.isidentifier() else f"x_{made}"
        while made in names.values():
            made += "_"
        names[given] = made
    return list(names.values()), names


def _renamed(node: Node, names: dict[str, str]) -> tuple[str, str]:
    source = node if not node.parents else node.parents[0]
    given = source.params["name"]  # type: ignore[union-attr,index]
    return given, names[given]


def _statements(roots: Sequence[Expr], shared: bool) -> list[Node]:
    """The nodes that get a statement of their own: those used again, and where it gets deep."""
    uses = use_counts(roots)
    found = []
    depth: dict[Node, int] = {}
    for node in uses:
        if is_leaf(node):
            depth[node] = 0
            continue
        depth[node] = 1 + max((depth[p] for p in node.parents if p is not None), default=0)
        if (shared and uses[node] > 1) or depth[node] > DEPTH:
            found.append(node)
            depth[node] = 0
    return found


def _array(a: np.ndarray, names: dict[Node, str], writer: SourceWriter) -> str:
    """An array of expressions."""

    def text(e: Expr) -> str:
        return writer.text(e, names)

    if a.ndim == 0:
        return text(a[()])
    if writer.module == "numpy":
        return f"np.array({_nested(a, text)})" if a.size else f"np.zeros({a.shape})"
    if not a.size:
        return f"cr.zeros({a.shape})"
    parts = [
        text(e) if type(e) is Node else f"cr.tensor({e.item()!r}, dtype=cr.{e.dtype.name})"
        for e in a.ravel()
    ]
    flat = f"cr.stack([{', '.join(parts)}])"
    return flat if a.ndim == 1 else f"{flat}.reshape({a.shape})"


def _nested(a: np.ndarray, text: Any) -> str:
    if a.ndim == 1:
        return "[" + ", ".join(map(text, a)) + "]"
    return "[" + ", ".join(_nested(part, text) for part in a) + "]"
