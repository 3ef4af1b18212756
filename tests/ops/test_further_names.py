"""Copies, `index_reduce`, Householder products and short-time Fourier transforms."""

import itertools

import numpy as np
import pytest

import chainrule as cr
from chainrule import tensor

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 37))
REDUCTIONS = list(itertools.product(("prod", "mean", "amax", "amin"), (True, False)))


def matrix(*shape, complex=False):
    a = np.random.default_rng(shape).standard_normal(shape)
    return a * (1 + 0.5j) if complex else a


def test_copies_have_memory_of_their_own():
    x = cr.arange(6).view(2, 3)
    for y in (x.narrow_copy(0, 0, 1), cr.t_copy(x), cr.alias_copy(x), *cr.unbind_copy(x)):
        assert y.data_ptr() != x.data_ptr()
        y.zero_()
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_unsafe_names_are_views():
    x = cr.arange(4)
    for split in (x.unsafe_chunk(2), x.unsafe_split(2), x.unsafe_split_with_sizes((2, 2))):
        assert [y.tolist() for y in split] == [[0, 1], [2, 3]]
        assert split[0].data_ptr() == x.data_ptr()


@pytest.mark.parametrize(("reduce", "include_self"), REDUCTIONS)
def test_index_reduce(reduce, include_self):
    x, source, places = matrix(3, 4), matrix(3, 5), np.array([0, 3, 3, 0, 2])
    want = x.copy()
    combine = {"prod": np.prod, "mean": np.mean, "amax": np.max, "amin": np.min}[reduce]
    for j in set(places.tolist()):
        taken = source[:, places == j]
        taken = np.concatenate([x[:, j : j + 1], taken], 1) if include_self else taken
        want[:, j] = combine(taken, 1)
    y = tensor(x)
    got = y.index_reduce(1, tensor(places), tensor(source), reduce, include_self=include_self)
    np.testing.assert_allclose(got.numpy(), want)
    y.index_reduce_(1, tensor(places), tensor(source), reduce, include_self=include_self)
    np.testing.assert_allclose(y.numpy(), want)


def test_index_reduce_refuses():
    x, i = cr.zeros(3), tensor([0, 1])
    with pytest.raises(RuntimeError, match="one of prod, mean, amax or amin but got sum"):
        x.index_reduce(0, i, cr.ones(2), "sum")
    with pytest.raises(RuntimeError, match="same dtype"):
        x.index_reduce(0, i, cr.ones(2, dtype=cr.float64), "mean")
    with pytest.raises(IndexError, match="Number of indices"):
        x.index_reduce(0, i, cr.ones(3), "mean")


def reflections(a, tau):
    """The product of Householder reflections, one after the other."""
    m = a.shape[0]
    q = np.eye(m, dtype=a.dtype)
    for i, t in enumerate(tau):
        v = np.concatenate([np.zeros(i), [1], a[i + 1 :, i]])
        q = q @ (np.eye(m) - t * np.outer(v, v.conj()))
    return q


@pytest.mark.parametrize("complex", [False, True])
@pytest.mark.parametrize(("m", "n", "k"), [(5, 3, 3), (5, 3, 2), (4, 4, 4), (3, 3, 0), (0, 0, 0)])
def test_householder(m, n, k, complex):
    a, tau = matrix(2, m, n, complex=complex), matrix(2, k, complex=complex)
    q = np.stack([reflections(*pair) for pair in zip(a, tau, strict=True)])
    got = cr.linalg.householder_product(tensor(a), tensor(tau)).numpy()
    np.testing.assert_allclose(got, q[..., :n], atol=1e-12)
    if k < n:
        return
    for left, transpose in itertools.product((True, False), (True, False)):
        c = matrix(2, m, 2, complex=complex) if left else matrix(2, 2, m, complex=complex)
        p = np.swapaxes(q, -1, -2).conj() if transpose else q
        got = cr.ormqr(tensor(a), tensor(tau), tensor(c), left, transpose).numpy()
        np.testing.assert_allclose(got, p @ c if left else c @ p, atol=1e-12)


