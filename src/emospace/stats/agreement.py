"""Agreement between raters who put the same things into categories."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emospace.stats.resampling import percentile_interval


class Agreement(NamedTuple):
    """Krippendorff's alpha with its 95% interval, the things that two raters or more rated, and their ratings."""

    alpha: float
    low: float
    high: float
    n_units: int
    n_ratings: int


def nominal_alpha(ratings: ArrayLike, *, seed: int, n: int = 2000) -> Agreement:
    """Return Krippendorff's alpha of categories without an order: 1 perfect agreement, 0 that of chance.

    Parameters
    ----------
    ratings
        ``[n_raters, n_units]`` whole numbers of the categories; NaN where a rater did not rate. Units with fewer than two
        ratings say nothing and are left out.
    seed
        Decides the resamples of units behind the interval.
    n
        Resamples; an interval of fewer than two units is NaN.

    Returns
    -------
    Agreement
        alpha is NaN where all ratings are of one category: there is nothing to disagree about.

    References
    ----------
    Krippendorff (2011), Computing Krippendorff's alpha-reliability, University of Pennsylvania.
    """
    table = np.atleast_2d(np.asarray(ratings, dtype=np.float64))
    table = table[:, np.isfinite(table).sum(axis=0) >= 2]
    categories = np.unique(table[np.isfinite(table)])
    counts = (table[:, :, None] == categories).sum(axis=0).astype(np.float64)
    n_units, n_ratings = len(counts), int(counts.sum())
    if not n_units:
        return Agreement(np.nan, np.nan, np.nan, 0, 0)
    whole = float(_alpha(counts, np.ones((1, n_units)))[0])
    if n_units < 2 or not np.isfinite(whole):
        return Agreement(whole, np.nan, np.nan, n_units, n_ratings)
    times = np.random.default_rng(seed).multinomial(n_units, np.full(n_units, 1 / n_units), n)
    draws = _alpha(counts, times.astype(np.float64))
    return Agreement(whole, *percentile_interval(draws, n_units), n_units, n_ratings)


def _alpha(counts: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return alpha ``[n_draws]`` of counts ``[n_units, n_categories]``, each unit taken `times` ``[n_draws, n_units]``."""
    of_unit = counts.sum(axis=1)
    # Pairs of unlike ratings in a unit, over the ratings each is paired with.
    unlike = (of_unit**2 - (counts**2).sum(axis=1)) / (of_unit - 1)
    totals = times @ counts
    n = totals.sum(axis=1)
    expected = (n**2 - (totals**2).sum(axis=1)) / (n - 1)
    alpha: NDArray[np.float64] = 1 - np.divide(
        times @ unlike, expected, out=np.full(len(times), np.nan), where=expected > 0
    )
    return alpha
