"""Figures with their intervals: rates, means, shifts, ratios, tests and dose-responses over prompts.

The unit is the prompt: intervals resample prompts, and every comparison is of answers to the same prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emospace import stats

Floats = NDArray[np.float64]
NAN = float("nan")


class Estimate(NamedTuple):
    """A figure, its 95% interval and the number of prompts (or categories) behind it."""

    value: float
    low: float
    high: float
    n: int

    def named(self, name: str) -> dict[str, float]:
        """Return value and bounds by the names they have in tables and records."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


class DoseResponse(NamedTuple):
    """How a rate follows the dose: least-squares slope per unit of dose, and Spearman's rho over doses."""

    slope: Estimate
    monotonicity: Estimate


def rate(values: ArrayLike, *, seed: int, n: int = 2000) -> Estimate:
    """Return the mean of shares (0..1) over prompts, with Wilson's interval for as many independent answers.

    A bootstrap of prompts tells how many independent answers the values are worth: as many as would vary so. Where no
    prompt has a hit, or all have, it cannot tell, and each prompt counts as one; the bootstrap's own percentiles would
    then be a point.

    Parameters
    ----------
    values
        As in `mean_estimate`.

    References
    ----------
    Wilson (1927), J. Am. Stat. Assoc. 22, 209-212; Korn & Graubard (1998), Surv. Methodol. 24, 193-201.
    """
    mean, draws = _bootstrap_mean(values, seed, n)
    if not mean.n:
        return mean
    share = min(max(mean.value, 0.0), 1.0)
    varied = float(np.nanvar(draws)) * mean.n / max(mean.n - 1, 1)
    if 0 < share < 1 and varied < 1e-15:
        return Estimate(mean.value, mean.value, mean.value, mean.n)
    worth = share * (1 - share) / varied if 0 < share < 1 else mean.n
    square = 1.959964**2
    centre = (share + square / (2 * worth)) / (1 + square / worth)
    half = np.sqrt(square * (share * (1 - share) / worth + square / (4 * worth**2))) / (1 + square / worth)
    return Estimate(mean.value, max(0.0, float(centre - half)), min(1.0, float(centre + half)), mean.n)


def mean_estimate(values: ArrayLike, *, seed: int, n: int = 2000) -> Estimate:
    """Return the mean over prompts with a percentile bootstrap over them.

    Parameters
    ----------
    values
        ``[n_prompts]``, or ``[n_rows, n_prompts]`` for several vectors or targets: the mean of the rows' means. NaN is
        missing: a row's mean is over the prompts it has a value for.

    Returns
    -------
    Estimate
        `Estimate.n` counts the prompts with any value.
    """
    return _bootstrap_mean(values, seed, n)[0]


def _bootstrap_mean(values: ArrayLike, seed: int, n: int) -> tuple[Estimate, Floats]:
    """Return the mean of rows over prompts with its percentile interval, and the mean in each resample."""
    rows = np.atleast_2d(np.asarray(values, dtype=np.float64))
    rows = rows[:, np.isfinite(rows).any(axis=0)]
    n_prompts = rows.shape[1]
    if not n_prompts:
        return Estimate(NAN, NAN, NAN, 0), np.empty(0)
    drawn = _resamples(n_prompts, seed, n)
    times = np.zeros((n, n_prompts))
    np.add.at(times, (np.arange(n)[:, None], drawn), 1)
    draws = _mean_of_rows(rows, times)
    return interval_of(row_mean(rows), draws, n_prompts), draws


def row_mean(values: ArrayLike) -> float:
    """Return the mean that `mean_estimate` and `rate` estimate, without an interval."""
    rows = np.atleast_2d(np.asarray(values, dtype=np.float64))
    return float(_mean_of_rows(rows, np.ones((1, rows.shape[1])))[0])


def _mean_of_rows(rows: Floats, times: Floats) -> Floats:
    """Return ``[n_draws]`` means over rows of their means over prompts, each prompt counted `times` over.

    `times` is ``[n_draws, n_prompts]``; NaN where no row has a value.
    """
    finite = np.isfinite(rows)
    n_finite = times @ finite.T
    sums = times @ np.where(finite, rows, 0).T
    means = np.divide(sums, n_finite, out=np.zeros_like(sums), where=n_finite > 0)
    n_rows = (n_finite > 0).sum(axis=1)
    mean: Floats = np.divide(means.sum(axis=1), n_rows, out=np.full(len(times), NAN), where=n_rows > 0)
    return mean


def over_draws(rows: Sequence[ArrayLike]) -> Floats:
    """Return the mean ``[n_prompts]`` of several draws ``[n_draws][n_prompts]`` over those with a value."""
    means: Floats = np.ma.masked_invalid(np.asarray(rows, dtype=np.float64)).mean(axis=0).filled(NAN)
    return means


