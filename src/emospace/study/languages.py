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
    FamilyRecord,
    LanguageRSARecord,
    NotComputed,
    UniversalRecord,
)
from emospace.stats import rdm_correlation
from emospace.structure import FEWEST_RATED, category_ratings
from emospace.study.cache import StageResult

if TYPE_CHECKING:
    import pandas as pd

    from emospace.languages import FamilyContrast, LanguageFeatures, LanguageTree
    from emospace.space import EmotionSpace
    from emospace.structure import CategoryRatings
    from emospace.study.material import Study

TARGETS = ("valence", "arousal")
FEWEST_FEATURES = 3
"""Below, a correlation across features is plus or minus one, or none."""


def compare_languages(study: Study) -> StageResult:
    """Compare the spaces of every pair of languages, and of all together.

    Pairs are compared in the study's own features and in dense states. What takes all languages at once (tree,
    weights, shifts, planes) is made in the study's features where every language has a place there, else in dense states.
    """
    common: dict[str, Any] = {"model": study.name, "layer": study.layer}
    options: dict[str, Any] = {"seed": study.spec.seed, "n_permutations": study.spec.n_permutations}
    own = "dense" if study.sae is None else "sae"
    missing: list[NotComputed] = []
    spaces = {kind: _placed(study, kind, missing) for kind in dict.fromkeys((own, "dense"))}
    enough = min(FEWEST_RATED, len(_shared(spaces["dense"].values())))
    everywhere = len(spaces[own]) == len(study.languages) and len(_shared(spaces[own].values())) >= enough
    kind = own if everywhere else "dense"
    static = {language: study.space(language, "static") for language in study.languages}
    languages = [language for language in study.languages if language in spaces[kind]]
    features = {
        language: replace(
            study.features(language, kind),
            sets=study.sets.select([language], spaces[kind][language].categories),
        )
        for language in languages
    }
    rsa: list[LanguageRSARecord] = []
    shifts: list[CategoryShiftRecord] = []
    planes: dict[tuple[str, str], CommonPlane | None] = {}
    for a, b in track(list(combinations(study.languages, 2)), "Pairs of languages", "pairs"):
        for placed in spaces.values():
            if a in placed and b in placed:
                rsa += _pair(study, placed[a], placed[b], static, common, options)
        if a in features and b in features:
            planes[a, b] = common_plane(spaces[kind][a], spaces[kind][b])
            shifts += [
                CategoryShiftRecord(**common, space=kind, **asdict(shift))
                for shift in category_shifts(features[a], features[b], seed=study.spec.seed)
            ]
    universal = [] if study.sae is None else _universal(study, common)
    weights, unweighted = _weights(study, features, {**common, "space": kind}, options)
    tables = {"language_planes": _plane_table(planes)}
    families: list[FamilyRecord] = []
    shared = _shared(spaces[kind].values())
    if len(languages) > 2 and len(shared) < FEWEST_RATED:
        why = f"the languages share {len(shared)} categories, and a tree takes {FEWEST_RATED}"
        missing.append(NotComputed(what="tree of languages", why=why))
    elif len(languages) > 2:
        tree, family = _tree(study, features, shared)
        tables["language_tree"] = _tree_table(tree)
        families = [FamilyRecord(**common, space=kind, **asdict(family), cophenetic=tree.cophenetic)]
    return StageResult(
        {
            "language_rsa": rsa,
            "category_shift": shifts,
            "universal": universal,
            "alignment": weights,
            "families": families,
        },
        tables,
        [*missing, *unweighted],
    )


def _placed(study: Study, kind: str, missing: list[NotComputed]) -> dict[str, EmotionSpace]:
    """Return the spaces of the languages that have a place in this kind, without categories no feature is active in."""
    found = {}
    for language in study.languages:
        space = study.space(language, kind)
        active = [name for name, row in zip(space.categories, space.matrix, strict=True) if row.any()]
        if len(space.latents) < FEWEST_FEATURES or not active:
            why = f"its space has {len(space.latents)} features, and a shape takes {FEWEST_FEATURES}"
            missing.append(
                NotComputed(what="comparison with other languages' features", why=why, language=language)
            )
        else:
            found[language] = space.select(active)
    return found


def _shared(spaces: Iterable[EmotionSpace]) -> list[str]:
    """Return the categories that all spaces have, in the order of the first."""
    first, *others = spaces
    return [name for name in first.categories if all(name in other.categories for other in others)]


def _pair(
    study: Study,
    a: EmotionSpace,
    b: EmotionSpace,
    static: Mapping[str, EmotionSpace],
    common: Mapping[str, Any],
    options: Mapping[str, Any],
) -> list[LanguageRSARecord]:
    """Return RSA, beside that of input embeddings and that without shared spellings, and the fit of the planes."""
    found = language_rsa(a, b, **options)
    names = [name for name in a.categories if name in b.categories]
    below = _likeness(*(static[side.language].select(names) for side in (a, b)))
    alike = _spelled_alike(study, a.language, b.language)
    try:
        left = [study.space(side.language, side.kind, alike).select(names) for side in (a, b)]
        distinct = _likeness(*left)
    except EmospaceError:
        # A category is all shared spellings.
        distinct = None
    fit = circumplex_fit(a, b, **options)
    figures = {name: getattr(fit, name) for name in _FIT}
    return [
        LanguageRSARecord(
            **common,
            **asdict(found),
            n_spelling=len({spelling(word) for word in alike}),
            distinct=distinct,
            baseline=below,
            baseline_name="static input embeddings",
        ),
        LanguageRSARecord(**common, statistic="procrustes", space=found.space, **figures),
    ]


def _likeness(a: EmotionSpace, b: EmotionSpace) -> float | None:
    """Return Spearman's rho of two RDMs over the same categories, or None where one has gaps or does not vary."""
    try:
        value = float(rdm_correlation(a.rdm(), b.rdm()))
    except EmospaceError:
        return None
    return value if np.isfinite(value) else None


def _spelled_alike(study: Study, a: str, b: str) -> frozenset[str]:
    """Return the concepts of either language that the other spells alike, capitals aside."""
    both = {spelling(word) for word in study.sets.words(a)} & {spelling(word) for word in study.sets.words(b)}
    return frozenset(
        word for language in (a, b) for word in study.sets.words(language) if spelling(word) in both
    )


_FIT = ("a", "b", "value", "ci_low", "ci_high", "p", "n", "seed", "n_permutations", "reason")


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
    for language, one in features.items():
        names = [name for name in rated.categories if name in one.categories]
        points = np.stack([rated.values(target, names) for target in TARGETS], axis=1)
        weights = affect_weights(one.rdm(names), points, **options)
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


def _tree(
    study: Study, features: Mapping[str, LanguageFeatures], shared: Sequence[str]
) -> tuple[LanguageTree, FamilyContrast]:
    rdms = {language: one.rdm(shared) for language, one in features.items()}
    tree = language_tree(rdms, seed=study.spec.seed)
    # A language that names no family is one of its own.
    families = [study.sets.families.get(language, language) for language in features]
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
