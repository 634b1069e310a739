"""The AUC and its interval, and concepts told by category."""

from __future__ import annotations

import numpy as np
import pytest

from emospace.prediction import membership_aucs
from emospace.stats import auc


def test_auc_is_the_share_of_pairs_in_order():
    scores = np.array([3.0, 1.0, 2.0, 2.0, 0.0])
    cases = np.array([True, True, False, False, False])
    # Of six pairs 3 > 2, 3 > 2, 3 > 0, 1 > 0 are in order.
    assert auc(scores, cases).value == pytest.approx(4 / 6)
    assert auc(np.zeros(5), cases).value == 0.5
    assert np.isnan(auc(scores, np.zeros(5, bool)).value)


def test_delong_interval_holds_the_true_area_as_often_as_it_says():
    from scipy.stats import norm

    rng = np.random.default_rng(0)
    truth, covered, rejected = norm.cdf(0.7 / np.sqrt(2)), 0, 0
    cases = np.arange(200) < 40
    for _ in range(600):
        area = auc(rng.standard_normal(200) + 0.7 * cases, cases)
        covered += area.low <= truth <= area.high
        rejected += auc(rng.standard_normal(200), cases).p < 0.05
    assert covered / 600 == pytest.approx(0.95, abs=0.025)
    assert rejected / 600 == pytest.approx(0.05, abs=0.025)


def test_planted_categories_are_told_and_absent_ones_are_not():
    rng = np.random.default_rng(1)
    members = np.zeros((300, 3), bool)
    members[np.arange(300), rng.integers(0, 3, 300)] = True
    features = rng.standard_normal((300, 2, 20))
    features[:, 1, :3] += 1.5 * members * np.array([1.0, 1.0, 0.0])
    separated = membership_aucs(features, members, np.arange(300))
    assert all(auc.low > 0.7 for auc in separated[:2])
    shuffled = membership_aucs(features, rng.permutation(members), np.arange(300))
    assert all(0.35 < auc.value < 0.65 for auc in shuffled)


def test_held_out_words_of_no_category_are_seldom_told():
    """Each word trains what scores the others: DeLong's p alone rejects 7 of 100 such nulls."""
    rng = np.random.default_rng(2)
    p = []
    for seed in range(150):
        members = np.eye(10, dtype=bool)[rng.permutation(np.arange(150) % 10)][:, :6]
        p += [
            area.p
            for area in membership_aucs(rng.standard_normal((150, 8)), members, np.arange(150), seed=seed)
        ]
    assert np.mean(np.array(p) <= 0.05) <= 0.06


def test_auc_is_that_of_scikit_learn():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(3)
    cases = rng.random(90) < 0.3
    for scores in (rng.standard_normal(90), rng.integers(0, 5, 90).astype(float)):
        assert auc(scores, cases).value == pytest.approx(roc_auc_score(cases, scores), abs=1e-12)
