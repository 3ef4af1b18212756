"""Why a check failed: the worst entry, both values, and a likely cause.

Causes are hypotheses that are tested on the two Jacobians, or by evaluating the function again near
the input; the first that explains what is seen is named.  Tables have the shape (entries of the
input, entries of the output).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from chainrule.autograd.gradcheck import GradcheckError
from chainrule.autograd.gradcheck_numeric import Array, Probe
from chainrule.core.tensor import wrap

LOOSE = 1e-3  # relative: what rounding in differences leaves of two Jacobians that are the same


@dataclass
class Mismatch:
    """Two tables of derivatives of one output by one input that should be equal, and are not.

    Attributes:
        got: the analytical table.
        expected: the numerical one.
        atol, rtol: what was allowed.
        output, input: their numbers among the outputs and among all inputs.
        out_shape, in_shape: their shapes.
        probe: evaluates the function near the input.
        unit: the direction that entries of the input were moved in, 1 or 1j.  In reverse mode the
            table of a complex input has both, and the worse one is meant.
        part: the real or imaginary part of the output that the tables are about.  In forward mode
            the table of a complex output has both.
        forward: which of the two modes the table is from.
        component: takes the worse part of an entry of the tables.
    """

    got: Array
    expected: Array
    atol: float
    rtol: float
    output: int
    input: int
    out_shape: tuple[int, ...]
    in_shape: tuple[int, ...]
    probe: Probe
    unit: complex = 1.0
    part: Callable[[Any], Any] = np.real
    forward: bool = False

    def __post_init__(self) -> None:
        a, n = self.got, self.expected
        with np.errstate(all="ignore"):
            excess = np.abs(a - n) - (self.atol + self.rtol * np.abs(n))
        excess = np.where(np.isnan(excess), np.inf, excess)
        self.bad = excess > 0
        worst = np.unravel_index(int(np.argmax(excess)), a.shape)
        self.worst = int(worst[0]), int(worst[1])
        self.component: Callable[[Any], Any] = np.real
        gap = a[self.worst] - n[self.worst]
        if abs(gap.imag) > abs(gap.real):
            self.component = np.imag
        if self.forward:
            self.part = self.component
        elif self.component is np.imag:
            self.unit = 1j
        self.scale = float(np.max(np.abs(n), initial=0.0, where=np.isfinite(n)))

    def close(self, a: Any, b: Any) -> bool:
        """Whether two tables agree but for the error of differences."""
        gap, size = np.abs(a - b), np.maximum(np.abs(a), np.abs(b))
        return bool((gap <= self.atol + LOOSE * (size + 1e-3 * self.scale)).all())

    def cause(self) -> str:
        """The first hypothesis that explains the tables."""
        for hypothesis in _HYPOTHESES:
            found = hypothesis(self)
            if found:
                return found
        return (
            "none of the usual ones (sign, factor, transpose, missing sum, conjugate, detach, "
            "kink, precision) explains the values: a wrong derivative rule."
        )

    def error(self, header: str, footer: str = "") -> GradcheckError:
        """The error to raise, its message beginning with `header`."""
        with np.errstate(all="ignore"):
            cause = self.cause()
        i, j = self.worst
        index = _index(j, self.out_shape), _index(i, self.in_shape)
        a, n = self.got[i, j].item(), self.expected[i, j].item()
        error = GradcheckError(
            f"{header}numerical:{wrap(self.expected)}\nanalytical:{wrap(self.got)}\n\n"
            f"{int(self.bad.sum())} of {self.bad.size} entries are off. The worst is "
            f"d output{list(index[0])} / d input{list(index[1])}:\n"
            f"    numerical   {_number(n)}\n    analytical  {_number(a)}\n"
            f"Likely cause: {cause}{footer}"
        )
        error.output, error.input, error.index = self.output, self.input, index
        error.analytical, error.numerical, error.cause = a, n, cause
        return error


def _index(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(k) for k in np.unravel_index(flat, shape))


def _number(x: complex) -> str:
    return f"{x:.9g}"


# ---------------------------------------------------------------- values that are not finite


def _not_finite(m: Mismatch) -> str | None:
    i, j = m.worst
    if not np.isfinite(m.expected[i, j]):
        return (
            "the function is not finite within eps of the input; choose an input inside its domain."
        )
    if not np.isfinite(m.got[i, j]):
        return "the derivative rule divides by zero or overflows where the function is fine."
    return None


# ---------------------------------------------------------------- the function, looked at again


def _nearby(m: Mismatch, steps: list[float]) -> list[float] | None:
    """The worst entry's output with its input moved by each step; None if that is not finite."""
    i, j = m.worst
    found = m.probe.values(m.input, i, [s * m.unit for s in steps])
    values = [float(m.part(outs[m.output])[j]) for outs in found]
    return values if all(map(math.isfinite, values)) else None