def shift(steered: ArrayLike, base: ArrayLike, *, seed: int, n: int = 2000) -> Estimate:
    """Return the mean of ``steered - base`` over the prompts where both are known, with a bootstrap over them.

    Parameters
    ----------
    steered
        ``[n_prompts]`` or ``[n_draws, n_prompts]``.
    base
        ``[n_prompts]``.
    """
    with np.errstate(invalid="ignore"):
        gap = np.atleast_2d(np.asarray(steered, dtype=np.float64)) - np.asarray(base, dtype=np.float64)
    return mean_estimate(over_draws(list(gap)), seed=seed, n=n)


def paired_difference(steered: ArrayLike, base: ArrayLike) -> Estimate:
    """Return the difference of two shares of the same prompts with Newcombe's 95% interval (method 10).

    Its interval has a width where no prompt changed, too, as a bootstrap over prompts has not.

    Parameters
    ----------
    steered, base
        ``[n_prompts]`` of 0 and 1; prompts with a value missing on either side are left out.

    References
    ----------
    Newcombe (1998), Stat. Med. 17, 2635-2650.
    """
    pair = np.stack([np.asarray(steered, dtype=np.float64), np.asarray(base, dtype=np.float64)])
    pair = pair[:, np.isfinite(pair).all(axis=0)]
    n = pair.shape[1]
    if not n:
        return Estimate(NAN, NAN, NAN, 0)
    (p, q), square = pair.mean(axis=1), 1.959964**2
    centre = (pair.mean(axis=1) + square / (2 * n)) / (1 + square / n)
    spread = pair.mean(axis=1) * (1 - pair.mean(axis=1)) / n + square / (4 * n**2)
    half = np.sqrt(square * spread) / (1 + square / n)
    low, high = pair.mean(axis=1) - (centre - half), centre + half - pair.mean(axis=1)
    both, first, second = (
        float((pair[0] * pair[1]).sum()),
        float((pair[0] * (1 - pair[1])).sum()),
        float(((1 - pair[0]) * pair[1]).sum()),
    )
    neither = n - both - first - second
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    product = both * neither - first * second
    # Corrected for continuity, as method 10 has it; without a margin the shares are taken for unrelated.
    phi = (max(product - n / 2, 0.0) if product > 0 else product) / np.sqrt(margins) if margins else 0.0
    down = np.sqrt(low[0] ** 2 - 2 * phi * low[0] * high[1] + high[1] ** 2)
    up = np.sqrt(high[0] ** 2 - 2 * phi * high[0] * low[1] + low[1] ** 2)
    return Estimate(float(p - q), float(p - q - down), float(p - q + up), n)


def exceeds(cell: ArrayLike, controls: ArrayLike, *, seed: int, n: int = 9999) -> float:
    """Return the one-sided p that a cell exceeds its controls, permuting within each prompt which is the cell.

    With one control this is the paired sign-flip test. Exact where the answers to a prompt are exchangeable.

    Parameters
    ----------
    cell
        ``[n_prompts]``.
    controls
        ``[n_controls, n_prompts]``.

    Returns
    -------
    float
        p with one added to both counts; NaN without controls. Prompts with an unknown value are left out.
    """
    table = np.vstack(
        [np.asarray(cell, dtype=np.float64), np.atleast_2d(np.asarray(controls, dtype=np.float64))]
    )
    table = table[:, np.isfinite(table).all(axis=0)]
    if len(table) < 2 or not table.shape[1]:
        return NAN
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(table), (n, table.shape[1]))
    null = table[chosen, np.arange(table.shape[1])].sum(axis=1)
    return float((1 + (null >= table[0].sum() - 1e-9).sum()) / (n + 1))


def median_ratio(steered: ArrayLike, base: ArrayLike, *, seed: int, n: int = 2000) -> Estimate:
    """Return the median over prompts of the paired ratio of perplexities, with a bootstrap over prompts.

    Parameters
    ----------
    steered
        ``[n_prompts]`` or ``[n_draws, n_prompts]``: the ratios of a prompt are then its geometric mean.
    base
        ``[n_prompts]``; prompts without a perplexity on either side are left out, `Estimate.n` counts the rest.
    """
    logs = (np.log(np.atleast_2d(np.asarray(steered, dtype=np.float64))) - np.log(base)).mean(axis=0)
    ratios = np.exp(logs[np.isfinite(logs)])
    if not len(ratios):
        return Estimate(NAN, NAN, NAN, 0)
    draws = np.median(ratios[_resamples(len(ratios), seed, n)], axis=1)
    return interval_of(float(np.median(ratios)), draws, len(ratios))


