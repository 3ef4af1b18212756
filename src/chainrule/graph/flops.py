"""How much arithmetic a primitive does, from the shapes of its arguments and of its result.

Counted are operations on real numbers: +, -, ×, ÷, √, |x|, rounding, and comparisons are one
each; exponentials, logarithms, trigonometric and special functions are counted by themselves, as
`transcendental`.  Moving data (indexing, joining, padding, conversions) is no arithmetic.  On
complex numbers + and - are 2 operations, × is 6, ÷ is 11, and anything else four times what it is
on real ones, which is exact for sums of products.

The forms for factorisations are the leading terms of G. H. Golub and C. F. Van Loan, Matrix
Computations, 4th ed., 2013 (below: GVL); LAPACK's algorithms, which NumPy calls, differ from them
in lower-order terms.  Where the work depends on values (sorting, iterations), it is the usual one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.node import Node

# F. H. McMahon, "The Livermore Fortran Kernels", UCRL-53745, 1986: exp, sin, ... count as 8.
TRANSCENDENTAL = 8


class Work(NamedTuple):
    """The arithmetic of one operation.

    Attributes:
        flops: operations on real numbers.
        transcendental: evaluations of exp, log, sin, erf, ...
    """

    flops: int = 0
    transcendental: int = 0

    @property
    def weighted(self) -> int:
        """Both in one number: a transcendental function counts as 8 operations."""
        return self.flops + TRANSCENDENTAL * self.transcendental


Rule = Callable[[Sequence[Any], Any, dict[str, Any]], "int | float | tuple[float, float]"]


class UnknownCountError(KeyError):
    """A primitive for which no count is declared."""

    def __str__(self) -> str:
        return f"the primitive {self.args[0]} has no flop count; declare one with graph.flops.count"


def work(node: Node) -> Work:
    """The arithmetic of one node of a graph.

    Raises:
        UnknownCountError: if its primitive declares no count.
    """
    out = node.out[0] if type(node.out) is tuple else node.out
    return work_of(node.prim.name, node.args, out, node.params or {})


def work_of(name: str, args: Sequence[Any], out: Any, params: dict[str, Any]) -> Work:
    """The arithmetic of a primitive for arguments and a (first) result with shape and dtype."""
    if name not in COUNTS:
        raise UnknownCountError(name)
    found = COUNTS[name](args, out, params)
    flops, special = found if isinstance(found, tuple) else (found, 0)
    dtypes = [a.dtype for a in (*args, out) if hasattr(a, "dtype")]
    if name not in ALREADY_REAL and any(dt.kind == "c" for dt in dtypes):
        factor = COMPLEX.get(name, 4)
        flops, special = factor * flops, factor * special
    return Work(round(flops), round(special))


def count(name: str, rule: Rule) -> None:
    """Declare how much arithmetic a primitive does: `rule(args, out, params)`.

    Args:
        name: the primitive's name.
        rule: gives operations, or the pair (operations, transcendental functions), for arguments
            and first result, of which shape and dtype are known, and the keyword parameters.
    """
    COUNTS[name] = rule


COUNTS: dict[str, Rule] = {}
COMPLEX = {"add": 2, "subtract": 2, "negative": 2, "sum": 2, "multiply": 6, "pull_product": 6,
           "divide": 11, "reciprocal": 11, "conj": 1, "detach": 1}  # fmt: skip
ALREADY_REAL = {"fft", "rfft", "irfft"}


def size(x: Any) -> int:
    """The number of entries."""
    return math.prod(getattr(x, "shape", ()))


def extent(x: Any, axes: Sequence[int]) -> int:
    """The number of entries along some axes."""
    return math.prod(x.shape[a] for a in axes) if x.shape else 1


# ---------------------------------------------------------------- entry by entry


def _declare(names: str, rule: Rule) -> None:
    for name in names.split():
        COUNTS[name] = rule


def _per_entry(names: str, flops: float, special: float = 0) -> None:
    def rule(args: Any, out: Any, params: Any) -> Any:
        return flops * size(out), special * size(out)

    _declare(names, rule)


def _per_source(names: str, flops: float, special: float = 0) -> None:
    """As many operations as the first argument has entries."""

    def rule(args: Any, out: Any, params: Any) -> Any:
        return flops * size(args[0]), special * size(args[0])

    _declare(names, rule)


_per_entry(
    # moving data, and what only looks at it in another way
    "alias as_strided astype broadcast_to clone complex concat constant detach diagonal "
    "diagonal_transpose embedding expand_dims exchange flip getitem im2col imag index_put input "
    "overwrite pad permute_dims pick pool_pick pool_positions positions_in_range real "
    "repeat_example reshape roll scaled_gradient select_along set_data shift squeeze stack tile "
    "tril triu unfold view_as_complex view_as_real where within write_view cummax_along "
    "cummin_along kthvalue_along max_along median_along min_along mode_along nanmedian_along "
    "sort_along topk_along bernoulli_draw normal_draw poisson_draw module_boundary",
    0,
)
_per_entry(
    "abs add bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift "
    "bitwise_xor ceil clamp_max clamp_min copysign deg2rad divide equal floor floor_divide "
    "fmax fmin fmod frexp gcd greater greater_equal heaviside isfinite isinf isnan isreal "
    "lcm less less_equal logical_and logical_not logical_or logical_xor maximum minimum "
    "multiply negative nextafter not_equal positive pull_product pull_selection rad2deg reciprocal "
    "relu remainder signbit sqrt square subtract threshold trunc",
    1,
)
_per_entry(
    "acos acosh angle asin asinh atan atan2 atanh bessel_j0 bessel_j1 bessel_y0 bessel_y1 cbrt cos "
    "cosh digamma erf erfc erfcx erfinv exp exp2 expm1 gamma gammainc gammaincc i0 i0e i1 i1e "
    "lgamma log log10 log1p log2 log_ndtr logaddexp logaddexp2 modified_bessel_k0 "
    "modified_bessel_k1 ndtr ndtri polygamma scaled_modified_bessel_k0 scaled_modified_bessel_k1 "
    "sin sinh tan tanh zeta",
    0, 1,
)  # fmt: skip
# What these are composed of, operation by operation; a test counts what NumPy is asked to do.
_per_entry("clamp frac hardshrink hardtanh leaky_relu real_angle rsqrt truncated_divide", 2)
_per_entry("isneginf sign softshrink softsign", 3)
_per_entry("hypot isposinf prelu", 4)
_per_entry("hardswish", 5)
_per_entry("lerp nan_to_num", 8)
_per_entry("logit", 2, 1)
_per_entry("sigmoid sinc", 3, 1)
_per_entry("entr gelu silu", 4, 1)
_per_entry("xlog1py xlogy", 5, 1)
_per_entry("elu", 6, 1)
_per_entry("gelu_tanh", 8, 1)
_per_entry("log_sigmoid softplus", 4, 2)
_per_entry("mish", 7, 3)
_per_entry("huber", 7)
_per_entry("binary_cross_entropy", 7, 2)
_per_entry("binary_cross_entropy_with_logits", 6, 2)
_per_entry("lstm_step", 13, 5)  # three sigmoids, two tanh, and f·c + i·g
_per_entry("channel_affine recurrence", 2)
_per_entry("complex_sign", 2)


def _conj(args: Any, out: Any, params: Any) -> int:
    return size(out) if out.dtype.kind == "c" else 0  # the sign of the imaginary part


def _pow(args: Any, out: Any, params: Any) -> Any:
    """Powers that are known to be products or roots are computed as such."""
    y = args[1]
    known = float(y.real) if type(y) is np.ndarray and y.ndim == 0 else y
    number = isinstance(known, (int, float))
    products = {1: 1, 2: 1, 3: 2, 0.5: 1}.get(known) if number else None
    return (0, size(out)) if products is None else products * size(out)


def _round(args: Any, out: Any, params: Any) -> int:
    """To decimals: scaled, rounded, and scaled back."""
    return (3 if params.get("decimals") else 1) * size(out)


COUNTS["round"] = _round
COUNTS["conj"] = _conj
COUNTS["pow"] = _pow

# ---------------------------------------------------------------- sums and other reductions


def _reduction(args: Any, out: Any, params: Any) -> int:
    """Of k numbers k - 1 operations make one."""
    return max(size(args[0]) - size(out), 0)


def _steps(out: Any, axis: int) -> int:
    """A running sum of k numbers takes k - 1 operations."""
    return size(out) - size(out) // max(extent(out, [axis]), 1)


_declare("all amax amin any argmax argmin count_nonzero max_all min_all prod sum", _reduction)
COUNTS["cumsum"] = COUNTS["cumprod"] = lambda args, out, params: _steps(out, params["axis"])
COUNTS["logcumsumexp"] = lambda args, out, params: (0, _steps(out, params["axis"]))
# scattered sums: every entry is added somewhere
_per_source(
    "as_strided_transpose col2im embedding_rows pad_transpose pool_spread unfold_transpose "
    "weight_per_bin",
    1,
)
_per_source("spread_along", 0)
_declare("index_add scatter_extreme scatter_prod", lambda args, out, params: size(args[1]))
COUNTS["mean"] = lambda args, out, params: size(args[0]) if size(args[0]) else size(out)
COUNTS["nansum"] = lambda args, out, params: size(args[0]) + _reduction(args, out, params)
# mean, deviations, their squares, and the sum of these
COUNTS["var"] = lambda args, out, params: 4 * size(args[0])
COUNTS["std"] = lambda args, out, params: 4 * size(args[0]) + size(out)
COUNTS["standardize"] = lambda args, out, params: 5 * size(args[0])
COUNTS["channel_sum"] = _reduction
COUNTS["tie_weights"] = lambda args, out, params: 3 * size(args[0])
COUNTS["nll"] = lambda args, out, params: 2 * size(args[1])
COUNTS["nll_spread"] = lambda args, out, params: size(args[1])


def _norm(args: Any, out: Any, params: Any) -> Any:
    n = size(args[0])
    if params["ord"] == 2:
        return n + _reduction(args, out, params) + size(out)
    if params["ord"] in (0, 1, math.inf, -math.inf):
        return n + _reduction(args, out, params)
    return n + _reduction(args, out, params), n + size(out)


def _softmax(args: Any, out: Any, params: Any) -> Any:
    """Largest, difference, exponential, sum, quotient (of a logarithm: difference)."""
    n = size(out)
    if not out.shape:
        return 1, 0 if params.get("log") else 1
    lines = n // max(extent(out, [params["axis"]]), 1)
    logs = lines if params.get("log") else 0
    return 4 * n - 2 * lines, n + logs


def _softmax_nll(args: Any, out: Any, params: Any) -> Any:
    x, lines = args[0], size(args[1])
    flops, special = _softmax([x], x, {"axis": 1, "log": True})
    return flops + (lines if args[2] is None else 2 * lines), special


COUNTS["vector_norm"] = _norm
COUNTS["softmax_nll"] = _softmax_nll
COUNTS["softmax"] = _softmax
COUNTS["log_softmax"] = lambda args, out, params: _softmax(args, out, {**params, "log": True})
COUNTS["logsumexp"] = lambda args, out, params: (
    3 * size(args[0]) - size(out),
    size(args[0]) + size(out),
)


def _sorting(args: Any, out: Any, params: Any) -> float:
    """n·log2 n comparisons for each line of n (axis None or a tuple: of all along them)."""
    axis = params.get("axis", -1)
    if not args[0].shape:
        return 0
    n = extent(args[0], axis if isinstance(axis, tuple) else [axis])
    return size(args[0]) * math.log2(n) if n > 1 else 0


_declare("argsort mode_index topk_index median_index rank_index median_all nanmedian_all", _sorting)
_per_source("cummax_index cummin_index", 1)
COUNTS["searchsorted"] = lambda args, out, params: (
    size(out) * math.ceil(math.log2(args[0].shape[-1] + 1))
)

# ---------------------------------------------------------------- sums of products


def _contract(args: Any, out: Any, params: Any) -> int:
    """Two operations for every combination of the labels that the operands have."""
    inputs, _ = params["equation"].split("->")
    extents: dict[str, int] = {}
    for labels, x in zip(inputs.split(","), args, strict=True):
        for label, n in zip(labels, x.shape, strict=True):
            extents[label] = max(n, extents.get(label, 1))
    return 2 * math.prod(extents.values())


def _linear(args: Any, out: Any, params: Any) -> int:
    bias = size(out) if len(args) > 2 and args[2] is not None else 0
    return 2 * size(out) * args[0].shape[-1] + bias


COUNTS["dot"] = lambda args, out, params: 2 * size(args[0])
COUNTS["cross"] = lambda args, out, params: 3 * size(out)
_declare("mv mm bmm", lambda args, out, params: 2 * size(out) * args[0].shape[-1])
COUNTS["linear"] = COUNTS["linear_each"] = _linear
COUNTS["contract_pair"] = _contract
COUNTS["contract_single"] = lambda args, out, params: _contract(args, out, params) // 2
# Of a weight of shape (channels out, channels in / groups, *kernel), every entry of the small side
# of a convolution meets all entries that belong to one output channel (one input channel).
COUNTS["convolution"] = lambda args, out, params: (
    2 * size(out) * math.prod(args[1].shape[1:])
    + (size(out) if len(args) > 2 and getattr(args[2], "shape", None) else 0)
)
COUNTS["conv_transpose"] = lambda args, out, params: (
    2 * size(args[0]) * math.prod(args[1].shape[1:])
)
COUNTS["conv_weight"] = lambda args, out, params: 2 * size(args[1]) * math.prod(out.shape[1:])
COUNTS["window_sum"] = COUNTS["max_pool"] = lambda args, out, params: (
    size(out) * math.prod(params["kernel"])
)
COUNTS["window_spread"] = lambda args, out, params: size(args[0]) * math.prod(params["kernel"])


def _fft(args: Any, out: Any, params: Any) -> float:
    """5·n·log2 n for a complex transform of n numbers, half of it for a real one.

    Source: C. Van Loan, Computational Frameworks for the Fast Fourier Transform, 1992, §1.3.
    """
    whole = args[0] if size(args[0]) > size(out) else out
    n = extent(whole, params["dim"])
    return 5 * size(whole) * math.log2(n) if n > 1 else 0


COUNTS["fft"] = _fft
COUNTS["rfft"] = COUNTS["irfft"] = lambda args, out, params: _fft(args, out, params) / 2

# ---------------------------------------------------------------- linear algebra


def _matrices(form: Callable[[int, int], float]) -> Rule:
    """A form in the numbers of rows and columns, m ≥ n, of each matrix of a stack."""

    def rule(args: Any, out: Any, params: Any) -> float:
        *stack, m, n = args[0].shape
        return math.prod(stack) * form(max(m, n), min(m, n))

    return rule


def _lu(m: int, n: int) -> float:
    return m * n**2 - n**3 / 3  # GVL §3.2; 2n³/3 for square ones


def _svd(args: Any, out: Any, params: Any) -> float:
    *stack, m, n = args[0].shape
    m, n = max(m, n), min(m, n)
    # GVL Fig. 8.6.1: Golub and Reinsch, with all of U, and with the first n columns
    each = 4 * m**2 * n + 8 * m * n**2 + 9 * n**3
    if not params.get("full_matrices", True):
        each = 14 * m * n**2 + 8 * n**3
    return math.prod(stack) * each


def _qr(args: Any, out: Any, params: Any) -> float:
    *stack, m, n = args[0].shape
    k = min(m, n)
    # GVL §5.2.2: R in 2n²(m - n/3); Q as a product of reflections in as much again, or all of it
    triangle = 2 * k**2 * (m - k / 3) + 2 * m * k * (n - k)
    whole = 4 * (m**2 * k - m * k**2 + k**3 / 3)
    q = {"r": 0.0, "complete": whole}.get(params["mode"], 2 * k**2 * (m - k / 3))
    return math.prod(stack) * (triangle + q)


def _solving(form: Callable[[int, int], float]) -> Rule:
    """A form in the order of the matrices and the number of right-hand sides."""

    def rule(args: Any, out: Any, params: Any) -> float:
        n, k = args[0].shape[-1], out.shape[-1]
        return math.prod(out.shape[:-2]) * form(n, k)

    return rule


COUNTS["cholesky"] = _matrices(lambda m, n: n**3 / 3)  # GVL §4.2.5
COUNTS["leading_minors"] = _matrices(lambda m, n: n**3 / 3)
COUNTS["lu"] = _matrices(_lu)
COUNTS["lu_info"] = COUNTS["zero_pivot"] = _matrices(lambda m, n: n)
COUNTS["det"] = _matrices(lambda m, n: _lu(n, n) + n)
COUNTS["inv"] = _matrices(lambda m, n: 2 * n**3)  # GVL §3.4: n right-hand sides
COUNTS["adjugate"] = _matrices(lambda m, n: 2 * n**3 + _lu(n, n) + n + n * n)
COUNTS["solve"] = _solving(lambda n, k: _lu(n, n) + 2 * n**2 * k)  # GVL §3.2, §3.1
COUNTS["solve_triangular"] = _solving(lambda n, k: n**2 * k)  # GVL §3.1
COUNTS["qr"] = _qr
COUNTS["eigh"] = _matrices(lambda m, n: 9 * n**3)  # GVL §8.3
COUNTS["eigvalsh"] = _matrices(lambda m, n: 4 * n**3 / 3)
COUNTS["eig"] = _matrices(lambda m, n: 25 * n**3)  # GVL §7.5
COUNTS["eigvals"] = _matrices(lambda m, n: 10 * n**3)
COUNTS["svd"] = _svd
COUNTS["svdvals"] = _matrices(lambda m, n: 4 * m * n**2 - 4 * n**3 / 3)
COUNTS["matrix_rank"] = _matrices(lambda m, n: 4 * m * n**2 - 4 * n**3 / 3)
COUNTS["pinv"] = _matrices(lambda m, n: 14 * m * n**2 + 8 * n**3 + 2 * m * n**2 + n * n)
# Padé approximation of degree 13: six products and a solution with n right-hand sides; without
# the squarings, whose number depends on the matrix (Higham 2005, SIAM J. Matrix Anal. Appl. 26).
COUNTS["matrix_exp"] = _matrices(lambda m, n: 6 * 2 * n**3 + 8 * n**3 / 3)


def _slogdet(args: Any, out: Any, params: Any) -> tuple[float, float]:
    n = args[0].shape[-1]
    return size(out) * (_lu(n, n) + n), size(out) * n


COUNTS["slogdet"] = _slogdet
