"""Bar charts of the benchmarks: time relative to chainrule, on a logarithmic axis."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

COLOURS = {
    "chainrule": "#1b6ca8", "JAX": "#e08e45", "torch.compile": "#7a5195", "PyTorch": "#c0c0c0",
    "autograd": "#8fbf8f", "NumPy by hand": "#b08968",
}  # fmt: skip


@dataclass
class Bars:
    """What a chart shows: for each case seconds by library, and the goal's ratio to the best."""

    title: str
    cases: list[tuple[str, dict[str, float], float | None]] = field(default_factory=list)

    def add(self, name: str, times: dict[str, float], goal: float | None = None) -> None:
        if "chainrule" in times and len(times) > 1:
            self.cases.append((name, times, goal))


def draw(bars: Bars, path: str) -> None:
    """Write the chart; the ending of the path says in which format."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    peers = [p for p in COLOURS if p != "chainrule" and any(p in t for _, t, _ in bars.cases)]
    height = 0.24 * sum(len(t) for _, t, _ in bars.cases) + 1.6
    figure, axes = plt.subplots(figsize=(9, height), facecolor="white")
    y, ticks, labels = 0.0, [], []
    for name, times, goal in bars.cases:
        begin = y
        shown = [p for p in peers if p in times]
        for peer in shown:
            ratio = times[peer] / times["chainrule"]
            axes.barh(y, ratio - 1, left=1, height=0.8, color=COLOURS[peer])
            side = "left" if ratio >= 1 else "right"
            axes.annotate(
                f"{ratio:.3g}×", (ratio, y), (3 if ratio >= 1 else -3, 0),
                textcoords="offset points", va="center", ha=side, fontsize=7,
            )  # fmt: skip
            y += 1
        if goal is not None:
            axes.plot([1 / goal] * 2, [begin - 0.6, y - 0.4], color="#b00020", lw=1.5, ls=":")
        ticks.append((begin + y - 1) / 2)
        labels.append(f"{name}\n{_readable(times['chainrule'])}")
        y += 0.8
    axes.axvline(1, color=COLOURS["chainrule"], lw=2)
    axes.set_xscale("log")
    axes.set_yticks(ticks, labels, fontsize=8)
    axes.margins(y=0.01)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("times as long as chainrule; right of the dotted line: the goal is met")
    axes.set_title(bars.title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", which="major", color="#e0e0e0", lw=0.6)
    axes.set_axisbelow(True)
    handles = [plt.Rectangle((0, 0), 1, 1, color=COLOURS[p]) for p in peers]
    axes.legend(handles, peers, fontsize=8, loc="lower right", frameon=False)
    figure.tight_layout()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _readable(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
