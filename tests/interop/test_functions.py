"""NumPy's functions on tensors: values as NumPy's, recorded, never silently detached."""

import inspect

import numpy as np
import pytest

import chainrule as cr
from chainrule.interop.functions import FUNCTIONS

RNG = np.random.default_rng(0)
A = RNG.standard_normal((3, 4))
B = RNG.standard_normal((3, 4))
V = RNG.standard_normal(4)
S = RNG.standard_normal((3, 3))
P = S @ S.T + np.eye(3)
HOLES = np.where(A > 1, np.nan, A)


def arrays(result):
    parts = result if isinstance(result, (tuple, list)) else [result]
    return [p.detach().numpy() if isinstance(p, cr.Tensor) else p for p in parts]


# name: (call on an array or tensor, input)
CALLS = {
    "sum": (lambda x: np.sum(x), A),
    "sum_axis": (lambda x: np.sum(x, axis=(0, 1), keepdims=True), A),
    "prod": (lambda x: np.prod(x, 1), A),
    "mean": (lambda x: np.mean(x, axis=0), A),
    "var": (lambda x: np.var(x), A),
    "var_ddof": (lambda x: np.var(x, axis=1, ddof=1), A),
    "std": (lambda x: np.std(x, 0), A),
    "max": (lambda x: np.max(x), A),
    "max_axis": (lambda x: np.max(x, axis=(0, 1)), A),
    "min": (lambda x: np.min(x, 1), A),
    "amax": (lambda x: np.amax(x, 0), A),
    "ptp": (lambda x: np.ptp(x, axis=1), A),
    "nansum": (lambda x: np.nansum(x), HOLES),
    "nanmean": (lambda x: np.nanmean(x, 1), HOLES),
    "nanmax": (lambda x: np.nanmax(x, axis=0), HOLES),
    "nanmin": (lambda x: np.nanmin(x), HOLES),
    "median": (lambda x: np.median(x), A),
    "median_axis": (lambda x: np.median(x, axis=1), A),
    "nanmedian": (lambda x: np.nanmedian(x, 1), HOLES),
    "quantile": (lambda x: np.quantile(x, [0.1, 0.6], axis=1), A),
    "percentile": (lambda x: np.percentile(x, 30), A),
    "average": (lambda x: np.average(x, 1), A),
    "average_weights": (lambda x: np.average(x, axis=1, weights=[1, 2, 3, 4]), A),
    "cumsum": (lambda x: np.cumsum(x), A),
    "cumprod": (lambda x: np.cumprod(x, axis=1), A),
    "diff": (lambda x: np.diff(x, 2, axis=1, prepend=B[:, :1]), A),
    "trapezoid": (lambda x: np.trapezoid(x, dx=0.5), A),
    "sort": (lambda x: np.sort(x, axis=0), A),
    "sort_flat": (lambda x: np.sort(x, axis=None), A),
    "cov": (lambda x: np.cov(x), A),
    "cov_columns": (lambda x: np.cov(x, rowvar=False, bias=True), A),
    "corrcoef": (lambda x: np.corrcoef(x), A),
    "where": (lambda x: np.where(A > 0, x, 0.0), B),
    "clip": (lambda x: np.clip(x, -0.5, 0.5), A),
    "clip_max": (lambda x: np.clip(x, None, 0.1), A),
    "round": (lambda x: np.round(x, 1), A),
    "nan_to_num": (lambda x: np.nan_to_num(x), HOLES),
    "dot": (lambda x: np.dot(x, V), A),
    "dot_left": (lambda x: np.dot(A, x), V),
    "dot_many": (lambda x: np.dot(x, np.stack([A.T, B.T])), A),
    "inner": (lambda x: np.inner(x, B), A),
    "outer": (lambda x: np.outer(x, [1.0, 2.0]), V),
    "vdot": (lambda x: np.vdot(x, B), A),
    "tensordot": (lambda x: np.tensordot(x, B, axes=([1], [1])), A),
    "einsum": (lambda x: np.einsum("ij,kj->ik", x, B), A),
    "reshape": (lambda x: np.reshape(x, (2, -1)), A),
    "transpose": (lambda x: np.transpose(x), A),
    "ravel": (lambda x: np.ravel(x), A),
    "swapaxes": (lambda x: np.swapaxes(x, 0, 1), A),
    "moveaxis": (lambda x: np.moveaxis(x, 0, -1), A),
    "squeeze": (lambda x: np.squeeze(x[:, None]), A),
    "expand_dims": (lambda x: np.expand_dims(x, (0, 2)), A),
    "broadcast_to": (lambda x: np.broadcast_to(x, (2, 3, 4)), A),
    "concatenate": (lambda x: np.concatenate([x, B], axis=1), A),
    "concatenate_flat": (lambda x: np.concatenate([x, V], axis=None), A),
    "stack": (lambda x: np.stack([x, B, x], axis=-1), A),
    "vstack": (lambda x: np.vstack([x, V]), A),
    "hstack": (lambda x: np.hstack((x, B)), A),
    "split": (lambda x: np.split(x, 2, axis=1), A),
    "array_split": (lambda x: np.array_split(x, 2), A),
    "hsplit": (lambda x: np.hsplit(x, [1, 3]), A),
    "repeat": (lambda x: np.repeat(x, 2, axis=0), A),
    "tile": (lambda x: np.tile(x, (2, 1)), A),
    "flip": (lambda x: np.flip(x), A),
    "fliplr": (lambda x: np.fliplr(x), A),
    "roll": (lambda x: np.roll(x, 1, axis=1), A),
    "rot90": (lambda x: np.rot90(x), A),
    "take": (lambda x: np.take(x, [0, 2, 2], axis=1), A),
    "take_flat": (lambda x: np.take(x, 5), A),
    "take_along_axis": (lambda x: np.take_along_axis(x, np.argsort(A, 1), 1), A),
    "diag": (lambda x: np.diag(x), S),
    "diagonal": (lambda x: np.diagonal(x, 1), A),
    "trace": (lambda x: np.trace(x), S),
    "tril": (lambda x: np.tril(x, 1), S),
    "triu": (lambda x: np.triu(x), S),
    "pad": (lambda x: np.pad(x, ((1, 0), (2, 1))), A),
    "pad_edge": (lambda x: np.pad(x, 1, mode="edge"), A),
    "copy": (lambda x: np.copy(x), A),
    "append": (lambda x: np.append(x, V), A),
    "atleast_2d": (lambda x: np.atleast_2d(x), V),
    "kron": (lambda x: np.kron(x, np.eye(2)), S),
    "cross": (lambda x: np.cross(x, S), P),
    "meshgrid": (lambda x: np.meshgrid(x, [1.0, 2.0]), V),
    "norm": (lambda x: np.linalg.norm(x), A),
    "norm_axis": (lambda x: np.linalg.norm(x, axis=1), A),
    "norm_1": (lambda x: np.linalg.norm(x, 1), V),
    "norm_matrix": (lambda x: np.linalg.norm(x, 1), A),
    "solve": (lambda x: np.linalg.solve(x, V[:3]), P),
    "solve_right": (lambda x: np.linalg.solve(P, x), V[:3]),
    "inv": (lambda x: np.linalg.inv(x), P),
    "det": (lambda x: np.linalg.det(x), P),
    "slogdet": (lambda x: np.linalg.slogdet(x)[1], P),
    "cholesky": (lambda x: np.linalg.cholesky(x), P),
    "eigh": (lambda x: np.linalg.eigh(x)[0], P),
    "eigvalsh": (lambda x: np.linalg.eigvalsh(x), P),
    "svd": (lambda x: np.linalg.svd(x, compute_uv=False), A),
    "pinv": (lambda x: np.linalg.pinv(x), A),
    "matrix_power": (lambda x: np.linalg.matrix_power(x, 3), S),
    "unique": (lambda x: np.unique(x), np.round(A, 0)),
    "unique_axis": (lambda x: np.unique(x, axis=0), A),
    "select": (lambda x: np.select([A > 1, A > 0], [x, 2 * x], 0.5), B),
    "block": (lambda x: np.block([[x, np.eye(3)], [V[:3], V[:3]]]), S),
    "delete": (lambda x: np.delete(x, [0, 2], axis=1), A),
    "compress": (lambda x: np.compress([True, False, True], x, axis=0), A),
    "extract": (lambda x: np.extract(A > 0, x), B),
    "rollaxis": (lambda x: np.rollaxis(x[None], 2), A),
    "unstack": (lambda x: np.unstack(x, axis=1), A),
    "bincount": (lambda x: np.bincount([0, 2, 2, 1], x), V),
    "interp": (lambda x: np.interp(x, [-1.0, 0.0, 2.0], [3.0, -1.0, 4.0]), A),
    "interp_values": (lambda x: np.interp(A, [-1.0, 0.0, 0.5, 2.0], x), V),
    "gradient": (lambda x: np.gradient(x), A),
    "gradient_axis": (lambda x: np.gradient(x, 0.5, axis=1, edge_order=2), A),
    "gradient_uneven": (lambda x: np.gradient(x, np.array([0.0, 1.0, 1.5, 3.0]), axis=1), A),
    "gradient_uneven_2": (
        lambda x: np.gradient(x, np.array([0.0, 1.0, 1.5, 3.0]), axis=1, edge_order=2),
        A,
    ),
    "convolve": (lambda x: np.convolve(x, [1.0, 2.0, -1.0]), V),
    "convolve_same": (lambda x: np.convolve(x, [1.0, 2.0, -1.0], "same"), V),
    "convolve_short": (lambda x: np.convolve(x, A[:, :2].ravel(), "valid"), V),
    "correlate": (lambda x: np.correlate(x, [1.0, 2.0, -1.0]), V),
    "correlate_full": (lambda x: np.correlate(x, [1.0, 2.0], "full"), V),
    "polyval": (lambda x: np.polyval([1.0, 2.0, 3.0], x), A),
    "polyval_coefficients": (lambda x: np.polyval(x, A), V),
    "ediff1d": (lambda x: np.ediff1d(x, to_begin=1.0), A),
    "nanvar": (lambda x: np.nanvar(x, axis=1, ddof=1), HOLES),
    "nanstd": (lambda x: np.nanstd(x), HOLES),
    "nanprod": (lambda x: np.nanprod(x, 0), HOLES),
    "nancumsum": (lambda x: np.nancumsum(x), HOLES),
    "fft": (lambda x: np.abs(np.fft.fft(x)), A),
    "fft_resized": (lambda x: np.fft.fft(x, 6, axis=0, norm="ortho").imag, A),
    "fft2": (lambda x: np.fft.fft2(x).real, A),
    "rfft": (lambda x: np.abs(np.fft.rfft(x)) ** 2, A),
    "irfft": (lambda x: np.fft.irfft(x, 5), A),
    "fftshift": (lambda x: np.fft.fftshift(x, axes=1), A),
    "ifftn": (lambda x: np.fft.ifftn(x).real, A),
    "hfft": (lambda x: np.fft.hfft(x), A),
    "linspace": (lambda x: np.linspace(x[0], x[1], 5), V),
    "linspace_axis": (lambda x: np.linspace(x, 2.0, 3, endpoint=False, axis=-1), A),
    "linspace_step": (lambda x: np.linspace(0.0, x[0], 4, retstep=True), V),
    "logspace": (lambda x: np.logspace(x[0], x[1], 4, base=2.0), V),
    "geomspace": (lambda x: np.geomspace(x[0] ** 2, 7.0, 4), V),
    "array_like": (lambda x: np.array([[x[0], 1.0], [x[2], x[3]]], like=x), V),
    "full_like_tensor": (lambda x: np.full((2, 3), x[1], like=x), V),
    "polyfit": (lambda x: np.polyfit(np.arange(4.0), x, 2), V),
    "polyfit_places": (lambda x: np.polyfit(x, A.T, 1, w=[1.0, 2.0, 1.0, 3.0]), V),
    "polyadd": (lambda x: np.polyadd(x, [1.0, 2.0]), V),
    "polysub": (lambda x: np.polysub([1.0, 2.0], x), V),
    "polymul": (lambda x: np.polymul(x, [1.0, 2.0]), V),
    "polyder": (lambda x: np.polyder(x, 2), V),
    "polyint": (lambda x: np.polyint(x, 2, [1.0, 2.0]), V),
    "piecewise": (lambda x: np.piecewise(x, [x > 0, x > 1], [np.exp, 2.0, lambda v: v * v]), A),
    "apply_along_axis": (lambda x: np.apply_along_axis(lambda r: r[:2] * r[-1], 0, x), A),
    "apply_along_axis_sum": (lambda x: np.apply_along_axis(np.sum, 1, x), A),
    "unwrap": (lambda x: np.unwrap(6 * x), A),
    "unwrap_period": (lambda x: np.unwrap(6 * x, axis=0, period=4.0), A),
    "insert": (lambda x: np.insert(x, 1, x[:, 0], axis=1), A),
    "insert_several": (lambda x: np.insert(x, [0, 2, 2], 2.0 * x[:, :3], axis=1), A),
    "insert_flat": (lambda x: np.insert(x, slice(0, 2), 5.0), A),
    "vander": (lambda x: np.vander(x, 3), V),
    "diagflat": (lambda x: np.diagflat(x, 1), A),
    "tensorsolve": (lambda x: np.linalg.tensorsolve(x, V[:3]), P),
    "tensorinv": (lambda x: np.linalg.tensorinv(x, 1), P),
    "astype": (lambda x: np.astype(x, np.float64), A),
    "triu_indices": (lambda x: x[np.triu_indices_from(x)], S),
    "diag_indices": (lambda x: x[np.diag_indices_from(x)], S),
    "partition": (lambda x: np.partition(x, [0, 1, 2, 3], axis=1), A),
    "concatenate_lists": (lambda x: np.concatenate([[x[0], 2.0], x]), V),
    "astype_method": (lambda x: x.astype(np.float64) * np.floor(x).astype(int), A),
    "copy_method": (lambda x: x.copy() * 2, A),
    "multi_dot": (lambda x: np.linalg.multi_dot([x, B.T, S]), A),
}

