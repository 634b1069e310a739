"""The planes of two languages turned onto one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emospace.languages.language import Floats
from emospace.stats import ProcrustesFit, procrustes_fit
from emospace.structure import FEWEST_RATED

if TYPE_CHECKING:
    from emospace.space import EmotionSpace


@dataclass(frozen=True)
class PairFit:
    """The Procrustes correlation of two languages' planes; `n` categories both have."""

    a: str
    b: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    p: float | None
    n: int
    seed: int
    n_permutations: int
    reason: str | None = None


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
) -> PairFit:
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
    common: dict[str, Any] = {
        "a": a.language,
        "b": b.language,
        "n": len(names),
        "seed": seed,
        "n_permutations": n_permutations,
    }
    nothing: dict[str, Any] = {"value": None, "ci_low": None, "ci_high": None, "p": None}
    if len(names) < FEWEST_RATED:
        reason = f"the languages share {len(names)} categories; at least {FEWEST_RATED} are needed"
        return PairFit(**nothing, **common, reason=reason)
    fit = _fit(a, b, names, seed=seed, n_permutations=n_permutations, n_bootstrap=n_bootstrap)
    if fit is None:
        return PairFit(**nothing, **common, reason="the categories of a language do not span a plane")
    return PairFit(value=fit.value, ci_low=fit.low, ci_high=fit.high, p=fit.p, **common)


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
