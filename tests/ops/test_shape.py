"""Shapes, joins and splits: values and gradients as PyTorch's."""

import numpy as np
import pytest

from chainrule.autograd.reverse import grad
from chainrule.core.samples import uniform
from chainrule.core.tensor import Tensor, set_requires_grad, wrap
from chainrule.ops.api import FUNCTIONS
from chainrule.ops.pad import pad


class Library:
    """`chainrule`'s functions, by attribute."""

    def __getattr__(self, name):
        return FUNCTIONS[name]

    pad = staticmethod(pad)


cr = Library()


def variable(array):
    x = wrap(np.array(array))
    set_requires_grad(x, True)
    return x


def flat(found):
    if isinstance(found, (tuple, list)):
        return [y for part in found for y in flat(part)]
    return [found]


def same_as_torch(f, *arrays):
    """`f(lib, *tensors)` has the same values and the same gradients in both libraries."""
    torch = pytest.importorskip("torch")
    ours = [variable(a) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    lib = torch
    outs, expected = flat(f(cr, *ours)), flat(f(lib, *theirs))
    assert len(outs) == len(expected)
    for y, z in zip(outs, expected, strict=True):
        assert tuple(y.shape) == tuple(z.shape)
        np.testing.assert_array_equal(y.array, z.detach().numpy())
    cots = [np.random.default_rng(i).normal(size=y.array.shape) for i, y in enumerate(outs)]
    gs = grad(outs, ours, [wrap(c) for c in cots])
    gt = torch.autograd.grad(expected, theirs, [torch.tensor(c) for c in cots])
    for a, b in zip(gs, gt, strict=True):
        np.testing.assert_allclose(a.array, b.numpy(), rtol=1e-14)


def padded(lib, x, *args):
    return (lib.pad if lib is cr else lib.nn.functional.pad)(x, *args)


ONE = {
    "reshape": lambda lib, x: x.reshape(4, -1),
    "reshape_tuple": lambda lib, x: lib.reshape(x, (3, 8)),
    "reshape_of_transpose": lambda lib, x: x.transpose(0, 2).reshape(-1, 2),
    "view": lambda lib, x: x.view(2, 12),
    "view_as": lambda lib, x: x.view_as(x.reshape(24)),
    "reshape_as": lambda lib, x: x.reshape_as(x.reshape(6, 4)),
    "flatten": lambda lib, x: x.flatten(),
    "flatten_1": lambda lib, x: lib.flatten(x, 1),
    "flatten_01": lambda lib, x: lib.flatten(x, 0, 1),
    "ravel": lambda lib, x: lib.ravel(x),
    "unflatten": lambda lib, x: x.unflatten(2, (2, -1)),
    "permute": lambda lib, x: x.permute(2, 0, 1),
    "permute_tuple": lambda lib, x: lib.permute(x, (1, -1, 0)),
    "transpose": lambda lib, x: x.transpose(0, -1),
    "swapaxes": lambda lib, x: lib.swapaxes(x, 1, 2),
    "mT": lambda lib, x: x.mT,
    "mH": lambda lib, x: x.mH,
    "T": lambda lib, x: x[0].T,
    "H": lambda lib, x: x[0].H,
    "t": lambda lib, x: (x[1].t(), x[1, 1].t()),
    "squeeze": lambda lib, x: x.reshape(1, 24, 1).squeeze(),
    "squeeze_0": lambda lib, x: x.reshape(1, 24, 1).squeeze(0),
    "squeeze_not": lambda lib, x: x.squeeze(1),
    "squeeze_several": lambda lib, x: x.reshape(1, 24, 1).squeeze((0, 1)),
    "unsqueeze": lambda lib, x: (x.unsqueeze(0), x.unsqueeze(-1), lib.unsqueeze(x, 2)),
    "expand": lambda lib, x: x[:, :1].expand(2, 5, 4),
    "expand_minus_1": lambda lib, x: x[0, 0].expand(3, -1),
    "expand_as": lambda lib, x: x[0, 0].expand_as(x),
    "broadcast_to": lambda lib, x: lib.broadcast_to(x, (2, 2, 3, 4)),
    "broadcast_tensors": lambda lib, x: lib.broadcast_tensors(x[0, 0], x[:, :, :1]),
    "movedim": lambda lib, x: lib.movedim(x, 0, -1),
    "movedim_several": lambda lib, x: x.movedim((0, 1), (2, 0)),
    "flip": lambda lib, x: lib.flip(x, (0, 2)),
    "flip_method": lambda lib, x: x.flip(1),
    "fliplr": lambda lib, x: lib.fliplr(x),
    "flipud": lambda lib, x: lib.flipud(x),
    "rot90": lambda lib, x: [lib.rot90(x, k, (1, 2)) for k in range(-2, 4)],
    "rot90_other_way": lambda lib, x: [lib.rot90(x, k, (2, 0)) for k in range(4)],
    "roll": lambda lib, x: lib.roll(x, 5),
    "roll_dims": lambda lib, x: x.roll((1, -3), (0, 2)),
    "roll_same_dim": lambda lib, x: x.roll((1, 1), (2, 2)),
    "tile": lambda lib, x: lib.tile(x, (2, 3)),
    "repeat": lambda lib, x: x.repeat(2, 1, 3, 2),
    "repeat_interleave": lambda lib, x: x.repeat_interleave(3, dim=1),
    "repeat_interleave_flat": lambda lib, x: lib.repeat_interleave(x, 2),
    "split": lambda lib, x: x.split(3, dim=2),
    "split_sizes": lambda lib, x: lib.split(x, [1, 3], 2),
    "chunk": lambda lib, x: x.chunk(3, -1),
    "tensor_split": lambda lib, x: lib.tensor_split(x, 3, 2),
    "tensor_split_at": lambda lib, x: x.tensor_split((1, 3), 2),
    "hsplit": lambda lib, x: lib.hsplit(x, 3),
    "vsplit": lambda lib, x: x.vsplit(2),
    "dsplit": lambda lib, x: x.dsplit([1]),
    "unbind": lambda lib, x: x.unbind(1),
    "iterate": lambda lib, x: list(x),
    "atleast": lambda lib, x: [
        f(y)
        for f in (lib.atleast_1d, lib.atleast_2d, lib.atleast_3d)
        for y in (x[0, 0, 0], x[0, 0], x[0], x)
    ],
    "pad": lambda lib, x: padded(lib, x, (1, 2), "constant", 3.0),
    "pad_negative": lambda lib, x: padded(lib, x, (-1, 2, 0, -1)),
    "pad_reflect": lambda lib, x: padded(lib, x, (3, 2), "reflect"),
    "pad_replicate": lambda lib, x: padded(lib, x, (5, 2), "replicate"),
    "pad_replicate_negative": lambda lib, x: padded(lib, x, (-1, 2), "replicate"),
    "pad_reflect_negative": lambda lib, x: padded(lib, x, (-2, 2), "reflect"),
    "pad_circular": lambda lib, x: padded(lib, x, (4, 1), "circular"),
}

TWO = {
    "cat": lambda lib, x, y: lib.cat([x, y, x], dim=1),
    "cat_empty": lambda lib, x, y: lib.cat([x[0, 0, :0], x, y], dim=1),
    "concat": lambda lib, x, y: lib.concat((x, y), -2),
    "stack": lambda lib, x, y: lib.stack([x, y[:, :3]], 1),
    "stack_last": lambda lib, x, y: lib.stack((x, y[:, 2:]), -1),
    "hstack": lambda lib, x, y: (lib.hstack([x, y]), lib.hstack([x[0, 0], y[0, 0]])),
    "vstack": lambda lib, x, y: (lib.vstack([x[0], y[0]]), lib.vstack([x[0, 0], y[0, 0]])),
    "dstack": lambda lib, x, y: (lib.dstack([x[0], x[1]]), lib.dstack([x[0, 0], y[0, 0]])),
    "column_stack": lambda lib, x, y: (
        lib.column_stack([x[0, 0], y[0, 0]]), lib.column_stack([x[0, 0], x[0].T]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ONE)
def test_one_tensor(case):
    same_as_torch(ONE[case], uniform(2, 3, 4))


@pytest.mark.parametrize("case", TWO)
def test_two_tensors(case):
    same_as_torch(TWO[case], uniform(2, 3, 4), uniform(2, 5, 4, seed=1))


def test_sum_to_size():
    # whole numbers: their sums are exact in any order
    same_as_torch(
        lambda lib, x: (x.sum_to_size(3, 1), x.sum_to_size((2, 1, 4)), x.sum_to_size(1)),
        np.arange(24.0).reshape(2, 3, 4),
    )


def test_join_promotes_as_torch():
    found = cr.cat([wrap(np.ones(2, np.float32)), wrap(np.ones(1, np.int64))])
    assert found.array.dtype == np.float32


def test_repeat_interleave_with_counts():
    torch = pytest.importorskip("torch")
    same_as_torch(
        lambda lib, x: x.repeat_interleave(
            torch.tensor([2, 0, 3]) if lib is torch else wrap(np.array([2, 0, 3])), dim=1
        ),
        uniform(2, 3),
    )
    found = cr.repeat_interleave(wrap(np.array([2, 0, 3])))
    np.testing.assert_array_equal(found.array, [0, 0, 2, 2, 2])


ERRORS = {
    "reshape": lambda lib, x: x.reshape(5, 5),
    "reshape_two": lambda lib, x: x.reshape(-1, -1),
    "reshape_indivisible": lambda lib, x: x.reshape(-1, 5),
    "view_of_transpose": lambda lib, x: x.permute(2, 1, 0).view(24),
    "flatten_order": lambda lib, x: x.flatten(2, 1),
    "unflatten": lambda lib, x: x.unflatten(0, (3, 2)),
    "permute_few": lambda lib, x: x.permute(0, 1),
    "permute_twice": lambda lib, x: x.permute(0, 1, 1),
    "transpose": lambda lib, x: x.transpose(0, 3),
    "unsqueeze": lambda lib, x: x.unsqueeze(4),
    "t": lambda lib, x: x.t(),
    "mT": lambda lib, x: x[0, 0].mT,
    "H": lambda lib, x: x.H,
    "expand": lambda lib, x: x.expand(2, 5, 4),
    "sum_to_size": lambda lib, x: x.sum_to_size(2, 4),
    "expand_few": lambda lib, x: x.expand(3, 4),
    "cat_nothing": lambda lib, x: lib.cat([]),
    "stack_nothing": lambda lib, x: lib.stack([]),
    "cat_sizes": lambda lib, x: lib.cat([x, x[:1]], 1),
    "cat_ndim": lambda lib, x: lib.cat([x, x[0]]),
    "cat_scalar": lambda lib, x: lib.cat([x[0, 0, 0]]),
    "stack": lambda lib, x: lib.stack([x, x[0]]),
    "split_sum": lambda lib, x: x.split([1, 1], 2),
    "split_zero": lambda lib, x: x.split(0),
    "chunk_zero": lambda lib, x: x.chunk(0),
    "hsplit": lambda lib, x: x.hsplit(2),
    "vsplit": lambda lib, x: x[0, 0].vsplit(2),
    "repeat_few": lambda lib, x: x.repeat(2, 2),
    "movedim": lambda lib, x: x.movedim((0, 1), (0,)),
    "movedim_twice": lambda lib, x: x.movedim((0, 0), (0, 1)),
    "roll": lambda lib, x: x.roll((1, 2), 0),
    "rot90": lambda lib, x: x.rot90(1, (1, 1)),
    "unbind": lambda lib, x: x[0, 0, 0].unbind(),
    "iterate": lambda lib, x: list(x[0, 0, 0]),
    "split_of_scalar": lambda lib, x: x[0, 0, 0].split(1),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_have_torchs_type(case):
    torch = pytest.importorskip("torch")
    with pytest.raises(Exception) as theirs:
        ERRORS[case](torch, torch.tensor(uniform(2, 3, 4)))
    with pytest.raises(Exception) as ours:
        ERRORS[case](cr, wrap(uniform(2, 3, 4)))
    assert type(ours.value) is type(theirs.value), (ours.value, theirs.value)


def test_lists_are_refused():
    with pytest.raises(TypeError, match="must be Tensor, not list"):
        cr.reshape([1, 2], (2, 1))


def test_views_share_memory():
    x = wrap(np.zeros((2, 3)))
    for view in (
        x.reshape(3, 2), x.view(6), x.T, x.unsqueeze(0), x.expand(2, 2, 3), x.flatten(),
        *x.unbind(), *x.split(2, 1), x.movedim(0, 1), x.unsqueeze(0).squeeze(0),
    ):  # fmt: skip
        assert isinstance(view, Tensor)
        assert np.shares_memory(view.array, x.array)
        assert view._view is not None
    for copy in (x.flip(0), x.roll(1), x.repeat(1, 1), x.flip(())):
        assert not np.shares_memory(copy.array, x.array)


def test_float_dtypes_stay():
    x = variable(np.ones((2, 3), np.float32))
    for y in (x.reshape(6), x.roll(1), x.tile(2, 2), cr.cat([x, x]), cr.pad(x, (1, 1))):
        assert y.array.dtype == np.float32
