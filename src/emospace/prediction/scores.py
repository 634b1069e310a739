"""How good out-of-fold predictions are, and which of two sets of them is better.

Models of different folds have different intercepts: pooling their predictions as they are gives a correlation
below zero where there is nothing to find, because a fold whose ratings are high is predicted from the rest,
whose ratings are low. So r is the correlation after predictions and ratings are centred within each fold. What is
left of that bias is below zero, and vanishes with the number of words.

Nor are they independent of one another: each word trains the models that predict the others, so that every pair of
words serves twice, once each way round. Out-of-fold predictions are ``S y`` with a smoother S that is zero within
folds, and for exchangeable ratings ``Var(y'Sy) = sigma^4 (||S||^2 + tr S^2) <= 2 sigma^4 ||S||^2``. A bootstrap that
takes the predictions as given sees the first half alone; so every interval and p here allows for both (`SPREAD`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emospace.errors import InvalidInput
from emospace.stats import bootstrap_correlations, bootstrap_r, difference_of, disattenuate, equivalent

if TYPE_CHECKING:
    from emospace.prediction.ratings import Predicted


@dataclass(frozen=True)
class Score:
    """Prediction against ratings.

    Attributes
    ----------
    r
        Pearson r of predictions and ratings, both centred within folds; 0 for constant predictions.
    r2
        1 - SSE/SST of the raw predictions.
    ci_low, ci_high
        95% interval of r over a bootstrap of word groups, of cross-validated predictions with the spread of their
        models (see above); NaN for constant predictions.
    p
        One-sided (r > 0), words of one group counting as one (see `prediction.scores.score`).
    n, n_groups
        Words, and word groups they form.
    """

    r: float
    r2: float
    ci_low: float
    ci_high: float
    p: float
    n: int
    n_groups: int

    def disattenuated(self, reliability: float | None) -> float | None:
        """Return r over the square root of the ratings' reliability (Spearman, 1904), None where unknown.

        Parameters
        ----------
        reliability
            That of the mean ratings, 0 to 1, such as `WordNorms.reliability` returns; None or 0 is unknown.
        """
        return None if reliability is None or reliability <= 0 else disattenuate(self.r, reliability)


class Comparison(NamedTuple):
    """Difference in r of two feature sets on the same words, with intervals of it.

    `equivalent` is the claim "as well as": the 90% interval, `equivalence_low` to `equivalence_high`, lies within +-`margin`, which is the two one-sided
    tests at .05 (Schuirmann, 1987). `p` is two-sided, against no difference.
    """

    difference: float
    ci_low: float
    ci_high: float
    equivalence_low: float
    equivalence_high: float
    p: float
    margin: float
    equivalent: bool
    n: int


SPREAD = math.sqrt(2)
"""By how much the standard error of a figure of out-of-fold predictions exceeds, at most, that of given ones."""


def spread(value: float, draws: np.ndarray) -> np.ndarray:
    """Return bootstrap draws of a difference of out-of-fold r, with the spread that its models add."""
    return np.asarray(value + SPREAD * (draws - value))


def _spread_interval(r: float, low: float, high: float) -> tuple[float, float]:
    """Return the bounds of an out-of-fold r with the spread that its models add, on Fisher's scale."""
    z = np.arctanh(np.clip([r, low, high], -1 + 1e-15, 1 - 1e-15))
    return float(np.tanh(z[0] + SPREAD * (z[1] - z[0]))), float(np.tanh(z[0] + SPREAD * (z[2] - z[0])))


class AboveDraws(NamedTuple):
    """Where a value stands among those of draws: the fraction it exceeds, and p = (1 + #{draw >= value}) / (1 + n)."""

    fraction: float
    p: float
    n: int