def test_householder_refuses():
    a, tau = cr.zeros(3, 2), cr.zeros(2)
    for f, args, words in [
        (cr.linalg.householder_product, (a.T, tau), "greater than or equal to input.shape"),
        (cr.linalg.householder_product, (a, cr.zeros(3)), "greater than or equal to tau.shape"),
        (cr.linalg.householder_product, (a, tau[None]), "one dimension less"),
        (cr.linalg.householder_product, (a, tau.double()), "dtype Double does not match"),
        (cr.ormqr, (a, tau, cr.zeros(2, 3)), r"other.shape\[-2\]"),
        (cr.ormqr, (a, tau, cr.zeros(3)), "same number of dimensions"),
    ]:
        with pytest.raises(RuntimeError, match=words):
            f(*args)


SETTINGS = [
    dict(zip(("n_fft", "hop_length", "win_length", "center", "normalized", "onesided"), s,
             strict=True))
    for s in itertools.product((8, 7), (None, 3), (None, 5), (True, False), (True, False),
                               (None, False))
]  # fmt: skip


def window(settings):
    return np.random.default_rng(1).uniform(0.5, 1, settings["win_length"] or settings["n_fft"])


def test_stft_is_a_transform_of_each_window():
    x, w = X[0], np.hanning(9)[:8]
    got = cr.stft(tensor(x), 8, 3, window=tensor(w), center=False, return_complex=True).numpy()
    for t in range(got.shape[1]):
        np.testing.assert_allclose(got[:, t], np.fft.rfft(x[3 * t : 3 * t + 8] * w), atol=1e-12)


@pytest.mark.parametrize("complex", [False, True])
def test_istft_inverts(complex):
    x = X * (1 + 0.5j) if complex else X
    for settings in SETTINGS:
        if settings["hop_length"] is None or not settings["center"]:
            continue
        w = tensor(window(settings))
        s = cr.stft(tensor(x), window=w, return_complex=True, **settings)
        back = cr.istft(s, window=w, length=36, return_complex=complex, **settings)
        np.testing.assert_allclose(back.numpy(), x[:, :36], atol=1e-10)


@pytest.mark.parametrize("complex", [False, True])
def test_short_time_transforms_against_torch(complex):
    torch = pytest.importorskip("torch")
    x = X * (1 + 0.5j) if complex else X
    for settings in SETTINGS:
        w = window(settings)
        spectra = [
            lib.stft(lib.tensor(x), window=lib.tensor(w), return_complex=True, **settings)
            for lib in (torch, cr)
        ]
        np.testing.assert_allclose(spectra[1].numpy(), spectra[0].numpy(), atol=1e-12)
        for length, signal in itertools.product((None, 20), (False, True)):
            found = [
                inverse(lib, s, w, {**settings, "length": length, "return_complex": signal})
                for lib, s in zip((torch, cr), spectra, strict=True)
            ]
            assert (found[0] is None) == (found[1] is None)
            if found[0] is not None:
                np.testing.assert_allclose(found[1], found[0], atol=1e-10)


def inverse(lib, s, w, settings):
    try:
        return lib.istft(s, window=lib.tensor(w), **settings).numpy()
    except RuntimeError:
        return None


def test_stft_refuses_and_warns():
    x = cr.ones(20)
    with pytest.raises(RuntimeError, match="requires the return_complex parameter"):
        cr.stft(x, 8)
    with pytest.raises(RuntimeError, match="hop_length > 0"):
        cr.stft(x, 8, 0, return_complex=True)
    with pytest.raises(RuntimeError, match="1D window tensor of size equal to win_length=8"):
        cr.stft(x, 8, window=cr.ones(4), return_complex=True)
    with pytest.raises(RuntimeError, match="1D or 2D"):
        cr.stft(x[None, None], 8, return_complex=True)
    with pytest.raises(RuntimeError, match="onesided"):
        cr.stft(x + 0j, 8, onesided=True)
    with pytest.warns(UserWarning, match="A window was not provided"):
        s = cr.stft(x, 8, return_complex=True)
    with pytest.raises(RuntimeError, match="complex-valued"):
        cr.istft(s.real, 8, window=cr.ones(8))
    with pytest.raises(RuntimeError, match="window overlap add min"):
        cr.istft(s, 8, window=cr.hann_window(8), center=False)
    with pytest.warns(UserWarning, match="shorter than the length"):
        assert cr.istft(s, 8, window=cr.ones(8), length=30).shape == (30,)
    assert cr.stft(x, 8, window=cr.ones(8), return_complex=False).shape == (5, 11, 2)