def _random(m: Mismatch) -> str | None:
    values = _nearby(m, [0.0, 0.0, 0.0])
    if values is not None and len(set(values)) > 1:
        return (
            "the function does not give the same result twice (random numbers, dropout, state that "
            "it changes); fix the seed, or evaluate in eval mode."
        )
    return None


def _low_precision(m: Mismatch) -> str | None:
    """Larger steps agree with the rule: rounding, magnified by 1/eps, was all there was."""
    i, j = m.worst
    eps, a = m.probe.eps, float(m.component(m.got[i, j]))
    for factor in (30.0, 1e3, 1e4):
        values = _nearby(m, [eps * factor, -eps * factor])
        if values is None:
            return None
        wide = (values[0] - values[1]) / (2 * eps * factor)
        if abs(wide - a) <= 10 * (m.atol + m.rtol * abs(a)) and _rounds(m, max(map(abs, values))):
            return (
                f"rounding, not the rule: with a step of {eps * factor:g} differences agree with "
                "it. The function computes in single precision, or with values so large that "
                f"their last digits drown eps={eps:g}; use double precision or a larger eps."
            )
    return None


def _rounds(m: Mismatch, size: float) -> bool:
    """Whether the function's noise, divided by eps, is as large as the mismatch.

    The noise is read off third differences on a grid finer than eps: a smooth function has
    none there.  (R. W. Hamming, Introduction to Applied Numerical Analysis, on difference tables.)
    """
    i, j = m.worst
    eps = m.probe.eps
    grid = _nearby(m, [eps * k / 8 for k in range(-6, 7)])
    if grid is None:
        return False
    noise = float(np.sqrt(np.mean(np.diff(grid, 3) ** 2) / 20))  # 1² + 3² + 3² + 1²
    gap = abs(m.component(m.got[i, j]) - m.component(m.expected[i, j]))
    return bool(gap <= 30 * (noise + np.finfo(np.float64).eps * size) / eps)


def _kink(m: Mismatch) -> str | None:
    """Slopes on the two sides of the input differ, though they are constant on each side.

    Between -eps and eps the function may bend once more or jump, so the slopes are taken outside:
    a smooth function's would change as much from -5 eps to -eps as across the input.
    """
    eps = m.probe.eps
    values = _nearby(m, [eps * k for k in (-5, -3, -1, 0, 1, 3, 5)])
    if values is None:
        return None
    v = np.array(values)
    noise = 1e2 * np.finfo(np.float64).eps * np.abs(v).max() / eps + m.atol
    far_left, left, right, far_right = (np.diff(v)[[0, 1, 4, 5]] / (2 * eps)).tolist()
    bend = max(abs(left - far_left), abs(far_right - right))
    size = max(abs(left), abs(right))
    jump = abs(v[4] - v[2] - (left + right) * eps) / eps
    if jump > 4 * (size + bend) + noise:
        return (
            "the function jumps within eps of the input, where differences mean nothing. Choose an "
            "input away from the discontinuity."
        )
    if abs(right - left) > 8 * bend + 0.01 * size + noise:
        return (
            f"a kink within eps of the input: the slope is {left:.6g} on the left and {right:.6g} "
            "on the right. Choose an input away from it."
        )
    return None


# ---------------------------------------------------------------- patterns in the tables


def _detached(m: Mismatch) -> str | None:
    if np.any(m.got) or not np.any(m.expected):
        return None
    return (
        "the gradient is cut: it is zero everywhere. Look for detach(), no_grad(), .data, .item(), "
        "numpy(), or a backward that returns None or zeros."
    )


def _conjugate(m: Mismatch) -> str | None:
    """A rule that multiplies by d where it should by conj(d), or the other way round.

    In reverse mode the table of Im(f) is the pull of i: conj(d)·i, and without the conjugate d·i,
    which is minus the conjugate of that.
    """
    if not np.iscomplexobj(m.expected):
        return None
    sign = -1.0 if m.part is np.imag and not m.forward else 1.0
    if not m.close(m.got, sign * np.conj(m.expected)):
        return None
    return (
        "a missing conjugate: with it the analytical values would agree. A gradient is the "
        "incoming one times the conjugate of the derivative, g * d.conj()."
    )


def _factor(m: Mismatch) -> str | None:
    """A = c·N for one number c, by least squares."""
    norm = np.vdot(m.expected, m.expected).real
    if norm == 0:
        return None
    c = np.vdot(m.expected, m.got) / norm
    if abs(c) < 1e-6 or abs(c - 1) <= LOOSE or not m.close(m.got, c * m.expected):
        return None
    if abs(np.imag(c)) > LOOSE * abs(c):
        return f"the derivative is {_number(complex(c))} times what it should be, everywhere."
    c = float(np.real(c))
    if abs(c + 1) <= LOOSE:
        return "the sign is flipped: the derivative is -1 times what it should be, everywhere."
    simple = Fraction(c).limit_denominator(64)
    said, hint = f"{c:.6g}", ""
    if simple and abs(c - simple) <= 1e-6 * abs(c):
        said = f"{float(simple):g}"
        if Fraction(said) != simple:
            said += f" (= {simple})"
        if simple.numerator == 1 and simple.denominator in _extents(m):
            hint = " Is there a mean where there should be a sum?"
    return f"a constant factor: the derivative is {said} times what it should be, everywhere.{hint}"


