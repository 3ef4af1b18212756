"""Losses, norms, activations and lookups inside transforms."""

import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.nn import functional as F
from tests.transforms import public_checks as checks
from tests.transforms.public_checks import integers, real

X, Y, LINE = real(4, 3), real(4, 3, seed=1), real(3, seed=2)
LOGP = np.log(real(4, 3, low=0.1, high=0.9, seed=3))
DEEP = real(2, 3, 4, seed=4)
P, Q = real(4, 3, low=0.1, high=0.9, seed=5), real(4, 3, low=0.1, high=0.9, seed=6)
CLASSES, DEEP_CLASSES = np.array([0, 2, 1, 1]), integers(2, 4, high=3)
IGNORED = np.array([0, -100, 1, 2])
WEIGHT = real(3, low=0.5, high=2.0, seed=7)
WHOLE = np.array([2, 5, 1])  # weights of classes have no derivative
SIGNS = np.array([1.0, -1.0, -1.0, 1.0])
LABELS = np.array([[0, 2, -1], [1, -1, 0], [2, -1, -1], [0, 1, 2]])
CASES = {}


def bags(index, sizes, table, mode):
    """Bags one after the other; the last one ends where the index ends."""
    offsets = cr.cat([cr.zeros(1, dtype=cr.int64), cr.cumsum(sizes, 0)])
    return F.embedding_bag(index, table, offsets, mode=mode)


def case(name, f, *args):
    assert name not in CASES
    CASES[name] = (f, args)


for _r in ("none", "mean", "sum"):
    case(f"nll_loss {_r}", lambda x, t, r=_r: F.nll_loss(x, t, reduction=r), LOGP, CLASSES)
    case(
        f"nll_loss weighted {_r}",
        lambda x, t, w, r=_r: F.nll_loss(x, t, 0.3 * w.double(), reduction=r),
        LOGP,
        IGNORED,
        WHOLE,
    )
    case(
        f"nll_loss deep {_r}", lambda x, t, r=_r: F.nll_loss(x, t, reduction=r), DEEP, DEEP_CLASSES
    )
    case(f"cross_entropy {_r}", lambda x, t, r=_r: F.cross_entropy(x, t, reduction=r), X, CLASSES)
    case(
        f"cross_entropy deep {_r}",
        lambda x, t, r=_r: F.cross_entropy(x, t, reduction=r),
        DEEP,
        DEEP_CLASSES,
    )
    case(
        f"cross_entropy weighted {_r}",
        lambda x, t, w, r=_r: F.cross_entropy(x, t, 0.3 * w.double(), reduction=r),
        X,
        IGNORED,
        WHOLE,
    )
    case(
        f"cross_entropy smoothed {_r}",
        lambda x, t, r=_r: F.cross_entropy(x, t, reduction=r, label_smoothing=0.2),
        X,
        IGNORED,
    )
    case(
        f"cross_entropy smoothed weighted {_r}",
        lambda x, t, w, r=_r: F.cross_entropy(
            x, t, 0.3 * w.double(), reduction=r, label_smoothing=0.2
        ),
        X,
        IGNORED,
        WHOLE,
    )
    case(
        f"cross_entropy probabilities {_r}",
        lambda x, t, r=_r: F.cross_entropy(x, t, reduction=r),
        X,
        P,
    )
    case(f"bce {_r}", lambda x, t, r=_r: F.binary_cross_entropy(x, t, reduction=r), P, Q)
    case(
        f"bce logits {_r}",
        lambda x, t, r=_r: F.binary_cross_entropy_with_logits(x, t, reduction=r),
        X,
        Q,
    )
    case(f"mse_loss {_r}", lambda x, y, r=_r: F.mse_loss(x, y, reduction=r), X, Y)
    case(f"gaussian {_r}", lambda x, y, v, r=_r: F.gaussian_nll_loss(x, y, v, reduction=r), X, Y, P)
    case(
        f"multi_margin {_r}", lambda x, t, r=_r: F.multi_margin_loss(x, t, reduction=r), X, CLASSES
    )
    case(
        f"multilabel_margin {_r}",
        lambda x, t, r=_r: F.multilabel_margin_loss(x, t, reduction=r),
        X,
        LABELS,
    )
