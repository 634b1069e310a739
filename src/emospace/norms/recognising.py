"""Which layout a grid of cells has, and where its columns lie."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from emospace.errors import EmospaceError, unknown
from emospace.norms import layouts
from emospace.norms.cells import as_number, is_number
from emospace.norms.columns import RatingsTable, choose_columns
from emospace.norms.grids import Grid
from emospace.norms.headers import language_names, parse_header, plain
from emospace.norms.layouts import HEADERS_ALONE, Layout
from emospace.norms.word_norms import TARGETS

HEADER_SEARCH = 12
"""First rows of a grid among which its header is looked for."""

Rows = Sequence[Sequence[str]]
HeaderAt = Callable[[int, int], tuple[tuple[str, ...], list[str], int]]


def recognise(grid: Grid, card: Mapping[str, Any]) -> RatingsTable | None:
    """Return a grid with the columns of the first layout it fits, one of `LAYOUTS` or what its headers say.

    Parameters
    ----------
    card
        ``columns``, ``layout``, ``language``, ``script`` and ``targets`` are read here: columns that are given are not
        looked for, and a layout that is given is the only one tried.

    Raises
    ------
    EmospaceError
        If there is no such layout, or no such column as the card names.
    """
    rows, named = grid.rows, card.get("layout", "")
    known = [entry for entry in layouts.LAYOUTS if not named or entry.name == named]
    if not known:
        raise unknown("layout", named, sorted({entry.name for entry in layouts.LAYOUTS} - {""}))
    if table := _by_number(grid, card, 1) or _published_headless(grid, card, known):
        return table
    header_at: HeaderAt = cache(lambda start, n: _header(rows, start, n))
    starts = range(min(HEADER_SEARCH, len(rows)))
    tried = [(entry, start) for start in starts for entry in known if named or not entry.by_name]
    for start in starts if not named else ():
        two_rows = [Layout("", header_rows=2)] if _is_second_header(rows, start) else []
        tried += [(entry, start) for entry in (*two_rows, HEADERS_ALONE)]
    for entry, start in tried:
        if table := _fit(entry, grid, start, header_at, card):
            n_names, width = len(table.headers), _width(table.rows)
            if width <= n_names:
                return table
            if table := _by_number(grid, card, HEADER_SEARCH):
                return table
            raise _short_header(grid.source, n_names, width)
    if table := _by_number(grid, card, HEADER_SEARCH):
        return table
    if len(rows) > 2 and len(rows[0]) > 1 and not any(map(is_number, rows[0])):
        width = _width(rows[1:])
        full = [len(row) >= width and any(map(is_number, row)) for row in rows[1:1000]]
        if width > len(rows[0]) and sum(full) >= 0.9 * len(full):
            raise _short_header(grid.source, len(rows[0]), width)
    for start in starts if not named else ():
        if table := _fit(HEADERS_ALONE, grid, start, header_at, card, ask_word=True):
            return table
    _refuse_missing(grid, card.get("columns", {}))
    return None


def join_headers(rows: Rows) -> tuple[str, ...]:
    """Return the headers of one row, or of two rows as ``upper: lower`` with the upper name carried right."""
    if len(rows) == 1:
        return tuple(cell.strip() for cell in rows[0])
    width = max(map(len, rows))
    upper, lower = ([cell.strip() for cell in row] + [""] * (width - len(row)) for row in rows)
    headers, block = [], ""
    for above, below in zip(upper, lower, strict=True):
        block = above or block
        headers.append(f"{block}: {below}" if block and below else block if above else below)
    return tuple(headers)


def looks_headless(rows: Rows, layout: Layout) -> bool:
    """Return whether the first rows have the columns of a layout published without a header row."""
    first = rows[:HEADER_SEARCH]
    return bool(layout.headless and first) and all(
        len(row) == len(layout.headless) and not is_number(row[0]) and all(map(is_number, row[1:]))
        for row in first
    )


def _fit(
    layout: Layout,
    grid: Grid,
    start: int,
    header_at: HeaderAt,
    card: Mapping[str, Any],
    *,
    ask_word: bool = False,
) -> RatingsTable | None:
    """Return the columns of a layout whose header begins at a row, or None if it is not there."""
    rows, given, language = grid.rows, card.get("columns", {}), card.get("language", "")
    if layout.header and tuple(cell.strip() for cell in rows[start]) != layout.header:
        return None
    if start + layout.header_rows > len(rows) or (language and layout.language not in ("", language)):
        return None
    headers, names, first_row = header_at(start, layout.header_rows)
    if not set(layout.requires) <= set(names):
        return None
    full = [plain(header) for header in headers]
    columns: dict[str, int] = {}
    for key, header in given.items():
        at = _place(header, full)
        if at is None and (at := _place(header, names)) is None:
            return None
        columns[key] = at
    language, word_language = language or layout.language, ""
    if "word" in layout.columns and "word" not in columns:
        word = _first(layout.columns["word"], names, f"(?P<language>{'|'.join(language_names())})")
        if word is None:
            return None
        columns["word"], word_language = word
        language = language or language_names().get(word_language, "")
    for key, patterns in layout.columns.items():
        if key not in columns and (match := _first(patterns, names, re.escape(word_language))):
            columns[key] = match[0]
    unread = RatingsTable(
        grid, headers, first_row, columns, layout, language, card.get("script", ""), frozenset(given)
    )
    table = choose_columns(unread, card.get("targets", TARGETS), ask_word=ask_word)
    if table is None or not set(layout.holds) <= {cell.strip().rstrip("*") for cell in table.words}:
        return None
    return table if not layout.on_scale or _lies_on_scale(table) else None


def _header(rows: Rows, start: int, n: int) -> tuple[tuple[str, ...], list[str], int]:
    """Return the headers of a table, the names a layout knows its columns by, and where its data start.

    A row of block names above ("All", "Females") and a row of a few units below belong to the header. The columns of
    the whole sample then keep the names the layout was published with.
    """
    headers = join_headers(rows[start : start + n])
    if n == 2:
        return headers, [plain(header) for header in headers], start + 2
    published = headers
    if start and _names_blocks(rows[start - 1], rows[start]):
        headers = join_headers(rows[start - 1 : start + 1])
    below = _is_second_half(rows, start)
    if below:
        units = dict(enumerate(cell.strip() for cell in rows[start + 1]))
        headers = tuple(
            f"{header}: {units[at]}" if units.get(at) else header for at, header in enumerate(headers)
        )
    names = [
        plain(header if parse_header(header).group else published[at] if at < len(published) else "")
        for at, header in enumerate(headers)
    ]
    return headers, names, start + 1 + below


def _names_blocks(above: Sequence[str], row: Sequence[str]) -> bool:
    """Return whether a row above the header names the whole sample or parts of it, and nothing else in most columns."""
    cells = [cell for cell in above if cell.strip()]
    blocks = any((h.whole or h.group) and not (h.targets or h.word) for h in map(parse_header, cells))
    return blocks and 2 * len(cells) < sum(bool(cell.strip()) for cell in row)


def _is_second_half(rows: Rows, start: int) -> bool:
    """Return whether the row below the header says more of a few columns: no number, no first cell, few cells."""
    if start + 2 >= len(rows):
        return False
    header, below, data = (
        [at for at, cell in enumerate(row) if cell.strip()] for row in rows[start : start + 3]
    )
    few = 0 < len(below) <= len(header) / 3 and len(below) <= len(data) / 3
    texts = not any(is_number(rows[start + 1][at]) for at in below)
    return bool(few and texts and header and data and header[0] <= data[0] < below[0])


def _is_second_header(rows: Rows, start: int) -> bool:
    """Return whether the row below is a header too: no number in it, and at least two statistics or ratings."""
    cells = [cell for cell in rows[start + 1] if cell.strip()] if start + 1 < len(rows) else []
    names = sum(bool(h.statistics or h.targets) and not h.unknown for h in map(parse_header, cells))
    return names >= 2 and not any(map(is_number, cells))


def _first(patterns: str | Sequence[str], names: Sequence[str], language: str) -> tuple[int, str] | None:
    """Return the first column a pattern fits, and the name of the language in its header."""
    for pattern in (patterns,) if isinstance(patterns, str) else patterns:
        if "<language>" in pattern and not language:
            continue
        for at, name in enumerate(names):
            if match := re.fullmatch(pattern.replace("<language>", language), name):
                return at, match.groupdict().get("language") or ""
    return None


def _number(header: str) -> int | None:
    """Return the column that ``#3`` stands for, from 0."""
    match = re.fullmatch(r"#(\d+)", header.strip())
    return int(match[1]) - 1 if match else None


