"""Simulated data for every p-value and interval of the package: what `calibrate_statistics.py` draws from.

A case draws data in which nothing is to be found (effect 0) or an effect is planted, and hands it to the function that
the package itself calls. Its records name what is reported in results and tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emospace import stats
from emospace.languages import family_contrast, universal_counts
from emospace.languages.weights import affect_weights, standardised

Floats = NDArray[np.float64]
NAN = float("nan")
N = 24
"""Categories of a simulated study."""
DRAWN = {"n_permutations": 199}


class Draw(NamedTuple):
    """One figure of one simulated data set: its p, its interval, its value and the truth; NaN where it has none.

    The truth is given where it is another in each data set: what the very models that were fitted reach on new words.
    """

    p: float = NAN
    low: float = NAN
    high: float = NAN
    value: float = NAN
    truth: float = NAN


@dataclass(frozen=True)
class Case:
    """One statistic on simulated data.

    Attributes
    ----------
    name
        The statistic and the design.
    reported
        The record and field that report it.
    draw
        Generator, seed and effect -> the figures of one data set.
    effects
        Planted effects, for power and coverage.
    estimand
        What the interval is of; empty where there is none.
    truth
        Effect -> the estimand's value; None where each data set has its own.
    level
        The rate at which a null is rejected.
    careful
        Whether p is discrete or a bound, so that it may reject less often than its level, never more.
    wide
        Whether the interval is discrete or a bound, so that it may cover more often than it says, never less.
    known
        Why a statistic does not hold, where that is known and said in the documentation; empty otherwise.
    n_null, n_planted
        Figures that are drawn without an effect and with each.
    tested
        Whether it has a p at all.
    """

    name: str
    reported: str
    draw: Callable[[np.random.Generator, int, float], Sequence[Draw]]
    effects: tuple[float, ...]
    estimand: str = ""
    truth: Callable[[float], float] | None = None
    level: float = 0.05
    careful: bool = False
    wide: bool = False
    known: str = ""
    n_null: int = 2000
    n_planted: int = 1000
    tested: bool = True


def gaps_of(points: Floats) -> Floats:
    """Return Euclidean distances [n, n] of points [n, d]."""
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def population(
    sample: Callable[[np.random.Generator, int], Sequence[Floats]], rdms: Callable[..., Any]
) -> Any:
    """Return what `rdms` makes of the dissimilarities of 300,000 independent pairs of categories.

    An RDM's correlation over the population of categories is that over random pairs.
    """
    n = 300_000
    first, second = sample(np.random.default_rng(1), n), sample(np.random.default_rng(2), n)
    return rdms(*(np.linalg.norm(a - b, axis=-1) for a, b in zip(first, second, strict=True)))


def partial_r(x: Floats, y: Floats, control: Floats) -> float:
    """Return Spearman's partial correlation."""
    r = np.corrcoef(stats.rank_rows(np.stack([x, y, control])))
    return float((r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2)))


def rsa_points(rng: np.random.Generator, n: int, effect: float) -> tuple[Floats, Floats]:
    """Return points of a model [n, 7] and of people [n, 2]."""
    people = rng.normal(size=(n, 2))
    return np.hstack([effect * people, rng.normal(size=(n, 5))]), people


