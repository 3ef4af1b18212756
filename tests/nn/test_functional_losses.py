"""Losses against PyTorch over their options, with its edge cases and errors."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F

from .oracle import compare, compare_errors, compare_float32, normal

REDUCTIONS = ["none", "mean", "sum"]
X, Y = normal(4, 3), normal(4, 3, seed=1)
UNIT = 1 / (1 + np.exp(-normal(4, 3)))
LABELS = np.array([0, 2, 1, 2])
SIGNS = np.array([1, -1, 1, -1])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weight", [None, np.array([0.5, 2.0, 1.0])])
@pytest.mark.parametrize("ignore", [-100, 2])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy(smoothing, weight, ignore, reduction):
    options = {"weight": weight, "ignore_index": ignore, "reduction": reduction}
    compare("cross_entropy", X, LABELS, label_smoothing=smoothing, **options)
    deep, labels = normal(2, 3, 2, 2), np.array([[[0, 1], [2, 1]], [[2, 2], [1, 0]]])
    compare("cross_entropy", deep, labels, label_smoothing=smoothing, **options)
    compare("cross_entropy", X[0], np.array(1), label_smoothing=smoothing, **options)
    if smoothing == 0:
        compare("nll_loss", X, LABELS, **options)
        compare("nll_loss", deep, labels, **options)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weight", [None, np.array([0.5, 2.0, 1.0])])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_of_probabilities(smoothing, weight, reduction):
    options = {"weight": weight, "reduction": reduction, "label_smoothing": smoothing}
    compare("cross_entropy", X, UNIT, **options)
    compare("cross_entropy", X[0], UNIT[0], **options)
    compare("cross_entropy", normal(2, 3, 4), np.abs(normal(2, 3, 4, seed=1)), **options)


def test_single_precision():
    compare_float32("cross_entropy", X, LABELS)
    compare_float32("mse_loss", X, Y)
    compare_float32("binary_cross_entropy_with_logits", X, UNIT)
    compare_float32("huber_loss", X, Y)


def test_cross_entropy_of_nothing_is_nan():
    """Everything ignored, or an empty batch; the gradient of what is ignored is zero."""
    x = cr.tensor(X, requires_grad=True)
    loss = F.cross_entropy(x, cr.tensor([-100] * 4))
    assert np.isnan(loss.item())
    loss.backward()
    assert not x.grad.numpy().any()
    compare("cross_entropy", np.zeros((0, 3)), np.zeros(0, np.int64))
    compare("cross_entropy", X, np.array([-100] * 4), reduction="sum")


def test_impossible_classes():
    x = np.array([[0.0, -np.inf, 1.0]])
    compare("cross_entropy", x, np.array([2]))
    compare("nll_loss", np.array([[-0.5, -np.inf]]), np.array([-100]), reduction="sum")
    assert F.cross_entropy(cr.tensor(x), cr.tensor([1])).item() == np.inf


@pytest.mark.parametrize(("args", "kwargs"), [
    ((X, np.array([1, 2])), {}),
    ((X, np.array([0, 1, 2, 7])), {}),
    ((X, np.array([0, 1, 2, -1])), {}),
    ((X, LABELS), {"reduction": "average"}),
    ((X, LABELS), {"weight": normal(4)}),
    ((normal(3, 4, 2), np.array([[1], [2], [1]])), {}),
    ((X, LABELS), {"label_smoothing": 2.0}),
    ((X, LABELS.astype(float)), {}),
])  # fmt: skip
def test_cross_entropy_errors(args, kwargs):
    compare_errors("cross_entropy", *args, **kwargs)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "args", "kwargs"), [
    ("mse_loss", (X, Y), {}),
    ("l1_loss", (X, Y), {}),
    ("smooth_l1_loss", (X, Y), {"beta": 0.6}),
    ("smooth_l1_loss", (X, Y), {"beta": 0.0}),
    ("huber_loss", (X, Y), {"delta": 0.6}),
    ("binary_cross_entropy", (UNIT, UNIT[::-1].copy()), {}),
    ("binary_cross_entropy", (UNIT, UNIT[::-1].copy()), {"weight": UNIT[0]}),
    ("binary_cross_entropy_with_logits", (X, UNIT), {}),
    ("binary_cross_entropy_with_logits", (X, UNIT), {"weight": UNIT[0], "pos_weight": UNIT[1]}),
    ("kl_div", (X, UNIT), {}),
    ("kl_div", (X, Y), {"log_target": True}),
    ("poisson_nll_loss", (X, UNIT * 5), {}),
    ("poisson_nll_loss", (UNIT, UNIT * 5), {"log_input": False, "full": True}),
    ("gaussian_nll_loss", (X, Y, UNIT), {}),
    ("gaussian_nll_loss", (X, Y, UNIT[:, :1].copy()), {"full": True}),
    ("gaussian_nll_loss", (X, Y, UNIT[:, 0].copy()), {"eps": 0.4}),
    ("hinge_embedding_loss", (X[:, 0].copy(), SIGNS), {}),
    ("margin_ranking_loss", (X[:, 0].copy(), Y[:, 0].copy(), SIGNS), {"margin": 0.3}),
    ("cosine_embedding_loss", (X, Y, SIGNS), {"margin": -0.2}),
    ("triplet_margin_loss", (X, Y, UNIT), {"margin": 2.0}),
    ("triplet_margin_loss", (X, Y, UNIT), {"margin": 2.0, "swap": True, "p": 1}),
    ("soft_margin_loss", (X[:, 0].copy(), SIGNS), {}),
    ("multi_margin_loss", (X, LABELS), {}),
    ("multi_margin_loss", (X, LABELS), {"p": 2, "margin": 0.5, "weight": UNIT[0]}),
    ("multilabel_margin_loss", (X, np.array([[0, -1, 2], [2, 0, -1], [-1, 0, 0], [1, 2, 0]])), {}),
    ("multilabel_margin_loss", (X[0], np.array([0, 2, -1])), {}),
    ("multilabel_soft_margin_loss", (X, (UNIT > 0.5).astype(float)), {"weight": UNIT[0]}),
])  # fmt: skip
def test_losses(name, args, kwargs, reduction):
    compare(name, *args, reduction=reduction, **kwargs)


@pytest.mark.parametrize("log_target", [False, True])
def test_kl_div_batchmean(log_target):
    compare("kl_div", X, UNIT, reduction="batchmean", log_target=log_target)


def test_certain_outcomes():
    """Probabilities of exactly 0 and 1 have finite losses and gradients, as in PyTorch."""
    p, t = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0])
    x = cr.tensor(p, requires_grad=True)
    F.binary_cross_entropy(x, cr.tensor(t), reduction="sum").backward()
    assert np.isfinite(x.grad.numpy()).all()
    compare("binary_cross_entropy_with_logits", np.array([800.0, -800.0]), np.array([0.0, 0.0]))
    from .oracle import TF, torch

    y = torch.tensor(p, requires_grad=True)
    TF.binary_cross_entropy(y, torch.tensor(t), reduction="sum").backward()
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy())


@pytest.mark.parametrize(("name", "args", "kwargs"), [
    ("binary_cross_entropy", (UNIT, UNIT[:2]), {}),
    ("binary_cross_entropy", (X * 5, UNIT), {}),
    ("binary_cross_entropy_with_logits", (X, UNIT[:2]), {}),
    ("huber_loss", (X, Y), {"delta": 0}),
    ("smooth_l1_loss", (X, Y), {"beta": -1.0}),
    ("gaussian_nll_loss", (X, Y, -UNIT), {}),
    ("multi_margin_loss", (X, np.array([0, 1, 2, 5])), {}),
    ("mse_loss", (X, Y), {"reduction": "average"}),
])  # fmt: skip
def test_errors(name, args, kwargs):
    compare_errors(name, *args, start=13, **kwargs)


def test_sizes_that_only_broadcast_are_warned_about():
    with pytest.warns(UserWarning, match="Using a target size"):
        F.mse_loss(cr.ones(3), cr.ones(1))


def test_distances():
    compare("cosine_similarity", X, Y)
    compare("cosine_similarity", X, Y, dim=0)
    compare("pairwise_distance", X, Y)
    compare("pairwise_distance", X, Y, p=1.0, keepdim=True)
    compare("pdist", X)
    compare("pdist", X, p=1.0)
    compare("normalize", X)
    compare("normalize", X, p=1.0, dim=0)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("layout", ["padded", "concatenated"])
def test_ctc_loss(reduction, layout):
    """Through log_softmax, because PyTorch's own derivative is meant for that alone."""
    from .oracle import TF, torch

    logits = normal(7, 3, 5)
    labels = np.array([[1, 2, 2], [3, 0, 0], [4, 1, 0]])
    sizes, ends = np.array([3, 1, 2]), np.array([7, 5, 6])
    if layout == "concatenated":
        labels = np.concatenate([row[:k] for row, k in zip(labels, sizes, strict=True)])
    found = []
    for library, f in ((cr, F), (torch, TF)):
        x = library.tensor(logits, requires_grad=True)
        given = [library.tensor(a) for a in (labels, ends, sizes)]
        loss = f.ctc_loss(f.log_softmax(x, dim=2), *given, reduction=reduction)
        loss.sum().backward()
        found.append((loss.detach().numpy(), x.grad.numpy()))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_ctc_loss_of_what_cannot_be_aligned():
    x = cr.tensor(normal(2, 1, 3), requires_grad=True)
    given = (cr.tensor([[1, 1, 2]]), [2], [3])
    assert F.ctc_loss(F.log_softmax(x, dim=2), *given).item() == np.inf
    loss = F.ctc_loss(F.log_softmax(x, dim=2), *given, zero_infinity=True)
    loss.backward()
    assert loss.item() == 0
    assert not x.grad.numpy().any()


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_margins_of_a_single_score(reduction):
    one, two, zero = np.array(2.0), np.array([2.0]), np.array(0)
    for x in (one, two):
        for target in (zero, np.array([0])):
            compare("multi_margin_loss", x, target, reduction=reduction)
    for target in (zero, np.array(-1), np.array([0])):
        compare("multilabel_margin_loss", one, target, reduction=reduction)
    compare("multi_margin_loss", one, zero, weight=np.array([3.0]), reduction=reduction)
    compare_errors("multi_margin_loss", one, np.array(1), start=20)
    compare_errors("multilabel_margin_loss", one, np.array(1))


