"""Graphs from SymPy expressions.

Every distinct subexpression becomes one node: what SymPy writes as a tree is a graph with shared
parts.  The walk keeps its own stack, so nested expressions of any depth convert.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.core.dtypes import as_numpy
from chainrule.core.tensor import Tensor
from chainrule.graph.ir import Graph
from chainrule.graph.symbolic.sympy_bridge import sympy_module
from chainrule.graph.symbolic.sympy_functions import (
    FUNCTIONS,
    ORDERS,
    OTHERS,
    F,
    multiplied,
    of_order,
    tensor,
)
from chainrule.graph.walk import recording_on
from chainrule.transforms.tracing import Traced, constant_node, input_node, traced

# What a subexpression needs, and what makes its value from theirs.
Plan = tuple[Sequence[Any], Callable[..., Any]]


def from_sympy(
    expression: Any, variables: Sequence[Any] | None = None, *, dtype: Any = None
) -> Graph:
    """The graph of a SymPy expression.

    Args:
        expression: an expression, a matrix or array of them, or a list or tuple (several outputs).
            Symbols become inputs without dimensions, an IndexedBase a vector (of its shape, or as
            long as its indices say), a MatrixSymbol a matrix.
        variables: the inputs in order: symbols, IndexedBases, MatrixSymbols, or names; by default
            all that occur, sorted by name.
        dtype: of the inputs; float64 by default.

    Raises:
        ImportError: if SymPy is not installed.
        TypeError: if `expression` is no SymPy expression, such as a string.
        ValueError: if a symbol is not among the variables, or two have the same name.
        NotImplementedError: if a function has no counterpart, naming it.

    >>> import sympy
    >>> import chainrule as cr
    >>> x, y = sympy.symbols("x y")
    >>> graph = cr.graph.from_sympy(sympy.log(x) + x * y)
    >>> graph.bind(x=2.0, y=5.0)
    tensor(10.6931, dtype=chainrule.float64)
    """
    S = sympy_module()
    several = isinstance(expression, (list, tuple))
    roots = [_checked(S, e) for e in (expression if several else [expression])]
    dt = np.dtype(np.float64) if dtype is None else as_numpy(dtype)
    atoms = _variables(S, roots, variables)
    inputs = [input_node(shape, dt, name) for name, shape in atoms.values()]
    reader = _Reader(S, dict(zip(atoms, map(traced, inputs), strict=True)))
    with recording_on():
        values = [reader.value(r) for r in roots]
    outputs = [v.node if isinstance(v, Traced) else constant_node(_array(v, dt)) for v in values]
    return Graph(inputs, outputs, title="expression")


def _array(value: Any, dt: np.dtype[Any]) -> np.ndarray:
    array = value.array if isinstance(value, Tensor) else np.asarray(value)
    return array if array.dtype.kind in "bc" else array.astype(dt)


def _checked(S: Any, e: Any) -> Any:
    if isinstance(e, (S.Basic, S.MatrixBase, S.NDimArray)):
        return e
    if isinstance(e, (int, float, complex)):
        return S.sympify(e)
    raise TypeError(
        f"from_sympy takes SymPy expressions, got {type(e).__name__}"
        + ("; parse it first, sympy.sympify(text), which runs it as Python code: only do that with "
           "text you trust" if isinstance(e, str) else "")
    )  # fmt: skip


def _variables(
    S: Any, roots: Sequence[Any], given: Sequence[Any] | None
) -> dict[Any, tuple[str, tuple[int, ...]]]:
    """What occurs in expressions and is an input, in order, with name and shape."""
    found: dict[Any, tuple[str, tuple[int, ...]]] = {}
    for root in roots:
        for e in _atoms(S, root):
            if isinstance(e, S.Indexed):
                shape = _shape(S, e)
                old = found.get(e.base, ("", shape))[1]
                found[e.base] = (str(e.base.label), tuple(map(max, old, shape)))
            elif isinstance(e, S.MatrixSymbol):
                found[e] = (e.name, tuple(map(_integer, e.shape)))
            elif isinstance(e, S.Symbol):
                found[e] = (e.name, ())
    names = [name for name, _ in found.values()]
    twice = {n for n in names if names.count(n) > 1}
    if twice:
        raise ValueError(
            f"two different variables of the expression are named {sorted(twice)[0]!r} (symbols "
            "with other assumptions are others); substitute one for the other"
        )
    if given is None:
        return dict(sorted(found.items(), key=lambda item: item[1][0]))
    return _in_order(S, found, given)


def _in_order(S: Any, found: dict[Any, Any], given: Sequence[Any]) -> dict[Any, Any]:
    by_name = {name: (atom, (name, shape)) for atom, (name, shape) in found.items()}
    made = {}
    for v in given:
        name = v if isinstance(v, str) else str(getattr(v, "label", getattr(v, "name", v)))
        if name in by_name:
            atom, entry = by_name.pop(name)
            made[atom] = entry
        else:  # a variable that the expression does not depend on
            shape = () if isinstance(v, str) else tuple(getattr(v, "shape", None) or ())
            made[v] = (name, tuple(map(_integer, shape)))
    if by_name:
        raise ValueError(
            f"the expression has the symbol {sorted(by_name)[0]!r}, which is not among the "
            f"variables {', '.join(map(str, given))}"
        )
    return made


def _atoms(S: Any, root: Any) -> Iterable[Any]:
    """All variables in an expression, entries of indexed ones as they are; no recursion."""
    seen = set()
    stack: list[Any] = [root]
    while stack:
        e = stack.pop()
        if isinstance(e, (S.MatrixBase, S.NDimArray)):
            stack += list(e) if isinstance(e, S.MatrixBase) else list(S.flatten(e.tolist()))
            continue
        if e in seen:
            continue
        seen.add(e)
        if isinstance(e, (S.Indexed, S.MatrixSymbol, S.Symbol)):
            yield e
        elif isinstance(e, _binding(S)):
            bound: Any = e
            stack += [x for x in bound.free_symbols if not isinstance(x, (S.IndexedBase, S.Idx))]
        else:
            stack += e.args


def _shape(S: Any, e: Any) -> tuple[int, ...]:
    """The shape of the base of an indexed entry, or the least that has the entry."""
    if e.base.shape is not None:
        return tuple(map(_integer, e.base.shape))
    return tuple(_integer(i) + 1 for i in e.indices)


def _integer(value: Any) -> int:
    try:
        return int(value)
    except TypeError:
        raise NotImplementedError(
            f"the shape or index {value} of an indexed variable is no number; substitute one"
        ) from None


class _Reader:
    """Values of expressions, each made once."""

    def __init__(self, S: Any, known: dict[Any, Any]) -> None:
        self.S = S
        self.variables = known
        self.known: dict[Any, Any] = dict(known)

    def value(self, root: Any) -> Any:
        """The value of an expression: a traced tensor, or a number."""
        plans: dict[Any, Plan] = {}
        stack = [self._key(root)]
        while stack:
            e = stack[-1]
            if e in self.known:
                stack.pop()
                continue
            if e not in plans:
                plans[e] = self.plan(e)
            needed = [self._key(x) for x in plans[e][0]]
            missing = [x for x in needed if x not in self.known]
            if missing:
                stack += reversed(missing)
                continue
            self.known[e] = plans[e][1](*[self.known[x] for x in needed])
            stack.pop()
        return self.known[self._key(root)]

    def _key(self, e: Any) -> Any:
        if isinstance(e, self.S.MatrixBase):
            return self.S.ImmutableMatrix(e)
        return self.S.ImmutableDenseNDimArray(e) if isinstance(e, self.S.NDimArray) else e

    def plan(self, e: Any) -> Plan:
        """What an expression needs, and how its value is made."""
        S = self.S
        if isinstance(e, (S.MatrixBase, S.NDimArray)):
            return list(S.flatten(e.tolist())), lambda *xs: _stacked(xs, tuple(e.shape))
        if e.is_Number or e.is_NumberSymbol or e in (S.true, S.false, S.I, S.zoo):
            return [], lambda: _number(S, e)
        if isinstance(e, S.Indexed):
            place = tuple(map(_integer, e.indices))
            return [], lambda: self.variables[e.base][place]
        if isinstance(e, S.MatrixExpr):
            return self._matrix(e)
        if isinstance(e, S.Add):
            return _sum(S, e)
        if isinstance(e, S.Mul):
            return _product(S, e)
        if isinstance(e, S.Pow):
            return _power(S, e)
        if isinstance(e, S.Piecewise):
            return _piecewise(S, e)
        if isinstance(e, _binding(S)):
            return self._computed(e)
        name = type(e).__name__
        if name in OTHERS:
            return list(e.args), OTHERS[name]
        form = FUNCTIONS.get(name)
        if form is not None:
            return list(e.args), lambda *xs: form(*map(tensor, xs))
        if name in ORDERS or name == "polygamma":
            order = e.args[0]
            form = of_order(name, int(order)) if order.is_Integer else None
            if form is not None:
                return [e.args[1]], lambda x: form(tensor(x))
        raise self._unknown(e)

    def _matrix(self, e: Any) -> Plan:
        """An expression of matrices; sums and products of them are no sums of numbers."""
        form = OTHERS.get(type(e).__name__)
        if form is not None:
            return list(e.args), form
        if e.free_symbols:
            raise self._unknown(e)
        return [self.S.ImmutableMatrix(e.as_explicit())], lambda x: x

    def _unknown(self, e: Any) -> NotImplementedError:
        return NotImplementedError(
            f"from_sympy: {type(e).__name__} in {_short(e)} has no counterpart in chainrule; "
            "rewrite the expression without it, for example with expr.rewrite(...) or expr.doit()"
        )

    def _computed(self, e: Any) -> Plan:
        """A sum, product, derivative or integral that SymPy can carry out."""
        done = e.doit()
        if type(done) is type(e):
            raise NotImplementedError(
                f"from_sympy: SymPy does not carry out {_short(e)}; bounds must be numbers, and "
                "derivatives and integrals have closed forms"
            )
        return [done], lambda x: x


def _binding(S: Any) -> tuple[type, ...]:
    """Expressions with variables of their own, which SymPy carries out."""
    return (S.Sum, S.Product, S.Derivative, S.Integral, S.Subs, S.Limit)


def _short(e: Any) -> str:
    text = str(e)
    return text if len(text) < 60 else text[:57] + "..."


def _number(S: Any, e: Any) -> Any:
    if e is S.true or e is S.false:
        return bool(e)
    if e is S.I:
        return 1j
    if e is S.zoo:
        raise ValueError("from_sympy: the expression contains complex infinity (a division by 0)")
    if e.is_Integer:
        return int(e)
    return float(e)


def _stacked(xs: Sequence[Any], shape: tuple[int, ...]) -> Any:
    if not xs:
        return np.zeros(shape)
    given = [tensor(x) for x in xs]
    kind = next((x.dtype for x in given if isinstance(x, Traced)), given[0].dtype)
    return F.stack([x.to(kind) for x in given]).reshape(shape)


def _sum(S: Any, e: Any) -> Plan:
    """Terms in the order in which SymPy writes them; those with a minus sign are subtracted."""
    terms = e.as_ordered_terms()
    signs = [t.could_extract_minus_sign() and not t.is_Add for t in terms]
    if all(signs):
        signs[0] = False
    order = sorted(range(len(terms)), key=lambda i: signs[i])

    def total(*values: Any) -> Any:
        found = values[0]
        for i, v in zip(order[1:], values[1:], strict=True):
            found = found - v if signs[i] else found + v
        return found

    return [-terms[i] if signs[i] else terms[i] for i in order], total


def _product(S: Any, e: Any) -> Plan:
    """Numerator over denominator, the number in front: 2·x/(3·y)."""
    above: list[Any] = []
    below: list[Any] = []
    sign = 1
    for f in e.as_ordered_factors():
        if f.is_Rational:
            sign = -sign if f < 0 else sign
            above += [S.Integer(abs(f.p))] * (abs(f.p) != 1)
            below += [S.Integer(f.q)] * (f.q != 1)
        elif isinstance(f, S.Pow) and f.exp.is_Rational and f.exp < 0:
            below.append(f.base if f.exp == -1 else S.Pow(f.base, -f.exp, evaluate=False))
        else:
            above.append(f)
    n = len(above)

    def quotient(*values: Any) -> Any:
        found = multiplied(*values[:n]) if n else 1.0
        if len(values) > n:
            found = found / multiplied(*values[n:])
        return -found if sign < 0 else found

    return [*above, *below], quotient


def _power(S: Any, e: Any) -> Plan:
    base, exponent = e.base, e.exp
    half = S.Rational(1, 2)
    fixed = [(2, F.square), (half, F.sqrt), (-half, F.rsqrt), (-1, F.reciprocal)]
    for value, function in fixed:
        if exponent == value:
            return [base], lambda x, function=function: function(tensor(x))
    if base == S.E:
        return [exponent], lambda x: F.exp(tensor(x))
    if exponent.is_Number:
        n = int(exponent) if exponent.is_Integer else float(exponent)
        return [base], lambda x: tensor(x) ** n
    return [base, exponent], lambda x, y: tensor(x) ** tensor(y)


def _piecewise(S: Any, e: Any) -> Plan:
    """where(c₁, e₁, where(c₂, e₂, ...)), nan where no condition holds."""
    pairs: list[Any] = list(e.args)
    parts = [x for pair in pairs for x in (pair.expr, pair.cond)]

    def choose(*values: Any) -> Any:
        found: Any = float("nan")
        for x, condition in reversed(list(zip(values[::2], values[1::2], strict=True))):
            if condition is True:
                found = x
            elif condition is not False:
                found = F.where(condition, x, found)
        return found

    return parts, choose
