"""Correlation of representational dissimilarity matrices (RDMs): relabelling tests and intervals.

An RDM is square [n, n] (symmetric; its diagonal is not read) or condensed [n (n - 1) / 2], the upper triangle
row by row, as in `scipy.spatial.distance.squareform`. A pair without a value (NaN) in one of the RDMs compared is left
out of all of them, under each relabelling anew. A `mask` of either shape is True at the pairs that the second RDM has
a value for; the others are left out, whatever stands there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations_with_replacement
from math import isqrt
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emospace.errors import InvalidInput
from emospace.stats.correlation import rank_rows
from emospace.stats.resampling import Difference, difference_of

Floats = NDArray[np.float64]
Statistic = Literal["spearman", "pearson"]
_BLOCK = 2048
FEWEST_PAIRS = 6
"""Pairs with a value in both RDMs, below which there is no figure: those of four categories."""


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
    """Return the upper triangle [n (n - 1) / 2] of a square RDM, or a condensed one unchanged; missing pairs stay NaN.

    Raises
    ------
    ValueError
        If the shape is that of no RDM.
    EmospaceError
        If an entry is infinite, or there are fewer than four categories.
    """
    array = _triangle(np.asarray(rdm, dtype=np.float64))
    if _n_categories(array) < 4:
        raise InvalidInput(
            f"a dissimilarity matrix of {_n_categories(array)} categories",
            "there is nothing to correlate below four",
            "Compare more categories.",
        )
    if np.isinf(array).any():
        raise InvalidInput(
            "a dissimilarity matrix",
            f"{int(np.isinf(array).sum())} of its {len(array)} entries are infinite",
            "Give finite dissimilarities, and NaN for pairs without one.",
        )
    return array


def left_out(*rdms: ArrayLike) -> str | None:
    """Return how many pairs of RDMs have no value in one of them, as a sentence, or None where all have."""
    complete = np.asarray(np.isfinite(_stack(rdms)).all(axis=0))
    n_missing = int((~complete).sum())
    return (
        f"{n_missing} of {len(complete)} pairs are left out: one side has no value for them"
        if n_missing
        else None
    )


def _enough(complete: NDArray[np.bool_]) -> None:
    """Raise where RDMs have too few of the pairs [n_pairs] in common."""
    if complete.sum() < FEWEST_PAIRS:
        raise InvalidInput(
            "dissimilarity matrices",
            f"{int(complete.sum())} of their {len(complete)} pairs have a value in each; at least {FEWEST_PAIRS} are needed",
            "Compare more categories, or fill the missing pairs.",
        )


def _triangle(array: NDArray[Any]) -> NDArray[Any]:
    shape = array.shape
    if array.ndim == 2 and shape[0] == shape[1]:
        array = array[np.triu_indices(len(array), 1)]
    if array.ndim != 1 or _n_categories(array) * (_n_categories(array) - 1) // 2 != len(array):
        raise ValueError(f"no RDM has the shape {shape}")
    return array


def _n_categories(pairs: NDArray[Any]) -> int:
    return (1 + isqrt(1 + 8 * len(pairs))) // 2


def _stack(rdms: Sequence[ArrayLike]) -> Floats:
    parts = [condensed(part) for part in rdms]
    if len({len(part) for part in parts}) != 1:
        raise ValueError(f"RDMs of different sizes: {[len(part) for part in parts]} pairs")
    return np.stack(parts)


def _compared(
    a: ArrayLike, b: ArrayLike, partial: Sequence[ArrayLike], mask: ArrayLike | None
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return rows [2 + n_controls, n_pairs], NaN where a pair is unknown, and which pairs all of them know."""
    second = _triangle(np.asarray(b, dtype=np.float64))
    if mask is not None:
        given = _triangle(np.asarray(mask, dtype=bool))
        if len(given) != len(second):
            raise ValueError(f"a mask of {len(given)} pairs for an RDM of {len(second)}")
        second = np.where(given, second, np.nan)
    rows = _stack([a, second, *partial])
    complete = np.asarray(np.isfinite(rows).all(axis=0))
    _enough(complete)
    return rows, complete


