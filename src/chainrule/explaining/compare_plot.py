"""Modes of differentiation in a figure: growth with n, or errors and times."""

from __future__ import annotations

from typing import Any

from chainrule.explaining.compare_work import NAMES

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
    if comparison.growth:
        made = Figure(figsize=(10, 5), layout="constrained")
        left, right = made.subplots(1, 2)
        _growth(comparison, left, "operations", "operations")
        _growth(comparison, right, "time", "time in seconds")
        made.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=4,
                    fontsize="small", frameon=False)  # fmt: skip
    else:
        made = Figure(figsize=(10, 3.8), layout="constrained")
        left, right = made.subplots(1, 2, sharey=True)
        _bars(comparison, left, "error", "error, relative to the largest entry")
        _bars(comparison, right, "ratio", "time, in evaluations of f")
    if path is not None:
        made.savefig(path)
    return made


def _growth(comparison: Any, axes: Any, what: str, title: str) -> None:
    """Lines on logarithmic axes, with the power of n at their ends."""
    sizes = list(dict.fromkeys(r.n for r in comparison.growth))
    for mode in dict.fromkeys(r.mode for r in comparison.growth):
        rows = [r for r in comparison.growth if r.mode == mode and getattr(r, what)]
        line, *_ = axes.loglog(
            [r.n for r in rows], [getattr(r, what) for r in rows], marker="o", color=COLORS[mode],
            label=NAMES[mode], markersize=4, linestyle="--" if mode == "batched" else "-",
        )  # fmt: skip
        power = comparison.power(mode, what)
        if power is not None:
            axes.annotate(
                f"n$^{{{power:.1f}}}$", (rows[-1].n, getattr(rows[-1], what)), xytext=(5, 0),
                textcoords="offset points", color=line.get_color(), fontsize="x-small",
                verticalalignment="center",
            )  # fmt: skip
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.minorticks_off()
    axes.set_xlim(right=sizes[-1] * (sizes[-1] / sizes[0]) ** 0.08)  # room for the powers
    axes.set_xlabel("n")
    axes.set_title(title, fontsize="medium")
    axes.grid(True, alpha=0.2)


def _bars(comparison: Any, axes: Any, what: str, title: str) -> None:
    """One bar for each mode, on a logarithmic axis; a word where there is no number to show."""
    rows = list(reversed(comparison.rows))
    values = [getattr(r, what) for r in rows]
    axes.barh(
        [r.name for r in rows], [v or 0 for v in values], color=[COLORS[r.mode] for r in rows]
    )
    if any(values):
        axes.set_xscale("log")
    for i, (row, value) in enumerate(zip(rows, values, strict=True)):
        word = "does not apply" if row.result is None else "exact" if value == 0 else "reference"
        if not value:
            axes.annotate(
                word, (0, i), xycoords=("axes fraction", "data"), xytext=(5, 0),
                textcoords="offset points", verticalalignment="center", fontsize="small",
                color="0.4",
            )  # fmt: skip
    axes.set_title(title, fontsize="medium")
    axes.grid(True, axis="x", alpha=0.2)


__all__ = ["figure"]
