"""Reductions agree with PyTorch: values, dtypes, shapes and gradients."""

import numpy as np
import pytest

import chainrule as cr

torch = pytest.importorskip("torch")
nan, inf = float("nan"), float("inf")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def parts(result):
    return list(result) if isinstance(result, tuple) else [result]


def compare(f, data, tol=1e-12):
    """The same program in both libraries: every result, and the gradient of a weighted sum."""
    data = np.asarray(data, np.float64)
    ours, theirs = cr.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    a, b = parts(f(ours, cr)), parts(f(theirs, torch))
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert tuple(x.shape) == tuple(y.shape)
        assert str(x.dtype).split(".")[1] == str(y.dtype).split(".")[1]
        assert x.requires_grad == y.requires_grad
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=tol, atol=tol)
    live = [(x, y) for x, y in zip(a, b, strict=True) if y.requires_grad]
    if not live:
        return
    weights = [normal(*x.shape, seed=3) for x, _ in live]
    grads = cr.autograd.grad(
        [x for x, _ in live], ours, [cr.tensor(np.asarray(w)) for w in weights]
    )
    expected = torch.autograd.grad(
        [y for _, y in live], theirs, [torch.tensor(np.asarray(w)) for w in weights]
    )
    np.testing.assert_allclose(
        grads[0].numpy(), expected[0].numpy(), rtol=max(tol, 1e-9), atol=max(tol, 1e-10)
    )


OVER_DIMS = {
    "sum": lambda x, d, k: x.sum(dim=d, keepdim=k),
    "nansum": lambda x, d, k: x.nansum(dim=d, keepdim=k),
    "mean": lambda x, d, k: x.mean(dim=d, keepdim=k),
    "nanmean": lambda x, d, k: x.nanmean(dim=d, keepdim=k),
    "var": lambda x, d, k: x.var(dim=d, keepdim=k),
    "std": lambda x, d, k: x.std(dim=d, keepdim=k, correction=0),
    "amax": lambda x, d, k: x.amax(dim=() if d is None else d, keepdim=k),
    "amin": lambda x, d, k: x.amin(dim=() if d is None else d, keepdim=k),
    "logsumexp": lambda x, d, k: x.logsumexp(dim=(0, 1, 2) if d is None else d, keepdim=k),
    "norm": lambda x, d, k: x.norm(p=2, dim=d, keepdim=k),
    "norm1": lambda x, d, k: x.norm(p=1, dim=d, keepdim=k),
    "norm3": lambda x, d, k: x.norm(p=3, dim=d, keepdim=k),
    "norm_inf": lambda x, d, k: x.norm(p=inf, dim=d, keepdim=k),
    "norm_minus_inf": lambda x, d, k: x.norm(p=-inf, dim=d, keepdim=k),
    "norm_half": lambda x, d, k: x.norm(p=0.5, dim=d, keepdim=k),
    "norm0": lambda x, d, k: x.norm(p=0, dim=d, keepdim=k).detach(),
    "all": lambda x, d, k: (x > 0).all(dim=d, keepdim=k),
    "any": lambda x, d, k: (x > 0).any(dim=d, keepdim=k),
    "count_nonzero": lambda x, d, k: (x > 0).count_nonzero(dim=d),
}


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("dim", [None, 0, -1, (0, 2), (2, 1), (0, 1, 2)])
@pytest.mark.parametrize("name", OVER_DIMS)
def test_over_dimensions(name, dim, keep):
    compare(lambda x, lib: OVER_DIMS[name](x, dim, keep), normal(2, 3, 4))


ALONG_ONE = {
    "prod": lambda x, d, k: x.prod(dim=d, keepdim=k),
    "max": lambda x, d, k: x.max(dim=d, keepdim=k),
    "min": lambda x, d, k: x.min(dim=d, keepdim=k),
    "argmax": lambda x, d, k: x.argmax(dim=d, keepdim=k),
    "argmin": lambda x, d, k: x.argmin(dim=d, keepdim=k),
    "aminmax": lambda x, d, k: x.aminmax(dim=d, keepdim=k),
    "median": lambda x, d, k: x.median(dim=d, keepdim=k),
    "nanmedian": lambda x, d, k: x.nanmedian(dim=d, keepdim=k),
    "mode": lambda x, d, k: x.mode(dim=d, keepdim=k),
    "kthvalue": lambda x, d, k: x.kthvalue(2, dim=d, keepdim=k),
    "quantile": lambda x, d, k: x.quantile(0.3, dim=d, keepdim=k),
    "cumsum": lambda x, d, k: x.cumsum(d),
    "cumprod": lambda x, d, k: x.cumprod(d),
    "logcumsumexp": lambda x, d, k: x.logcumsumexp(d),
    "cummax": lambda x, d, k: x.cummax(d),
    "cummin": lambda x, d, k: x.cummin(d),
    "diff": lambda x, d, k: x.diff(dim=d),
    "sort": lambda x, d, k: x.sort(dim=d, descending=k),
    "argsort": lambda x, d, k: x.argsort(dim=d, descending=k),
    "topk": lambda x, d, k: x.topk(2, dim=d, largest=k),
}


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("name", ALONG_ONE)
def test_along_one_dimension(name, dim, keep):
    compare(lambda x, lib: ALONG_ONE[name](x, dim, keep), normal(2, 3, 4))


