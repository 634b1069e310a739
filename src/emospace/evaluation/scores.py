"""From the judgements of answers to figures: rates, fluency, content and what is due to the vector alone.

The unit is the prompt: intervals resample prompts, and every comparison is of answers to the same prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from emospace import stats
from emospace.judges import BASIC, BASIC_SEVEN, is_fit

if TYPE_CHECKING:
    from emospace.judges import Judgement

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


@dataclass(frozen=True, eq=False)
class Scored:
    """The answers of one cell as they were judged, one entry a prompt.

    Parameters
    ----------
    judgement, masked
        Of the answers, and of the answers with the words of all concept-sets masked.
    perplexity
        ``[n_prompts]`` under the unsteered model; NaN for an answer without a token.
    valence, arousal
        ``[n_prompts]`` mean human rating (-1..1) of the words used; NaN where none is rated.
    repetition, similarity
        ``[n_prompts]``: repetition within an answer, and likeness to the unsteered answer.
    stopped
        ``[n_prompts]`` whether the answer ended by itself.
    distinct2
        Distinct bigrams over all bigrams of all answers.
    facts
        ``[2, n_questions]`` whether each factual prompt was answered rightly, by the likeliest tokens and sampled; None
        where none was asked.
    applications
        Token positions times layers changed.
    in_language
        ``[n_prompts]`` whether an answer is in the language of its prompt, NaN for one without a word; None where it was
        not looked at.
    """

    judgement: Judgement
    masked: Judgement
    perplexity: np.ndarray
    valence: np.ndarray
    arousal: np.ndarray
    repetition: np.ndarray
    similarity: np.ndarray
    stopped: np.ndarray
    distinct2: float
    facts: np.ndarray | None = None
    applications: int = 0
    in_language: np.ndarray | None = None


def is_judged(judgement: Judgement, target: str) -> bool:
    """Say whether a judge has a word on a category: a label, or a share among the seven that is not always zero."""
    if target in judgement.labels or target not in BASIC:
        return target in judgement.labels
    return not (judgement.seven[:, BASIC_SEVEN.index(target)] == 0).all()


def hits(judgement: Judgement, target: str) -> Floats:
    """Return for each text whether it is taken for the target ``[n_texts]``: 1 or 0, NaN for an unjudged text.

    For the basic six: the choice among these and neutral at equal priors. For any other category: its probability
    is the highest among all labels of the judge but neutral.

    Raises
    ------
    EmospaceError
        If the judge has no such label.
    """
    if target in BASIC:
        return _chosen(judgement, target)
    others = [judgement.for_category(label) for label in judgement.labels if label != "neutral"]
    return np.where(judgement.unjudged, NAN, judgement.for_category(target) >= np.max(others, axis=0))


def counts(judgements: Sequence[Judgement]) -> dict[str, int]:
    """Return how many answers were judged, `n_judged`, and how many could not be, `n_unjudged`."""
    unjudged = np.concatenate([judgement.unjudged for judgement in judgements])
    return {"n_judged": int((~unjudged).sum()), "n_unjudged": int(unjudged.sum())}


def probability(judgement: Judgement, target: str) -> Floats:
    """Return the calibrated probability of the target ``[n_texts]``, for a basic one without it that of the choice.

    NaN for an unjudged text.
    """
    if target in BASIC and target not in judgement.labels:
        return np.asarray(judgement.seven[:, BASIC_SEVEN.index(target)], dtype=np.float64)
    return np.asarray(judgement.for_category(target), dtype=np.float64)


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
    found, draws = _bootstrap_mean(values, seed, n)
    if not found.n:
        return found
    share = min(max(found.value, 0.0), 1.0)
    varied = float(np.nanvar(draws)) * found.n / max(found.n - 1, 1)
    if 0 < share < 1 and varied < 1e-15:
        return Estimate(found.value, found.value, found.value, found.n)
    worth = share * (1 - share) / varied if 0 < share < 1 else found.n
    square = 1.959964**2
    centre = (share + square / (2 * worth)) / (1 + square / worth)
    half = np.sqrt(square * (share * (1 - share) / worth + square / (4 * worth**2))) / (1 + square / worth)
    return Estimate(found.value, max(0.0, float(centre - half)), min(1.0, float(centre + half)), found.n)


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


def adjusted(p: ArrayLike, auroc: Sequence[float | None]) -> Floats:
    """Return p-values adjusted for the false discovery rate over the categories the judge is fit for, NaN elsewhere."""
    fit = np.array([is_fit(value) for value in auroc], dtype=bool)
    return stats.fdr_bh(np.where(fit, np.asarray(p, dtype=np.float64), np.nan))


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


def confusion(judged: dict[str, Judgement]) -> pd.DataFrame:
    """Return target x judged: the share of each target's judged answers chosen as each of the seven, rows summing to 1.

    `n_judged` and `n_unjudged` count the answers; a row without a judged one is NaN.
    """
    rows = [
        {"target": target}
        | {label: mean_of([_chosen(judgement, label)]) for label in BASIC_SEVEN}
        | counts([judgement])
        for target, judgement in judged.items()
    ]
    return pd.DataFrame(rows, columns=["target", *BASIC_SEVEN, "n_judged", "n_unjudged"])


def agreement(shifts: ArrayLike, human: ArrayLike) -> Estimate:
    """Return Pearson's r of the categories' word shifts with people's ratings of them (Fisher interval)."""
    x, y = np.asarray(shifts, dtype=np.float64), np.asarray(human, dtype=np.float64)
    finite = np.isfinite(x) & np.isfinite(y)
    n = int(finite.sum())
    if n < 3:
        return Estimate(NAN, NAN, NAN, n)
    r = float(stats.pearson(x[finite], y[finite]))
    return Estimate(r, *stats.pearson_interval(r, n), n)


