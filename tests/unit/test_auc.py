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
        found = auc(rng.standard_normal(200) + 0.7 * cases, cases)
        covered += found.low <= truth <= found.high
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
