"""Clean-up: every rule on shapes and dtypes, values to the bit, and derivatives."""

import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.primitive import REGISTRY
from chainrule.graph import trace
from chainrule.graph.passes import clean
from chainrule.graph.passes.clean import RULES, holds_exactly
from tests.graph.passes.ulps import apart

SPECIAL = np.array([[np.nan, np.inf, -np.inf], [-0.0, 0.0, 1.5]])


def prim(name, x, **params):
    return REGISTRY[name].apply((x,), params)


# (rule, function, example): functions that a rule simplifies.
CASES = [
    ("cast to the same dtype", lambda x: prim("astype", x, dtype=np.dtype("f8")), SPECIAL),
    ("cast of a widening cast", lambda x: x.double().to(cr.float16), SPECIAL.astype("f4")),
    ("cast of a widening cast", lambda x: x.double().float(), SPECIAL.astype("f4")),
    ("cast of a widening cast", lambda x: x.to(cr.complex64).to(cr.complex128),
     SPECIAL.astype("f4")),
    ("cast of a widening cast", lambda x: x.int().double(), np.array([-3, 100], "i1")),
    ("broadcast to the same shape", lambda x: prim("broadcast_to", x, shape=(2, 3)), SPECIAL),
    ("broadcast of a broadcast", lambda x: x.expand(2, 2, 3).expand(4, 2, 2, 3), SPECIAL),
    ("broadcast of leading axes", lambda x: x.unsqueeze(0).expand(4, 2, 3), SPECIAL),
    ("needless broadcast", lambda x: x.expand(4, 2, 3) * cr.ones(4, 2, 3, dtype=cr.float64),
     SPECIAL),
    ("needless broadcast", lambda x: cr.where(cr.tensor([[True], [False]]), x.expand(4, 2, 3),
                                              cr.zeros(4, 2, 3, dtype=cr.float64)), SPECIAL),
    ("reshape to the same shape", lambda x: prim("reshape", x, shape=(2, 3)), SPECIAL),
    ("reshape of a reshape", lambda x: x.reshape(6).reshape(3, 2), SPECIAL),
    ("reshape of a reshape", lambda x: x.unsqueeze(0).squeeze(0), SPECIAL),
    ("transpose that moves nothing", lambda x: x.reshape(1, 2, 3).permute(1, 0, 2), SPECIAL),
    ("transpose that moves nothing", lambda x: prim("permute_dims", x, axes=(0, 1)), SPECIAL),
    ("transpose of a transpose", lambda x: x.T.T, SPECIAL),
    ("transpose of a transpose", lambda x: x.unsqueeze(0).permute(2, 0, 1).permute(2, 0, 1),
     SPECIAL),
    ("sum of integers over nothing", lambda x: x.reshape(2, 1, 3).sum(1),
     np.arange(6).reshape(2, 3)),
    ("reduction over nothing", lambda x: cr.amin(x.reshape(2, 1, 3), 1, keepdim=True), SPECIAL),
    ("reduction over nothing", lambda x: x.reshape(2, 1, 3).prod(1), SPECIAL),
    ("reduction over nothing", lambda x: cr.amax(x.reshape(2, 1, 3), 1), SPECIAL),
    ("join of one", lambda x: cr.cat([x]), SPECIAL),
    ("join of one", lambda x: cr.stack([x], 1), SPECIAL),
    ("conj or real part of a real number", lambda x: prim("conj", x), SPECIAL),
    ("conj or real part of a real number", lambda x: prim("real", x), SPECIAL),
    ("copy", lambda x: x.clone() * 2, SPECIAL),
    ("detach of what has no derivative", lambda x: x.detach().detach() * x, SPECIAL),
    ("flip twice", lambda x: x.flip(0).flip(0), SPECIAL),
    ("tril twice", lambda x: x.tril().tril(), SPECIAL),
    ("triu twice", lambda x: x.triu(1).triu(1), SPECIAL),
]  # fmt: skip


def outputs(graph, *arrays):
    with np.errstate(all="ignore"):
        found = graph(*arrays)
        return [np.asarray(y) for y in (found if isinstance(found, tuple) else (found,))]


@pytest.mark.parametrize(("rule", "f", "example"), CASES)
def test_clean_up_keeps_every_bit(rule, f, example):
    for array in (example, example[:0]):
        try:
            graph = trace(f, array)
        except RuntimeError:  # shapes are those of the example
            assert array.size == 0
            continue
        made, report = clean(graph)
        made.verify()
        if array.size == 0 and not report.fired:
            continue  # shapes are those of the example
        assert rule in report.fired, report
        assert graph.operations >= made.operations
        assert apart(*outputs(graph, array), *outputs(made, array)) == 0
        if array.dtype.kind == "f":
            (out,) = graph.outputs
            ct = np.random.default_rng(0).normal(size=out.shape).astype(out.dtype)
            want, have = outputs(graph.vjp(), array, ct), outputs(made.vjp(), array, ct)
            assert apart(*want, *have, zeros=False) <= 4


@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("sum over nothing", lambda x: prim("sum", x, axis=(), keepdims=False)),
        ("sum over nothing", lambda x: x.reshape(2, 1, 3).sum(1)),
        ("sum over nothing", lambda x: x.reshape(2, 1, 3).mean(1, keepdim=True)),
        ("sum of a broadcast", lambda x: x.expand(4, 2, 3).sum(0)),
        ("sum of a broadcast", lambda x: x.reshape(2, 3, 1).expand(2, 3, 5).sum(2)),
        ("sum of a sum", lambda x: x.sum(1).sum()),
        ("sum of a sum", lambda x: x.reshape(1, 2, 3).sum(1).sum(1)),
    ],
)
def test_rules_that_round_otherwise_wait_for_fast(name, f):
    x = np.random.default_rng(0).normal(size=(2, 3))
    graph = trace(f, x)
    assert name not in clean(graph)[1].fired
    made, report = clean(graph, fast=True)
    assert name in report.fired
    np.testing.assert_allclose(*outputs(graph, x), *outputs(made.verify(), x), rtol=1e-14)


def test_every_rule_has_a_case():
    covered = (
        {rule for rule, *_ in CASES} | {"sum of a broadcast", "sum of a sum"} | {"sum over nothing"}
    )
    assert {rule.name for rule in RULES} == covered


def test_casts_that_lose_something_stay():
    x = np.array([0.1, 3e4, np.nan])
    for f in (lambda x: x.float().double(), lambda x: x.to(cr.float16).float()):
        graph = trace(f, x)
        assert not clean(graph)[1].fired
    i = np.array([2**53 + 1, 3])
    assert not clean(trace(lambda i: i.double().long(), i))[1].fired
    assert not clean(trace(lambda x: x.double().int(), x.astype("f4")))[1].fired


@pytest.mark.parametrize("narrow", ["?", "u1", "i2", "i4", "i8", "f2", "f4", "f8", "c8"])
@pytest.mark.parametrize("wide", ["?", "u1", "i2", "i4", "i8", "f2", "f4", "f8", "c8", "c16"])
def test_a_dtype_holds_another_exactly(wide, narrow):
    """Against the numbers themselves: the extremes, and those next to them."""
    wide, narrow = np.dtype(wide), np.dtype(narrow)
    if narrow.kind in "iu":
        info = np.iinfo(narrow)
        numbers = np.array([info.min, info.min + 1, info.max - 1, info.max, 3], narrow)
    elif narrow.kind == "b":
        numbers = np.array([True, False])
    else:
        real = np.finfo(narrow)
        numbers = np.array([real.max, real.smallest_subnormal, 1 + real.eps, -real.tiny], narrow)
        if narrow.kind == "c":
            numbers = numbers * (1 + 1j)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
        cast = numbers.astype(wide)
    # Python compares numbers of different kinds exactly.
    kept = [a == b for a, b in zip(cast.tolist(), numbers.tolist(), strict=True)]
    assert holds_exactly(wide, narrow) == all(kept)
