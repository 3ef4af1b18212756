"""Error against step: truncation at large steps, round-off at small ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.autograd import functional
from chainrule.autograd.progress import counted
from chainrule.core.tensor import Tensor, wrap
from chainrule.numerical import schemes
from chainrule.numerical.differences import check_step
from chainrule.numerical.points import Function, Line, array_of, flat
from chainrule.numerical.schemes import METHODS

_DEPTH = 4  # rows of the Richardson table for a given first step
_SLOPES = {"forward": 1, "central": 2}
_COLORS = {"forward": "C0", "central": "C1", "richardson": "C2", "complex": "C3"}


@dataclass(frozen=True)
class ErrorCurve:
    """The error of differences against their step.

    Attributes:
        steps: the steps, ascending.
        errors: for each method the largest error among the results at each step; nan where the
            function is not finite there.
        exact: the derivative compared with.
        eps: the rounding unit of the function's arguments and results.
    """

    steps: np.ndarray
    errors: dict[str, np.ndarray]
    exact: Any
    eps: float

    def best(self, method: str) -> tuple[float, float]:
        """The step with the smallest error of a method, and that error."""
        found = self.errors[method]
        k = int(np.nanargmin(found))
        return float(self.steps[k]), float(found[k])

    def order(self, method: str) -> float:
        """The power of the step that a method's truncation error grows with, from the curve.

        It is the median slope right of the best step, where the error is well above rounding.
        """
        errors = self.errors[method]
        k = int(np.nanargmin(errors))
        right = slice(k, None)
        x, y = np.log(self.steps[right]), np.log(np.maximum(errors[right], 1e-300))
        clear = errors[right] > 30 * errors[k] + 1e-300
        slopes = np.diff(y)[clear[:-1] & clear[1:]] / np.diff(x)[clear[:-1] & clear[1:]]
        return float(np.median(slopes)) if slopes.size else float("nan")

    def __repr__(self) -> str:
        names = list(self.errors)
        lines = ["error against step", f"{'step':>10}" + "".join(f"{n:>13}" for n in names)]
        for k, h in enumerate(self.steps):
            lines.append(f"{h:10.1e}" + "".join(f"{self.errors[n][k]:13.2e}" for n in names))
        lines.append(f"{'best at':>10}" + "".join(f"{self.best(n)[0]:13.1e}" for n in names))
        return "\n".join(lines)

    def plot(self, path: Any = None) -> Any:
        """The curve as a Matplotlib figure, written to `path` if one is given.

        Both axes are logarithmic; dotted guides have the slopes of truncation (1 and 2) and of
        round-off (-1), and the two regimes are named.

        Raises:
            ImportError: if Matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError(
                "ErrorCurve.plot() draws with Matplotlib, which is not installed: run "
                "pip install matplotlib, or print the curve for a table"
            ) from error
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.add_subplot()
        floor = self._floor()
        for name, errors in self.errors.items():
            axes.loglog(self.steps, np.maximum(errors, floor), "o-", ms=3, lw=1.2,
                        color=_COLORS[name], label=name)  # fmt: skip
        self._draw_guides(axes, floor)
        axes.set_xlabel("step h")
        axes.set_ylabel("absolute error of the derivative")
        axes.set_title("Error of numerical derivatives against the step")
        axes.grid(True, which="major", alpha=0.3)
        figure.legend(loc="outside right upper", fontsize="small")
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure

    def _floor(self) -> float:
        """What an error of exactly 0 is drawn as."""
        found = np.concatenate(list(self.errors.values()))
        positive = found[np.isfinite(found) & (found > 0)]
        return float(positive.min()) / 2 if positive.size else 1e-17

    def _draw_guides(self, axes: Any, floor: float) -> None:
        """Slopes through each method's curve, and the names of the regimes."""
        for name, power in _SLOPES.items():
            if name not in self.errors:
                continue
            h = self.best(name)[0]
            right = self.steps[self.steps >= h]
            top = self.errors[name][np.searchsorted(self.steps, right[-1])]
            if np.isfinite(top) and top > 0:
                axes.loglog(right, top * (right / right[-1]) ** power, ":", lw=1, color="0.4")
                middle = right[len(right) // 2]
                axes.annotate(f"h{'²' if power == 2 else ''}",
                              (middle, top * (middle / right[-1]) ** power),
                              textcoords="offset points", xytext=(4, -10), fontsize="small",
                              color="0.3")  # fmt: skip
        rough = [n for n in self.errors if n != "complex"]
        if rough:
            h = min(self.best(n)[0] for n in rough)
            left = self.steps[self.steps <= h]
            size = max(float(np.max(np.abs(np.concatenate([np.ravel(array_of(e)) for e in
                       tree.leaves(self.exact)])))), 1.0)  # fmt: skip
            axes.loglog(left, self.eps * size / left, ":", lw=1, color="0.4")
            if left.size:
                axes.annotate("ε/h", (left[len(left) // 2], self.eps * size / left[len(left) // 2]),
                              textcoords="offset points", xytext=(4, 4), fontsize="small",
                              color="0.3")  # fmt: skip
        style = {"transform": axes.transAxes, "fontsize": "small", "style": "italic", "va": "top"}
        axes.text(0.03, 0.97, "← round-off", ha="left", **style)
        axes.text(0.97, 0.97, "truncation →", ha="right", **style)


def error_curve(
    f: Callable[..., Any], x: Any, steps: Sequence[float] | None = None,
    methods: Sequence[str] = METHODS, exact: Any = None, direction: Any = None,
) -> ErrorCurve:  # fmt: skip
    """How wrong each method's derivative of `f` at `x` is, for many steps.

    Args:
        f, x, direction: as in `derivative`; without `direction` an `x` of several entries is
            differentiated along a random one.
        steps: the steps; by default 1e-16 to 1 (1e-9 to 1 in single precision), four a decade.
        methods: which of "forward", "central", "richardson", "complex"; "richardson" is a table of
            four rows that starts with the step.  "complex" is left out by default where `f` does
            not take complex numbers.
        exact: the derivative, of the structure of the results; by default from automatic
            differentiation in double precision.

    Raises:
        ValueError, TypeError: as `derivative`.

    >>> import chainrule as cr
    >>> curve = cr.numerical.error_curve(lambda x: x.sin(), cr.tensor(1.0, dtype=cr.float64))
    >>> round(curve.order("forward")), round(curve.order("central"))
    (1, 2)
    """
    what = "numerical.error_curve()"
    for m in methods:
        if m not in METHODS:
            raise ValueError(f"{what}: methods are among {', '.join(METHODS)}, got {m!r}")
    function = Function(f, x, what)
    if direction is not None:
        vector = function.point.direction(direction, what)
    elif function.point.size == 1:
        vector = np.ones(1)
    else:
        vector = np.random.default_rng(0).standard_normal(function.point.size)
        vector /= np.linalg.norm(vector)
    line = function.line(vector)
    hs = _steps(steps, function.eps, what)
    true = _exact(function, vector, exact, what)
    errors = {}
    for m in methods:
        if m == "complex" and methods is METHODS and not _takes_complex(line, what):
            continue
        values = [_at_step(line, m, float(hs[k]), what) for k in counted(len(hs), f"{what} {m}")]
        errors[m] = np.array(
            [np.nan if v is None else float(np.abs(v - true).max()) for v in values]
        )
    return ErrorCurve(hs, errors, function.results(true), function.eps)


def _steps(steps: Sequence[float] | None, eps: float, what: str) -> np.ndarray:
    if steps is None:
        low = -16 if eps < 1e-10 else -9
        return np.logspace(low, 0, 4 * -low + 1)
    for h in steps:
        check_step(float(h), what)
    if len(steps) == 0:
        raise ValueError(f"{what}: there are no steps")
    return np.sort(np.asarray(steps, np.float64))


def _exact(function: Function, vector: np.ndarray, exact: Any, what: str) -> np.ndarray:
    """The derivative to compare with, as a vector."""
    if exact is not None:
        arrays = [array_of(leaf) for leaf in tree.leaves(exact)]
        shapes = [list(a.shape) for a in arrays], [list(a.shape) for a in function.arrays]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{what}: the exact derivative has shapes {shapes[0]}, the results {shapes[1]}"
            )
        return flat(arrays)
    point = function.point
    dt = np.complex128 if point.complex else np.float64

    def on_tensors(*xs: Tensor) -> tuple[Any, ...]:
        leaves = tree.leaves(function.f(point.spec.unflatten(xs)))
        for leaf in leaves:
            if not isinstance(leaf, Tensor):
                raise TypeError(
                    f"{what}: given tensors, the function returned a {type(leaf).__name__}, so it "
                    "cannot be differentiated; pass exact=, or compute with tensors"
                )
        return tuple(leaves)

    xs = tuple(wrap(part.astype(dt)) for part in point.split(point.vector))
    vs = tuple(wrap(part.astype(dt)) for part in point.split(vector))
    _, found = functional.jvp(on_tensors, xs, vs)
    return flat([t.array for t in found])


def _takes_complex(line: Line, what: str) -> bool:
    """Whether the complex step gives the derivative of this function."""
    try:
        found = schemes.complex_step(line, None, what)
        schemes.check_analytic(line, found, what)
    except ValueError:  # says why; here it is enough that it is so
        return False
    return not line.function.point.complex


def _at_step(line: Line, method: str, h: float, what: str) -> Any:
    """The derivative with one step; None where the function is not finite."""
    if method == "complex":
        return schemes.complex_values(line, h, what).imag / h
    if method != "richardson":
        quotient = schemes.stencil(method, 1)(line, h)
        return None if quotient is None else quotient[0]
    row: list[Any] = []
    for k in range(_DEPTH):
        quotient = schemes.stencil("central", 1)(line, h / 2**k)
        if quotient is None:
            return None
        new = [quotient[0]]
        for j, upper in enumerate(row):
            new.append(new[j] + (new[j] - upper) / (4.0 ** (j + 1) - 1))
        row = new
    return row[-1]
