"""A command line whose explanations are a stand-in, so that what reaches them can be seen."""

import pytest

pytest.importorskip("click")

import chainrule.cli.explain as command


class Explained:
    """Computes the value only, and says what it was asked for."""

    def __init__(self, function, values, wrt):
        self.function, self.values, self.wrt = function, values, wrt
        args, named = command.positional(function, values)
        self.result = function(*args, **named)
        self.asked = {}

    def render(self, format, **asked):
        self.asked = {"format": format, **asked}
        bold = ("\x1b[1m", "\x1b[0m") if asked["color"] else ("", "")
        return f"{bold[0]}{format} {asked['mode']} ∂ {self.result.item():.3f}{bold[1]}"

    def save(self, path, **asked):
        self.asked |= {"saved": path, **asked}
        path.write_text(f"{asked['mode']} {self.result.item():.3f}")


@pytest.fixture
def explanations(monkeypatch):
    """Every explanation that was asked for."""
    made = []

    def explained(function, values, wrt):
        made.append(Explained(function, values, wrt))
        return made[-1]

    monkeypatch.setattr(command, "explained", explained)
    return made


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current directory with a module, which is forgotten after the test."""
    import sys

    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shapes.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("x = 1\ny = x/0\n")
    (tmp_path / "leaving.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "needy.py").write_text("import a_module_that_is_missing\n")
    (tmp_path / "solids").mkdir()
    (tmp_path / "solids" / "__init__.py").write_text("")
    (tmp_path / "solids" / "cube.py").write_text("def volume(a):\n    return a**3\n")
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("shapes", "broken", "leaving", "needy", "solids"):
            del sys.modules[name]


MODULE = """
import chainrule as cr

SIZES = [1, 2]

def area(width, height=2.0):
    return width * height

def tower(x, n=2, *, scale: int = 1):
    for _ in range(n):
        x = cr.exp(x) * scale
    return x

def fails(x):
    y = x * 2
    raise ValueError("no luck")

def anything(**sides):
    return sum(sides.values())

def ordered(x, /):
    return x

class Circle:
    @staticmethod
    def area(r):
        return cr.pi * r * r
"""
