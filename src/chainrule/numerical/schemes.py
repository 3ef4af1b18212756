"""Difference schemes on one line, their steps, and how wrong they are.

Two errors add up: truncation, a power of the step h, and round-off, which grows as h shrinks: for a
derivative of order n, about eps·|f|/hⁿ.  Their sum is least at h ~ eps^(1/(n+p)) for a scheme of
order p (Press et al., Numerical Recipes, §5.7).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule.numerical.points import Line, Vector

METHODS = ("forward", "central", "richardson", "complex")
_ROWS = 12  # of a Richardson table
COMPLEX_STEP = 1e-20


@dataclass(frozen=True)
class Stencil:
    """Σ weights[k]·f(x + offsets[k]·h) / h^order, wrong by a multiple of h^accuracy."""

    offsets: tuple[int, ...]
    weights: tuple[float, ...]
    order: int
    accuracy: int

    def __call__(self, line: Line, h: float) -> Any:
        """The difference quotient and its round-off; None where f is not finite."""
        total: Any = 0.0
        size: Any = 0.0
        for k, w in zip(self.offsets, self.weights, strict=True):
            value = line(k * h)
            if value is None:
                return None
            total = total + w * value
            size = size + abs(w) * np.abs(value)
        found = total / h**self.order
        # Values are wrong by half a unit in the last place or more; so is x + t·v.
        return found, line.eps * size / h**self.order + np.abs(found) * line.blur / h


@cache
def stencil(method: str, order: int) -> Stencil:
    """The simplest one-sided or symmetric stencil for a derivative.

    One-sided is the n-th forward difference.  Symmetric is the same shifted by half its length; for
    odd n that falls between the points, and the mean of the two shifts is taken.
    """
    forward = [(-1.0) ** (order - k) * math.comb(order, k) for k in range(order + 1)]
    if method == "forward":
        return Stencil(tuple(range(order + 1)), tuple(forward), order, 1)
    if order % 2 == 0:
        half = order // 2
        return Stencil(tuple(range(-half, half + 1)), tuple(forward), order, 2)
    half = (order + 1) // 2
    shifted = np.zeros(2 * half + 1)
    shifted[:-1] += forward
    shifted[1:] += forward
    pairs = [(k - half, w / 2) for k, w in enumerate(shifted.tolist()) if w]
    offsets, weights = zip(*pairs, strict=True)
    return Stencil(offsets, weights, order, 2)


@dataclass
class Found:
    """Derivatives of all results along one line, their errors, and the step."""

    value: Vector
    error: Vector
    step: float


def power_of_two(h: float) -> float:
    """The power of two below: x + h is then exact for most x."""
    return float(2.0 ** math.floor(math.log2(h)))


def automatic_step(line: Line, order: int, accuracy: int) -> float:
    """Where truncation and round-off are about equal for a function that varies over |x|."""
    return power_of_two(line.scale * line.eps ** (1 / (order + accuracy)))


def simple(line: Line, method: str, order: int, step: float | None, what: str) -> Found:
    """One difference quotient, its truncation read off a second one with half the step.

    An automatic step shrinks while the function is not finite there, or truncation rules.
    """
    scheme = stencil(method, order)
    h = step or automatic_step(line, order, scheme.accuracy)
    found = _with_error(line, scheme, h)
    for _ in range(0 if step else 16):
        if found is not None:
            break
        h /= 8
        found = _with_error(line, scheme, h)
    if found is None:
        raise line.refuse(_first_bad(line, scheme, h), what)
    for _ in range(0 if step else 3):
        truncation, rounding = float(found[1].max()), float(found[2].max())
        if truncation <= 16 * rounding or rounding == 0:
            break
        smaller = h * (rounding / truncation) ** (1 / (order + scheme.accuracy))
        again = _with_error(line, scheme, power_of_two(smaller))
        if again is None or (again[1] + again[2]).max() >= truncation + rounding:
            break
        found, h = again, power_of_two(smaller)
    error = found[1] + found[2]
    if method == "central" and order == 1:
        error = np.maximum(error, _kink(line, h))
    return Found(found[0], error, h)


def _with_error(line: Line, scheme: Stencil, h: float) -> Any:
    """The quotient, its truncation error and its round-off; None where f is not finite."""
    coarse, fine = scheme(line, h), scheme(line, h / 2)
    if coarse is None or fine is None:
        return None
    truncation = np.abs(coarse[0] - fine[0]) / (1 - 2.0**-scheme.accuracy)
    return coarse[0], truncation, coarse[1]


def _first_bad(line: Line, scheme: Stencil, h: float) -> float:
    ts = [k * s for s in (h, h / 2) for k in scheme.offsets]
    return next((t for t in ts if line(t) is None), h)


def _kink(line: Line, h: float) -> Vector:
    """Half the gap between the slopes on both sides, where it does not halve with the step.

    Symmetric differences do not see a kink: for |x| at 0 they give 0 at every step.
    """
    here = line.function.here
    gaps = []
    for s in (h, h / 2):
        right, left = line(s), line(-s)
        if right is None or left is None:
            return np.zeros(1)
        gaps.append(np.abs(right - 2 * here + left) / s)
    noise = 8 * line.eps * np.abs(here) / h
    return np.where((gaps[1] > 0.75 * gaps[0]) & (gaps[1] > noise), gaps[1] / 2, 0.0)


def richardson(line: Line, order: int, step: float | None, what: str) -> Found:
    """Central differences at h, h/2, h/4, ... extrapolated to h = 0.

    The error of each is a series in h²; combining neighbours cancels one term after another, in a
    table whose entries T[j] improve until round-off wins.  For every result the entry is taken that
    differs least from its two neighbours, and that difference is the error (C. J. F. Ridders,
    Accurate computation of F'(x) and F'(x)F''(x), Adv. Eng. Software 4, 1982).
    """
    scheme = stencil("central", order)
    if step:
        return _table(line, scheme, step, what)
    found = _table(line, scheme, _smooth_step(line, scheme), what)
    check = simple(line, "central", order, None, what)
    gap = np.abs(found.value - check.value)
    if (np.maximum(gap, found.error) > 4 * check.error).any():
        # Agreement by chance after all, or a function that varies too fast for the first rows.
        return _table(line, scheme, 16 * check.step, what)
    return found


def _table(line: Line, scheme: Stencil, h: float, what: str) -> Found:
    """The table that begins with the step h."""
    first = scheme(line, h)
    if first is None:
        raise line.refuse(_first_bad(line, scheme, h), what)
    above = [first[0]]
    value, error, used = first[0], np.full(first[0].shape, np.inf), np.full(first[0].shape, h)
    for _ in range(1, _ROWS):
        h /= 2
        quotient = scheme(line, h)
        if quotient is None:
            raise line.refuse(_first_bad(line, scheme, h), what)
        row = [quotient[0]]
        for j, upper in enumerate(above):
            better = row[j] + (row[j] - upper) / (4.0 ** (j + 1) - 1)
            guess = np.maximum(np.abs(better - row[j]), np.abs(better - upper))
            guess = np.maximum(guess, quotient[1])
            wins = guess < error
            value, error = np.where(wins, better, value), np.where(wins, guess, error)
            used = np.where(wins, h, used)
            row.append(better)
        worse = np.abs(row[-1] - above[-1]) >= 2 * error
        above = row
        if worse.all():
            break
    if scheme.order == 1:
        error = np.maximum(error, _kink(line, h))
    return Found(value, error, float(used.min()))


def _smooth_step(line: Line, scheme: Stencil) -> float:
    """A step from which halving it improves the quotient, as a table needs it.

    Steps longer than the function's own scale give values without any order, among which two may
    agree by chance.  Three halvings in a row must each at least halve the change, which becomes a
    quarter in the end.  What is evaluated here is the beginning of the table.
    """
    h = power_of_two(line.scale / 4)
    least = automatic_step(line, scheme.order, scheme.accuracy)
    while h > least:
        found = [scheme(line, h / 2**k) for k in range(5)]
        if None not in found:
            changes = [np.abs(b[0] - a[0]) for a, b in pairwise(found)]
            noise = found[-1][1]
            if all((b <= a / 2 + noise).all() for a, b in pairwise(changes)):
                return h
        h /= 4
    for _ in range(16):
        if scheme(line, h) is not None:
            break
        h /= 8
    return h


def complex_step(line: Line, step: float | None, what: str) -> Found:
    """Im f(x + ih·v)/h: nothing is subtracted, so h may be so small that truncation vanishes.

    For a function of analytic operations, f(x + ih) = f(x) + ih·f'(x) - h²f''(x)/2 - ...
    (W. Squire and G. Trapp, SIAM Review 40, 1998).
    """
    h = step or COMPLEX_STEP * line.scale
    value = complex_values(line, h, what).imag / h
    return Found(value, 8 * np.finfo(float).eps * np.abs(value) + h * h, h)


def complex_values(line: Line, h: float, what: str) -> Vector:
    """The results at x + ih·v, as complex numbers.

    Raises:
        ValueError: if the function does not take complex numbers, or returns real ones.
    """
    function = line.function
    cure = "use method='richardson' or 'central'"
    x = function.point.build(function.point.vector + 1j * h * line.vector, np.complex128)
    function.count += 1
    try:
        leaves = function.spec_leaves(function.f(x))
    except (TypeError, NotImplementedError, RuntimeError) as error:
        raise ValueError(
            f"{what}: the complex step evaluates the function at x + ih, but it does not take "
            f"complex numbers ({type(error).__name__}: {error}); {cure}"
        ) from error
    real = [a.dtype.name for a in leaves if a.dtype.kind != "c"]
    if real:
        raise ValueError(
            f"{what}: the complex step evaluates the function at x + ih, but there it returns "
            f"{real[0]}: it is not analytic (abs, real, norm, a comparison or a cast to real "
            f"numbers); {cure}"
        )
    found = np.concatenate([a.reshape(-1) for a in leaves])
    if not np.isfinite(found).all():
        raise ValueError(f"{what}: the function is not finite at x + ih with h = {h:g}; {cure}")
    return found


def check_analytic(line: Line, found: Found, what: str) -> None:
    """Raise if the complex step disagrees with central differences.

    A conjugate, or |z|² written as z·conj(z), takes complex numbers and returns them, but the
    imaginary part then says nothing about the derivative.

    Raises:
        ValueError: see above.
    """
    central = simple(line, "central", 1, None, what)
    allowed = 10 * central.error + 1e-3 * np.abs(central.value)
    gap = np.abs(found.value - central.value)
    if (gap > allowed).any():
        worst = int(np.argmax(gap - allowed))
        raise ValueError(
            f"{what}: the complex step gives {found.value[worst]:.6g} where central differences "
            f"give {central.value[worst]:.6g}: the function is not analytic at x (a conjugate, "
            "a branch on the imaginary part, a kink); use method='richardson' or 'central'"
        )
