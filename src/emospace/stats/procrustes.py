"""Procrustes fit of two configurations of the same points, tested by relabelling (PROTEST)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emospace.stats.resampling import percentile_interval

Floats = NDArray[np.float64]


class ProcrustesFit(NamedTuple):
    """A Procrustes correlation with its 95% bootstrap interval and one-sided permutation p.

    `turned` [n, k_y] is the first configuration rotated, reflected and scaled onto the second, both with centred
    columns of unit length; `target` [n, k_y] the second one.
    """

    value: float
    low: float
    high: float
    p: float
    n: int
    n_permutations: int
    turned: Floats
    target: Floats


def procrustes_fit(
    x: ArrayLike, y: ArrayLike, *, seed: int, n_permutations: int = 9999, n_bootstrap: int = 2000
) -> ProcrustesFit | None:
    """Turn one configuration onto another and test the fit.

    The value is the Procrustes correlation sqrt(1 - m^2): the sum of singular values of Y'X for centred
    configurations of unit size. Columns are brought to unit length first, so that both can be equally round. p
    relabels the points; the interval resamples them and turns anew.

    Parameters
    ----------
    x, y
        [n, k_x] and [n, k_y] the same points in the same order.

    Returns
    -------
    The fit, or None when a column does not vary.

    References
    ----------
    Jackson (1995), Ecoscience 2, 297-303; Peres-Neto & Jackson (2001), Oecologia 129, 169-178.
    """
    a, b = unit_columns(x), unit_columns(y)
    if a is None or b is None:
        return None
    left, size, right = np.linalg.svd(a.T @ b, full_matrices=False)
    scale = np.linalg.norm(a) * np.linalg.norm(b)
    value = size.sum() / scale

    n = len(a)
    rng = np.random.default_rng(seed)
    order = rng.permuted(np.tile(np.arange(n), (n_permutations, 1)), axis=1)
    cross = np.einsum("nk,pnd->pkd", a, b[order], optimize=True)
    null = np.linalg.svd(cross, compute_uv=False).sum(axis=1) / scale
    p = (1 + (null >= value - 1e-12).sum()) / (1 + n_permutations)

    drawn = rng.integers(0, n, (n_bootstrap, n))
    xs, ys = a[drawn], b[drawn]
    xs, ys = xs - xs.mean(axis=1, keepdims=True), ys - ys.mean(axis=1, keepdims=True)
    sizes = np.linalg.norm(xs, axis=(1, 2)) * np.linalg.norm(ys, axis=(1, 2))
    draws = np.linalg.svd(xs.swapaxes(1, 2) @ ys, compute_uv=False).sum(axis=1) / sizes
    low, high = percentile_interval(draws, n)
    turned = a @ left @ right * (size.sum() / np.linalg.norm(a) ** 2)
    return ProcrustesFit(float(value), low, high, float(p), n, n_permutations, turned, b)


def unit_columns(points: ArrayLike) -> Floats | None:
    """Return the columns [n, k] centred and of unit length, or None when one does not vary."""
    array = np.asarray(points, dtype=np.float64)
    centred = array - array.mean(axis=0)
    size = np.linalg.norm(centred, axis=0)
    return None if (size < 1e-12).any() else centred / size
