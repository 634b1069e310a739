"""Which category a concept belongs to, predicted from features in cross-validation; needs no ratings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emospace.prediction.ratings import nested_predictions
from emospace.prediction.scores import centred
from emospace.stats import Auc, auc


@dataclass(frozen=True)
class Told:
    """How well the held-out concepts of one category are separated from those of all others.

    `layer` is the one chosen in each outer fold; `n` counts the category's concepts, `n_others` the rest.
    """

    category: str
    auc: Auc
    layer: tuple[int, ...]
    n: int
    n_others: int


def tell_categories(
    features: np.ndarray,
    members: np.ndarray,
    categories: Sequence[str],
    groups: np.ndarray,
    *,
    folds: int = 5,
    seed: int = 0,
) -> tuple[Told, ...]:
    """Tell each category's concepts from those of the others by ridge on membership, out of fold.

    Layer and penalty are chosen on training folds, as for ratings (`predict_ratings`); predictions are compared within
    folds.

    Parameters
    ----------
    features
        ``[n_words, d]`` or ``[n_words, n_layers, d]`` of all concepts.
    members
        bool ``[n_words, n_categories]``; a word may belong to several.
    groups
        ``[n_words]`` of int: words of one group never part between folds.

    Raises
    ------
    EmospaceError
        If shapes disagree, a value is not finite, or there are too few word groups.
    """
    found = nested_predictions(features, members.astype(np.float64), groups, folds=folds, seed=seed)
    scores = centred(found.predicted, found.folds)
    return tuple(
        Told(
            category,
            auc(scores[:, index], members[:, index]),
            tuple(int(layer) for layer in found.best[:, index]),
            int(members[:, index].sum()),
            int((~members[:, index]).sum()),
        )
        for index, category in enumerate(categories)
    )
