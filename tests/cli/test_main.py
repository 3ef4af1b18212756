"""The command as a program: started, piped, without its libraries."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import chainrule
from chainrule.cli import main

ROOT = Path(__file__).resolve().parents[2]


def started(*words, **options):
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=60, **options
    )


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"chainrule {chainrule.__version__}\n"
    assert main([]) == 0
    assert "explain" in capsys.readouterr().out
    assert main(["explain", "--help"]) == 0
    shown = capsys.readouterr().out
    assert 'chainrule explain "log(x1) + x1*x2 - sin(x2)" x1=2 x2=5' in shown
    assert all(len(line) <= 80 for line in shown.split("\n"))
    assert main(["explain", "-h"]) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explian", "x"], "no command 'explian': did you mean 'explain'?"),
        (["x^2", "x=1"], "no command 'x^2': to explain an expression or function, write"),
        (["--verison"], "No such option"),
    ],
)
def test_unknown_commands(capsys, arguments, message):
    assert main(arguments) == 2
    assert f"Error: {message}" in capsys.readouterr().err


def test_python_dash_m():
    found = started("-m", "chainrule", "--version")
    assert (found.returncode, found.stdout) == (0, f"chainrule {chainrule.__version__}\n")
    found = started("-m", "chainrule", "explain", "log(x", "x=1")
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == "Error: '(' is never closed\n  log(x\n     ^\n"


def test_the_installed_command_is_the_same():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"chainrule": "chainrule.cli:main"}
    extras = project["optional-dependencies"]
    assert {"click>=8", "rich>=13", "sympy>=1.12", "igraph>=0.11"} == set(extras["explain"])
    assert set(extras["explain"]) <= set(extras["all"])


def test_without_click_the_extra_is_named():
    code = (
        "import sys; sys.modules['click'] = None; sys.argv = ['chainrule', '--version']; "
        "import runpy; runpy.run_module('chainrule', run_name='__main__')"
    )
    found = started("-c", code)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == 'The command line needs click: pip install "chainrule[explain]"\n'


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_a_closed_pipe_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        words = [sys.executable, "-m", "chainrule", "explain", "--help"]
        found = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, timeout=60)
    finally:
        os.close(writer)
    assert (found.returncode, found.stderr) == (0, b"")


def test_a_terminal_without_unicode_gets_question_marks():
    code = (
        "import click, sys; from chainrule.cli.main import commands, run; "
        "commands.add_command(click.Command('d', callback=lambda: click.echo('∂x'))); "
        "sys.exit(run(['d']))"
    )
    found = started("-c", code, env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert (found.returncode, found.stdout) == (0, "?x\n")
