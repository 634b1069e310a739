"""The one way to the terminal: rich bars and tables on a terminal, plain lines everywhere else.

Stages call `progress` for long loops and `say` for results; they never print. ``logging`` is for what a
user need not see.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")


class Advance(Protocol):
    """Tell a progress bar that `steps` more steps are done."""

    def __call__(self, steps: float = 1) -> None: ...


def is_terminal() -> bool:
    """Return whether a person watches the error stream."""
    return sys.stderr.isatty()


@contextmanager
def progress(title: str, total: float, unit: str = "") -> Iterator[Advance]:
    """Show how far a long step is: a bar with ETA on a terminal, at most one line in ten seconds elsewhere."""
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
    """Write one line for the user to the error stream."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table to the output stream: drawn by rich on a terminal, tab-separated elsewhere."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        drawn = Table(title=title, title_justify="left", header_style="bold")
        for column in columns:
            drawn.add_column(column)
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
