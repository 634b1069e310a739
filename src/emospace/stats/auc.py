"""The area under the ROC curve with its interval."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Auc(NamedTuple):
    """Chance that a case scores above a control, ties counting half, with a 95% interval and one-sided p above .5."""

    value: float
    low: float
    high: float
    p: float


def auc(scores: np.ndarray, cases: np.ndarray, *, spread: float = 1.0) -> Auc:
    """Return how well `scores` `[n]` tell `cases` (bool `[n]`) from the rest.

    Interval and p are from the normal approximation with the variance of DeLong, DeLong & Clarke-Pearson (1988,
    Biometrics 44), its standard error times `spread` where the scores are not independent of one another. Without cases
    or without controls all four are nan.
    """
    from scipy.stats import norm, rankdata

    scores, cases = np.asarray(scores, np.float64), np.asarray(cases, bool)
    n_cases, n_controls = int(cases.sum()), int((~cases).sum())
    if not n_cases or not n_controls:
        return Auc(np.nan, np.nan, np.nan, np.nan)
    ranks = rankdata(scores)
    # Of each case the share of controls below it, of each control the share of cases above it.
    above = (ranks[cases] - rankdata(scores[cases])) / n_controls
    below = 1 - (ranks[~cases] - rankdata(scores[~cases])) / n_cases
    value = float(above.mean())
    variance = sum(part.var(ddof=1) / len(part) if len(part) > 1 else 0.0 for part in (above, below))
    error = float(max(spread * np.sqrt(variance), 1e-12))
    half = 1.959964 * error
    return Auc(value, max(0.0, value - half), min(1.0, value + half), float(norm.sf((value - 0.5) / error)))
