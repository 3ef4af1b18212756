"""Rolling down a double well: gradient descent on V(x) = x⁴ - 10x² + 5.

Starting at x = 3, two hundred steps against the gradient end in the right-hand minimum, √5.
"""

from __future__ import annotations

import argparse
from math import sqrt
from pathlib import Path
from typing import Any

import chainrule as cr
import report


def potential(x: Any) -> Any:
    """The potential energy at x."""
    return x**4 - 10 * x**2 + 5


def descend(start: float = 3.0, rate: float = 0.01, steps: int = 200) -> list[float]:
    """The places visited on the way down, the start included."""
    x = cr.tensor(start, dtype=cr.float64, requires_grad=True)
    path = [x.item()]
    for _ in range(steps):
        potential(x).backward()
        with cr.no_grad():
            x -= rate * x.grad
        x.grad = None
        path.append(x.item())
    return path


def draw(path: list[float], file: Path) -> None:
    """The potential and the path down it."""
    plt = report.pyplot()
    xs = cr.linspace(-3.6, 3.6, 400, dtype=cr.float64)
    figure, axes = plt.subplots(figsize=(8, 4.8))
    axes.plot(xs.numpy(), potential(xs).numpy(), color=report.BLUE, lw=2.5, zorder=1)
    axes.plot(
        path, [potential(x) for x in path], "o-", color=report.VERMILLION, ms=5, lw=1, alpha=0.8,
        label=f"{len(path) - 1} steps of gradient descent",
    )  # fmt: skip
    axes.annotate(
        "start", (path[0], potential(path[0])), (10, 4), textcoords="offset points", fontsize=12
    )
    axes.annotate(
        f"end: x = {path[-1]:.4f} ≈ √5", (path[-1], potential(path[-1])), (0, -24),
        textcoords="offset points", ha="center", fontsize=12,
    )  # fmt: skip
    axes.set(xlabel="position x", ylabel="potential V(x)", ylim=(-30, 45))
    axes.set_title("V(x) = x⁴ − 10x² + 5", loc="left")
    axes.legend(loc="upper center")
    report.save(figure, file)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Run the example from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the picture")
    options = parser.parse_args(arguments)
    out = report.folder_for(options.out)
    path = descend()
    print(f"from x = {path[0]} to x = {path[-1]:.12f}  (√5 = {sqrt(5):.12f})")
    draw(path, out / "double_well.png")


if __name__ == "__main__":
    main()
