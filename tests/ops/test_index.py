"""Indexing of every kind, reading and writing: values and gradients as PyTorch's."""

import numpy as np
import pytest

from chainrule.autograd.reverse import grad
from chainrule.core.samples import uniform
from chainrule.core.tensor import set_requires_grad, wrap

torch = pytest.importorskip("torch")
X = uniform(3, 4, 5)
I, J = np.array([2, 0, 2]), np.array([[1], [2]])
MASK = np.random.default_rng(0).random((3, 4)) > 0.5
ROWS = np.array([True, False, True])

# What PyTorch and we agree on.  Arrays are passed to each library as its own tensors.
INDICES = {
    "int": 1,
    "negative": -1,
    "numpy_int": np.int64(2),
    "ints": (1, -2),
    "all_ints": (0, 1, 2),
    "slice": slice(1, 3),
    "step": (slice(None), slice(None, None, 2)),
    "negative_bounds": (slice(-2, None), slice(None, -1)),
    "empty_slice": slice(2, 1),
    "beyond": slice(1, 100),
    "none": (None, 1, None),
    "ellipsis": (..., 1),
    "ellipsis_middle": (0, ..., slice(1, 3)),
    "ellipsis_alone": ...,
    "ellipsis_superfluous": (0, 1, ..., 2),
    "nothing": (),
    "true": True,
    "false": False,
    "list": ([0, 2],),
    "array": I,
    "array_2d": J,
    "negative_array": np.array([-1, -3]),
    "zero_d_array": np.array(1),
    "empty_array": np.array([], np.int64),
    "repeated": np.array([1, 1, 1]),
    "second": (slice(None), J),
    "last": (..., I),
    "two_arrays": (I, np.array([0, 1, 1])),
    "two_arrays_broadcast": (I, J),
    "two_arrays_apart": (I, slice(None), np.array([0, 4, 4])),
    "two_arrays_later": (slice(None), I, np.array([0, 1, 4])),
    "three_arrays": (I, I, I),
    "array_and_slice": (I, slice(1, 3)),
    "slice_and_array": (slice(1, 3), I),
    "int_and_array": (0, slice(None), np.array([1, 2])),
    "array_and_int": (np.array([1, 2]), slice(None), 0),
    "int_between": (np.array([1, 2]), 0, np.array([3, 3])),
    "int_ellipsis_array": (1, ..., np.array([3, 3, 0])),
    "none_and_array": (None, I),
    "none_between": (I, None, np.array([0, 1, 1])),
    "none_int_array": (None, 1, I),
    "mask": MASK,
    "mask_of_rows": ROWS,
    "mask_second": (slice(None), np.array([True, False, True, True])),
    "mask_last": (..., np.array([True, False, True, True, False])),
    "mask_and_array": (ROWS, np.array([1, 3])),
    "mask_and_slice": (ROWS, slice(1, 3)),
    "mask_and_int": (slice(None), 1, np.array([True, False, True, True, False])),
    "int_and_mask": (2, np.array([True, False, True, True])),
    "full_mask": X > 0,
    "nothing_chosen": np.zeros((3, 4), bool),
    "list_of_bools": ([True, False, True],),
    "uint8": (slice(None), np.array([3, 1], np.int32)),
}


def for_library(index, convert):
    if isinstance(index, tuple):
        return tuple(for_library(i, convert) for i in index)
    return convert(index) if isinstance(index, np.ndarray) else index


def ours(index):
    return for_library(index, wrap)


def theirs(index):
    return for_library(index, torch.tensor)


def variable(array):
    x = wrap(np.array(array))
    set_requires_grad(x, True)
    return x