def _basis(controls: Floats) -> Floats:
    """Return orthonormal columns [n_pairs, rank] spanning the intercept and the control rows."""
    ones = np.ones((1, controls.shape[1]))
    centred = controls - controls.mean(axis=1, keepdims=True)
    left, size, _ = np.linalg.svd(np.concatenate([ones, centred]).T, full_matrices=False)
    return np.asarray(left[:, size > size.max() * 1e-10])


def rdm_correlation(
    a: ArrayLike,
    b: ArrayLike,
    *,
    statistic: Statistic = "spearman",
    partial: Sequence[ArrayLike] = (),
    mask: ArrayLike | None = None,
) -> float:
    """Return the (partial) correlation of two RDMs; NaN when one has nothing left after the controls."""
    rows, complete = _compared(a, b, partial, mask)
    rows = rows[:, complete]
    if statistic == "spearman":
        rows = rank_rows(rows)
    basis = _basis(rows[2:])
    x, y = (row - basis @ (basis.T @ row) for row in rows[:2])
    if min(x @ x, y @ y) <= 1e-12 * rows.shape[1]:
        return float("nan")
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def rdm_correlations(rdms: Sequence[ArrayLike], *, statistic: Statistic = "spearman") -> Floats:
    """Return the correlations of RDMs with one another [n_rdms, n_rdms], each over the pairs both have.

    NaN beside one that does not vary, and for two that share fewer than `FEWEST_PAIRS` pairs.
    """
    rows = _stack(rdms)
    weights = np.ones((1, rows.shape[1]))
    return np.asarray(_pairwise_correlations(rows, weights, ranks=statistic == "spearman")[0])


