"""Correlation of representational dissimilarity matrices (RDMs): relabelling tests and intervals.

An RDM is square [n, n] (symmetric; its diagonal is not read) or condensed [n (n - 1) / 2], the upper triangle
row by row, as in `scipy.spatial.distance.squareform`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emospace.errors import EmospaceError
from emospace.stats.correlation import rank_rows

Floats = NDArray[np.float64]
Statistic = Literal["spearman", "pearson"]
_BLOCK = 2048


class Test(NamedTuple):
    """A statistic with its permutation p: `n` categories, `n_permutations` relabellings."""

    value: float
    p: float
    n: int
    n_permutations: int


class Interval(NamedTuple):
    """A percentile bootstrap interval; `n` resamples gave a defined statistic."""

    low: float
    high: float
    n: int


def condensed(rdm: ArrayLike) -> Floats:
    """Return the upper triangle [n (n - 1) / 2] of a square RDM, or a condensed one unchanged.

    Raises
    ------
    ValueError
        If the shape is that of no RDM.
    EmospaceError
        If an entry is not finite, or there are fewer than four categories.
    """
    array = np.asarray(rdm, dtype=np.float64)
    if array.ndim == 2 and array.shape[0] == array.shape[1]:
        array = array[np.triu_indices(len(array), 1)]
    if array.ndim != 1 or _n_categories(array) * (_n_categories(array) - 1) // 2 != len(array):
        raise ValueError(f"no RDM has the shape {np.shape(rdm)}")
    if _n_categories(array) < 4:
        raise EmospaceError(
            f"a dissimilarity matrix of {_n_categories(array)} categories",
            "there is nothing to correlate below four",
            "Compare more categories.",
        )
    if not np.isfinite(array).all():
        raise EmospaceError(
            "a dissimilarity matrix",
            f"{int((~np.isfinite(array)).sum())} of its {len(array)} entries are missing or infinite",
            "Leave out the categories without a value (a silent or constant row has no correlation distance).",
        )
    return array


def _n_categories(pairs: Floats) -> int:
    return (1 + isqrt(1 + 8 * len(pairs))) // 2


def _stack(a: ArrayLike, b: ArrayLike, partial: Sequence[ArrayLike]) -> Floats:
    parts = [condensed(part) for part in (a, b, *partial)]
    if len({len(part) for part in parts}) != 1:
        raise ValueError(f"RDMs of different sizes: {[len(part) for part in parts]} pairs")
    return np.stack(parts)


def _basis(controls: Floats) -> Floats:
    """Return orthonormal columns [n_pairs, rank] spanning the intercept and the control rows."""
    ones = np.ones((1, controls.shape[1]))
    centred = controls - controls.mean(axis=1, keepdims=True)
    left, size, _ = np.linalg.svd(np.concatenate([ones, centred]).T, full_matrices=False)
    return np.asarray(left[:, size > size.max() * 1e-10])


def rdm_correlation(
    a: ArrayLike, b: ArrayLike, *, statistic: Statistic = "spearman", partial: Sequence[ArrayLike] = ()
) -> float:
    """Return the (partial) correlation of two RDMs; NaN when one has nothing left after the controls."""
    rows = _stack(a, b, partial)
    if statistic == "spearman":
        rows = rank_rows(rows)
    basis = _basis(rows[2:])
    x, y = (row - basis @ (basis.T @ row) for row in rows[:2])
    if min(x @ x, y @ y) <= 1e-12 * rows.shape[1]:
        return float("nan")
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def mantel(
    a: ArrayLike,
    b: ArrayLike,
    *,
    seed: int,
    n_permutations: int = 9999,
    statistic: Statistic = "spearman",
    partial: Sequence[ArrayLike] = (),
) -> Test:
    """Test whether two RDMs agree more than under relabelled categories, one-sided (Mantel, 1967).

    Ranks survive a relabelling, so they are computed once. With controls, both rank vectors are residualised
    on those of `partial`, the residuals of `a` are relabelled, and the partial correlation is recomputed
    exactly each time (permutation of the residuals of a null model: Legendre, 2000).

    Parameters
    ----------
    a, b
        RDMs over the same categories in the same order.
    partial
        RDMs to hold constant.

    Returns
    -------
    Test
        p = (1 + number of relabellings with at least the observed value) / (1 + n_permutations). Value and p
        are NaN when an RDM has nothing left after the controls.

    References
    ----------
    Mantel (1967), Cancer Research 27, 209-220; Legendre (2000), J. Stat. Comput. Simul. 67, 37-73.
    """
    rows = _stack(a, b, partial)
    n = _n_categories(rows[0])
    observed = rdm_correlation(a, b, statistic=statistic, partial=partial)
    if not np.isfinite(observed):
        return Test(observed, float("nan"), n, n_permutations)
    if statistic == "spearman":
        rows = rank_rows(rows)
    basis = _basis(rows[2:])
    moved, fixed = (row - basis @ (basis.T @ row) for row in rows[:2])
    fixed /= np.sqrt(fixed @ fixed)
    upper = np.triu_indices(n, 1)
    square = np.zeros((n, n))
    square[upper] = moved
    square += square.T
    size = moved @ moved

    rng = np.random.default_rng(seed)
    reached = 0
    for start in range(0, n_permutations, _BLOCK):
        order = rng.permuted(np.tile(np.arange(n), (min(_BLOCK, n_permutations - start), 1)), axis=1)
        drawn = square.ravel().take(order[:, upper[0]] * n + order[:, upper[1]])
        left = size - ((drawn @ basis) ** 2).sum(axis=1) if len(partial) else size
        value = drawn @ fixed / np.sqrt(np.maximum(left, 1e-300))
        reached += int((value >= observed - 1e-10).sum())
    return Test(observed, (1 + reached) / (1 + n_permutations), n, n_permutations)


def bootstrap_rdm(
    a: ArrayLike,
    b: ArrayLike,
    *,
    seed: int,
    n: int = 2000,
    statistic: Statistic = "spearman",
    partial: Sequence[ArrayLike] = (),
    level: float = 0.95,
) -> Interval:
    """Return the percentile interval of an RDM correlation over resampled categories.

    Categories are drawn with replacement. A pair of two copies of one category is dropped (its dissimilarity
    of zero would be agreement for nothing); any other pair counts as often as it is drawn, c_i * c_j times. The
    statistic of a resample is therefore a weighted one over the distinct pairs: the values are sorted once,
    and the re-ranked tied ranks of each resample are cumulative sums of the weights, equal to ranking the
    resampled values themselves.

    Parameters
    ----------
    partial
        RDMs to hold constant; the weighted partial correlation is taken within each resample.
    """
    rows = _stack(a, b, partial)
    categories = _n_categories(rows[0])
    upper = np.triu_indices(categories, 1)
    rng = np.random.default_rng(seed)
    values = []
    for start in range(0, n, 256):
        block = min(256, n - start)
        drawn = rng.integers(0, categories, (block, categories)) + categories * np.arange(block)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=block * categories).reshape(block, categories)
        weights = (counts[:, upper[0]] * counts[:, upper[1]]).astype(np.float64)
        values.append(_weighted_correlation(rows, weights, ranks=statistic == "spearman"))
    drawn_values = np.concatenate(values)
    defined = drawn_values[np.isfinite(drawn_values)]
    if not len(defined):
        return Interval(float("nan"), float("nan"), 0)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), len(defined))


def _weighted_correlation(rows: Floats, weights: Floats, *, ranks: bool) -> Floats:
    """Return [n_resamples] the correlation of rows 0 and 1 given the others, pairs weighted by each resample.

    `rows` is [n_rdms, n_pairs], `weights` [n_resamples, n_pairs].
    """
    total = weights.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = weights / total
        columns = []
        for row in rows:
            column = _weighted_ranks(row, weights) if ranks else np.broadcast_to(row, weights.shape)
            columns.append(column - (share * column).sum(axis=1, keepdims=True))
        stack = np.stack(columns)
        cov = np.einsum("ibp,jbp,bp->bij", stack, stack, share, optimize=True)
        cov = np.nan_to_num(cov)
        if len(rows) > 2:
            inverse = np.linalg.pinv(cov[:, 2:, 2:], rcond=1e-10, hermitian=True)
            cov = cov[:, :2, :2] - cov[:, :2, 2:] @ inverse @ cov[:, 2:, :2]
        size = np.sqrt(np.maximum(cov[:, 0, 0] * cov[:, 1, 1], 0))
        return np.asarray(np.where(size > 1e-12, cov[:, 0, 1] / size, np.nan))


def _weighted_ranks(row: Floats, weights: Floats) -> Floats:
    """Return [n_resamples, n_pairs] the tied ranks of `row` when its entries are repeated `weights` times."""
    _, group = np.unique(row, return_inverse=True)
    order = np.argsort(group, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(group[order]) > 0, True))
    upto = np.cumsum(weights[:, order], axis=1)[:, ends]
    before = np.concatenate([np.zeros((len(weights), 1)), upto[:, :-1]], axis=1)
    return np.asarray(((before + upto + 1) / 2)[:, group])
