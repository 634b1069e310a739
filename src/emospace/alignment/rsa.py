"""Representational similarity: the space's RDM against valence-arousal distance, human structure, other languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emospace import stats
from emospace.alignment.figure import (
    Alignment,
    Floats,
    Statistic,
    figure,
    finite,
    rated_categories,
    rater_ceiling,
)
from emospace.errors import EmospaceError, InvalidInput
from emospace.space import EmotionSpace, Metric
from emospace.structure import FEWEST_COMPARED, FEWEST_RATED

if TYPE_CHECKING:
    from emospace.structure import CategoryRatings, CategoryStructure


@dataclass(frozen=True)
class LanguageAlignment:
    """RSA of two languages' spaces in one model; `n` categories, beside a value `reason` says which pairs are left out.

    `n_shared` counts the latents that both spaces hold: None where the features are no latents of one autoencoder.
    """

    a: str
    b: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    p: float | None
    n: int
    seed: int
    space: str = "sae"
    n_shared: int | None = None
    n_permutations: int | None = None
    reason: str | None = None


def _rsa(
    model: Floats,
    human: Floats,
    names: Sequence[str],
    common: Mapping[str, Any],
    seed: int,
    n_permutations: int,
    controls: Mapping[str, Floats],
    target: str | None,
    mask: NDArray[np.bool_] | None = None,
    beside: Floats | None = None,
    **more: Any,
) -> Alignment:
    partial = tuple(controls.values())
    statistic: Statistic = "rsa_partial" if partial else "rsa_spearman"
    if why := placeless(model, names):
        return figure(statistic, target, common, reason=why)
    options: dict[str, Any] = {"seed": seed, "partial": partial, "mask": mask}
    try:
        test = stats.mantel(model, human, n_permutations=n_permutations, **options)
    except EmospaceError as error:
        more["reason"] = error.why
        return figure(statistic, target, common, **more)
    if np.isfinite(test.value) and (missing := stats.left_out(model, *partial)):
        more["reason"] = "; ".join([more["reason"], missing] if "reason" in more else [missing])
    if beside is not None:
        more |= _difference(model, beside, human, seed, mask)
    interval = stats.bootstrap_rdm(model, human, **options)
    return figure(
        statistic,
        target,
        common,
        test.value,
        interval,
        test.p,
        n_permutations=n_permutations,
        controls=" + ".join(controls) or None,
        **more,
    )


def _difference(
    model: Floats, beside: Floats, human: Floats, seed: int, mask: NDArray[np.bool_] | None
) -> dict[str, Any]:
    """Return the fields of the difference from the RSA of another RDM, empty where there is none."""
    try:
        difference = stats.rdm_difference(model, beside, human, seed=seed, mask=mask)
    except EmospaceError:
        return {}
    return {
        "difference": finite(difference.value),
        "difference_low": finite(difference.low),
        "difference_high": finite(difference.high),
        "difference_p": finite(difference.p),
    }


def placeless(rdm: Floats, names: Sequence[str]) -> str | None:
    """Return why there is no figure where categories have no dissimilarity to any other, else None."""
    square = np.array(rdm, dtype=np.float64)
    np.fill_diagonal(square, np.nan)
    lost = [name for name, row in zip(names, square, strict=True) if np.isnan(row).all()]
    if not lost:
        return None
    return f"{', '.join(lost)}: no feature is active in the concepts, or all are equally, so that there is no place among the others"


def _rows_of(rdm: Floats | None, space: EmotionSpace, names: Sequence[str], metric: Metric) -> Floats:
    if rdm is None:
        return space.select(names).rdm(metric)
    square = np.asarray(rdm, dtype=np.float64)
    if square.shape != (len(space.categories),) * 2:
        raise InvalidInput(
            f"a dissimilarity matrix of shape {square.shape}",
            f"the space has {len(space.categories)} categories",
            "Give square matrices in the order of the space's categories.",
        )
    rows = [space.categories.index(name) for name in names]
    return square[np.ix_(rows, rows)]


def rsa_affect(
    space: EmotionSpace,
    ratings: CategoryRatings,
    *,
    seed: int,
    n_permutations: int = 9999,
    metric: Metric = "correlation",
    rdm: Floats | None = None,
    controls: Mapping[str, Floats] | None = None,
    beside: Floats | None = None,
) -> Alignment:
    """Correlate the space's RDM with Euclidean distances in the human valence-arousal plane (Spearman, Mantel).

    Parameters
    ----------
    space
        The model's categories, from `build_space`.
    ratings
        People's ratings of the categories in the same language, from `category_ratings`.
    seed
        Decides permutations, resamples and simulated ratings.
    n_permutations
        Relabellings of the categories behind the one-sided p; with 9,999 the smallest p is .0001.
    metric
        As in `EmotionSpace.rdm`.
    rdm
        [n_categories, n_categories] RDM to use in place of `space.rdm(metric)`, such as `disjoint_rdm`.
    controls
        Name -> RDM over the space's categories to hold constant (set overlap, static embeddings); the
        statistic is then "rsa_partial".
    beside
        RDM over the space's categories (static embeddings) from whose correlation the difference is given.
    """
    rated = rated_categories(space, ratings, seed)
    held = controls or {}
    if rated.reason:
        return figure(
            "rsa_partial" if held else "rsa_spearman", "distance", rated.common, reason=rated.reason
        )
    human = np.linalg.norm(rated.values[:, None] - rated.values[None], axis=-1)
    ceiling = stats.rating_ceiling(rated.values, rated.sd, rated.raters, seed=seed, between="distances")
    return _rsa(
        _rows_of(rdm, space, rated.categories, metric),
        human,
        rated.categories,
        rated.common,
        seed,
        n_permutations,
        {name: _rows_of(part, space, rated.categories, metric) for name, part in held.items()},
        "distance",
        beside=None if beside is None else _rows_of(beside, space, rated.categories, metric),
        **({} if held else rater_ceiling(ceiling)),
    )


def rsa_structure(
    space: EmotionSpace,
    structure: CategoryStructure,
    *,
    seed: int,
    n_permutations: int = 9999,
    metric: Metric = "correlation",
    rdm: Floats | None = None,
    controls: Mapping[str, Floats] | None = None,
    beside: Floats | None = None,
    split_half: float | None = None,
) -> Alignment:
    """Correlate the space's RDM with a human category structure on the categories they share.

    Pairs of which people said nothing are left out; their number is the figure's `reason`, beside its value. `n`
    counts the categories, each known in some pair.

    Parameters
    ----------
    space, n_permutations, metric, rdm, controls, beside
        As in `rsa_affect`.
    structure
        People's, from `load_structure`.
    seed
        Decides permutations and resamples.
    split_half
        Split-half-over-texts reliability of the structure; None computes it on the shared categories where
        the structure has halves. It is recorded as such and is no noise ceiling: raters agree less.
    """
    names = tuple(name for name in space.categories if name in structure.categories)
    compared = np.isfinite(structure.select(names).similarity)
    np.fill_diagonal(compared, False)
    names = tuple(name for name, some in zip(names, compared.any(axis=1), strict=True) if some)
    held = controls or {}
    common = {
        "language": space.language,
        "against": structure.name,
        "n": len(names),
        "seed": seed,
        "space": space.kind,
        "n_features": len(space.latents),
    }
    if len(names) < FEWEST_COMPARED:
        reason = f"{structure.name} and the space share {len(names)} categories; at least {FEWEST_COMPARED} are needed"
        return figure("rsa_partial" if held else "rsa_spearman", "structure", common, reason=reason)
    people = structure.select(names)
    mask = np.isfinite(people.similarity)
    n_pairs = len(names) * (len(names) - 1) // 2
    n_unknown = int((~mask[np.triu_indices(len(names), 1)]).sum())
    more: dict[str, Any] = {}
    if n_unknown:
        more["reason"] = f"{n_unknown} of {n_pairs} pairs are left out: {structure.name} says nothing of them"
    if split_half is None:
        halves = people.split_half()
        split_half = halves.value if halves is not None else None
    if split_half is not None and np.isfinite(split_half):
        more |= {"ceiling": split_half, "ceiling_kind": "split-half over texts"}
    return _rsa(
        _rows_of(rdm, space, names, metric),
        people.rdm(),
        names,
        common,
        seed,
        n_permutations,
        {name: _rows_of(part, space, names, metric) for name, part in held.items()},
        "structure",
        mask if n_unknown else None,
        None if beside is None else _rows_of(beside, space, names, metric),
        **more,
    )


def language_rsa(
    space_a: EmotionSpace,
    space_b: EmotionSpace,
    *,
    seed: int,
    n_permutations: int = 9999,
    metric: Metric = "correlation",
) -> LanguageAlignment:
    """Correlate the RDMs of two languages on their common categories (Spearman, Mantel).

    Parameters
    ----------
    space_a, space_b
        Spaces of one model, of the same kind; fewer than 15 common categories give no value.
    seed
        Decides permutations and resamples.
    n_permutations, metric
        As in `rsa_affect`.
    """
    names = tuple(name for name in space_a.categories if name in space_b.categories)
    common: dict[str, Any] = {
        "a": space_a.language,
        "b": space_b.language,
        "n": len(names),
        "seed": seed,
        "space": space_a.kind,
        "n_shared": space_a.n_shared(space_b),
        "n_permutations": n_permutations,
    }
    nothing: dict[str, Any] = {"value": None, "ci_low": None, "ci_high": None, "p": None}
    if len(names) < FEWEST_RATED:
        reason = f"the languages share {len(names)} categories; at least {FEWEST_RATED} are needed"
        return LanguageAlignment(**nothing, reason=reason, **common)
    pair = _rows_of(None, space_a, names, metric), _rows_of(None, space_b, names, metric)
    for side, rdm in zip((space_a, space_b), pair, strict=True):
        if why := placeless(rdm, names):
            return LanguageAlignment(**nothing, reason=f"{why} ({side.language})", **common)
    try:
        test = stats.mantel(*pair, seed=seed, n_permutations=n_permutations)
    except EmospaceError as error:
        return LanguageAlignment(**nothing, reason=error.why, **common)
    if not np.isfinite(test.value):
        return LanguageAlignment(**nothing, reason="a side of the comparison does not vary", **common)
    interval = stats.bootstrap_rdm(*pair, seed=seed)
    return LanguageAlignment(
        value=test.value,
        ci_low=finite(interval.low),
        ci_high=finite(interval.high),
        p=test.p,
        reason=stats.left_out(*pair),
        **common,
    )
