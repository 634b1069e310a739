"""Tests of word sets against a pool, labels exchangeable within matching strata.

Rows are words (the concept words and their matched pool), columns latents, mostly zero. Every word belongs to
one stratum (a cell of length x frequency), and under the null hypothesis a set is a random draw of its size
from each stratum. Moments of that permutation distribution are closed forms, so 41 sets x 6,144 latents cost
a few matrix products and no drawing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emospace.stats.multiple import max_t

Floats = NDArray[np.float64]

_LARGE = 3.0
"""A normal score that the largest of many latents exceeds in nearly every permutation."""


class RankSum(NamedTuple):
    """Stratified rank-sum tests, each field [n_sets, n_latents] ([n_latents] for one set of labels).

    `z` is the standardised statistic, `p` one-sided (the set above the pool), `auc` the chance that a word of
    the set exceeds a pool word of its stratum, ties counted half.
    """

    z: Floats
    p: Floats
    auc: Floats


class RateTest(NamedTuple):
    """Stratified tests of firing rates, each field [n_sets, n_latents] ([n_latents] for one set of labels).

    `rate_in` and `rate_out` are shares of firing words in and outside the set, `difference` the
    Mantel-Haenszel rate difference within strata, `z` the Cochran-Mantel-Haenszel statistic (signed, no
    continuity correction), `p` one-sided.
    """

    rate_in: Floats
    rate_out: Floats
    difference: Floats
    z: Floats
    p: Floats


class RankScores(NamedTuple):
    """Centred, weighted within-stratum ranks as a sparse part over the score of a zero; made by `rank_scores`.

    `increments` is csr [n_words, n_latents]; `zero`, `squares`, `cubes` are [n_strata, n_latents]: the score
    of a zero, and the sums of squared and cubed scores over the stratum.
    """

    increments: Any
    zero: Floats
    squares: Floats
    cubes: Floats


def rank_scores(values: Any, strata: ArrayLike) -> RankScores:
    """Return the within-stratum ranks that several rank-sum tests of the same words share.

    Parameters are those of `stratified_rank_sum`, which takes the result in place of the values.
    """
    _, cells = np.unique(np.asarray(strata), return_inverse=True)
    return _rank_scores(values, cells, np.bincount(cells).astype(np.float64))


def stratified_rank_sum(values: Any, labels: ArrayLike, strata: ArrayLike) -> RankSum:
    """Test whether the words of a set rank above the others of their stratum (van Elteren, 1960).

    The statistic is the sum over strata of the set's centred mid-ranks over N_s + 1. Its mean, variance and
    third moment under permutation within strata are exact and allow for ties; p is the tail of the Pearson
    type III (shifted gamma) distribution with these moments. A normal tail would be wrong by orders of
    magnitude for latents that fire on a handful of words, where the statistic is strongly skewed.

    Parameters
    ----------
    values
        [n_words, n_latents] activations, dense or scipy sparse, or their `rank_scores`.
    labels
        [n_words] or [n_sets, n_words] bool: the words of each set.
    strata
        [n_words] stratum of each word. Strata without both kinds of word carry no information.

    References
    ----------
    van Elteren (1960), Bull. Int. Stat. Inst. 37, 351-361; Mielke & Berry (2007), Permutation Methods.
    """
    sets, cells, sizes = _design(labels, strata)
    scores = _rank_scores(values, cells, sizes)
    total, variance, third = _moments(scores, sets, cells, sizes)
    z, skew = _standardise(total, variance, third)
    m = sets @ _onehot(cells, len(sizes))
    pairs = (m * (sizes - m) / (sizes + 1)).sum(axis=1, keepdims=True)
    auc = 0.5 + np.divide(total, pairs, out=np.zeros_like(total), where=pairs > 0)
    p = np.where(variance > 0, _pearson3_tail(z, skew), 1.0)
    return RankSum(*(_like(field, labels) for field in (z, p, auc)))


def stratified_rate_test(
    values: Any, labels: ArrayLike, strata: ArrayLike, *, mid_p: bool = True, exact_below: int = 300
) -> RateTest:
    """Test whether a latent fires on more words of a set than chance within strata allows.

    The number of firing words in the set is a sum of independent hypergeometric counts, one a stratum
    (Cochran-Mantel-Haenszel). For sets of fewer than `exact_below` words its distribution is computed exactly
    by convolution; for larger ones the Pearson type III tail with the exact first three moments and a
    continuity correction is used.

    Parameters
    ----------
    values
        [n_words, n_latents] activations, dense or scipy sparse; a latent fires where it is above zero.
    labels, strata
        As in `stratified_rank_sum`.
    mid_p
        Count half of the observed outcome's probability (Lancaster, 1961), which keeps the mean of p at one
        half under the null; False gives the conservative exact p.
    """
    import scipy.sparse as sp

    sets, cells, sizes = _design(labels, strata)
    fires = sp.csr_array(values > 0, dtype=np.float64)
    onehot = _onehot(cells, len(sizes))
    m = sets @ onehot
    fired = np.asarray((fires.T @ onehot).T, dtype=np.float64)
    observed = np.asarray((fires.T @ sets.T).T, dtype=np.float64)
    share = fired / sizes[:, None]
    expected = m @ share
    k2, k3 = _sampling_factors(m, sizes)
    spread = fired * (1 - share)
    variance = k2 @ spread
    z, skew = _standardise(observed - expected, variance, k3 @ (spread * (1 - 2 * share)))

    p = np.ones_like(z)
    for row, counts in enumerate(m):
        if counts.sum() < exact_below:
            p[row] = _exact_tail(observed[row], fired, counts, sizes, mid_p)
        else:
            sd = np.sqrt(np.where(variance[row] > 0, variance[row], 1))
            p[row] = _pearson3_tail(z[row] - (0 if mid_p else 0.5) / sd, skew[row])
    p[variance <= 0] = 1.0

    n_in = sets.sum(axis=1)[:, None]
    rate_in = np.divide(observed, n_in, out=np.zeros_like(observed), where=n_in > 0)
    n_out = sets.shape[1] - n_in
    rate_out = np.divide(fired.sum(axis=0) - observed, n_out, out=np.zeros_like(observed), where=n_out > 0)
    pairs = (m * (sizes - m) / sizes).sum(axis=1, keepdims=True)
    difference = np.divide(observed - expected, pairs, out=np.zeros_like(observed), where=pairs > 0)
    return RateTest(*(_like(field, labels) for field in (rate_in, rate_out, difference, z, p)))


def max_t_strata(
    values: Any, labels: ArrayLike, strata: ArrayLike, *, seed: int, n_permutations: int = 999
) -> Floats:
    """Return family-wise p of the stratified rank-sum over all sets and latents given.

    Words are permuted within strata, all sets together, so that overlaps of the sets stay. The statistic is
    z brought to a normal scale by the Wilson-Hilferty transform of its Pearson type III distribution, the same
    one in every permutation; otherwise the latents that fire on one or two words would own the maximum. p is
    then the share of permutations whose largest statistic reaches the observed one.

    Parameters
    ----------
    values, labels, strata
        As in `stratified_rank_sum`.

    Returns
    -------
    [n_sets, n_latents] or [n_latents], at least 1 / (1 + n_permutations).
    """
    import scipy.sparse as sp

    sets, cells, sizes = _design(labels, strata)
    scores = _rank_scores(values, cells, sizes)
    total, variance, third = _moments(scores, sets, cells, sizes)
    observed_z, skew = _standardise(total, variance, third)
    observed = np.where(variance > 0, _normal_scale(observed_z, skew), -np.inf)

    base = sets @ _onehot(cells, len(sizes)) @ scores.zero
    sd = np.sqrt(np.where(variance > 0, variance, np.inf))
    floor = max(0.0, float(_normal_scale(base / sd, skew).max(initial=0.0)))
    limit = _from_normal_scale(max(floor, _LARGE), skew) * sd - base - 1e-9
    n_sets, n_words = sets.shape
    members = [np.flatnonzero(row) for row in sets]
    positions = np.concatenate(members)
    lengths = np.array([len(row) for row in members])
    home = np.argsort(cells, kind="stable")
    rng = np.random.default_rng(seed)
    block = max(1, 2048 // n_sets)
    maxima = np.empty(n_permutations)
    for start in range(0, n_permutations, block):
        size = min(block, n_permutations - start)
        moved = np.empty((size, n_words), dtype=np.intp)
        moved[:, home] = np.argsort(cells + rng.random((size, n_words)), axis=1)
        indptr = np.concatenate([[0], np.cumsum(np.tile(lengths, size))])
        columns = moved[:, positions].ravel()
        drawn = sp.csr_array((np.ones(len(columns)), columns, indptr), shape=(size * n_sets, n_words))
        hits = sp.csr_array(drawn @ scores.increments)
        row = np.repeat(np.tile(np.arange(n_sets), size), np.diff(hits.indptr))
        place = row * base.shape[1] + hits.indices
        owner = np.repeat(np.arange(size), np.diff(hits.indptr[::n_sets]))
        # The transform is costly and rises with z: only values that may be the largest of their draw take it.
        large = hits.data > limit.ravel()[place]
        large |= np.bincount(owner[large], minlength=size)[owner] == 0
        place, owner = place[large], owner[large]
        z = (hits.data[large] + base.ravel()[place]) / sd.ravel()[place]
        top = np.full(size, floor)
        np.maximum.at(top, owner, _normal_scale(z, skew.ravel()[place]))
        maxima[start : start + size] = top
    p = max_t(observed.ravel(), maxima).reshape(observed.shape)
    return _like(p, labels)


def _design(labels: ArrayLike, strata: ArrayLike) -> tuple[Floats, NDArray[np.intp], Floats]:
    """Return the sets [n_sets, n_words] as numbers, the stratum index of each word, and the stratum sizes."""
    sets = np.atleast_2d(np.asarray(labels, dtype=bool)).astype(np.float64)
    _, cells = np.unique(np.asarray(strata), return_inverse=True)
    if sets.shape[1] != len(cells):
        raise ValueError(f"{sets.shape[1]} labels for {len(cells)} words")
    return sets, cells, np.bincount(cells).astype(np.float64)


def _onehot(cells: NDArray[np.intp], n_strata: int) -> Floats:
    return np.eye(n_strata)[cells]


def _like(field: Floats, labels: ArrayLike) -> Floats:
    return field[0] if np.ndim(labels) == 1 else field


def _rank_scores(values: Any, cells: NDArray[np.intp], sizes: Floats) -> RankScores:
    import scipy.sparse as sp

    if isinstance(values, RankScores):
        return values
    entries = sp.coo_array(values)
    n_words, n_latents = entries.shape
    if n_words != len(cells):
        raise ValueError(f"{n_words} rows of values for {len(cells)} words")
    kept = entries.data != 0
    row, column, value = entries.row[kept], entries.col[kept], entries.data[kept].astype(np.float64)
    n_strata = len(sizes)
    group = column.astype(np.int64) * n_strata + cells[row]
    order = np.lexsort((value, group))
    row, column, value, group = row[order], column[order], value[order], group[order]

    n_groups = n_latents * n_strata
    filled = np.bincount(group, minlength=n_groups)
    negative = np.bincount(group[value < 0], minlength=n_groups)
    size = np.tile(sizes, n_latents)
    zeros = size - filled

    place = np.arange(len(value)) - (np.cumsum(filled) - filled)[group]
    change = (
        np.append((np.diff(group) != 0) | (np.diff(value) != 0), True) if len(value) else np.zeros(0, bool)
    )
    tie = np.cumsum(np.concatenate([[False], change[:-1]])) if len(value) else np.zeros(0, np.int64)
    width = np.bincount(tie)
    mean_place = np.bincount(tie, weights=place) / np.maximum(width, 1)
    rank = mean_place[tie] + 1 + np.where(value > 0, zeros[group], 0)

    scale = 1 / (size + 1)
    zero = (negative + (zeros + 1) / 2) * scale - 0.5
    score = rank * scale[group] - 0.5
    squares = np.bincount(group, weights=score**2, minlength=n_groups) + zeros * zero**2
    cubes = np.bincount(group, weights=score * score**2, minlength=n_groups) + zeros * zero**3
    increments = sp.csr_array((score - zero[group], (row, column)), shape=(n_words, n_latents))
    zero, squares, cubes = (part.reshape(n_latents, n_strata).T.copy() for part in (zero, squares, cubes))
    squares[squares < 1e-12] = 0
    return RankScores(increments, zero, squares, cubes)


def _sampling_factors(m: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    """Return what sums of squares and cubes become as variance and third moment of a draw of m from N.

    A sample sum without replacement of m of N centred values has variance m(N-m)/(N(N-1)) * sum x^2 and
    third moment m(N-m)(N-2m)/(N(N-1)(N-2)) * sum x^3.
    """
    k2 = m * (sizes - m) / (sizes * np.maximum(sizes - 1, 1))
    return k2, k2 * (sizes - 2 * m) / np.maximum(sizes - 2, 1)


def _moments(
    scores: RankScores, sets: Floats, cells: NDArray[np.intp], sizes: Floats
) -> tuple[Floats, Floats, Floats]:
    m = sets @ _onehot(cells, len(sizes))
    k2, k3 = _sampling_factors(m, sizes)
    total = np.asarray((scores.increments.T @ sets.T).T) + m @ scores.zero
    return total, k2 @ scores.squares, k3 @ scores.cubes


def _standardise(total: Floats, variance: Floats, third: Floats) -> tuple[Floats, Floats]:
    sd = np.sqrt(np.where(variance > 0, variance, 1))
    z = np.where(variance > 0, total / sd, 0.0)
    return z, np.where(variance > 0, third / sd**3, 0.0)


def _pearson3_tail(z: Floats, skew: Floats) -> Floats:
    """Return P(Z >= z) for the Pearson type III law of mean 0, variance 1 and the given skewness."""
    from scipy.special import gammainc, gammaincc, ndtr

    steep = np.abs(skew) > 1e-4
    safe = np.where(steep, skew, 1.0)
    shape = 4 / safe**2
    point = np.maximum(shape + 2 * z / safe, 0)
    tail = np.where(safe > 0, gammaincc(shape, point), gammainc(shape, point))
    return np.asarray(np.where(steep, tail, ndtr(-z)))


def _normal_scale(z: Floats, skew: Floats) -> Floats:
    """Return the normal score of a Pearson type III deviate (Wilson & Hilferty, 1931)."""
    safe = np.where(np.abs(skew) > 1e-4, skew, 1.0)
    score = (np.cbrt(np.maximum(1 + z * safe / 2, 0)) - 1 + safe**2 / 36) * 6 / safe
    return np.asarray(np.where(np.abs(skew) > 1e-4, score, z))


def _from_normal_scale(score: float, skew: Floats) -> Floats:
    """Return the deviate of which `_normal_scale` is `score`."""
    safe = np.where(np.abs(skew) > 1e-4, skew, 1.0)
    deviate = ((score * safe / 6 + 1 - safe**2 / 36) ** 3 - 1) * 2 / safe
    return np.asarray(np.where(np.abs(skew) > 1e-4, deviate, score))


def _exact_tail(observed: Floats, fired: Floats, m: Floats, sizes: Floats, mid_p: bool) -> Floats:
    """Return P(X >= observed) [n_latents], X the sum over strata of hypergeometric counts.

    Parameters
    ----------
    observed
        [n_latents] firing words in the set.
    fired
        [n_strata, n_latents] firing words; `m` and `sizes` [n_strata] are words of the set and all words.
    """
    law = np.ones((1, len(observed)))
    for count, size, firing in zip(m.astype(int), sizes.astype(int), fired.astype(int), strict=True):
        if count == 0:
            continue
        table = _hypergeometric(size, count)[:, firing]
        grown = np.zeros((len(law) + count, len(observed)))
        for hits, chance in enumerate(table):
            if chance.any():
                grown[hits : hits + len(law)] += law * chance
        law = grown
    x = observed.astype(int)
    columns = np.arange(len(x))
    tails = np.cumsum(law[::-1], axis=0)[::-1]
    p = tails[x, columns] - (0.5 * law[x, columns] if mid_p else 0)
    return np.asarray(np.minimum(p, 1.0))


def _hypergeometric(size: int, drawn: int) -> Floats:
    """Return [drawn + 1, size + 1]: P(k hits | f firing) when `drawn` of `size` words are drawn."""
    from scipy.special import gammaln

    k, f = np.arange(drawn + 1)[:, None], np.arange(size + 1)[None, :]
    possible = (k <= f) & (drawn - k <= size - f)

    def log_choose(n: Any, r: Any) -> Any:
        return gammaln(n + 1) - gammaln(r + 1) - gammaln(n - r + 1)

    inside, outside = np.where(possible, k, 0), np.where(possible, drawn - k, 0)
    chance = np.exp(log_choose(f, inside) + log_choose(size - f, outside) - log_choose(size, drawn))
    return np.asarray(np.where(possible, chance, 0.0))
