"""From a recognised grid to checked ratings: numbers, scales, duplicates, and what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.errors import EmospaceError
from emospace.norms.formats import Grid
from emospace.norms.headers import plain
from emospace.norms.mixtures import SOURCES, refuse_mixture, suspects
from emospace.norms.reading import clean_word
from emospace.norms.recognising import Recognised
from emospace.norms.word_norms import TARGETS, rejection_table

if TYPE_CHECKING:
    import pandas as pd

MOST_REJECTED = 0.2
SAME = 1e-6
MEAN_AND_SD = r"\s*([-−+]?\d+(?:[.,]\d+)?)\s*(?:[(（]|±|\+/-)\s*(\d+(?:[.,]\d+)?)\s*[)）]?\s*"


def read_ratings(
    grid: Grid,
    found: Recognised,
    scales: Mapping[str, tuple[float, float]],
    targets: tuple[str, ...],
    what: str,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Return the checked table, the rejected rows and how the cells were read.

    Cells such as "7.52 (1.31)" are read as mean and SD. A row is rejected for an empty word, a rating that is missing,
    no number or off the scale, more cells than the header has, or a word rated twice with ratings more than 1e-6 apart
    (then both). Duplicates that agree are merged and counted.

    Raises
    ------
    EmospaceError
        If more than 20% of the rows are rejected, none is left, or a part of the file lies on another scale.
    """
    import pandas as pd

    raw = raw_columns(grid, found)
    if raw.empty:
        raise EmospaceError(what, "it holds a header but no ratings", "Give a file with a row for each word.")
    reasons = pd.Series("", index=raw.index)

    def reject(rows: pd.Series, why: pd.Series | str) -> None:
        fresh = rows & (reasons == "")
        reasons[fresh] = why[fresh] if isinstance(why, pd.Series) else why

    width = max(len(found.headers), 1)
    reject(raw["cells"] > width, "more cells than the header: " + raw["cells"].astype(str) + f" for {width}")
    marks = ~raw["word"].str.contains(r"\w", regex=True)
    reject(raw["word"] == "", "no word")
    reject(marks, "no letter in the word: '" + raw["word"] + "'")

    joined = _split_cells(raw, targets)
    commas = any(raw[t].str.fullmatch(r"\s*[-−+]?\d+,\d+\s*").any() for t in targets)
    table = pd.DataFrame({"word": raw["word"]})
    table = table.assign(**{target: _numbers(raw[target], decimal_comma=True) for target in targets})
    labels = _sources(grid, found)
    refuse_mixture(
        table[reasons == ""],
        scales,
        raw["row"][reasons == ""],
        {k: v[reasons == ""] for k, v in labels.items()},
        what,
    )
    unread = 0
    for target in targets:
        low, high = scales[target]
        cells = raw[target].str.strip()
        reject(cells == "", f"no {target} rating")
        reject(table[target].isna(), f"{target} is no number: '" + cells + "'")
        off = (table[target] < low - SAME) | (table[target] > high + SAME)
        reject(off, f"{target} off the scale {low:g} to {high:g}: " + cells)
        for column in (f"{target}_sd", f"{target}_n"):
            if column in raw:
                numbers = _numbers(raw[column], decimal_comma=commas or column.endswith("_sd"))
                numbers = numbers.where(numbers >= (0 if column.endswith("_sd") else 1))
                unread += int((numbers.isna() & (raw[column].str.strip() != "") & (reasons == "")).sum())
                if numbers.notna().any():
                    table[column] = numbers

    order = [target + suffix for target in targets for suffix in ("", "_sd", "_n")]
    table = table[["word", *(column for column in order if column in table)]]
    good = table[reasons == ""]
    by_word = good.groupby("word", sort=False)[list(targets)]
    apart = ((by_word.max() - by_word.min()) > SAME).any(axis=1)
    twice = raw["word"].isin(apart.index[apart])
    shown = raw.loc[twice, list(targets)].apply(
        lambda row: ", ".join(f"{t} {row[t].strip()}" for t in targets), axis=1
    )
    if twice.any():
        reject(twice, "rated more than once and the ratings differ: " + shown.reindex(raw.index))
    kept = table[reasons == ""]
    merged = int(kept["word"].duplicated().sum())
    kept = kept.drop_duplicates("word").reset_index(drop=True)

    out = reasons != ""
    rejected = rejection_table(list(zip(raw["row"][out], raw["word"][out], reasons[out], strict=True)))
    _refuse_if_too_many(what, len(raw), rejected)
    usable = reasons == ""
    reading = {
        "suspects": suspects(table[usable], scales, {k: v[usable] for k, v in labels.items()}),
        "mean_and_sd_in_one_cell": joined,
        "rows": len(raw),
        "merged": merged,
        "blank": grid.blank,
        "unread": unread,
        "decimal": "," if commas else ".",
    }
    return kept, rejected, reading


