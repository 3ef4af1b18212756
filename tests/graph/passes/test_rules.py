"""Every rule of the table, on every kind of numbers for which it says to hold."""

import itertools

import numpy as np
import pytest

from chainrule.core.primitive import REGISTRY
from chainrule.core.tensor import wrap
from chainrule.graph import Graph, trace
from chainrule.graph.passes import algebra
from chainrule.graph.passes.algebra import RULES, _never_negative_zero, _signed
from chainrule.graph.run import run
from chainrule.transforms.tracing import equation, input_node
from tests.graph.passes.ulps import apart

DTYPES = {"b": ["?"], "i": ["i8", "i4", "u1"], "f": ["f8", "f4", "f2"], "c": ["c16", "c8"]}
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.7, -2.3, 1e-3]


def special(dt):
    """Numbers where rules go wrong, and ordinary ones."""
    dt = np.dtype(dt)
    rng = np.random.default_rng(0)
    if dt.kind == "b":
        return np.array([True, False])
    if dt.kind in "iu":
        info = np.iinfo(dt)
        return np.unique(np.array([info.min, info.max, 0, 1, 2, 3, 100, 127], dt))
    real = np.dtype(f"f{dt.itemsize // 2}") if dt.kind == "c" else dt
    info = np.finfo(real)
    extreme = [info.max, info.min, info.tiny, info.smallest_subnormal, -info.tiny / 2]
    found = np.array([*SPECIAL, *extreme, *rng.normal(size=6)], real)
    if dt.kind == "f":
        return found
    return np.array([complex(a, b) for a in found[:9] for b in found[3:11]], dt)


def variables(term, position=None):
    """The variables of a pattern, and whether each is a condition."""
    if isinstance(term, str):
        return {term: position == "condition"}
    found = {}
    if isinstance(term, tuple):
        for i, a in enumerate(term[1:]):
            inner = "condition" if term[0] == "where" and i == 0 else None
            if term[0] == "logical_not" and position == "condition":
                inner = "condition"
            found.update(variables(a, inner))
    return found


def built(term, nodes, dt, condition=False):
    """The value (and node) of a pattern."""
    if isinstance(term, str):
        return nodes[term]
    if not isinstance(term, tuple):
        return np.asarray(term, "?" if condition else dt), None
    first = term[0] == "where"
    under = condition and term[0] == "logical_not"
    args = [built(a, nodes, dt, (first and i == 0) or under) for i, a in enumerate(term[1:])]
    made = equation(REGISTRY[term[0]], [v for v, _ in args], [n for _, n in args], {}, (None, -1))
    return made.out, made


CONSTANTS = [{"c": 2, "c2": 3}, {"c": 3, "c2": 5}]


def graph_of(rule, dt, shape, constants):
    """The left side of a rule as a graph; None if NumPy does not have it for the dtype."""
    nodes, inputs = {}, []
    for name, condition in variables(rule.left).items():
        if name.startswith("c"):
            nodes[name] = np.asarray(constants[name], dt), None
            continue
        made = input_node(shape, np.dtype("?" if condition else dt), name, (None, -1))
        nodes[name] = made.out, made
        inputs.append(made)
    return Graph(inputs, [built(rule.left, nodes, dt)[1]]).verify()


def points(rule, dt, values=special):
    """All combinations of numbers for the variables: one flat array for each."""
    names = variables(rule.left).items()
    lists = [values("?" if c else dt) for n, c in names if not n.startswith("c")]
    chosen = list(zip(*itertools.islice(itertools.product(*lists), 4000), strict=True))
    return [np.array(c, x.dtype) for c, x in zip(chosen, lists, strict=True)]


def evaluated(graph, arrays):
    with np.errstate(all="ignore"):
        return [y.array for y in run(graph, [wrap(np.array(a)) for a in arrays])]


def flat(term):
    return [y for x in term[1:] for y in flat(x)] if isinstance(term, tuple) else [term]


def possible(rule, dt):
    """Whether the dtype has the numbers of the pattern, and NumPy its operations for the dtype."""
    if dt == "u1" and any(isinstance(x, (int, float)) and x < 0 for x in flat(rule.left)):
        return False
    if dt == "u1" and rule.when is _signed:
        return False
    graph = graph_of(rule, dt, (), CONSTANTS[0])
    try:
        evaluated(graph, [np.ones((), n.dtype) for n in graph.inputs])
    except TypeError:
        return False
    return True


