"""Which layout a grid of cells has, and where its columns lie."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emospace.errors import EmospaceError, unknown
from emospace.norms import layouts
from emospace.norms.columns import Choice, choose_columns
from emospace.norms.headers import language_names, parse_header, plain
from emospace.norms.layouts import Layout, Patterns
from emospace.norms.numbers import is_number, written_plainly
from emospace.norms.questions import OpenQuestion
from emospace.norms.word_norms import TARGETS

HEADER_SEARCH = 12
COLUMN_KEYS = ("word", *(target + suffix for target in TARGETS for suffix in ("", "_sd", "_n")))


@dataclass(frozen=True)
class Recognised:
    """A layout found in a grid of cells: which column is what, and the row its data start at (from 0).

    Parameters
    ----------
    headers
        Header of each column, ``upper: lower`` of two rows.
    scales, script, reversed
        As headers name them.
    near
        Headers that name a rating nobody chose, with a word nothing is known of.
    said
        Keys of the columns a user named.
    questions
        What the headers leave open.
    """

    layout: Layout
    columns: Mapping[str, int]
    first_row: int
    language: str = ""
    headers: tuple[str, ...] = ()
    scales: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    script: str = ""
    near: tuple[str, ...] = ()
    said: frozenset[str] = frozenset()
    reversed: Mapping[str, bool] = field(default_factory=dict)
    questions: tuple[OpenQuestion, ...] = ()


def recognise(
    rows: Sequence[Sequence[str]],
    *,
    what: str = "the file",
    said: Mapping[str, str] | None = None,
    layout: str = "",
    language: str = "",
    script: str = "",
    targets: Sequence[str] = TARGETS,
) -> Recognised | None:
    """Return the first layout the first rows of a grid of cells fit: one of `LAYOUTS`, or what the headers say.

    Parameters
    ----------
    said
        Column -> its header, or ``#3`` for the third; the others are looked for.
    layout
        Take this layout of `LAYOUTS` and no other.
    language, script
        What is known of the words.
    targets
        The ratings wanted.

    Raises
    ------
    EmospaceError
        If there is no such layout, or no such column as `said` names.
    """
    said = said or {}
    for key in said:
        if key not in COLUMN_KEYS:
            raise unknown("column", key, COLUMN_KEYS)
    known = layouts.LAYOUTS
    if layout:
        known = [entry for entry in known if entry.name == layout]
        if not known:
            raise unknown("layout", layout, sorted({entry.name for entry in layouts.LAYOUTS} - {""}))
    about: dict[str, Any] = {"what": what, "said": said, "language": language, "script": script}
    about["targets"] = targets
    starts = range(min(HEADER_SEARCH, len(rows)))
    headless = _headless(rows, said, 1) or _published_headless(rows, said, known, layout, language)
    if headless:
        return headless
    for start in starts:
        for entry in known:
            if (layout or not entry.by_name) and (found := _fit(entry, rows, start, **about)):
                return _under_whole_header(found, rows, said, what)
    for start in starts if not layout else ():
        for n in (2, 1) if _is_second_header(rows, start) else (1,):
            if found := _fit(Layout("", header_rows=n), rows, start, **about):
                return _under_whole_header(found, rows, said, what)
    if below := _headless(rows, said, HEADER_SEARCH):
        return below
    _refuse_short_header(rows, what)
    for start in starts if not layout else ():
        if found := _fit(Layout(""), rows, start, **about, ask_word=True):
            return found
    if said and rows:
        _refuse_missing(rows, said, what)
    return None


def join_headers(rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the headers of one row, or of two rows as ``upper: lower`` with the upper name carried right."""
    if len(rows) == 1:
        return tuple(cell.strip() for cell in rows[0])
    upper, lower = rows
    headers, block = [], ""
    for i in range(max(len(upper), len(lower))):
        above = upper[i].strip() if i < len(upper) else ""
        below = lower[i].strip() if i < len(lower) else ""
        block = above or block
        headers.append(f"{block}: {below}" if block and below else block if above else below)
    return tuple(headers)


