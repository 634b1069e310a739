"""Sections of a ratings file: blocks of rows, each under a heading, that rate the same words again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from emospace.errors import EmospaceError
from emospace.norms.formats import Grid
from emospace.norms.headers import parse_header
from emospace.norms.reading import clean_word
from emospace.norms.recognising import Recognised

MOST_SECTIONS = 50
AGAIN = 0.5


@dataclass
class _Section:
    name: str
    rows: list[int] = field(default_factory=list)
    words: set[str] = field(default_factory=set)


def first_section(grid: Grid, found: Recognised, what: str) -> tuple[Grid, str]:
    """Return the grid without the sections that rate the same words again, and in words which were passed over.

    A row of one cell, or the header once more, begins a section if at least half of the words below it came before.
    The section of the whole sample is taken, else the first; a grid without sections is returned as it is.

    Raises
    ------
    EmospaceError
        If every section is of a part of the sample (men, women).
    """
    sections = _sections(grid, found)
    if len(sections) < 2:
        return grid, ""
    names = [section.name or "without a heading" for section in sections]
    said = [parse_header(section.name) for section in sections]
    whole = [i for i, header in enumerate(said) if header.whole]
    if not whole and all(header.group for header in said):
        raise EmospaceError(
            what,
            f"its {len(sections)} sections rate the same words, each by a part of the sample: {', '.join(names)}",
            "Give a file of the section to use; a part is never taken for the whole.",
        )
    at = whole[0] if whole else 0
    passed = ", ".join(
        f"'{name}' ({len(section.rows):,} rows)"
        for i, (name, section) in enumerate(zip(names, sections, strict=True))
        if i != at
    )
    kept = [*range(found.first_row), *sections[at].rows]
    section = replace(grid, rows=[grid.rows[i] for i in kept], numbers=[grid.numbers[i] for i in kept])
    return section, f"section '{names[at]}' of the file taken, passed over: {passed}"


def _sections(grid: Grid, found: Recognised) -> list[_Section]:
    headings = {
        i: name
        for i, row in enumerate(grid.rows[found.first_row :], found.first_row)
        if (name := _heading(row, found.headers)) is not None
    }
    if not headings:
        return []
    blocks = [_Section("")]
    at = found.columns["word"]
    for i in range(found.first_row, len(grid.rows)):
        if i in headings:
            # The header once more belongs to the heading above it.
            blocks.append(_Section(headings[i] or ("" if blocks[-1].rows else blocks[-1].name)))
            continue
        row = grid.rows[i]
        blocks[-1].rows.append(i)
        blocks[-1].words.add(clean_word(row[at]) if at < len(row) else "")
    blocks = [block for block in blocks if block.rows]
    if not 1 < len(blocks) <= MOST_SECTIONS:
        return []
    sections = [blocks[0]]
    for block in blocks[1:]:
        last = sections[-1]
        if len(block.words & last.words) >= AGAIN * len(block.words):
            sections.append(block)
        else:
            last.rows += block.rows
            last.words |= block.words
    return sections


def _heading(row: Sequence[str], headers: tuple[str, ...]) -> str | None:
    """Return the one cell of a row that may be a heading, nothing for the header once more, None for other rows."""
    filled = [cell.strip() for cell in row if cell.strip()]
    if len(filled) == 1 and len(headers) > 2:
        return filled[0]
    return "" if tuple(cell.strip() for cell in row) == headers else None
