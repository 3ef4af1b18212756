"""Sorting, searching and counting: against PyTorch, and the named results."""

import pickle

import numpy as np
import pytest

import chainrule as cr

torch = pytest.importorskip("torch")


def same(a, b):
    for x, y in zip(*((r if isinstance(r, tuple) else (r,)) for r in (a, b)), strict=True):
        assert tuple(x.shape) == tuple(y.shape)
        assert str(x.dtype).split(".")[1] == str(y.dtype).split(".")[1]
        np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    "f",
    [
        lambda l: l.searchsorted(
            l.tensor([1.0, 3.0, 3.0, 7.0]), l.tensor([[0.0, 3.0], [7.0, 9.0]])
        ),
        lambda l: l.searchsorted(l.tensor([1.0, 3.0, 3.0, 7.0]), l.tensor([3.0, 7.0]), right=True),
        lambda l: l.searchsorted(
            l.tensor([[1, 3, 5, 7], [2, 4, 4, 8]]), l.tensor([[3, 6, 9], [4, 0, 8]])
        ),
        lambda l: l.searchsorted(
            l.tensor([[1, 3, 5, 7], [2, 4, 4, 8]]), l.tensor([[3, 6, 9], [4, 0, 8]]), side="right"
        ),
        lambda l: l.searchsorted(l.tensor([7, 3, 5]), l.tensor([4]), sorter=l.tensor([1, 2, 0])),
        lambda l: l.searchsorted(l.tensor([1.0, 2.0]), 1.5),
        lambda l: l.bucketize(l.tensor([0.5, 1.0, 9.0]), l.tensor([1.0, 2.0]), out_int32=True),
        lambda l: l.unique(l.tensor([[3, 1], [3, 2]]), return_inverse=True, return_counts=True),
        lambda l: l.unique(
            l.tensor([[3, 1], [0, 2], [3, 1]]), return_inverse=True, return_counts=True, dim=0
        ),
        lambda l: l.unique_consecutive(
            l.tensor([[1, 1, 2], [2, 1, 1]]), return_inverse=True, return_counts=True
        ),
        lambda l: l.unique_consecutive(l.tensor([[1, 2], [1, 2], [0, 2]]), True, True, dim=0),
        lambda l: l.bincount(l.tensor([1, 2, 2]), minlength=5),
        lambda l: l.bincount(l.tensor([1, 2, 2]), l.tensor([0.5, 1.0, 2.0])),
        lambda l: l.histc(l.tensor([1.0, 2.0, 2.5, 9.0]), 4),
        lambda l: l.histc(l.tensor([1.0, 2.0, 2.5, 9.0]), bins=3, min=1, max=3),
        lambda l: l.histogram(l.tensor([1.0, 2.0, 2.5, 9.0]), 4),
        lambda l: l.histogram(l.tensor([1.0, 2.0, 2.5]), 2, range=(0.0, 2.0), density=True),
        lambda l: l.histogram(
            l.tensor([1.0, 2.0]), l.tensor([0.0, 1.5, 3.0]), weight=l.tensor([2.0, 3.0])
        ),
        lambda l: l.tensor([3, 1, 2, 2, 1, 1]).mode(),
        lambda l: l.argsort(l.tensor([[True, False], [False, True]]), stable=True, descending=True),
        lambda l: l.max(l.tensor([[1, 5], [7, 2]]), 1),
    ],
)
def test_against_pytorch(f):
    same(f(cr), f(torch))


def test_named_results_print_as_pytorch():
    ours = cr.max(cr.tensor([[1.0, 5.0], [7.0, 2.0]]), dim=1)
    theirs = torch.max(torch.tensor([[1.0, 5.0], [7.0, 2.0]]), dim=1)
    assert repr(ours) == repr(theirs).replace("torch.", "chainrule.")
    values, indices = ours
    assert values is ours.values
    assert indices is ours.indices
    assert type(pickle.loads(pickle.dumps(ours))) is type(ours)


def test_out_is_written():
    values, indices = cr.zeros(2), cr.zeros(2, dtype=cr.int64)
    found = cr.max(cr.tensor([[1.0, 5.0], [7.0, 2.0]]), dim=1, out=(values, indices))
    assert found.values is values
    assert values.tolist() == [5, 7]
    assert indices.tolist() == [1, 0]


def test_sorting_is_stable_in_both_directions():
    data = np.random.default_rng(0).integers(0, 5, (3, 50)).astype(np.float64)
    for descending in (False, True):
        same(
            cr.sort(cr.tensor(data), 1, descending),
            torch.sort(torch.tensor(data), dim=1, descending=descending, stable=True),
        )


@pytest.mark.parametrize("n", [5, 40, 300])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("holes", [False, True])
def test_order_statistics_of_many_lines(n, ties, holes):
    rng = np.random.default_rng(n)
    data = rng.integers(0, n // 3 + 1, (3, n)).astype(float) if ties else rng.normal(size=(3, n))
    if holes:
        data[0, [1, n - 1]] = data[2, 0] = np.nan
    x, t = cr.tensor(data), torch.tensor(data)

    def chosen(ours, theirs):
        """Equal values; the indices, where PyTorch's choice among equals is arbitrary, fit them."""
        values, index = (r.numpy() for r in ours)
        np.testing.assert_array_equal(values, theirs[0].numpy())
        if index.ndim == 1:
            values, index = values[:, None], index[:, None]
        np.testing.assert_array_equal(np.take_along_axis(data, index, 1), values)

    for k in (1, 2, 5):
        for largest in (True, False):
            chosen(x.topk(k, 1, largest), t.topk(k, 1, largest))
        chosen(x.kthvalue(k, 1), t.kthvalue(k, 1))
    chosen(x.median(1), t.median(1))
    chosen(x.nanmedian(1), t.nanmedian(1))
    for f in (
        lambda y: y.cummax(1),
        lambda y: y.cummin(1),
        lambda y: y.sort(stable=True, dim=1),
        lambda y: y.sort(stable=True, dim=1, descending=True),
        lambda y: y.median(),
        lambda y: y.nanmedian(),
        lambda y: y.quantile(0.3, 1),
        lambda y: y.nanquantile(0.3, 1),
    ):
        same(f(x), f(t))


def test_half_precision_accumulates_in_float32():
    ones = cr.ones(70000, dtype=cr.float16)
    assert ones.mean().item() == 1
    assert ones.norm().item() == torch.ones(70000, dtype=torch.float16).norm().item()
    steps = cr.full((4000,), 1.001, dtype=cr.float16)
    same(steps.cumsum(0), torch.full((4000,), 1.001, dtype=torch.float16).cumsum(0))


def test_distinct_values_and_weights_have_gradients():
    x = cr.tensor([3.0, 1.0, 3.0], requires_grad=True)
    cr.unique(x).square().sum().backward()
    assert x.grad.tolist() == [6, 2, 0]
    x.grad = None
    cr.unique_consecutive(x).sum().backward()
    assert x.grad.tolist() == [1, 1, 1]
    w = cr.tensor([1.0, 2.0, 3.0, 5.0], requires_grad=True)
    hist = cr.histogram(cr.tensor([0.0, 1.5, 2.0, 9.0]), 2, range=(0.0, 2.0), weight=w).hist
    assert hist.tolist() == [1, 5]
    (hist * cr.tensor([1.0, 10.0])).sum().backward()
    assert w.grad.tolist() == [1, 10, 10, 0]
