"""From a ratings file to a grid of text cells: encodings, separators and workbooks."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mode
from typing import Any

from emospace.errors import EmospaceError

SEPARATORS = ("\t", ";", ",")
SUFFIXES = (".csv", ".tsv", ".txt", ".tab", ".xlsx", ".xls", ".parquet")


@dataclass(frozen=True)
class Grid:
    """The cells of one sheet or text file as text; ``numbers`` gives each row its number in the file, from 1."""

    rows: list[list[str]]
    numbers: list[int]
    encoding: str = ""
    separator: str = ""
    sheet: str = ""
    blank: int = 0


def read_grids(path: Path, *, encoding: str | None = None, sheet: str | None = None) -> Iterator[Grid]:
    """Yield the grid of a text or parquet file, or one for each sheet of a workbook.

    What a file is, is read from its first bytes and not from its suffix.

    Raises
    ------
    EmospaceError
        If the file is missing, empty, a folder or damaged, or there is no such sheet.
    """
    if path.is_dir():
        raise EmospaceError(str(path), "it is a folder, not a ratings file", "Give the file inside it.")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise EmospaceError(
            str(path),
            "there is no such file and no bundled set of that name",
            "Check the path, or list the bundled sets with 'emospace norms list'.",
        ) from None
    except OSError as error:
        raise EmospaceError(str(path), f"it cannot be read ({error.strerror})", "Mend its rights.") from error
    if not content.strip():
        raise EmospaceError(str(path), "the file is empty", "Give a file with a header row and ratings.")
    if content[:4] == b"PAR1":
        yield _parquet(path, content)
    elif content[:4] in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"):
        yield from _workbook(path, content, sheet)
    else:
        yield _text(path, content, encoding)


def clean_word(cell: str) -> str:
    """Return a word in Unicode NFC without outer or doubled spaces and without marks that cannot be seen."""
    seen = re.sub("[\u00ad\u200b\u2060\ufeff]", "", unicodedata.normalize("NFC", cell))
    return re.sub(r"\s+", " ", seen).strip()


def decode(content: bytes) -> tuple[str, str]:
    """Return the text of a file and the encoding it was found to be in.

    A byte-order mark decides; else zero bytes tell UTF-16; else UTF-8 if it fits. Among CP949, GB18030 and
    Latin-1, which fits anything, the text decides: Korean without a single ideograph is CP949, and accented
    letters misread as either give syllables or ideographs glued to letters.
    """
    for mark, name in {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}.items():
        if content.startswith(mark):
            return content.decode(name), name
    sample = content[:4096]
    if sample.count(0) > len(sample) / 4:
        name = "utf-16-le" if sample[1::2].count(0) >= sample[::2].count(0) else "utf-16-be"
        return content.decode(name), name
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    try:
        text = content.decode("cp949")
        hangul = len(re.findall("[가-힣]", text))
        glued = len(re.findall("(?<=[A-Za-z])[가-힣]|[가-힣](?=[A-Za-z])", text))
        if hangul and glued < 0.2 * hangul and not re.search("[㐀-鿿]", text):
            return text, "cp949"
    except UnicodeDecodeError:
        pass
    try:
        text = content.decode("gb18030")
    except UnicodeDecodeError:
        return _western(content)
    ideographs = len(re.findall(r"[㐀-鿿]", text))
    glued = len(re.findall(r"(?<=[A-Za-z])[㐀-鿿]|[㐀-鿿](?=[A-Za-z])", text))
    return (text, "gb18030") if ideographs and glued < 0.2 * ideographs else _western(content)


def _western(content: bytes) -> tuple[str, str]:
    try:
        return content.decode("cp1252"), "latin-1"
    except UnicodeDecodeError:
        return content.decode("latin-1"), "latin-1"


def _text(path: Path, content: bytes, encoding: str | None) -> Grid:
    try:
        text, name = (content.decode(encoding), encoding) if encoding else decode(content)
    except (UnicodeDecodeError, LookupError) as error:
        raise EmospaceError(
            str(path),
            f"it cannot be read as {encoding or 'text'} ({error})",
            "Give its encoding, or save it as UTF-8.",
        ) from error
    text = text.removeprefix("\ufeff")
    separator = _separator(text)
    if not separator:
        raise EmospaceError(
            str(path),
            "it has one column only",
            "Separate the word and its ratings by commas, semicolons or tabs.",
        )
    rows, numbers = _parse(text, separator)
    filled = [(row, number) for row, number in zip(rows, numbers, strict=True) if any(map(str.strip, row))]
    return Grid(
        [row for row, _ in filled],
        [number for _, number in filled],
        encoding=name,
        separator=separator,
        blank=len(rows) - len(filled),
    )


def _separator(text: str) -> str:
    """Return the separator that splits most of the first lines into most cells; decimal commas never win."""
    lines = [line for line in text[:100_000].splitlines() if line.strip()][:200]
    cells = {
        mark: mode(len(next(csv.reader([line], delimiter=mark))) for line in lines) for mark in SEPARATORS
    }
    best = max(SEPARATORS, key=lambda mark: cells[mark])
    return best if cells[best] > 1 else ""


def _parse(text: str, separator: str) -> tuple[list[list[str]], list[int]]:
    """Split text into cells; a quotation mark that is no quote must not swallow the rows after it."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
        if any(cell.count("\n") > 20 for row in rows for cell in row):
            raise csv.Error("a stray quotation mark")
    except csv.Error:
        lines = re.split(r"\r\n|\n|\r", text)
        rows = [[_unquote(cell) for cell in line.split(separator)] for line in lines]
    while rows and not any(map(str.strip, rows[-1])):
        rows.pop()
    return rows, list(range(1, len(rows) + 1))


def _unquote(cell: str) -> str:
    return cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def _parquet(path: Path, content: bytes) -> Grid:
    import pandas as pd

    try:
        frame = pd.read_parquet(io.BytesIO(content))
    except Exception as error:
        raise _damaged(path, "parquet file", error) from error
    return frame_grid(frame)


def frame_grid(frame: Any) -> Grid:
    """Return a data frame as a grid, its column names as the header row."""
    values = frame.astype(object).where(frame.notna(), None).to_numpy()
    rows = [[str(c) for c in frame.columns], *([_cell(value) for value in row] for row in values)]
    return Grid(rows, list(range(1, len(rows) + 1)))


def _workbook(path: Path, content: bytes, sheet: str | None) -> Iterator[Grid]:
    import pandas as pd

    try:
        engine: Any = "openpyxl" if content[:2] == b"PK" else "xlrd"
        book = pd.ExcelFile(io.BytesIO(content), engine=engine)
        names = [str(name) for name in book.sheet_names]
    except Exception as error:
        raise _damaged(path, "workbook", error) from error
    if sheet is not None and sheet not in names:
        raise EmospaceError(str(path), f"it has no sheet '{sheet}'", f"Its sheets: {', '.join(names)}.")
    for name in names if sheet is None else [sheet]:
        frame = book.parse(name, header=None, dtype=object, keep_default_na=False, na_filter=False)
        cells = [[_cell(value) for value in row] for row in frame.to_numpy(object)]
        filled = [(row, number) for number, row in enumerate(cells, 1) if any(map(str.strip, row))]
        yield Grid([row for row, _ in filled], [number for _, number in filled], sheet=name)


def _cell(value: object) -> str:
    """Return a cell as text: a workbook's TRUE and FALSE are words, an empty cell is empty."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _damaged(path: Path, kind: str, error: Exception) -> EmospaceError:
    return EmospaceError(
        str(path), f"it is no whole {kind} ({error})", "Fetch it again, or save it as CSV in UTF-8."
    )
