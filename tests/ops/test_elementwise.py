"""Elementwise operations agree with PyTorch: values, gradients, dtypes, special points."""

import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.primitive import REGISTRY
from chainrule.core.samples import Sample

from . import checks

torch = pytest.importorskip("torch")

INF, NAN = float("inf"), float("nan")
POINTS = [-INF, -2.5, -1.0, -0.5, -0.0, 0.0, 0.25, 0.5, 1.0, 2.5, 40.0, INF, NAN]


def words(text):
    return text.split()


UNARY = words("""
abs acos acosh asin asinh atan atanh ceil cos cosh deg2rad digamma erf erfc erfinv exp exp2
expm1 floor frac i0 lgamma log log10 log1p log2 logit nan_to_num neg rad2deg reciprocal round
rsqrt sigmoid sign sgn sin sinc sinh sqrt square tan tanh trunc angle positive special.erfcx
special.ndtr special.ndtri special.log_ndtr special.entr special.expit special.gammaln
special.i0e special.i1 special.i1e special.psi special.log1p
""")
BINARY = words("""
add sub mul div pow atan2 copysign fmax fmin fmod hypot logaddexp logaddexp2 maximum minimum
remainder xlogy special.xlog1py ldexp
""")
BOOLEAN = words("""
eq ne lt le gt ge logical_and logical_or logical_xor
""")
INQUIRY = words("""
isnan isinf isfinite isposinf isneginf signbit isreal logical_not
""")
COMPLEX = words("""
abs acos acosh angle asin asinh atan atanh conj cos cosh exp expm1 log log10 log2 log1p neg
positive reciprocal rsqrt sgn sigmoid sin sinc sinh sqrt square tan tanh real imag
""")


def function(library, name):
    for part in name.split("."):
        library = getattr(library, part)
    return library


def array(x):
    return x.detach().resolve_conj().numpy(force=True)


def both(name, *arrays, **kwargs):
    """(values, gradients) of our function and of PyTorch's."""
    found = []
    for library in (cr, torch):
        xs = [library.tensor(a) for a in arrays]
        for x in xs:
            x.requires_grad_(x.is_floating_point() or x.is_complex())
        with np.errstate(all="ignore"):
            y = function(library, name)(*xs, **kwargs)
            grads = [None] * len(xs)
            if y.requires_grad:
                total = y.abs().sum() if y.is_complex() else y.sum()
                total.backward()
                grads = [x.grad for x in xs]
        found.append((array(y), [g if g is None else array(g) for g in grads]))
    return found


def agree(ours, theirs, tol, where=...):
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(
        ours[where], theirs[where], rtol=tol, atol=tol * 1e-3, equal_nan=True
    )


# Points where PyTorch's gradient is nan or of another branch and ours is the limit, and one value.
OURS = {
    "acosh": lambda x: x >= 1,  # below, the value is nan, and so is our derivative
    "digamma": lambda x: x >= 0,
    "special.psi": lambda x: x >= 0,
    "lgamma": lambda x: x > -INF,
    "special.gammaln": lambda x: x > -INF,
    "logit": lambda x: x != 0,
    "special.log_ndtr": lambda x: x > -INF,
    "special.i1": lambda x: x == x,
    "special.i1e": lambda x: x == x,
    "copysign": lambda x, y: np.isfinite(x),
    "hypot": lambda x, y: (x != 0) | (y != 0),
    "logaddexp": lambda x, y: (x != y) | np.isfinite(x),
    "logaddexp2": lambda x, y: (x != y) | np.isfinite(x),
    "ldexp": lambda x, y: (x != 0) | np.isfinite(y),
}
ROUGH = {"digamma": 1e-8, "special.psi": 1e-8}  # PyTorch's trigamma has nine digits


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_unary(name, dtype):
    x = np.array(POINTS, dtype)
    (y, (g,)), (ty, (tg,)) = both(name, x)
    tol = 2e-5 if dtype == "float32" else ROUGH.get(name, 1e-11)
    where = OURS.get(name, lambda x: ...)(x)
    agree(y, ty, tol, where)
    agree(g, tg, 10 * tol, where)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_binary(name, dtype):
    x, y = (a.ravel() for a in np.meshgrid(*[np.array(POINTS, dtype)] * 2))
    (z, gs), (tz, tgs) = both(name, x, y)
    tol = 2e-5 if dtype == "float32" else 1e-11
    where = OURS.get(name, lambda x, y: ...)(x, y)
    agree(z, tz, tol, where)
    for g, tg in zip(gs, tgs, strict=True):
        agree(g, tg, 10 * tol, where)


@pytest.mark.parametrize("name", BOOLEAN)
def test_comparisons_and_logic(name):
    x, y = np.meshgrid(POINTS, POINTS)
    (z, _), (tz, _) = both(name, x, y)
    assert z.dtype == bool
    assert (z == tz).all()


