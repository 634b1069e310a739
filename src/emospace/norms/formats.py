"""Ratings files that are no plain text, recognised by their first bytes: read through pandas, or refused with a way out."""

from __future__ import annotations

import gzip
import io
import json
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emospace.errors import EmospaceError, first_line

SIGNATURES: Mapping[bytes, str] = {
    b"PAR1": "parquet",
    b"ARROW1": "feather",
    b"PK\x03\x04": "zip",
    b"\xd0\xcf\x11\xe0": "xls",
    b"\x1f\x8b": "gzip",
    b"$FL2": "spss",
    b"$FL3": "spss",
    b"<stata_dta>": "stata",
    b"%PDF": "pdf",
    b"SQLite format 3": "database",
    b"Rar!": "archive",
    b"7z\xbc\xaf": "archive",
    b"BZh": "archive",
    b"\xfd7zXZ": "archive",
    b"\x28\xb5\x2f\xfd": "archive",
    b"RDX": "r",
    b"RDA": "r",
    b"X\n\x00\x00\x00": "r",
    b"A\n2\n": "r",
    b"A\n3\n": "r",
    b"{\\rtf": "document",
    b"\x89PNG": "image",
    b"\xff\xd8\xff": "image",
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

MOST_UNPACKED = 2**31


@dataclass(frozen=True)
class Grid:
    """The cells of one sheet or text file as text; ``numbers`` gives each row its number in the file, from 1.

    Parameters
    ----------
    blank
        Blank lines passed over.
    formulas
        Cells of a workbook whose formula was saved without its value, so that they look empty.
    """

    rows: list[list[str]]
    numbers: list[int]
    encoding: str = ""
    separator: str = ""
    sheet: str = ""
    blank: int = 0
    formulas: int = 0


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
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if start[:1] in (b"{", b"[") and (start[:1] == b"{" or re.match(rb'\[\s*[\[{"]', start)):
        return "json"
    if {".json", ".jsonl", ".ndjson"} & set(suffixes[-1:]):
        return "json"
    sample = content[:4096]
    control = sum(byte < 9 or 13 < byte < 32 for byte in sample)
    zeros = sample.count(0)
    return "binary" if control - zeros > 0.02 * len(sample) or 0 < zeros < 0.02 * len(sample) else "text"


def table_grids(path: Path, content: bytes, kind: str, sheet: str | None) -> Iterator[Grid]:
    """Yield the grids of a file of a kind that holds tables, or refuse it.

    Raises
    ------
    EmospaceError
        If it is damaged, of a kind that is not read, or needs a library that is not installed.
    """
    if kind in REFUSED:
        raise EmospaceError(str(path), *REFUSED[kind])
    if kind == "zip":
        kind = _zip_kind(path, content)
    if kind in ("xlsx", "xls", "ods"):
        yield from _workbook(path, content, kind, sheet)
        return
    import pandas as pd

    def spss() -> pd.DataFrame:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / f"ratings{path.suffix if path.suffix != '.gz' else '.sav'}"
            copy.write_bytes(content)
            return pd.read_spss(copy, convert_categoricals=False)

    def stata() -> pd.DataFrame:
        return pd.read_stata(io.BytesIO(content), convert_categoricals=False, convert_dates=False)

    readers: Mapping[str, Any] = {
        "parquet": lambda: pd.read_parquet(io.BytesIO(content)),
        "feather": lambda: pd.read_feather(io.BytesIO(content)),
        "stata": stata,
        "spss": spss,
    }
    try:
        frame = readers[kind]()
    except ImportError as error:
        raise _missing(path, "an SPSS file", "pyreadstat") from error
    except Exception as error:
        raise _damaged(path, f"{kind} file", error) from error
    yield frame_grid(frame)


def unpacked(path: Path, content: bytes) -> bytes:
    """Return what a gzip file holds."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            inside = file.read(MOST_UNPACKED + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, "gzip file", error) from error
    if len(inside) > MOST_UNPACKED:
        raise EmospaceError(str(path), "it holds more than 2 GB", "Unpack it and give a part of it.")
    return inside


def json_grid(path: Path, text: str) -> Grid | None:
    """Return JSON or JSON lines as a grid; None where the text is neither and its name does not say it is.

    Records, lists of cells, ``{column: [values]}``, ``{column: {row: value}}`` and ``{word: {column: value}}`` are read.
    """
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as whole:
        try:
            said = [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError) as error:
            named = path.suffix.lower() in (".json", ".jsonl", ".ndjson")
            if not named and not re.match(r'\s*\[?\s*\{\s*"', text):
                return None
            lines = path.suffix.lower() in (".jsonl", ".ndjson")
            raise _damaged(path, "JSON file", error if lines else whole) from error
    rows = _json_rows(said)
    if rows is None:
        raise EmospaceError(
            str(path),
            "its JSON is no table",
            'Give a list of records: [{"word": "joy", "valence": 8.2}, ...], or save it as CSV.',
        )
    return Grid(rows, list(range(1, len(rows) + 1)), encoding="json")


def _json_rows(said: Any) -> list[list[str]] | None:
    if isinstance(said, dict):
        inner = [value for value in said.values() if isinstance(value, list)]
        tables = [value for value in inner if value and all(isinstance(item, dict) for item in value)]
        if len(tables) == 1:
            said = tables[0]
        elif said and len(inner) == len(said):
            longest = max(map(len, inner))
            columns = [[*value, *[None] * (longest - len(value))] for value in inner]
            return [list(said), *([_cell(value) for value in row] for row in zip(*columns, strict=True))]
        elif said and all(isinstance(value, dict) for value in said.values()):
            keys = list(dict.fromkeys(key for value in said.values() for key in value))
            if all(key.isdigit() for key in keys):
                by_row = ([_cell(value.get(key)) for value in said.values()] for key in keys)
                return [list(said), *by_row]
            by_word = ([word, *(_cell(value.get(key)) for key in keys)] for word, value in said.items())
            return [["word", *keys], *by_word]
        elif said and not inner:
            return [["word", "value"], *([word, _cell(value)] for word, value in said.items())]
    if not isinstance(said, list) or not said:
        return None
    if all(isinstance(item, dict) for item in said):
        keys = list(dict.fromkeys(key for item in said for key in item))
        return [keys, *([_cell(item.get(key)) for key in keys] for item in said)]
    if all(isinstance(item, list) for item in said):
        return [[_cell(value) for value in item] for item in said]
    return None


def frame_grid(frame: Any) -> Grid:
    """Return a data frame as a grid, its column names as the header row."""
    values = frame.astype(object).where(frame.notna(), None).to_numpy()
    rows = [[str(c) for c in frame.columns], *([_cell(value) for value in row] for row in values)]
    return Grid(rows, list(range(1, len(rows) + 1)))


def _zip_kind(path: Path, content: bytes) -> str:
    """Return which workbook a zip file is; refuse any other."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            names = file.namelist()
            mime = file.read("mimetype").decode("ascii", "replace") if "mimetype" in names else ""
    except (zipfile.BadZipFile, OSError, RuntimeError) as error:
        raise _damaged(path, "workbook", error) from error
    if any(name.startswith("xl/") for name in names):
        return "xlsx"
    if "opendocument.spreadsheet" in mime:
        return "ods"
    if any(name.startswith("word/") for name in names) or "opendocument.text" in mime:
        raise EmospaceError(str(path), *REFUSED["document"])
    inside = [name for name in names if not name.endswith("/")]
    shown = ", ".join(inside[:5]) + (", ..." if len(inside) > 5 else "")
    raise EmospaceError(
        str(path), f"it is a zip archive ({shown})", "Unpack it and give the ratings file inside."
    )


def _workbook(path: Path, content: bytes, kind: str, sheet: str | None) -> Iterator[Grid]:
    import pandas as pd

    engine: Any = {"xlsx": "openpyxl", "xls": "xlrd", "ods": "odf"}[kind]
    try:
        book = pd.ExcelFile(io.BytesIO(content), engine=engine)
        names = [str(name) for name in book.sheet_names]
    except ImportError as error:
        raise _missing(path, "an OpenDocument sheet", "odfpy") from error
    except Exception as error:
        raise _damaged(path, "workbook", error) from error
    if sheet is not None and sheet not in names:
        raise EmospaceError(str(path), f"it has no sheet '{sheet}'", f"Its sheets: {', '.join(names)}.")
    formulas = _formulas(content) if kind == "xlsx" else {}
    for name in names if sheet is None else [sheet]:
        frame = book.parse(name, header=None, dtype=object, keep_default_na=False, na_filter=False)
        cells = [[_cell(value) for value in row] for row in frame.to_numpy(object)]
        filled = [(row, number) for number, row in enumerate(cells, 1) if any(map(str.strip, row))]
        yield Grid(
            [row for row, _ in filled],
            [number for _, number in filled],
            sheet=name,
            formulas=formulas.get(name, 0),
        )


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
    return {
        name: sum(
            isinstance(formula, str) and formula.startswith("=") and value is None
            for row, kept in zip(
                written[name].iter_rows(values_only=True),
                stored[name].iter_rows(values_only=True),
                strict=False,
            )
            for formula, value in zip(row, kept, strict=False)
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


def _damaged(path: Path, kind: str, error: BaseException) -> EmospaceError:
    said = first_line(error) if isinstance(error, Exception) else str(error)
    return EmospaceError(
        str(path), f"it is no whole {kind} ({said})", "Fetch it again, or save it as CSV in UTF-8."
    )


def _missing(path: Path, kind: str, library: str) -> EmospaceError:
    return EmospaceError(
        str(path),
        f"{kind} is read by {library}, which is not installed",
        "Install it with pip install 'emospace[files]', or save the file as CSV in UTF-8.",
    )