@pytest.mark.parametrize("name", [n for n in ALONG_ONE if n not in ("kthvalue", "topk", "diff")])
def test_zero_dimensions(name):
    compare(lambda x, lib: ALONG_ONE[name](x, 0, False), normal())


@pytest.mark.parametrize(
    "f",
    [
        lambda x, lib: x.max(),
        lambda x, lib: x.min(),
        lambda x, lib: x.median(),
        lambda x, lib: x.prod(),
        lambda x, lib: x.argmax(),
        lambda x, lib: x.amax((0, 1)),
        lambda x, lib: x.amin(1),
        lambda x, lib: x.max(1),
        lambda x, lib: x.min(0),
        lambda x, lib: x.argmin(1),
        lambda x, lib: x.sort(1),
        lambda x, lib: x.sort(1, descending=True),
        lambda x, lib: x.mode(1),
        lambda x, lib: x.cummax(1),
        lambda x, lib: x.cummin(1),
        lambda x, lib: x.norm(inf),
        lambda x, lib: x.aminmax(),
        lambda x, lib: lib.msort(x),
        lambda x, lib: x.detach().unique(),
        lambda x, lib: lib.max(x, x.flip(1)),
        lambda x, lib: lib.min(x, other=x.flip(0)),
    ],
)
def test_ties(f):
    compare(f, [[2.0, 3.0, 3.0, 1.0], [1.0, 3.0, 1.0, 1.0]])


@pytest.mark.parametrize(
    "f",
    [
        lambda x, lib: x.max(),
        lambda x, lib: x.max(1),
        lambda x, lib: x.min(0),
        lambda x, lib: x.argmax(),
        lambda x, lib: x.argmin(1),
        lambda x, lib: x.sort(1),
        lambda x, lib: x.sort(1, descending=True),
        lambda x, lib: x.median(),
        lambda x, lib: x.median(1),
        lambda x, lib: x.nanmedian(),
        lambda x, lib: x.nanmedian(1),
        lambda x, lib: x.cummax(1),
        lambda x, lib: x.cummin(1),
        lambda x, lib: x.nansum(),
        lambda x, lib: x.nanmean(1),
        lambda x, lib: x.nanquantile(0.4, dim=1),
        lambda x, lib: x.quantile(0.4, dim=1),
        lambda x, lib: x.topk(2, dim=1),
    ],
)
def test_nan(f):
    compare(f, [[2.0, nan, 3.0, 1.0], [1.0, 3.0, 0.5, 4.0], [nan, 2.0, nan, 7.0]])


