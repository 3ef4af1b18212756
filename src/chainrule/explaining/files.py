"""Writing explanations to files."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.core.files import write

if TYPE_CHECKING:
    from chainrule.explaining.explanation import Explanation


def save(explanation: Explanation, path: Any, mode: str = "all") -> Path:
    """Write an explanation to a file in the form that its suffix says.

    Raises:
        ValueError: for an unknown suffix.
        OSError: if the file cannot be written; what was there stays.
    """
    path = Path(path)
    forms: dict[str, Callable[[], str]] = {
        ".html": lambda: explanation.page(mode),
        ".md": lambda: explanation.markdown(mode),
        ".tex": lambda: explanation.latex(mode),
        ".txt": lambda: explanation.text(mode) + "\n",
        ".svg": lambda: explanation.picture().svg,
        ".json": lambda: _json(explanation, mode),
    }
    form = forms.get(path.suffix.lower())
    if form is None:
        raise ValueError(
            f"cannot write an explanation to {path.name!r}: the suffix says the form, and is one "
            f"of {', '.join(forms)}"
        )
    return write(path, form())


def rendered(explanation: Explanation, format: str, mode: str, color: bool, width: int) -> str:
    """An explanation as a text in one of the formats of `Explanation.render`."""
    forms: dict[str, Callable[[], str]] = {
        "table": lambda: _coloured(explanation, mode, width) if color else explanation.text(mode),
        "markdown": lambda: explanation.markdown(mode),
        "latex": lambda: explanation.latex(mode),
        "html": lambda: explanation.page(mode),
        "json": lambda: _json(explanation, mode),
    }
    form = forms.get(format)
    if form is None:
        raise ValueError(f"format is one of {', '.join(forms)}, not {format!r}")
    return form()


def _json(explanation: Explanation, mode: str) -> str:
    from chainrule.explaining.model import model_of

    return json.dumps(model_of(explanation, mode), ensure_ascii=False, indent=1)


def _coloured(explanation: Explanation, mode: str, width: int) -> str:
    from rich.console import Console

    out = io.StringIO()
    explanation.show(mode, Console(file=out, force_terminal=True, width=width))
    return out.getvalue().rstrip("\n")
