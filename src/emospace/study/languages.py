"""The languages stage: the spaces of a study's languages against one another, and what all of them share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.alignment import language_rsa
from emospace.display import track
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
from emospace.records import (
    AlignmentRecord,
    CategoryShiftRecord,
    FamilyRecord,
    LanguageRSARecord,
    NotComputed,
    UniversalRecord,
)
from emospace.structure import category_ratings
from emospace.study.cache import StageResult

if TYPE_CHECKING:
    import pandas as pd

    from emospace.languages import FamilyContrast, LanguageFeatures, LanguageTree
    from emospace.structure import CategoryRatings
    from emospace.study.material import Study

TARGETS = ("valence", "arousal")


def compare_languages(study: Study) -> StageResult:
    """Compare the spaces of every pair of languages, and of all together."""
    common: dict[str, Any] = {"model": study.name, "layer": study.layer}
    options: dict[str, Any] = {"seed": study.spec.seed, "n_permutations": study.spec.n_permutations}
    spaces = {language: study.space(language) for language in study.languages}
    static = {language: study.space(language, "static") for language in study.languages}
    features = {language: study.features(language) for language in study.languages}
    rsa: list[LanguageRSARecord] = []
    shifts: list[CategoryShiftRecord] = []
    planes: dict[tuple[str, str], CommonPlane | None] = {}
    for a, b in track(list(combinations(study.languages, 2)), "Pairs of languages", "pairs"):
        found = language_rsa(spaces[a], spaces[b], **options)
        below = language_rsa(static[a], static[b], seed=study.spec.seed, n_permutations=1)
        baseline = {"baseline": below.value, "baseline_name": "static input embeddings"}
        rsa.append(LanguageRSARecord(**common, **asdict(found), **baseline))
        fit = circumplex_fit(spaces[a], spaces[b], **options)
        figures = {name: getattr(fit, name) for name in _FIT}
        rsa.append(LanguageRSARecord(**common, statistic="procrustes", space=found.space, **figures))
        planes[a, b] = common_plane(spaces[a], spaces[b])
        shifts += [
            CategoryShiftRecord(**common, **asdict(shift))
            for shift in category_shifts(features[a], features[b], seed=study.spec.seed)
        ]
    universal = [] if study.sae is None else _universal(study, common)
    weights, missing = _weights(study, features, common, options)
    tables = {"language_planes": _plane_table(planes)}
    families: list[FamilyRecord] = []
    if len(study.languages) > 2:
        tree, family = _tree(study, features)
        tables["language_tree"] = _tree_table(tree)
        families = [FamilyRecord(**common, **asdict(family), cophenetic=tree.cophenetic)]
    return StageResult(
        {
            "language_rsa": rsa,
            "category_shift": shifts,
            "universal": universal,
            "alignment": weights,
            "families": families,
        },
        tables,
        missing,
    )


_FIT = ("a", "b", "value", "ci_low", "ci_high", "p", "n", "seed", "n_permutations", "reason")


def _shared_categories(study: Study) -> list[str]:
    """Return the categories that every language has concepts for."""
    return [
        category
        for category in study.sets.categories
        if all(study.sets.words(language, category) for language in study.languages)
    ]


def _universal(study: Study, common: Mapping[str, Any]) -> list[UniversalRecord]:
    dictionaries = {language: study.dictionary(language) for language in study.languages}
    rates = {}
    for language in study.languages:
        codes = study.encoded(language).codes
        assert codes is not None
        rates[language] = np.asarray((codes > 0).mean(axis=0)).ravel()
    return [
        UniversalRecord(**common, n=len(dictionaries), seed=study.spec.seed, **asdict(count))
        for count in universal_counts(dictionaries, rates, seed=study.spec.seed)
    ]


def _weights(
    study: Study,
    features: Mapping[str, LanguageFeatures],
    common: Mapping[str, Any],
    options: Mapping[str, Any],
) -> tuple[list[AlignmentRecord], list[NotComputed]]:
    """Return the weights of valence and arousal in each language's RDM, by one language's ratings for all.

    The same ratings serve all languages, so that weights differ for no difference between norms.
    """
    rated = _reference(study)
    if rated is None:
        why = "no language of the study has norms that rate at least 15 categories"
        return [], [NotComputed(what="weights of valence and arousal in each language", why=why)]
    records = []
    for language in study.languages:
        names = [name for name in rated.categories if study.sets.words(language, name)]
        points = np.stack([rated.values(target, names) for target in TARGETS], axis=1)
        weights = affect_weights(features[language].rdm(names), points, **options)
        for target, weight in zip(TARGETS, weights, strict=True):
            records.append(
                AlignmentRecord(
                    **common,
                    language=language,
                    against="valence_arousal",
                    statistic="rdm_weight",
                    target=target,
                    value=weight.value,
                    ci_low=weight.ci_low,
                    ci_high=weight.ci_high,
                    p=weight.p,
                    n=len(names),
                    seed=study.spec.seed,
                    space=study.space(language).kind,
                    norms=rated.norms,
                    n_permutations=study.spec.n_permutations,
                    provenance=study.sets.provenance,
                )
            )
    return records, []


def _reference(study: Study) -> CategoryRatings | None:
    """Return the category ratings of the first language whose norms rate enough categories."""
    for language in study.languages:
        for norms in study.norms[language]:
            ratings = category_ratings(study.sets, norms, language)
            if not ratings.no_axes:
                return ratings
    return None


def _tree(study: Study, features: Mapping[str, LanguageFeatures]) -> tuple[LanguageTree, FamilyContrast]:
    shared = _shared_categories(study)
    rdms = {language: features[language].rdm(shared) for language in study.languages}
    tree = language_tree(rdms, seed=study.spec.seed)
    # A language that names no family is one of its own.
    families = [study.sets.families.get(language, language) for language in study.languages]
    contrast = family_contrast(
        tree.similarity, families, seed=study.spec.seed, n_permutations=study.spec.n_permutations
    )
    return tree, contrast


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
