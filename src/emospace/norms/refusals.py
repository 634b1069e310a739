"""Ratings files that are refused: several scales in one file, or too many rows that cannot be used."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emospace.errors import EmospaceError
from emospace.norms.word_norms import TARGETS

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 10
DENSE = 0.1
"""A source or run of rows lies on another scale from this number and share of ratings off the declared one."""

NARROW = ((0.0, 1.0), (1.0, 4.0), (1.0, 5.0), (1.0, 7.0))
MOST_REJECTED = 0.2
ROWS_OF_A_RATER = 3
"""Rows a word from which a file is taken for one of single ratings."""

FORMULAS = "Its cells hold formulas saved without their values: open it in a spreadsheet program, save it, and give that file."
TRIALS = "It seems to hold one row a rating: say --trials, or trials = true in its card, to take the mean, SD and n of each word."
WAYS_OUT = {
    "differ": "Keep one row a word, name the column that tells the entries apart as the word, or say --duplicates mean to "
    "take their mean, SD and n.",
    "off the scale": "Give the scale the raters used, scale=(lowest, highest) or --scale lowest,highest.",
    "more cells": "Separate cells by semicolons or tabs where numbers have decimal commas.",
    "": "Fix these rows or name other columns.",
}
"""Part of the reason for which most rows are rejected -> what to do."""

NO_NUMBER = {
    r"=.*": "They are formulas: save their values, as CSV or in a workbook saved by a spreadsheet program.",
    r"\d{4}-\d\d-\d\d.*|\d{1,2}-[A-Za-z]{3}": "A spreadsheet made dates of numbers: take the file as published.",
    r"[\d.,\s]+%": "Some ratings are percentages and some are not: write all alike.",
    r"\[.*": "They are lists: name the column of means.",
    r".*\d[.,]\d+[.,]\d+.*": "They have two decimal marks: save them with one.",
}
"""What most cells look like that should be numbers -> what to do."""


class Cause(NamedTuple):
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

    formulas: int
    codes: Mapping[str, int]
    rows_a_word: float
    percent: bool


def refuse_if_too_many(source: str, n_rows: int, rejected: pd.DataFrame, cause: Cause) -> None:
    """Raise `EmospaceError` if more than 20% of the rows hold something that cannot be used.

    Rows without any rating do not count: nobody rated that word.
    """
    wrong = rejected[~rejected["reason"].str.fullmatch("no .+ rating")]
    if len(wrong) <= MOST_REJECTED * n_rows:
        return
    kinds = wrong["reason"].str.partition(":")[0]
    kind, count = Counter(kinds).most_common(1)[0]
    same = wrong[kinds == kind]
    example = same.iloc[0]
    cells = [reason.partition(":")[2].strip(" '") for reason in same["reason"]]
    raise EmospaceError(
        source,
        f"{len(wrong):,} of {n_rows:,} rows cannot be used, {count:,} for '{kind}' "
        f"(row {example['row']}, '{example['word']}': {example['reason']})",
        _way_out(kind, cells, cause),
    )


def without_rating(targets: tuple[str, ...]) -> str:
    """Return the reason of a row without any rating, as `refuse_if_too_many` knows it."""
    return f"no {' or '.join(targets)} rating"


def refuse_unrated(source: str, missing: pd.DataFrame, usable: pd.Series, cause: Cause) -> None:
    """Refuse a file in which a target has no rating at all, or formulas stand for many of them without their values.

    Parameters
    ----------
    missing
        Target -> which rows have no rating ``[n_rows, n_targets]``.
    usable
        Which rows are kept ``[n_rows]``.
    """
    for target in missing:
        n = int(missing[target].sum())
        if cause.formulas and n > MOST_REJECTED * len(missing):
            raise EmospaceError(
                source, f"it has no {target} rating in {n:,} of {len(missing):,} rows", FORMULAS
            )
        if not (usable & ~missing[target]).any():
            without = ",".join(str(t) for t in missing if t != target)
            raise EmospaceError(
                source,
                f"it has no {target} rating in any of its {len(missing):,} rows",
                f"Leave that target out with --targets {without}, or name its column."
                if len(missing.columns) > 1
                else f"Name the column of ratings with --column {target}=HEADER.",
            )


def refuse_mixture(
    table: pd.DataFrame,
    scales: Mapping[str, tuple[float, float]],
    rows: pd.Series,
    sources: Mapping[str, pd.Series],
    source: str,
) -> None:
    """Refuse ratings of which a part lies on another scale than the one declared.

    Parameters
    ----------
    table
        Numbers of each target, NaN where a cell is none.
    scales
        Target -> declared (lowest, highest) answer.
    rows
        Number of each row in the file.
    sources
        Header -> cells of the columns that say where a row is from.

    Raises
    ------
    EmospaceError
        If one source, or one run of rows, is off the scale in at least a tenth of its ratings (and 3 of them, of 10 or
        more) while the others lie on it.
    """
    for target, (low, high) in scales.items():
        values = table[target].to_numpy(float)
        rated = np.isfinite(values)
        off = rated & ((values < low - 1e-6) | (values > high + 1e-6))
        if off.sum() < 3 or not (rated & ~off).any():
            continue

        def is_off(part: np.ndarray, off: np.ndarray = off) -> bool:
            n, wrong = int(part.sum()), int((part & off).sum())
            return n >= FEWEST and wrong >= max(3, DENSE * n)

        parts: dict[str, np.ndarray] = {}
        for header, cells in sources.items():
            groups = {str(label): (cells == label).to_numpy() & rated for label in cells.unique()}
            wrong = [label for label, part in groups.items() if is_off(part)]
            part = np.any([groups[label] for label in wrong], axis=0)
            if wrong and len(wrong) < len(groups) and (off & ~part).sum() <= 0.02 * (rated & ~part).sum():
                parts[f"the rows with {header} {', '.join(map(repr, wrong))}"] = part
        first, *_, last = np.flatnonzero(off)
        run = (np.arange(len(values)) >= first) & (np.arange(len(values)) <= last)
        if is_off(run & rated) and run.sum() <= 0.9 * len(run):
            parts[f"rows {rows.iloc[first]} to {rows.iloc[last]}"] = run & rated
        for where, part in parts.items():
            inside, rest = values[part], values[rated & ~part]
            raise EmospaceError(
                source,
                f"it mixes scales: {where} hold {target} from {inside.min():g} to {inside.max():g}, the others from "
                f"{rest.min():g} to {rest.max():g}, and the scale is {low:g} to {high:g}",
                "Split the file by scale and give both, each with its own scale.",
            )


def narrower_sources(
    table: pd.DataFrame, scales: Mapping[str, tuple[float, float]], sources: Mapping[str, pd.Series]
) -> list[str]:
    """Return sources whose ratings end where a narrower scale does, so that they may lie on one; no proof."""
    suspects = []
    for header, cells in sources.items():
        for label in cells.unique():
            part = (cells == label).to_numpy()
            ends = (
                scale
                for scale in NARROW
                if part.sum() >= 30 and all(_ends_at(table[t], part, scale, scales[t]) for t in scales)
            )
            if scale := next(ends, None):
                suspects.append(
                    f"{header} '{label}': {', '.join(scales)} all within {scale[0]:g} to {scale[1]:g}"
                )
    return suspects


def _ends_at(
    ratings: pd.Series, part: np.ndarray, narrow: tuple[float, float], scale: tuple[float, float]
) -> bool:
    """Return whether the ratings of a part of the rows end where a narrow scale does, and the others do not."""
    inside, rest = ratings[part].dropna(), ratings[~part].dropna()
    (low, high), (lowest, highest) = narrow, scale
    if inside.empty or rest.empty or high >= highest or low < lowest - 1e-6:
        return False
    at_end = low <= inside.min() and high - 0.15 * (high - low) <= inside.max() <= high + 1e-6
    return bool(at_end and rest.quantile(0.95) > high)


def _way_out(kind: str, cells: list[str], cause: Cause) -> str:
    """Return what to do about rows that cannot be used for one reason, `cells` being what stands in them."""
    if "off the scale" in kind and cause.codes:
        code = max(cause.codes, key=lambda code: cause.codes[code])
        return (
            f"{code} looks like a code for a missing answer ({cause.codes[code]:,} cells): say --missing {code}, or "
            f'missing = ["{code}"] in its card.'
        )
    if "no number" in kind:
        for look, hint in NO_NUMBER.items():
            if sum(re.fullmatch(look, cell) is not None for cell in cells) > len(cells) / 2:
                return hint
        target = next((target for target in TARGETS if target in kind), "valence")
        return f"Name the column of numbers with --column {target}=HEADER, or what stands for no rating with --missing TEXT."
    if "differ" in kind and cause.rows_a_word >= ROWS_OF_A_RATER:
        return TRIALS
    hint = next(hint for part, hint in WAYS_OUT.items() if part in kind)
    percent = "off the scale" in kind and cause.percent
    return hint + " The cells are percentages: their scale is 0,100." * percent