def _extents(m: Mismatch) -> set[int]:
    """The numbers of entries that a sum or mean may run over."""
    sizes = {*m.in_shape, *m.out_shape, *m.expected.shape}
    return {n for n in sizes if n > 1}


def _swaps(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Pairs of dimensions that may be exchanged by mistake without the shape telling."""
    n = len(shape)
    pairs = [(a, b) for b in range(n - 1, 0, -1) for a in range(b - 1, -1, -1)]
    return [(a, b) for a, b in pairs if shape[a] == shape[b] > 1]


def _transpose(m: Mismatch) -> str | None:
    n_in, n_out = m.expected.shape
    by_input = m.expected.reshape((*m.in_shape, n_out))
    for a, b in _swaps(m.in_shape):
        if m.close(m.got, np.swapaxes(by_input, a, b).reshape(n_in, n_out)):
            return f"a transpose: dimensions {a} and {b} of the gradient are exchanged."
    by_output = m.expected.reshape((n_in, *m.out_shape))
    for a, b in _swaps(m.out_shape):
        if m.close(m.got, np.swapaxes(by_output, a + 1, b + 1).reshape(n_in, n_out)):
            return f"a transpose: dimensions {a} and {b} of the incoming gradient are exchanged."
    if n_in == n_out > 1 and m.close(m.got, m.expected.T):
        return "a transpose: the rule computes J·g where it should compute Jᵀ·g."
    return None


def _missing_sum(m: Mismatch) -> str | None:
    """Right where one index of an output's dimension is concerned, zero at all the others."""
    n_in = m.expected.shape[0]
    shape = (n_in, *m.out_shape)
    got, expected = m.got.reshape(shape), m.expected.reshape(shape)
    for axis, extent in enumerate(m.out_shape):
        if extent < 2:
            continue
        there = np.moveaxis(got, axis + 1, 0)
        wanted = np.moveaxis(expected, axis + 1, 0)
        filled = [k for k in range(extent) if np.any(there[k])]
        if len(filled) == 1 and m.close(there[filled[0]], wanted[filled[0]]):
            return (
                f"a missing sum over a broadcast dimension: only index {filled[0]} of dimension "
                f"{axis} of the output reaches the input. Sum the gradient over the dimensions "
                "along which the input was broadcast."
            )
    return None


def _extra_sum(m: Mismatch) -> str | None:
    """The gradient is the sum over one of the input's own dimensions, spread over it again."""
    n_out = m.expected.shape[1]
    expected = m.expected.reshape((*m.in_shape, n_out))
    for axis, extent in enumerate(m.in_shape):
        if extent < 2:
            continue
        total = expected.sum(axis, keepdims=True)
        for factor, what in ((1.0, "sum"), (1.0 / extent, "mean")):
            spread = np.broadcast_to(total * factor, expected.shape).reshape(m.got.shape)
            if m.close(m.got, spread):
                return (
                    f"a {what} too many: the gradient is the {what} over dimension {axis} of the "
                    "input, the same for all its entries."
                )
    return None


def _ignores_cotangent(m: Mismatch) -> str | None:
    a, n = m.got, m.expected
    if a.shape[1] > 1 and m.close(a, np.broadcast_to(a[:, :1], a.shape)):
        if m.close(a[:, 0], n.sum(axis=1)):
            return (
                "backward ignores the incoming gradient: it returns the same for every output, as "
                "if that were all ones. Multiply by it."
            )
        return "backward ignores the incoming gradient: it returns the same for every output."
    return None


def _partly_cut(m: Mismatch) -> str | None:
    if not np.any(m.got[m.bad]):
        return (
            f"the gradient is cut on some paths: it is zero in all {int(m.bad.sum())} entries that "
            "are off, and right elsewhere. Look for detach(), .data, .item(), a mask or an index."
        )
    if not np.any(np.abs(m.expected[m.bad]) > m.atol):
        return (
            "the gradient flows where nothing depends on the input: it should be zero in all "
            f"{int(m.bad.sum())} entries that are off. Look for a missing mask or a wrong index."
        )
    return None


_HYPOTHESES: tuple[Callable[[Mismatch], str | None], ...] = (
    _not_finite,
    _random,
    _low_precision,
    _kink,
    _detached,
    _conjugate,
    _factor,
    _transpose,
    _missing_sum,
    _extra_sum,
    _ignores_cotangent,
    _partly_cut,
)
