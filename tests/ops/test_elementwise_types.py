"""Dtypes of elementwise results, operators, and what happens with operands that do not fit."""

import doctest
import itertools
import operator

import numpy as np
import pytest

import chainrule as cr
from chainrule.ops.api import FUNCTIONS, SPECIAL
from chainrule.ops.examples import EXAMPLES

torch = pytest.importorskip("torch")

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
          "complex64", "complex128"]  # fmt: skip
NUMBERS = [True, 2, 2.0, 2j]
ARITHMETIC = [operator.add, operator.mul, operator.truediv, operator.eq]


def has_common(a, b):
    """NumPy has no complex numbers of half precision."""
    return not ((a == "float16" and "complex" in b) or ("complex" in a and b == "float16"))


def name(dtype):
    return str(dtype).rsplit(".", 1)[-1]


def operand(library, dtype, shape):
    return library.ones(shape, dtype=getattr(library, dtype))


@pytest.mark.parametrize("op", ARITHMETIC, ids=lambda f: f.__name__)
@pytest.mark.parametrize("shapes", [((2,), (2,)), ((2,), ()), ((), (2,)), ((), ())], ids=str)
def test_promotion_of_tensors(op, shapes):
    for a, b in itertools.product(DTYPES, DTYPES):
        if not has_common(a, b):
            continue
        ours, theirs = (op(operand(m, a, shapes[0]), operand(m, b, shapes[1])) for m in (cr, torch))
        assert name(ours.dtype) == name(theirs.dtype), (a, b)


@pytest.mark.parametrize("op", ARITHMETIC, ids=lambda f: f.__name__)
def test_promotion_of_numbers(op):
    for a, shape, number in itertools.product(DTYPES, [(2,), ()], NUMBERS):
        if not has_common(a, type(number).__name__):
            continue
        for reverse in (False, True):
            ours, theirs = (
                op(number, t) if reverse else op(t, number)
                for t in (operand(m, a, shape) for m in (cr, torch))
            )
            assert name(ours.dtype) == name(theirs.dtype), (a, number)


def test_promotion_of_powers():
    for a, number in itertools.product(DTYPES, [2, 2.0, 3, 0.5, 2j]):
        if not has_common(a, type(number).__name__):
            continue
        ours, theirs = (operand(m, a, (2,)) ** number for m in (cr, torch))
        assert name(ours.dtype) == name(theirs.dtype), (a, number)
        ours, theirs = (m.pow(operand(m, a, (2,)), number) for m in (cr, torch))
        assert name(ours.dtype) == name(theirs.dtype), (a, number)


def test_promotion_follows_the_default_dtype():
    cr.set_default_dtype(cr.float64)
    try:
        assert (cr.tensor([1]) / 2).dtype == cr.float64
        assert cr.sin(cr.tensor([1])).dtype == cr.float64
        assert (cr.tensor([1]) * 1.5).dtype == cr.float64
    finally:
        cr.set_default_dtype(cr.float32)


FLOAT_OF_INTEGER = [
    "sin", "exp", "log", "sqrt", "rsqrt", "sigmoid", "tanh", "atan", "erf", "lgamma", "digamma",
    "reciprocal", "log1p", "sinc", "deg2rad", "angle", "i0", "logit", "exp2",
]  # fmt: skip
SAME_AS_INTEGER = [
    "abs", "neg", "square", "sign", "sgn", "floor", "ceil", "trunc", "round", "positive",
    "nan_to_num", "bitwise_not",
]  # fmt: skip


@pytest.mark.parametrize("f", FLOAT_OF_INTEGER + SAME_AS_INTEGER)
@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8"])
def test_functions_of_integers(f, dtype):
    with np.errstate(all="ignore"):
        ours, theirs = (getattr(m, f)(operand(m, dtype, (3,))) for m in (cr, torch))
    assert name(ours.dtype) == name(theirs.dtype)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)


@pytest.mark.parametrize("f", ["sin", "exp", "abs", "sqrt", "floor", "sigmoid", "erf", "sign"])
def test_half_precision_stays(f):
    x = cr.ones(3, dtype=cr.float16).requires_grad_()
    y = getattr(cr, f)(x)
    assert y.dtype == cr.float16
    y.sum().backward()
    assert x.grad.dtype == cr.float16


def test_gradients_return_to_the_dtype_of_their_argument():
    x = cr.ones(3).requires_grad_()
    y = cr.ones(3, dtype=cr.float64).requires_grad_()
    z = cr.ones((), dtype=cr.complex64).requires_grad_()
    (x * y * z).sum().abs().backward()
    assert [t.grad.dtype for t in (x, y, z)] == [cr.float32, cr.float64, cr.complex64]