def rsa(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """RSA with people's distances."""
    model, people = map(gaps_of, rsa_points(rng, N, effect))
    test = stats.mantel(model, people, seed=seed, **DRAWN)
    interval = stats.bootstrap_rdm(model, people, seed=seed, n=500) if effect else stats.Interval(NAN, NAN, 0)
    return [Draw(test.p, interval.low, interval.high, test.value)]


def rsa_truth(effect: float) -> float:
    """Return the RSA over the population of categories."""
    return float(population(lambda rng, n: rsa_points(rng, n, effect), stats.spearman))


def rsa_masked(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """RSA where people say nothing of three pairs in ten."""
    model, people = map(gaps_of, rsa_points(rng, N, effect))
    mask = rng.random((N, N)) > 0.3
    mask &= mask.T
    test = stats.mantel(model, people, seed=seed, mask=mask, **DRAWN)
    if not effect:
        return [Draw(test.p)]
    interval = stats.bootstrap_rdm(model, people, seed=seed, n=500, mask=mask)
    return [Draw(test.p, interval.low, interval.high, test.value)]


def rsa_gaps(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """RSA where the model's own RDM lacks pairs."""
    model, people = map(gaps_of, rsa_points(rng, N, effect))
    away = np.triu(rng.random((N, N)) < 0.1, 1)
    model[away | away.T] = np.nan
    return [Draw(stats.mantel(model, people, seed=seed, **DRAWN).p)]


def partial_points(rng: np.random.Generator, n: int) -> list[Floats]:
    """Return points [n, 3] of a common cause, of what both share beyond it, and of each."""
    return list(rng.normal(size=(4, n, 3)))


def rsa_partial(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """RSA with a common cause held constant."""
    cause, shared, first, second = map(gaps_of, partial_points(rng, N))
    a, b = cause + effect * shared + first, cause + effect * shared + second
    test = stats.mantel(a, b, seed=seed, partial=[cause], **DRAWN)
    if not effect:
        return [Draw(test.p)]
    interval = stats.bootstrap_rdm(a, b, seed=seed, n=500, partial=[cause])
    return [Draw(test.p, interval.low, interval.high, test.value)]


def rsa_partial_of_one(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """RSA with something held constant that the model alone is like."""
    cause, shared, first, second = map(gaps_of, partial_points(rng, N))
    a, b = cause + effect * shared + first, effect * shared + second
    return [Draw(stats.mantel(a, b, seed=seed, partial=[cause], **DRAWN).p)]


def partial_truth(effect: float) -> float:
    """Return the partial RSA over the population of categories."""

    def correlate(cause: Floats, shared: Floats, first: Floats, second: Floats) -> float:
        return partial_r(cause + effect * shared + first, cause + effect * shared + second, cause)

    return float(population(partial_points, correlate))


def difference_points(rng: np.random.Generator, n: int, effect: float) -> list[Floats]:
    """Return points of a space, of what it is compared with, and of people; noise is partly shared."""
    people, shared = rng.normal(size=(n, 2)), 0.5 * rng.normal(size=(n, 5))
    sides = [np.hstack([people, shared, noise * rng.normal(size=(n, 5))]) for noise in (0.5, 0.5 + effect)]
    return [*sides, people]


def rsa_difference(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return the difference of two RSA with the same people."""
    space, static, people = map(gaps_of, difference_points(rng, N, effect))
    test = stats.rdm_difference(space, static, people, seed=seed, n=400)
    return [Draw(test.p, test.low, test.high, test.value)]


def difference_truth(effect: float) -> float:
    """Return the difference over the population of categories."""

    def subtract(space: Floats, static: Floats, people: Floats) -> float:
        return stats.spearman(space, people) - stats.spearman(static, people)

    return float(population(lambda rng, n: difference_points(rng, n, effect), subtract))


def highest_layer(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return the highest RSA of six layers that are alike one another."""
    people, shared = rng.normal(size=(N, 2)), rng.normal(size=(N, 3))
    layers = [np.hstack([shared + rng.normal(size=(N, 3)), effect * (at == 3) * people]) for at in range(6)]
    rdms = np.stack([stats.condensed(gaps_of(layer)) for layer in layers])
    return [Draw(stats.mantel_of_highest(stats.condensed(gaps_of(people)), rdms, seed=seed, **DRAWN).p)]


def component(k: int) -> Callable[[np.random.Generator, int, float], list[Draw]]:
    """Return the case of the best of k components."""

    def draw(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
        scores = rng.normal(size=(N, k))
        y = effect * scores[:, -1] + np.sqrt(1 - effect**2) * rng.normal(size=N)
        best = stats.best_of_components(scores, y, seed=seed, n_bootstrap=500, **DRAWN)
        return [Draw(best.p, best.low, best.high, best.r)]

    return draw


def procrustes(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Fit of two planes of which each axis correlates with one of the other."""
    x = rng.normal(size=(N, 2))
    y = effect * x + np.sqrt(1 - effect**2) * rng.normal(size=(N, 2))
    fit = stats.procrustes_fit(x, y, seed=seed, n_bootstrap=500, **DRAWN)
    return [Draw(fit.p, fit.low, fit.high, fit.value)] if fit else []


def weight_points(rng: np.random.Generator, n: int) -> list[Floats]:
    """Return valence, arousal that follows its size, and what the space has of its own."""
    valence = rng.uniform(-1, 1, (n, 1))
    return [valence, np.abs(valence) + 0.3 * rng.normal(size=(n, 1)), rng.normal(size=(n, 3))]


def weights(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return the weight of arousal beside a strong and related one of valence."""
    valence, arousal, rest = weight_points(rng, N)
    rdm = gaps_of(valence) + effect * gaps_of(arousal) + 0.3 * gaps_of(rest)
    n_bootstrap = 400 if effect else 2
    fit = affect_weights(rdm, np.hstack([valence, arousal]), seed=seed, n_bootstrap=n_bootstrap, **DRAWN)[1]
    return [Draw(fit.p, fit.ci_low, fit.ci_high, fit.value)]


def weights_truth(effect: float) -> float:
    """Return the weight over the population of categories."""

    def regress(valence: Floats, arousal: Floats, rest: Floats) -> float:
        rows = np.stack([valence + effect * arousal + 0.3 * rest, valence, arousal])
        return standardised(np.corrcoef(stats.rank_rows(rows))[None])[0, 1]

    return float(population(weight_points, regress))


def universal(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return latents of at least two of three languages, which fire alike whatever the emotion."""
    from pandas import DataFrame

    from emospace.features import FeatureDictionary

    common = rng.lognormal(-4, 1.5, 400).clip(0, 1)
    rates = {name: (common * rng.lognormal(0, 0.2, 400)).round(3).clip(0, 1) for name in "abc"}
    alive = np.flatnonzero(np.all([rate > 0 for rate in rates.values()], axis=0))
    planted = rng.choice(alive, int(effect), replace=False)
    dictionaries = {}
    for name, rate in rates.items():
        decile = np.digitize(rate, np.quantile(rate[rate > 0], np.arange(0.1, 1, 0.1)))
        chance = (rate > 0) * 2.0**decile
        chance[planted] = 0
        others = rng.choice(400, 60 - len(planted), replace=False, p=chance / chance.sum())
        table = DataFrame({"category": "joy", "latent": [*planted, *others], "effect": 1.0})
        dictionaries[name] = FeatureDictionary(name, table)
    return [Draw(universal_counts(dictionaries, rates, seed=seed, n_draws=199)[1].p)]


def family(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return the contrast of ten languages of four families, each language more or less like any other."""
    names = list("xxxxyyyzzw")
    each = rng.normal(size=len(names))
    noise = rng.normal(size=(len(names), len(names)))
    same = np.equal.outer(names, names)
    similarity = 0.5 + 0.1 * (np.add.outer(each, each) + noise + noise.T) + effect * same
    return [Draw(family_contrast(similarity, names, seed=seed, **DRAWN).p)]


def cases() -> Iterable[Case]:
    """Yield the cases of geometry: RDMs, components, planes, languages."""
    over_categories = "over the population that categories are drawn from"
    spearman = f"Spearman's rho of dissimilarities {over_categories}"
    yield Case(
        "RSA",
        "Alignment.p, LanguageRSA.p, ModelRSARecord.p",
        rsa,
        (0.6, 1.0),
        spearman,
        rsa_truth,
        wide=True,
        n_planted=300,
    )
    yield Case(
        "RSA, 3 in 10 pairs unknown to people",
        "Alignment.p",
        rsa_masked,
        (0.6, 1.0),
        spearman,
        rsa_truth,
        wide=True,
        n_planted=300,
    )
    yield Case(
        "RSA, 1 in 10 pairs unknown to the model", "Alignment.p", rsa_gaps, (1.0,), n_null=1000, n_planted=200
    )
    yield Case(
        "partial RSA, control related to one side",
        "Alignment.p (rsa_partial), ModelRSARecord.partial_p",
        rsa_partial_of_one,
        (1.0,),
        n_planted=300,
    )
    yield Case(
        "partial RSA, strong common cause",
        "as above",
        rsa_partial,
        (0.5, 1.0),
        f"Spearman's partial rho {over_categories}",
        partial_truth,
        wide=True,
        known="ranks of a common cause that correlates .5 with both leave rho = .012 between them",
        n_planted=300,
    )
    yield Case(
        "difference of two RSA",
        "Alignment.difference_p",
        rsa_difference,
        (0.5, 1.0),
        f"difference of Spearman's rho {over_categories}",
        difference_truth,
        careful=True,
        wide=True,
        n_planted=300,
    )
    yield Case(
        "highest RSA of all layers", "OnsetRecord.p", highest_layer, (1.0, 2.0), n_null=1000, n_planted=200
    )
    for k, name in ((1, "pc1_r"), (5, "best_pc_r")):
        yield Case(
            f"best of {k} component{'s' * (k > 1)}",
            f"Alignment.p ({name})",
            component(k),
            (0.6, 0.8),
            f"absolute Pearson r {over_categories}",
            lambda effect: effect,
        )
    yield Case(
        "Procrustes fit of two planes",
        "Alignment.p, LanguageRSA.p (procrustes)",
        procrustes,
        (0.5, 0.8),
        f"Procrustes correlation {over_categories}",
        lambda effect: effect,
        known="a fit is never below what chance allows, so that weak ones are too high, and their intervals with them: read p",
    )
    yield Case(
        "weight of a distance beside another",
        "Weight.p",
        weights,
        (0.5, 1.5),
        f"standardised weight of ranks {over_categories}",
        weights_truth,
        careful=True,
        wide=True,
        n_planted=300,
    )
    yield Case(
        "latents of several languages",
        "UniversalCount.p",
        universal,
        (5.0, 10.0),
        careful=True,
        n_null=300,
        n_planted=100,
    )
    yield Case("contrast of language families", "FamilyContrast.p", family, (0.1, 0.2), careful=True)