def _place(header: str, names: Sequence[str]) -> int | None:
    number = _number(header)
    if number is not None:
        return number if 0 <= number < len(names) else None
    return names.index(plain(header)) if plain(header) in names else None


def _by_number(grid: Grid, card: Mapping[str, Any], n: int) -> RatingsTable | None:
    """Return columns all given by number, their data from the first of `n` rows with a number for each rating."""
    given = card.get("columns", {})
    columns = {key: number for key, header in given.items() if (number := _number(header)) is not None}
    rated = [at for key, at in columns.items() if key in TARGETS]
    if len(columns) < len(given) or "word" not in columns or not rated or min(columns.values()) < 0:
        return None
    for first, row in enumerate(grid.rows[:n]):
        if all(at < len(row) and is_number(row[at]) for at in rated):
            headers = _numbered(_width(grid.rows[first:]))
            return RatingsTable(grid, headers, first, columns, given=frozenset(given))
    return None


def _published_headless(grid: Grid, card: Mapping[str, Any], known: Sequence[Layout]) -> RatingsTable | None:
    """Return a layout published without a header row, known by its shape and words, or by its shape if named."""
    for entry in known if not card.get("columns") else ():
        if not looks_headless(grid.rows, entry) or card.get("language", "") not in ("", entry.language):
            continue
        columns = {key: at for at, key in enumerate(entry.headless)}
        table = RatingsTable(grid, _numbered(len(columns)), 0, columns, entry, entry.language)
        held = set(entry.holds) <= {cell.strip() for cell in table.cells(0)}
        if (held or card.get("layout")) and _lies_on_scale(table):
            return table
    return None


