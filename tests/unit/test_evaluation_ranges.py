"""The range of a dose holds what was tried and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from emospace.evaluation.calibration import Trial
from emospace.evaluation.ranges import Chance, is_above, measured_range, shortfall, untried
from emospace.specs import CalibrationSpec

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


def test_nothing_is_known_around_a_dose_taken_over_from_others():
    assert untried(0.4) == (0.4, 0.4, 0.4)


def test_a_shortfall_names_the_budget_and_what_there_is():
    cheap, dear = trial(0.3, 0.2, 1.3)._replace(facts=0.9), trial(0.6, 0.9, 2.0)._replace(facts=0.5)
    tried = {"joy": [cheap, dear], "fear": [dear]}
    spec = CalibrationSpec(budget=1.8, budget_facts=0.6)
    assert shortfall({"joy": cheap, "fear": dear}, tried, spec) is None
    perplexing = shortfall({"joy": dear, "fear": dear}, tried, spec)
    assert "perplexity budget of 1.8, the best have 2.00" in perplexing
    assert "1.30 to 2.00, 50% to 90% of the facts" in perplexing
    forgetful = shortfall({"joy": dear, "fear": dear}, tried, CalibrationSpec(budget=2.0, budget_facts=0.6))
    assert "keep 60% of the facts, the best keep 50%" in forgetful
    # Where no facts were asked, none are budgeted.
    silent = trial(0.3, 0.2, 1.3)
    assert shortfall({"joy": silent}, {"joy": [silent]}, spec) is None
    assert shortfall({}, {}, spec) is None


def test_a_budget_above_the_ceiling_is_refused():
    with pytest.raises(ValidationError, match="at least the perplexity budget, 4"):
        CalibrationSpec(budget=4.0)
    assert CalibrationSpec(budget=4.0, ceiling=4.0).ceiling == 4.0