if hasattr(np, "matvec"):  # NumPy 2.2
    CALLS |= {
        "vecdot": (lambda x: np.vecdot(x, B), A),
        "matvec": (lambda x: np.matvec(x, V), A),
        "vecmat": (lambda x: np.vecmat(V[:3], x), A),
    }


@pytest.mark.parametrize("name", CALLS)
def test_value_and_gradient(name):
    call, data = CALLS[name]
    x = cr.tensor(data, requires_grad=True)
    ours, expected = call(x), call(data)
    for a, b in zip(arrays(ours), arrays(expected), strict=True):
        assert np.shape(a) == np.shape(b)
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    parts = [p for p in (ours if isinstance(ours, (tuple, list)) else [ours]) if p.requires_grad]
    assert parts, "the call was not recorded"
    gradient = cr.autograd.grad(sum((p * p).sum() for p in parts), x)[0].numpy()
    t = np.random.default_rng(1).standard_normal(data.shape)
    t = t + t.T if name in ("eigh", "eigvalsh", "cholesky") else t

    def along(h):
        live = arrays(call(np.where(np.isnan(data), np.nan, data + h * t)))
        return sum(np.sum(p * p) for p, o in zip(live, arrays(ours), strict=True) if o is not None)

    if name not in ("round", "meshgrid", "unique"):
        slope = (along(1e-6) - along(-1e-6)) / 2e-6
        np.testing.assert_allclose(np.nansum(gradient * t), slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.argmax(x),
        lambda x: np.argmin(x, axis=1),
        lambda x: np.nanargmax(x, 1),
        lambda x: np.argsort(x, axis=0),
        lambda x: np.any(x > 0),
        lambda x: np.all(x, axis=1),
        lambda x: np.count_nonzero(x),
        lambda x: np.searchsorted(np.array([-1.0, 0.0, 1.0]), x),
        lambda x: np.digitize(x, np.array([-1.0, 0.0, 1.0])),
        lambda x: np.unique(x, return_counts=True),
        lambda x: np.histogram(x, 4),
        lambda x: np.nonzero(x > 0),
        lambda x: np.where(x > 0),
        lambda x: np.argwhere(x > 0),
        lambda x: np.shape(x),
        lambda x: np.ndim(x),
        lambda x: np.size(x),
        lambda x: np.zeros_like(x),
        lambda x: np.full_like(x, 2.0),
        lambda x: np.isclose(x, A),
        lambda x: np.allclose(x, A),
        lambda x: np.array_equal(x, B),
        lambda x: np.linalg.matrix_rank(x),
        lambda x: np.argpartition(x, [0, 1, 2, 3]),
        lambda x: np.isposinf(x),
        lambda x: np.iscomplex(x),
        lambda x: np.zeros((2, 3), like=x),
        lambda x: np.ones(2, np.float32, like=x),
        lambda x: np.eye(2, 3, like=x),
        lambda x: np.identity(3, like=x),
    ],
)
def test_results_without_gradient(call):
    for a, b in zip(arrays(call(cr.tensor(A))), arrays(call(A)), strict=True):
        np.testing.assert_allclose(a, b)


