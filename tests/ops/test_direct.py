"""The short ways of small operations give what the long ones do, and the same errors."""

import numpy as np
import pytest

import chainrule as cr

X = np.array([[1.0, -2.0, 5.0], [5.0, np.nan, 0.0]])


def recorded(a):
    return cr.tensor(a, requires_grad=True)


def test_joins_in_every_dimension():
    a, b = recorded(X), recorded(X + 1)
    for dim in range(-2, 2):
        np.testing.assert_array_equal(cr.cat([a, b], dim).numpy(force=True),
                                      np.concatenate([X, X + 1], dim))  # fmt: skip
    for dim in range(-3, 3):
        joined = cr.stack((a, b), dim)
        np.testing.assert_array_equal(joined.numpy(force=True), np.stack([X, X + 1], dim))
        (g,) = cr.autograd.grad((joined * 2).sum(), b)
        assert (g.numpy() == 2).all()
    assert cr.stack([cr.tensor(1.0), cr.tensor(2.0)]).tolist() == [1.0, 2.0]
    assert cr.cat([a, cr.tensor([[1, 2, 3]])]).dtype == a.dtype


def test_joins_that_do_not_fit_are_refused():
    parts = [cr.zeros(2, 4), cr.zeros(1, 4), cr.zeros(3, 4)]
    with pytest.raises(RuntimeError, match="stack expects each tensor to be equal size"):
        cr.stack(parts)
    with pytest.raises(RuntimeError, match="Sizes of tensors must match except in dimension 1"):
        cr.cat(parts, 1)
    with pytest.raises(IndexError, match="Dimension out of range"):
        cr.cat(parts, 2)
    with pytest.raises(RuntimeError, match="zero-dimensional"):
        cr.cat([cr.tensor(1.0), cr.tensor(2.0)])


@pytest.mark.parametrize("index", [[[-1, 0]], [[3, 0]], [[0], [0], [0]]])
def test_gathers_out_of_range_are_refused(index):
    with pytest.raises(RuntimeError):
        cr.gather(recorded(X), 1, cr.tensor(index))


def test_gathers_of_part_of_the_rows():
    x = recorded(X)
    found = cr.gather(x, 1, cr.tensor([[2, 2]]))
    found.sum().backward()
    assert found.tolist() == [[5.0, 5.0]]
    assert x.grad.tolist() == [[0.0, 0.0, 2.0], [0.0, 0.0, 0.0]]
    assert cr.gather(recorded(X.T.copy()).T, -1, cr.tensor([[1], [2]])).tolist() == [[-2.0], [0.0]]


@pytest.mark.parametrize("keepdim", [True, False])
def test_extremes_along_a_dimension(keepdim):
    x = recorded(X)
    for dim in (0, 1, -1):
        values, index = cr.max(x, dim, keepdim)
        np.testing.assert_array_equal(values.numpy(force=True), X.max(dim, keepdims=keepdim))
        np.testing.assert_array_equal(index.numpy(), X.argmax(dim, keepdims=keepdim))
    (g,) = cr.autograd.grad(cr.min(x, 1, keepdim).values.sum(), x)
    assert g.tolist() == [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]
    with pytest.raises(IndexError, match="Dimension out of range"):
        x.max(2)


def test_reshapes():
    x = recorded(X)
    for shape in ((3, 2), (-1,), (6, -1), (1, 2, 3)):
        assert x.reshape(*shape).shape == x.reshape(shape).shape == X.reshape(shape).shape
    y = cr.zeros(2, 3)
    y.reshape(6)[4] = 1.0
    assert y.tolist() == [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert cr.tensor([5.0]).reshape(()).item() == 5.0
    with pytest.raises(RuntimeError, match="invalid for input of size 6"):
        x.reshape(4, -1)
    with pytest.raises(RuntimeError, match="invalid shape dimension -2"):
        x.reshape(-2, 3)
    with pytest.raises(RuntimeError, match="only one dimension can be inferred"):
        x.reshape(-1, -1)


def test_the_short_ways_respect_modes():
    x = recorded(X)
    with cr.no_grad():
        for y in (cr.cat([x, x]), cr.stack([x, x]), x.max(1).values, x.reshape(6), x.mean()):
            assert not y.requires_grad
        assert not cr.gather(x, 1, cr.tensor([[0]])).requires_grad
    assert cr.cat([x, x]).grad_fn.name() == "CatBackward0"
    assert cr.gather(x, 1, cr.tensor([[0]])).grad_fn.name() == "GatherBackward0"