def centred(values: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return `values` `[n_words, ...]` less the mean of their fold."""
    result = np.asarray(values, dtype=np.float64).copy()
    for fold in np.unique(folds):
        result[folds == fold] -= result[folds == fold].mean(axis=0)
    return result


def correlation(predicted: np.ndarray, observed: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return r within folds of predictions `[n_words, ...]` with ratings of a shape that broadcasts to theirs."""
    p, y = centred(predicted, folds), centred(observed, folds)
    scale = np.sqrt((p * p).sum(axis=0) * (y * y).sum(axis=0))
    return np.asarray(np.divide((p * y).sum(axis=0), scale, out=np.zeros(scale.shape), where=scale > 1e-12))


def score(
    predicted: np.ndarray,
    observed: np.ndarray,
    groups: np.ndarray,
    folds: np.ndarray,
    *,
    cross_validated: bool = True,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Score:
    """Score predictions `[n_words]` against ratings `[n_words]`, words of one group counting as one observation.

    `p` is from t with n_groups - n_folds - 1 degrees of freedom. Cross-validated predictions have r's variance
    doubled for it and for the interval, which is of what their models reach on new words. The plain t can reject
    nearly twice as often as it says.
    """
    from scipy.stats import t as student

    r = float(correlation(predicted, observed, folds))
    low, high = bootstrap_r(
        centred(predicted, folds), centred(observed, folds), groups, seed=seed, n=n_bootstrap
    )
    if cross_validated:
        low, high = _spread_interval(r, low, high)
    n_groups = len(np.unique(groups))
    freedom = max(n_groups - len(np.unique(folds)) - 1, 1)
    statistic = r * math.sqrt(freedom / max(1 - r * r, 1e-12)) / (SPREAD if cross_validated else 1)
    residual, deviation = observed - predicted, observed - observed.mean()
    total = float(deviation @ deviation)
    r2 = 1 - float(residual @ residual) / total if total > 0 else 0.0
    p = max(float(student.sf(statistic, freedom)), 1e-300)
    return Score(r, r2, low, high, p, len(observed), n_groups)


def compare_predictions(
    a: Predicted,
    b: Predicted,
    *,
    margin: float = 0.03,
    without_concepts: bool = False,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare r of two feature sets, a - b, by a paired bootstrap over word groups on out-of-fold predictions.

    Intervals and p are of what the models reach on new words: the draws are spread by what the models add.

    Parameters
    ----------
    a, b
        Predictions of one target from two feature sets, from `predict_ratings` with the same groups and seed.
    margin
        Difference in r that counts as none: "as well as" means that the 90% interval lies within it on both sides.
    without_concepts
        Whether concept words are left out: only words with `Predicted.scored` are compared.
    n_bootstrap
        Resamples of word groups behind intervals and p.
    seed
        Decides these resamples.

    Raises
    ------
    EmospaceError
        If the two were not predicted on the same words, groups and folds.
    """
    same = len(a.observed) == len(b.observed) and all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("observed", "groups", "folds", "scored")
    )
    if not same:
        raise InvalidInput(
            f"predictions of {a.target} and {b.target}",
            "they are of different words, word groups or folds",
            "Predict both from the same norms with the same groups and seed.",
        )
    rows = a.scored if without_concepts else np.ones(len(a.observed), dtype=bool)
    folds, observed, pair = (
        a.folds[rows],
        a.observed[rows],
        np.stack([a.out_of_fold[rows], b.out_of_fold[rows]], 1),
    )
    r = correlation(pair, observed[:, None], folds)
    draws = bootstrap_correlations(
        centred(pair, folds).T, centred(observed, folds), a.groups[rows], seed=seed, n=n_bootstrap
    )
    value, draws = float(r[0] - r[1]), np.nan_to_num(draws)
    difference = difference_of(value, spread(value, draws[:, 0] - draws[:, 1]))
    return Comparison(
        difference=difference.value,
        ci_low=difference.low,
        ci_high=difference.high,
        equivalence_low=difference.low90,
        equivalence_high=difference.high90,
        p=difference.p,
        margin=margin,
        equivalent=equivalent(difference, margin),
        n=len(observed),
    )


def above_draws(value: float, draws: np.ndarray) -> AboveDraws:
    """Return where `value` stands among the values of `draws` `[n_draws]`."""
    draws = np.asarray(draws, dtype=np.float64)
    n = len(draws)
    return AboveDraws(float((draws < value).mean()), (1 + int((draws >= value).sum())) / (1 + n), n)