def test_cosine_similarity_of_numbers_and_of_shapes_that_broadcast():
    for dim in (0, -1):
        compare("cosine_similarity", np.array(2.0), np.array(-3.0), dim=dim)
    compare("cosine_similarity", np.array(2.0), np.array([-3.0, 1.0]), dim=0)
    compare("cosine_similarity", X[:, :1], Y, dim=1)
    compare("cosine_similarity", X[0], Y, dim=0)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_in_other_layouts_and_with_nothing_that_counts(reduction):
    wide = normal(5, 80)
    compare("cross_entropy", wide, np.array([0, 79, 3, 40, 7]), reduction=reduction)
    compare("cross_entropy", np.asfortranarray(X), LABELS, reduction=reduction)
    deep = normal(2, 2, 3, 4).transpose(0, 2, 1, 3)
    compare("cross_entropy", deep, np.arange(16).reshape(2, 2, 4) % 3, reduction=reduction)
    compare("cross_entropy", X, LABELS, ignore_index=1, reduction=reduction)
    compare("cross_entropy", np.zeros((0, 3)), np.zeros(0, int), reduction=reduction)
    hopeless = np.where(np.arange(12).reshape(4, 3) == 5, -np.inf, X)
    compare("cross_entropy", hopeless, LABELS, ignore_index=2, reduction=reduction)
    compare("cross_entropy", X, LABELS.astype(np.uint8), reduction=reduction)
    compare_float32("cross_entropy", X, LABELS, weight=None, reduction=reduction)
    if reduction != "mean":
        compare("cross_entropy", X, LABELS * 0 - 100, reduction=reduction)


