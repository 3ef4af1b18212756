"""Views: who shares memory with whom, what may be written, and what is noticed."""

import numpy as np
import pytest

import chainrule  # noqa: F401 - declares the operations
from chainrule.autograd.reverse import backward, grad, retain
from chainrule.core import modes
from chainrule.core.hooks import add_hook
from chainrule.core.mutation import version_of
from chainrule.core.node import extra_of
from chainrule.core.tensor import set_requires_grad, wrap


def leaf(*data):
    x = wrap(np.array(data, np.float64))
    set_requires_grad(x, True)
    return x


class NoGrad:
    def __enter__(self):
        self.token = modes.enter(False)

    def __exit__(self, *exc):
        modes.leave(self.token)


VIEWS = {
    "int": lambda x: x[1],
    "zero_d": lambda x: x[1, 2],
    "slice": lambda x: x[:, 1:],
    "new_axis": lambda x: x[None],
    "ellipsis": lambda x: x[...],
    "reshape": lambda x: x.reshape(3, 2),
    "flatten": lambda x: x.flatten(),
    "T": lambda x: x.T,
    "transpose": lambda x: x.transpose(0, 1),
    "permute": lambda x: x.permute(1, 0),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "squeeze": lambda x: x[None].squeeze(0),
    "movedim": lambda x: x.movedim(0, 1),
    "diagonal": lambda x: x.diagonal(),
    "diagonal_above": lambda x: x.diagonal(1),
    "select": lambda x: x.select(1, 0),
    "narrow": lambda x: x.narrow(1, 1, 2),
    "unbind": lambda x: x.unbind(1)[2],
    "split": lambda x: x.split(2, 1)[1],
    "chunk": lambda x: x.chunk(2)[0],
    "unfold": lambda x: x.unfold(1, 1, 1),
    "as_strided": lambda x: x.as_strided((2, 2), (2, 1), 1),
    "view_of_view": lambda x: x[:, 1:].T[0],
}


