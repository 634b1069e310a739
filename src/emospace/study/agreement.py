"""How well norms of one language agree with one another, beside how well the model predicts them on the same words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.norms import default_norms, load_norms
from emospace.prediction import correlation
from emospace.records import NormsAgreementRecord
from emospace.stats import pearson, pearson_interval
from emospace.study.stage import StageResult

if TYPE_CHECKING:
    import pandas as pd

    from emospace.norms import WordNorms

FEWEST_SHARED = 20
SAME = 1e-6
"""Difference of two ratings on -1..1 that is rounding."""


def norms_agreement(
    stages: Sequence[StageResult], norms: Mapping[str, Sequence[WordNorms]], **common: Any
) -> StageResult:
    """Return r of each of a study's norms with every other set of its language, the bundled ones among them.

    Parameters
    ----------
    stages
        Those with the tables of predictions.
    norms
        Language -> the study's norms.
    common
        Model, layer and seed of the study.
    """
    tables = [result.tables["predictions"] for result in stages if "predictions" in result.tables]
    records: list[NormsAgreementRecord] = []
    for language, given in norms.items():
        names = {each.name for each in given}
        bundled = (load_norms(name).without_senses() for name in default_norms(language) if name not in names)
        others = [*given, *bundled]
        for rated in given:
            for other in others:
                if other.name != rated.name:
                    records += _agreements(rated, other, tables, common)
    return StageResult({"norms_agreement": records})


def _agreements(
    rated: WordNorms, other: WordNorms, tables: Sequence[pd.DataFrame], common: Mapping[str, Any]
) -> Iterator[NormsAgreementRecord]:
    """Yield the agreement of two sets on each target that both rate."""
    for target in rated.targets:
        if target not in other.targets:
            continue
        mine, theirs = rated.unit(target).dropna(), other.unit(target).dropna()
        shared = mine.index.intersection(theirs.index)
        mine, theirs = mine.loc[shared], theirs.loc[shared]
        fields = {
            **common,
            "language": rated.language,
            "norms": rated.name,
            "against": other.name,
            "target": target,
            "n": len(shared),
        }
        reason = None
        if len(shared) < FEWEST_SHARED:
            reason = f"they share {len(shared)} words, and {FEWEST_SHARED} are needed"
        elif (np.abs(mine.to_numpy() - theirs.to_numpy()) < SAME).mean() > 0.5:
            reason = "most of their ratings are the same: they are not from other people"
        if reason:
            yield NormsAgreementRecord(**fields, reason=reason)
            continue
        r = float(pearson(mine, theirs))
        low, high = pearson_interval(r, len(shared))
        yield NormsAgreementRecord(
            **fields, r=r, ci_low=low, ci_high=high, **_of_model(tables, rated, target, shared)
        )


def _of_model(
    tables: Sequence[pd.DataFrame], rated: WordNorms, target: str, words: pd.Index
) -> dict[str, float | int]:
    """Return r of the predictions of the same ratings over words, from the space and from dense states."""
    for table in tables:
        rows = table[
            (table["language"] == rated.language)
            & (table["norms"] == rated.name)
            & (table["target"] == target)
            & table["word"].isin(words)
        ]
        if len(rows) < FEWEST_SHARED:
            continue
        observed, folds = rows["observed"].to_numpy(float), rows["fold"].to_numpy()
        return {
            "n_model": len(rows),
            **{
                name: float(correlation(rows[column].to_numpy(float), observed, folds))
                for name, column in (("r_space", "predicted"), ("r_dense", "predicted_dense"))
            },
        }
    return {}