@pytest.mark.parametrize(
    "data",
    [
        [[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]],
        [[1.5, 2.0, -1.0], [0.5, 1.0, 3.0]],
        [[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]],
    ],
)
def test_products_with_zeros_to_second_order(data):
    for f in (
        lambda x: x.prod(),
        lambda x: x.prod(1),
        lambda x: x.cumprod(1),
        lambda x: x.cumprod(0),
    ):
        ours, theirs = cr.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
        for x, lib in ((ours, cr), (theirs, torch)):
            y = f(x)
            w = lib.arange(1.0, y.numel() + 1).reshape(y.shape)
            (g,) = lib.autograd.grad((w * y).sum(), x, create_graph=True)
            (h,) = lib.autograd.grad((g * g).sum() + g.sum(), x, create_graph=True)
            x.found = (y.detach().numpy(), g.detach().numpy(), h.detach().numpy())
        for a, b in zip(ours.found, theirs.found, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("dim", [None, 0, 1])
def test_quantile(interpolation, dim):
    q = np.array([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])
    for name in ("quantile", "nanquantile"):
        compare(
            lambda x, lib, name=name: getattr(lib, name)(
                x, lib.tensor(q), dim, dim == 1, interpolation=interpolation
            ),
            normal(4, 5),
        )


@pytest.mark.parametrize(
    "f",
    [
        lambda x, lib: lib.cov(x),
        lambda x, lib: lib.cov(x[0]),
        lambda x, lib: lib.corrcoef(x),
        lambda x, lib: lib.cov(x, correction=0, fweights=lib.tensor([1, 2, 1, 3])),
        lambda x, lib: lib.cov(x, aweights=lib.tensor([0.5, 1.0, 2.0, 1.0], dtype=lib.float64)),
        lambda x, lib: lib.var_mean(x, 1),
        lambda x, lib: lib.std_mean(x),
        lambda x, lib: x.var(False),
        lambda x, lib: x.std(0, True),
        lambda x, lib: lib.var(x, (0, 1), correction=2),
        lambda x, lib: lib.trapezoid(x),
        lambda x, lib: lib.trapezoid(x, dx=0.5, dim=0),
        lambda x, lib: lib.trapezoid(x, x[0]),
        lambda x, lib: lib.cumulative_trapezoid(x, x * x),
        lambda x, lib: lib.diff(x, n=2, prepend=x, append=x[:, :1]),
        lambda x, lib: lib.renorm(x, 2, 0, 1.0),
        lambda x, lib: lib.dist(x, 2 * x.detach(), 3),
        lambda x, lib: lib.cdist(x, x.detach()[:2]),
        lambda x, lib: lib.cdist(x[None], x[:, :], p=1.0),
        lambda x, lib: x.norm("fro", (0, 1)),
        lambda x, lib: x.norm("nuc"),
        lambda x, lib: lib.norm(x[None], "nuc", (1, 2), keepdim=True),
        lambda x, lib: x.norm(2, dim=1, dtype=lib.float64),
        lambda x, lib: x.sum(axis=0),
        lambda x, lib: x.sum(()),
        lambda x, lib: lib.amax(x, ()),
        lambda x, lib: x.t().sum(0),
        lambda x, lib: x[:, ::2].var(1),
        lambda x, lib: x.t()[:: -1 if lib is cr else 1].sum(),
    ],
)
def test_composites(f):
    compare(f, normal(3, 4), 1e-9)


def test_logsumexp_of_infinities():
    data = [[-inf, -inf], [-inf, 1.0], [1000.0, 1000.0]]
    x = cr.tensor(data, dtype=cr.float64, requires_grad=True)
    y = x.logsumexp(1)
    np.testing.assert_allclose(y.detach().numpy(), [-inf, 1, 1000 + np.log(2)], rtol=1e-6)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0], [0, 1], [0.5, 0.5]])
    compare(lambda x, lib: x.logcumsumexp(0), [-1.0, 2.0, -inf, 3.0])
    x = cr.tensor([-inf, -inf, 1.0], requires_grad=True)
    x.logcumsumexp(0).sum().backward()
    assert x.grad.tolist() == [0, 0, 1]
    compare(lambda x, lib: x.logcumsumexp(0), [-800.0, -1.0, 900.0, 2.0, 905.0])


def test_norms_at_zero():
    for p in (2, 1, 3, 1.5, inf):
        compare(lambda x, lib, p=p: x.norm(p), [0.0, 0.0])
        compare(lambda x, lib, p=p: x.norm(p), [0.0, -2.0])


@pytest.mark.parametrize("kind", ["bool", "uint8", "int32", "int64", "float16", "float32"])
def test_dtypes(kind):
    data = [[1, 0, 3], [1, 1, 1]]
    for f in (
        lambda x: x.sum(),
        lambda x: x.sum(1),
        lambda x: x.prod(0),
        lambda x: x.cumsum(1),
        lambda x: x.cumprod(1),
        lambda x: x.amax(1),
        lambda x: x.any(1),
        lambda x: x.all(),
        lambda x: x.count_nonzero(),
        lambda x: x.nansum(),
        lambda x: x.sort(1)[0],
        lambda x: x.diff(),
    ):
        a = f(cr.tensor(data, dtype=getattr(cr, kind)))
        b = f(torch.tensor(data, dtype=getattr(torch, kind)))
        assert str(a.dtype).split(".")[1] == str(b.dtype).split(".")[1]
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_complex():
    data = normal(2, 3) + 1j * normal(2, 3, seed=1)
    for f in (
        lambda x: x.sum(0),
        lambda x: x.mean(),
        lambda x: x.prod(1),
        lambda x: x.cumsum(0),
        lambda x: x.cumprod(1),
        lambda x: x.norm(),
        lambda x: x.norm(1),
        lambda x: x.norm(3),
        lambda x: x.var(1),
        lambda x: x.std(),
        lambda x: x.norm(inf),
    ):
        ours, theirs = cr.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
        a, b = f(ours), f(theirs)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy())
        for y in (a, b):
            ((y * y).abs().sum() + y.abs().sum()).backward()
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-9)


