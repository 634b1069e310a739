"""The one way to the terminal: rich bars and tables on a terminal, plain lines everywhere else.

Stages call `progress` for long loops and `say` for results; they never print. ``logging`` is for what a
user need not see.
"""

from __future__ import annotations

import math
import operator
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


PICTURES = "emospace.report.pictures"
"""What draws objects of lower layers, by name: they import nothing of the report, and it loads when one is shown."""


class Pictured:
    """What shows itself in a notebook, drawn as the report's charts are."""

    def plot(self) -> Any:
        """Return a matplotlib figure of it."""
        return import_module(PICTURES).plot(self)

    def _repr_html_(self) -> str:
        return str(import_module(PICTURES).html(self))


@dataclass(frozen=True)
class Output:
    """How much is written, and the JSON document that takes the results in place of the terminal."""

    quiet: bool = False
    document: dict[str, Any] | None = None


_output = Output()


@contextmanager
def output(*, quiet: bool = False, as_json: bool = False) -> Iterator[None]:
    """Say within it as little as possible, or write results at its end as one JSON document."""
    global _output
    before = _output
    document: dict[str, Any] | None = {} if as_json else None
    _output = Output(quiet, document)
    try:
        yield
    finally:
        _output = before
    if document is not None:
        import json

        from emospace.artefacts import jsonable

        sys.stdout.write(json.dumps(jsonable(document), ensure_ascii=False, indent=1) + "\n")


def shows_colour() -> bool:
    """Return whether results go to a terminal."""
    return sys.stdout.isatty() and _output.document is None


def add_result(name: str, value: Any) -> bool:
    """Add a result to the JSON document; return whether there is one."""
    if _output.document is not None:
        _output.document[name] = value
    return _output.document is not None


def written(kind: str, path: Path) -> None:
    """Name a file that a command wrote."""
    say(f"{kind}: {path}")
    if _output.document is not None:
        _output.document.setdefault("files", []).append({"kind": kind.lower(), "path": str(path)})


class Advance(Protocol):
    """Tell a progress bar that `steps` more steps are done."""

    def __call__(self, steps: float = 1) -> None: ...


def is_terminal() -> bool:
    """Return whether a person watches the error stream."""
    return sys.stderr.isatty()


@contextmanager
def progress(title: str, total: float, unit: str = "") -> Iterator[Advance]:
    """Show how far a long step is: a bar with ETA on a terminal, at most one line in ten seconds elsewhere."""
    if _output.quiet:
        yield lambda steps=1: None  # noqa: ARG005
        return
    if is_terminal():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        bar = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        with bar:
            task = bar.add_task(title, total=total)
            yield lambda steps=1: bar.advance(task, steps)
        return

    done, start, last = 0.0, time.monotonic(), time.monotonic()

    def advance(steps: float = 1) -> None:
        nonlocal done, last
        done += steps
        now = time.monotonic()
        if now - last >= 10 and done < total:
            left = (now - start) / done * (total - done) if done else 0.0
            say(f"{title}: {done:,.0f} of {total:,.0f} {unit}, about {left:.0f} s left")
            last = now

    yield advance


def track(items: Sequence[T], title: str, unit: str = "") -> Iterator[T]:
    """Yield the items of a sequence under a progress bar."""
    with progress(title, len(items), unit) as advance:
        for item in items:
            yield item
            advance()


def say(line: str) -> None:
    """Write one line for the user to the error stream, unless it is to be quiet."""
    if _output.quiet:
        return
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def remark(line: str) -> None:
    """Write one line about a result to the error stream, dim on a terminal."""
    say(f"\x1b[2m{line}\x1b[0m" if is_terminal() else line)


def texts(streams: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Write texts to the output stream as they come, and return them whole.

    On a terminal they grow side by side in columns, a piece of each in turn; elsewhere they follow one another, each
    under its heading as a plain line.
    """
    if _output.document is not None:
        whole = {heading: "".join(pieces) for heading, pieces in streams.items()}
        add_result("texts", whole)
        return whole
    if shows_colour():
        return _side_by_side(streams)
    whole = {}
    for heading, pieces in streams.items():
        sys.stdout.write(f"# {heading}\n")
        whole[heading] = ""
        for piece in pieces:
            whole[heading] += piece
            sys.stdout.write(piece)
            sys.stdout.flush()
        sys.stdout.write("\n\n")
    return whole


def _side_by_side(streams: Mapping[str, Iterable[str]]) -> dict[str, str]:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    whole = dict.fromkeys(streams, "")
    running = {heading: iter(pieces) for heading, pieces in streams.items()}

    def drawn() -> Table:
        grid = Table(box=None, padding=(0, 2, 0, 0), expand=True, header_style="bold")
        for heading in whole:
            grid.add_column(Text(heading), ratio=1, overflow="fold")
        # A generated escape character would command the terminal.
        grid.add_row(*(Text(text.replace("\x1b", "")) for text in whole.values()))
        return grid

    with Live(drawn(), console=Console(), refresh_per_second=12, vertical_overflow="visible") as live:
        while running:
            for heading in list(running):
                piece = next(running[heading], None)
                if piece is None:
                    del running[heading]
                else:
                    whole[heading] += piece
            live.update(drawn())
    return whole


Get = str | Callable[[Any], Any]
"""A field of a row (a record or a mapping), or a function of the row."""


def get_value(row: Any, get: Get) -> Any:
    """Return a field of a row, None where it is missing or not finite."""
    if isinstance(get, str):
        get = operator.methodcaller("get", get) if isinstance(row, Mapping) else operator.attrgetter(get)
    value = get(row)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def bare(columns: Mapping[str, Get], rows: Iterable[Any]) -> tuple[list[str], list[list[Any]]]:
    """Return names of columns and the values of rows as they are, for the terminal and Markdown."""
    return list(columns), [[get_value(row, get) for get in columns.values()] for row in rows]


def between(low: str = "ci_low", high: str = "ci_high", digits: int = 2) -> Callable[[Any], str | None]:
    """Return what gives an interval in plain figures, or None where a bound is not known."""

    def write(row: Any) -> str | None:
        ends = [get_value(row, low), get_value(row, high)]
        return None if None in ends else " to ".join(f"{end:.{digits}f}" for end in ends)

    return write


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table to the output stream: drawn by rich on a terminal, tab-separated elsewhere."""
    if _output.document is not None:
        shown = {"title": title, "columns": list(columns), "rows": [list(row) for row in rows]}
        _output.document.setdefault("tables", []).append(shown)
        return
    if shows_colour():
        from rich.console import Console
        from rich.table import Table

        drawn = Table(title=title, title_justify="left", header_style="bold")
        for place, column in enumerate(columns):
            # A row is known by its first column, which is copied into the next command.
            drawn.add_column(column, overflow="fold", no_wrap=place == 0)
        for row in rows:
            drawn.add_row(*(_cell(value) for value in row))
        Console().print(drawn)
        return
    lines = [f"# {title}", "\t".join(columns), *("\t".join(_cell(value) for value in row) for row in rows)]
    sys.stdout.write("\n".join(lines) + "\n")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


@contextmanager
def quiet_bars() -> Iterator[None]:
    """Keep the progress bars of `transformers` and of the hub off a stream that is no terminal."""
    from transformers.utils import logging as theirs

    shown = theirs.is_progress_bar_enabled()
    if is_terminal() or not shown:
        yield
        return
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        theirs.enable_progress_bar()
