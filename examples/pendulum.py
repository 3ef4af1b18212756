"""A pendulum by Taylor series: an integrator whose order is a parameter.

θ'' = -sin θ, released at rest.  Every step expands the solution in a Taylor series, found by
running the equation once on a series that is not known yet (`chainrule.func.ode_series`), and takes
the longest step that the series allows.  The error is measured against the exact motion,
θ(t) = 2 asin(k cd(t | k²)) with k = sin(θ₀/2) and Jacobi's function cd (DLMF, section 22.19).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from math import sin
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
import report

State = dict[str, Any]


def pendulum(y: State) -> State:
    """The slopes of angle and speed."""
    return {"angle": y["speed"], "speed": -cr.sin(y["angle"])}


def exact(t: np.ndarray, start: float) -> np.ndarray:
    """The angle at times `t`, released at rest at the angle `start`."""
    from scipy.special import ellipj

    k = sin(start / 2)
    _, cn, dn, _ = ellipj(t, k * k)
    return 2 * np.arcsin(k * cn / dn)


def odeint_taylor(
    f: Callable[[State], State], y0: State, end: float, order: int, tolerance: float
) -> tuple[np.ndarray, list[list[State]]]:
    """The times at which steps begin, and the Taylor coefficients of the solution there.

    The step is such that the last two terms of the series stay below the tolerance (Jorba and Zou,
    A software package for the numerical integration of ODEs by means of high-order Taylor methods,
    Experimental Mathematics 14 (2005)).
    """
    t, times, series = 0.0, [], []
    while t < end:
        coefficients = list(cr.func.ode_series(f, y0, order))
        times.append(t)
        series.append(coefficients)
        step = min(
            (tolerance / max(largest(coefficients[k]), 1e-300)) ** (1 / k)
            for k in (order - 1, order)
        )
        step = min(step, end - t)
        y0 = at(coefficients, step)
        t += step
    return np.array(times), series


def largest(tree: State) -> float:
    """The largest entry, by magnitude."""
    return max(abs(float(np.max(np.abs(x)))) for x in cr.tree.leaves(tree))


def at(coefficients: list[State], step: float) -> State:
    """The sum of a Taylor series, by Horner's rule."""
    total = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        total = cr.tree.map(lambda s, c: s * step + c, total, c)
    return total


def angles(times: np.ndarray, series: list[list[State]], ts: np.ndarray) -> np.ndarray:
    """The angle at any times, from the series of the step that each falls into."""
    steps = np.searchsorted(times, ts, side="right") - 1
    return np.array([at(series[i], t - times[i])["angle"] for i, t in zip(steps, ts, strict=True)])


def draw(start: float, end: float, tolerance: float, orders: list[int], file: Path) -> None:
    """The motion, and the error of each order along it."""
    plt = report.pyplot()
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 7), sharex=True, layout="constrained")
    ts = np.linspace(0, end, 600)
    truth = exact(ts, start)
    above.plot(ts, truth, color=report.BLUE, lw=2)
    colors = (report.VERMILLION, "#009E73", "#CC79A7", "#E69F00")
    y0 = {"angle": np.array(start), "speed": np.array(0.0)}
    for order, color in zip(orders, colors, strict=False):
        times, series = odeint_taylor(pendulum, y0, end, order, tolerance)
        error = np.abs(angles(times, series, ts) - truth)
        label = f"order {order}: {len(times):,} steps"
        print(f"{label:24} largest error {error.max():.1e}")
        below.semilogy(ts, np.maximum(error, 1e-17), color=color, lw=1.5, label=label)
        if order == orders[-1]:
            above.plot(times, angles(times, series, times), "o", color=color, ms=4,
                       label=f"steps of order {order}")  # fmt: skip
    above.set(ylabel="angle θ")
    above.set_title(f"θ'' = −sin θ, released at {start} rad", loc="left")
    above.legend(loc="upper right")
    below.set(xlabel="time t", ylabel="error of the angle", ylim=(1e-17, 1e-8))
    below.set_title(
        f"error against Jacobi's elliptic functions, tolerance {tolerance:.0e}", loc="left"
    )
    below.legend(loc="upper left", ncols=len(orders))
    report.save(figure, file)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Run the example from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the picture")
    parser.add_argument("--start", type=float, default=2.5, help="the angle of release, in rad")
    parser.add_argument("--end", type=float, default=40.0, help="how long to integrate")
    parser.add_argument("--tolerance", type=float, default=1e-12, help="of the last terms")
    parser.add_argument("--orders", type=int, nargs="+", default=[6, 10, 15, 25])
    options = parser.parse_args(arguments)
    out = report.folder_for(options.out)
    draw(options.start, options.end, options.tolerance, options.orders, out / "pendulum.png")


if __name__ == "__main__":
    main()