def test_errors_are_those_of_pytorch():
    for make in (
        lambda l: l.tensor([1, 2]).mean(),
        lambda l: l.tensor([True]).mean(),
        lambda l: l.tensor([1, 2]).var(),
        lambda l: l.zeros(0, 3).max(),
        lambda l: l.zeros(0, 3).amax(),
        lambda l: l.zeros(0, 3).max(0),
        lambda l: l.zeros(0, 3).amin(0),
        lambda l: l.zeros(0).argmax(),
        lambda l: l.zeros(0, 3).argmax(0),
        lambda l: l.zeros(0, 3).norm(inf),
        lambda l: l.tensor([1]).norm(),
        lambda l: l.sum([1.0]),
        lambda l: l.mean(1.0),
        lambda l: l.zeros(3).sum(1),
        lambda l: l.zeros(3).sum((0, 0)),
        lambda l: l.zeros(3).topk(4),
        lambda l: l.zeros(3).kthvalue(0),
        lambda l: l.zeros(0, 2).median(0),
        lambda l: l.zeros(3).quantile(1.5),
        lambda l: l.tensor([1]).quantile(0.5),
        lambda l: l.zeros(0).quantile(0.5),
        lambda l: l.zeros(3).quantile(0.5, interpolation="x"),
        lambda l: l.tensor(1.0).diff(),
        lambda l: l.tensor([-1]).bincount(),
        lambda l: l.zeros(3).histc(4, 2, 1),
        lambda l: l.complex(l.zeros(2), l.zeros(2)).max(),
        lambda l: l.zeros(2).renorm(2, 0, 1.0),
        lambda l: l.searchsorted(l.zeros(3), l.zeros(3), side="left", right=True),
        lambda l: l.tensor([1]).nanmean(),
        lambda l: l.zeros(3).cumsum(2),
        lambda l: l.zeros(0).aminmax(),
        lambda l: l.cdist(l.zeros(2), l.zeros(2, 2)),
        lambda l: l.cdist(l.zeros(2, 3), l.zeros(2, 2)),
    ):
        with pytest.raises(Exception) as theirs:
            make(torch)
        with pytest.raises(theirs.type) as ours:
            make(cr)
        if "not implemented" not in str(ours.value):
            start = str(theirs.value).split(".")[0].split(" (position")[0].split(" but got")[0]
            assert str(ours.value).startswith(start)


def test_dimensions_must_be_integers():
    for make in (
        lambda x: x.sum("a"),
        lambda x: x.sum((0.5,)),
        lambda x: x.max(0.5),
        lambda x: x.cumsum(None),
        lambda x: x.argmax((0, 1)),
    ):
        with pytest.raises(TypeError, match="'dim' must be int"):
            make(cr.zeros(2, 2))


def test_empty_and_single():
    for f in (
        lambda l: l.zeros(0, 3).sum(0),
        lambda l: l.zeros(0, 3).prod(0),
        lambda l: l.zeros(0, 3).amax(1),
        lambda l: l.zeros(0, 3).norm(),
        lambda l: l.zeros(0, 3).logsumexp(0),
        lambda l: l.zeros(0, 3).all(0),
        lambda l: l.zeros(0, 3).any(),
        lambda l: l.zeros(0, 3).median(),
        lambda l: l.zeros(0, 3).sort(0)[1],
        lambda l: l.zeros(0).cummax(0)[1],
        lambda l: l.zeros(0).cumsum(0),
        lambda l: l.zeros(0, 2).diff(dim=0),
    ):
        a, b = f(cr), f(torch)
        assert tuple(a.shape) == tuple(b.shape)
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    for name in ("var", "std"):
        for call in (
            lambda x, name=name: getattr(x, name)(),
            lambda x, name=name: getattr(x, name)(0),
        ):
            x = cr.tensor([1.0], requires_grad=True)
            with pytest.warns(UserWarning, match="degrees of freedom is <= 0"):
                y = call(x)
            y.sum().backward()
            assert np.isnan(y.item())
            assert np.isnan(x.grad.numpy()).all()
    x = cr.tensor([1.0, 1.0], requires_grad=True)
    x.std().backward()
    assert x.grad.tolist() == [0, 0]


@pytest.mark.parametrize("f", [cr.cov, cr.corrcoef, np.mean, lambda x: cr.logsumexp(x, 0)])
def test_float_functions_of_integers_have_the_default_dtype(f):
    assert f(cr.tensor([[1, 2, 3], [4, 5, 7]])).dtype == cr.float32
