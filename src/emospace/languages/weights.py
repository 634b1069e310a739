"""How much valence and arousal weigh in a language's space: multiple regression of its RDM on both distances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emospace.errors import EmospaceError
from emospace.languages.language import Floats
from emospace.stats import bootstrap_rdm_correlations, left_out, mantel, rdm_correlations
from emospace.structure import FEWEST_RATED


@dataclass(frozen=True)
class Weight:
    """The standardised weight of one distance in an RDM, the other held constant; `n` categories."""

    target: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    p: float | None
    n: int
    seed: int
    n_permutations: int
    reason: str | None = None


def affect_weights(
    rdm: Floats, points: Floats, *, seed: int, n_permutations: int = 9999, n_bootstrap: int = 2000
) -> tuple[Weight, Weight]:
    """Regress the ranks of an RDM on those of the distances in valence and in arousal at once (MRQAP).

    The weights are standardised, so that they compare within and between languages. p is one-sided (what lies apart
    in valence lies apart in the space) by double semi-partialing: the residuals of one distance on the other are
    relabelled, and the statistic is the partial correlation, which orders relabellings as the t of the weight does.
    Relabelling the RDM itself would test that neither distance matters, and is off its level for one of two related
    distances where the other matters; arousal often follows |valence|. The interval resamples categories;
    pairs of a category with itself are out (`stats.bootstrap_rdm`).

    Parameters
    ----------
    rdm
        [n_categories, n_categories] of the space; pairs without a value (NaN) are left out, and `reason` says how many.
    points
        [n_categories, 2] human valence and arousal; categories without either (NaN) are left out, so `n` may be
        smaller than the RDM.
    seed
        Decides permutations and resamples.
    n_permutations
        Relabellings of the categories behind p; with 9,999 the smallest p is .0001.
    n_bootstrap
        Resamples of the categories behind the 95% interval.

    References
    ----------
    Dekker, Krackhardt & Snijders (2007), Psychometrika 72, 563-581.
    """
    rated = np.flatnonzero(np.isfinite(points).all(axis=1))
    kept = np.asarray(rdm, dtype=np.float64)[np.ix_(rated, rated)]
    n = len(rated)

    def weight(target: str, *figures: float | None, reason: str | None) -> Weight:
        value, low, high, p = figures or (None,) * 4
        return Weight(target, value, low, high, p, n, seed, n_permutations, reason)

    def nothing(reason: str) -> tuple[Weight, Weight]:
        return weight("valence", reason=reason), weight("arousal", reason=reason)

    if n < FEWEST_RATED:
        return nothing(f"{n} of {len(points)} categories are rated; at least {FEWEST_RATED} are needed")
    gaps = [np.abs(column[:, None] - column[None]) for column in points[rated].T]
    others = ~np.eye(n, dtype=bool)
    if lost := int((np.isnan(kept) | ~others).all(axis=1).sum()):
        return nothing(f"{lost} of {n} categories have no dissimilarity to any other")
    # The distances count over the same pairs as the RDM.
    rows = [kept, *(np.where(np.isfinite(kept), gap, np.nan) for gap in gaps)]
    try:
        value = standardised(rdm_correlations(rows)[None])[0]
        p = [
            mantel(gaps[at], kept, seed=seed, n_permutations=n_permutations, partial=[gaps[1 - at]]).p
            for at in range(2)
        ]
    except EmospaceError as error:
        return nothing(error.why)
    if not np.isfinite(value).all():
        return nothing("the RDM or one of the distances does not vary, or both distances are one")
    drawn = standardised(bootstrap_rdm_correlations(rows, seed=seed, n=n_bootstrap))
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    reason, figures = left_out(kept), np.stack([value, low, high, p], axis=1).tolist()
    return weight("valence", *figures[0], reason=reason), weight("arousal", *figures[1], reason=reason)


def standardised(r: Floats) -> Floats:
    """Return the weights [n, n_predictors] of the others in the first from correlations [n, 1 + n_predictors, ..].

    NaN where a correlation is, or the predictors are collinear.
    """
    result = np.full((len(r), r.shape[1] - 1), np.nan)
    usable = np.flatnonzero(np.isfinite(r).all(axis=(1, 2)))
    usable = usable[np.linalg.eigvalsh(r[usable, 1:, 1:])[:, 0] > 1e-9]
    result[usable] = np.linalg.solve(r[usable, 1:, 1:], r[usable, 1:, :1])[..., 0]
    return result
