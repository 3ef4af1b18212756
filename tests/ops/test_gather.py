"""Gathering, scattering, masks, parts: values and gradients as PyTorch's."""

import numpy as np
import pytest

from chainrule.autograd.reverse import grad
from chainrule.core.samples import uniform
from chainrule.core.tensor import set_requires_grad, wrap
from chainrule.ops.api import FUNCTIONS

torch = pytest.importorskip("torch")


class Library:
    """`chainrule`'s functions, by attribute."""

    def __getattr__(self, name):
        return FUNCTIONS[name]

    @staticmethod
    def tensor(data):
        return wrap(np.array(data))


cr = Library()
X, Y = uniform(3, 4), uniform(3, 4, seed=1)
AT = [[0, 1, 1], [3, 3, 3]]
DOWN = [[0, 1, 2, 0], [2, 2, 1, 0]]


def flat(found):
    if isinstance(found, (tuple, list)):
        return [y for part in found for y in flat(part)]
    return [found]


def compare(f, *arrays):
    results = []
    for lib in (cr, torch):
        leaves = []
        for a in arrays:
            x = lib.tensor(a)
            if lib is cr:
                set_requires_grad(x, True)
            else:
                x.requires_grad_()
            leaves.append(x)
        outs = flat(f(lib, *leaves))
        values = [y.array if lib is cr else y.detach().numpy() for y in outs]
        recorded = [y for y in outs if y.requires_grad]
        cots = [
            np.random.default_rng(i).normal(size=tuple(y.shape)) for i, y in enumerate(recorded)
        ]
        differentiate = grad if lib is cr else torch.autograd.grad
        gs = differentiate(
            recorded, leaves, [lib.tensor(c) for c in cots], allow_unused=True,
            materialize_grads=True,
        ) if recorded else ()  # fmt: skip
        results.append((values, [np.asarray(getattr(g, "array", g)) for g in gs]))
    for a, b in zip(results[0], results[1], strict=True):
        assert len(a) == len(b)
        for p, q in zip(a, b, strict=True):
            assert p.shape == q.shape
            assert p.dtype == q.dtype
            np.testing.assert_allclose(p, q, rtol=1e-13, atol=1e-15)


def in_place(name, *args):
    """The method `name_` on a copy."""

    def f(lib, x, y):
        z = x * 1
        found = getattr(z, name + "_")(*[a(lib, y) if callable(a) else a for a in args])
        assert found is z
        return z

    return f


def t(data):
    return lambda lib, y: lib.tensor(data)


