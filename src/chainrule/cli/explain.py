"""`chainrule explain`: how a value and its derivatives come about, line by line."""

from __future__ import annotations

import inspect
import re
import shutil
import sys
import tempfile
import webbrowser
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import click

from chainrule.cli.failures import Failed, Refused, plain
from chainrule.cli.target import current_directory_importable, read
from chainrule.explaining.expression_errors import suggestion

MODES = ("forward", "tangent", "reverse", "all")
FORMATS = ("table", "markdown", "latex", "html", "json")
SUFFIXES = (".html", ".svg", ".md", ".tex")


class Explanation(Protocol):
    """What the command needs of an explanation."""

    def render(self, format: str, *, mode: str, digits: int | None, color: bool, width: int) -> str:
        """As text in one of `FORMATS`."""

    def save(self, path: Path, *, mode: str, digits: int | None) -> None:
        """Into a file, in the format that its suffix says."""


def explained(function: Callable[..., Any], values: dict[str, Any], wrt: str | None) -> Explanation:
    """The explanation of a function at these values: all that this command asks of the library."""
    explain = import_module("chainrule.explaining").explain
    args, named = positional(function, values)
    explanation: Explanation = explain(function, *args, **named, wrt=wrt)
    return explanation


def positional(
    function: Callable[..., Any], values: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The values in the order of the parameters where possible, the others by name.

    So a variable may have any name, also that of a keyword of `explain`.
    """
    try:
        bound = inspect.signature(function).bind(**values)
    except ValueError:  # functions written in C need not have a signature
        return (), values
    return bound.args, bound.kwargs


class Words(click.Command):
    """A command whose first word may begin with a minus sign, as in `-x^2`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args == ["-h"]:  # with anything else, it is the expression
            args = ["--help"]
        known = [name for p in self.get_params(ctx) for name in p.opts if name.startswith("--")]
        before = args[: args.index("--")] if "--" in args else args
        for word in before:
            name = word.partition("=")[0]
            if re.fullmatch(r"--[a-z][a-z-]+", name) and name not in known:
                hint = suggestion(name, known) or f": known are {', '.join(known)}"
                raise click.UsageError(f"no option '{name}'{hint}", ctx)
        return super().parse_args(ctx, args)


@click.command(
    "explain",
    cls=Words,
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
    options_metavar="[OPTIONS]",
)
@click.argument("what", metavar="EXPR|MODULE:FUNCTION")
@click.argument("assignments", nargs=-1, metavar="[NAME=VALUE]...")
@click.option(
    "--wrt", metavar="NAME", help="The variable whose tangent trace is shown; by default each."
)
@click.option("--mode", type=click.Choice(MODES), default="all", help="Which traces to show.")
@click.option(
    "--format", "format_", type=click.Choice(FORMATS), default="table", help="What to print."
)
@click.option("--digits", type=click.IntRange(1, 17), metavar="N", help="Digits of numbers.")
@click.option(
    "--save",
    "save_as",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Write a file, .html (a page to step through), .svg (a picture), .md or .tex.",
)
@click.option("--open", "open_", is_flag=True, help="Show the file, or a page, in a browser.")
@click.pass_context
def explain_command(
    ctx: click.Context, what: str, assignments: tuple[str, ...], wrt: str | None, mode: str,
    format_: str, digits: int | None, save_as: Path | None, open_: bool,
) -> None:  # fmt: skip
    """Show how a value and its derivatives are computed: the forward trace, the tangent trace
    and the reverse trace, with formulas and numbers.

    Values are numbers (2, -1.5e3, 1/3, pi/2) and arrays ([1, 2], [[1, 2], [3, 4]]).

    \b
    Examples:
      chainrule explain "log(x1) + x1*x2 - sin(x2)" x1=2 x2=5
      chainrule explain "sigmoid(w*x + b)" w=0.5 x=2 b=-1 --wrt w --mode tangent
      chainrule explain "sum((A @ x)^2)" "A=[[1, 2], [3, 4]]" "x=[1, -1]"
      chainrule explain model:loss w=0.3 --save trace.html --open
      chainrule explain "x^2*y" x=1 y=2 --format latex > trace.tex
    """
    if save_as is not None:
        _check_destination(save_as)
    with current_directory_importable():
        function, values = read(what, assignments)
        if wrt is not None and wrt not in values:
            hint = suggestion(wrt, values) or f": values are given for {', '.join(values)}"
            raise Refused(f"--wrt: there is no variable '{wrt}'{hint if values else ''}")
        chosen = ctx.get_parameter_source("format_") is not click.core.ParameterSource.DEFAULT
        printed = chosen or (save_as is None and not open_)
        if open_ and save_as is None:
            save_as = Path(tempfile.mkdtemp(prefix="chainrule-")) / "explanation.html"
        try:
            explanation = explained(function, values, wrt)
            text = _text(explanation, format_, mode, digits) if printed else None
            if save_as is not None:
                explanation.save(save_as, mode=mode, digits=digits)
        except OSError as error:
            if save_as is None or error.filename != str(save_as):
                raise Failed.because(error) from None
            raise Failed(f"{save_as} cannot be written: {error.strerror}") from None
        except Exception as error:
            raise Failed.because(error) from None
    if text is not None:
        click.echo(text, color=True)  # what has colours has them for a reason
    if save_as is not None:
        click.echo(f"wrote {save_as}", err=True)
    if open_ and save_as is not None and not webbrowser.open(save_as.resolve().as_uri()):
        raise Failed(f"no browser could be started: open {save_as} yourself")


def _check_destination(path: Path) -> None:
    """Say before computing what would fail after it."""
    if path.suffix not in SUFFIXES:
        raise Refused(f"--save: '{path}' ends in none of {', '.join(SUFFIXES)}")
    if not path.absolute().parent.is_dir():
        raise Refused(f"--save: there is no folder '{path.parent}'")


def _text(explanation: Explanation, format_: str, mode: str, digits: int | None) -> str:
    color = format_ == "table" and sys.stdout.isatty() and not plain()
    width = shutil.get_terminal_size((100, 24)).columns
    return explanation.render(format_, mode=mode, digits=digits, color=color, width=width)
