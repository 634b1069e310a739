"""The root of the command line: flags of every command, and the one place where errors become messages."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from emospace.display import say
from emospace.errors import EmospaceError

ANYWHERE = ("--debug", "--verbose")
WRONG_INPUT, INTERRUPTED = 2, 130

# Usage errors are the parser's own: it prints them with the command they belong to.
_PASSED_ON: tuple[type[BaseException], ...] = (
    typer.Exit,
    typer.Abort,
    typer.BadParameter.__mro__[2],
    BrokenPipeError,
)


class GuardedGroup(TyperGroup):
    """A group of commands that turns what goes wrong into one message on the error stream and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Accept the flags of `ANYWHERE` after a command's name too."""
        flags = [arg for arg in args if arg in ANYWHERE]
        return super().parse_args(ctx, [*flags, *(arg for arg in args if arg not in ANYWHERE)])

    def invoke(self, ctx: Any) -> Any:
        """Run the command named; every error but the parser's own becomes a message."""
        try:
            return super().invoke(ctx)
        except _PASSED_ON:
            raise
        except KeyboardInterrupt:
            say("Interrupted. Finished parts are kept: the same command goes on where it stopped.")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if ctx.params.get("debug"):
                import traceback

                traceback.print_exc()
            say(f"Error: {message(error)}")
            raise typer.Exit(WRONG_INPUT) from error


def message(error: Exception) -> str:
    """Return what a user is told of an error: what, why, and what to do about it."""
    if isinstance(error, EmospaceError):
        return str(error)
    reason = str(error).strip()
    reason = reason.splitlines()[0][:300] if reason else "no further word"
    if "No space left on device" in str(error):
        return f"{reason}: the disk is full. Free some space and run the same command again: finished parts are kept."
    if isinstance(error, MemoryError):
        return "memory ran out: the model or its batch does not fit. Use a smaller model or --dtype bfloat16."
    if isinstance(error, OSError):
        place = error.filename or "a file"
        return f"{place}: {error.strerror or reason}. Check the path and its rights."
    return (
        f"{type(error).__name__}: {reason}. This case was not foreseen: run again with --debug to see where it "
        "comes from, and report it. Finished parts are kept."
    )


app = typer.Typer(
    cls=GuardedGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Does a language model represent emotion as people do? Start with: emospace study --out runs/first",
)


def _version(wanted: bool) -> None:
    if wanted:
        import emospace

        typer.echo(f"emospace {emospace.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    debug: Annotated[  # noqa: ARG001
        bool, typer.Option("--debug", help="Show the traceback of an error.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the log.")] = False,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if verbose:
        import logging

        logging.basicConfig(
            level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
        )


def main() -> None:
    """Run the command line; warnings of libraries go to the log, which ``--verbose`` shows."""
    import logging

    logging.captureWarnings(True)
    app(prog_name="emospace")