CASES = {
    "gather": lambda lib, x, y: lib.gather(x, 1, lib.tensor(AT)),
    "gather_down": lambda lib, x, y: x.gather(0, lib.tensor(DOWN)),
    "gather_scalar": lambda lib, x, y: x[0, 0].gather(0, lib.tensor([0, 0])),
    "index_select": lambda lib, x, y: lib.index_select(x, 1, lib.tensor([3, 0, 3])),
    "index_select_one": lambda lib, x, y: x.index_select(0, lib.tensor(2)),
    "take": lambda lib, x, y: lib.take(x, lib.tensor([[0, 11], [-1, 5]])),
    "take_along_dim": lambda lib, x, y: lib.take_along_dim(x, lib.tensor([[1, 2, 0]]), 1),
    "take_along_dim_flat": lambda lib, x, y: lib.take_along_dim(x, lib.tensor([7, 2])),
    "take_along_dim_negative": lambda lib, x, y: x.take_along_dim(lib.tensor([[-1], [0], [-4]]), 1),
    "index_scalar": lambda lib, x, y: (
        x[0, 0].index_fill(0, lib.tensor([0]), 2.0),
        y[0, 0].index_copy(0, lib.tensor([0]), x[0, 0]),
        x[0, 0].index_add(0, lib.tensor([0]), y[0, 0]),
    ),
    "argsorted": lambda lib, x, y: lib.take_along_dim(x, lib.tensor(np.argsort(X, 0)), 0),
    "scatter": lambda lib, x, y: x.scatter(1, lib.tensor([[0, 1], [3, 2]]), y[:2, :2]),
    "scatter_down": lambda lib, x, y: lib.scatter(x, 0, lib.tensor([[0, 1, 2, 0]]), y[:1]),
    "scatter_number": lambda lib, x, y: x.scatter(1, lib.tensor(AT), 2.5),
    "scatter_value": lambda lib, x, y: x.scatter(1, lib.tensor(AT), value=2.5),
    "scatter_with_more": lambda lib, x, y: lib.tensor(X).scatter(1, lib.tensor(AT), lib.tensor(Y)),
    "scatter_and_add": lambda lib, x, y: lib.tensor(X).scatter(
        1, lib.tensor(AT), lib.tensor(Y), reduce="add"
    ),
    "scatter_and_multiply": lambda lib, x, y: lib.tensor(X).scatter(
        1, lib.tensor(AT), lib.tensor(Y), reduce="multiply"
    ),
    "scatter_": in_place("scatter", 1, t([[0, 1], [3, 2]]), lambda lib, y: y[:2, 2:]),
    "scatter_add": lambda lib, x, y: lib.scatter_add(x, 1, lib.tensor(AT), y[:2, :3]),
    "scatter_add_": in_place("scatter_add", 0, t(DOWN), lambda lib, y: y[:2]),
    **{
        f"scatter_reduce_{r}_{keep}": lambda lib, x, y, r=r, keep=keep: x.scatter_reduce(
            1, lib.tensor(AT), y[:2, :3], r, include_self=keep
        )
        for r in ("sum", "prod", "mean", "amax", "amin")
        for keep in (True, False)
    },
    "scatter_reduce_": in_place("scatter_reduce", 0, t(DOWN), lambda lib, y: y[:2], "amax"),
    "scatter_reduce_ties": lambda lib, x, y: (y * 0 + 1).scatter_reduce(
        1, lib.tensor(AT), y[:2, :3] * 0 + 1, "amax"
    ),
    "scatter_reduce_zeros": lambda lib, x, y: (x * lib.tensor(X > 0)).scatter_reduce(
        1, lib.tensor(AT), (y * lib.tensor(Y > 0))[:2, :3], "prod"
    ),
    "index_add": lambda lib, x, y: x.index_add(0, lib.tensor([2, 2, 0]), y, alpha=3),
    "index_add_": in_place("index_add", 1, t([1, 1, 0, 2]), lambda lib, y: y),
    "index_copy": lambda lib, x, y: lib.index_copy(x, 0, lib.tensor([2, 0]), y[:2]),
    "index_copy_": in_place("index_copy", 1, t([2, 0]), lambda lib, y: y[:, :2]),
    "index_fill": lambda lib, x, y: lib.index_fill(x, 1, lib.tensor([2, 0]), 4.0),
    "index_fill_": in_place("index_fill", 0, t([1]), lambda lib, y: y[0, 0]),
    "index_put": lambda lib, x, y: x.index_put((lib.tensor([0, 1]), lib.tensor([2, 3])), y[0, :2]),
    "index_put_add": lambda lib, x, y: lib.index_put(x, (lib.tensor([1, 1]),), y[:2], True),
    "index_put_": in_place("index_put", lambda lib, y: (lib.tensor([0, 2]),), lambda lib, y: y[1]),
    "index_put_mask": lambda lib, x, y: x.index_put((x > 0,), y[0, 0]),
    "masked_fill": lambda lib, x, y: lib.masked_fill(x, x > 0, -1.5),
    "masked_fill_broadcast": lambda lib, x, y: x.masked_fill(y[:, :1] > 0, y[0, 0]),
    "masked_fill_": in_place("masked_fill", t(X > 0), 3),
    "masked_select": lambda lib, x, y: lib.masked_select(x, y > 0),
    "masked_select_broadcast": lambda lib, x, y: x.masked_select(y[0] > 0),
    "masked_scatter": lambda lib, x, y: x.masked_scatter(x > 0, y),
    "masked_scatter_": in_place("masked_scatter", t(X > 0), lambda lib, y: y),
    "put_": in_place("put", t([0, -1]), lambda lib, y: y[0, :2]),
    "put_accumulate": lambda lib, x, y: x.put(lib.tensor([3, 3]), y[0, :2], True),
    "nonzero": lambda lib, x, y: (lib.nonzero(x > 0), lib.nonzero(x > 0, as_tuple=True)),
    "nonzero_scalar": lambda lib, x, y: (lib.nonzero(x[0, 0]), x[0, 0].nonzero(as_tuple=True)),
    "argwhere": lambda lib, x, y: lib.argwhere(x > 0),
    "where_alone": lambda lib, x, y: lib.where(x > 0),
    "select": lambda lib, x, y: (lib.select(x, 1, -1), x.select(0, 2)),
    "narrow": lambda lib, x, y: (lib.narrow(x, 1, 1, 2), x.narrow(0, -2, 2)),
    "unfold": lambda lib, x, y: (x.unfold(1, 2, 1), x.unfold(0, 2, 2), x[0, 0].unfold(0, 1, 1)),
    "select_scatter": lambda lib, x, y: x.select_scatter(y[0], 0, 1),
    "slice_scatter": lambda lib, x, y: x.slice_scatter(y[:, :2], 1, 0, 4, 2),
    "diagonal_scatter": lambda lib, x, y: x.diagonal_scatter(y[0, :3], 1),
    "diagonal": lambda lib, x, y: [x.diagonal(k) for k in range(-3, 5)],
    "diagonal_dims": lambda lib, x, y: x.reshape(3, 2, 2).diagonal(0, 1, 2),
    "diag": lambda lib, x, y: (lib.diag(x), lib.diag(x[0], -1), x.diag(1)),
    "diag_embed": lambda lib, x, y: (lib.diag_embed(x, 1), lib.diag_embed(x, -1, 0, 2)),
    "diagflat": lambda lib, x, y: lib.diagflat(x, 1),
    "tril": lambda lib, x, y: (lib.tril(x), x.tril(-1), x.tril(1)),
    "triu": lambda lib, x, y: (lib.triu(x), x.triu(-1), x.triu(1)),
    "tril_": in_place("tril"),
    "indices": lambda lib, x, y: (lib.tril_indices(3, 4, 1), lib.triu_indices(3, 3, -1)),
    "meshgrid": lambda lib, x, y: lib.meshgrid(x[0], y[:, 0], indexing="ij"),
    "meshgrid_xy": lambda lib, x, y: lib.meshgrid([x[0], y[:, 0], x[1, :2]], indexing="xy"),
    "cartesian_prod": lambda lib, x, y: lib.cartesian_prod(x[0], y[0, :2], x[1, :3]),
    "combinations": lambda lib, x, y: (lib.combinations(x[0]), lib.combinations(x[0], 3, True)),
    "block_diag": lambda lib, x, y: lib.block_diag(x, y[0], x[0, 0]),
    "as_strided": lambda lib, x, y: lib.as_strided(x * 1, (2, 3), (2, 2), 1),
    "contiguous": lambda lib, x, y: (x.T.contiguous(), x.contiguous()),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:The reduce argument of torch.scatter")
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(case):
    compare(CASES[case], X, Y)


ERRORS = {
    "gather_range": lambda lib, x: x.gather(1, lib.tensor([[4]])),
    "gather_negative": lambda lib, x: x.gather(1, lib.tensor([[-1]])),
    "gather_ndim": lambda lib, x: x.gather(1, lib.tensor([0])),
    "gather_size": lambda lib, x: x.gather(1, lib.tensor([[0]] * 4)),
    "gather_dtype": lambda lib, x: x.gather(1, lib.tensor([[0.5]])),
    "index_select_ndim": lambda lib, x: x.index_select(0, lib.tensor([[0]])),
    "take_range": lambda lib, x: x.take(lib.tensor([12])),
    "scatter_src": lambda lib, x: x.scatter(1, lib.tensor([[0, 1]]), x[:, :1]),
    "scatter_dtype": lambda lib, x: x.scatter(1, lib.tensor([[0]]), lib.tensor([[1]])),
    "scatter_reduce": lambda lib, x: x.scatter_reduce(1, lib.tensor([[0]]), x, "median"),
    "index_copy": lambda lib, x: x.index_copy(0, lib.tensor([0]), x[:, :2]),
    "masked_fill_mask": lambda lib, x: x.masked_fill(lib.tensor([1, 0, 1, 0]), 0),
    "masked_fill_value": lambda lib, x: x.masked_fill(x > 0, x[0]),
    "masked_scatter": lambda lib, x: x.masked_scatter(x > -10, x[0]),
    "select": lambda lib, x: x.select(0, 3),
    "narrow": lambda lib, x: x.narrow(0, 1, 3),
    "narrow_start": lambda lib, x: x.narrow(0, 4, 0),
    "unfold": lambda lib, x: x.unfold(0, 4, 1),
    "unfold_step": lambda lib, x: x.unfold(0, 2, 0),
    "diagonal": lambda lib, x: x.diagonal(0, 1, 1),
    "diag": lambda lib, x: lib.diag(x[None]),
    "tril": lambda lib, x: x[0].tril(),
    "meshgrid": lambda lib, x: lib.meshgrid(x),
    "block_diag": lambda lib, x: lib.block_diag(x[None]),
    "combinations": lambda lib, x: lib.combinations(x),
    "as_strided": lambda lib, x: x.as_strided((20,), (1,)),
    "select_scatter": lambda lib, x: x.select_scatter(x, 0, 1),
    "put": lambda lib, x: x.put(lib.tensor([0, 1]), x[0]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_have_pytorchs_type(case):
    with pytest.raises(Exception) as expected:
        ERRORS[case](torch, torch.tensor(X))
    with pytest.raises(Exception) as found:
        ERRORS[case](cr, wrap(X.copy()))
    assert type(found.value) is type(expected.value), (found.value, expected.value)


def test_layout_is_told():
    x, z = wrap(X.copy()), torch.tensor(X)
    for f in (lambda a: a, lambda a: a.T, lambda a: a[1:, ::2], lambda a: a[2]):
        assert f(x).stride() == f(z).stride()
        assert f(x).storage_offset() == f(z).storage_offset()
        assert f(x).is_contiguous() == f(z).is_contiguous()
    assert x.contiguous() is x
    assert x.T.stride(0) == 1


def test_second_derivatives_of_scattered_products_with_two_zeros():
    """d²(x·y₀·y₁·y₂)/dy₀dy₁ at y₀ = y₁ = 0 is x·y₂, not 0."""
    y = cr.tensor([0.0, 0.0, 3.0])
    set_requires_grad(y, True)
    product = FUNCTIONS["scatter_reduce"](cr.tensor([2.0, 5.0]), 0, cr.tensor([0, 0, 0]), y, "prod")
    (first,) = grad(product.sum(), y, create_graph=True)
    (second,) = grad(first[0], y, create_graph=True)
    np.testing.assert_array_equal(second.array, [0, 6, 0])
    (third,) = grad(second[1], y)
    np.testing.assert_array_equal(third.array, [0, 0, 2])
