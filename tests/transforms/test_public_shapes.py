"""Shapes, indexing, joining, masks and conversions under every transform."""

import numpy as np
import pytest

import chainrule as cr
from tests.transforms import public_checks as checks

F = cr.nn.functional


def values(*shape, seed=0):
    """Numbers away from 0, no two of them equal."""
    rng = np.random.default_rng([seed, *shape])
    n = int(np.prod(shape, dtype=int))
    return ((rng.permutation(n) + 1.3) / (n + 1) * rng.choice([-2.0, 2.0], n)).reshape(shape)


def complex_(*shape, seed=0):
    return values(*shape, seed=seed) + 1j * values(*shape, seed=seed + 5)


def swapped(method):
    """A method that gives the same tensor another shape, as a function."""

    def f(x):
        y = x.clone()
        made = method(y)
        assert made is y
        return y * 2

    return f


A, B, V, W = values(2, 3), values(2, 3, seed=1), values(3), values(2, 3, 4)
S, M = values(), values(3, 3)
I = np.array([2, 0, 2])
J = np.array([[0, 1], [1, 0], [1, 1]])
MASK = np.array([[True, False, True], [False, False, True]])

SHAPE = {
    "reshape": (lambda x: x.reshape(3, -1), A),
    "reshape_0d": (lambda x: x.reshape(1, 1), S),
    "reshape_shape": (lambda x: cr.reshape(x.T, shape=(6,)), A),
    "view": (lambda x: x.view(6), A),
    "view_as": (lambda x, y: x.view_as(y), A, values(3, 2)),
    "reshape_as": (lambda x, y: x.reshape_as(y), A, values(3, 2)),
    "flatten": (lambda x: x.flatten(1), W),
    "flatten_0d": (cr.flatten, S),
    "flatten_some": (lambda x: x.flatten(0, -2), W),
    "ravel": (cr.ravel, A),
    "unflatten": (lambda x: x.unflatten(-1, (2, -1)), W),
    "permute": (lambda x: x.permute(2, 0, -2), W),
    "transpose": (lambda x: x.transpose(0, -1), W),
    "t": (cr.t, A),
    "t_vector": (cr.t, V),
    "T": (lambda x: x.T, A),
    "mT": (lambda x: x.mT, W),
    "mH": (lambda x: x.mH, complex_(2, 3)),
    "H": (lambda x: x.H, complex_(2, 3)),
    "adjoint": (cr.adjoint, W),
    "movedim": (lambda x: x.movedim((0, -1), (1, 0)), W),
    "squeeze": (cr.squeeze, values(1, 3, 1)),
    "squeeze_dim": (lambda x: x.squeeze(-1), values(1, 3, 1)),
    "unsqueeze": (lambda x: x.unsqueeze(-1), A),
    "unsqueeze_0d": (lambda x: x.unsqueeze(0), S),
    "expand": (lambda x: x.expand(2, -1, 4), values(3, 1)),
    "expand_0d": (lambda x: x.expand(2), S),
    "expand_as": (lambda x, y: x.expand_as(y), V, A),
    "broadcast_to": (lambda x: cr.broadcast_to(x, (2, 3)), V),
    "broadcast_tensors": (cr.broadcast_tensors, values(3, 1), values(2)),
    "sum_to_size": (lambda x: x.sum_to_size(3, 1), W[0].T[:3].copy()),
    "flip": (lambda x: x.flip(0, -1), A),
    "fliplr": (cr.fliplr, A),
    "flipud": (cr.flipud, A),
    "rot90": (lambda x: cr.rot90(x, 3, (0, 2)), W),
    "roll": (lambda x: x.roll((1, -2), (0, -1)), A),
    "roll_flat": (lambda x: x.roll(2), A),
    "repeat": (lambda x: x.repeat(2, 1, 3), A),
    "repeat_0d": (lambda x: x.repeat(2), S),
    "tile": (lambda x: x.tile((2,)), A),
    "repeat_interleave": (lambda x: x.repeat_interleave(2, dim=-1), A),
    "repeat_interleave_flat": (lambda x: x.repeat_interleave(2), A),
    "repeat_interleave_each": (
        lambda x: x.repeat_interleave(cr.tensor([1, 0, 2]), dim=1), A,
    ),
    "contiguous": (lambda x: x.T.contiguous().view(6), A),
    "as_strided": (lambda x: x.clone().as_strided((2, 2), (1, 1), 3), A),
    "diff": (lambda x: cr.diff(x, dim=0), A),
    "unfold": (lambda x: x.unfold(-1, 3, 1), A),
    "unfold_0d": (lambda x: x.unfold(0, 1, 1), S),
    "unfold_0": (lambda x: x.unfold(0, 2, 3), values(7, 2)),
    "im2col": (lambda x: F.unfold(x, 2, padding=1), values(1, 2, 3, 3)),
    "fold": (lambda x: F.fold(x, (3, 3), 2), values(1, 8, 4)),
    "unsqueeze_": (swapped(lambda y: y.unsqueeze_(0)), A),
    "squeeze_": (swapped(lambda y: y.squeeze_(0)), values(1, 3)),
    "t_": (swapped(lambda y: y.t_()), A),
    "transpose_": (swapped(lambda y: y.transpose_(0, 1)), A),
    "to_dense": (lambda x: x.to_dense(), V),
}  # fmt: skip
PARTS = {
    "select": (lambda x: x.select(-1, -2), A),
    "narrow": (lambda x: x.narrow(1, -2, 2), A),
    "getitem": (lambda x: x[1], A),
    "getitem_slices": (lambda x: x[..., None, ::2], A),
    "getitem_array": (lambda x, i: x[i], M, I),
    "getitem_rows_and_columns": (lambda x, i: x[:, i], A, I),
    "getitem_two": (lambda x, i, j: x[i, j], M, I, J.T[:, None, :]),
    "getitem_apart": (lambda x, i, j: x[i[0], :, j[1]], values(2, 3, 2), J, J),
    "getitem_number": (lambda x, i: x[i[0]], M, I),
    "getitem_numbers": (lambda x, i: x[i[0], i[1]], M, I),
    "getitem_number_and_array": (lambda x, i: x[i[0], :, i], values(3, 2, 3), I),
    "getitem_int_and_array": (lambda x, i: x[1, :, i], values(3, 2, 3), I),
    "getitem_list": (lambda x: x[[0, 1], [2, 2]], A),
    "getitem_mask": (lambda x: x[cr.tensor(MASK)], A),
    "getitem_mask_rows": (lambda x: x[cr.tensor(MASK[:, 0])], A),
    "getitem_mask_and_array": (lambda x, i: x[cr.tensor(MASK[0]), i[:2]], M, I),
    "iteration": (lambda x: sum(i * row for i, row in enumerate(x)), W),
    "len": (lambda x: x * len(x), A),
    "unbind": (lambda x: x.unbind(1), A),
    "split": (lambda x: x.split(2, dim=1), A),
    "split_sizes": (lambda x: x.split([1, 2], dim=-1), A),
    "split_with_sizes": (lambda x: x.split_with_sizes([1, 1]), A),
    "chunk": (lambda x: x.chunk(2, -1), A),
    "tensor_split": (lambda x: x.tensor_split(2, 1), A),
    "tensor_split_at": (lambda x: x.tensor_split((1,), 1), A),
    "hsplit": (lambda x: x.hsplit(3), A),
    "vsplit": (lambda x: x.vsplit(2), A),
    "dsplit": (lambda x: x.dsplit(2), W),
    "diagonal": (lambda x: x.diagonal(1, -1, 0), W),
    "diag": (cr.diag, M),
    "diag_vector": (lambda x: x.diag(-1), V),
    "diag_embed": (lambda x: x.diag_embed(1, 0, -1), A),
    "diagflat": (cr.diagflat, A),
    "tril": (lambda x: x.tril(-1), M),
    "triu": (lambda x: x.triu(1), W),
    "select_scatter": (lambda x, y: x.select_scatter(y, 1, 0), A, values(2)),
    "slice_scatter": (lambda x, y: x.slice_scatter(y, 1, 0, 3, 2), A, values(2, 2)),
    "diagonal_scatter": (lambda x, y: x.diagonal_scatter(y, 1), A, values(2)),
    "masked_select": (lambda x: x.masked_select(cr.tensor(MASK)), A),
    "masked_fill": (lambda x, m: x.masked_fill(m, 3.0), A, MASK),
    "masked_fill_tensor": (lambda x, m, v: x.masked_fill(m, v), A, MASK, S),
    "masked_fill_broadcast": (lambda x, m: x.masked_fill(m, 3.0), A, MASK[0]),
    "masked_scatter_mapped": (lambda x, m, y: x.masked_scatter(m, y), A, MASK, values(7)),
    "narrow_at": (lambda x, i: x.narrow(1, i[0], 1), A, I),
    "isclose": (lambda x, y: x * cr.isclose(x, y, 1.0, 0.1), A, B),
    "masked_scatter": (lambda x, y: x.masked_scatter(cr.tensor(MASK), y), A, values(4)),
    "where": (cr.where, MASK, A, B),
    "where_broadcast": (lambda m, x: cr.where(m, x, 0.0), MASK, V),
    "where_method": (lambda x, m, y: x.where(m, y), A, MASK[:, :1], S),
    "gradient_by_spacing": (
        lambda x, h, y: cr.gradient(x, spacing=[h, y], edge_order=1), A, S * 0 + 0.7,
        np.array([0.0, 0.8, 2.0]),
    ),
    "clone": (cr.clone, A),
    "fill": (lambda x, y: cr.fill(x, y) * x, A, S),
    "gradient": (lambda x: cr.gradient(x), A),
    "gradient_spacing": (
        lambda x: cr.gradient(x, spacing=[cr.tensor([0.0, 1.0, 3.0])], dim=[1], edge_order=2), A,
    ),
}  # fmt: skip
JOIN = {
    "cat": (lambda x, y: cr.cat([x, y], -1), A, values(2, 1)),
    "cat_empty": (lambda x: cr.cat([cr.zeros(0, dtype=cr.float64), x]), V),
    "stack": (lambda x, y: cr.stack([x, y], -1), A, B),
    "stack_0d": (lambda x, y: cr.stack([x, y]), S, values(seed=2)),
    "stack_mixed": (lambda x: cr.stack([x, cr.ones(3)]), V),
    "hstack": (lambda x, y: cr.hstack([x, y]), A, B),
    "hstack_0d": (lambda x, y: cr.hstack([x, y]), S, V),
    "vstack": (lambda x, y: cr.vstack([x, y]), V, A),
    "dstack": (lambda x, y: cr.dstack([x, y]), V, V),
    "column_stack": (lambda x, y: cr.column_stack([x, y]), values(2), A),
    "atleast_3d": (cr.atleast_3d, S, V, A),
    "block_diag": (cr.block_diag, A, V),
    "meshgrid": (lambda x, y: cr.meshgrid(x, y, indexing="ij"), V, values(2)),
    "cartesian_prod": (cr.cartesian_prod, V, values(2)),
    "combinations": (lambda x: cr.combinations(x, 2), V),
}
OTHER = {
    "pad": (lambda x: F.pad(x, (1, 2, 0, 1), value=2.0), A),
    "pad_negative": (lambda x: F.pad(x, (-1, 2)), A),
    **{
        f"pad_{mode}": (lambda x, mode=mode: F.pad(x, (1, 2), mode=mode), A)
        for mode in ("reflect", "replicate", "circular")
    },
    "to": (lambda x: x.to(cr.float64) + x.double(), A),
    "type_as": (lambda x, y: x.type_as(y), A, V),
    "to_complex": (lambda x: x.to(cr.complex128), A),
    "real": (cr.real, complex_(3)),
    "imag": (cr.imag, complex_(3)),
    "conj": (cr.conj, complex_(3)),
    "resolve_conj": (cr.resolve_conj, complex_(3)),
    "sgn": (cr.sgn, complex_(3)),
    "angle": (cr.angle, complex_(3)),
    "complex": (cr.complex, V, values(3, seed=3)),
    "complex_broadcast": (cr.complex, A, values(3, seed=3)),
    "polar": (cr.polar, V**2, values(3, seed=3)),
    "view_as_real": (cr.view_as_real, complex_(2, 2)),
    "view_as_complex": (cr.view_as_complex, values(3, 2)),
    "zeros_like": (lambda x: x + cr.zeros_like(x) + cr.ones_like(x), A),
    "full_like": (lambda x: x * cr.full_like(x, 2.0), A),
    "new_zeros": (lambda x: x.sum() + x.new_zeros(2) + x.new_full((2,), 3.0), A),
    "as_tensor": (lambda x: cr.as_tensor(x) * cr.as_tensor(2.0), A),
    "detach": (lambda x: x * x.detach() + x.data - x.data, A),
}


