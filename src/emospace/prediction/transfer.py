"""Ratings of one language's words from another's: ridge fitted here, read there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emospace.errors import InvalidInput
from emospace.prediction.ratings import Problem, checked, each_layer, layer_of
from emospace.prediction.ridge import PENALTIES, assign_folds
from emospace.prediction.scores import Score, correlation, score


@dataclass(frozen=True, eq=False)
class FittedRatings:
    """Ridge of one target on all words of a language, to be read on another's.

    Attributes
    ----------
    layer, penalty
        Chosen by cross-validation within the language.
    place
        Index of the layer among those given.
    mean, scale
        `[d]`, shift and inverse spread of the words fitted on (0 where a feature does not vary).
    weights
        `[d, 1 + n_permutations]`: of the ratings, then of each permutation of them at the same layer and penalty.
    intercepts
        `[1 + n_permutations]`.
    """

    target: str
    layer: int
    penalty: float
    place: int
    shape: tuple[int, ...]
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    intercepts: np.ndarray

    def predict(self, features: Any) -> np.ndarray:
        """Return predictions `[n_words, 1 + n_permutations]`, the first from the ratings as they are.

        Parameters
        ----------
        features
            Laid out as those it was fitted on, or of the chosen layer alone, `[n_words, d]`.

        Raises
        ------
        EmospaceError
            If the features are not laid out as those it was fitted on.
        """
        features = np.asarray(features.toarray() if hasattr(features, "toarray") else features)
        if features.shape[1:] not in (self.shape, self.shape[-1:]):
            raise InvalidInput(
                f"test features {features.shape[1:]}",
                f"the training features are {self.shape}",
                "Give both languages the same layers and features.",
            )
        chosen = features[:, self.place] if features.ndim == 3 else features
        return np.asarray(((chosen - self.mean) * self.scale) @ self.weights + self.intercepts)


@dataclass(frozen=True)
class Transferred:
    """Predictions `[n_test]` of one target in a language the ridge was not fitted on.

    `layer` and `penalty` were chosen by cross-validation within the training language. `p` is against ridge fitted
    on permuted training ratings, whose r has the central 95% `permuted_low` to `permuted_high`; None without them.
    """

    target: str
    predicted: np.ndarray
    observed: np.ndarray
    score: Score
    layer: int
    penalty: float
    p: float | None = None
    permuted_low: float | None = None
    permuted_high: float | None = None


def fit_ratings(
    features: Any,
    ratings: np.ndarray,
    groups: np.ndarray,
    *,
    targets: Sequence[str] = ("valence", "arousal"),
    layers: Sequence[int] | None = None,
    folds: int = 5,
    penalties: Sequence[float] = PENALTIES,
    n_permutations: int = 0,
    seed: int = 0,
) -> tuple[FittedRatings, ...]:
    """Fit ridge on all words of a language, layer and penalty chosen by cross-validation within it.

    Parameters
    ----------
    features, ratings, groups, targets, layers, penalties
        As in `predict_ratings`.
    folds
        Folds that choose layer and penalty; five train on four fifths of the words.
    n_permutations
        Further fits on permuted ratings, at the same layer and penalty: a null distribution for `read_ratings`.
    seed
        Decides folds and permutations.

    Raises
    ------
    EmospaceError
        As `predict_ratings`.
    """
    features, ratings, groups, _, everything = checked(features, ratings, groups, None, None)
    n_layers = features.shape[1] if features.ndim == 3 else 1
    names = tuple(range(n_layers)) if layers is None else tuple(int(layer) for layer in layers)
    fold_of = assign_folds(groups, folds, seed)

    def one_layer(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return Problem(values, ratings, fold_of, everything).choose(penalties)

    errors, chosen = (np.stack(part) for part in zip(*each_layer(one_layer, features), strict=True))
    best = errors.argmin(axis=0)
    # One order for all targets: permuted ratings of a word stay together.
    order = np.tile(np.arange(len(ratings)), (n_permutations, 1))
    order = np.random.default_rng(seed).permuted(order, axis=1).T

    def fit(column: int, target: str, place: int) -> FittedRatings:
        permuted = np.concatenate([ratings[:, column, None], ratings[order, column]], axis=1)
        problem = Problem(layer_of(features, place), permuted, fold_of, everything)
        penalty = chosen[place, column]
        fitted = problem.fit(np.full(permuted.shape[1], penalty))
        return FittedRatings(target, names[place], float(penalty), place, features.shape[1:], *fitted)

    return tuple(fit(t, target, int(best[t])) for t, target in enumerate(targets))


def read_ratings(
    fitted: FittedRatings,
    features: Any,
    ratings: np.ndarray,
    groups: np.ndarray,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Transferred:
    """Predict the ratings `[n_words]` of another language's words with ridge fitted by `fit_ratings`.

    r does not depend on the scales of the two norms; `r2` does, so rescale both to -1..1 first (`WordNorms.unit`).
    `p` of the score is the plain one-sided t; that of the result counts the permuted fits that do as well.

    Parameters
    ----------
    fitted
        One of what `fit_ratings` returned.
    features
        `[n_words, d]` or `[n_words, n_layers, d]`, with the features and layers it was fitted on.
    ratings
        `[n_words]`, of the same target.
    groups
        `[n_words]` of int: words of one group (inflections, duplicates) count as one observation.
    n_bootstrap
        Resamples of word groups behind the 95% interval of r.
    seed
        Decides these resamples.

    Raises
    ------
    EmospaceError
        If shapes disagree, or a value is not finite.
    """
    features, ratings, groups, _, _ = checked(features, ratings, groups, None, None)
    observed, folds = ratings[:, 0], np.zeros(len(ratings), dtype=np.int64)
    predicted = fitted.predict(features)
    outcome = score(
        predicted[:, 0], observed, groups, folds, cross_validated=False, n_bootstrap=n_bootstrap, seed=seed
    )
    permuted: dict[str, float] = {}
    if predicted.shape[1] > 1:
        null = correlation(predicted[:, 1:], observed[:, None], folds)
        low, high = np.quantile(null, [0.025, 0.975])
        p = (1 + int((null >= outcome.r).sum())) / (1 + len(null))
        permuted = {"p": p, "permuted_low": float(low), "permuted_high": float(high)}
    return Transferred(
        fitted.target, predicted[:, 0], observed, outcome, fitted.layer, fitted.penalty, **permuted
    )


def transfer(
    train_features: Any,
    train_ratings: np.ndarray,
    train_groups: np.ndarray,
    test_features: Any,
    test_ratings: np.ndarray,
    test_groups: np.ndarray,
    *,
    targets: Sequence[str] = ("valence", "arousal"),
    n_bootstrap: int = 1000,
    seed: int = 0,
    **fitting: Any,
) -> tuple[Transferred, ...]:
    """Fit ridge on the words of one language and predict the ratings of another's.

    `fit_ratings`, then `read_ratings` of each target.

    Parameters
    ----------
    train_features, train_ratings, train_groups
        Of the language it is fitted on, as in `predict_ratings`.
    test_features, test_ratings, test_groups
        Of the language that is predicted: the same features, layers and targets.
    targets
        Names of the columns of both ratings.
    n_bootstrap
        As in `read_ratings`.
    seed
        Decides folds, permutations and resamples.
    fitting
        Further arguments of `fit_ratings`: ``layers``, ``folds``, ``penalties``, ``n_permutations``.

    Raises
    ------
    EmospaceError
        As `predict_ratings`.
    """
    fitted = fit_ratings(train_features, train_ratings, train_groups, targets=targets, seed=seed, **fitting)
    test_ratings = np.asarray(test_ratings, dtype=np.float64).reshape(len(test_ratings), -1)
    return tuple(
        read_ratings(fit, test_features, test_ratings[:, t], test_groups, n_bootstrap=n_bootstrap, seed=seed)
        for t, fit in enumerate(fitted)
    )
