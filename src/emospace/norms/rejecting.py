"""When too many rows of a ratings file cannot be used: the error, with the way out that fits the cause."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from emospace.errors import EmospaceError
from emospace.norms.word_norms import TARGETS

if TYPE_CHECKING:
    import pandas as pd

MOST_REJECTED = 0.2
FORMULAS = "Its cells hold formulas saved without their values: open it in a spreadsheet program, save it, and give that file."
ROWS_OF_A_RATER = 3


@dataclass(frozen=True)
class Cause:
    """What is known of why rows cannot be used.

    Parameters
    ----------
    formulas
        Cells of a workbook whose formula was saved without its value.
    codes
        Numbers off the scale that look like codes for a missing answer -> cells.
    rows_a_word
        Rows of a word rated more than once, on average.
    percent
        Whether ratings are percentages.
    """

    formulas: int = 0
    codes: Mapping[str, int] = field(default_factory=dict)
    rows_a_word: float = 0.0
    percent: bool = False


def refuse_if_too_many(what: str, n_rows: int, rejected: pd.DataFrame, cause: Cause) -> None:
    """Raise `EmospaceError` if more than 20% of the rows hold something that cannot be used.

    Rows without any rating do not count: nobody rated that word.
    """
    wrong = rejected[~rejected["reason"].map(_is_unrated)]
    if len(wrong) <= MOST_REJECTED * n_rows:
        return
    kinds = Counter(reason.partition(":")[0] for reason in wrong["reason"])
    kind, count = kinds.most_common(1)[0]
    same = wrong[wrong["reason"].str.partition(":")[0] == kind]
    example = same.iloc[0]
    raise EmospaceError(
        what,
        f"{len(wrong):,} of {n_rows:,} rows cannot be used, {count:,} for '{kind}' "
        f"(row {example['row']}, '{example['word']}': {example['reason']})",
        _way_out(kind, [reason.partition(":")[2].strip(" '") for reason in same["reason"]], cause),
    )


def no_rating(targets: tuple[str, ...]) -> str:
    """Return the reason of a row without any rating, as `_is_unrated` knows it: such a row holds nothing wrong."""
    return f"no {' or '.join(targets)} rating"


def _is_unrated(reason: str) -> bool:
    return re.fullmatch("no .+ rating", reason) is not None


def _way_out(kind: str, cells: list[str], cause: Cause) -> str:
    """Return what to do about rows that cannot be used for one reason."""
    if "differ" in kind and cause.rows_a_word >= ROWS_OF_A_RATER:
        return (
            "It seems to hold one row a rating: say --trials, or trials = true in its card, to take the mean, SD and n of "
            "each word."
        )
    if "differ" in kind:
        return (
            "Keep one row a word, name the column that tells the entries apart as the word, or say --duplicates mean to "
            "take their mean, SD and n."
        )
    if "off the scale" in kind and cause.codes:
        code = max(cause.codes, key=lambda code: cause.codes[code])
        return (
            f"{code} looks like a code for a missing answer ({cause.codes[code]:,} cells): say --missing {code}, or "
            f'missing = ["{code}"] in its card.'
        )
    if "off the scale" in kind:
        percent = " The cells are percentages: their scale is 0,100." if cause.percent else ""
        return "Give the scale the raters used, scale=(lowest, highest) or --scale lowest,highest." + percent
    if "no number" in kind:
        return _of_no_number(cells, next((target for target in TARGETS if target in kind), "valence"))
    if "more cells" in kind:
        return "Separate cells by semicolons or tabs where numbers have decimal commas."
    return "Mend these rows or name other columns."


def _of_no_number(cells: list[str], target: str) -> str:
    """Return what to do about cells that should be numbers, by what most of them look like."""
    looks = {
        r"=.*": "They are formulas: save their values, as CSV or in a workbook saved by a spreadsheet program.",
        r"\d{4}-\d\d-\d\d.*|\d{1,2}-[A-Za-z]{3}": "A spreadsheet made dates of numbers: take the file as published.",
        r"[\d.,\s]+%": "Some ratings are percentages and some are not: write all alike.",
        r"\[.*": "They are lists: name the column of means.",
        r".*\d[.,]\d+[.,]\d+.*": "They have two decimal marks: save them with one.",
    }
    for look, hint in looks.items():
        if sum(re.fullmatch(look, cell) is not None for cell in cells) > len(cells) / 2:
            return hint
    return f"Name the column of numbers with --column {target}=HEADER, or what stands for no rating with --missing TEXT."
