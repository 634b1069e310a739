"""The root of the command line: flags of every command, and the one place where errors become messages."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from emospace.display import output, say
from emospace.errors import EmospaceError

ANYWHERE = ("--debug", "--verbose", "--quiet", "--json")
UNFORESEEN, WRONG_INPUT, INTERRUPTED, CLOSED_PIPE = 1, 2, 130, 141


class GuardedGroup(TyperGroup):
    """A group of commands that turns what goes wrong into one message on the error stream and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Accept the flags of `ANYWHERE` after a command's name too."""
        flags = [arg for arg in args if arg in ANYWHERE]
        return super().parse_args(ctx, [*flags, *(arg for arg in args if arg not in ANYWHERE)])

    def invoke(self, ctx: Any) -> Any:
        """Run the command named; every error but the parser's own becomes a message."""
        try:
            with output(quiet=ctx.params["quiet"], as_json=ctx.params["json"]):
                result = super().invoke(ctx)
            # Here a closed pipe is noticed; at the interpreter's end it would be a traceback.
            sys.stdout.flush()
            return result
        except (typer.Exit, typer.Abort):
            raise
        except BrokenPipeError:
            # What is still buffered has no reader (`head` has left) and goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(CLOSED_PIPE) from None
        except KeyboardInterrupt:
            say("Interrupted. Finished parts are kept: the same command goes on where it stopped.")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            # The parser prints its own usage errors, with the command they belong to.
            if hasattr(error, "format_message"):
                raise
            if ctx.params["debug"]:
                import traceback

                traceback.print_exc()
            text, code = message(error)
            say(f"Error: {text}")
            raise typer.Exit(code) from error


def message(error: Exception) -> tuple[str, int]:
    """Return what a user reads of an error (what, why, and what to do about it) and the exit code."""
    if isinstance(error, EmospaceError):
        return str(error), WRONG_INPUT
    reason = str(error).strip()
    reason = reason.splitlines()[0][:300] if reason else "no further word"
    if "No space left on device" in str(error):
        hint = "Free some space and run the same command again: finished parts are kept."
        return f"{reason}: the disk is full. {hint}", WRONG_INPUT
    if isinstance(error, MemoryError):
        hint = "Use a smaller model or --dtype bfloat16."
        return f"memory ran out: the model or its batch does not fit. {hint}", WRONG_INPUT
    if isinstance(error, OSError):
        place = error.filename or "a file"
        return f"{place}: {error.strerror or reason}. Check the path and its permissions.", WRONG_INPUT
    return (
        f"{type(error).__name__}: {reason}. This case was not foreseen: run again with --debug to see where it "
        "comes from, and report it. Finished parts are kept."
    ), UNFORESEEN


app = typer.Typer(
    cls=GuardedGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Does a language model represent emotion as people do? Start with: emospace study --out runs/first",
    epilog=f"{', '.join(ANYWHERE)} may stand after a command too. Exit codes: 0 fine, 1 unforeseen failure, "
    f"2 an input or a machine that cannot be used, {INTERRUPTED} interrupted, {CLOSED_PIPE} nobody reads the output.",
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
    quiet: Annotated[  # noqa: ARG001
        bool, typer.Option("--quiet", help="Show results and errors alone.")
    ] = False,
    json: Annotated[  # noqa: ARG001
        bool, typer.Option("--json", help="Write results as one JSON document: tables, texts, files written.")
    ] = False,
    version: Annotated[  # noqa: ARG001
        bool,
        typer.Option("--version", "-V", callback=_version, is_eager=True, help="Show the version and exit."),
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