def mantel(
    a: ArrayLike,
    b: ArrayLike,
    *,
    seed: int,
    n_permutations: int = 9999,
    statistic: Statistic = "spearman",
    partial: Sequence[ArrayLike] = (),
    mask: ArrayLike | None = None,
) -> Test:
    """Test whether two RDMs agree more than under relabelled categories, one-sided (Mantel, 1967).

    Ranks survive a relabelling, so they are computed once. With controls, both rank vectors are residualised
    on those of `partial`, the residuals of `a` are relabelled, and the partial correlation is recomputed
    exactly each time (permutation of the residuals of a null model: Legendre, 2000). Unknown pairs stay where they
    are in `b` while `a` moves, so that other values of `a` count in each relabelling: they are ranked among
    themselves anew (with controls: the moved residuals are those of ranks over all pairs). Unknown pairs of `a` move
    with it, so that the pairs both know are others in each relabelling.

    Parameters
    ----------
    a, b
        RDMs over the same categories in the same order.
    partial
        RDMs to hold constant.
    mask
        The pairs `b` has a value for; None: all.

    Returns
    -------
    Test
        p = (1 + number of relabellings with at least the observed value) / (1 + n_permutations). Value and p
        are NaN when an RDM has nothing left after the controls.

    References
    ----------
    Mantel (1967), Cancer Research 27, 209-220; Legendre (2000), J. Stat. Comput. Simul. 67, 37-73.
    """
    rows, complete = _compared(a, b, partial, mask)
    n = _n_categories(complete)
    observed = rdm_correlation(a, b, statistic=statistic, partial=partial, mask=mask)
    if not np.isfinite(observed):
        return Test(observed, float("nan"), n, n_permutations)
    if np.isnan(rows[[0, *range(2, len(rows))]]).any():
        with_gaps = _relabelled_with_gaps(rows, statistic)
        return _mantel(with_gaps, observed, n, seed, n_permutations, 2**18 // rows.size + 1)
    rows = np.where(np.isnan(rows), 0.0, rows)
    kept = rows[:, complete]
    if statistic == "spearman":
        rows, kept = rank_rows(rows), rank_rows(kept)
    whole, basis = _basis(rows[2:]), _basis(kept[2:])
    moved, fixed = rows[0] - whole @ (whole.T @ rows[0]), kept[1] - basis @ (basis.T @ kept[1])
    fixed /= np.sqrt(fixed @ fixed)
    upper = np.triu_indices(n, 1)
    square = np.zeros((n, n))
    square[upper] = moved
    square += square.T
    first, second = upper[0][complete], upper[1][complete]
    again = statistic == "spearman" and not partial and not complete.all()

    def relabelled(order: NDArray[np.int64]) -> Floats:
        drawn = square.ravel().take(order[:, first] * n + order[:, second])
        if again:
            drawn = rank_rows(drawn)
        left = (drawn * drawn).sum(axis=1) - ((drawn @ basis) ** 2).sum(axis=1)
        varies = left > 1e-12 * len(fixed)
        return np.asarray(np.where(varies, drawn @ fixed / np.sqrt(np.where(varies, left, 1)), 0))

    return _mantel(relabelled, observed, n, seed, n_permutations, _BLOCK)


def mantel_of_highest(a: ArrayLike, others: ArrayLike, *, seed: int, n_permutations: int = 9999) -> Test:
    """Test the highest Spearman correlation of an RDM with any of several under relabelled categories, one-sided.

    Each relabelling counts with its own highest correlation, so that having chosen among many is allowed for.

    Parameters
    ----------
    a
        Condensed RDM [n_pairs] without gaps: the one that is relabelled.
    others
        Condensed RDMs [n_rdms, n_pairs]; pairs that one of them lacks are left out of all.
    seed, n_permutations
        Decide the relabellings; with 9,999 the smallest p is .0001.
    """
    row, rows = np.asarray(a, dtype=np.float64), np.asarray(others, dtype=np.float64)
    complete, n = np.isfinite(rows).all(axis=0), _n_categories(row)
    fixed = _unit_ranks(rows[:, complete]).T
    upper = np.triu_indices(n, 1)
    square = np.zeros((n, n))
    square[upper] = row
    square += square.T
    first, second = upper[0][complete], upper[1][complete]

    def relabelled(order: NDArray[np.int64]) -> Floats:
        return np.asarray((_unit_ranks(square[order[:, first], order[:, second]]) @ fixed).max(axis=1))

    observed = float(relabelled(np.arange(n)[None])[0])
    return _mantel(relabelled, observed, n, seed, n_permutations, _BLOCK)


def _unit_ranks(rows: Floats) -> Floats:
    """Return the ranks of rows, centred and of unit length; zeros for a row that does not vary."""
    ranks = rank_rows(rows)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    size = np.linalg.norm(ranks, axis=-1, keepdims=True)
    return np.asarray(np.divide(ranks, size, out=np.zeros_like(ranks), where=size > 0))


def _mantel(
    relabelled: Callable[[NDArray[np.int64]], Floats],
    observed: float,
    n: int,
    seed: int,
    n_permutations: int,
    block: int,
) -> Test:
    """Return the test of a statistic of relabellings [n_block, n_categories], the labels as they are among them."""
    threshold = relabelled(np.arange(n)[None])[0] - 1e-10
    rng = np.random.default_rng(seed)
    reached = 0
    for start in range(0, n_permutations, block):
        order = rng.permuted(np.tile(np.arange(n), (min(block, n_permutations - start), 1)), axis=1)
        reached += int((relabelled(order) >= threshold).sum())
    return Test(observed, (1 + reached) / (1 + n_permutations), n, n_permutations)


def _relabelled_with_gaps(rows: Floats, statistic: Statistic) -> Callable[[NDArray[np.int64]], Floats]:
    """Return the statistic of relabellings of the first of rows [2 + n_controls, n_pairs] over the pairs all know then."""
    again, n = statistic == "spearman" and len(rows) == 2, _n_categories(rows[0])
    moving, staying = (
        np.isfinite(rows[[0, *range(2, len(rows))]]).all(axis=0),
        np.isfinite(rows[1:]).all(axis=0),
    )
    moved, fixed = rows[0, moving], rows[1:, staying]
    if statistic == "spearman" and not again:
        moved, fixed = rank_rows(moved), rank_rows(fixed)
        basis = _basis(rank_rows(rows[2:, moving]))
        moved = moved - basis @ (basis.T @ moved)
    first, second = (side[staying] for side in np.triu_indices(n, 1))
    square = np.full((n, n), np.nan)
    square[tuple(side[moving] for side in np.triu_indices(n, 1))] = moved
    square = np.where(np.isnan(square), square.T, square)

    def relabelled(order: NDArray[np.int64]) -> Floats:
        drawn = square.ravel().take(order[:, first] * n + order[:, second])
        seen = np.isfinite(drawn)
        values = np.repeat(np.concatenate([np.zeros((1, fixed.shape[1])), fixed])[None], len(order), axis=0)
        values[:, 0] = np.where(seen, drawn, 0)
        if again:
            values = rank_rows(np.where(seen[:, None], values, np.inf))
        share = seen / np.maximum(seen.sum(axis=1, keepdims=True), 1)
        return np.nan_to_num(_partial(_correlations(_covariances(values, share))))

    return relabelled


def bootstrap_rdm(
    a: ArrayLike,
    b: ArrayLike,
    *,
    seed: int,
    n: int = 2000,
    statistic: Statistic = "spearman",
    partial: Sequence[ArrayLike] = (),
    mask: ArrayLike | None = None,
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
    mask
        The pairs `b` has a value for; the others weigh nothing in any resample.
    """
    rows, complete = _compared(a, b, partial, mask)
    filled = np.where(complete, rows, 0.0)
    drawn_values = np.concatenate(
        [
            _partial(_weighted_correlations(filled, weights * complete, ranks=statistic == "spearman"))
            for weights in _resamples(_n_categories(complete), seed, n)
        ]
    )
    defined = drawn_values[np.isfinite(drawn_values)]
    if not len(defined):
        return Interval(float("nan"), float("nan"), 0)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), len(defined))


def bootstrap_rdm_correlations(
    rdms: Sequence[ArrayLike], *, seed: int, n: int = 2000, statistic: Statistic = "spearman"
) -> Floats:
    """Return the correlations of RDMs [n, n_rdms, n_rdms] in resamples of categories, as `bootstrap_rdm` draws them."""
    rows = _stack(rdms)
    return np.concatenate(
        [
            _pairwise_correlations(rows, weights, ranks=statistic == "spearman")
            for weights in _resamples(_n_categories(rows[0]), seed, n)
        ]
    )


def rdm_difference(
    a: ArrayLike,
    other: ArrayLike,
    b: ArrayLike,
    *,
    seed: int,
    n: int = 2000,
    statistic: Statistic = "spearman",
    mask: ArrayLike | None = None,
) -> Difference:
    """Return the correlation of `a` with `b` less that of `other` with `b`, over resamples of the same categories.

    Categories are drawn as in `bootstrap_rdm`; only pairs count that all three RDMs have a value for.
    """
    rows, complete = _compared(a, b, (other,), mask)
    rows, ranks = np.where(complete, rows, 0.0), statistic == "spearman"

    def differences(weights: Floats) -> Floats:
        r = _weighted_correlations(rows, weights * complete, ranks=ranks)
        return np.asarray(r[:, 0, 1] - r[:, 2, 1])

    drawn = [differences(weights) for weights in _resamples(_n_categories(complete), seed, n)]
    return difference_of(float(differences(np.ones((1, len(complete))))[0]), np.concatenate(drawn))


def _resamples(categories: int, seed: int, n: int) -> Iterator[Floats]:
    """Yield, in blocks, how often each pair of distinct categories is drawn [n_block, n_pairs]."""
    upper = np.triu_indices(categories, 1)
    rng = np.random.default_rng(seed)
    # Blocks that stay in the processor's cache.
    size = max(8, 2**14 // len(upper[0]))
    for start in range(0, n, size):
        block = min(size, n - start)
        drawn = rng.integers(0, categories, (block, categories)) + categories * np.arange(block)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=block * categories).reshape(block, categories)
        yield (counts[:, upper[0]] * counts[:, upper[1]]).astype(np.float64)


def _pairwise_correlations(rows: Floats, weights: Floats, *, ranks: bool) -> Floats:
    """Return what `_weighted_correlations` does, each correlation over the pairs that both rows know."""
    finite = np.isfinite(rows)
    if finite.all():
        return _weighted_correlations(rows, weights, ranks=ranks)
    patterns, pattern_of = np.unique(finite, axis=0, return_inverse=True)
    pattern_of = pattern_of.ravel()
    filled = np.where(finite, rows, 0.0)
    result = np.full((len(weights), len(rows), len(rows)), np.nan)
    for p, q in combinations_with_replacement(range(len(patterns)), 2):
        both = patterns[p] & patterns[q]
        if both.sum() < FEWEST_PAIRS:
            continue
        members = np.flatnonzero((pattern_of == p) | (pattern_of == q))
        correlations = _weighted_correlations(filled[members], weights * both, ranks=ranks)
        of_p, of_q = (np.flatnonzero(pattern_of[members] == side) for side in (p, q))
        for left, right in ((of_p, of_q), (of_q, of_p)):
            result[:, members[left][:, None], members[right]] = correlations[:, left[:, None], right]
    return result


def _weighted_correlations(rows: Floats, weights: Floats, *, ranks: bool) -> Floats:
    """Return the correlations [n_resamples, n_rdms, n_rdms] of rows [n_rdms, n_pairs], pairs weighted by each resample.

    `weights` is [n_resamples, n_pairs]; entries beside a row that does not vary in a resample are NaN.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        share = weights / weights.sum(axis=1, keepdims=True)
        if ranks:
            cov = _covariances(np.stack([_weighted_ranks(row, weights) for row in rows], axis=1), share)
        else:
            # Values stay as they are: all resamples are one product with the values' own products.
            mean, spread = rows.mean(axis=1, keepdims=True), rows.std(axis=1, keepdims=True)
            scaled = (rows - mean) / np.where(spread > 0, spread, 1)
            products = (scaled[:, None] * scaled).reshape(-1, rows.shape[1])
            means = share @ scaled.T
            cov = (share @ products.T).reshape(-1, len(rows), len(rows)) - means[:, :, None] * means[:, None]
            # Where hardly anything varies, that difference is rounding.
            weak = np.flatnonzero((np.einsum("bii->bi", cov) < 1e-6).any(axis=1))
            for resample in weak:
                cov[resample] = _covariances(scaled[None], share[resample : resample + 1])[0]
        return _correlations(cov)


def _correlations(cov: Floats) -> Floats:
    """Return correlations [n_resamples, n_rdms, n_rdms] from covariances, NaN beside one that does not vary."""
    cov = np.nan_to_num(cov)
    size = np.sqrt(np.maximum(np.einsum("bii->bi", cov), 0))
    size = np.where(size > 1e-12, size, np.nan)
    return np.asarray(cov / (size[:, :, None] * size[:, None]))


def _covariances(values: Floats, share: Floats) -> Floats:
    """Return the covariances [n_resamples, n_rdms, n_rdms] of values [n_resamples, n_rdms, n_pairs]."""
    centred = values - values @ share[:, :, None]
    centred *= np.sqrt(share)[:, None]
    return np.asarray(centred @ centred.transpose(0, 2, 1))


def _partial(r: Floats) -> Floats:
    """Return [n_resamples] the correlation of the first two of [n_resamples, n_rdms, n_rdms] given the others."""
    if r.shape[1] == 2:
        return np.asarray(r[:, 0, 1])
    r = np.nan_to_num(r)
    inverse = np.linalg.pinv(r[:, 2:, 2:], rcond=1e-10, hermitian=True)
    left = r[:, :2, :2] - r[:, :2, 2:] @ inverse @ r[:, 2:, :2]
    size = np.sqrt(np.maximum(left[:, 0, 0] * left[:, 1, 1], 0))
    return np.asarray(np.divide(left[:, 0, 1], size, out=np.full(len(r), np.nan), where=size > 1e-12))


def _weighted_ranks(row: Floats, weights: Floats) -> Floats:
    """Return [n_resamples, n_pairs] the tied ranks of `row` when its entries are repeated `weights` times."""
    _, group = np.unique(row, return_inverse=True)
    order = np.argsort(group, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(group[order]) > 0, True))
    upto = np.cumsum(weights[:, order], axis=1)[:, ends]
    before = np.concatenate([np.zeros((len(weights), 1)), upto[:, :-1]], axis=1)
    return np.asarray(((before + upto + 1) / 2)[:, group])