case("nll_loss single", F.nll_loss, LINE, np.array(1))
case("cross_entropy single", F.cross_entropy, LINE, np.array(2))
case(
    "cross_entropy single none",
    lambda x, t: F.cross_entropy(x, t, reduction="none"),
    LINE,
    np.array(2),
)
case(
    "cross_entropy probabilities weighted",
    lambda x, t, w: F.cross_entropy(x, t, w, label_smoothing=0.1),
    X,
    P,
    WEIGHT,
)
case("bce weighted", F.binary_cross_entropy, P, Q, WEIGHT)
case(
    "bce logits pos_weight",
    lambda x, t, w: F.binary_cross_entropy_with_logits(x, t, pos_weight=w),
    X,
    Q,
    WEIGHT,
)
case("mse_loss weighted", lambda x, y, w: F.mse_loss(x, y, weight=w), X, Y, P)
case("l1_loss", F.l1_loss, X, Y)
case("smooth_l1_loss", lambda x, y: F.smooth_l1_loss(x, y, beta=0.7), X, Y)
case("smooth_l1_loss sharp", lambda x, y: F.smooth_l1_loss(x, y, beta=0.0), X, Y)
case("huber_loss", F.huber_loss, X, Y)
case("poisson_nll_loss", lambda x, y: F.poisson_nll_loss(x, y, full=True), X, 3 * P)
case("poisson_nll_loss counts", lambda x, y: F.poisson_nll_loss(x, y, log_input=False), P, 3 * Q)
case("gaussian per row", lambda x, y, v: F.gaussian_nll_loss(x, y, v, full=True), X, Y, P[:, 0])
case("gaussian number", lambda x, y: F.gaussian_nll_loss(x, y, 0.5), X, Y)
case("kl_div", lambda x, y: F.kl_div(x, y, reduction="batchmean"), LOGP, P)
case("kl_div log", lambda x, y: F.kl_div(x, y, reduction="sum", log_target=True), LOGP, np.log(P))
case("hinge", lambda x, t: F.hinge_embedding_loss(x, t), X[:, 0], SIGNS.astype(int))
case(
    "margin_ranking",
    lambda x, y, t: F.margin_ranking_loss(x, y, t, 0.3),
    X[:, 0],
    Y[:, 0],
    SIGNS.astype(int),
)
case(
    "cosine_embedding",
    lambda x, y, t: F.cosine_embedding_loss(x, y, t, 0.1),
    X,
    Y,
    SIGNS.astype(int),
)
case("triplet", lambda a, p, n: F.triplet_margin_loss(a, p, n, swap=True, margin=3.0), X, Y, P)
case("soft_margin", F.soft_margin_loss, X, Y)
case("multilabel_soft_margin", lambda x, y, w: F.multilabel_soft_margin_loss(x, y, w), X, Q, WEIGHT)
case(
    "multi_margin squared",
    lambda x, t, w: F.multi_margin_loss(x, t, p=2, weight=w),
    X,
    CLASSES,
    WEIGHT,
)
case("multi_margin single", F.multi_margin_loss, LINE, np.array(1))
case("multilabel_margin single", F.multilabel_margin_loss, LINE, np.array([2, 0, -1]))
_steps = np.log(np.random.default_rng(8).dirichlet(np.ones(4), (6, 2)))
_ends, _sizes = np.array([6, 5]), np.array([3, 2])
for _r in ("none", "mean"):
    case(
        f"ctc {_r}",
        lambda x, t, r=_r: F.ctc_loss(x, t, [6, 5], [3, 2], reduction=r),
        _steps,
        np.array([[1, 2, 2], [3, 1, 2]]),
    )
case(
    "ctc lengths",
    lambda x, t, a, b: F.ctc_loss(x, t, a, b, zero_infinity=True),
    _steps,
    np.array([[1, 2, 2], [3, 1, 2]]),
    _ends,
    _sizes,
)
case("ctc joined", lambda x, t: F.ctc_loss(x, t, [6, 5], [3, 2]), _steps, np.array([1, 2, 3, 1, 2]))
case(
    "ctc single",
    lambda x, t, a, b: F.ctc_loss(x, t, a, b),
    _steps[:, 0],
    np.array([1, 2, 3]),
    np.array(6),
    np.array(3),
)

