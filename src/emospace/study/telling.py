"""How well a language's held-out concepts are told by category: a figure for languages nobody has rated words in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emospace.baselines import input_embeddings
from emospace.lexicon import word_groups
from emospace.prediction import tell_categories
from emospace.profiling import timed
from emospace.stats import fdr_bh

if TYPE_CHECKING:
    from emospace.study.material import Study


@timed("telling categories")
def told_categories(study: Study, language: str) -> dict[str, dict[str, float]]:
    """Return the AUC fields of each category's `FeatureRecord`.

    Empty where there are fewer than two categories, or too few words for the folds.
    """
    concepts = study.sets.words(language)
    categories = [name for name in study.sets.categories if study.sets.words(language, name)]
    groups = word_groups(concepts, language)
    if len(categories) < 2 or len(np.unique(groups)) < 2 * study.spec.folds:
        return {}
    members = np.array([np.isin(concepts, study.sets.words(language, category)) for category in categories]).T
    common = {"folds": study.spec.folds, "seed": study.spec.seed}
    dense = tell_categories(study.encoded(language).concept_states, members, categories, groups, **common)
    static = tell_categories(input_embeddings(study.model, concepts), members, categories, groups, **common)
    corrected = fdr_bh([told.auc.p for told in dense])
    return {
        one.category: {
            "auc": one.auc.value,
            "auc_low": one.auc.low,
            "auc_high": one.auc.high,
            "auc_p": one.auc.p,
            "auc_p_fdr": float(q),
            "auc_static": other.auc.value,
        }
        for one, other, q in zip(dense, static, corrected, strict=True)
    }
