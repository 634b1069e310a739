"""The languages stage: the spaces of a study's languages against one another, and what all of them share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.alignment import language_rsa
from emospace.display import track
from emospace.errors import EmospaceError
from emospace.features import FeatureDictionary
from emospace.languages import (
    CommonPlane,
    affect_weights,
    category_shifts,
    circumplex_fit,
    common_plane,
    family_contrast,
    language_tree,
    universal_counts,
)
from emospace.lexicon import spelling
from emospace.records import (
    AlignmentRecord,
    CategoryShiftRecord,
    FamilyContrast,
    FamilyRecord,
    LanguageRSARecord,
    NotComputed,
    UniversalRecord,
)
from emospace.stats import left_out, rdm_correlation
from emospace.structure import FEWEST_RATED
from emospace.study.stage import StageResult, stage

if TYPE_CHECKING:
    import pandas as pd

    from emospace.languages import LanguageFeatures, LanguageTree
    from emospace.space import EmotionSpace
    from emospace.structure import CategoryRatings
    from emospace.study.concepts import Kind, LanguageConcepts

TARGETS = ("valence", "arousal")
FEWEST_FEATURES = 3
"""Below, a correlation across features is plus or minus one, or none."""


@stage(version=2)
def compare_languages(
    *,
    model: str,
    layer: int,
    concepts: Mapping[str, LanguageConcepts],
    ratings: CategoryRatings | None,
    families: Mapping[str, str],
    firing_rates: Mapping[str, np.ndarray] | None,
    n_permutations: int,
    seed: int,
) -> StageResult:
    """Compare the spaces of every pair of languages, and of all together.

    Pairs are compared in the study's own features and in dense states. What takes all languages at once (tree,
    weights, shifts, planes) is made in the study's features where every language has a place there, else in dense states.

    Parameters
    ----------
    ratings
        Of the categories in one language, which serve all: weights then differ for no difference between norms.
    families
        Language -> its family, or the language itself where it names none.
    firing_rates
        Language -> share of its words that each latent fires on, ``[n_latents]``; None without an SAE.
    """
    common: dict[str, Any] = {"model": model, "layer": layer}
    options: dict[str, Any] = {"seed": seed, "n_permutations": n_permutations}
    own = next(iter(concepts.values())).kind
    missing: list[NotComputed] = []
    spaces = {kind: _placed(concepts, kind, missing) for kind in dict.fromkeys((own, "dense"))}
    enough = min(FEWEST_RATED, len(_shared(spaces["dense"].values())))
    everywhere = len(spaces[own]) == len(concepts) and len(_shared(spaces[own].values())) >= enough
    kind = own if everywhere else "dense"
    features = {
        language: replace(
            concepts[language].features(kind),
            sets=concepts[language].sets.select([language], space.categories),
        )
        for language, space in spaces[kind].items()
    }
    rsa: list[LanguageRSARecord] = []
    shifts: list[CategoryShiftRecord] = []
    planes: dict[tuple[str, str], CommonPlane | None] = {}
    for a, b in track(list(combinations(concepts, 2)), "Pairs of languages", "pairs"):
        for name, placed in spaces.items():
            if a in placed and b in placed:
                rsa += _pair((concepts[a], concepts[b]), name, placed[a], placed[b], common, options)
        if a in features and b in features:
            planes[a, b] = common_plane(spaces[kind][a], spaces[kind][b])
            shifts += [
                CategoryShiftRecord.from_figure(shift, **common, space=kind)
                for shift in category_shifts(features[a], features[b], seed=seed)
            ]
    universal = [] if firing_rates is None else universal_counts(_features(concepts), firing_rates, seed=seed)
    weights, unweighted = _weights(concepts, features, ratings, {**common, "space": kind}, options)
    tables = {"language_planes": _plane_table(planes)}
    trees: list[FamilyRecord] = []
    shared = _shared(spaces[kind].values())
    if len(features) > 2 and len(shared) < FEWEST_RATED:
        why = f"the languages share {len(shared)} categories, and a tree takes {FEWEST_RATED}"
        missing.append(NotComputed(what="tree of languages", why=why))
    elif len(features) > 2:
        tree, family = _tree(features, shared, families, options)
        tables["language_tree"] = _tree_table(tree)
        trees = [FamilyRecord.from_figure(family, **common, space=kind, cophenetic=tree.cophenetic)]
    return StageResult(
        {
            "language_rsa": rsa,
            "category_shift": shifts,
            "universal": [UniversalRecord.from_figure(count, **common) for count in universal],
            "alignment": weights,
            "families": trees,
        },
        tables,
        [*missing, *unweighted],
    )


def _placed(
    concepts: Mapping[str, LanguageConcepts], kind: Kind, missing: list[NotComputed]
) -> dict[str, EmotionSpace]:
    """Return the spaces of the languages that have a place in this kind, without categories no feature is active in."""
    found = {}
    for language, one in concepts.items():
        space = one.space(kind)
        active = [name for name, row in zip(space.categories, space.matrix, strict=True) if row.any()]
        if len(space.latents) < FEWEST_FEATURES or not active:
            why = f"its space has {len(space.latents)} features, and a shape takes {FEWEST_FEATURES}"
            missing.append(
                NotComputed(what="comparison with other languages' features", why=why, language=language)
            )
        else:
            found[language] = space.select(active)
    return found


def _features(concepts: Mapping[str, LanguageConcepts]) -> dict[str, FeatureDictionary]:
    import pandas as pd

    return {
        language: FeatureDictionary(language, pd.DataFrame({"latent": one.latents}))
        for language, one in concepts.items()
    }


def _shared(spaces: Iterable[EmotionSpace]) -> list[str]:
    """Return the categories that all spaces have, in the order of the first."""
    first, *others = spaces
    return [name for name in first.categories if all(name in other.categories for other in others)]


def _pair(
    concepts: tuple[LanguageConcepts, LanguageConcepts],
    kind: Kind,
    a: EmotionSpace,
    b: EmotionSpace,
    common: Mapping[str, Any],
    options: Mapping[str, Any],
) -> list[LanguageRSARecord]:
    """Return RSA, beside that of input embeddings and that without shared spellings, and the fit of the planes."""
    found = language_rsa(a, b, **options)
    names = [name for name in a.categories if name in b.categories]
    below = _likeness(*(one.space("static").select(names) for one in concepts))
    alike = _spelled_alike(*(one.concepts for one in concepts))
    try:
        distinct = _likeness(*(one.space(kind, alike).select(names) for one in concepts))
    except EmospaceError:
        # A category is all shared spellings.
        distinct = None
    return [
        LanguageRSARecord.from_figure(
            found,
            **common,
            n_spelling=len({spelling(word) for word in alike}),
            distinct=distinct,
            baseline=below,
            baseline_name="static input embeddings",
        ),
        LanguageRSARecord.from_figure(circumplex_fit(a, b, **options), **common),
    ]


def _likeness(a: EmotionSpace, b: EmotionSpace) -> float | None:
    """Return Spearman's rho of two RDMs over the same categories, or None where one has gaps or does not vary."""
    try:
        value = float(rdm_correlation(a.rdm(), b.rdm()))
    except EmospaceError:
        return None
    return value if np.isfinite(value) else None