CASES = {**SHAPE, **PARTS, **JOIN, **OTHER}
DETACHED = {"detach"}  # the derivative is not that of the value


@pytest.mark.parametrize("name", list(CASES))
def test_vmap(name):
    f, *args = CASES[name]
    checks.check_vmap(f, args)
    checks.check_empty(f, args)


@pytest.mark.parametrize("name", [n for n in CASES if n not in DETACHED])
def test_jvp(name):
    f, *args = CASES[name]
    checks.check_jvp(f, args)


@pytest.mark.parametrize("name", list(CASES))
def test_jacobians(name):
    f, *args = CASES[name]
    checks.check_jacobians(f, args)


@pytest.mark.parametrize("name", list(CASES))
def test_gradients(name):
    f, *args = CASES[name]
    checks.check_gradients(f, args)


def test_the_memory_of_an_example_begins_where_it_does():
    """What a view inside vmap knows of its place does not depend on the other examples."""
    data = cr.tensor(np.arange(18.0).reshape(3, 2, 3))
    seen = []

    def f(x):
        y = x[1]
        seen.append((y.storage_offset(), y.stride(), x.T.is_contiguous(), x.dim_order()))
        return y.as_strided((2,), (2,), 3)

    checks.close(cr.func.vmap(f)(data[1:]), data[1:, 1, ::2])
    assert seen == [(3, (1,), False, (0, 1))]
