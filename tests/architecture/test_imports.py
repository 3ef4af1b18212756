"""Imports point one way, and importing the package stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import chainrule

ROOT = Path(chainrule.__file__).parent
LAYERS = ["core", "ops", "transforms", "autograd", "nn", "optim", "utils", "graph", "explain"]
FILES = sorted(ROOT.rglob("*.py"))


def imported_packages(path):
    """Subpackages of chainrule that a file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("chainrule."):
            yield node.module.split(".")[1], node
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("chainrule."):
                    yield alias.name.split(".")[1], node


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    layer = path.relative_to(ROOT).parts[0]
    if layer not in LAYERS:
        return
    for package, node in imported_packages(path):
        if package in LAYERS:
            assert LAYERS.index(package) <= LAYERS.index(layer), f"{path.name}:{node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_stay_readable(path):
    assert len(path.read_text().splitlines()) <= 460


def test_import_needs_numpy_only():
    heavy = ("scipy", "torch", "jax", "sklearn", "matplotlib", "rich", "llvmlite", "sympy")
    code = f"import sys, chainrule; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