@pytest.mark.parametrize("name", INQUIRY)
def test_inquiries(name):
    for dtype in ("float32", "float64", "int64"):
        x = np.array(POINTS if dtype != "int64" else [-1, 0, 2], dtype)
        (z, _), (tz, _) = both(name, x)
        assert z.dtype == bool
        assert (z == tz).all()


COMPLEX_POINTS = np.array([0.3 + 0.4j, -1.2 + 0.7j, 0.5 - 2j, -0.6 - 0.1j, 2 + 0.3j, 0.2j + 3])


@pytest.mark.parametrize("name", COMPLEX)
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex(name, dtype):
    (y, (g,)), (ty, (tg,)) = both(name, COMPLEX_POINTS.astype(dtype))
    tol = 5e-5 if dtype == "complex64" else 1e-11
    agree(y, ty, tol)
    agree(g, tg, 10 * tol)


HOLOMORPHIC = words("""
acos acosh asin asinh atan atanh cos cosh exp expm1 log log10 log2 log1p reciprocal rsqrt sigmoid
sin sinc sinh sqrt square tan tanh abs angle complex_sign real imag conj add subtract multiply
divide pow view_as_real
""")


@pytest.mark.parametrize("name", HOLOMORPHIC)
def test_complex_rules(name):
    """vjp, jvp and second order of complex arguments against differences."""
    prim = REGISTRY[name]
    sample = Sample(*[COMPLEX_POINTS, COMPLEX_POINTS[::-1] * 1j][: getattr(prim, "arity", 1)])
    for check in (checks.check_vjp, checks.check_jvp, checks.check_second_order):
        check(prim, sample, np.random.default_rng(3))


@pytest.mark.parametrize("name", ["abs", "sgn", "angle", "square", "exp"])
def test_complex_zero(name):
    (y, (g,)), (ty, (tg,)) = both(name, np.array([0j]))
    agree(y, ty, 1e-12)
    agree(g, tg, 1e-12)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow"])
def test_complex_binary(name):
    for other in (COMPLEX_POINTS[::-1].copy(), COMPLEX_POINTS.real.copy()):
        (y, gs), (ty, tgs) = both(name, COMPLEX_POINTS, other)
        agree(y, ty, 1e-11)
        for g, tg in zip(gs, tgs, strict=True):
            agree(g, tg, 1e-10)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, -2, 0.5, 2.5, -0.5, 0.0, 2.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_power_of_a_number(exponent, dtype):
    """Values, gradients and second gradients at zero and at negative bases."""
    results = []
    for library in (cr, torch):
        x = library.tensor(np.array([-2.0, -0.5, 0.0, 0.5, 2.0], dtype)).requires_grad_()
        with np.errstate(all="ignore"):
            y = x**exponent
            (g,) = library.autograd.grad(y.sum(), x, create_graph=True)
            second = np.zeros(5, dtype)
            if g.requires_grad:
                (h,) = library.autograd.grad(g.sum(), x)
                second = h.numpy()
        results.append((y.detach().numpy(), g.detach().numpy(), second))
    for a, b in zip(*results, strict=True):
        agree(a, b, 1e-5 if dtype == "float32" else 1e-12, np.array([0, 1, 3, 4]))
    for a, b in zip(results[0][:2], results[1][:2], strict=True):
        agree(a, b, 1e-5)


def test_power_with_a_number_as_base():
    for base in (2, 0.5, 0.0):
        results = []
        for library in (cr, torch):
            x = library.tensor([-1.0, 0.0, 1.5]).requires_grad_()
            with np.errstate(all="ignore"):
                y = base**x
                y.sum().backward()
            results.append((y.detach().numpy(), x.grad.numpy()))
        for a, b in zip(*results, strict=True):
            agree(a, b, 1e-5)


def test_mixed_derivative_of_power_at_exponent_zero():
    x, y = cr.tensor(2.0).requires_grad_(), cr.tensor(0.0).requires_grad_()
    (gx,) = cr.autograd.grad(x**y, x, create_graph=True)
    (gxy,) = cr.autograd.grad(gx, y)
    assert gxy.item() == pytest.approx(0.5)  # d²(x^y)/dxdy = x^(y-1)·(1 + y·log x)


def test_ties_and_bounds():
    x, y = cr.tensor([1.0, 2.0]).requires_grad_(), cr.tensor([1.0, 1.0]).requires_grad_()
    cr.maximum(x, y).sum().backward()
    assert x.grad.tolist() == [0.5, 1.0]
    assert y.grad.tolist() == [0.5, 0.0]
    x = cr.tensor([-1.0, 0.0, 0.5, 1.0, 2.0]).requires_grad_()
    x.clamp(0, 1).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


