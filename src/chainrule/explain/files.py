"""Writing explanations to files."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def save(explanation: Any, path: Any) -> Path:
    """Write an explanation to a file in the form that its suffix says.

    Raises:
        ValueError: for an unknown suffix.
        OSError: if the file cannot be written; what was there stays.
    """
    from chainrule.explain.model import model_of

    path = Path(path)
    forms: dict[str, Callable[[], str]] = {
        ".html": explanation.page,
        ".md": explanation.markdown,
        ".tex": explanation.latex,
        ".txt": lambda: explanation.text() + "\n",
        ".svg": lambda: explanation.picture().svg,
        ".json": lambda: json.dumps(model_of(explanation), ensure_ascii=False, indent=1),
    }
    form = forms.get(path.suffix.lower())
    if form is None:
        raise ValueError(
            f"cannot write an explanation to {path.name!r}: the suffix says the form, and is one of "
            f"{', '.join(forms)}"
        )
    return write(path, form())


def write(path: Path, text: str) -> Path:
    """Write a text file whole or not at all: to a temporary file beside it, which then replaces it.

    Raises:
        OSError: saying what to do.
    """
    path = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    except OSError as error:
        raise type(error)(
            error.errno, f"cannot write to the folder {path.parent}: {error.strerror}. Choose "
            "another path, or create the folder first", str(path),
        ) from None  # fmt: skip
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path
