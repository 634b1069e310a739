"""From a ratings file to grids of text cells: text, JSON, workbooks and tables, recognised by their first bytes."""

from __future__ import annotations

import gzip
import io
import json
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emospace.artefacts import parse_json
from emospace.errors import DiskError, EmospaceError, InvalidInput, MissingDependency, first_line
from emospace.norms.delimited import cut, decode

SUFFIXES = (
    *(".csv", ".tsv", ".txt", ".tab", ".xlsx", ".xls", ".ods", ".parquet", ".feather", ".json", ".jsonl"),
    *(".ndjson", ".sav", ".zsav", ".dta", ".rds", ".rda", ".gz", ".zip", ".pdf", ".html"),
)
"""How names of files end, whether such files are read or refused."""

SIGNATURES: Mapping[bytes, str] = {
    b"PAR1": "parquet",
    b"ARROW1": "feather",
    b"PK\x03\x04": "zip",
    b"\xd0\xcf\x11\xe0": "xls",
    b"\x1f\x8b": "gzip",
    **dict.fromkeys((b"$FL2", b"$FL3"), "spss"),
    b"<stata_dta>": "stata",
    b"%PDF": "pdf",
    b"SQLite format 3": "database",
    **dict.fromkeys((b"Rar!", b"7z\xbc\xaf", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"), "archive"),
    **dict.fromkeys((b"RDX", b"RDA", b"X\n\x00\x00\x00", b"A\n2\n", b"A\n3\n"), "r"),
    b"{\\rtf": "document",
    **dict.fromkeys((b"\x89PNG", b"\xff\xd8\xff"), "image"),
}
"""How a file of each kind starts."""

REFUSED: Mapping[str, tuple[str, str]] = {
    "pdf": ("it is a PDF", "Copy its table into a spreadsheet and save that as CSV in UTF-8."),
    "database": ("it is an SQLite database", "Export its table as CSV."),
    "archive": ("it is a compressed archive", "Unpack it and give the ratings file inside."),
    "r": (
        "it is a file of R",
        'Write it as CSV in R: write.csv(readRDS("FILE.rds"), "ratings.csv", row.names = FALSE).',
    ),
    "document": ("it is a text document", "Save its table as CSV in UTF-8."),
    "image": ("it is an image", "Give the ratings as CSV or as a workbook."),
    "html": (
        "it is a web page, not the file behind it",
        "Download the file itself, or save its table as CSV.",
    ),
    "xml": ("it is XML", "Open it in a spreadsheet program and save it as .xlsx or as CSV in UTF-8."),
    "binary": ("it is neither text nor a table of a known format", "Save it as CSV in UTF-8."),
}
"""Kind of file that is not read -> what it is, and the way out."""

MOST_UNPACKED, MOST_IN_WORKBOOK = 2**31, 2**28
_JSON_NAMES = (".json", ".jsonl", ".ndjson")


@dataclass(frozen=True)
class Grid:
    """The cells of one sheet or text file as text.

    Parameters
    ----------
    source
        The file or table, as errors name it.
    numbers
        Number of each row in the file, from 1.
    blank
        Blank lines passed over.
    formulas
        Cells of a workbook whose formula was saved without its value, so that they look empty.
    """

    source: str
    rows: list[list[str]]
    numbers: list[int]
    encoding: str = ""
    separator: str = ""
    sheet: str = ""
    blank: int = 0
    formulas: int = 0

    @classmethod
    def from_rows(cls, source: str, rows: Iterable[list[str]], **about: Any) -> Grid:
        """Return the grid of all rows of a file, its blank rows passed over."""
        numbered = [(row, number) for number, row in enumerate(rows, 1) if any(map(str.strip, row))]
        return cls(source, [row for row, _ in numbered], [number for _, number in numbered], **about)

    @classmethod
    def from_frame(cls, source: str, frame: Any) -> Grid:
        """Return a data frame as a grid, its column names as the header row."""
        values = frame.astype(object).where(frame.notna(), None).to_numpy()
        rows = [[str(c) for c in frame.columns], *([_cell(value) for value in row] for row in values)]
        return cls(source, rows, [*range(1, len(rows) + 1)])


def read_grids(path: Path, *, encoding: str | None = None, sheet: str | None = None) -> Iterator[Grid]:
    """Yield the grid of a file that holds one table, or one for each sheet of a workbook.

    What a file is, is read from its first bytes and not from its suffix.

    Raises
    ------
    EmospaceError
        If the file is missing, empty, a folder, damaged, of a kind that is not read or needs a library that is not
        installed, or there is no such sheet.
    """
    source = str(path)
    if path.is_dir():
        raise EmospaceError(source, "it is a folder, not a ratings file", "Give the file inside it.")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DiskError(
            source,
            "there is no such file and no bundled set of that name",
            "Check the path, or list the bundled sets with 'emospace norms list'.",
        ) from None
    except OSError as error:
        raise DiskError(source, f"it cannot be read ({error.strerror})", "Fix its permissions.") from error
    if not content.strip():
        raise _empty(source)
    kind = file_kind(content, path)
    if kind == "gzip":
        content, path = _unpacked(source, content), path.with_suffix("") if path.suffix == ".gz" else path
        kind = file_kind(content, path)
    if kind == "zip":
        kind = _zip_kind(source, content)
    if kind in REFUSED:
        raise EmospaceError(source, *REFUSED[kind])
    if kind in ("json", "text"):
        text, name = _decoded(source, content, encoding)
        rows = _json_rows(source, path.suffix, text) if kind == "json" else None
        if rows is None:
            yield _text(source, text, name)
        else:
            yield Grid(source, rows, [*range(1, len(rows) + 1)], encoding="json")
    elif kind in ("xlsx", "xls", "ods"):
        yield from _workbook(source, content, kind, sheet)
    else:
        yield Grid.from_frame(source, _frame(source, path.suffix, content, kind))


def file_kind(content: bytes, path: Path) -> str:
    """Return what a file is by its first bytes: a kind of `SIGNATURES` or `REFUSED`, ``json`` or ``text``."""
    for signature, kind in SIGNATURES.items():
        if content.startswith(signature):
            return kind
    if content[:1] in (b"q", b"r", b"s") and content[1:2] in (b"\x01", b"\x02") and content[2:3] == b"\x01":
        return "stata"
    if content[257:262] == b"ustar":
        return "archive"
    start = content[:1000].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<table")):
        return "html"
    if start.startswith(b"<?xml"):
        return "html" if b"<html" in start else "xml"
    if start[:1] == b"{" or re.match(rb'\[\s*[\[{"]', start) or path.suffix.lower() in _JSON_NAMES:
        return "json"
    sample = content[:4096]
    control = sum(byte < 9 or 13 < byte < 32 for byte in sample)
    zeros = sample.count(0)
    return "binary" if control - zeros > 0.02 * len(sample) or 0 < zeros < 0.02 * len(sample) else "text"


def _decoded(source: str, content: bytes, encoding: str | None) -> tuple[str, str]:
    """Return the text of a file and its encoding, the one given or the one it is found to be in."""
    try:
        text, name = (content.decode(encoding), encoding) if encoding else decode(content)
    except (UnicodeDecodeError, LookupError) as error:
        why = f"it cannot be read as {encoding or 'text'} ({error})"
        raise EmospaceError(source, why, "Give its encoding, or save it as UTF-8.") from error
    if not text.strip("\ufeff \t\r\n\0"):
        raise _empty(source)
    return text, name


def _text(source: str, text: str, encoding: str) -> Grid:
    rows, separator = cut(text.removeprefix("\ufeff"))
    if not separator:
        raise EmospaceError(
            source,
            "it has one column only",
            "Separate the word and its ratings by commas, semicolons or tabs.",
        )
    blank = sum(not any(map(str.strip, row)) for row in rows)
    return Grid.from_rows(source, rows, encoding=encoding, separator=separator, blank=blank)


def _json_rows(source: str, suffix: str, text: str) -> list[list[str]] | None:
    """Return the rows of JSON or JSON lines; None where the text is neither and its name does not say it is.

    Records, lists of cells, ``{column: [values]}``, ``{column: {row: value}}`` and ``{word: {column: value}}`` are read.
    """
    try:
        data = parse_json(text)
    except (ValueError, RecursionError) as whole:
        try:
            data = [parse_json(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError) as error:
            if suffix.lower() not in _JSON_NAMES and not re.match(r'\s*\[?\s*\{\s*"', text):
                return None
            by_line = suffix.lower() in (".jsonl", ".ndjson")
            raise _damaged(source, "JSON file", error if by_line else whole) from error
    table = _json_table(data)
    if table is None:
        raise EmospaceError(
            source,
            "its JSON is no table",
            'Give a list of records: [{"word": "joy", "valence": 8.2}, ...], or save it as CSV.',
        )
    return [[_cell(value) for value in row] for row in table]


def _json_table(data: Any) -> Any:
    if isinstance(data, dict):
        values = list(data.values())
        tables = [value for value in values if _is_list_of(dict, value)]
        if len(tables) == 1:
            data = tables[0]
        elif _is_list_of(list, values):
            columns = [[*value, *[None] * (max(map(len, values)) - len(value))] for value in values]
            return [list(data), *map(list, zip(*columns, strict=True))]
        elif _is_list_of(dict, values):
            keys = _keys(values)
            if all(key.isdigit() for key in keys):
                return [list(data), *([value.get(key) for value in values] for key in keys)]
            return [["word", *keys], *([word, *map(value.get, keys)] for word, value in data.items())]
        elif data and not any(isinstance(value, list) for value in values):
            return [["word", "value"], *map(list, data.items())]
    if _is_list_of(dict, data):
        keys = _keys(data)
        return [keys, *(list(map(record.get, keys)) for record in data)]
    return data if _is_list_of(list, data) else None


def _is_list_of(kind: type, items: Any) -> bool:
    return isinstance(items, list) and bool(items) and all(isinstance(item, kind) for item in items)


def _keys(records: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for record in records for key in record))


def _frame(source: str, suffix: str, content: bytes, kind: str) -> Any:
    """Return the table of a file of another program as a data frame."""
    import pandas as pd

    def spss() -> pd.DataFrame:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / f"ratings{suffix if suffix != '.gz' else '.sav'}"
            copy.write_bytes(content)
            return pd.read_spss(copy, convert_categoricals=False)

    file = io.BytesIO(content)
    readers: Mapping[str, Any] = {
        "parquet": lambda: pd.read_parquet(file),
        "feather": lambda: pd.read_feather(file),
        "stata": lambda: pd.read_stata(file, convert_categoricals=False, convert_dates=False),
        "spss": spss,
    }
    try:
        return readers[kind]()
    except ImportError as error:
        raise _missing(source, "an SPSS file", "pyreadstat") from error
    except Exception as error:
        raise _damaged(source, f"{kind} file", error) from error


def _unpacked(source: str, content: bytes) -> bytes:
    """Return what a gzip file holds."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            inside = file.read(MOST_UNPACKED + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(source, "gzip file", error) from error
    if len(inside) > MOST_UNPACKED:
        raise EmospaceError(source, "it holds more than 2 GB", "Unpack it and give a part of it.")
    return inside


def _zip_kind(source: str, content: bytes) -> str:
    """Return which workbook or document a zip file is; refuse any other."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            names = file.namelist()
            # No entry is unpacked beyond the size it declares.
            if sum(entry.file_size for entry in file.infolist()) > MOST_IN_WORKBOOK:
                raise InvalidInput(
                    source, "it unpacks to more than 256 MB", "Save the sheet with the ratings as .csv."
                )
            mime = file.read("mimetype").decode("ascii", "replace") if "mimetype" in names else ""
    except (zipfile.BadZipFile, OSError, RuntimeError) as error:
        raise _damaged(source, "workbook", error) from error
    if any(name.startswith("xl/") for name in names):
        return "xlsx"
    if "opendocument.spreadsheet" in mime:
        return "ods"
    if any(name.startswith("word/") for name in names) or "opendocument.text" in mime:
        return "document"
    inside = [name for name in names if not name.endswith("/")]
    shown = ", ".join(inside[:5]) + (", ..." if len(inside) > 5 else "")
    raise EmospaceError(
        source, f"it is a zip archive ({shown})", "Unpack it and give the ratings file inside."
    )


def _workbook(source: str, content: bytes, kind: str, sheet: str | None) -> Iterator[Grid]:
    import pandas as pd

    engine: Any = {"xlsx": "openpyxl", "xls": "xlrd", "ods": "odf"}[kind]
    try:
        book = pd.ExcelFile(io.BytesIO(content), engine=engine)
        names = [str(name) for name in book.sheet_names]
        if sheet is not None and sheet not in names:
            raise EmospaceError(source, f"it has no sheet '{sheet}'", f"Its sheets: {', '.join(names)}.")
        formulas = _formulas(content) if kind == "xlsx" else {}
        # A workbook is parsed sheet by sheet, so that damage shows in any of them.
        for name in names if sheet is None else [sheet]:
            frame = book.parse(name, header=None, dtype=object, keep_default_na=False, na_filter=False)
            rows = [[_cell(value) for value in row] for row in frame.to_numpy(object)]
            yield Grid.from_rows(source, rows, sheet=name, formulas=formulas.get(name, 0))
    except ImportError as error:
        raise _missing(source, "an OpenDocument sheet", "odfpy") from error
    except EmospaceError:
        raise
    except Exception as error:
        raise _damaged(source, "workbook", error) from error


def _formulas(content: bytes) -> dict[str, int]:
    """Return how many formulas of each sheet were saved without their value."""
    import openpyxl

    with zipfile.ZipFile(io.BytesIO(content)) as file:
        sheets = [name for name in file.namelist() if name.startswith("xl/worksheets/")]
        if not any(re.search(rb"</f>\s*(<v\s*/>|<v></v>|</c>)", file.read(name)) for name in sheets):
            return {}
    written, stored = (
        openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=values)
        for values in (False, True)
    )

    def cells(sheet: Any) -> Iterator[object]:
        return (cell for row in sheet.iter_rows(values_only=True) for cell in row)

    return {
        name: sum(
            isinstance(formula, str) and formula.startswith("=") and value is None
            for formula, value in zip(cells(written[name]), cells(stored[name]), strict=False)
        )
        for name in written.sheetnames
        if hasattr(written[name], "iter_rows")
    }


def _cell(value: object) -> str:
    """Return a cell as text: a workbook's TRUE and FALSE are words, an empty cell is empty."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _empty(source: str) -> EmospaceError:
    return EmospaceError(source, "the file is empty", "Give a file with a header row and ratings.")


def _damaged(source: str, kind: str, error: BaseException) -> EmospaceError:
    reason = first_line(error) if isinstance(error, Exception) else str(error)
    return EmospaceError(
        source, f"it is no whole {kind} ({reason})", "Fetch it again, or save it as CSV in UTF-8."
    )


def _missing(source: str, kind: str, library: str) -> MissingDependency:
    return MissingDependency(
        source,
        f"{kind} is read by {library}, which is not installed",
        "Install it with pip install 'emospace[files]', or save the file as CSV in UTF-8.",
    )
