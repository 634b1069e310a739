"""What a section of the page is made of: prose, figures, tables, cards, reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

Subject = TypeVar("Subject")


@dataclass(frozen=True)
class Chart:
    """A plotly figure as plain JSON; colours are written ``var(--name)`` and resolved on the page.

    ``variants`` holds one or several drawings of the same axes (concept words in or out); ``shape`` is
    "flow" (fixed height) or "square" (plotting area as high as wide); ``options`` go to the page's script,
    labels to place among them unless a variant has its own.
    """

    variants: Mapping[str, Mapping[str, Any]]
    height: int = 360
    shape: str = "flow"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Panel:
    """A figure with what a reader needs beside it: heading, caption, and words for who cannot see it."""

    key: str
    heading: str
    caption: str
    alt: str
    chart: Chart


@dataclass(frozen=True)
class Figures:
    """Panels in a grid; ``switch`` offers their variants as (key, label) pairs, as a list where they are many."""

    panels: Sequence[Panel]
    columns: int = 2
    heading: str = ""
    switch: Sequence[tuple[str, str]] = ()
    switch_label: str = ""
    group: str = ""
    kind: str = "figures"


@dataclass(frozen=True)
class Cell:
    """A table cell: its text, a number to sort by, the language of the text, a note shown on hover."""

    text: str
    value: float | None = None
    lang: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Table:
    """A captioned table; ``numeric`` names the columns set flush right, ``wrap`` those of free text.

    ``search`` adds a filter row; the first column is offered as a choice; ``brief`` holds, per row, whether print keeps it.
    """

    key: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: Sequence[str] = ()
    wrap: Sequence[str] = ()
    heading: str = ""
    search: str = ""
    brief: Sequence[bool] = ()
    strong: Sequence[bool] = ()
    kind: str = "table"


@dataclass(frozen=True)
class Meter:
    """One line of a card: the figure with its interval, n and the baselines beside it."""

    label: str
    value: str
    detail: str
    beside: str
    fill: float
    ticks: Sequence[tuple[float, str]] = ()


@dataclass(frozen=True)
class Card:
    """A key figure, one meter per language; a ``compact`` card keeps what stands beside a figure for hovering."""

    title: str
    meters: Sequence[Meter]
    compact: bool = False


@dataclass(frozen=True)
class Cards:
    """The key figures."""

    cards: Sequence[Card]
    kind: str = "cards"


@dataclass(frozen=True)
class Prose:
    """Paragraphs."""

    paragraphs: Sequence[str]
    role: str = "text"
    kind: str = "prose"


@dataclass(frozen=True)
class Facts:
    """Named values."""

    heading: str
    facts: Sequence[tuple[str, str]]
    code: Sequence[str] = ()
    kind: str = "facts"


@dataclass(frozen=True)
class Reason:
    """Why a part of a section is not given."""

    what: str
    why: str
    kind: str = "reason"


@dataclass(frozen=True)
class Code:
    """A command to copy."""

    text: str
    heading: str = ""
    kind: str = "code"


@dataclass(frozen=True)
class Option:
    """One choice of several: its key, its name and what it shows."""

    key: str
    label: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Choice:
    """Blocks of which one set is shown at a time; choices of one ``group`` change together."""

    label: str
    options: Sequence[Option]
    group: str = "language"
    kind: str = "choice"


@dataclass(frozen=True)
class Fold:
    """Blocks that are shown when asked for."""

    title: str
    blocks: Sequence[Block]
    kind: str = "fold"


Block = Figures | Table | Cards | Prose | Facts | Reason | Code | Choice | Fold


def flat(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield blocks and all that they hold."""
    for block in blocks:
        yield block
        if isinstance(block, Choice):
            for option in block.options:
                yield from flat(option.blocks)
        elif isinstance(block, Fold):
            yield from flat(block.blocks)


@dataclass(frozen=True)
class Section:
    """A numbered section: its anchor, its title, its name in the navigation and its blocks."""

    key: str
    title: str
    short: str
    blocks: Sequence[Block]


Part = tuple[str, str, str, Callable[[Subject], Iterator[Block]]]
"""Anchor, title and short title of a section, and what yields its blocks."""


def build_sections(subject: Subject, parts: Iterable[Part[Subject]]) -> tuple[Section, ...]:
    """Return the sections of a run or a comparison in reading order."""
    return tuple(Section(key, title, short, tuple(build(subject))) for key, title, short, build in parts)
