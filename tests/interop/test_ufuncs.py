"""NumPy's and SciPy's ufuncs on tensors are recorded, or say why not."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.interop.ufuncs import numpy_table, operation_for

NOT_COVERED = {"bitwise_count", "isnat", "spacing"}


def leaf(*values):
    return cr.tensor(np.array(values, np.float64)).requires_grad_()


def test_unary():
    x = leaf(0.5, 1.0)
    y = np.sin(x)
    assert isinstance(y, cr.Tensor)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.cos([0.5, 1.0]))


@pytest.mark.parametrize("ufunc", [np.add, np.multiply, np.subtract, np.divide, np.power])
def test_array_on_the_left(ufunc):
    a, x = np.array([1.5, 2.0]), leaf(0.5, 1.0)
    y = ufunc(a, x)
    assert y.requires_grad
    np.testing.assert_allclose(y.detach().numpy(), ufunc(a, [0.5, 1.0]))


def test_operators_with_arrays():
    a, x = np.array([1.5, 2.0]), leaf(0.5, 1.0)
    for y in (a * x, x * a, a + x, a - x, a / x, a**x, np.float64(2) * x, a @ x):
        assert isinstance(y, cr.Tensor)
        assert y.requires_grad
    assert (a > x).dtype == cr.bool


def test_scipy():
    special = pytest.importorskip("scipy.special")
    x = leaf(0.5, 1.0)
    for name in (
        "erf",
        "gammaln",
        "psi",
        "expit",
        "logit",
        "ndtr",
        "j0",
        "i1e",
        "gamma",
        "log_ndtr",
    ):
        f = getattr(special, name)
        with np.errstate(divide="ignore"):
            y = f(x)
            assert y.requires_grad, name
            np.testing.assert_allclose(y.detach().numpy(), f([0.5, 1.0]))
    y = special.zeta(2.0, x)
    np.testing.assert_allclose(y.detach().numpy(), special.zeta(2.0, [0.5, 1.0]))
    np.testing.assert_allclose(
        special.xlogy(x, x).detach().numpy(), special.xlogy([0.5, 1], [0.5, 1])
    )


def test_every_numpy_ufunc_is_covered():
    ufuncs = {f for n in dir(np) if isinstance(f := getattr(np, n), np.ufunc)}
    missing = {f.__name__ for f in ufuncs if f not in numpy_table()}
    assert missing <= NOT_COVERED


def values_of(y):
    return y.array if isinstance(y, cr.Tensor) else y


@pytest.mark.parametrize("ufunc", sorted(numpy_table(), key=lambda f: f.__name__), ids=str)
def test_agrees_with_numpy(ufunc):
    if ufunc.signature is not None:
        pytest.skip("matmul: tested by its own file")
    integers = not any(t.startswith("f") for t in ufunc.types)
    if ufunc is np.ldexp:
        args = [np.array([0.3, 0.7]), np.array([2, 3])]
    elif integers:
        args = [np.array([12, 7]), np.array([2, 3])]
    else:
        args = [np.array([1.3, 1.7]), np.array([2.6, 3.1])]
    if ufunc in (np.arcsin, np.arccos, np.arctanh):
        args = [np.array([0.3, 0.7])]
    args = args[: ufunc.nin]
    got, wanted = ufunc(*map(cr.tensor, args)), ufunc(*args)
    for g, w in zip(*(r if isinstance(r, tuple) else (r,) for r in (got, wanted)), strict=True):
        assert isinstance(g, cr.Tensor)
        assert g.array.dtype == w.dtype
        np.testing.assert_allclose(g.array, w, rtol=1e-12)


def test_reductions():
    a = np.arange(24.0).reshape(2, 3, 4) / 7 + 0.5
    x = cr.tensor(a).requires_grad_()
    for ufunc in (np.add, np.multiply, np.maximum, np.minimum):
        for params in ({}, {"axis": 1}, {"axis": None}, {"axis": (0, -1), "keepdims": True}):
            y = ufunc.reduce(x, **params)
            assert y.requires_grad
            np.testing.assert_allclose(y.detach().numpy(), ufunc.reduce(a, **params))
    np.testing.assert_allclose(np.add.accumulate(x, axis=1).detach().numpy(), a.cumsum(1))
    assert bool(np.logical_or.reduce(cr.tensor([False, True])))


def test_outer():
    x, a = leaf(1.0, 2.0), np.array([[3.0, 4.0]])
    np.testing.assert_allclose(
        np.multiply.outer(x, a).detach().numpy(), np.multiply.outer([1.0, 2.0], a)
    )
    assert np.add.outer(a, x).shape == (1, 2, 2)


def test_out():
    a = np.zeros(2)
    assert np.add(cr.tensor([1.0, 2.0]), 1.0, out=a) is a
    np.testing.assert_allclose(a, [2, 3])
    a += cr.tensor([1.0, 1.0])
    np.testing.assert_allclose(a, [3, 4])
    t = cr.zeros(2)
    assert np.multiply(cr.tensor([1.0, 2.0]), 2, out=t) is t
    assert t.tolist() == [2, 4]
    with pytest.raises(TypeError, match="array = array \\+ tensor"):
        a += leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="don't support automatic differentiation"):
        np.multiply(leaf(1.0, 2.0), 2, out=t)


def test_refusals():
    x = leaf(1.0, 2.0)
    with pytest.raises(TypeError, match=r"chainrule\.where"):
        np.sin(x, where=np.array([True, False]))
    with pytest.raises(TypeError, match=r"x\.to\(dtype\)"):
        np.add(x, 1, dtype=np.float32)
    with pytest.raises(TypeError, match="not available"):
        np.add.at(x, [0], 1)
    with pytest.raises(TypeError, match=r"subtract\.reduce is not available"):
        np.subtract.reduce(x)
    with pytest.raises(TypeError, match=r"np\.spacing has no derivative rule"):
        np.spacing(x)
    assert isinstance(np.spacing(x.detach()), cr.Tensor)


def test_other_types_get_their_turn():
    class Other:
        def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
            return "other"

    assert np.add(leaf(1.0), Other()) == "other"


def test_only_the_real_scipy_ufunc_is_meant():
    fake = np.frompyfunc(lambda x: x, 1, 1)
    assert operation_for(fake) is None


def test_lists_are_arrays():
    assert np.add(cr.tensor([1.0, 2.0]), [1, 1]).tolist() == [2, 3]