def dose_response(doses: ArrayLike, outcomes: ArrayLike, *, seed: int, n: int = 2000) -> DoseResponse:
    """Return slope and monotonicity of a rate over doses, with intervals that resample prompts.

    Parameters
    ----------
    doses
        ``[n_doses]``, at least two different ones.
    outcomes
        ``[n_doses, n_prompts]`` (hits or probabilities); prompts with an unknown value at any dose are left out, so
        that every point of the curve is of the same prompts.
    """
    x = np.asarray(doses, dtype=np.float64)
    table = np.asarray(outcomes, dtype=np.float64)
    table = table[:, np.isfinite(table).all(axis=0)]
    n_prompts = table.shape[1]
    if len(np.unique(x)) < 2 or not n_prompts:
        nothing = Estimate(NAN, NAN, NAN, n_prompts)
        return DoseResponse(nothing, nothing)
    centred = x - x.mean()
    rates = table[:, _resamples(n_prompts, seed, n)].mean(axis=2).T
    slopes = rates @ centred / (centred @ centred)
    rhos = stats.spearman(np.broadcast_to(x, rates.shape), rates)
    whole = table.mean(axis=1)
    return DoseResponse(
        interval_of(float(whole @ centred / (centred @ centred)), slopes, n_prompts),
        interval_of(stats.spearman(x, whole), rhos, n_prompts),
    )


def agreement(shifts: ArrayLike, human: ArrayLike) -> Estimate:
    """Return Pearson's r of the categories' word shifts with people's ratings of them (Fisher interval)."""
    x, y = np.asarray(shifts, dtype=np.float64), np.asarray(human, dtype=np.float64)
    finite = np.isfinite(x) & np.isfinite(y)
    n = int(finite.sum())
    if n < 3:
        return Estimate(NAN, NAN, NAN, n)
    r = float(stats.pearson(x[finite], y[finite]))
    return Estimate(r, *stats.pearson_interval(r, n), n)


def facts_kept(steered: ArrayLike, base: ArrayLike, *, seed: int, n: int = 2000) -> Estimate:
    """Return the share of facts answered rightly over the unsteered share, with a bootstrap over questions.

    Parameters
    ----------
    steered, base
        ``[n_questions]`` share of the readings of each question that were right.

    Returns
    -------
    Estimate
        NaN where the unsteered answers have no fact right; `Estimate.n` counts the questions.
    """
    return ratio_estimate(steered, base, seed=seed, n=n)


def ratio_estimate(above: ArrayLike, below: ArrayLike, *, seed: int, n: int = 2000) -> Estimate:
    """Return the ratio of two sums over prompts (or questions), with a bootstrap over these.

    Parameters
    ----------
    above, below
        ``[n_prompts]``, or ``[n_rows, n_prompts]`` for several targets: the mean of the rows' ratios, without those whose
        sum below is 0.

    Returns
    -------
    Estimate
        NaN where every sum below is 0; `Estimate.n` counts the prompts.
    """
    sums = np.stack([np.atleast_2d(np.asarray(part, dtype=np.float64)) for part in (above, below)])
    sums = sums[:, sums[1].any(axis=1)]
    n_prompts = sums.shape[2]
    if not sums.size:
        return Estimate(NAN, NAN, NAN, n_prompts)
    drawn = sums[:, :, _resamples(n_prompts, seed, n)].sum(axis=3)
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = np.divide(*drawn).mean(axis=0)
    return interval_of(float(np.divide(*sums.sum(axis=2)).mean()), draws, n_prompts)


def interval_of(value: float, draws: Floats, n: int) -> Estimate:
    """Return a figure of `n` prompts with its percentile interval (`stats.percentile_interval`)."""
    if not np.isfinite(value):
        return Estimate(NAN, NAN, NAN, n)
    return Estimate(value, *stats.percentile_interval(draws, n), n)


def _resamples(n_prompts: int, seed: int, n: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, n_prompts, (n, n_prompts))


def mean_of(rows: Sequence[Any]) -> float:
    """Return the mean of all known values of some arrays or numbers; NaN where there is none."""
    values = (
        np.concatenate([np.ravel(np.asarray(row, dtype=np.float64)) for row in rows]) if rows else np.empty(0)
    )
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else NAN


def nan_median(rows: Floats) -> Floats:
    """Return the median over the last axis of what is finite, NaN where nothing is; numpy's warns, and takes longer."""
    if np.isfinite(rows).all():
        return np.asarray(np.median(rows, axis=-1), dtype=np.float64)
    # NaN sorts to the end.
    ordered = np.sort(np.where(np.isfinite(rows), rows, np.nan), axis=-1)
    n = np.isfinite(ordered).sum(axis=-1, keepdims=True)
    low, high = (
        np.take_along_axis(ordered, np.clip(place, 0, rows.shape[-1] - 1), axis=-1)
        for place in ((n - 1) // 2, n // 2)
    )
    median: Floats = np.where(n > 0, (low + high) / 2, np.nan)[..., 0]
    return median
