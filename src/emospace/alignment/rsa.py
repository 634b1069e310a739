"""Representational similarity: the space's RDM against valence-arousal distance, human structure, other languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emospace import stats
from emospace.alignment.figure import Floats, figure, rated_categories, rater_ceiling
from emospace.errors import EmospaceError, InvalidInput
from emospace.records import Alignment, LanguageRSA, Statistic
from emospace.space import EmotionSpace
from emospace.structure import FEWEST_COMPARED, FEWEST_RATED

if TYPE_CHECKING:
    from emospace.structure import CategoryRatings, CategoryStructure


def rsa_affect(
    space: EmotionSpace,
    ratings: CategoryRatings,
    *,
    seed: int,
    n_permutations: int = 9999,
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
    rdm
        [n_categories, n_categories] RDM to use in place of `space.rdm()`, such as `disjoint_rdm`.
    controls
        Name -> RDM over the space's categories to hold constant (set overlap, static embeddings); the
        statistic is then "rsa_partial".
    beside
        RDM over the space's categories (static embeddings) from whose correlation the difference is given.
    """
    rated = rated_categories(space, ratings, seed)
    if rated.reason:
        return figure(_statistic(controls), "distance", rated.common, reason=rated.reason)
    human = np.linalg.norm(rated.values[:, None] - rated.values[None], axis=-1)
    ceiling = stats.rating_ceiling(rated.values, rated.sd, rated.raters, seed=seed, between="distances")
    return _rsa(
        space,
        rated.categories,
        human,
        "distance",
        rated.common,
        n_permutations,
        rdm=rdm,
        controls=controls,
        beside=beside,
        **({} if controls else rater_ceiling(ceiling)),
    )


def rsa_structure(
    space: EmotionSpace,
    structure: CategoryStructure,
    *,
    seed: int,
    n_permutations: int = 9999,
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
    space, n_permutations, rdm, controls, beside
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
        return figure(_statistic(controls), "structure", common, reason=reason)
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
        space,
        names,
        people.rdm(),
        "structure",
        common,
        n_permutations,
        rdm=rdm,
        controls=controls,
        beside=beside,
        mask=mask if n_unknown else None,
        **more,
    )


def language_rsa(
    space_a: EmotionSpace, space_b: EmotionSpace, *, seed: int, n_permutations: int = 9999
) -> LanguageRSA:
    """Correlate the RDMs of two languages on their common categories (Spearman, Mantel).

    Parameters
    ----------
    space_a, space_b
        Spaces of one model, of the same kind; fewer than 15 common categories give no value.
    seed
        Decides permutations and resamples.
    n_permutations
        As in `rsa_affect`.
    """
    names = tuple(name for name in space_a.categories if name in space_b.categories)

    def result(
        value: float = np.nan,
        interval: Sequence[float] = (np.nan, np.nan),
        p: float = np.nan,
        reason: str | None = None,
    ) -> LanguageRSA:
        return LanguageRSA(
            a=space_a.language,
            b=space_b.language,
            value=value,
            ci_low=interval[0],
            ci_high=interval[1],
            p=p,
            n=len(names),
            seed=seed,
            space=space_a.kind,
            n_shared=space_a.n_shared(space_b),
            n_permutations=n_permutations,
            reason=reason,
        )

    if len(names) < FEWEST_RATED:
        return result(
            reason=f"the languages share {len(names)} categories; at least {FEWEST_RATED} are needed"
        )
    pair = space_a.select(names).rdm(), space_b.select(names).rdm()
    for side, rdm in zip((space_a, space_b), pair, strict=True):
        if why := placeless(rdm, names):
            return result(reason=f"{why} ({side.language})")
    try:
        test = stats.mantel(*pair, seed=seed, n_permutations=n_permutations)
    except EmospaceError as error:
        return result(reason=error.why)
    if not np.isfinite(test.value):
        return result(reason="a side of the comparison does not vary")
    return result(test.value, stats.bootstrap_rdm(*pair, seed=seed), test.p, stats.left_out(*pair))


def placeless(rdm: Floats, names: Sequence[str]) -> str | None:
    """Return why there is no figure where categories have no dissimilarity to any other, else None."""
    square = np.array(rdm, dtype=np.float64)
    np.fill_diagonal(square, np.nan)
    lost = [name for name, row in zip(names, square, strict=True) if np.isnan(row).all()]
    if not lost:
        return None
    return f"{', '.join(lost)}: no feature is active in the concepts, or all are equally, so that there is no place among the others"


def _statistic(controls: Mapping[str, Floats] | None) -> Statistic:
    return "rsa_partial" if controls else "rsa_spearman"


def _rsa(
    space: EmotionSpace,
    names: Sequence[str],
    human: Floats,
    target: str,
    common: Mapping[str, Any],
    n_permutations: int,
    *,
    rdm: Floats | None,
    controls: Mapping[str, Floats] | None,
    beside: Floats | None,
    mask: NDArray[np.bool_] | None = None,
    **more: Any,
) -> Alignment:
    """Correlate the RDM of the space's categories `names` with people's; `more` are fields of the figure."""
    statistic, held = _statistic(controls), controls or {}
    model = space.select(names).rdm() if rdm is None else _rows_of(rdm, space, names)
    partial = tuple(_rows_of(control, space, names) for control in held.values())
    if why := placeless(model, names):
        return figure(statistic, target, common, reason=why)
    options: dict[str, Any] = {"seed": common["seed"], "mask": mask}
    try:
        test = stats.mantel(model, human, n_permutations=n_permutations, partial=partial, **options)
    except EmospaceError as error:
        return figure(statistic, target, common, **{**more, "reason": error.why})
    if np.isfinite(test.value) and (missing := stats.left_out(model, *partial)):
        more["reason"] = "; ".join([more["reason"], missing] if "reason" in more else [missing])
    if beside is not None:
        more |= _difference(model, _rows_of(beside, space, names), human, **options)
    return figure(
        statistic,
        target,
        common,
        test.value,
        stats.bootstrap_rdm(model, human, partial=partial, **options),
        test.p,
        n_permutations=n_permutations,
        controls=" + ".join(held) or None,
        **more,
    )


def _difference(model: Floats, beside: Floats, human: Floats, **options: Any) -> dict[str, float]:
    """Return the fields of the difference from the RSA of another RDM, empty where there is none."""
    try:
        difference = stats.rdm_difference(model, beside, human, **options)
    except EmospaceError:
        return {}
    return {
        "difference": difference.value,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "difference_p": difference.p,
    }


def _rows_of(rdm: Floats, space: EmotionSpace, names: Sequence[str]) -> Floats:
    square = np.asarray(rdm, dtype=np.float64)
    if square.shape != (len(space.categories),) * 2:
        raise InvalidInput(
            f"a dissimilarity matrix of shape {square.shape}",
            f"the space has {len(space.categories)} categories",
            "Give square matrices in the order of the space's categories.",
        )
    rows = [space.categories.index(name) for name in names]
    return square[np.ix_(rows, rows)]