case("normalize", F.normalize, X)
case("normalize 3", lambda x: F.normalize(x, p=3.0, dim=0), X)
case("cosine_similarity", F.cosine_similarity, X, Y)
case("cosine_similarity broadcast", lambda x, y: F.cosine_similarity(x, y, dim=-1), X, LINE)
case("pairwise_distance", lambda x, y: F.pairwise_distance(x, y, keepdim=True), X, Y)
case("pdist", F.pdist, X)
case("layer_norm", lambda x, w, b: F.layer_norm(x, (3,), w, b), X, WEIGHT, LINE)
case("layer_norm plain", lambda x: F.layer_norm(x, (3, 4)), DEEP)
case(
    "batch_norm", lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), X, WEIGHT, LINE
)
case("batch_norm deep", lambda x: F.batch_norm(x, None, None, training=True), DEEP)
case(
    "batch_norm fixed",
    lambda x, m, v, w, b: F.batch_norm(x, m, v, w, b),
    DEEP,
    LINE,
    WEIGHT,
    LINE,
    WEIGHT,
)
case("instance_norm", lambda x, w, b: F.instance_norm(x, weight=w, bias=b), DEEP, WEIGHT, LINE)
case("group_norm", lambda x, w, b: F.group_norm(x, 3, w, b), DEEP, WEIGHT, LINE)
case("rms_norm", lambda x, w: F.rms_norm(x, (3,), w), X, WEIGHT)
case("local_response_norm", lambda x: F.local_response_norm(x, 2), DEEP)

_table = real(5, 2, seed=9)
_index = np.array([[1, 4, 1], [0, 2, 1]])
case("embedding", lambda i, w: F.embedding(i, w), _index, _table)
case(
    "embedding by frequency",
    lambda i, w: F.embedding(i, w, scale_grad_by_freq=True),
    _index,
    _table,
)
for _mode in ("sum", "mean", "max"):
    case(
        f"embedding_bag {_mode}",
        lambda i, w, m=_mode: F.embedding_bag(i, w, mode=m),
        _index,
        _table,
    )
    case(
        f"embedding_bag offsets {_mode}",
        lambda i, n, w, m=_mode: bags(i, n, w, m),
        np.array([3, 0, 2, 4]),
        np.array([0, 3]),
        _table,
    )
    case(
        f"embedding_bag padded {_mode}",
        lambda i, w, m=_mode: F.embedding_bag(i, w, mode=m, padding_idx=1),
        _index,
        _table,
    )
case(
    "embedding_bag weighted",
    lambda i, w, s: F.embedding_bag(i, w, mode="sum", per_sample_weights=s),
    _index,
    _table,
    real(2, 3, seed=10),
)
case("one_hot", lambda i, x: F.one_hot(i, 3) * x, CLASSES, X)

ACTIVATIONS = """relu relu6 hardtanh leaky_relu elu selu celu gelu silu mish softplus softsign
    hardswish hardsigmoid hardshrink softshrink tanhshrink logsigmoid sigmoid tanh"""
for _name in ACTIVATIONS.split():
    case(_name, getattr(F, _name), X)
case("gelu tanh", lambda x: F.gelu(x, approximate="tanh"), X)
case("gelu of a number", F.gelu, real())
case("prelu", F.prelu, X, WEIGHT)
case("threshold", lambda x: F.threshold(x, 0.1, 5.0), X)
case("glu", lambda x: F.glu(x, 1), DEEP[:, :2])
for _f in (F.softmax, F.softmin, F.log_softmax):
    case(_f.__name__, lambda x, f=_f: f(x, dim=-1), X)

# PyTorch scales its gradient, not its tangents: the modes are not each other's transposes.
NOT_FOR = {
    "embedding by frequency": {
        checks.check_jacobians, checks.check_second_order, checks.check_inside
    }
}  # fmt: skip


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "reduction: 'mean'|Using a target size")
        yield


@pytest.mark.parametrize("check", checks.CHECKS)
@pytest.mark.parametrize("name", CASES)
def test_in_transforms(name, check):
    if check not in NOT_FOR.get(name, ()):
        check(*CASES[name])