def measure(
    cells: Sequence[Scored], base: Scored, target: str, controls: Sequence[Scored] = (), *, seed: int
) -> dict[str, Any]:
    """Return every figure of one target under one vector and dose, named as in `SteeringRecord` where it is there.

    Rates are of the answers the judge could judge, `n_judged`; `n_tested` counts the prompts whose answers,
    the controls' too, were all judged: `p` is of these.

    Parameters
    ----------
    cells
        One, or several draws that stand for one thing (random directions, shuffled sets), which are averaged.
    base
        The unsteered answers.
    controls
        Answers under random directions; with them `p` (probability of the target), `p_rate` and `p_masked` (hits).
    """
    ratio = median_ratio([cell.perplexity for cell in cells], base.perplexity, seed=seed)
    n_prompts = len(base.perplexity)
    return _rates(cells, base, target, controls, seed) | {
        "n": n_prompts * len(cells),
        "n_prompts": n_prompts,
        **ratio.named("perplexity_ratio"),
        "n_without_perplexity": n_prompts - ratio.n,
        "distinct2_ratio": mean_of([cell.distinct2 for cell in cells]) / base.distinct2
        if base.distinct2
        else NAN,
        "repetition": mean_of([cell.repetition for cell in cells]),
        "base_repetition": mean_of([base.repetition]),
        "early_stop": mean_of([cell.stopped for cell in cells]),
        "base_early_stop": mean_of([base.stopped]),
        "similarity": mean_of([cell.similarity for cell in cells]),
        "in_language": mean_of([cell.in_language for cell in cells if cell.in_language is not None]),
        "base_in_language": mean_of([] if base.in_language is None else [base.in_language]),
        **_facts(cells, base, seed),
        "applications": sum(cell.applications for cell in cells),
        **_shifts("valence", [cell.valence for cell in cells], base.valence, seed),
        **_shifts("arousal", [cell.arousal for cell in cells], base.arousal, seed),
    }


def _rates(
    cells: Sequence[Scored], base: Scored, target: str, controls: Sequence[Scored], seed: int
) -> dict[str, Any]:
    figures: dict[str, Any] = counts([cell.judgement for cell in cells])
    if not is_judged(base.judgement, target):
        return figures | {"target_rate": None, "reason": f"the judge has no label '{target}'"}
    chosen = [hits(cell.judgement, target) for cell in cells]
    masked = [hits(cell.masked, target) for cell in cells]
    likely = [probability(cell.judgement, target) for cell in cells]
    estimate = rate(chosen, seed=seed)
    if not figures["n_judged"]:
        figures["reason"] = f"none of the {figures['n_unjudged']} answers could be judged"
    figures |= {
        "target_rate": estimate.value,
        "ci_low": estimate.low,
        "ci_high": estimate.high,
        "target_rate_masked": row_mean(masked),
        "target_probability": row_mean(likely),
        "base_rate": row_mean(hits(base.judgement, target)),
        "base_rate_masked": row_mean(hits(base.masked, target)),
        "base_probability": row_mean(probability(base.judgement, target)),
    }
    if len(cells) > 1 or not controls:
        return figures
    random = [hits(control.judgement, target) for control in controls]
    return figures | {
        "control_rate": row_mean(random),
        "n_tested": int(np.isfinite([likely[0], *random]).all(axis=0).sum()),
        "p": exceeds(likely[0], [probability(control.judgement, target) for control in controls], seed=seed),
        "p_rate": exceeds(chosen[0], random, seed=seed),
        "p_masked": exceeds(masked[0], [hits(control.masked, target) for control in controls], seed=seed),
        "p_unsteered": exceeds(likely[0], [probability(base.judgement, target)], seed=seed),
    }


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
    pair = np.stack([np.asarray(steered, dtype=np.float64), np.asarray(base, dtype=np.float64)])
    n_questions = pair.shape[1]
    if not pair[1].any():
        return Estimate(NAN, NAN, NAN, n_questions)
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = np.divide(*pair[:, _resamples(n_questions, seed, n)].mean(axis=2))
    return interval_of(float(pair[0].sum() / pair[1].sum()), draws, n_questions)


def _facts(cells: Sequence[Scored], base: Scored, seed: int) -> dict[str, Any]:
    """Return the shares of facts answered rightly, greedy and sampled, and what is kept of the unsteered shares."""
    asked = [cell.facts for cell in cells if cell.facts is not None]
    if not asked or base.facts is None:
        return {"answered": NAN, "answered_sampled": NAN, "n_facts": 0}
    greedy, sampled = np.mean(asked, axis=(0, 2))
    kept = facts_kept(np.mean(asked, axis=(0, 1)), base.facts.mean(axis=0), seed=seed)
    return {
        "answered": float(greedy),
        "answered_sampled": float(sampled),
        "base_answered": float(base.facts[0].mean()),
        "base_answered_sampled": float(base.facts[1].mean()),
        **kept.named("facts_kept"),
        "n_facts": kept.n,
    }


def _chosen(judgement: Judgement, label: str) -> Floats:
    """Return for each text whether a label is the choice of seven: 1 or 0, NaN for an unjudged text."""
    return np.where(judgement.unjudged, NAN, judgement.choice == label)


def _shifts(name: str, cells: Sequence[np.ndarray], base: np.ndarray, seed: int) -> dict[str, Any]:
    moved = shift(cells, base, seed=seed)
    return {**moved.named(f"{name}_shift"), f"n_{name}": moved.n}


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