def _spelled_alike(a: Sequence[str], b: Sequence[str]) -> frozenset[str]:
    """Return the words of either language that the other spells alike, capitals aside."""
    both = {spelling(word) for word in a} & {spelling(word) for word in b}
    return frozenset(word for word in (*a, *b) if spelling(word) in both)


def _weights(
    concepts: Mapping[str, LanguageConcepts],
    features: Mapping[str, LanguageFeatures],
    rated: CategoryRatings | None,
    common: Mapping[str, Any],
    options: Mapping[str, Any],
) -> tuple[list[AlignmentRecord], list[NotComputed]]:
    """Return the weights of valence and arousal in each language's RDM, by one language's ratings for all."""
    if rated is None:
        why = "no language of the study has norms that rate at least 15 categories"
        return [], [NotComputed(what="weights of valence and arousal in each language", why=why)]
    records = []
    for language, one in features.items():
        names = [name for name in rated.categories if name in one.categories]
        points = np.stack([rated.values(target, names) for target in TARGETS], axis=1)
        weights = affect_weights(one.rdm(names), points, **options)
        records += [
            AlignmentRecord(
                **common,
                **asdict(weight),
                language=language,
                against="valence_arousal",
                statistic="rdm_weight",
                norms=rated.norms,
                provenance=concepts[language].sets.provenance,
            )
            for weight in weights
        ]
    return records, []


def _tree(
    features: Mapping[str, LanguageFeatures],
    shared: Sequence[str],
    families: Mapping[str, str],
    options: Mapping[str, Any],
) -> tuple[LanguageTree, FamilyContrast]:
    rdms = {language: one.rdm(shared) for language, one in features.items()}
    tree = language_tree(rdms, seed=options["seed"])
    contrast = family_contrast(tree.similarity, [families[language] for language in features], **options)
    reason = contrast.reason or left_out(*rdms.values())
    return tree, contrast.model_copy(update={"reason": reason})


def _tree_table(tree: LanguageTree) -> pd.DataFrame:
    """Return the clades from the closest to the whole; languages of a clade joined by commas."""
    import pandas as pd

    rows = [
        {"members": ",".join(merge.members), "height": merge.height, "support": merge.support}
        for merge in tree.merges()
    ]
    return pd.DataFrame(rows, columns=["members", "height", "support"])


def _plane_table(planes: Mapping[tuple[str, str], CommonPlane | None]) -> pd.DataFrame:
    """Return both languages' places of every category on their common plane."""
    import pandas as pd

    rows = [
        {"a": a, "b": b, "category": name, "a_x": own[0], "a_y": own[1], "b_x": other[0], "b_y": other[1]}
        for (a, b), plane in planes.items()
        if plane is not None
        for name, own, other in zip(plane.categories, plane.a, plane.b, strict=True)
    ]
    return pd.DataFrame(rows, columns=["a", "b", "category", "a_x", "a_y", "b_x", "b_y"])
