"""The commands, and what becomes of their errors."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

import click

import chainrule
from chainrule.cli.explain import explain_command
from chainrule.cli.failures import plain
from chainrule.explaining.expression_errors import suggestion


class Commands(click.Group):
    """A group that says what was probably meant when there is no such command."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            hint = suggestion(name, self.commands)
            if not hint:
                hint = f': to explain an expression or function, write: chainrule explain "{name}"'
            raise click.UsageError(f"no command '{name}'{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    epilog="Run chainrule COMMAND --help for the options of a command, with examples.",
)
@click.version_option(chainrule.__version__, prog_name="chainrule", message="%(prog)s %(version)s")
@click.pass_context
def commands(ctx: click.Context) -> None:
    """Automatic differentiation that explains itself."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


commands.add_command(explain_command)


def run(arguments: list[str]) -> int:
    """Run a command and return the exit code; no error leaves here as a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal without ∂ and ̄ shows question marks, which is better than nothing at all.
        sys.stdout.reconfigure(errors="replace")
    try:
        return _invoke(arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough; what is left in the buffer goes nowhere, as
        # the interpreter would otherwise complain when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _invoke(arguments: list[str]) -> int:
    result: Any = 0
    try:
        with commands.make_context("chainrule", arguments) as ctx:
            commands.invoke(ctx)
    except click.exceptions.Exit as exit_:  # --help and --version end this way
        result = exit_.exit_code
    except click.Abort:
        return 130
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(error.ctx.get_usage(), err=True)
            click.echo(f"See {error.ctx.command_path} --help\n", err=True)
        heading = click.style("Error:", fg="red", bold=True)
        color = False if plain() else None
        click.echo(f"{heading} {error.format_message()}", err=True, color=color)
        return error.exit_code
    sys.stdout.flush()
    return int(result)
