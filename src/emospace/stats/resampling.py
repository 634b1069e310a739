"""Resampling of categories and word groups: best components, intervals of r, differences between predictors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emospace.stats.correlation import pearson

Floats = NDArray[np.float64]

_MOST_KEPT = 2**24
"""Numbers of a set of resamples, two bytes each, that is kept for the next predictors of the same words."""


class BestComponent(NamedTuple):
    """The component that correlates most with a rating.

    `component` counts from 0, `r` is the absolute correlation (a component has no sign), `sign` its sign as given;
    `p` repeats the choice in every permutation; `low` and `high` (95%) hold the chosen component fixed.
    """

    component: int
    r: float
    sign: int
    p: float
    low: float
    high: float
    n: int
    n_permutations: int


class Difference(NamedTuple):
    """A difference of two correlations with its 95% and 90% bootstrap intervals and two-sided bootstrap p."""

    value: float
    low: float
    high: float
    low90: float
    high90: float
    p: float
    n: int


def percentile_interval(draws: ArrayLike, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the expanded percentile interval of a bootstrap over `n` independent units.

    Plain percentiles of few units are too narrow twice over: they are those of a normal in place of Student's t, and
    the spread of resamples is that of the units around their own mean, short by (n - 1) / n. The percentiles taken are
    further out by both factors, which makes the interval of a mean that of the t-test.

    Parameters
    ----------
    draws
        [n_draws] the statistic in each resample; NaN where it has none.
    n
        Units that were resampled, two or more.
    level
        Share of samples of which the interval holds the truth.

    References
    ----------
    Hesterberg (2015), The American Statistician 69, 371-386.
    """
    from scipy.special import ndtr, stdtrit

    drawn = np.asarray(draws, dtype=np.float64)
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return float("nan"), float("nan")
    count = max(n, 2)
    tail = ndtr(-stdtrit(count - 1, (1 + level) / 2) * np.sqrt(count / (count - 1)))
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def best_of_components(
    scores: ArrayLike, y: ArrayLike, *, seed: int, n_permutations: int = 9999, n_bootstrap: int = 2000
) -> BestComponent:
    """Return the component with the largest |Pearson r| with `y`, tested as the maximum it is.

    Parameters
    ----------
    scores
        [n_categories, k] component scores. k = 1 gives the two-sided test of one component.
    y
        [n_categories] ratings.

    Returns
    -------
    BestComponent
        r and p are NaN when `y` or every component is constant.
    """
    columns, target = np.asarray(scores, dtype=np.float64), np.asarray(y, dtype=np.float64)
    n = len(target)
    r = np.atleast_1d(pearson(columns.T, target))
    if not np.isfinite(r).any():
        nan = float("nan")
        return BestComponent(0, nan, 1, nan, nan, nan, n, n_permutations)
    index = int(np.nanargmax(np.abs(r)))
    usable = columns[:, np.isfinite(r)] - columns[:, np.isfinite(r)].mean(axis=0)
    usable = usable / np.linalg.norm(usable, axis=0)
    centred = (target - target.mean()) / np.linalg.norm(target - target.mean())
    rng = np.random.default_rng(seed)
    reached = 0
    for start in range(0, n_permutations, 4096):
        block = min(4096, n_permutations - start)
        relabelled = rng.permuted(np.tile(centred, (block, 1)), axis=1) @ usable
        reached += int((np.abs(relabelled).max(axis=1) >= abs(r[index]) - 1e-10).sum())
    sign = -1 if r[index] < 0 else 1
    drawn = bootstrap_correlations(sign * columns[:, index], target, seed=seed, n=n_bootstrap)
    low, high = percentile_interval(drawn, n)
    p = (1 + reached) / (1 + n_permutations)
    return BestComponent(index, float(abs(r[index])), sign, p, low, high, n, n_permutations)


