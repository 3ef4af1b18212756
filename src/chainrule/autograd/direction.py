"""The random-direction check: a gradient of any size against differences, for two evaluations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.autograd.grad_mode import enable_grad
from chainrule.autograd.reverse import grad
from chainrule.core.dtypes import is_inexact
from chainrule.core.tensor import Tensor, set_requires_grad, wrap


@dataclass(frozen=True)
class DirectionReport:
    """What `check_direction` found; true if every direction agrees.

    Attributes:
        analytical: δᵀ∇f for each direction δ.
        numerical: (f(θ + εδ) - f(θ - εδ))/2ε.
        allowed: how far the two may be apart.
        eps: ε.
        leaves: where directions disagree, the parameters whose own part of the gradient does.
    """

    analytical: np.ndarray
    numerical: np.ndarray
    allowed: np.ndarray
    eps: float
    leaves: tuple[str, ...] = ()

    @property
    def difference(self) -> np.ndarray:
        """How far they are apart."""
        found: np.ndarray = np.abs(self.analytical - self.numerical)
        return found

    @property
    def ok(self) -> bool:
        """Whether all directions agree."""
        return bool((self.difference <= self.allowed).all())

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        right = int((self.difference <= self.allowed).sum())
        lines = [
            f"{right} of {self.allowed.size} random directions agree (ε = {self.eps:.3g})",
            f"{'':4}{'δᵀ∇f':>18}{'difference quotient':>22}{'apart':>12}{'allowed':>12}",
        ]
        rows = zip(self.analytical, self.numerical, self.difference, self.allowed, strict=True)
        for a, n, gap, allowed in rows:
            mark = " " if gap <= allowed else "!"
            lines.append(f"  {mark} {a:18.10g}{n:22.10g}{gap:12.2e}{allowed:12.2e}")
        if self.leaves:
            lines.append(f"wrong is the gradient by {', '.join(self.leaves)}")
        return "\n".join(lines)


class _Problem:
    """f as a function of one vector of parameters, its value and gradient at θ."""

    def __init__(self, f: Callable[..., Any], theta: Any) -> None:
        self.f = f
        leaves, self.spec = tree.flatten(theta)
        self.arrays = [x.array if isinstance(x, Tensor) else np.asarray(x) for x in leaves]
        for a, place in zip(self.arrays, self.spec.paths(), strict=True):
            if not is_inexact(a.dtype) or a.dtype.kind == "c":
                raise TypeError(
                    "check_direction() takes real floating-point parameters, but theta"
                    f"{place} is {a.dtype.name}"
                )
        if not sum(a.size for a in self.arrays):
            raise ValueError("check_direction(): theta has no entries")
        self.precision = max(float(np.finfo(a.dtype).eps) for a in self.arrays)
        xs = [wrap(a.copy()) for a in self.arrays]
        for x in xs:
            set_requires_grad(x, True)
        with enable_grad():
            y = self._scalar(f(self.spec.unflatten(xs)))
            found = grad(y, xs, allow_unused=True) if y.node is not None else [None] * len(xs)
        self.value = float(y.array.item())
        self.gradient = [
            np.zeros(a.shape) if g is None else g.array.astype(np.float64)
            for g, a in zip(found, self.arrays, strict=True)
        ]
        if not np.isfinite(self.value) or not all(np.isfinite(g).all() for g in self.gradient):
            raise ValueError(
                f"check_direction(): f(theta) = {self.value:g} or its gradient is not finite; "
                "autograd.detect_anomaly() finds where that begins"
            )

    @staticmethod
    def _scalar(y: Any) -> Tensor:
        if not isinstance(y, Tensor) or y.array.size != 1 or not is_inexact(y.array.dtype):
            got = f"shape {list(y.array.shape)}" if isinstance(y, Tensor) else type(y).__name__
            raise ValueError(
                f"check_direction(): f must return a tensor with one real number, got {got}"
            )
        return y

    def directions(self, seed: int, only: int | None = None) -> list[np.ndarray]:
        """A point of the unit sphere, of the parameters' shapes; of one parameter only if asked.

        Normal deviates have no preferred direction (M. E. Muller, Comm. ACM 2, 1959).
        """
        rng = np.random.default_rng(seed)
        parts = [
            rng.standard_normal(a.shape) if only in (None, i) else np.zeros(a.shape)
            for i, a in enumerate(self.arrays)
        ]
        norm = np.sqrt(sum(float((p * p).sum()) for p in parts))
        return [p / norm if norm else p for p in parts]

    def shifted(self, direction: Sequence[np.ndarray], t: float) -> float:
        """f(θ + t·δ)."""
        moved = [
            wrap((a + t * d).astype(a.dtype)) for a, d in zip(self.arrays, direction, strict=True)
        ]
        return float(self._scalar(self.f(self.spec.unflatten(moved))).array.item())

    def compare(self, direction: Sequence[np.ndarray], eps: float) -> tuple[float, float]:
        """δᵀ∇f and the difference quotient."""
        exact = sum(float((g * d).sum()) for g, d in zip(self.gradient, direction, strict=True))
        plus, minus = self.shifted(direction, eps), self.shifted(direction, -eps)
        if not np.isfinite(plus) or not np.isfinite(minus):
            raise ValueError(
                f"check_direction(): f is not finite at a distance of {eps:.3g} from theta; pass a "
                "smaller eps"
            )
        return exact, (plus - minus) / (2 * eps)


def check_direction(
    f: Callable[..., Any], theta: Any, n: int = 5, eps: float | None = None,
    rtol: float | None = None, atol: float = 0.0, seed: int = 0,
) -> DirectionReport:  # fmt: skip
    """Compare δᵀ∇f(θ) with (f(θ + εδ) - f(θ - εδ))/2ε for random δ on the unit sphere.

    One backward pass and two evaluations for each direction, however many parameters there are.

    Args:
        f: takes what `theta` is, with tensors as leaves, returns a tensor with one real number.
        theta: a tensor, array, number, or tree of them: all parameters.
        n: how many directions.
        eps: ε; by default the cube root of the rounding unit times the size of an entry of `theta`
            along δ.
        rtol, atol: the two may be apart by atol + rtol·(their size) + what rounding does to f.
            By default, rtol is ten times the cube root of the rounding unit.
        seed: of the directions.

    Raises:
        ValueError: if `f` does not return one finite real number, or `n` or `eps` is not positive.
        TypeError: if `theta` is not of real floating-point dtype.

    Returns:
        A report that is true if all directions agree, and prints as a table.

    >>> import chainrule as cr
    >>> theta = {"w": cr.tensor([0.5, 2.0], dtype=cr.float64), "b": cr.tensor(1.0)}
    >>> report = cr.numerical.check_direction(lambda p: (p["w"].sin() * p["b"]).sum(), theta)
    >>> report.ok
    True
    """
    if n < 1:
        raise ValueError(f"check_direction(): n must be positive, got {n}")
    if eps is not None and not 0 < eps < np.inf:
        raise ValueError(f"check_direction(): eps must be positive and finite, got {eps}")
    problem = _Problem(f, theta)
    root = problem.precision ** (1 / 3)
    if eps is None:
        # Along δ an entry moves by ε/√N on average.
        size = sum(a.size for a in problem.arrays)
        norm = np.sqrt(sum(float((a.astype(np.float64) ** 2).sum()) for a in problem.arrays))
        eps = root * max(float(norm), np.sqrt(size))
    rtol = 10 * root if rtol is None else rtol
    # What rounding does to f, and a gradient entry's share that no difference can see.
    noise = 4 * problem.precision * abs(problem.value) / eps

    def agreement(direction: Sequence[np.ndarray]) -> tuple[float, float, float]:
        exact, quotient = problem.compare(direction, eps)
        return exact, quotient, atol + rtol * max(abs(exact), abs(quotient)) + noise

    table = np.array([agreement(problem.directions(seed + k)) for k in range(n)])
    exacts, quotients, allowed = table.T
    report = DirectionReport(exacts, quotients, allowed, eps)
    if report.ok:
        return report
    wrong = []
    for i, place in enumerate(problem.spec.paths()):
        if problem.arrays[i].size:
            exact, quotient, most = agreement(problem.directions(seed, only=i))
            if abs(exact - quotient) > most:
                wrong.append(f"theta{place}")
    return DirectionReport(exacts, quotients, allowed, eps, tuple(wrong))
