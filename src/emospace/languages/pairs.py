"""The planes of two languages turned onto one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emospace.languages.language import Floats
from emospace.records import LanguageRSA
from emospace.stats import ProcrustesFit, procrustes_fit
from emospace.structure import FEWEST_RATED

if TYPE_CHECKING:
    from emospace.space import EmotionSpace


@dataclass(frozen=True)
class CommonPlane:
    """Two languages' categories in the plane of the first, for drawing.

    `a` and `b` are [n_categories, 2] in units of a's standard deviation: a's first two components, and b's turned,
    reflected and scaled onto them.
    """

    categories: tuple[str, ...]
    a: Floats
    b: Floats


def circumplex_fit(
    a: EmotionSpace, b: EmotionSpace, *, seed: int, n_permutations: int = 9999, n_bootstrap: int = 2000
) -> LanguageRSA:
    """Turn the first two principal components of one language onto those of another and test the fit (PROTEST).

    Components are those of the shared categories, brought to unit variance, so that nothing but where the categories
    lie in the plane counts (`stats.procrustes_fit`). p relabels categories; the interval resamples them with the
    components held fixed. A language whose plane of affect is made of later components fits badly: read it beside
    the RSA, which sees all of them.

    Parameters
    ----------
    a, b
        Spaces of one model, of the same kind; fewer than 15 common categories give no value.
    seed
        Decides permutations and resamples.
    n_permutations
        Relabellings of the categories behind p; with 9,999 the smallest p is .0001.
    n_bootstrap
        Resamples of the categories behind the 95% interval.
    """
    names = _shared(a, b)
    fit, reason = None, None
    if len(names) < FEWEST_RATED:
        reason = f"the languages share {len(names)} categories; at least {FEWEST_RATED} are needed"
    else:
        fit = _fit(a, b, names, seed=seed, n_permutations=n_permutations, n_bootstrap=n_bootstrap)
        reason = None if fit else "the categories of a language do not span a plane"
    return LanguageRSA(
        a=a.language,
        b=b.language,
        statistic="procrustes",
        value=fit and fit.value,
        ci_low=fit and fit.low,
        ci_high=fit and fit.high,
        p=fit and fit.p,
        space=a.kind,
        n=len(names),
        seed=seed,
        n_permutations=n_permutations,
        reason=reason,
    )


def common_plane(a: EmotionSpace, b: EmotionSpace) -> CommonPlane | None:
    """Return the configurations `circumplex_fit` compares, or None where it has no figure."""
    names = _shared(a, b)
    if len(names) < FEWEST_RATED:
        return None
    fit = _fit(a, b, names, seed=0, n_permutations=1, n_bootstrap=1)
    if fit is None:
        return None
    unit = fit.n**0.5
    return CommonPlane(names, fit.target * unit, fit.turned * unit)


def _shared(a: EmotionSpace, b: EmotionSpace) -> tuple[str, ...]:
    return tuple(name for name in a.categories if name in b.categories)


def _fit(a: EmotionSpace, b: EmotionSpace, names: tuple[str, ...], **options: int) -> ProcrustesFit | None:
    onto, turned = (space.select(names).pca(2).scores for space in (a, b))
    if min(onto.shape[1], turned.shape[1]) < 2:
        return None
    return procrustes_fit(turned, onto, **options)
