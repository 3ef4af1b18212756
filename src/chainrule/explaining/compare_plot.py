"""Modes of differentiation in a figure: growth with n, or errors and times."""

from __future__ import annotations

from typing import Any

COLORS = {"forward": "C0", "batched": "C9", "reverse": "C3", "difference": "C7", "central": "C1",
          "richardson": "C8", "complex": "C2", "shared": "C4", "unshared": "C6"}  # fmt: skip


def figure(comparison: Any, path: Any) -> Any:
    """A Matplotlib figure of a comparison, written to `path` if one is given.

    Raises:
        ImportError: if Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('plots need Matplotlib: pip install "chainrule[all]"') from error
    made = Figure(figsize=(10, 4.2), layout="constrained")
    axes = made.subplots(1, 2)
    if comparison.growth:
        _growth(comparison, axes[0], "operations")
        _growth(comparison, axes[1], "time")
    else:
        _bars(comparison, axes[0], "error", "error, relative to the largest entry")
        _bars(comparison, axes[1], "ratio", "time, in evaluations of f")
    if path is not None:
        made.savefig(path)
    return made


def _growth(comparison: Any, axes: Any, what: str) -> None:
    """Lines on logarithmic axes, named at their ends."""
    for mode in dict.fromkeys(r.mode for r in comparison.growth):
        known = [(r.n, getattr(r, what)) for r in comparison.growth
                 if r.mode == mode and getattr(r, what)]  # fmt: skip
        if not known:
            continue
        name = next(r.name for r in comparison.growth if r.mode == mode)
        power = comparison.power(mode, what)
        label = name if power is None else f"{name} (n^{power:.1f})"
        axes.loglog(*zip(*known, strict=True), "o-", color=COLORS[mode], label=label, markersize=4)
    axes.set_xlabel("n")
    axes.set_ylabel("operations" if what == "operations" else "time [s]")
    axes.grid(True, which="both", alpha=0.2)
    axes.legend(fontsize="small", frameon=False)


def _bars(comparison: Any, axes: Any, what: str, title: str) -> None:
    """One bar for each mode, on a logarithmic axis."""
    rows = [r for r in reversed(comparison.rows) if getattr(r, what)]
    axes.barh(
        [r.name for r in rows], [getattr(r, what) for r in rows],
        color=[COLORS[r.mode] for r in rows],
    )  # fmt: skip
    axes.set_xscale("log")
    axes.set_title(title, fontsize="medium")
    axes.grid(True, axis="x", alpha=0.2)


__all__ = ["figure"]
