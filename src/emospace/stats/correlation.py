"""Ranks, correlations, their intervals, and the ceilings that noisy human ratings put on them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emospace.errors import InvalidInput

Floats = NDArray[np.float64]


def rank_rows(values: ArrayLike) -> Floats:
    """Return the ranks (1 = smallest) along the last axis, ties sharing their mean rank.

    Parameters
    ----------
    values
        [..., n] numbers without NaN.
    """
    array = np.asarray(values, dtype=np.float64)
    order = np.argsort(array, axis=-1, kind="stable")
    ordered = np.take_along_axis(array, order, axis=-1)
    n = array.shape[-1]
    place = np.broadcast_to(np.arange(n), array.shape)
    change = ordered[..., 1:] != ordered[..., :-1]
    edge = np.ones((*array.shape[:-1], 1), dtype=bool)
    first = np.maximum.accumulate(np.where(np.concatenate([edge, change], axis=-1), place, 0), axis=-1)
    ends = np.where(np.concatenate([change, edge], axis=-1), place, n)
    last = np.minimum.accumulate(ends[..., ::-1], axis=-1)[..., ::-1]
    ranks = np.empty(array.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, axis=-1)
    return ranks


def pearson(x: ArrayLike, y: ArrayLike) -> Any:
    """Return Pearson's r along the last axis (broadcast over the others); NaN where one side is constant."""
    a = np.asarray(x, dtype=np.float64)
    b = np.asarray(y, dtype=np.float64)
    a = a - a.mean(axis=-1, keepdims=True)
    b = b - b.mean(axis=-1, keepdims=True)
    scale = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.where(scale > 0, (a * b).sum(-1) / scale, np.nan)
    return float(r) if r.ndim == 0 else r


def spearman(x: ArrayLike, y: ArrayLike) -> Any:
    """Return Spearman's rho along the last axis: Pearson's r of mean-tied ranks."""
    return pearson(rank_rows(x), rank_rows(y))


def spearman_known(x: ArrayLike, y: ArrayLike) -> Floats:
    """Return Spearman's rho along the last axis over the entries that both have, those without (NaN) left out.

    NaN below three such entries, and where one side does not vary over them.
    """
    a, b = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
    both = np.isfinite(a) & np.isfinite(b)
    count = both.sum(axis=-1, keepdims=True)
    ranks = [np.where(both, rank_rows(np.where(both, side, np.inf)) - (count + 1) / 2, 0) for side in (a, b)]
    size = np.sqrt((ranks[0] ** 2).sum(axis=-1) * (ranks[1] ** 2).sum(axis=-1))
    usable = (count[..., 0] >= 3) & (size > 1e-12)
    product = (ranks[0] * ranks[1]).sum(axis=-1)
    return np.asarray(np.divide(product, size, out=np.full_like(size, np.nan), where=usable))


def pearson_interval(r: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the Fisher z interval of a Pearson r over `n` independent pairs ((NaN, NaN) below four)."""
    from scipy.special import ndtri

    if n < 4 or not np.isfinite(r):
        return float("nan"), float("nan")
    half = ndtri(0.5 + level / 2) / np.sqrt(n - 3)
    z = np.arctanh(np.clip(r, -1 + 1e-15, 1 - 1e-15))
    return float(np.tanh(z - half)), float(np.tanh(z + half))


def disattenuate(r: float, reliability: float) -> float:
    """Return r / sqrt(reliability): the correlation with ratings free of rater noise (Spearman, 1904).

    Raises
    ------
    EmospaceError
        If the reliability is not in (0, 1].
    """
    if not 0 < reliability <= 1:
        raise InvalidInput(
            f"reliability {reliability:g}",
            "a reliability lies above 0 and at most at 1",
            "Give the reliability of the mean ratings, or none.",
        )
    return float(r / np.sqrt(reliability))


def rating_ceiling(
    values: ArrayLike,
    sd: ArrayLike,
    n: ArrayLike,
    *,
    seed: int,
    n_simulations: int = 1000,
    between: Literal["values", "distances"] = "values",
) -> float:
    """Return the correlation that a perfect model of the true mean ratings would reach with the observed ones.

    Observed means spread more than true ones by the sampling error sd^2/n, so the true means are taken as the
    observed shrunk to their mean by the square root of the reliability 1 - mean(sd^2/n)/var (classical test
    theory). New raters are then simulated around them.

    Parameters
    ----------
    values
        [n_items] or [n_items, n_scales] observed mean ratings.
    sd, n
        Rater SD (in the units of `values`) and number of raters, of the same shape. Items where either is
        missing (NaN, n < 1) or the value is missing are left out.
    between
        "values": mean Pearson r, |r| being bounded by it too. "distances": mean Spearman rho between the
        Euclidean distance matrices of true and simulated means, for RSA.

    Returns
    -------
    The ceiling; NaN with fewer than four items, or when error is all there is.
    """
    means, spread, raters = (np.asarray(part, dtype=np.float64) for part in (values, sd, n))
    if means.ndim == 1:
        means, spread, raters = means[:, None], spread[:, None], raters[:, None]
    complete = (np.isfinite(means) & np.isfinite(spread) & np.isfinite(raters) & (raters >= 1)).all(axis=1)
    if complete.sum() < 4:
        return float("nan")
    means, error = means[complete], spread[complete] / np.sqrt(raters[complete])
    variance = means.var(axis=0, ddof=1)
    reliability = np.where(
        variance > 0, 1 - (error**2).mean(axis=0) / np.where(variance > 0, variance, 1), 0.0
    )
    if (reliability <= 0).any():
        return float("nan")
    true = means.mean(axis=0) + np.sqrt(reliability) * (means - means.mean(axis=0))
    rng = np.random.default_rng(seed)
    seen = true + error * rng.standard_normal((n_simulations, *true.shape))
    if between == "values":
        return float(pearson(seen.swapaxes(1, 2), true.T).mean())
    rows, columns = np.triu_indices(len(true), 1)

    def distances(points: Floats) -> Floats:
        gap: Floats = points[..., rows, :] - points[..., columns, :]
        return np.asarray(np.sqrt((gap * gap).sum(-1)))

    return float(spearman(distances(seen), distances(true)).mean())