def raw_columns(grid: Grid, found: Recognised) -> pd.DataFrame:
    """Return the cells of the recognised columns as text, with each row's number and how many cells it has."""
    import pandas as pd

    rows = grid.rows[found.first_row :]
    data: dict[str, Any] = {
        key: [row[at] if at < len(row) else "" for row in rows] for key, at in found.columns.items()
    }
    raw = pd.DataFrame(data, dtype=object)
    raw["word"] = [clean_word(word) for word in raw["word"]]
    raw["row"] = grid.numbers[found.first_row :]
    raw["cells"] = [max((i for i, cell in enumerate(row, 1) if cell.strip()), default=0) for row in rows]
    return raw


def _split_cells(raw: pd.DataFrame, targets: tuple[str, ...]) -> list[str]:
    """Split cells that hold mean and SD, in place; return the targets that had such cells in most rows."""
    joined = []
    for target in targets:
        parts = raw[target].str.extract(f"^{MEAN_AND_SD}$")
        both = parts[1].notna()
        if both.sum() <= 0.5 * (raw[target].str.strip() != "").sum():
            continue
        raw[target] = raw[target].where(~both, parts[0])
        if f"{target}_sd" not in raw:
            raw[f"{target}_sd"] = parts[1].where(both, "").astype(object)
        joined.append(target)
    return joined


def _sources(grid: Grid, found: Recognised) -> dict[str, pd.Series]:
    """Return the columns that say where a row is from: header -> cells, those with 2 to 50 values."""
    import pandas as pd

    rows = grid.rows[found.first_row :]
    columns = {}
    for at, header in enumerate(found.headers):
        if plain(header) in SOURCES and at not in found.columns.values():
            cells = pd.Series([row[at].strip() if at < len(row) else "" for row in rows], dtype=object)
            if 2 <= cells.nunique() <= 50:
                columns[header] = cells
    return columns


def _numbers(cells: pd.Series, *, decimal_comma: bool) -> pd.Series:
    import pandas as pd

    text = cells.str.strip().str.replace("−", "-", regex=False)
    text = text.str.replace(",", "." if decimal_comma else "", regex=False)
    numbers = pd.to_numeric(text, errors="coerce").astype(float)
    return numbers.where(np.isfinite(numbers))


def _refuse_if_too_many(what: str, n_rows: int, rejected: pd.DataFrame) -> None:
    if len(rejected) <= MOST_REJECTED * n_rows:
        return
    kinds = Counter(reason.partition(":")[0] for reason in rejected["reason"])
    kind, count = kinds.most_common(1)[0]
    example = rejected[rejected["reason"].str.partition(":")[0] == kind].iloc[0]
    mends = {
        "differ": "Keep one row a word, or name the column that tells the entries apart as the word.",
        "off the scale": "Give the scale the raters used, scale=(lowest, highest) or --scale lowest,highest.",
        "rating": f"Leave that target out with targets=({', '.join(map(repr, _others(kind)))}).",
        "more cells": "Separate cells by semicolons or tabs where numbers have decimal commas.",
    }
    mend = next(
        (mend for key, mend in mends.items() if key in kind), "Mend these rows or name other columns."
    )
    raise EmospaceError(
        what,
        f"{len(rejected):,} of {n_rows:,} rows cannot be used, {count:,} for '{kind}' "
        f"(row {example['row']}, '{example['word']}': {example['reason']})",
        mend,
    )


def _others(kind: str) -> list[str]:
    return [target for target in TARGETS if target not in kind]