@pytest.mark.parametrize("kinds", ["nn", "n-", "-n", "tt", "t-", "-t"])
def test_clamp(kinds):
    """Bounds that are numbers (n), tensors (t) or absent (-), crossing ones too."""
    points = np.array(POINTS)
    low, high = np.array([-1.0, 0.3, 2.0])[:, None], np.array([0.5, 0.5, -1.0])[:, None]
    results = []
    for library in (cr, torch):
        leaves = [library.tensor(a).requires_grad_() for a in (points, low, high)]
        bounds = [
            {"n": n, "t": t, "-": None}[k]
            for k, n, t in zip(kinds, (-0.5, 1), leaves[1:], strict=True)
        ]
        y = library.clamp(leaves[0], *bounds)
        y.sum().backward()
        results.append([y.detach(), *[x.grad for x in leaves]])
    for a, b in zip(*results, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            agree(a.numpy(), b.numpy(), 1e-12)


def test_an_infinite_cotangent_does_not_pass_a_selection():
    for select in (
        lambda x: x.clamp(min=0), lambda x: cr.maximum(x, cr.zeros(2)),
        lambda x: cr.fmax(x, cr.zeros(2)), lambda x: x.clamp(0, 4), cr.relu,
    ):  # fmt: skip
        x = cr.tensor([-1.0, 4.0]).requires_grad_()
        select(x).sqrt().sum().backward()
        assert x.grad.tolist() == [0.0, 0.25]


def test_three_arguments():
    a, b, c = np.array([1.0, 2.0]), np.array([3.0, -4.0]), np.array([0.5, 2.5])
    for call in (
        lambda m, x, y, z: m.addcmul(x, y, z, value=2),
        lambda m, x, y, z: m.addcdiv(x, y, z, value=0.5),
        lambda m, x, y, z: m.lerp(x, y, z), lambda m, x, y, z: m.lerp(x, y, 0.25),
        lambda m, x, y, z: m.sub(x, y, alpha=3), lambda m, x, y, z: m.float_power(z, x),
        lambda m, x, y, z: m.div(y, z, rounding_mode="floor") + m.div(y, x, rounding_mode="trunc"),
        lambda m, x, y, z: m.special.multigammaln(x + 1, 2), lambda m, x, y, z: m.polygamma(2, z),
        lambda m, x, y, z: m.logit(x / 4, eps=0.3), lambda m, x, y, z: m.frexp(y).mantissa,
        lambda m, x, y, z: m.special.gammainc(m.tensor(a), z),
        lambda m, x, y, z: m.polar(x, y).real,
        lambda m, x, y, z: m.complex(x, y).abs(),
        lambda m, x, y, z: m.special.zeta(m.tensor(a + 1), z),
    ):  # fmt: skip
        results = []
        for library in (cr, torch):
            leaves = [library.tensor(v).requires_grad_() for v in (a, b, c)]
            with np.errstate(all="ignore"):
                y = call(library, *leaves)
                y.sum().backward()
            results.append([y.detach(), *[x.grad for x in leaves]])
        for ours, theirs in zip(*results, strict=True):
            zero = np.zeros(2)
            agree(*(zero if r is None else r.numpy() for r in (ours, theirs)), 1e-7)


def test_views_of_complex_numbers():
    z = cr.tensor(COMPLEX_POINTS)
    z.real[0] = 7.0
    z.imag = cr.zeros(6)
    assert z[0].item() == 7
    pairs = cr.view_as_real(z)
    pairs[1, 1] = 3.0
    assert z[1].item() == -1.2 + 3j
    assert cr.view_as_complex(pairs).array.base is not None
    with pytest.raises(RuntimeError, match="imag is not implemented"):
        cr.imag(cr.ones(2))
    with pytest.raises(RuntimeError, match="last dimension of size 2"):
        cr.view_as_complex(cr.ones(2, 3))


@pytest.mark.parametrize(
    "name", ["sigmoid", "logaddexp", "xlogy", "special.xlog1py", "special.entr"]
)
def test_no_warning_from_within(name):
    """What NumPy would warn of in a helper is not the user's business."""
    x = cr.tensor(np.array([-1e4, -800.0, -1.0, 0.0, 1.0, 800.0, 1e4])).requires_grad_()
    y = cr.tensor(np.array([0.5, 1, 2, 0.0, 3, 4, 5]))
    f = function(cr, name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        z = f(x) if name in ("sigmoid", "special.entr") else f(x, y)
        z.sum().backward()


@pytest.mark.parametrize("name", ["isinf", "isnan", "sign", "floor", "logical_and"])
def test_one_argument_too_many_is_refused_and_not_written(name):
    x, other = cr.ones(2), cr.tensor([5.0, 6.0])
    args = (other,) * REGISTRY[name].arity
    with pytest.raises(TypeError, match="argument"):
        getattr(x, name)(*args)
    assert other.tolist() == [5.0, 6.0]