def test_uncovered_functions_and_arguments_say_so():
    x = cr.tensor(A, requires_grad=True)
    with pytest.raises(TypeError, match=r"numpy.trim_zeros.* not recorded .*detach"):
        np.trim_zeros(x)
    with pytest.raises(TypeError, match=r"^numpy.sum.*'where'.*not supported"):
        np.sum(x, where=A > 0)
    with pytest.raises(TypeError, match="cannot write its result to an array"):
        np.sum(x, axis=0, out=np.zeros(4))
    with pytest.raises(TypeError, match="supports order='C' only"):
        np.reshape(x, (4, 3), order="F")


def test_out_may_be_a_tensor():
    out = cr.zeros(4, dtype=cr.float64)
    assert np.sum(cr.tensor(A), axis=0, out=out) is out
    np.testing.assert_allclose(out.numpy(), A.sum(0))


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_arguments_have_numpys_names(name):
    found = np
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        pytest.skip("this NumPy does not have it yet")
    try:
        theirs = inspect.signature(found).parameters
    except ValueError:
        pytest.skip("NumPy does not tell")
    ours = inspect.signature(FUNCTIONS[name]).parameters
    every = (*ours.values(), *theirs.values())
    variadic = any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in every)
    assert variadic or set(ours) <= set(theirs)