@pytest.mark.parametrize("case", VIEWS)
def test_writing_through_a_view_reaches_base_and_gradient(case):
    a = leaf([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    b = leaf(10.0)
    x = a * 1
    v = VIEWS[case](x)
    shown = VIEWS[case](wrap(np.arange(6.0).reshape(2, 3))).array.ravel().astype(int)
    assert np.shares_memory(v.array, x.array)
    v.mul_(b.reshape(()))
    expected = np.array([1.0, 2, 3, 4, 5, 6])
    expected[shown] *= 10
    np.testing.assert_array_equal(x.array.ravel(), expected)
    g = np.array([1.0, 20, 300, 4000, 50000, 600000])
    da, db = grad(x, [a, b], wrap(g.reshape(2, 3)))
    weight = np.ones(6)
    weight[shown] = 10
    np.testing.assert_allclose(da.array.ravel(), g * weight)
    np.testing.assert_allclose(db.array, [(g * np.arange(1.0, 7))[shown].sum()])


@pytest.mark.parametrize("case", VIEWS)
def test_writing_to_the_base_reaches_views(case):
    a = leaf([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    x = wrap(np.zeros((2, 3)))
    v = VIEWS[case](x)
    assert not v.requires_grad
    x.copy_(a * 2)
    assert v.requires_grad
    (g,) = grad(v, a, wrap(np.ones(v.array.shape)))
    (expected,) = grad(VIEWS[case](a * 2), a, wrap(np.ones(v.array.shape)))
    np.testing.assert_array_equal(g.array, expected.array)


def test_expanded_tensors_cannot_be_written():
    for y in (leaf(1.0) * 1, wrap(np.zeros(1))):
        with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
            y.expand(3).add_(1)
        with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
            y.expand(3)[1:] = 0
    x = wrap(np.zeros(4))
    with pytest.raises(RuntimeError, match="more than one element"):
        x.unfold(0, 2, 1).add_(1)
    x.expand(4).add_(1)
    np.testing.assert_array_equal(x.array, 1)


def test_leaves_cannot_be_written_while_recording():
    x = leaf(1.0, 2.0)
    for write in (
        lambda: x.add_(1), lambda: x.__setitem__(0, 1.0), lambda: x.zero_(),
        lambda: x.copy_(wrap(np.ones(2))), lambda: x.masked_fill_(wrap(np.array([True, False])), 0),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            write()
    for write in (lambda: x[0].add_(1), lambda: x[:1].reshape(1).zero_(), lambda: x[:].mul_(x)):
        with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
            write()
    np.testing.assert_array_equal(x.array, [1, 2])
    with NoGrad():
        x[0] = 5.0
        x.mul_(2)
        x[1:].add_(1)
    assert x.is_leaf
    np.testing.assert_array_equal(x.array, [10, 5])


def test_view_taken_without_recording_cannot_be_written_while_recording():
    x = leaf(1.0, 2.0) * 1
    with NoGrad():
        v = x[0]
    with pytest.raises(RuntimeError, match="view was created in no_grad mode"):
        v.mul_(2)
    with NoGrad():
        v.mul_(2)
    np.testing.assert_array_equal(x.array, [2, 2])


def test_leaf_that_is_a_view_keeps_its_gradient():
    base = wrap(np.zeros(3))
    v = base[:2]
    set_requires_grad(v, True)
    with pytest.raises(RuntimeError, match="a leaf Variable"):
        v.add_(1)
    with pytest.raises(RuntimeError, match="a view of a leaf Variable"):
        v[0].add_(1)
    node = v.node
    base[2] = leaf(1.0)[0] * 2
    assert v.node is node


def test_overwritten_saved_value_names_both_lines():
    x = leaf(1.0, 2.0)
    y = x * 2
    z = y.exp() * y  # saves y
    y.add_(1)  # overwrites y
    with pytest.raises(RuntimeError, match="modified by an inplace operation") as error:
        backward(z, wrap(np.ones(2)))
    assert "z = y.exp() * y" in str(error.value)
    assert "y.add_(1)" in str(error.value)


@pytest.mark.parametrize("alias", ["view", "wrapped", "numpy_view"])
def test_writes_through_any_alias_are_noticed(alias):
    x = leaf(1.0, 2.0)
    y = x * 2
    z = y * y
    other = {"view": y[0], "wrapped": wrap(y.array), "numpy_view": wrap(y.array[1:])}[alias]
    other.mul_(3)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        backward(z, wrap(np.ones(2)))


def test_alias_without_history_does_not_change_history():
    x = leaf(1.0, 2.0)
    y = x * 2
    d = wrap(y.array)
    d.add_(5)
    np.testing.assert_array_equal(y.array, [7, 9])
    (g,) = grad(y, x, wrap(np.ones(2)))
    np.testing.assert_array_equal(g.array, [2, 2])


def test_writes_are_counted_by_buffer():
    x = wrap(np.zeros(4))
    assert version_of(x.array) == 0
    x[0] = 1.0
    x[1:].add_(1)
    x[2][...] = 3.0
    assert version_of(x.array) == 3
    assert version_of(x[1].array) == 3


def test_retained_gradient_is_that_of_the_new_value():
    a = leaf(1.0, 2.0)
    x = a * 3
    retain(x)
    x.mul_(5)
    backward(x, wrap(np.array([1.0, 10.0])))
    np.testing.assert_array_equal(x._grad.array, [1, 10])
    np.testing.assert_array_equal(a._grad.array, [15, 150])


def test_hook_set_before_a_write_sees_the_old_value():
    a = leaf(1.0, 2.0)
    x = a * 3
    seen = []
    add_hook(extra_of(x.node).hooks, lambda g: seen.append(g.array.copy()))
    x.mul_(5)
    backward(x, wrap(np.array([1.0, 10.0])))
    np.testing.assert_array_equal(seen, [[5, 50]])


def test_views_beside_the_written_region_keep_their_node():
    x = leaf(1.0, 2.0, 3.0) * 1
    u, v = x[0], x[1:]
    before, renewed = u.node, v.node
    x[2] = 7.0
    assert u.node is before
    assert v.node is not renewed


def test_copy_does_not_share_the_node_of_its_source():
    a = leaf(1.0, 2.0)
    x = wrap(np.zeros(2))
    x.copy_(a)
    assert not x.is_leaf
    assert x.node is not a.node
    x.add_(1)
    (g,) = grad(x, a, wrap(np.ones(2)))
    np.testing.assert_array_equal(g.array, [1, 1])


def test_failed_write_changes_nothing():
    x = leaf(1.0, 2.0) * 1
    node, version = x.node, version_of(x.array)
    for write in (
        lambda: x.add_(wrap(np.ones((3, 2)))), lambda: x.copy_(wrap(np.ones(3))),
        lambda: x.__setitem__(5, 0.0), lambda: x.__setitem__(0, wrap(np.ones(2))),
        lambda: x.fill_(wrap(np.ones(2))), lambda: x.add_(1j),
    ):  # fmt: skip
        with pytest.raises((RuntimeError, IndexError)):
            write()
    assert x.node is node
    assert version_of(x.array) == version
    np.testing.assert_array_equal(x.array, [1, 2])


def test_augmented_assignment_to_a_part_writes_once():
    x = leaf(1.0, 2.0) * 1
    v = x[0]
    v.add_(5)
    version, node = version_of(x.array), x.node
    x[0] = v  # the second half of `x[0] += 5`
    assert version_of(x.array) == version
    assert x.node is node


def test_views_die_with_their_last_reference():
    x = wrap(np.zeros(100))
    for _ in range(50):
        for i in range(100):
            x[i]
    assert len(x._views) <= 2


def test_second_derivative_through_writes():
    a = leaf(1.0, 2.0, 3.0)
    y = wrap(np.zeros((2, 3)))
    y[0] = a * a * a
    y[1, :2].copy_((a * a)[1:])
    y.T[2].mul_(a[0])
    (g,) = grad(y, a, wrap(np.ones((2, 3))), create_graph=True)
    (h,) = grad(g, a, wrap(np.ones(3)))
    # f = a0³ + a1³ + a1² + a2² + a0·a2³, and y[1, 2] is zero
    a0, a2 = 1.0, 3.0
    expected = [6 * a0 + 3 * a2**2, 6 * 2.0 + 2, 2 + 6 * a0 * a2 + 3 * a2**2]
    np.testing.assert_allclose(h.array, expected)


def test_the_same_tensor_in_another_shape():
    a = leaf([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    x = a * 1
    row = x[0]
    assert x.t_() is x
    assert tuple(x.shape) == (3, 2)
    x.unsqueeze_(0).squeeze_(0).transpose_(0, 1).t_()
    x[0, 1] = 40.0  # what was a[1, 0]
    row.mul_(10)
    np.testing.assert_array_equal(x.array, [[10, 40], [20, 5], [30, 6]])
    (g,) = grad(x, a, wrap(np.ones((3, 2))))
    np.testing.assert_array_equal(g.array, [[10, 10, 10], [0, 1, 1]])
    with pytest.raises(RuntimeError, match="a leaf Variable"):
        a.t_()


def test_diagonal_filled_in_place():
    torch = pytest.importorskip("torch")
    for shape, wrapped in [((3, 3), False), ((7, 3), True), ((2, 4), False), ((2, 2, 2), False)]:
        x = wrap(np.zeros(shape)).fill_diagonal_(2.0, wrapped)
        expected = torch.zeros(shape, dtype=torch.float64).fill_diagonal_(2.0, wrapped)
        np.testing.assert_array_equal(x.array, expected.numpy())


NAMES = {
    "SelectBackward0": lambda x: x[0],
    "SliceBackward0": lambda x: x[:, 1:],
    "UnsqueezeBackward0": lambda x: x[None],
    "AliasBackward0": lambda x: x[...],
    "IndexBackward0": lambda x: x[[0]],
    "ViewBackward0": lambda x: x.reshape(-1),
    "DiagonalBackward0": lambda x: x.diagonal(),
}


@pytest.mark.parametrize("name", NAMES)
def test_nodes_are_named_as_in_pytorch(name):
    y = NAMES[name](leaf([1.0, 2.0], [3.0, 4.0]) * 1)
    assert y.node.prim.grad_fn_name(y.node) == name


def test_written_tensors_are_named_as_in_pytorch():
    x, b = leaf(1.0, 2.0) * 1, leaf(5.0)
    x[0] = b[0]
    assert "grad_fn=<CopySlices>" in repr(x)
    x.copy_(b)
    assert "grad_fn=<CopyBackwards>" in repr(x)
    x[[1]] = 3.0
    assert "grad_fn=<IndexPutBackward0>" in repr(x)


def test_a_refused_change_of_shape_leaves_the_family_as_it_was():
    x = leaf([1.0, 2.0], [3.0, 4.0])
    y = x * 1
    z = y[None]
    with pytest.raises(RuntimeError, match=r"t\(\) expects"):
        z.t_()
    with pytest.raises(IndexError):
        y.unsqueeze_(7)
    y.fill_(0.5)
    assert z.tolist() == [[[0.5, 0.5], [0.5, 0.5]]]
    (z * z).sum().backward()
    assert x.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]
