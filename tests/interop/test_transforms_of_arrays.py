"""NumPy arrays and numbers in transforms: what raises, functions that write, types of results."""

import math

import numpy as np
import pytest

import chainrule as cr
from tests.interop.test_transforms_of_numpy_code import close, slopes

# ---------------------------------------------------------------- what cannot be recorded

TRANSFORMS = {
    "grad": lambda f: cr.func.grad(f)(np.array([0.5, 2.0])),
    "jvp": lambda f: cr.func.jvp(f, (np.array([0.5, 2.0]),), (np.ones(2),)),
    "vmap": lambda f: cr.func.vmap(f)(np.array([[0.5, 2.0], [1.0, 3.0]])),
    "taylor": lambda f: cr.func.taylor(f, np.array([0.5, 2.0]), np.ones(2), 2),
    "nested": lambda f: cr.func.jvp(cr.func.grad(f), (np.array([0.5, 2.0]),), (np.ones(2),)),
}


def fills_entry(x):
    out = np.zeros(3)
    out[0] = x[0]
    return np.sum(out)


def fills_slice(x):
    out = np.zeros((3, 2))
    out[1] = x
    return np.sum(out)


def adds_in_place(x):
    out = np.zeros(2)
    out += x
    return np.sum(out)


def scipy_function(x):
    return pytest.importorskip("scipy.special").logsumexp(x)


