"""Writing explanations to files."""

from __future__ import annotations

import errno
import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def write(path: Path, text: str) -> Path:
    """Write a text file whole or not at all: to a temporary file beside it, which then replaces it.

    Raises:
        OSError: saying what to do.
    """
    path = Path(path)
    folder = path.parent
    if not folder.is_dir():
        raise FileNotFoundError(
            errno.ENOENT, f"cannot write to the folder {folder}: it does not exist. Create it "
            "first, or choose another path", str(path),
        )  # fmt: skip
    if path.is_dir():
        raise IsADirectoryError(
            errno.EISDIR, "cannot write a file here: this is a folder. Name a file in it", str(path)
        )
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(
            errno.EACCES, "cannot replace the file: it is write-protected. Choose another path, or "
            "permit writing", str(path),
        )  # fmt: skip
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=path.name, suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise type(error)(
            error.errno, f"cannot write to the folder {folder}: {error.strerror}. Choose another "
            "path", str(path),
        ) from None  # fmt: skip
    return path


def _umask() -> int:
    """The permissions that new files lack; there is no way to ask but to set them."""
    current = os.umask(0)
    os.umask(current)
    return current
