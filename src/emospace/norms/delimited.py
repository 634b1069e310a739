"""Delimited text: its encoding, its separator, its cells."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter

SEPARATORS = ("\t", ";", ",")
SAMPLED = 100_000
"""Characters of a file that decide its separator."""

_LIST = re.compile(r"\[[\d\s,;.+-]*\]")
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_EAST_ASIAN = (("cp949", "가-힣", "㐀-鿿"), ("gb18030", "㐀-鿿", ""))
"""Encoding, the characters a text in it holds, and those it does not."""


def decode(content: bytes) -> tuple[str, str]:
    """Return the text of a file and the encoding it was found to be in.

    A byte-order mark decides; else zero bytes mean UTF-16; else UTF-8 if it fits. Among CP949, GB18030 and
    Latin-1, which fits anything, the text decides: Korean without a single ideograph is CP949, and accented
    letters misread as either give syllables or ideographs glued to letters. (General detectors take files of ten
    Chinese words for Korean.)

    Raises
    ------
    UnicodeDecodeError
        If it is not what its byte-order mark or its zero bytes say.
    """
    for mark, name in _MARKS.items():
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
    for name, letters, foreign in _EAST_ASIAN:
        try:
            text = content.decode(name)
        except UnicodeDecodeError:
            continue
        n = len(re.findall(f"[{letters}]", text))
        glued = len(re.findall(f"(?<=[A-Za-z])[{letters}]|[{letters}](?=[A-Za-z])", text))
        if n and glued < 0.2 * n and not (foreign and re.search(f"[{foreign}]", text)):
            return text, name
    try:
        return content.decode("cp1252"), "latin-1"
    except UnicodeDecodeError:
        return content.decode("latin-1"), "latin-1"


def cut(text: str) -> tuple[list[list[str]], str]:
    """Return the rows of cells and their separator; no separator where none cuts most lines.

    A quotation mark that is no quote does not swallow the rows after it.
    """
    separator = find_separator(text)
    if not separator:
        return [], ""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
        if any(cell.count("\n") > 20 for row in rows for cell in row):
            raise csv.Error("a stray quotation mark")
    except csv.Error:
        lines = re.split(r"\r\n|\n|\r", text)
        rows = [[_unquoted(cell) for cell in line.split(separator)] for line in lines]
    while rows and not any(map(str.strip, rows[-1])):
        rows.pop()
    return rows, separator


def find_separator(text: str) -> str:
    """Return the separator that cuts the lines into the same number of cells; nothing if none cuts most of them.

    Where several do, a tab is before all, a semicolon before a comma that stands between digits alone (a decimal
    comma), and else the one that gives more cells. Commas in a list of numbers in brackets cut nothing.
    """
    sample = text[:SAMPLED].rpartition("\n")[0] if len(text) > SAMPLED else text
    lines = [_LIST.sub("[]", line) for line in (sample or text[:SAMPLED]).splitlines() if line.strip()][:200]
    if not lines:
        return ""
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


def _unquoted(cell: str) -> str:
    return cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell
