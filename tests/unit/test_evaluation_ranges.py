"""The range of a dose holds what was tried and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from emospace.evaluation.calibration import Trial
from emospace.evaluation.ranges import Chance, is_above, measured_range

CHANCE = Chance(0.1, 20)


def trial(dose, rate, ratio=1.0, n=20):
    return Trial(0.0, dose, rate, rate, ratio, n_judged=n)


@pytest.mark.parametrize(
    ("trials", "bounds"),
    [
        # The lowest dose above chance, the highest within the ceiling.
        ([trial(0.3, 0.1), trial(0.6, 0.5, 1.8), trial(0.9, 0.9, 2.5), trial(1.2, 0.9, 9.0)], (0.6, 0.9)),
        ([trial(0.3, 0.6), trial(0.6, 0.5), trial(0.9, 0.9), trial(1.2, 0.9, 2.9)], (0.3, 1.2)),
        # Never above chance: nothing below the dose is known to carry the tone.
        ([trial(0.3, 0.1), trial(0.6, 0.15), trial(0.9, 0.2)], (0.9, 0.9)),
        # Above chance beyond the dose alone.
        ([trial(0.9, 0.1), trial(1.2, 0.9)], (0.9, 1.2)),
        # None keeps the ceiling: the dose itself.
        ([trial(0.9, 0.9, 4.0), trial(1.2, 0.9, np.inf)], (0.9, 0.9)),
        # Nothing was tried.
        ([], (0.9, 0.9)),
    ],
)
def test_a_range_holds_what_was_measured(trials, bounds):
    assert measured_range(0.9, trials, 3.0, CHANCE) == (0.9, *bounds)
    tried = {0.9, *(each.dose for each in trials)}
    assert set(measured_range(0.9, trials, 3.0, CHANCE)) <= tried


@pytest.mark.parametrize(
    ("rate", "n", "chance", "above"),
    [
        (0.4, 20, Chance(0.1, 20), True),  # 8 of 20 against 2 of 20: p = .033
        (0.35, 20, Chance(0.1, 20), False),  # 7 against 2: p = .064
        (0.2, 20, Chance(0.0, 20), False),  # 4 against none: p = .053
        (0.25, 20, Chance(0.0, 20), True),  # 5 against none: p = .024
        (1.0, 4, Chance(0.0, 4), True),  # p = .014
        (1.0, 2, Chance(0.0, 2), False),
        (np.nan, 20, Chance(0.0, 20), False),
        (0.9, None, Chance(0.0, 20), False),
        (0.9, 20, Chance(np.nan, 0), False),
    ],
)
def test_a_dose_is_above_chance_by_fishers_test(rate, n, chance, above):
    assert is_above(trial(0.5, rate, n=n), chance) is above
