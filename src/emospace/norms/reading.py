"""From a ratings file to a grid of text cells: encodings and separators; other formats are in `formats`."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from emospace.errors import EmospaceError
from emospace.norms.formats import Grid, file_kind, json_grid, table_grids, unpacked

SEPARATORS = ("\t", ";", ",")
SUFFIXES = (
    *(".csv", ".tsv", ".txt", ".tab", ".xlsx", ".xls", ".ods", ".parquet", ".feather", ".json", ".jsonl"),
    *(".ndjson", ".sav", ".zsav", ".dta", ".rds", ".rda", ".gz", ".zip", ".pdf", ".html"),
)
"""How names of files end, whether such files are read or refused."""

SAMPLED = 100_000
_LIST = re.compile(r"\[[\d\s,;.+-]*\]")


def read_grids(path: Path, *, encoding: str | None = None, sheet: str | None = None) -> Iterator[Grid]:
    """Yield the grid of a file that holds one table, or one for each sheet of a workbook.

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
    kind = file_kind(content, path)
    if kind == "gzip":
        content, path = unpacked(path, content), path.with_suffix("") if path.suffix == ".gz" else path
        kind = file_kind(content, path)
    if kind == "json":
        grid = json_grid(path, decode(content)[0])
        yield _text(path, content, encoding) if grid is None else grid
    elif kind == "text":
        yield _text(path, content, encoding)
    else:
        yield from table_grids(path, content, kind, sheet)


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
    """Return the separator that cuts the lines into the same number of cells; nothing if none cuts most of them.

    Where several do, a tab is before all, a semicolon before a comma that stands between digits alone (a decimal
    comma), and else the one that gives more cells. Commas in a list of numbers in brackets cut nothing.
    """
    sample = text[:SAMPLED].rpartition("\n")[0] if len(text) > SAMPLED else text
    lines = [_LIST.sub("[]", line) for line in (sample or text[:SAMPLED]).splitlines() if line.strip()][:200]
    if all(line.endswith("\t") for line in lines):
        lines = [line.rstrip() for line in lines]
    decimal = not any(re.search(r"(?<!\d),|,(?!\d)", line) for line in lines)
    best, rank = "", (0.0, False, 0)
    for mark in SEPARATORS:
        widths = Counter(len(next(csv.reader([line], delimiter=mark))) for line in lines)
        cells, n = max(widths.items(), key=lambda item: (item[1] * (item[0] > 1), item[0]))
        here = (n / len(lines), mark == "\t" or (mark == ";" and decimal), cells)
        if cells > 1 and here > rank:
            best, rank = mark, here
    return best


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