def test_integer_numbers_beyond_the_range_wrap():
    for build in (
        lambda m: m.tensor([1], dtype=m.int8) + 300, lambda m: m.tensor([1], dtype=m.uint8) * -1,
    ):  # fmt: skip
        assert build(cr).tolist() == build(torch).tolist()


def test_comparison_with_integers_beyond_the_range():
    assert (cr.tensor([1], dtype=cr.uint8) > -1).tolist() == [True]
    assert (cr.tensor([50], dtype=cr.int8) < 300).tolist() == [True]
    assert (cr.tensor([1]) < 10**30).tolist() == [True]
    assert (cr.tensor([1]) == 10**30).tolist() == [False]


def test_bitwise():
    for op in (operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift):
        for a, b in (([12, 7], [2, 3]), ([12, 7], 2), (5, [1, 2])):
            ours, theirs = (
                op(*(m.tensor(v) if isinstance(v, list) else v for v in (a, b)))
                for m in (cr, torch)
            )
            assert ours.tolist() == theirs.tolist()
    assert (~cr.tensor([True, False])).tolist() == [False, True]
    assert (cr.tensor([True, False]) ^ cr.tensor([True, True])).tolist() == [False, True]
    assert cr.gcd(cr.tensor([12]), cr.tensor([18])).tolist() == [6]
    assert cr.lcm(cr.tensor([4]), cr.tensor([6])).tolist() == [12]


def test_in_place_operators():
    for build in ("iadd", "isub", "imul", "itruediv", "imod", "ipow"):
        results = []
        for library in (cr, torch):
            leaf = library.tensor([1.5, 4.0]).requires_grad_()
            x = leaf * 1
            alias = x
            x = getattr(operator, build)(x, 2.0)
            assert x is alias
            x.sum().backward()
            results.append((x.detach().tolist(), leaf.grad.tolist()))
        assert results[0] == results[1], build
    mask = cr.tensor([1, 2])
    mask <<= 1
    mask |= cr.tensor([1, 1])
    assert mask.tolist() == [3, 5]
    with pytest.raises(RuntimeError, match="can't be cast"):
        mask += 0.5


def test_divmod_and_rounding_protocols():
    import math

    x = cr.tensor([7.5])
    q, r = divmod(x, 2)
    assert (q.item(), r.item()) == (3.0, 1.5)
    assert divmod(8, x)[0].item() == 1.0
    assert round(cr.tensor(2.567), 1).item() == pytest.approx(2.6)
    assert abs(-x).item() == 7.5
    assert math.floor(x).item() == 7


@pytest.mark.parametrize("other", [None, "a", [1.0], {}])
def test_foreign_operands(other):
    x = cr.tensor([1.0])
    assert (x == other) is False
    assert (x != other) is True
    for op in (operator.lt, operator.add, operator.mul, operator.and_, operator.pow):
        with pytest.raises(TypeError):
            op(x, other)
    with pytest.raises(TypeError, match=r"unsupported operand type\(s\) for -"):
        x - other
    with pytest.raises(TypeError, match="takes tensors, arrays and numbers"):
        cr.mul(x, other)


def test_the_other_operand_gets_its_turn():
    class Unit:
        def __rmul__(self, other):
            return "metres"

    assert cr.tensor([1.0]) * Unit() == "metres"


