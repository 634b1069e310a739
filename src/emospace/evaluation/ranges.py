"""The range of a dose, from what calibration measured: where the tone begins to be heard, and where text stays fluent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emospace.steering.vector import DoseRange

if TYPE_CHECKING:
    from emospace.evaluation.calibration import Trial

HEARD = 0.05
"""Largest p at which a dose lies above chance."""


class Chance(NamedTuple):
    """How often the judge takes unsteered answers to the same prompts for the target, and of how many it judged."""

    rate: float
    n: int


def is_above(trial: Trial, chance: Chance) -> bool:
    """Return whether the target is found in a trial's answers more often than in unsteered ones.

    One-sided Fisher's exact test at `HEARD`; it leaves out that prompts are paired, which makes it careful.
    """
    if not np.isfinite(trial.rate) or not trial.n_judged or not chance.n:
        return False
    from scipy.stats import hypergeom

    steered, unsteered = round(trial.rate * trial.n_judged), round(chance.rate * chance.n)
    both = steered + unsteered
    return bool(hypergeom.sf(steered - 1, trial.n_judged + chance.n, both, trial.n_judged) <= HEARD)


def measured_range(dose: float, trials: Sequence[Trial], ceiling: float, chance: Chance) -> DoseRange:
    """Return a dose with the range of what was tried: no bound is a dose that was not.

    Parameters
    ----------
    dose
        The calibrated one, which its range always holds.
    trials
        Of the same vector, in the same mode; none where the dose was taken over from others.
    ceiling
        Largest perplexity ratio of an emotion.
    chance
        Of the unsteered answers to the same prompts.
    """
    heard = [trial.dose for trial in trials if is_above(trial, chance)]
    fluent = [trial.dose for trial in trials if trial.perplexity_ratio <= ceiling]
    return DoseRange(dose, min([dose, *heard]), max([dose, *fluent]))
