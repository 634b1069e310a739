"""Simulated answers, word lists and layers for `calibrate_statistics.py`: steering, people's ratings and depth."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np

from calibration_cases import Case, Draw, Floats, N, gaps_of
from emospace.comparison.depth import Layers, compare_depths, onset
from emospace.evaluation import estimates
from emospace.structure.agreement import CategoryPair, _agreement

N_PROMPTS, N_CONTROLS = 40, 5


def answers(rng: np.random.Generator, *size: int) -> Floats:
    """Return skewed probabilities [.., n_prompts], with a part common to each prompt, as a judge gives them."""
    return rng.normal(-2.5, 0.8, N_PROMPTS) + rng.normal(0, 1, (*size, N_PROMPTS))


def sigmoid(x: Floats) -> Floats:
    """Return 1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def steered(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Compare probabilities of a tone with those under five random directions."""
    logits = answers(rng, 1 + N_CONTROLS)
    logits[0] += effect
    table = sigmoid(logits)
    return [Draw(estimates.exceeds(table[0], table[1:], seed=seed, n=499))]


def steered_hits(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Do as `steered` with answers counted as of the tone or not."""
    logits = answers(rng, 1 + N_CONTROLS)
    logits[0] += effect
    table = sigmoid(logits) > 0.3
    return [Draw(estimates.exceeds(table[0], table[1:], seed=seed, n=499))]


def unsteered(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Compare with unsteered answers alone."""
    logits = answers(rng, 2)
    table = sigmoid(logits + np.array([[effect], [0]]))
    return [Draw(estimates.exceeds(table[0], table[1], seed=seed, n=499))]


def crossed(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Compare six emotions with random answers that are each read for all six."""

    def tones(*size: int) -> Floats:
        logits = rng.normal(size=(*size, 24, 7))
        return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)

    towards = tones(6)
    logits = np.log(towards)
    logits[range(6), :, range(6)] += effect
    towards = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    cell = towards[range(6), :, range(6)].ravel()
    controls = [draw[:, :6].T.ravel() for draw in tones(3)]
    return [Draw(estimates.exceeds(cell, controls, seed=seed, n=499))]


def estimated(estimate: estimates.Estimate) -> list[Draw]:
    """Return the draw of an estimate."""
    return [Draw(low=estimate.low, high=estimate.high, value=estimate.value)]


def rate(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return a rate of answers."""
    return estimated(estimates.rate(rng.random(N_PROMPTS) < effect, seed=seed))


def shift(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return how far the words of answers moved."""
    base = rng.normal(0, 0.2, N_PROMPTS)
    return estimated(estimates.shift(base + rng.normal(effect, 0.15, N_PROMPTS), base, seed=seed))


def fluency(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return the ratio of perplexities."""
    base = np.exp(rng.normal(2, 0.5, N_PROMPTS))
    return estimated(
        estimates.median_ratio(base * effect * np.exp(rng.normal(0, 0.4, N_PROMPTS)), base, seed=seed)
    )


def doses(rng: np.random.Generator, effect: float) -> tuple[Floats, Any]:
    """Return six doses and whether each answer was of the tone."""
    x = np.arange(6) / 5
    return x, rng.random((6, N_PROMPTS)) < 0.2 + effect * x[:, None]


def slope(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return the slope of a rate over doses."""
    return estimated(estimates.dose_response(*doses(rng, effect), seed=seed).slope)


def monotone(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return how monotone a rate follows the dose."""
    return estimated(estimates.dose_response(*doses(rng, effect), seed=seed).monotonicity)


def related(rng: np.random.Generator, n: int, effect: float) -> tuple[Floats, Floats]:
    """Return two normal variables with a correlation."""
    x, y = rng.standard_normal((2, n))
    return x, effect * x + np.sqrt(1 - effect**2) * y


def words_used(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return the agreement of word shifts with people's ratings of the categories."""
    return estimated(estimates.agreement(*related(rng, N, effect)))


def concept_sets(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return the agreement of two languages' concept-sets."""
    pairs = [
        CategoryPair(f"c{at:02d}", a, b, 9, 9)
        for at, (a, b) in enumerate(zip(*related(rng, N, effect), strict=True))
    ]
    r, low, high, _ = _agreement(pairs, 1000, seed)
    return [Draw(low=low or 0.0, high=high or 0.0, value=r or 0.0)]


def path(shares: Floats, points: Floats) -> Layers:
    """Return layers that go from one configuration to another by these shares."""
    n = len(points[0])
    rdms = np.stack([gaps_of((1 - share) * points[0] + share * points[1]) for share in shares])
    names = tuple(f"c{at:02d}" for at in range(n))
    return Layers("m", "en", names, tuple(range(len(shares))), np.linspace(0, 1, len(shares)), rdms)


def lagging(rng: np.random.Generator, n: int) -> tuple[Layers, Layers]:
    """Return a model that turns all the way, and one that does so in its second half."""
    points = rng.normal(size=(2, n, 4))
    return path(np.linspace(0, 1, 7), points), path(np.clip(2 * np.linspace(0, 1, 9) - 1, 0, 1), points)


def depth(field: str) -> Any:
    """Return the case of a figure of two models layer by layer."""

    def draw(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
        record, _ = compare_depths(*lagging(rng, N), seed=seed, n_bootstrap=300)
        low, high = ("ci_low", "ci_high") if field == "value" else ("shift_low", "shift_high")
        return [Draw(low=getattr(record, low), high=getattr(record, high), value=getattr(record, field))]

    return draw


def depth_truth(field: str) -> Any:
    """Return the truth of `depth`, over the population of categories."""

    def truth(_: float) -> float:
        values = [
            getattr(
                compare_depths(*lagging(np.random.default_rng(seed), 400), seed=0, n_bootstrap=2)[0], field
            )
            for seed in range(4)
        ]
        return float(np.mean(values))

    return truth


def onset_figures(rng: np.random.Generator, n: int, seed: int, n_bootstrap: int) -> Any:
    """Return the onset of people's arrangement, which is there in full from the fifth of nine layers on."""
    from pandas import DataFrame

    shares = np.clip(np.arange(9) / 4, 0, 1)
    people, start = rng.normal(size=(n, 2)), rng.normal(size=(n, 2))
    noise = rng.normal(size=(n, 2))
    layers = path(shares, np.stack([np.hstack([start, noise]), np.hstack([people, 0.5 * noise])]))
    names = list(layers.categories)
    table = DataFrame(gaps_of(people), index=names, columns=names)
    item: Any = SimpleNamespace(name="m", run=SimpleNamespace(rdm=lambda name: table))
    return onset(item, layers, names, seed=seed, n_permutations=1, n_bootstrap=n_bootstrap)[0]


def onset_depth(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return the relative depth from which a model is as like people as it gets."""
    figures = onset_figures(rng, N, seed, 300)
    return [Draw(low=figures.onset_low, high=figures.onset_high, value=figures.onset_depth)]


def onset_truth(_: float) -> float:
    """Return the onset over the population of categories."""
    return float(onset_figures(np.random.default_rng(0), 500, 0, 2).onset_depth)


def cases() -> Iterable[Case]:
    """Yield the cases of answers, word lists and layers."""
    prompts, categories = "over the population of prompts", "over the population of categories"
    yield Case("tone above random directions, probability", "SteeringRecord.p", steered, (0.5, 1.0))
    yield Case(
        "tone above random directions, hits",
        "SteeringRecord.p (rate)",
        steered_hits,
        (0.5, 1.0),
        careful=True,
    )
    yield Case("tone above unsteered answers", "p_unsteered", unsteered, (0.5, 1.0))
    yield Case("tone across languages", "crossing p", crossed, (0.3, 0.6))
    yield Case(
        "rate of answers",
        "SteeringRecord.ci_low",
        rate,
        (0.02, 0.1, 0.3, 0.6),
        f"rate {prompts}",
        lambda e: e,
        wide=True,
        tested=False,
    )
    yield Case(
        "shift of words", "valence_shift_low", shift, (0.1,), f"mean {prompts}", lambda e: e, tested=False
    )
    yield Case(
        "ratio of perplexities",
        "perplexity_ratio_low",
        fluency,
        (1.3,),
        f"median {prompts}",
        lambda e: e,
        tested=False,
    )
    yield Case(
        "slope of dose and rate",
        "slope_low",
        slope,
        (0.0, 0.3),
        f"slope {prompts}",
        lambda e: e,
        tested=False,
    )
    yield Case(
        "monotonicity of dose and rate",
        "monotonicity_low",
        monotone,
        (0.3,),
        f"rho over doses {prompts}",
        lambda e: 1.0,
        known="a rate that rises at every dose has rho 1, the end of the scale, and noise only lowers it: read whether the interval is above 0",
        wide=True,
        tested=False,
    )
    yield Case(
        "words used against people's ratings",
        "agreement_low",
        words_used,
        (0.5,),
        f"r {categories}",
        lambda e: e,
        tested=False,
    )
    yield Case(
        "concept-sets of two languages",
        "ValenceAgreement.ci_low",
        concept_sets,
        (0.8,),
        f"r {categories}",
        lambda e: e,
        tested=False,
    )
    for field, name in (
        ("value", "RSA of two models at equal depth"),
        ("shift", "depth by which a model lags"),
    ):
        low = "ci_low" if field == "value" else "shift_low"
        yield Case(
            name,
            f"DepthRecord.{low}",
            depth(field),
            (1.0,),
            categories,
            depth_truth(field),
            wide=True,
            n_planted=300,
            tested=False,
        )
    yield Case(
        "onset of people's arrangement",
        "OnsetRecord.onset_low",
        onset_depth,
        (1.0,),
        f"depth {categories}",
        onset_truth,
        wide=True,
        n_planted=300,
        tested=False,
    )
