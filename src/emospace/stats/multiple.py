"""Many tests at once: the false discovery rate and the permutation distribution of the maximum."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def fdr_bh(p: ArrayLike) -> NDArray[np.float64]:
    """Return Benjamini-Hochberg adjusted p-values (q) over all entries; NaN entries are no test and stay NaN.

    Parameters
    ----------
    p
        p-values of any shape; the result has the same one.

    References
    ----------
    Benjamini & Hochberg (1995), J. R. Stat. Soc. B 57, 289-300.
    """
    values = np.asarray(p, dtype=np.float64)
    q = np.full(values.shape, np.nan)
    tested = np.isfinite(values)
    flat = values[tested]
    order = np.argsort(flat)[::-1]
    ranks = np.arange(len(flat), 0, -1)
    adjusted = np.empty_like(flat)
    adjusted[order] = np.minimum(np.minimum.accumulate(flat[order] * len(flat) / ranks), 1)
    # p * n / n can be p less its last bit.
    adjusted = np.maximum(adjusted, flat)
    q[tested] = adjusted
    return q


def max_t(observed: ArrayLike, null: ArrayLike) -> NDArray[np.float64]:
    """Return single-step family-wise p-values: how often the largest statistic of a permutation reaches each.

    Parameters
    ----------
    observed
        [n_tests] statistics, larger meaning stronger.
    null
        [n_permutations, n_tests] the same statistics under permutation, or [n_permutations] their maxima.

    References
    ----------
    Westfall & Young (1993), Resampling-based multiple testing.
    """
    drawn = np.asarray(null, dtype=np.float64)
    maxima = np.sort(drawn.max(axis=1) if drawn.ndim == 2 else drawn)
    values = np.asarray(observed, dtype=np.float64)
    tolerance = 1e-9 * np.maximum(1, np.abs(values))
    reached = len(maxima) - np.searchsorted(maxima, values - tolerance)
    return np.asarray((1 + reached) / (1 + len(maxima)), dtype=np.float64)
