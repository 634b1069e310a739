"""Ratings of words from features of words: nested cross-validation, and transfer between languages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from emospace.display import Pictured
from emospace.engines import LOCAL, current
from emospace.errors import InvalidInput
from emospace.prediction.ridge import (
    PENALTIES,
    Fit,
    FoldSums,
    KernelFit,
    assign_folds,
    crossed_ridge,
    fit_at,
    moments,
    nested_ridge,
)
from emospace.prediction.scores import SPREAD, Score, centred, correlation, score
from emospace.stats import Auc, auc

Result = TypeVar("Result")


@dataclass(frozen=True)
class Predicted(Pictured):
    """Out-of-fold predictions of one target, on the scale of its ratings.

    Attributes
    ----------
    target
        What was predicted, such as ``valence``.
    out_of_fold, observed
        `[n_words]`: each word predicted by a ridge that was not fitted on its fold, and its rating.
    groups, folds
        `[n_words]`: the word group (inflections, duplicates) and the outer fold of each word.
    scored
        `[n_words]` of bool: words counted in `without_concepts`.
    all_words, without_concepts
        Scores over all words, and over those scored; equal where no word is left out.
    layer, penalty
        Those chosen for each outer fold, on the other folds alone. The layer is named as in `layers`.
    layers
        Layers there were to choose from: the residual stream after so many blocks (SAELens'
        ``blocks.{layer-1}.hook_resid_post``).
    layer_r
        `[n_layers, 2]`: out-of-fold r of each layer taken alone (all words, scored words), at the penalty chosen
        inside.
    n_features
        Features of a word at one layer.
    """

    target: str
    out_of_fold: np.ndarray
    observed: np.ndarray
    groups: np.ndarray
    folds: np.ndarray
    scored: np.ndarray
    all_words: Score
    without_concepts: Score
    layer: tuple[int, ...]
    penalty: tuple[float, ...]
    layers: tuple[int, ...]
    layer_r: np.ndarray
    n_features: int

    @property
    def r(self) -> float:
        """Out-of-fold r over all words."""
        return self.all_words.r

    @property
    def r2(self) -> float:
        """Out-of-fold R2 over all words."""
        return self.all_words.r2

    @property
    def ci_low(self) -> float:
        """Lower bound of the 95% interval of r over all words."""
        return self.all_words.ci_low

    @property
    def ci_high(self) -> float:
        """Upper bound of the 95% interval of r over all words."""
        return self.all_words.ci_high

    @property
    def p(self) -> float:
        """One-sided p of r over all words."""
        return self.all_words.p

    @property
    def n(self) -> int:
        """Number of words."""
        return self.all_words.n


@dataclass(frozen=True, eq=False)
class NestedPredictions:
    """Out-of-fold predictions with all that was chosen on the way.

    `folds` is `[n_words]`, `by_layer` `[n_layers, n_words, n_targets]`, `penalty` `[n_layers, folds, n_targets]`; `best`
    `[folds, n_targets]` is the place of the layer chosen.
    """

    folds: np.ndarray
    by_layer: np.ndarray
    penalty: np.ndarray
    best: np.ndarray
    n_features: int

    @property
    def predicted(self) -> np.ndarray:
        """Predictions `[n_words, n_targets]` at the layer chosen in each fold."""
        words, targets = np.ogrid[: len(self.folds), : self.best.shape[1]]
        return np.asarray(self.by_layer[self.best[self.folds], words, targets])


def nested_predictions(
    features: Any,
    ratings: np.ndarray,
    groups: np.ndarray,
    *,
    train_mask: np.ndarray | None = None,
    folds: int = 5,
    penalties: Sequence[float] = PENALTIES,
    seed: int = 0,
) -> NestedPredictions:
    """Predict targets by ridge in nested cross-validation; parameters and errors as in `predict_ratings`."""
    features, ratings, groups, _, trains = checked(features, ratings, groups, None, train_mask)
    fold_of = assign_folds(groups, folds, seed)

    def one_layer(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return out_of_fold(values, ratings, fold_of, trains, penalties)

    by_layer, penalty, errors = map(np.stack, zip(*each_layer(one_layer, features), strict=True))
    return NestedPredictions(fold_of, by_layer, penalty, errors.argmin(axis=0), features.shape[-1])


def predict_ratings(
    features: Any,
    ratings: np.ndarray,
    groups: np.ndarray,
    *,
    targets: Sequence[str] = ("valence", "arousal"),
    scored: np.ndarray | None = None,
    train_mask: np.ndarray | None = None,
    layers: Sequence[int] | None = None,
    folds: int = 5,
    penalties: Sequence[float] = PENALTIES,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> tuple[Predicted, ...]:
    """Predict ratings by ridge in nested cross-validation, layer and penalty chosen on training folds alone.

    Parameters
    ----------
    features
        `[n_words, d]`, dense or scipy sparse, or layers `[n_words, n_layers, d]`. Standardised on training words.
    ratings
        `[n_words, n_targets]`, on any scale.
    groups
        `[n_words]` of int: words of one group (inflections, duplicates) never part between folds.
    targets
        Names of the columns of `ratings`.
    scored
        `[n_words]` of bool: words counted in `without_concepts`; the others still train. Default: all.
    train_mask
        `[n_words]` of bool: words that may train; the others are still predicted. Default: all.
    layers
        Numbers of the layers of `features`: the residual stream after so many blocks (SAELens'
        ``blocks.{layer-1}.hook_resid_post``). Default: 0..n_layers-1.
    folds
        Outer folds, three or more; within each, layer and penalty are chosen by leaving out the others in turn. Five
        train on four fifths of the words.
    penalties
        Grid of relative penalties, ascending: ``alpha / n_words`` of `sklearn.linear_model.Ridge` on standardised
        features.
    n_bootstrap
        Resamples of word groups behind the 95% intervals of r.
    seed
        Decides folds and resamples. Folds depend on `groups` and the seed alone, so that feature sets are compared on
        the same ones.

    Raises
    ------
    EmospaceError
        If shapes disagree, a value is not finite, or there are too few word groups.
    """
    features, ratings, groups, scored, trains = checked(features, ratings, groups, scored, train_mask)
    if len(targets) != ratings.shape[1]:
        raise InvalidInput(
            f"ratings of {ratings.shape[1]} targets",
            f"{len(targets)} are named",
            "Name each column in `targets`.",
        )
    nested = nested_predictions(
        features, ratings, groups, train_mask=trains, folds=folds, penalties=penalties, seed=seed
    )
    names = tuple(range(len(nested.by_layer))) if layers is None else tuple(int(layer) for layer in layers)
    return tuple(
        _of_target(nested, t, target, names, ratings[:, t], groups, scored, n_bootstrap, seed)
        for t, target in enumerate(targets)
    )


def membership_aucs(
    features: np.ndarray, members: np.ndarray, groups: np.ndarray, *, folds: int = 5, seed: int = 0
) -> tuple[Auc, ...]:
    """Return how well the held-out words of each category are separated from all others, by ridge on membership.

    Layer and penalty are chosen on training folds, as for ratings (`predict_ratings`); predictions are compared within
    folds. Interval and p allow for what the models of the folds add (`prediction.scores`).

    Parameters
    ----------
    features
        ``[n_words, d]`` or ``[n_words, n_layers, d]``.
    members
        bool ``[n_words, n_categories]``; a word may belong to several.
    groups
        ``[n_words]`` of int: words of one group never part between folds.
    """
    nested = nested_predictions(features, members.astype(np.float64), groups, folds=folds, seed=seed)
    scores = centred(nested.predicted, nested.folds)
    return tuple(auc(score, member, spread=SPREAD) for score, member in zip(scores.T, members.T, strict=True))


def predict_beside(
    features: Any,
    beside: np.ndarray,
    alone: Sequence[Predicted],
    *,
    penalties: Sequence[float] = PENALTIES,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> tuple[Predicted, ...]:
    """Predict ratings from features joined with others, in the folds and at the layers of the features alone.

    Every feature is standardised on training words, so that one penalty weighs both kinds alike; no layer is chosen
    anew, which would cost a fit of each.

    Parameters
    ----------
    features
        `[n_words, d]`, or layers `[n_words, n_layers, d]`.
    beside
        `[n_words, k]`, joined to the features of every layer.
    alone
        What `predict_ratings` gave for `features`, all words training: a target each.
    """
    first = alone[0]
    fold_of, ratings = first.folds, np.stack([each.observed for each in alone], axis=1)
    features, ratings, groups, scored, trains = checked(features, ratings, first.groups, first.scored, None)
    places = np.array([[each.layers.index(layer) for layer in each.layer] for each in alone]).T
    taken, best = np.unique(places, return_inverse=True)
    best = best.reshape(places.shape)
    parts = [
        out_of_fold(
            np.concatenate([layer_of(features, place), beside], axis=1), ratings, fold_of, trains, penalties
        )
        for place in taken
    ]
    by_layer, penalty, _ = map(np.stack, zip(*parts, strict=True))
    nested = NestedPredictions(fold_of, by_layer, penalty, best, features.shape[-1] + beside.shape[1])
    names = tuple(first.layers[place] for place in taken)
    return tuple(
        _of_target(nested, t, each.target, names, each.observed, groups, scored, n_bootstrap, seed)
        for t, each in enumerate(alone)
    )


def _of_target(
    nested: NestedPredictions,
    t: int,
    target: str,
    layers: tuple[int, ...],
    observed: np.ndarray,
    groups: np.ndarray,
    scored: np.ndarray,
    n_bootstrap: int,
    seed: int,
) -> Predicted:
    """Return the predictions of column `t` with their scores; `layers` are the names of those of `nested`."""
    out_of_fold, fold_of = nested.predicted[:, t], nested.folds
    everything = np.ones(len(observed), dtype=bool)

    def scores(rows: np.ndarray) -> Score:
        chosen = (out_of_fold[rows], observed[rows], groups[rows], fold_of[rows])
        return score(*chosen, n_bootstrap=n_bootstrap, seed=seed)

    def curve(rows: np.ndarray) -> np.ndarray:
        return correlation(nested.by_layer[:, rows, t].T, observed[rows, None], fold_of[rows])

    whole = scores(everything)
    return Predicted(
        target=target,
        out_of_fold=out_of_fold,
        observed=observed,
        groups=groups,
        folds=fold_of,
        scored=scored,
        all_words=whole,
        without_concepts=whole if scored.all() else scores(scored),
        layer=tuple(layers[place] for place in nested.best[:, t]),
        penalty=tuple(float(nested.penalty[place, fold, t]) for fold, place in enumerate(nested.best[:, t])),
        layers=layers,
        layer_r=np.stack([curve(everything), curve(scored)], axis=1),
        n_features=nested.n_features,
    )


class Problem:
    """One feature set with its folds, ready for ridge: primal, or dual where features outnumber training words.

    Features are shifted and scaled by constants of all words, which changes no prediction and keeps sums exact;
    the standardisation that counts is on training words, in the fits. Sparse features stay sparse in dual form.
    """

    def __init__(self, features: Any, ratings: np.ndarray, fold_of: np.ndarray, trains: np.ndarray) -> None:
        import torch
        from scipy.sparse import diags_array

        self.mean, spread = moments(features)
        self.varies = spread > 1e-7 * np.abs(self.mean)
        self.spread = spread[self.varies]
        self.centre = ratings.mean(axis=0)
        folds = range(int(fold_of.max()) + 1)
        self.test_rows = [torch.from_numpy(np.flatnonzero(fold_of == fold)) for fold in folds]
        self.train_rows = [torch.from_numpy(np.flatnonzero((fold_of == fold) & trains)) for fold in folds]
        sizes = sorted(len(rows) for rows in self.train_rows)
        wide = len(self.spread) > sum(sizes[:-2])
        self.dtype: Any = np.float32 if wide and features.dtype == np.float32 else np.float64
        self.features: Any
        if wide and hasattr(features, "tocsr"):
            # A shift would fill it, and the kernel is centred on training words anyway.
            self.mean = np.zeros_like(self.mean)
            kept = features.tocsc()[:, self.varies] @ diags_array(1 / self.spread)
            self.features = kept.tocsr().astype(self.dtype)
        else:
            dense = features.toarray() if hasattr(features, "toarray") else features
            self.features = dense[:, self.varies].astype(self.dtype)
            self.features -= self.mean[self.varies].astype(self.dtype)
            self.features /= self.spread.astype(self.dtype)
        self.ratings = torch.from_numpy((ratings - self.centre).astype(self.dtype))
        self.sums = None
        if not wide:
            x = torch.from_numpy(self.features)
            self.sums = FoldSums.over([x], (1, x.shape[1]), self.ratings, self.train_rows)

    def without(self, held_out: tuple[int, ...]) -> Fit:
        """Return ridge on the training words of all folds but `held_out`."""
        if self.sums is not None:
            return self.sums.without(held_out)
        return KernelFit(self.features, self.ratings, self.train_rows, held_out)

    def choose(self, penalties: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """Return the least cross-validated squared error and its penalty, `[n_targets]` each."""
        import torch

        grid = torch.as_tensor(penalties, dtype=torch.float64)
        fits = [self.without((fold,)) for fold in range(len(self.test_rows))]
        least, chosen = crossed_ridge(fits, grid)
        return least[0].numpy(), grid[chosen[0]].numpy()

    def fit(self, penalties: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return ridge on all training words, at a penalty for each target.

        Returns
        -------
        Mean and inverse spread `[d]` (0 where a feature does not vary), weights `[d, n_targets]` of features so
        standardised, and intercepts `[n_targets]`.
        """
        import torch

        weights, intercepts = fit_at(self.without(()), torch.as_tensor(penalties, dtype=torch.float64)[None])
        scale, full = np.zeros(len(self.varies)), np.zeros((len(self.varies), len(penalties)))
        scale[self.varies], full[self.varies] = 1 / self.spread, weights[0].numpy()
        return self.mean, scale, full, np.asarray(intercepts[0].numpy() + self.centre)

    def coefficients(self, penalties: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights `[d, n_targets]` and intercepts `[n_targets]` of features as they were given."""
        mean, scale, weights, intercepts = self.fit(penalties)
        weights *= scale[:, None]
        return weights, intercepts - mean @ weights


def out_of_fold(
    features: Any,
    ratings: np.ndarray,
    fold_of: np.ndarray,
    trains: np.ndarray,
    penalties: Sequence[float],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return predictions `[n_words, n_targets]`, and penalties and inner errors `[folds, n_targets]`.

    `features` are `[n_words, d]`, dense or scipy sparse; words of a fold are predicted without it.
    """
    import torch

    problem = Problem(features, ratings, fold_of, trains)
    grid = torch.as_tensor(penalties, dtype=torch.float64)
    nested = nested_ridge(problem.without, len(problem.test_rows), grid)
    predicted = np.empty(ratings.shape)
    for fold, rows in enumerate(problem.test_rows):
        weights, intercept = nested.weights[fold, 0].numpy(), nested.intercepts[fold, 0].numpy()
        predicted[rows] = problem.features[rows.numpy()] @ weights + intercept
    return (
        predicted + problem.centre,
        grid[nested.chosen[:, 0]].numpy(),
        nested.errors[:, 0].numpy(),
    )


def each_layer(function: Callable[[np.ndarray], Result], features: np.ndarray) -> list[Result]:
    """Apply `function` to the features `[n_words, d]` of each layer, on the current engine.

    A single layer stays here; a wide one has all threads.
    """
    n_layers = features.shape[1] if features.ndim == 3 else 1
    if n_layers == 1 and features.shape[-1] > 1024:
        return [function(layer_of(features, 0))]
    engine = current() if n_layers > 1 else LOCAL
    return list(engine.map(function, (layer_of(features, layer) for layer in range(n_layers))))


def layer_of(features: np.ndarray, layer: int) -> np.ndarray:
    """Return the features `[n_words, d]` of one layer, or all where they have no layers."""
    return features[:, layer] if features.ndim == 3 else features


def checked(
    features: Any,
    ratings: np.ndarray,
    groups: np.ndarray,
    scored: np.ndarray | None,
    train_mask: np.ndarray | None,
) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the inputs as arrays of agreeing length, masks filled in; sparse features as csr."""
    features = features.tocsr() if hasattr(features, "tocsr") else np.asarray(features)
    ratings = np.asarray(ratings, dtype=np.float64)
    ratings = ratings[:, None] if ratings.ndim == 1 else ratings
    n = len(ratings)
    groups = np.asarray(groups)
    masks = [
        np.ones(n, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
        for mask in (scored, train_mask)
    ]
    for name, given in (
        ("features", features),
        ("groups", groups),
        ("scored", masks[0]),
        ("train_mask", masks[1]),
    ):
        if given.shape[0] != n:
            raise InvalidInput(
                f"{name} of {given.shape[0]} words", f"{n} are rated", "Give one row for each rated word."
            )
    if not np.isfinite(ratings).all():
        missing = int((~np.isfinite(ratings)).any(axis=1).sum())
        raise InvalidInput(
            f"ratings of {missing} words", "they are missing or not finite", "Leave these words out."
        )
    layers = range(features.shape[1] if features.ndim == 3 else 1)
    values = features.data if hasattr(features, "tocsr") else features
    if not all(np.isfinite(layer_of(values, layer)).all() for layer in layers):
        raise InvalidInput("features", "some are not finite", "Extract the states again in float32.")
    return features, ratings, groups, masks[0], masks[1]
