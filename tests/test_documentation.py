"""Every example in the docstrings and the README runs and prints what it says."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import chainrule

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(m.name for m in pkgutil.walk_packages(chainrule.__path__, "chainrule."))
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for test in finder.find(module, name):
        runner.run(test)
    assert runner.failures == 0


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_documents(path):
    found = doctest.testfile(
        str(path),
        module_relative=False,
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS,
    )
    assert found.failed == 0


def test_readme_blocks(capsys):
    pytest.importorskip("sklearn")
    scope: dict = {}
    for block in BLOCKS:
        exec(block, scope)
    printed = capsys.readouterr().out
    accuracy = float(re.search(r"held-out accuracy ([\d.]+)", printed).group(1))
    assert accuracy > 0.9


def test_public_functions_have_docstrings():
    missing = [n for n, f in chainrule.ops.api.FUNCTIONS.items() if not (f.__doc__ or "").strip()]
    assert not missing