def bootstrap_correlations(
    predictions: ArrayLike, observed: ArrayLike, groups: ArrayLike | None = None, *, seed: int, n: int = 2000
) -> Floats:
    """Return Pearson's r of every predictor with `observed` in each of `n` resamples of whole groups.

    All predictors share the resamples, so that columns can be compared pairwise. Only per-group sums are
    resampled: a draw costs one matrix product however long the words are.

    Parameters
    ----------
    predictions
        [n_predictors, n_words] or [n_words].
    groups
        [n_words] group of each word (inflections, duplicates); None lets each word be its own.

    Returns
    -------
    [n, n_predictors], NaN where a resample is constant.
    """
    rows = np.atleast_2d(np.asarray(predictions, dtype=np.float64))
    target = np.asarray(observed, dtype=np.float64)
    rows = rows - rows.mean(axis=1, keepdims=True)
    target = target - target.mean()
    k = len(rows)
    sums = np.stack([np.ones_like(target), target, target**2, *rows, *rows**2, *(rows * target)])
    if groups is not None:
        _, code = np.unique(np.asarray(groups), return_inverse=True)
        sums = np.stack([np.bincount(code, weights=row) for row in sums])
    n_groups = sums.shape[1]
    kept = n * n_groups <= _MOST_KEPT
    parts = []
    for counts in _kept_counts(n, n_groups, seed) if kept else _counts(n, n_groups, seed):
        count, y, yy, *rest = (counts.astype(np.float64) @ sums.T).T
        x, xx, xy = np.asarray(rest).reshape(3, k, len(counts))
        variance = np.maximum(xx - x * x / count, 0) * np.maximum(yy - y * y / count, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            parts.append(np.where(variance > 1e-24, (xy - x * y / count) / np.sqrt(variance), np.nan).T)
    return np.concatenate(parts)


def _counts(n: int, n_groups: int, seed: int) -> Iterator[NDArray[np.uint16]]:
    """Yield how often each of `n` resamples holds each group, ``[block, n_groups]``."""
    rng = np.random.default_rng(seed)
    block = max(1, min(n, 4_000_000 // n_groups))
    for start in range(0, n, block):
        size = min(block, n - start)
        drawn = rng.integers(0, n_groups, (size, n_groups)) + n_groups * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * n_groups).reshape(size, n_groups)
        yield counts.astype(np.uint16)


@lru_cache(maxsize=4)
def _kept_counts(n: int, n_groups: int, seed: int) -> tuple[NDArray[np.uint16], ...]:
    """Return `_counts`, kept: drawing takes longer than what is done with them, and the same words come again."""
    return tuple(_counts(n, n_groups, seed))


def bootstrap_r(
    prediction: ArrayLike,
    observed: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    seed: int,
    n: int = 2000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the percentile interval of Pearson's r over resampled word groups."""
    draws = bootstrap_correlations(prediction, observed, groups, seed=seed, n=n)[:, 0]
    n_groups = len(np.asarray(observed)) if groups is None else len(np.unique(groups))
    return percentile_interval(draws, n_groups, level)


def difference_of(value: float, draws: ArrayLike) -> Difference:
    """Return a difference with intervals and p from its bootstrap draws [n].

    p is twice the smaller share of draws on either side of zero, with one added to both counts.
    """
    drawn = np.asarray(draws, dtype=np.float64)
    drawn = drawn[np.isfinite(drawn)]
    nan = float("nan")
    if not len(drawn):
        return Difference(value, nan, nan, nan, nan, nan, 0)
    low, low90, high90, high = np.quantile(drawn, [0.025, 0.05, 0.95, 0.975])
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    p = min(1.0, 2 * (1 + float(tail)) / (1 + len(drawn)))
    return Difference(float(value), float(low), float(high), float(low90), float(high90), p, len(drawn))


def paired_bootstrap(
    pred_a: ArrayLike,
    pred_b: ArrayLike,
    observed: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    seed: int,
    n: int = 2000,
) -> Difference:
    """Compare two predictors of the same words by r(a) - r(b) over resampled word groups.

    Parameters
    ----------
    pred_a, pred_b, observed
        [n_words] out-of-fold predictions and the ratings.
    groups
        [n_words] words that belong together.
    """
    pair = np.stack([np.asarray(pred_a, dtype=np.float64), np.asarray(pred_b, dtype=np.float64)])
    r_a, r_b = pearson(pair, observed)
    draws = bootstrap_correlations(pair, observed, groups, seed=seed, n=n)
    return difference_of(r_a - r_b, draws[:, 0] - draws[:, 1])


def equivalent(difference: Difference, margin: float = 0.03) -> bool:
    """Return whether two correlations are as good as each other: the 90% interval lies within +-margin.

    The 90% interval makes it two one-sided tests at 5% (Schuirmann, 1987).
    """
    return bool(difference.low90 >= -margin and difference.high90 <= margin)
