"""The features of a language: which latents stand for each category, and the AUC of held-out concepts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from emospace.errors import EmospaceError
from emospace.features import select_features
from emospace.lexicon import word_groups
from emospace.prediction import membership_aucs
from emospace.profiling import timed
from emospace.records import FeatureRecord, NotComputed
from emospace.specs import Rule
from emospace.stats import fdr_bh
from emospace.study.inputs import NOTHING, LanguageInputs
from emospace.study.stage import StageResult, stage

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from emospace.concepts import ConceptSets
    from emospace.features import MatchedPool
    from emospace.specs import StudySpec
    from emospace.study.encoding import WordStates

FEATURES = "features"
"""Name of the table both selections give."""


@stage(version=1)
def select_latents(
    *,
    language: str,
    sets: ConceptSets,
    pool: MatchedPool,
    words: WordStates,
    rule: Rule,
    q: float,
    max_features: int,
    seed: int,
) -> StageResult:
    """Select the latents of each category; where none passes the test, that is the result."""
    assert words.codes is not None
    try:
        with timed("selection"):
            selected = select_features(
                words.codes,
                words.words,
                sets,
                language,
                pool,
                rule=rule,
                q=q,
                max_features=max_features,
                seed=seed,
            )
    except EmospaceError as error:
        return StageResult(not_computed=[NotComputed(what=NOTHING, why=str(error), language=language)])
    return StageResult(tables={FEATURES: selected.table.assign(language=language)})


def select(given: LanguageInputs, spec: StudySpec, folder: Path) -> StageResult:
    """Return the table of a language's features, or why it has none; kept in `folder`."""
    sets, words = given.sets, given.words
    if words.sae is None:
        return dense_features(sets, words.language)
    return select_latents.kept(
        folder,
        f"dictionary-{words.language}",
        language=words.language,
        sets=sets,
        pool=given.pool,
        words=words.concept_words,
        rule=spec.rule,
        q=spec.q,
        max_features=spec.max_features,
        seed=spec.seed,
    )


def dense_features(sets: ConceptSets, language: str) -> StageResult:
    """Return the same table as `select_latents` without an SAE: one direction for each category, numbered in order."""
    import pandas as pd

    names = [category for category in sets.categories if sets.words(language, category)]
    table = pd.DataFrame(
        {
            "category": names,
            "latent": range(len(names)),
            "effect": float("nan"),
            "weight": 1.0,
            "rate_in": float("nan"),
            "rate_pool": float("nan"),
            "z": float("nan"),
            "p": float("nan"),
            "q": float("nan"),
            "p_max": float("nan"),
            "top_words": "",
            "language": language,
        }
    )
    return StageResult(tables={FEATURES: table})


@stage(version=2)
def describe(
    *,
    model: str,
    layer: int,
    language: str,
    sets: ConceptSets,
    n_pool: int,
    basic: Collection[str],
    features: pd.DataFrame,
    words: WordStates,
    folds: int,
    seed: int,
) -> StageResult:
    """Return one record a category: how many features it has, and how well its held-out concepts are separated.

    Parameters
    ----------
    basic
        The basic categories.
    features
        The table of `select_latents`.
    words
        Concepts and pool.
    """
    counts = features.category.value_counts()
    auc = _held_out(language, sets, words, folds, seed)
    records = [
        FeatureRecord(
            model=model,
            layer=layer,
            n=len(sets.words(language, category)) + n_pool,
            seed=seed,
            language=language,
            category=category,
            n_concepts=len(sets.words(language, category)),
            n_features=int(counts.get(category, 0)),
            basic=category in basic,
            provenance=sets.provenance,
            **auc.get(category, {}),
        )
        for category in sets.categories
        if sets.words(language, category)
    ]
    return StageResult({"features": records})


@timed("categories of held-out concepts")
def _held_out(
    language: str, sets: ConceptSets, words: WordStates, folds: int, seed: int
) -> Mapping[str, Mapping[str, float]]:
    """Return the AUC fields of each category's `FeatureRecord`.

    Empty where there are fewer than two categories, or too few words for the folds.
    """
    concepts = sets.words(language)
    names = [name for name in sets.categories if sets.words(language, name)]
    groups = word_groups(concepts, language)
    if len(names) < 2 or len(np.unique(groups)) < 2 * folds:
        return {}
    members = np.array([np.isin(concepts, sets.words(language, name)) for name in names]).T
    dense = membership_aucs(words.layers, members, groups, folds=folds, seed=seed)
    static = membership_aucs(words.static[: len(concepts)], members, groups, folds=folds, seed=seed)
    corrected = fdr_bh([category.p for category in dense])
    return {
        name: {
            "auc": deep.value,
            "auc_low": deep.low,
            "auc_high": deep.high,
            "auc_p": deep.p,
            "auc_p_fdr": float(q),
            "auc_static": shallow.value,
        }
        for name, deep, shallow, q in zip(names, dense, static, corrected, strict=True)
    }
