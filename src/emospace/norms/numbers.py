"""Cells that hold a number as people write it, and cells that say there is none."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

NUMBER = re.compile(r"\s*[-+]?(\d+([.,]\d+)?|[.,]\d+)([eE][-+]?\d+)?\s*(%|[(（±].*)?")
_WRITTEN = re.compile(r"[-−–+]?[\d.,٫٬．，\s]+([eE][-+]?\d+)?\s*[%％]?")
_SIGNS = str.maketrans({"−": "-", "–": "-", "٫": ".", "．": ".", "，": ",", "٬": "", "％": "%"})
MISSING = frozenset({"na", "n/a", "n.a.", "nan", "null", "none", "missing", "-", "–", "—", "--", ".", "?"})
"""What stands, without regard to case, in the cell of a rating nobody gave."""

_SHEET_ERROR = re.compile(r"#[\w/]+[!?]?")
CODES = (-9.0, -88.0, -99.0, -77.0, -888.0, -999.0, -9999.0, 88.0, 99.0, 888.0, 999.0, 9999.0)
"""Numbers that often stand for a missing answer."""


@dataclass(frozen=True)
class Numbers:
    """The numbers of a column, and which of its cells say that there is none.

    Parameters
    ----------
    found
        The numbers ``[n_rows]``, NaN where there is none.
    missing
        Which cells are empty or say that there is no rating ``[n_rows]``: NA, -, #N/A, a code said to mean it.
    percent
        Whether the cells are percentages.
    """

    found: pd.Series
    missing: pd.Series
    percent: bool = False


def written_plainly(cell: str) -> str:
    """Return a cell that is a number in any digits (full-width, Arabic, Persian ...) in those of ASCII, else as it is."""
    text = cell.strip()
    if text.isascii() or not (_WRITTEN.fullmatch(text) or re.match(r"[−–]?\d", text)):
        return text
    digits = (str(unicodedata.decimal(c, c)) for c in text.translate(_SIGNS))
    return re.sub(r"(?<=\d)\s+(?=\d)", "", "".join(digits))


def is_number(cell: str) -> bool:
    """Return whether a cell starts with a number and holds nothing else but an SD in brackets or a percent sign."""
    return NUMBER.fullmatch(written_plainly(cell)) is not None


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
    said = {code.strip().casefold() for code in codes}
    missing = text.map(
        lambda cell: not cell or cell.casefold() in MISSING | said or _SHEET_ERROR.fullmatch(cell) is not None
    ).astype(bool)
    percent = text.str.endswith("%") & ~missing
    all_percent = bool(percent.any()) and int(percent.sum()) == int((~missing).sum())
    if all_percent:
        text = text.str.removesuffix("%").str.strip()
    plain = text.str.replace(",", "." if decimal_comma else "", regex=False)
    values = pd.to_numeric(plain.where(~missing), errors="coerce").astype(float)
    values = values.where(np.isfinite(values))
    known = {float(code) for code in said if NUMBER.fullmatch(code) and code.isascii() and "," not in code}
    coded = values.isin(known)
    missing, values = missing | coded, values.where(~coded)
    return Numbers(values, missing, all_percent)


def missing_codes(values: Sequence[float], scale: tuple[float, float] | None = None) -> dict[str, int]:
    """Return the numbers that look like codes for a missing answer -> how many cells hold them.

    They are those of `CODES` off the scale; with no scale known, those far from all other numbers.
    """
    counts = Counter(value for value in values if value in CODES)
    rest = [abs(value) for value in values if np.isfinite(value) and value not in CODES]
    if scale is not None:
        low, high = scale
        return {f"{code:g}": n for code, n in sorted(counts.items()) if not low <= code <= high}
    widest = max(rest, default=np.inf)
    negative = any(value < 0 for value in values if value not in CODES)
    return {
        f"{code:g}": n
        for code, n in sorted(counts.items())
        if rest and ((code < 0 and not negative) or abs(code) > 2 * widest)
    }
