"""Cells of a ratings file: numbers as people write them, what stands for no rating, and words to clean."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

NUMBER = re.compile(r"\s*([-+]?(?:\d+(?:[.,]\d+)?|[.,]\d+)(?:[eE][-+]?\d+)?)\s*(%|[(（±].*)?")
_WRITTEN = re.compile(r"[-−–+]?[\d.,٫٬．，\s]+([eE][-+]?\d+)?\s*[%％]?")
_SIGNS = str.maketrans({"−": "-", "–": "-", "٫": ".", "．": ".", "，": ",", "٬": "", "％": "%"})
MISSING = frozenset({"na", "n/a", "n.a.", "nan", "null", "none", "missing", "-", "–", "—", "--", ".", "?"})
"""What stands, without regard to case, in the cell of a rating nobody gave."""

_SHEET_ERROR = re.compile(r"#[\w/]+[!?]?")
CODES = (-9.0, -88.0, -99.0, -77.0, -888.0, -999.0, -9999.0, 88.0, 99.0, 888.0, 999.0, 9999.0)
"""Numbers that often stand for a missing answer."""

_MARKS = ((re.compile(r"^[*†‡§¶]+|[*†‡§¶¹²³⁴⁵⁶⁷⁸⁹⁰]+$"), ""),)
_BLANKS = ((re.compile(r"(?<=[^\W\d_])_+(?=[^\W\d_])|(?<=[^\W\d_]{2})\.(?=[^\W\d_]{2})"), " "),)
_QUOTES = (
    (re.compile(r"^(['’‘`]+)(.*\w.*)(['’´`]+)$"), r"\2"),
    (re.compile(r'^["“”„«»‹›「」『』]+|["“”„«»‹›「」『』]+$'), ""),
)
UNCLEAN = {"quotation marks": _QUOTES, "marks": _MARKS, "dots or underscores for blanks": _BLANKS}
"""What may be unclean about a word -> what is replaced in it, and by what."""

MOST_CAPITALS = 0.8
"""Share of the words with upper and lower case from which capitals count as unclean."""


class Numbers(NamedTuple):
    """The numbers of a column, and which of its cells say that there is none.

    Parameters
    ----------
    numbers
        The numbers ``[n_rows]``, NaN where there is none.
    missing
        Which cells are empty or say that there is no rating ``[n_rows]``: NA, -, #N/A, a code for it.
    percent
        Whether the cells are percentages.
    """

    numbers: pd.Series
    missing: pd.Series
    percent: bool = False


def clean_word(cell: str) -> str:
    """Return a word in Unicode NFC without outer or doubled spaces and without marks that cannot be seen."""
    seen = re.sub("[\u00ad\u200b\u2060\ufeff]", "", unicodedata.normalize("NFC", cell))
    return re.sub(r"\s+", " ", seen).strip()


def written_plainly(cell: str) -> str:
    """Return a cell that is a number in any digits (full-width, Arabic, Persian ...) in ASCII digits, else as it is."""
    text = cell.strip()
    if text.isascii() or not (_WRITTEN.fullmatch(text) or re.match(r"[−–]?\d", text)):
        return text
    digits = (str(unicodedata.decimal(c, c)) for c in text.translate(_SIGNS))
    return re.sub(r"(?<=\d)\s+(?=\d)", "", "".join(digits))


def as_number(cell: str) -> float | None:
    """Return the number of a cell that holds nothing else but an SD in brackets or a percent sign, else None."""
    match = NUMBER.fullmatch(written_plainly(cell))
    return float(match[1].replace(",", ".")) if match else None


def is_number(cell: str) -> bool:
    """Return whether a cell holds a number (see `as_number`)."""
    return as_number(cell) is not None


def read_numbers(cells: pd.Series, *, decimal_comma: bool = True, codes: Iterable[str] = ()) -> Numbers:
    """Return the numbers of a column of cells in plain writing.

    Parameters
    ----------
    decimal_comma
        Whether a comma is a decimal comma, else it stands between thousands.
    codes
        What else stands for a missing rating: ``-99``.
    """
    import pandas as pd

    text = cells.str.strip()
    listed = MISSING | {code.strip().casefold() for code in codes}
    missing = text.map(
        lambda cell: not cell or cell.casefold() in listed or _SHEET_ERROR.fullmatch(cell) is not None
    ).astype(bool)
    percent = text.str.endswith("%") & ~missing
    all_percent = bool(percent.any()) and int(percent.sum()) == int((~missing).sum())
    if all_percent:
        text = text.str.removesuffix("%").str.strip()
    plain = text.str.replace(",", "." if decimal_comma else "", regex=False)
    values = pd.to_numeric(plain.where(~missing), errors="coerce").astype(float)
    values = values.where(np.isfinite(values))
    numeric = {as_number(code) for code in codes if code.isascii() and "," not in code} - {None}
    coded = values.isin(numeric)
    return Numbers(values.where(~coded), missing | coded, all_percent)


def missing_codes(values: Sequence[float], scale: tuple[float, float] | None = None) -> dict[str, int]:
    """Return the numbers that look like codes for a missing answer -> how many cells hold them.

    They are those of `CODES` off the scale; where no scale is given, those far from all other numbers.
    """
    counts = Counter(value for value in values if value in CODES)
    rest = [value for value in values if np.isfinite(value) and value not in CODES]
    negative, widest = any(value < 0 for value in rest), max(map(abs, rest), default=np.inf)

    def is_code(number: float) -> bool:
        if scale is not None:
            return not scale[0] <= number <= scale[1]
        return bool(rest) and ((number < 0 and not negative) or abs(number) > 2 * widest)

    return {f"{number:g}": n for number, n in sorted(counts.items()) if is_code(number)}


def unclean(words: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the words to clean, by the kinds of `UNCLEAN` and ``capitals``; kinds without any are left out.

    Capitals count only where nearly all words are written in them.
    """
    capitals = tuple(filter(_in_capitals, words))
    cased = sum(word != word.swapcase() and len(word) > 1 for word in words)
    many = len(capitals) > 1 and len(capitals) >= MOST_CAPITALS * cased
    listed = {"capitals": capitals if many else ()}
    listed |= {kind: tuple(word for word in words if _without(kind, word) != word) for kind in UNCLEAN}
    return {kind: unclean_words for kind, unclean_words in listed.items() if unclean_words}


def cleaned(words: Sequence[str], language: str = "") -> list[str]:
    """Return the words without what `unclean` finds; in Turkish and Azerbaijani the small letter of I is ı."""
    lower = "capitals" in unclean(words)
    return [
        _lower(_clean(word), language) if lower and _in_capitals(word) else _clean(word) for word in words
    ]


def _without(kind: str, word: str) -> str:
    for pattern, replacement in UNCLEAN[kind]:
        word = pattern.sub(replacement, word)
    return word


def _clean(word: str) -> str:
    before = ""
    while word != before:
        before, word = word, _without("marks", _without("quotation marks", word)).strip()
    return _without("dots or underscores for blanks", word)


def _in_capitals(word: str) -> bool:
    return len(word) > 1 and word.isupper()


def _lower(word: str, language: str) -> str:
    if language in ("tr", "az"):
        word = word.replace("I", "ı").replace("İ", "i")
    return word.lower()