def test_errors_say_what_to_do():
    integer, boolean, z = cr.tensor([1]), cr.tensor([True]), cr.tensor([1j])
    for call, kind, words in [
        (lambda: boolean - boolean, RuntimeError, "Subtraction, the `-` operator"),
        (lambda: -boolean, RuntimeError, "Negation, the `-` operator"),
        (lambda: boolean**boolean, NotImplementedError, '"pow" not implemented for bool'),
        (lambda: cr.square(boolean), NotImplementedError, '"square" not implemented for bool'),
        (lambda: integer // 0, RuntimeError, "ZeroDivisionError"),
        (lambda: integer % 0, RuntimeError, "ZeroDivisionError"),
        (lambda: cr.fmod(integer, 0), RuntimeError, "ZeroDivisionError"),
        (lambda: integer**-1, RuntimeError, "Integers to negative integer powers"),
        (lambda: cr.floor(z), NotImplementedError, "not implemented for complex"),
        (lambda: z < z, NotImplementedError, "no order"),
        (lambda: cr.maximum(z, z), NotImplementedError, "no order"),
        (lambda: cr.clamp(z, min=0), NotImplementedError, "no order"),
        (lambda: cr.ones(2) & 1, NotImplementedError, "not implemented for float32"),
        (lambda: cr.clamp(integer), RuntimeError, "At least one of 'min' or 'max'"),
        (lambda: cr.ones(3) * cr.ones(2), RuntimeError, r"tensor a \(3\) must match .* b \(2\)"),
        (lambda: cr.div(integer, 2, rounding_mode="up"), RuntimeError, "rounding_mode"),
        (lambda: cr.add(integer, integer, alpha=0.5), RuntimeError, "argument alpha"),
        (lambda: cr.isclose(integer, cr.ones(1)), RuntimeError, "did not match"),
        (lambda: cr.sin([1.0]), TypeError, "wrap sequences"),
        (lambda: cr.frexp(integer), RuntimeError, "floating-point"),
        (lambda: cr.polygamma(-1, cr.ones(1)), RuntimeError, "negative n"),
        (lambda: cr.complex(integer, integer), RuntimeError, "Expected both inputs"),
    ]:
        with pytest.raises(kind, match=words):
            call()


def test_a_missing_derivative_is_an_error():
    a = cr.ones(2).requires_grad_()
    y = cr.special.gammainc(a, cr.ones(2))
    with pytest.raises(NotImplementedError, match="derivative for 'igamma: input'"):
        y.sum().backward()


def test_names_of_grad_fns():
    differ = []
    for build in (
        lambda x: x + 1, lambda x: x - 1, lambda x: x * 2, lambda x: x / 2, lambda x: -x,
        lambda x: x**2, lambda x: x**3, lambda x: 2**x, lambda x: x.exp(), lambda x: x.sigmoid(),
        lambda x: x.tanh(), lambda x: x.abs(), lambda x: x.sqrt(), lambda x: x.rsqrt(),
        lambda x: x.clamp(0, 1), lambda x: x.maximum(x), lambda x: x.minimum(x),
        lambda x: x.log1p(),
        lambda x: x.atan2(x), lambda x: x.erf(), lambda x: x.reciprocal(), lambda x: x.sign(),
        lambda x: x.floor(), lambda x: x.round(), lambda x: x.remainder(2),
        lambda x: x.lerp(x, 0.5),
        lambda x: x.clamp(min=0), lambda x: x.acos(), lambda x: x.lgamma(), lambda x: x.hypot(x),
        lambda x: x.logaddexp(x), lambda x: x.digamma(), lambda x: x.erfinv(), lambda x: x.sinc(),
        lambda x: x.xlogy(x), lambda x: x.logit(), lambda x: x.nan_to_num(), lambda x: x.frac(),
        lambda x: x.copysign(x), lambda x: x.fmod(2), lambda x: x.expm1(), lambda x: x.trunc(),
        lambda x: x.fmax(x), lambda x: x.deg2rad(), lambda x: x.i0(), lambda x: x.polygamma(1),
           lambda x: x.angle(),
         lambda x: cr_or_torch(x).special.erfcx(x),
        lambda x: cr_or_torch(x).special.i1(x), lambda x: cr_or_torch(x).special.i0e(x),
        lambda x: cr_or_torch(x).special.ndtri(x), lambda x: cr_or_torch(x).special.log_ndtr(x),
        lambda x: cr_or_torch(x).special.entr(x), lambda x: cr_or_torch(x).special.xlog1py(x, x),
        lambda x: cr_or_torch(x).complex(x, x),  
        lambda x: (x * 1j).abs(), lambda x: (x * 1j).sgn(), lambda x: (x * 1j).conj(),
        lambda x: cr_or_torch(x).view_as_real(x * 1j),
        lambda x: x.div(2, rounding_mode="trunc"), lambda x: x.div(2, rounding_mode="floor"),
        lambda x: cr_or_torch(x).special.i1e(x), lambda x: x.erfc(), lambda x: x.square(),
    ):  # fmt: skip
        with np.errstate(all="ignore"):
            ours, theirs = (
                build(m.tensor([0.5], dtype=m.float64).requires_grad_()).grad_fn.name()[:-1]
                for m in (cr, torch)
            )
        if ours != theirs:
            differ.append((ours, theirs))
    assert not differ


def cr_or_torch(x):
    return cr if isinstance(x, cr.Tensor) else torch


def test_every_elementwise_function_has_an_example_that_runs():
    runner = doctest.DocTestRunner()
    for name, (call, printed) in EXAMPLES.items():
        f = FUNCTIONS.get(name) or SPECIAL[name]
        assert call in f.__doc__
        assert printed in f.__doc__
        test = doctest.DocTestParser().get_doctest(f.__doc__, {}, name, None, 0)
        runner.run(test)
    assert runner.failures == 0
    assert runner.tries > 200


def test_closeness():
    x = cr.tensor([1.0, float("nan"), float("inf")])
    assert cr.isclose(x, x).tolist() == [True, False, True]
    assert cr.allclose(x, x, equal_nan=True)
    assert not cr.equal(x, x)
    assert cr.equal(cr.tensor([1]), cr.tensor([1.0]))
    assert not cr.equal(cr.ones(2), cr.ones(3))