def cases(which):
    return [
        pytest.param(rule, dt, id=f"{rule.name} {dt}")
        for rule in RULES
        for kind in getattr(rule, which)
        for dt in DTYPES[kind]
        if rule.when is not _never_negative_zero and possible(rule, dt)
    ]


def applied(rule, graph, fast=False):
    made, report = algebra(graph, fast=fast)
    assert report.fired, "the rule does not apply"
    return made.verify()


@pytest.mark.parametrize(("rule", "dt"), cases("exact"))
def test_exact_rules_keep_every_bit_that_can_be_seen(rule, dt):
    """Values within 4 ulp, nan, infinities and signed zeros included; so are derivatives."""
    arrays = points(rule, dt)
    zeros = "pull_product" not in rule.left[0]
    for shape, constants in itertools.product([arrays[0].shape, (), (0,)], CONSTANTS):
        graph = graph_of(rule, dt, shape, constants)
        made = applied(rule, graph)
        given = [a if shape else a[:1].reshape(()) for a in arrays]
        given = [a[:0] if shape == (0,) else a for a in given]
        (want,), (have,) = evaluated(graph, given), evaluated(made, given)
        assert apart(want, have, zeros) <= 4
        if want.dtype.kind in "fc" and graph.outputs[0].prim.differentiable:
            same_derivatives(graph, made, given)


def same_derivatives(graph, made, given):
    """Optimise, then differentiate; differentiate, then optimise; differentiate only: the same."""
    out = graph.outputs[0]
    rng = np.random.default_rng(1)
    for cotangent in (rng.normal(size=out.shape), rng.integers(-1, 2, out.shape) * 1.0):
        ct = np.asarray(cotangent, out.dtype)
        pulled = graph.vjp()
        want = evaluated(pulled, [*given, ct])
        for other in (made.vjp(), pulled.optimize(), made.vjp().optimize()):
            for a, b in zip(want, evaluated(other, [*given, ct]), strict=True):
                assert apart(a, b, zeros=False) <= 4


def ordinary(dt):
    """Numbers in the middle of every domain."""
    dt = np.dtype(dt)
    if dt.kind in "b":
        return np.array([True, False])
    rng = np.random.default_rng(2)
    found = rng.uniform(0.2, 0.8, 6)
    return (found + 0.3j * found[::-1] if dt.kind == "c" else found).astype(dt)


@pytest.mark.parametrize(("rule", "dt"), cases("fast"))
def test_fast_rules_hold_for_ordinary_numbers(rule, dt):
    arrays = points(rule, dt, ordinary)
    graph = graph_of(rule, dt, arrays[0].shape, CONSTANTS[0])
    _, report = algebra(graph)
    assert rule.name not in report.fired, "without fast=True"
    made = applied(rule, graph, fast=True)
    (want,), (have,) = evaluated(graph, arrays), evaluated(made, arrays)
    tolerance = 100 * np.finfo(dt).eps
    np.testing.assert_allclose(have, want, rtol=tolerance, atol=tolerance)
    if want.dtype.kind in "fc":
        ct = np.ones(want.shape, want.dtype)
        for a, b in zip(*[evaluated(g.vjp(), [*arrays, ct]) for g in (graph, made)], strict=True):
            np.testing.assert_allclose(a, b, rtol=10 * tolerance, atol=10 * tolerance)


def test_zero_is_taken_from_a_sum_that_is_never_negative_zero():
    """-0.0 + 0 is 0.0, so x + 0 stays unless x cannot be -0.0."""
    x = np.array(special("f8"))
    for f, fires in [
        (lambda x: x + 0.0, False), (lambda x: x.exp() + 0.0, True),
        (lambda x: (x * x) + 0.0, False), (lambda x: (x + 1.0) + 0.0, True),
        (lambda x: x - 0.0, True), (lambda x: x.abs() + 0.0, True), (lambda x: x + -0.0, True),
    ]:  # fmt: skip
        graph = trace(f, x)
        made, report = algebra(graph)
        assert bool(report.fired) == fires
        assert apart(*evaluated(graph, [x]), *evaluated(made, [x])) == 0


def test_every_rule_can_be_tried():
    """The dtypes above leave no rule of the table out."""
    tried = {case.values[0].name for which in ("exact", "fast") for case in cases(which)}
    wanted = {rule.name for rule in RULES if rule.when is not _never_negative_zero}
    assert tried == wanted


def test_no_rule_is_there_twice():
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
