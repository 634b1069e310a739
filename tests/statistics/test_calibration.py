"""Every p-value and interval on a few simulated data sets; `make calibration` does this at volume."""

from __future__ import annotations

import pytest
from scipy.stats import binom

from calibrate_statistics import NAN, all_cases, draws

FEW = 24
SLOW = ("CEBRA", "ratings across", "two feature sets", "cross-validated", "several languages")
CASES = [
    pytest.param(case, id=case.name) for case in all_cases() if not any(part in case.name for part in SLOW)
]


@pytest.mark.parametrize("case", CASES)
def test_few_nulls_are_rejected_and_most_intervals_hold_the_truth(case):
    """Wrong by a factor, a statistic is seen here; wrong by some hundredths, by the whole run alone."""
    if case.tested:
        rejected = sum(draw.p <= case.level for draw in draws(case, 0.0, FEW))
        assert rejected <= binom.ppf(0.9999, FEW, case.level)
    if case.estimand and not case.known:
        effect = case.effects[-1]
        truth = case.truth(effect) if case.truth else NAN
        covered = sum(draw.low - 1e-9 <= truth <= draw.high + 1e-9 for draw in draws(case, effect, FEW))
        assert covered >= binom.ppf(0.0001, FEW, 0.95)
