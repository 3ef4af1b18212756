"""`chainrule explain`: what it accepts, what reaches the explanation, and every error it knows."""

import sys
import webbrowser

import numpy as np
import pytest

import chainrule as cr
import chainrule.cli.explain as command
from chainrule.cli import main

TEXTBOOK = ["explain", "log(x1) + x1*x2 - sin(x2)", "x1=2", "x2=5"]


def refused(capsys, *arguments, code=2):
    """Run a command that fails, and return its message without what stands before it."""
    assert main(["explain", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err.split("Error: ", 1)[1].rstrip("\n")


def test_textbook_example(explanations, capsys):
    assert main(TEXTBOOK) == 0
    out, err = capsys.readouterr()
    assert out == "table all ∂ 11.652\n"
    assert err == ""
    (made,) = explanations
    assert list(made.values) == ["x1", "x2"]
    assert all(v.dtype is cr.float64 for v in made.values.values())
    assert made.wrt is None
    assert made.asked["digits"] is None
    assert made.asked["color"] is False


def test_values_are_in_the_order_of_the_expression(explanations):
    assert main([*TEXTBOOK[:2], "x2=5", "x1=2"]) == 0
    assert list(explanations[0].values) == ["x1", "x2"]


def test_options_reach_the_explanation(explanations, capsys):
    options = ["--wrt", "x2", "--mode", "tangent", "--format", "latex", "--digits", "6"]
    assert main([*TEXTBOOK, *options]) == 0
    assert capsys.readouterr().out == "latex tangent ∂ 11.652\n"
    assert explanations[0].wrt == "x2"
    assert explanations[0].asked["digits"] == 6


@pytest.mark.parametrize("text", ["-x^2", "-sin(x)", "--x", "-x", "-x*-x", "-h + x"])
def test_expressions_may_begin_with_a_minus_sign(explanations, text):
    values = ["x=-3e0", "h=1"][: 1 + ("h" in text)]
    assert main(["explain", text, *values, "--mode", "all"]) == 0
    assert str(explanations[0].function) == text.replace("^", "**")


def test_arrays_complex_numbers_and_subscripts(explanations):
    assert main(["explain", "sum(A @ x₁)*z", "A=[[1,2],[3,4]]", "x₁=[1, -1]", "z=1/2"]) == 0
    values = explanations[0].values
    np.testing.assert_array_equal(values["A"], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(values["x1"], [1, -1])
    assert main(["explain", "abs(z)", "z=3+4j"]) == 0
    assert explanations[1].values["z"].dtype is cr.complex128
    assert explanations[1].result.item() == 5


def test_any_name_may_be_a_variable(explanations):
    assert main(["explain", "wrt + function*values", "wrt=1", "function=2", "values=3"]) == 0
    assert explanations[0].result.item() == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x +", "x=1"], "a value is missing after '+'\n  x +\n     ^"),
        (["sine(x)", "x=1"], "unknown function 'sine': did you mean 'sin'?\n  sine(x)\n  ^^^^"),
        (["x*y", "x=1"], "'y' has no value: give one with y=…\n  x*y\n    ^"),
        (["x", "x=1", "q=2"], "there is no variable 'q': the variable is x\n  x"),
        (["x", "x=1", "x=2"], "'x' has two values"),
        (["x", "x=abc"], "'abc' is not a number: a value is written like 2, pi/2 or [1, 2]\n"
                         "  x=abc\n    ^^^"),
        (["x", "x="], "there is no value\n  x=\n    ^"),
        (["x", "x=[1, 2"], "'[' is never closed\n  x=[1, 2\n    ^"),
        (["x", "x", "=", "2"], "'x' is not of the form name=value"),
        (["x", "x=1", "sin=2"], "'sin' is a function and cannot be given a value"),
        (["x", "x=1", "--wrt", "X"], "--wrt: there is no variable 'X': did you mean 'x'?"),
        (["x", "x=1", "--wrt", "qq"], "--wrt: there is no variable 'qq': values are given for x"),
        (["2", "--wrt", "x"], "--wrt: there is no variable 'x'"),
        (["x", "x=1", "--digits", "0"], "Invalid value for '--digits'"),
        (["x", "x=1", "--mode", "backward"], "Invalid value for '--mode'"),
        (["x", "x=1", "--fromat", "html"], "no option '--fromat': did you mean '--format'?"),
        ([], "Missing argument"),
    ],
)  # fmt: skip
def test_usage_errors(explanations, capsys, arguments, message):
    assert refused(capsys, *arguments).startswith(message)
    assert not explanations


def test_errors_while_computing(explanations, capsys):
    found = refused(capsys, "A @ x", "A=[[1, 2], [3, 4]]", "x=[1, 2, 3]", code=1)
    assert found.startswith("RuntimeError: ")
    assert found.split("\n")[1:3] == ["  A @ x", "    ^"]


def test_function_of_a_module(explanations, folder, capsys):
    assert main(["explain", "shapes:area", "width=3", "--wrt", "width"]) == 0
    assert capsys.readouterr().out == "table all ∂ 6.000\n"
    assert explanations[0].function.__name__ == "area"
    assert explanations[0].values["width"].dtype is cr.float64
    assert str(folder) not in sys.path


def test_dotted_names(explanations, folder):
    assert main(["explain", "shapes:Circle.area", "r=1"]) == 0
    assert main(["explain", "solids.cube:volume", "a=2"]) == 0
    assert [round(e.result.item(), 3) for e in explanations] == [3.142, 8]


def test_integer_parameters_stay_integers(explanations, folder):
    assert main(["explain", "shapes:tower", "x=0", "n=1", "scale=3"]) == 0
    assert explanations[0].result.item() == 3
    assert explanations[0].values["n"] == 1
    assert isinstance(explanations[0].values["scale"], int)
    assert main(["explain", "shapes:anything", "a=1", "b=2"]) == 0
    assert explanations[1].result.dtype is cr.float64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shaped:area"], "there is no module 'shaped': did you mean 'shapes'?"),
        (["qqq:area"], "there is no module 'qqq': those in this folder are broken, leaving, needy"),
        (["solids.cubes:volume"], "there is no module 'solids.cubes': did you mean 'cube'?"),
        (["shapes.py:area"], "'shapes.py' is a file: write the module, shapes:area"),
        (["./solids/cube.py:volume"], "'./solids/cube.py' is a file: write the module, solids.cub"),
        (["shapes:"], "'shapes:' is not of the form module:function"),
        (["..shapes:area"], "'..shapes:area' is not of the form module:function"),
        (["shapes:aera"], "module 'shapes' has no 'aera': did you mean 'area'?"),
        (["shapes:qqq"], "module 'shapes' has no 'qqq': its functions are Circle, anything"),
        (["shapes:Circle.aera"], "'shapes:Circle' has no 'aera': did you mean 'area'?"),
        (["shapes:SIZES"], "'shapes:SIZES' is of type list, not a function"),
        (["shapes:area"], "'width' has no value: give one with width=…"),
        (["shapes:area", "width=1", "hight=2"], "there is no parameter 'hight': did you mean '"),
        (["shapes:area", "q=1"], "there is no parameter 'q': its parameters are width, height"),
        (["shapes:ordered", "x=1"], "there is no parameter 'x': it has no parameters"),
    ],
)  # fmt: skip
def test_functions_that_cannot_be_found(explanations, folder, capsys, arguments, message):
    assert refused(capsys, *arguments).startswith(message)
    assert not explanations


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shapes:fails", "x=1"], "ValueError: no luck\n  at shapes.py:16 (raise ValueError("),
        (
            ["broken:f"],
            "while importing 'broken': ZeroDivisionError: division by zero\n  at broken",
        ),
        (["leaving:f"], "while importing 'leaving': SystemExit: 3\n  at leaving.py:2"),
        (["needy:f"], "while importing 'needy': ModuleNotFoundError: No module named 'a_module_th"),
    ],
)
def test_functions_that_fail(explanations, folder, capsys, arguments, message):
    assert refused(capsys, *arguments, code=1).startswith(message)


