"""Random expressions, and their values by Python's own parser and NumPy."""

import ast
import math
import operator
import warnings

import numpy as np
from hypothesis import strategies as st
from scipy import special

_m, _v = [[2.0, 1.0], [0.5, 3.0]], [0.3, -0.7]

# Every function of expressions: NumPy's or SciPy's, and arguments inside the domain.
NUMPY = {
    "abs": (np.abs, (_v,)),
    "acos": (np.arccos, (_v,)),
    "acosh": (np.arccosh, ([1.5, 2.5],)),
    "arccos": (np.arccos, (_v,)),
    "arcosh": (np.arccosh, ([1.5, 2.5],)),
    "arcsin": (np.arcsin, (_v,)),
    "arctan": (np.arctan, (_v,)),
    "arsinh": (np.arcsinh, (_v,)),
    "artanh": (np.arctanh, (_v,)),
    "asin": (np.arcsin, (_v,)),
    "asinh": (np.arcsinh, (_v,)),
    "atan": (np.arctan, (_v,)),
    "atan2": (np.arctan2, (_v, [1.0, -2.0])),
    "atanh": (np.arctanh, (_v,)),
    "cos": (np.cos, (_v,)),
    "cosh": (np.cosh, (_v,)),
    "det": (np.linalg.det, (_m,)),
    "dot": (np.dot, (_v, [1.0, -2.0])),
    "erf": (special.erf, (_v,)),
    "erfc": (special.erfc, (_v,)),
    "exp": (np.exp, (_v,)),
    "expm1": (np.expm1, (_v,)),
    "inv": (np.linalg.inv, (_m,)),
    "ln": (np.log, (_m,)),
    "log": (np.log, (_m,)),
    "log10": (np.log10, (_m,)),
    "log1p": (np.log1p, (_v,)),
    "log2": (np.log2, (_m,)),
    "matmul": (np.matmul, (_m, _v)),
    "max": (np.maximum, (_v, 0.1)),
    "mean": (np.mean, (_m,)),
    "min": (np.minimum, (_v, 0.1)),
    "norm": (np.linalg.norm, (_m,)),
    "prod": (np.prod, (_m,)),
    "relu": (lambda x: x * (x > 0), (_v,)),
    "sigmoid": (special.expit, (_v,)),
    "sign": (np.sign, (_v,)),
    "sin": (np.sin, (_v,)),
    "sinh": (np.sinh, (_v,)),
    "softplus": (lambda x: np.logaddexp(0, x), ([-50.0, -1.0, 0.5, 21.0, 39.0, 41.0, 1000.0],)),
    "sqrt": (np.sqrt, (_m,)),
    "square": (np.square, (_v,)),
    "sum": (np.sum, (_m,)),
    "tan": (np.tan, (_v,)),
    "tanh": (np.tanh, (_v,)),
    "trace": (np.trace, (_m,)),
    "where": (np.where, ([1.0, -1.0], 2.0, [3.0, 4.0])),
}
_UNARY = ["sin", "cos", "tanh", "exp", "abs", "square", "sigmoid", "atan", "sqrt"]
_BINARY = ["max", "min", "atan2"]

_names = st.sampled_from(["x", "y", "x1", "rate"])
_leaves = (
    _names
    | st.integers(1, 9).map(str)
    | st.floats(0.1, 9).map(lambda v: f"{v:.3g}")
    | st.sampled_from(["pi", "e", "1.5e-1"])
)
_space = st.sampled_from(["", " "])


def _compared(parts):
    left, symbol, right = parts
    return f"{left} {symbol} {right}"


def _grown(inner):
    """Larger expressions from smaller ones, with and without parentheses."""
    operators = st.sampled_from(["+", "-", "*", "/"])
    plain = st.tuples(inner, _space, operators, _space, inner).map("".join)
    powers = st.tuples(inner, st.sampled_from(["^2", "**3", "^-1", "**y", "^2^2"])).map(
        lambda p: f"({p[0]}){p[1]}"
    )
    signs = st.tuples(st.sampled_from(["-", "+", "-("]), inner).map(
        lambda p: p[0] + p[1] + ")" * (p[0] == "-(")
    )
    calls = st.tuples(st.sampled_from(_UNARY), inner).map(lambda p: f"{p[0]}({p[1]})")
    pairs = st.tuples(st.sampled_from(_BINARY), inner, inner).map(
        lambda p: f"{p[0]}({p[1]}, {p[2]})"
    )
    choices = st.tuples(inner, _conditions_of(inner), inner).map(
        lambda p: f"({p[0]} if {p[1]} else {p[2]})"
    )
    groups = inner.map(lambda t: f"({t})")
    return plain | powers | signs | calls | pairs | choices | groups


def _conditions_of(inner):
    symbols = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
    simple = st.tuples(inner, symbols, inner).map(_compared)
    chained = st.tuples(simple, symbols, inner).map(_compared)
    atoms = simple | chained
    joined = st.tuples(atoms, st.sampled_from(["and", "or", "and not", "or not"]), atoms)
    return atoms | joined.map(" ".join) | atoms.map(lambda c: f"not {c}")


def _acceptable(text):
    """Whether arithmetic on the numbers in the text alone goes well, which parsing insists on."""
    from chainrule.explaining.expressions import ExpressionError, parse

    try:
        parse(text)
    except ExpressionError as refused:
        words = ("zero", "too large", "not real", "put 'not'")
        if any(word in refused.message for word in words):
            return False
        raise
    return True


numbers = st.recursive(_leaves, _grown, max_leaves=10).filter(_acceptable)
conditions = _conditions_of(st.recursive(_leaves, _grown, max_leaves=4)).filter(_acceptable)
values = st.fixed_dictionaries(
    {name: st.floats(0.1, 5).map(lambda v: round(v, 3)) for name in ["x", "y", "x1", "rate"]}
)

_OPERATIONS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


class Strict(ast.NodeVisitor):
    """Python's syntax tree, computed with NumPy's float64; anything unknown is a KeyError."""

    def __init__(self, names):
        self.names = {k: np.float64(v) for k, v in names.items()} | {"pi": math.pi, "e": math.e}

    def generic_visit(self, node):
        raise KeyError(type(node))

    def visit_Expression(self, node):
        return self.visit(node.body)

    def visit_Constant(self, node):
        return np.float64(node.value)

    def visit_Name(self, node):
        return np.float64(self.names[node.id])

    def visit_UnaryOp(self, node):
        return _OPERATIONS[type(node.op)](self.visit(node.operand))

    def visit_BinOp(self, node):
        return _OPERATIONS[type(node.op)](self.visit(node.left), self.visit(node.right))

    def visit_Call(self, node):
        return NUMPY[node.func.id][0](*map(self.visit, node.args))

    def visit_Compare(self, node):
        operands = [self.visit(n) for n in (node.left, *node.comparators)]
        pairs = zip(node.ops, operands, operands[1:], strict=False)
        return all(_OPERATIONS[type(op)](a, b) for op, a, b in pairs)

    def visit_BoolOp(self, node):
        join = all if isinstance(node.op, ast.And) else any
        return join([self.visit(n) for n in node.values])

    def visit_IfExp(self, node):
        return self.visit(node.body if self.visit(node.test) else node.orelse)


def evaluated(text, names):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Strict(names).visit(ast.parse(text.strip().replace("^", "**"), mode="eval"))