def _fit(
    layout: Layout,
    rows: Sequence[Sequence[str]],
    start: int,
    *,
    what: str,
    said: Mapping[str, str],
    language: str,
    script: str,
    targets: Sequence[str],
    ask_word: bool = False,
) -> Recognised | None:
    if layout.header and tuple(cell.strip() for cell in rows[start]) != layout.header:
        return None
    if start + layout.header_rows > len(rows):
        return None
    headers, names, first = _headers(rows, start, layout.header_rows)
    if not set(layout.requires) <= set(names):
        return None
    full = [plain(header) for header in headers]
    given = {
        key: place if (place := _place(header, full)) is not None else _place(header, names)
        for key, header in said.items()
    }
    if None in given.values():
        return None
    if language and layout.language and language != layout.language:
        return None
    own = {key: at for key, at in given.items() if at is not None}
    language = language or layout.language
    if "word" in layout.columns and "word" not in own:
        word = _first(layout.columns["word"], names)
        if word is None:
            return None
        own["word"], named = word
        language = language or language_names().get(named, "")
        of = named
    else:
        of = ""
    for key, patterns in layout.columns.items():
        if key not in own and (at := _first(patterns, names, of)):
            own[key] = at[0]
    choice: Choice | None = choose_columns(
        headers,
        rows[first:],
        what=what,
        language=language,
        script=script,
        said=own,
        targets=targets,
        ask_word=ask_word,
    )
    if choice is None:
        return None
    found = Recognised(
        layout,
        {
            key: at
            for key, at in choice.columns.items()
            if key == "word" or key.partition("_")[0] in choice.columns
        },
        first,
        layout.language or choice.language or language,
        headers,
        choice.scales,
        choice.script,
        tuple(headers[at] for at in choice.near),
        frozenset(said),
        choice.reversed,
        choice.questions,
    )
    if layout.holds:
        words = {row[found.columns["word"]].strip().rstrip("*") for row in rows[first:] if row}
        if not set(layout.holds) <= words:
            return None
    return found if not layout.on_scale or _lies_on(layout, found, rows) else None


def _headers(rows: Sequence[Sequence[str]], start: int, n: int) -> tuple[tuple[str, ...], list[str], int]:
    """Return the headers of a table, the names a layout knows its columns by, and where its data start.

    A row of block names above ("All", "Females") and a row of a few units below belong to the header. The columns of
    the whole sample then keep the names the layout was published with.
    """
    if n == 2:
        headers = join_headers(rows[start : start + 2])
        return headers, [plain(header) for header in headers], start + 2
    own = join_headers(rows[start : start + 1])
    headers = own
    if start and _names_blocks(rows[start - 1], rows[start]):
        headers = join_headers(rows[start - 1 : start + 1])
    below = _is_second_half(rows, start)
    if below:
        units = rows[start + 1]
        headers = tuple(
            f"{header}: {units[at].strip()}" if at < len(units) and units[at].strip() else header
            for at, header in enumerate(headers)
        )
    names = [
        plain(header) if parse_header(header).group else plain(own[at]) if at < len(own) else ""
        for at, header in enumerate(headers)
    ]
    return headers, names, start + (2 if below else 1)


def _names_blocks(above: Sequence[str], row: Sequence[str]) -> bool:
    """Return whether a row above the header names the whole sample or parts of it, and nothing else in most columns."""
    cells = [cell for cell in above if cell.strip()]
    said = [parse_header(cell) for cell in cells]
    blocks = any((h.whole or h.group) and not (h.targets or h.word) for h in said)
    return blocks and 2 * len(cells) < sum(bool(cell.strip()) for cell in row)


def _is_second_half(rows: Sequence[Sequence[str]], start: int) -> bool:
    """Return whether the row below the header says more of a few columns: no number, no first cell, few cells."""
    if start + 2 >= len(rows):
        return False
    header, below, data = (
        [at for at, cell in enumerate(row) if cell.strip()] for row in rows[start : start + 3]
    )
    few = 0 < len(below) <= len(header) / 3 and len(below) <= len(data) / 3
    texts = not any(is_number(rows[start + 1][at]) for at in below)
    return bool(few and texts and header and data and header[0] <= data[0] < below[0])


def _first(patterns: Patterns, names: Sequence[str], language: str = "") -> tuple[int, str] | None:
    """Return the first column a pattern fits, and the language its group names."""
    for pattern in (patterns,) if isinstance(patterns, str) else patterns:
        if "<language>" in pattern and not language:
            continue
        for at, name in enumerate(names):
            match = re.fullmatch(pattern.replace("<language>", re.escape(language)), name)
            if match:
                return at, match.groupdict().get("language") or ""
    return None


def _number(header: str) -> int | None:
    match = re.fullmatch(r"#(\d+)", header.strip())
    return int(match[1]) - 1 if match else None


def _place(header: str, names: Sequence[str]) -> int | None:
    number = _number(header)
    if number is not None:
        return number if 0 <= number < len(names) else None
    return names.index(plain(header)) if plain(header) in names else None


def _is_second_header(rows: Sequence[Sequence[str]], start: int) -> bool:
    """Return whether the row below is a header too: no number in it, and at least two statistics or ratings."""
    if start + 1 >= len(rows):
        return False
    cells = [cell for cell in rows[start + 1] if cell.strip()]
    said = [parse_header(cell) for cell in cells]
    names = sum(bool(header.statistics or header.targets) and not header.unknown for header in said)
    return names >= 2 and not any(is_number(cell) for cell in cells)


