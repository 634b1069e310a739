"""Valence and arousal in the space: principal axes, the circumplex, decoding of unseen categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace import stats
from emospace.alignment.figure import AFFECT, Floats, figure, rated_categories, rater_ceiling
from emospace.records import Alignment, Statistic
from emospace.space import EmotionSpace, cebra_decoding

if TYPE_CHECKING:
    from emospace.concepts import ConceptSets
    from emospace.structure import CategoryRatings


@dataclass(frozen=True)
class Circumplex:
    """Model categories turned onto the human plane, for drawing: both [n_categories, 2] (valence, arousal)."""

    categories: tuple[str, ...]
    human: Floats
    model: Floats


def axes(
    space: EmotionSpace,
    ratings: CategoryRatings,
    *,
    seed: int,
    n_components: int = 5,
    n_permutations: int = 9999,
) -> list[Alignment]:
    """Correlate PC1, and the best of the first components, with human valence and arousal.

    The components are those of all categories of the space; a component has no sign, so values are |r|. The
    p of the best one comes from permutations that choose it again. The interval resamples categories and holds
    the component (and, for the best one, its choice) fixed. The ceiling simulates human mean ratings from
    rater SD and n; it is None where the norms lack them or ratings are derived.

    Parameters
    ----------
    space
        The model's categories, from `build_space`.
    ratings
        People's ratings of the categories in the same language, from `category_ratings`.
    seed
        Decides permutations, resamples and simulated ratings.
    n_components
        Components among which the best is chosen.
    n_permutations
        Relabellings of the categories behind p; with 9,999 the smallest p is .0001.

    Returns
    -------
    Four figures (pc1_r and best_pc_r for either target), without values when fewer than 15 categories are rated.
    """
    rated = rated_categories(space, ratings, seed)
    scores = space.pca(n_components).scores[[space.categories.index(name) for name in rated.categories]]
    figures = []
    for column, target in enumerate(AFFECT):
        choices: tuple[tuple[Statistic, Floats], ...] = (("pc1_r", scores[:, :1]), ("best_pc_r", scores))
        for statistic, components in choices:
            if rated.reason:
                figures.append(figure(statistic, target, rated.common, reason=rated.reason))
                continue
            best = stats.best_of_components(
                components, rated.values[:, column], seed=seed, n_permutations=n_permutations
            )
            ceiling = stats.rating_ceiling(
                rated.values[:, column], rated.sd[:, column], rated.raters[:, column], seed=seed
            )
            figures.append(
                figure(
                    statistic,
                    target,
                    rated.common,
                    best.r,
                    (best.low, best.high),
                    best.p,
                    component=best.component + 1,
                    n_permutations=n_permutations,
                    **rater_ceiling(ceiling),
                )
            )
    return figures


def procrustes(
    space: EmotionSpace,
    ratings: CategoryRatings,
    *,
    seed: int,
    n_components: int = 2,
    n_permutations: int = 9999,
    n_bootstrap: int = 2000,
) -> tuple[Alignment, Circumplex | None]:
    """Turn the first components onto the human valence-arousal plane and test the fit (PROTEST).

    Components are brought to unit variance first, so that the model's plane can be as round as the human one, and
    valence and arousal likewise: see `stats.procrustes_fit`. p relabels categories (Jackson 1995, Ecoscience 2).

    Parameters
    ----------
    space, ratings, n_permutations
        As in `axes`.
    seed
        Decides permutations and resamples.
    n_components
        Components that are turned; two, as the plane has.
    n_bootstrap
        Resamples of the categories behind the 95% interval.

    Returns
    -------
    The figure, and the turned configuration (None without a figure).
    """
    rated = rated_categories(space, ratings, seed)
    if rated.reason:
        return figure("procrustes", "circumplex", rated.common, reason=rated.reason), None
    scores = space.pca(n_components).scores[[space.categories.index(name) for name in rated.categories]]
    rotation = stats.procrustes_fit(
        scores, rated.values, seed=seed, n_permutations=n_permutations, n_bootstrap=n_bootstrap
    )
    if rotation is None:
        return figure("procrustes", "circumplex", rated.common), None
    fit = figure(
        "procrustes",
        "circumplex",
        rated.common,
        rotation.value,
        (rotation.low, rotation.high),
        rotation.p,
        n_permutations=n_permutations,
    )
    spread, mean = rated.values.std(axis=0), rated.values.mean(axis=0)
    turned = rotation.turned * np.sqrt(rotation.n) * spread + mean
    return fit, Circumplex(rated.categories, rated.values, turned)


def cebra_alignment(
    space: EmotionSpace,
    features: Floats,
    words: Sequence[str],
    sets: ConceptSets,
    ratings: CategoryRatings,
    *,
    seed: int,
    **settings: Any,
) -> list[Alignment]:
    """Decode valence and arousal of unseen categories from the CEBRA embedding of the space's concept words.

    Parameters
    ----------
    features
        [n_words, n_features] standardised codes of `words` (see `space.standardise`).
    settings
        Passed on to `space.cebra_decoding`.

    Returns
    -------
    R2 for valence and arousal with PCA of equal dimension as the baseline, then that of the label-shuffled CEBRA
    (its `space` ends in "_shuffled").
    """
    rated = rated_categories(space, ratings, seed)
    if rated.reason:
        return [figure("cebra_r2", target, rated.common, reason=rated.reason) for target in AFFECT]
    row = {word: index for index, word in enumerate(words)}
    members = [
        (row[word], label)
        for label, category in enumerate(rated.categories)
        for word in sets.words(space.language, category)
        if word in row
    ]
    rows, labels = np.array(members, dtype=np.intp).T
    decoding = cebra_decoding(
        features[rows],
        labels,
        rated.values,
        seed=seed,
        words=[words[index] for index in rows],
        targets=AFFECT,
        **settings,
    )
    figures = [
        figure(
            "cebra_r2",
            target,
            rated.common,
            decoding.r2[column],
            (decoding.ci_low[column], decoding.ci_high[column]),
            decoding.p[column],
            n_permutations=decoding.n_permutations,
            baseline=float(decoding.pca_r2[column]),
            baseline_name=f"PCA of {decoding.dimension} dimensions",
        )
        for column, target in enumerate(AFFECT)
    ]
    shuffled = [
        figure(
            "cebra_r2",
            target,
            {**rated.common, "space": f"{space.kind}_shuffled"},
            decoding.shuffled_r2[column],
        )
        for column, target in enumerate(AFFECT)
    ]
    return [*figures, *shuffled]