def test_saving(explanations, tmp_path, capsys):
    path = tmp_path / "trace.html"
    assert main([*TEXTBOOK, "--save", str(path), "--mode", "reverse"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"wrote {path}\n")
    assert path.read_text() == "reverse 11.652"
    assert main([*TEXTBOOK, "--save", str(path), "--format", "markdown"]) == 0
    assert capsys.readouterr().out == "markdown all ∂ 11.652\n"


def test_files_that_cannot_be_written(explanations, tmp_path, capsys, monkeypatch):
    found = refused(capsys, "x", "x=1", "--save", str(tmp_path / "trace.exe"))
    assert "ends in none of .html, .svg, .md, .tex" in found
    found = refused(capsys, "x", "x=1", "--save", str(tmp_path / "missing" / "a.md"))
    assert "there is no folder" in found
    (tmp_path / "folder.md").mkdir()
    assert "is a directory" in refused(capsys, "x", "x=1", "--save", str(tmp_path / "folder.md"))
    path = tmp_path / "full.md"

    def full(self, path, **asked):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("tests.cli.conftest.Explained.save", full)
    found = refused(capsys, "x", "x=1", "--save", str(path), code=1)
    assert found == f"{path} cannot be written: No space left on device"


def test_opening(explanations, tmp_path, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda uri: opened.append(uri) or len(opened) < 3)
    path = tmp_path / "trace.html"
    assert main([*TEXTBOOK, "--save", str(path), "--open"]) == 0
    assert opened == [path.as_uri()]
    monkeypatch.setattr(command.tempfile, "mkdtemp", lambda prefix: str(tmp_path))
    assert main([*TEXTBOOK, "--open"]) == 0
    assert opened[1] == (tmp_path / "explanation.html").as_uri()
    assert capsys.readouterr().out == ""
    assert main([*TEXTBOOK, "--open"]) == 1
    assert "no browser could be started" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "colored"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    explanations, capsys, monkeypatch, environment, colored
):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(TEXTBOOK) == 0
    assert main([*TEXTBOOK, "--format", "markdown"]) == 0
    table, markdown = capsys.readouterr().out.split("\n")[:2]
    assert ("\x1b[" in table) is colored
    assert "\x1b[" not in markdown


def test_interruption_is_quiet(capsys, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "explained", interrupted)
    assert main(TEXTBOOK) == 130
    assert capsys.readouterr() == ("", "")


def test_what_is_asked_of_the_library(monkeypatch, folder):
    asked = []
    ask = lambda f, *args, wrt, **named: asked.append((f, args, named, wrt))
    monkeypatch.setattr("chainrule.explaining.explain", ask, raising=False)
    monkeypatch.syspath_prepend(folder)
    function, values = command.read("y - x", ["x=1", "y=2"])
    command.explained(function, values, "x")
    assert asked[-1] == (function, (values["y"], values["x"]), {}, "x")
    function, values = command.read("shapes:tower", ["scale=2", "x=1"])
    command.explained(function, values, None)
    assert asked[-1] == (function, (values["x"],), {"scale": 2}, None)
