"""The `hiddenstate` command: its subcommands, and what becomes of errors (one line, exit code 2, no traceback)."""

from __future__ import annotations

import importlib
import os
import sys

import typer
from typer.exceptions import TyperException

from hiddenstate_core.cli.common import fail
from hiddenstate_core.errors import HiddenStateError

__all__ = ["app", "main"]

_INTERRUPTED = 130
_COMMANDS = ("demo", "data", "train", "extract", "project", "view", "report", "info", "verify")

app = typer.Typer(
    name="hiddenstate",
    help="See what a recurrent network keeps in mind while it reads.",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from hiddenstate_core import __version__

        typer.echo(f"hiddenstate {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", callback=_version, is_eager=True
    ),
) -> None:
    """See what a recurrent network keeps in mind while it reads."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _register() -> None:
    for name in _COMMANDS:
        module = importlib.import_module(f"hiddenstate_core.cli.{name}")
        told = (module.command.__doc__ or "").strip()
        # Whole in the list of commands too, where it is else cut to the width of the terminal.
        app.command(name, help=told, short_help=" ".join(told.split("\n\n")[0].split()))(module.command)


_register()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 done, 2 bad input, 130 interrupted)."""
    command = typer.main.get_command(app)
    try:
        code = command.main(args=arguments, prog_name="hiddenstate", standalone_mode=False)
    except TyperException as error:
        told = error.format_message().rstrip(". ")
        return fail(f"{told}{'' if told.endswith(('?', '!')) else '.'} {_hint(error)}")
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`hiddenstate info ... | head`): not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (HiddenStateError, OSError) as error:
        return fail(str(error))
    except Exception as error:
        # A defect of ours, or input that nobody thought of: one line for the user, the traceback for whoever asks.
        if os.environ.get("HIDDENSTATE_TRACEBACK"):
            raise
        fail(f"{type(error).__name__}: {error}. This is a defect; HIDDENSTATE_TRACEBACK=1 shows where it happened.")
        return 1
    if code == _INTERRUPTED:  # typer may have caught Ctrl-C itself
        sys.stderr.write("\nStopped; what was finished is kept, and the same command goes on from there.\n")
    return code if isinstance(code, int) else 0


def _hint(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"See `{context.command_path if context is not None else 'hiddenstate'} --help`."


def run() -> None:
    """Entry point of the console script."""
    sys.exit(main())


if __name__ == "__main__":
    run()