UNRECORDED = {
    "array": lambda x: np.array([x[0], x[1]]).sum(),
    "asarray": lambda x: np.asarray(x).sum(),
    "array_of_rows": lambda x: np.array([x, x]).sum(),
    "float64": lambda x: np.float64(x[0]),
    "sum_of_list": lambda x: np.sum([x[0], x[1]]),
    "sqrt_of_list": lambda x: np.sqrt([x[0], x[1]]).sum(),
    "vectorize": lambda x: np.vectorize(lambda v: v * 2)(x).sum(),
    "arange": lambda x: np.arange(0, x[0]).sum(),
    "full": lambda x: np.full(3, x[0]).sum(),
    "method_of_array": lambda x: np.ones(2).dot(x),
    "concatenator": lambda x: np.r_[x, 1.0].sum(),
    "math": lambda x: math.sin(x[0]),
    "float": lambda x: float(x[0]),
    "int": lambda x: int(x[0]),
    "fills_entry": fills_entry,
    "fills_slice": fills_slice,
    "scipy": scipy_function,
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", UNRECORDED)
def test_never_a_silent_detach(name, transform):
    with pytest.raises((RuntimeError, ValueError)) as error:
        TRANSFORMS[transform](UNRECORDED[name])
    said = f"{error.value} {error.value.__cause__}"  # NumPy hides an entry's error in the cause
    if transform != "vmap":
        assert "chainrule.zeros" in said
        assert "chainrule.sin" in said
    else:
        assert "operations on the tensor" in said


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_writing_to_an_array(transform):
    run = TRANSFORMS[transform]
    with pytest.raises(TypeError, match=r"array = array \+ tensor"):
        run(adds_in_place)
    for write in (
        lambda out, x: np.copyto(out, x),
        lambda out, x: np.put(out, [0, 1], x),
        lambda out, x: np.putmask(out, np.array([True, False]), x),
        lambda out, x: np.place(out, np.array([True, False]), x),
        lambda out, x: np.copyto(dst=out, src=x),
    ):
        with pytest.raises((TypeError, RuntimeError), match=r"like=|operations on the tensor"):
            run(lambda x, write=write: write(np.zeros(2), x) or np.sum(x))
    with pytest.raises(TypeError, match="cannot write its result to an array"):
        run(lambda x: np.sum(x, out=np.zeros(())))
    with pytest.raises(TypeError, match="no derivative rule"):
        run(lambda x: np.spacing(x).sum())
    with pytest.raises(TypeError, match="not recorded"):
        run(lambda x: np.trim_zeros(x).sum())


WRITES = {
    "copyto": lambda out, x: np.copyto(out, x * 2),
    "copyto_where": lambda out, x: np.copyto(out, x * 2, where=np.array([True, False, True])),
    "put": lambda out, x: np.put(out, [2, 0], x[:2] ** 2),
    "put_clip": lambda out, x: np.put(out, [7], x[0] ** 2, mode="clip"),
    "putmask": lambda out, x: np.putmask(out, np.array([True, False, True]), x**2),
    "place": lambda out, x: np.place(out, np.array([True, False, True]), x[:1] ** 2),
    "along_axis": lambda out, x: np.put_along_axis(out, np.array([2, 0]), x[1:] ** 3, 0),
}


@pytest.mark.parametrize("name", WRITES)
def test_functions_that_write(name):
    def f(x):
        out = np.ones_like(x)
        WRITES[name](out, x)
        return np.sum(out * np.array([1.0, 2.0, 3.0]) * out)

    x = np.array([0.4, -0.3, 1.2])
    expected = slopes(f, x)
    close(cr.func.grad(f)(x), expected, 1e-6)
    close(cr.func.jacfwd(f)(x), expected, 1e-6)
    close(cr.func.vmap(f)(np.stack([x, 2 * x])), np.stack([f(x), f(2 * x)]))


def test_diagonal_of_a_matrix():
    def f(x):
        out = np.zeros((3, 4), like=x)
        np.fill_diagonal(out, x)
        return np.sum(out**3)

    x = np.array([0.4, -0.3, 1.2])
    close(cr.func.grad(f)(x), 3 * x**2)
    with pytest.raises(IndexError, match="out of bounds"):
        np.put(cr.zeros(2), [2], 1.0)
    with pytest.raises(TypeError, match="Cannot cast"):
        np.copyto(cr.zeros(2, dtype=cr.int64), np.ones(2))


# ---------------------------------------------------------------- types of results


def f_of(x):
    return np.sum(np.sin(x) * x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_keep_their_dtype(dtype):
    x = np.array([0.5, 1.5], dtype)
    results = (
        cr.func.grad(f_of)(x), cr.func.grad_and_value(f_of)(x), cr.func.jvp(f_of, (x,), (x,)),
        cr.func.vjp(f_of, x)[0], cr.func.jacfwd(f_of)(x), cr.func.jacrev(f_of)(x),
        cr.func.hessian(f_of)(x), cr.func.hvp(f_of, x, x), cr.func.taylor(f_of, x, x, 2),
        cr.func.vmap(np.sin)(x), cr.func.linearize(f_of, x)[1](x), cr.func.laplacian(f_of)(x),
        cr.func.grad(np.sin)(x[0]),
    )  # fmt: skip
    for leaf in cr.tree.leaves(results):
        assert type(leaf) is np.ndarray
        assert leaf.dtype == dtype
        assert leaf.flags.writeable


def test_numbers_are_double_and_give_arrays():
    results = (
        cr.func.grad(np.sin)(0.5), cr.func.jvp(np.sin, (0.5,), (1.0,))[1],
        cr.func.vjp(np.sin, 0.5)[1](1.0)[0], cr.func.jacfwd(np.sin)(0.5),
        cr.func.taylor(np.sin, 0.5, 1.0, 1)[1],
    )  # fmt: skip
    for leaf in results:
        assert type(leaf) is np.ndarray
        assert leaf.shape == ()
        assert leaf == np.cos(0.5)  # all digits
    close(cr.func.nth_derivative(np.sin, 3)(0.5), -np.cos(0.5))


def test_numbers_beside_arrays_and_tensors_take_their_dtype():
    def f(x, y):
        return np.sum(x * y)

    x = np.ones(2, np.float32)
    gx, gy = cr.func.grad(f, argnums=(0, 1))(x, 3.0)
    assert gx.dtype == gy.dtype == np.float32
    gx, gy = cr.func.grad(f, argnums=(0, 1))(cr.tensor(x), 3.0)
    assert isinstance(gx, cr.Tensor)
    assert isinstance(gy, cr.Tensor)
    assert gy.dtype == cr.float32
    assert cr.func.grad(f, argnums=1)(np.arange(3), 3.0).dtype == np.float64


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_arrays_that_are_more_than_their_entries():
    masked = np.ma.array([1.0, 2.0], mask=[False, True])
    for x, cure in ((masked, "lose its mask"), (np.matrix([[1.0, 2.0]]), "multiply with @")):
        with pytest.raises(TypeError, match=cure):
            cr.func.grad(np.sum)(x)
        with pytest.raises(TypeError, match=cure):
            cr.func.vmap(np.sum)(x)
        with pytest.raises(TypeError, match=cure):
            cr.func.grad(lambda v, x=x: np.sum(np.where(v > 0, v, x)))(np.ones(2))


def test_results_of_out_are_spread_as_numpy_does():
    out = cr.zeros(2)
    assert np.add(cr.tensor(1.0), 2.0, out=out) is out
    assert out.tolist() == [3.0, 3.0]
    with pytest.raises(ValueError, match="broadcast"):
        np.add(cr.ones(3), 2.0, out=out)
