"""Imports point one way, and importing the package stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import chainrule

ROOT = Path(chainrule.__file__).parent
LAYERS = [
    "core",
    "ops",
    "transforms",
    "autograd",
    "nn",
    "optim",
    "utils",
    "graph",
    "compiler",
    "just_in_time",
    "explaining",
    "cli",
]
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


def run(code):
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return out.stdout.strip()


def test_import_leaves_out_what_is_rarely_used():
    late = (
        "chainrule.transforms", "chainrule.tree", "chainrule.numerical", "chainrule.nn",
        "chainrule.optim", "chainrule.utils", "chainrule.graph", "chainrule.explain",
        "chainrule.autograd.functional", "chainrule.autograd.forward_ad",
        "chainrule.autograd.direction", "chainrule.autograd.function",
        "chainrule.autograd.gradcheck_run", "chainrule.autograd.gradcheck_compare",
        "pathlib", "difflib", "fractions",
    )  # fmt: skip
    code = f"import numpy, sys; before = set(sys.modules); import chainrule; \
             print([m for m in {late!r} if m in sys.modules and m not in before])"
    assert run(code) == "[]"


@pytest.mark.parametrize("first", ["", "import chainrule.autograd.gradcheck; "])
def test_names_of_autograd_that_are_imported_on_first_use(first):
    code = f"""{first}import chainrule as cr
from types import FunctionType, ModuleType
for name in ("functional", "forward_ad", "direction", "function"):
    assert name in dir(cr.autograd), name
    assert type(getattr(cr.autograd, name)) is ModuleType, name
from chainrule.autograd.gradcheck import GradcheckError, gradcheck
from chainrule.autograd import Function, check_random_direction, gradgradcheck
assert cr.autograd.gradcheck is gradcheck and type(gradcheck) is FunctionType
assert cr.autograd.GradcheckError is GradcheckError
assert check_random_direction is cr.autograd.direction.check_direction
assert Function is cr.autograd.function.Function is cr.autograd.Function
assert not hasattr(cr.autograd, "nothing")
x = cr.tensor([0.5], dtype=cr.float64, requires_grad=True)
assert gradcheck(cr.sin, (x,))
print("done")"""
    assert run(code) == "done"