def test_linear_cross_entropy():
    x, w, b = normal(4, 3), normal(5, 3), normal(5)
    index = np.array([0, 2, 4, 1])
    x_, w_, b_, t = map(cr.tensor, (x, w, b, index))
    logits = x_ @ w_.mT + b_
    for options in ({}, {"reduction": "none"}, {"ignore_index": 2}, {"label_smoothing": 0.2},
                    {"weight": cr.tensor([1.0, 2.0, 3.0, 4.0, 5.0]).double()}):  # fmt: skip
        got = F.linear_cross_entropy(x_, w_, t, linear_bias=b_, **options)
        want = F.cross_entropy(logits, t, **options)
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-12)
    deep = cr.tensor(normal(5, 2, 3))
    targets = cr.tensor(np.array([[0, 1], [2, 3], [4, 0], [1, 1]]))
    logits = cr.einsum("nk,cdk->ncd", x_, deep)
    got = F.linear_cross_entropy(x_, deep, targets)
    np.testing.assert_allclose(got.item(), F.cross_entropy(logits, targets).item(), rtol=1e-12)


def test_linear_cross_entropy_refuses():
    x, w, t = cr.ones(2, 3), cr.ones(4, 3), cr.tensor([0, 1])
    with pytest.raises(RuntimeError, match="dimensionality 1 or 2"):
        F.linear_cross_entropy(x[None], w, t)
    with pytest.raises(RuntimeError, match="in_features"):
        F.linear_cross_entropy(x, cr.ones(4, 2), t)
    with pytest.raises(RuntimeError, match="expected linear_bias shape"):
        F.linear_cross_entropy(x, w, t, linear_bias=cr.ones(3))
    with pytest.raises(RuntimeError, match="requires batched input"):
        F.linear_cross_entropy(x[0], cr.ones(4, 2, 3), t)
    with pytest.raises(RuntimeError, match="probabilities"):
        F.linear_cross_entropy(x, w, cr.ones(2, 4) / 4, ignore_index=1)
