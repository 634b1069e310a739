"""What calibration measured: where a tone begins to be heard, where text stays fluent, and budgets that nothing keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emospace.steering.vector import DoseRange

if TYPE_CHECKING:
    from emospace.evaluation.calibration import Trial
    from emospace.specs import CalibrationSpec

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
    judged = [trial.dose for trial in trials if is_above(trial, chance)]
    fluent = [trial.dose for trial in trials if trial.perplexity_ratio <= ceiling]
    return DoseRange(dose, min([dose, *judged]), max([dose, *fluent]))


def untried(dose: float) -> DoseRange:
    """Return a dose that was taken over from others, with nothing known around it."""
    return DoseRange(dose, dose, dose)


def shortfall(
    chosen: Mapping[str, Trial], tried: Mapping[str, Sequence[Trial]], spec: CalibrationSpec
) -> str | None:
    """Return which budget the chosen doses do not keep, with what the doses tried cost; None where they keep both.

    Parameters
    ----------
    chosen, tried
        Of the basic six: the trial taken, and all of them.
    """
    if not chosen:
        return None
    trials = [trial for attempts in tried.values() for trial in attempts]
    ratios = [trial.perplexity_ratio for trial in trials]
    facts = [trial.facts for trial in trials if trial.facts is not None]
    there_is = f"at the doses tried perplexity ratios are {min(ratios):.2f} to {max(ratios):.2f}"
    there_is += f", {min(facts):.0%} to {max(facts):.0%} of the facts are kept" if facts else ""
    ratio = float(np.median([trial.perplexity_ratio for trial in chosen.values()]))
    if ratio > spec.budget:
        return (
            f"no doses keep the perplexity budget of {spec.budget:g}, the best have {ratio:.2f}; {there_is}"
        )
    kept = [trial.facts for trial in chosen.values() if trial.facts is not None]
    if kept and np.mean(kept) < spec.budget_facts:
        return (
            f"no doses within the perplexity budget of {spec.budget:g} keep {spec.budget_facts:.0%} of the facts, "
            f"the best keep {np.mean(kept):.0%}; {there_is}"
        )
    return None