@pytest.mark.parametrize("case", INDICES)
def test_read(case):
    index = INDICES[case]
    x, t = variable(X), torch.tensor(X, requires_grad=True)
    y, z = x[ours(index)], t[theirs(index)]
    np.testing.assert_array_equal(y.array, z.detach().numpy())
    g = np.random.default_rng(1).normal(size=y.array.shape)
    (a,) = grad(y, x, wrap(g))
    (b,) = torch.autograd.grad(z, t, torch.tensor(g))
    np.testing.assert_allclose(a.array, b.numpy(), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("case", INDICES)
def test_arrays_and_lists_are_indices_too(case):
    np.testing.assert_array_equal(
        wrap(X)[INDICES[case]].array, torch.tensor(X)[theirs(INDICES[case])]
    )


@pytest.mark.parametrize("case", INDICES)
def test_second_order(case):
    index = ours(INDICES[case])
    x = variable(X)
    (g,) = grad(x[index] * x[index] * x[index], x, wrap(np.ones(x[index].shape)), create_graph=True)
    (h,) = grad(g, x, wrap(np.ones_like(X)), allow_unused=True, materialize_grads=True)
    count = np.zeros_like(X)
    ones = wrap(np.ones(x[index].shape))
    z = variable(X)
    count = grad(z[index], z, ones)[0].array
    np.testing.assert_allclose(h.array, 6 * X * count, rtol=1e-12)


@pytest.mark.parametrize("kind", ["number", "scalar", "full", "broadcast"])
@pytest.mark.parametrize("case", INDICES)
def test_write(case, kind):
    index = INDICES[case]
    chosen = torch.tensor(X)[theirs(index)]
    shape = tuple(chosen.shape)
    if kind == "broadcast":
        shape = tuple(1 if i % 2 else n for i, n in enumerate(shape))
    value = uniform(*(() if kind == "scalar" else shape), seed=3)
    results = []
    for lib in ("ours", "theirs"):
        if lib == "ours":
            a, v = variable(X), variable(value)
            where, g = ours(index), wrap(np.cos(X))
            differentiate = lambda y, xs, g: grad(
                y, xs, g, allow_unused=True, materialize_grads=True
            )
        else:
            a, v = torch.tensor(X, requires_grad=True), torch.tensor(value, requires_grad=True)
            where, g = theirs(index), torch.tensor(np.cos(X))
            differentiate = lambda y, xs, g: torch.autograd.grad(
                y, xs, g, allow_unused=True, materialize_grads=True
            )
        x = a * 1
        if repeated(index) and kind != "number":
            # PyTorch leaves open which of several values stays: write equal ones.
            v = v.reshape(-1)[:1].reshape(()) if value.size else v
        x[where] = 2.5 if kind == "number" else v
        leaves = [a] if kind == "number" else [a, v]
        gs = differentiate(x, leaves, g)
        results.append([np.asarray(getattr(r, "array", r)) for r in (*gs,)])
        results[-1].append(x.array if lib == "ours" else x.detach().numpy())
    for p, q in zip(*results, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-14, atol=1e-15)


def repeated(index):
    flat = np.arange(X.size).reshape(X.shape)
    chosen = torch.tensor(flat)[theirs(index)].numpy().ravel()
    return len(set(chosen.tolist())) < len(chosen)


def test_write_to_a_tensor_that_is_not_recorded():
    v = variable([1.0, 2.0])
    x = wrap(np.zeros(4))
    x[1:3] = v
    assert x.requires_grad
    assert not x.is_leaf
    (g,) = grad(x, v, wrap(np.arange(4.0)))
    np.testing.assert_array_equal(g.array, [1, 2])


def test_write_converts_the_value():
    v = variable([1.5, 2.5])
    x = wrap(np.zeros(2, np.float32))
    x[:] = v
    assert x.array.dtype == np.float32
    (g,) = grad(x, v, wrap(np.ones(2, np.float32)))
    assert g.array.dtype == np.float64
    n = wrap(np.zeros(2, np.int64))
    n[:] = v
    assert not n.requires_grad
    np.testing.assert_array_equal(n.array, [1, 2])
    x[:] = [3, 4]
    x[0] = np.float64(7)
    np.testing.assert_array_equal(x.array, [7, 4])


def test_index_tensor_changed_later_is_noticed():
    x, i = variable([1.0, 2.0, 3.0]), wrap(np.array([0, 1]))
    y = x[i]
    i[0] = 2
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        grad(y, x, wrap(np.ones(2)))


def test_index_array_changed_later_does_not_matter():
    x, i = variable([1.0, 2.0, 3.0]), np.array([0, 1])
    y = x[i]
    i[0] = 2
    (g,) = grad(y, x, wrap(np.ones(2)))
    np.testing.assert_array_equal(g.array, [1, 1, 0])


def test_long_loops_over_entries_are_linear():
    x = variable(np.linspace(0, 1, 3000))
    total = wrap(np.zeros(()))
    for i in range(3000):
        total = total + x[i] * x[i]
    (g,) = grad(total, x)
    np.testing.assert_allclose(g.array, 2 * x.array)


ERRORS = {
    "out_of_range": lambda x, t: x[3],
    "out_of_range_later": lambda x, t: x[0, 7],
    "array_out_of_range": lambda x, t: x[t([0, 3])],
    "too_many": lambda x, t: x[0, 0, 0, 0],
    "scalar": lambda x, t: x[0, 0, 0][0],
    "float": lambda x, t: x[1.0],
    "float_array": lambda x, t: x[t([0.0])],
    "float_bound": lambda x, t: x[1.5:],
    "mask": lambda x, t: x[t([True, False])],
    "arrays": lambda x, t: x[t([0, 1]), t([0, 1, 2])],
    "write_out_of_range": lambda x, t: x.__setitem__(3, 0.0),
    "write_shape": lambda x, t: x.__setitem__(0, t([0.0, 1.0])),
    "write_shape_indexed": lambda x, t: x.__setitem__(t([0, 1]), t([0.0, 1.0])),
    "write_shape_mask": lambda x, t: x.__setitem__(x > 0, t([0.0, 1.0])),
    "write_text": lambda x, t: x.__setitem__(0, "a"),
    "write_complex": lambda x, t: x.__setitem__(0, 1j),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_pytorchs(case):
    with pytest.raises(Exception) as expected:
        ERRORS[case](torch.tensor(X), torch.tensor)
    x = wrap(X.copy())
    with pytest.raises(Exception) as found:
        ERRORS[case](x, lambda a: wrap(np.array(a)))
    assert type(found.value) is type(expected.value), (found.value, expected.value)
    words = str(expected.value).split(" (")[0].split(" at index")[0].split(".")[0]
    if "text" not in case and "complex" not in case:
        assert words[:38] in str(found.value), (found.value, expected.value)
    np.testing.assert_array_equal(x.array, X)