def _numbered(width: int) -> tuple[str, ...]:
    return tuple(f"#{at + 1}" for at in range(width))


def _width(rows: Rows) -> int:
    """Return how many cells most rows have, up to the last that is not empty."""
    widths = Counter(
        max((at for at, cell in enumerate(row, 1) if cell.strip()), default=0) for row in rows[:1000]
    )
    return max(widths, key=lambda width: (widths[width], width), default=0)


def _lies_on_scale(table: RatingsTable) -> bool:
    """Return whether 95% of the ratings that are numbers lie on the scale of the layout."""
    on_scale = [
        scale[0] <= number <= scale[1]
        for target in table.rated
        if (scale := table.layout.scale_of(target))
        for cell in table.cells(table.columns[target])
        if (number := as_number(cell)) is not None
    ]
    return sum(on_scale) >= 0.95 * len(on_scale) > 0


def _short_header(source: str, names: int, width: int) -> EmospaceError:
    return EmospaceError(
        source,
        f"its header names {names} columns and its rows have {width} cells, so that nobody can tell which is which",
        "Add the missing name to the header, or give every column by its number in the rows: --column word=#1 "
        "--column valence=#3. If numbers have decimal commas, separate the cells by semicolons or tabs.",
    )


def _refuse_missing(grid: Grid, given: Mapping[str, str]) -> None:
    """Refuse columns a user named that no header has."""
    rows = grid.rows[:HEADER_SEARCH]
    names = {plain(cell) for row in rows for cell in row}
    for header in given.values() if rows else ():
        number, width = _number(header), max(map(len, rows))
        if number is not None and not 0 <= number < width:
            raise EmospaceError(grid.source, f"it has no column {header}", f"It has {width} columns.")
        if number is None and ":" not in header and plain(header) not in names:
            shown = ", ".join(cell.strip() for cell in rows[0][:30]) or "none"
            raise EmospaceError(grid.source, f"it has no column '{header}'", f"Its columns: {shown}.")
