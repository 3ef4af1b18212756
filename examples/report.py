"""What the examples share: friendly failures, colours, and writing pictures."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, VERMILLION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#5F6B76"


def stop(message: str) -> NoReturn:
    """End the program with a message and no traceback."""
    sys.exit(f"error: {message}")


def need(module: str, package: str) -> Any:
    """Import an optional package, or end saying how to install it."""
    try:
        return import_module(module)
    except ImportError:
        stop(f"this example needs {package}, which is not installed: pip install 'chainrule[demo]'")


def folder_for(path: Path) -> Path:
    """The output folder, made if necessary and known to be writable."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        stop(f"cannot write to {path}: {error.strerror}; choose another folder with --out")
    return path


def pyplot() -> Any:
    """Matplotlib drawing to files, in this project's style."""
    need("matplotlib", "Matplotlib").use("Agg")
    plt = import_module("matplotlib.pyplot")
    plt.rcParams.update(
        {
            "font.size": 12, "axes.titlesize": 13, "axes.spines.top": False,
            "axes.spines.right": False, "axes.edgecolor": GREY, "axes.labelcolor": "#222222",
            "xtick.color": GREY, "ytick.color": GREY, "axes.grid": True, "grid.alpha": 0.25,
            "figure.dpi": 150, "savefig.bbox": "tight", "legend.frameon": False,
        }
    )  # fmt: skip
    return plt


def save(figure: Any, path: Path) -> None:
    """Write a picture and say where it is."""
    try:
        figure.savefig(path)
    except OSError as error:
        stop(f"cannot write {path}: {error.strerror}")
    print(f"wrote {path}")
