"""Means over a study's records are those of the figures it gives, with their number."""

from __future__ import annotations

import pytest

from emospace.records import FeatureRecord, LanguageRSARecord, Manifest, ModelRecord, Results
from emospace.study.summary import summarise

COMMON = {"model": "m", "layer": 3, "n": 20, "seed": 0}


def pair(a: str, b: str, value: float | None, **more) -> LanguageRSARecord:
    return LanguageRSARecord(**COMMON, a=a, b=b, value=value, ci_low=None, ci_high=None, **more)


def test_means_are_of_the_figures_given_kept_apart_and_counted():
    pairs = (
        pair("en", "zh", 0.4, baseline=0.2),
        pair("en", "pl", 0.6),
        pair("zh", "pl", None, baseline=0.9),
        pair("en", "zh", 0.1, space="dense"),
    )
    shape = {"language": "en", "n_concepts": 9, "n_features": 1}
    features = [
        FeatureRecord(**COMMON, **shape, category=name, auc=auc)
        for name, auc in (("joy", 0.7), ("awe", None))
    ]
    results = Results(
        language_rsa=pairs,
        summary=summarise({"language_rsa": pairs, "features": features}),
        model=ModelRecord(**COMMON),
        manifest=Manifest(**COMMON, command="emospace study"),
    )
    of = {"statistic": "rsa_spearman", "space": "sae"}
    assert results.mean("language_rsa", "value", **of) == pytest.approx(0.5)
    # A figure that was not given takes no baseline into the mean.
    assert results.mean("language_rsa", "baseline", **of) == pytest.approx(0.2)
    assert results.mean("language_rsa", "value", **(of | {"space": "dense"})) == pytest.approx(0.1)
    assert results.mean("language_rsa", "value", statistic="procrustes", space="sae") is None
    assert [s.n for s in results.summary] == [2, 1, 1, 1]
