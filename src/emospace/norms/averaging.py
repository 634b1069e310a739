"""Several rows a word: the mean of its ratings, with SD and number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def averaged(table: pd.DataFrame, targets: tuple[str, ...]) -> pd.DataFrame:
    """Return one row a word: the mean of its ratings on each target, their SD and their number.

    A row without SD and n counts as one rating. Rows that are means of n ratings each are weighted by n, and the SD is
    that of all ratings together: the spread within rows and between them. Where the file gives SD without n, or n of a
    row is unknown, rows count alike and SD and n are unknown.

    Parameters
    ----------
    table
        ``word``, targets and, where known, ``<target>_sd`` and ``<target>_n``; NaN where a row has no rating.
    """
    import pandas as pd

    word, words = pd.factorize(table["word"])
    size = len(words)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(word, weights=values, minlength=size)

    columns: dict[str, object] = {"word": list(words)}
    for target in targets:
        ratings = table[target].to_numpy(float)
        given_sd, given_n = f"{target}_sd" in table, f"{target}_n" in table
        sd = table[f"{target}_sd"].to_numpy(float) if given_sd else np.zeros(len(table))
        n = table[f"{target}_n"].to_numpy(float) if given_n else np.ones(len(table))
        if not given_n and given_sd:
            n = np.full(len(table), np.nan)
        rated = np.isfinite(ratings)
        unknown = total(rated & ~np.isfinite(n)) > 0
        weight = np.where(rated, np.where(unknown[word], 1.0, n), 0.0)
        count = total(weight)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total(weight * np.where(rated, ratings, 0)) / count
            inside = np.where(rated & (weight > 1), (weight - 1) * sd**2, 0.0)
            between = np.where(rated, weight * (np.where(rated, ratings, 0) - mean[word]) ** 2, 0.0)
            spread = np.sqrt((total(inside) + total(between)) / (count - 1))
        only_means = given_n and not given_sd
        columns[target] = mean
        columns[f"{target}_sd"] = np.where(unknown | (count < 2) | only_means, np.nan, spread)
        columns[f"{target}_n"] = np.where(unknown | (count == 0), np.nan, count)
    found = pd.DataFrame(columns)
    return found[[column for column in found if column in targets or found[column].notna().any()]]
