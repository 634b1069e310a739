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
    Record,
    UniversalCount,
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


@stage(version=3)
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

    Pairs are compared in the study's main space and in dense states. What takes all languages at once (tree,
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
    kind = next(iter(concepts.values())).kind
    missing: list[NotComputed] = []
    spaces = {each: _placed(concepts, each, missing) for each in dict.fromkeys((kind, "dense"))}
    enough = min(FEWEST_RATED, len(_shared(spaces["dense"].values())))
    if len(spaces[kind]) < len(concepts) or len(_shared(spaces[kind].values())) < enough:
        kind = "dense"
    in_kind: dict[str, Any] = {**common, "space": kind}
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
                CategoryShiftRecord.from_figure(shift, **in_kind)
                for shift in category_shifts(features[a], features[b], seed=seed)
            ]
    universal: tuple[UniversalCount, ...] = ()
    if firing_rates is not None:
        universal = universal_counts(_dictionaries(concepts), firing_rates, seed=seed)
    tables = {"language_planes": _plane_table(planes)}
    families_of: list[FamilyRecord] = []
    shared = _shared(spaces[kind].values())
    if len(features) > 2 and len(shared) < FEWEST_RATED:
        why = f"the languages share {len(shared)} categories, and a tree takes {FEWEST_RATED}"
        missing.append(NotComputed(what="tree of languages", why=why))
    elif len(features) > 2:
        tree, contrast = _tree(features, shared, families, options)
        tables["language_tree"] = _tree_table(tree)
        families_of = [FamilyRecord.from_figure(contrast, **in_kind, cophenetic=tree.cophenetic)]
    weights: list[AlignmentRecord] = []
    if ratings is None:
        why = "no language of the study has norms that rate at least 15 categories"
        missing.append(NotComputed(what="weights of valence and arousal in each language", why=why))
    else:
        weights = _weights(concepts, features, ratings, in_kind, options)
    records: dict[str, Sequence[Record]] = {
        "language_rsa": rsa,
        "category_shift": shifts,
        "universal": [UniversalRecord.from_figure(count, **common) for count in universal],
        "alignment": weights,
        "families": families_of,
    }
    return StageResult(records, tables, missing)


def _placed(
    concepts: Mapping[str, LanguageConcepts], kind: Kind, missing: list[NotComputed]
) -> dict[str, EmotionSpace]:
    """Return the spaces of the languages that have a place in this kind, without categories no feature is active in."""
    placed = {}
    for language, given in concepts.items():
        space = given.space(kind)
        active = [name for name, row in zip(space.categories, space.matrix, strict=True) if row.any()]
        if len(space.latents) < FEWEST_FEATURES or not active:
            what = "comparison with other languages' features"
            why = f"its space has {len(space.latents)} features, and a shape takes {FEWEST_FEATURES}"
            missing.append(NotComputed(what=what, why=why, language=language))
        else:
            placed[language] = space.select(active)
    return placed


def _dictionaries(concepts: Mapping[str, LanguageConcepts]) -> dict[str, FeatureDictionary]:
    import pandas as pd

    return {
        language: FeatureDictionary(language, pd.DataFrame({"latent": given.latents}))
        for language, given in concepts.items()
    }


def _shared(spaces: Iterable[EmotionSpace]) -> list[str]:
    """Return the categories that all spaces have, in the order of the first."""
    first, *rest = spaces
    return [name for name in first.categories if all(name in space.categories for space in rest)]


def _pair(
    concepts: tuple[LanguageConcepts, LanguageConcepts],
    kind: Kind,
    a: EmotionSpace,
    b: EmotionSpace,
    common: Mapping[str, Any],
    options: Mapping[str, Any],
) -> list[LanguageRSARecord]:
    """Return RSA, beside that of input embeddings and that without shared spellings, and the fit of the planes."""
    names = [name for name in a.categories if name in b.categories]
    alike = _spelled_alike(*(each.concepts for each in concepts))
    try:
        distinct = _likeness(*(each.space(kind, alike).select(names) for each in concepts))
    except EmospaceError:
        # A category is all shared spellings.
        distinct = None
    return [
        LanguageRSARecord.from_figure(
            language_rsa(a, b, **options),
            **common,
            n_spelling=len({spelling(word) for word in alike}),
            distinct=distinct,
            baseline=_likeness(*(each.space("static").select(names) for each in concepts)),
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
    ratings: CategoryRatings,
    common: Mapping[str, Any],
    options: Mapping[str, Any],
) -> list[AlignmentRecord]:
    """Return the weights of valence and arousal in each language's RDM, by one language's ratings for all."""
    records = []
    for language, given in features.items():
        names = [name for name in ratings.categories if name in given.categories]
        points = np.stack([ratings.values(target, names) for target in TARGETS], axis=1)
        records += [
            AlignmentRecord(
                **common,
                **asdict(weight),
                language=language,
                against="valence_arousal",
                statistic="rdm_weight",
                norms=ratings.norms,
                provenance=concepts[language].sets.provenance,
            )
            for weight in affect_weights(given.rdm(names), points, **options)
        ]
    return records


def _tree(
    features: Mapping[str, LanguageFeatures],
    shared: Sequence[str],
    families: Mapping[str, str],
    options: Mapping[str, Any],
) -> tuple[LanguageTree, FamilyContrast]:
    rdms = {language: given.rdm(shared) for language, given in features.items()}
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
        {"a": a, "b": b, "category": name, "a_x": in_a[0], "a_y": in_a[1], "b_x": in_b[0], "b_y": in_b[1]}
        for (a, b), plane in planes.items()
        if plane is not None
        for name, in_a, in_b in zip(plane.categories, plane.a, plane.b, strict=True)
    ]
    return pd.DataFrame(rows, columns=["a", "b", "category", "a_x", "a_y", "b_x", "b_y"])