def _headless(rows: Sequence[Sequence[str]], said: Mapping[str, str], n: int) -> Recognised | None:
    """Return columns all named by number, their data from the first of `n` rows with a number for each rating."""
    columns = {key: number for key, header in said.items() if (number := _number(header)) is not None}
    rated = [at for key, at in columns.items() if key in TARGETS]
    if len(columns) < len(said) or "word" not in columns or not rated or min(columns.values()) < 0:
        return None
    for first, row in enumerate(rows[:n]):
        if all(at < len(row) and is_number(row[at]) for at in rated):
            headers = tuple(f"#{at + 1}" for at in range(_width(rows[first:])))
            return Recognised(Layout(""), columns, first, "", headers, said=frozenset(said))
    return None


def _published_headless(
    rows: Sequence[Sequence[str]],
    said: Mapping[str, str],
    known: Sequence[Layout],
    layout: str,
    language: str,
) -> Recognised | None:
    """Return a layout published without a header row that the rows have, by its shape and words, or by shape if named."""
    if said:
        return None
    for entry in known:
        if looks_headless(rows, entry) and language in ("", entry.language):
            columns = {key: at for at, key in enumerate(entry.headless)}
            found = Recognised(
                entry, columns, 0, entry.language, tuple(f"#{at + 1}" for at in columns.values())
            )
            words = {row[0].strip() for row in rows if row}
            if (layout or set(entry.holds) <= words) and _lies_on(entry, found, rows):
                return found
    return None


def looks_headless(rows: Sequence[Sequence[str]], layout: Layout) -> bool:
    """Return whether the first rows have the columns of a layout published without a header row."""
    first = rows[:HEADER_SEARCH]
    return bool(layout.headless and first) and all(
        len(row) == len(layout.headless) and not is_number(row[0]) and all(map(is_number, row[1:]))
        for row in first
    )


def _width(rows: Sequence[Sequence[str]]) -> int:
    """Return how many cells most rows have, up to the last that is not empty."""
    widths = Counter(
        max((at for at, cell in enumerate(row, 1) if cell.strip()), default=0) for row in rows[:1000]
    )
    return max(widths, key=lambda width: (widths[width], width), default=0)


def _under_whole_header(
    found: Recognised, rows: Sequence[Sequence[str]], said: Mapping[str, str], what: str
) -> Recognised:
    """Return columns whose header names all cells of the rows below; of a shorter one, only those given by number."""
    width = _width(rows[found.first_row :])
    if width <= len(found.headers):
        return found
    if below := _headless(rows, said, HEADER_SEARCH):
        return below
    raise _short_header(what, len(found.headers), width)


def _refuse_short_header(rows: Sequence[Sequence[str]], what: str) -> None:
    """Refuse a first row of names with fewer cells than nearly all rows below it."""
    if len(rows) < 3 or len(rows[0]) < 2 or any(map(is_number, rows[0])):
        return
    width = _width(rows[1:])
    below = [len(row) >= width and any(map(is_number, row)) for row in rows[1:1000]]
    if width > len(rows[0]) and sum(below) >= 0.9 * len(below):
        raise _short_header(what, len(rows[0]), width)


def _short_header(what: str, names: int, width: int) -> EmospaceError:
    return EmospaceError(
        what,
        f"its header names {names} columns and its rows have {width} cells, so that nobody can tell which is which",
        "Add the missing name to the header, or give every column by its number in the rows: --column word=#1 "
        "--column valence=#3. If numbers have decimal commas, separate the cells by semicolons or tabs.",
    )


def _refuse_missing(rows: Sequence[Sequence[str]], said: Mapping[str, str], what: str) -> None:
    width = max(len(row) for row in rows[:HEADER_SEARCH])
    names = {plain(cell) for row in rows[:HEADER_SEARCH] for cell in row}
    for header in said.values():
        number = _number(header)
        if number is not None and not 0 <= number < width:
            raise EmospaceError(what, f"it has no column {header}", f"It has {width} columns.")
        if number is None and ":" not in header and plain(header) not in names:
            shown = ", ".join(cell.strip() for cell in rows[0][:30]) or "none"
            raise EmospaceError(what, f"it has no column '{header}'", f"Its columns: {shown}.")


def _lies_on(layout: Layout, found: Recognised, rows: Sequence[Sequence[str]]) -> bool:
    """Return whether 95% of the ratings that are numbers lie on the declared scale."""
    inside = total = 0
    for target in TARGETS:
        if target not in found.columns or layout.scale is None:
            continue
        low, high = layout.scale[target] if isinstance(layout.scale, Mapping) else layout.scale
        for row in rows[found.first_row :]:
            try:
                value = float(written_plainly(row[found.columns[target]]).replace(",", "."))
            except (ValueError, IndexError):
                continue
            total += 1
            inside += low <= value <= high
    return total > 0 and inside >= 0.95 * total
