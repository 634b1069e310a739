"""Simulated words and answers for `calibrate_statistics.py`: prediction, features, depth and steering."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from calibration_cases import DRAWN, Case, Draw, Floats, N, gaps_of
from emospace import stats
from emospace.comparison.depth import Layers, compare_depths, onset
from emospace.evaluation import scores
from emospace.norms import WordNorms
from emospace.norms.direction import directions
from emospace.prediction import (
    Predicted,
    compare_predictions,
    correlation,
    fit_ratings,
    membership_aucs,
    predict_ratings,
    read_ratings,
    score,
)
from emospace.space.embedding import cebra_decoding
from emospace.structure.agreement import CategoryPair, _agreement

N_PROMPTS, N_CONTROLS = 40, 5
PENALTIES = (0.1, 1.0, 10.0)


def signal(rng: np.random.Generator, n: int, d: int, effect: float, k: int) -> tuple[Floats, Floats]:
    """Return features [n, d] and k ratings [n, k] of which they explain a share of effect^2."""
    x = rng.standard_normal((n, d))
    slope = rng.standard_normal((d, k))
    slope /= np.linalg.norm(slope, axis=0)
    return x, effect * x @ slope + np.sqrt(1 - effect**2) * rng.standard_normal((n, k))


def reached(found: Sequence[Predicted], known: Any) -> list[float]:
    """Return the r that the models of some predictions reach on words that are in no fold's training."""
    return [
        correlation(one.out_of_fold[~known], one.observed[~known], one.folds[~known]).item() for one in found
    ]


def prediction(n_words: int) -> Any:
    """Return the case of ratings of so many words predicted by nested cross-validation from 20 features."""

    def draw(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
        k, n = (1, n_words + 1000) if effect else (5, n_words)
        x, y = signal(rng, n, 20, effect, k)
        known = np.arange(n) < n_words
        options: dict[str, Any] = {
            "targets": [str(at) for at in range(k)],
            "penalties": PENALTIES,
            "seed": seed,
            "scored": known,
            "train_mask": known,
            "n_bootstrap": 500 if effect else 2,
        }
        found = predict_ratings(x, y, np.arange(n), **options)
        if not effect:
            return [Draw(one.p) for one in found]
        score = found[0].without_concepts
        return [Draw(score.p, score.ci_low, score.ci_high, score.r, reached(found, known)[0])]

    return draw


def two_feature_sets(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Compare two sets of features that see the same emotion through noise of their own."""
    n = 1200 if effect else 200
    core = rng.standard_normal((n, 8))
    known = np.arange(n) < 200
    y = core @ rng.standard_normal((8, 1)) / np.sqrt(8) + rng.standard_normal((n, 1))
    sets = [core + noise * rng.standard_normal(core.shape) for noise in (1.0, 1.0 + effect)]
    options: dict[str, Any] = {"targets": ["y"], "penalties": PENALTIES, "seed": seed, "n_bootstrap": 2}
    options |= {"scored": known, "train_mask": known}
    pair = [predict_ratings(x, y, np.arange(n), **options)[0] for x in sets]
    found = compare_predictions(*pair, without_concepts=True, n_bootstrap=500, seed=seed)
    truth = float(np.subtract(*reached(pair, known))) if effect else 0.0
    return [Draw(found.p, found.ci_low, found.ci_high, found.difference, truth)]


def two_feature_sets_90(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return whether two sets of which the difference is the margin are called as good as each other."""
    y, noise = rng.standard_normal((2, 400))
    a, b = (r * y + np.sqrt(1 - r * r) * noise for r in (0.70, 0.64))
    claimed = stats.equivalent(stats.paired_bootstrap(a, b, y, seed=seed, n=500), margin=0.06)
    return [Draw(0.0 if claimed else 1.0)]


def grouped_words(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return r of predictions of words that come in pairs."""
    y, rest = (np.repeat(rng.standard_normal(100), 2) for _ in range(2))
    groups, folds = np.repeat(np.arange(100), 2), np.zeros(200, dtype=int)
    guess = effect * y + np.sqrt(1 - effect**2) * rest
    found = score(guess, y, groups, folds, cross_validated=False, n_bootstrap=500, seed=seed)
    return [Draw(found.p, found.ci_low, found.ci_high, found.r)]


def paired(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Compare two predictors of words that come in groups of four."""
    groups = np.repeat(np.arange(100), 4)
    y, a, b = rng.normal(size=(3, 100))[:, groups] + 0.3 * rng.normal(size=(3, 400))
    found = stats.paired_bootstrap(y + a, y + (1 + effect) * b, y, groups, seed=seed, n=500)
    return [Draw(found.p, found.low, found.high, found.value)]


def paired_truth(effect: float) -> float:
    """Return the difference over the population of word groups."""
    return float(1 / np.sqrt(2) - 1 / np.sqrt(1 + (1 + effect) ** 2))


def across_languages(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Predict the ratings of one language by ridge fitted in another."""
    x, y = signal(rng, 1240, 12, effect, 1)
    train, test, new = slice(0, 120), slice(120, 240), slice(240, None)
    options: dict[str, Any] = {"targets": ["y"], "penalties": PENALTIES, "seed": seed, "n_permutations": 199}
    fitted = fit_ratings(x[train], y[train], np.arange(120), **options)[0]
    n_bootstrap = 500 if effect else 2
    found = read_ratings(fitted, x[test], y[test, 0], np.arange(120), n_bootstrap=n_bootstrap, seed=seed)
    truth = float(stats.pearson(fitted.predict(x[new])[:, 0], y[new, 0]))
    return [Draw(found.p or 0.0, found.score.ci_low, found.score.ci_high, found.score.r, truth)]


def membership(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Tell the words of one of ten categories from the others, by ridge."""
    labels = rng.permutation(np.arange(150) % 10)
    x = rng.standard_normal((150, 8)) + effect * np.eye(10)[labels][:, :8]
    members = np.eye(10, dtype=bool)[labels][:, : 1 if effect else 5]
    return [Draw(one.p) for one in membership_aucs(x, members, np.arange(150), seed=seed)]


def plain_auc(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Tell 20 words from 180 by a score."""
    cases = np.arange(200) < 20
    found = stats.auc(rng.standard_normal(200) + effect * cases, cases)
    return [Draw(found.p, found.low, found.high, found.value)]


def auc_truth(effect: float) -> float:
    """Return the area under the curve of two normal distributions so far apart."""
    from scipy.stats import norm

    return float(norm.cdf(effect / np.sqrt(2)))


def word_sets(test: Any, rates: tuple[float, float]) -> Any:
    """Return the case of a test of word sets, on latents whose firing rises with word frequency."""

    def draw(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
        strata = rng.integers(0, 8, 400)
        low, high = np.log(rates)
        chance = np.exp(rng.uniform(low, high, 10)) * (0.3 + 1.4 * strata[:, None] / 8)
        values = (rng.random((400, 10)) < chance) * rng.gamma(2, 1, (400, 10))
        label = np.zeros(400, dtype=bool)
        label[rng.choice(400, 30, replace=False, p=(1 + strata) / (1 + strata).sum())] = True
        values[label] += effect * rng.random((30, 10)) * (rng.random((30, 10)) < 0.5)
        return [Draw(p) for p in np.ravel(test(values, label, strata, seed))]

    return draw


def family_wise(values: Floats, label: Any, strata: Any, seed: int) -> Floats:
    """Return the smallest of the family-wise p of all latents."""
    return stats.max_t_strata(values, label, strata, seed=seed, **DRAWN).min()


def discoveries(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return the share of false discoveries at q = .05 among 40 tests of which half are null."""
    from scipy.stats import norm

    shift = np.repeat([0.0, effect], 20)
    found = stats.fdr_bh(norm.sf(rng.standard_normal(40) + shift)) <= 0.05
    return [Draw(value=found[:20].sum() / max(found.sum(), 1))]


def turned_scale(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return p that a scale is reversed, from anchors of which one side is rated more widely."""
    from pandas import DataFrame

    sides = [[f"{side}{at}" for at in range(n)] for side, n in (("good", 15), ("bad", 25))]
    rated = np.concatenate([rng.normal(5 - effect, 0.5, 15), rng.normal(5, 1.5, 25)])
    table = DataFrame({"word": [*sides[0], *sides[1]], "valence": rated})
    norms = WordNorms("made", "en", table, {"valence": (0, 10)}, ("valence",))
    anchors = {"valence": (frozenset(sides[0]), frozenset(sides[1]))}
    return [Draw(one.p) for one in directions(norms, anchors)]


def cebra(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Decode the ratings of unseen categories from an embedding of their words."""
    ratings = rng.uniform(-1, 1, (20, 2))
    labels = np.repeat(np.arange(20), 5)
    place = rng.standard_normal((20, 6)) + effect * np.hstack([ratings, np.zeros((20, 4))])
    x = place[labels] + 0.5 * rng.standard_normal((100, 6))
    options: dict[str, Any] = {"n_seeds": 1, "n_iterations": 20, "seed": seed}
    found = cebra_decoding(x, labels, ratings, **options, **DRAWN)
    return [Draw(float(p)) for p in found.p]


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
    return [Draw(scores.exceeds(table[0], table[1:], seed=seed, n=499))]


def steered_hits(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Do as `steered` with answers counted as of the tone or not."""
    logits = answers(rng, 1 + N_CONTROLS)
    logits[0] += effect
    table = sigmoid(logits) > 0.3
    return [Draw(scores.exceeds(table[0], table[1:], seed=seed, n=499))]


def unsteered(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Compare with unsteered answers alone."""
    logits = answers(rng, 2)
    table = sigmoid(logits + np.array([[effect], [0]]))
    return [Draw(scores.exceeds(table[0], table[1], seed=seed, n=499))]


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
    return [Draw(scores.exceeds(cell, controls, seed=seed, n=499))]


def estimated(found: scores.Estimate) -> list[Draw]:
    """Return the draw of an estimate."""
    return [Draw(low=found.low, high=found.high, value=found.value)]


def rate(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return a rate of answers."""
    return estimated(scores.rate(rng.random(N_PROMPTS) < effect, seed=seed))


def shift(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return how far the words of answers moved."""
    base = rng.normal(0, 0.2, N_PROMPTS)
    return estimated(scores.shift(base + rng.normal(effect, 0.15, N_PROMPTS), base, seed=seed))


def fluency(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return the ratio of perplexities."""
    base = np.exp(rng.normal(2, 0.5, N_PROMPTS))
    return estimated(
        scores.median_ratio(base * effect * np.exp(rng.normal(0, 0.4, N_PROMPTS)), base, seed=seed)
    )


def doses(rng: np.random.Generator, effect: float) -> tuple[Floats, Any]:
    """Return six doses and whether each answer was of the tone."""
    x = np.arange(6) / 5
    return x, rng.random((6, N_PROMPTS)) < 0.2 + effect * x[:, None]


def slope(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return the slope of a rate over doses."""
    return estimated(scores.dose_response(*doses(rng, effect), seed=seed).slope)


def monotone(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return how monotone a rate follows the dose."""
    return estimated(scores.dose_response(*doses(rng, effect), seed=seed).monotonicity)


def related(rng: np.random.Generator, n: int, effect: float) -> tuple[Floats, Floats]:
    """Return two normal variables with a correlation."""
    x, y = rng.standard_normal((2, n))
    return x, effect * x + np.sqrt(1 - effect**2) * y


def words_used(rng: np.random.Generator, seed: int, effect: float) -> list[Draw]:
    """Return the agreement of word shifts with people's ratings of the categories."""
    return estimated(scores.agreement(*related(rng, N, effect)))


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
        found, _ = compare_depths(*lagging(rng, N), seed=seed, n_bootstrap=300)
        low, high = ("ci_low", "ci_high") if field == "value" else ("shift_low", "shift_high")
        return [Draw(low=getattr(found, low), high=getattr(found, high), value=getattr(found, field))]

    return draw


def depth_truth(field: str) -> Any:
    """Return the truth of `depth`, over the population of categories."""

    def truth(_: float) -> float:
        found = [
            getattr(
                compare_depths(*lagging(np.random.default_rng(seed), 400), seed=0, n_bootstrap=2)[0], field
            )
            for seed in range(4)
        ]
        return float(np.mean(found))

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
    found = onset_figures(rng, N, seed, 300)
    return [Draw(low=found.onset_low, high=found.onset_high, value=found.onset_depth)]


def onset_truth(_: float) -> float:
    """Return the onset over the population of categories."""
    return float(onset_figures(np.random.default_rng(0), 500, 0, 2).onset_depth)


def cases() -> Iterable[Case]:
    """Yield the cases of words and answers."""
    groups, prompts = "over the population of word groups", "over the population of prompts"
    categories = "over the population of categories"
    for n_words, known in (
        (500, ""),
        (
            150,
            "r of few words is too low, by .04 where it is .25, since folds are centred one by one; three runs of 150, 350 and 150 data sets covered 87, 91 and 95%, of which the last is above",
        ),
    ):
        yield Case(
            f"ratings of {n_words} words predicted, cross-validated",
            "PredictionRecord.p",
            prediction(n_words),
            (0.4, 0.7),
            "r of the fitted models on new words",
            careful=True,
            wide=True,
            known=known,
            n_null=1000,
            n_planted=300,
        )
    yield Case(
        "r of words in groups",
        "Score of given predictions",
        grouped_words,
        (0.3, 0.6),
        f"r {groups}",
        lambda e: e,
    )
    yield Case(
        "two feature sets, cross-validated",
        "ComparisonRecord.p, DifferenceRecord.p",
        two_feature_sets,
        (0.5, 1.5),
        "difference in r of the fitted models on new words",
        careful=True,
        wide=True,
        n_null=500,
        n_planted=200,
    )
    yield Case(
        "two predictors of words in groups",
        "as above",
        paired,
        (0.3, 0.6),
        f"difference of r {groups}",
        paired_truth,
    )
    yield Case(
        "as good as each other, at the margin",
        "ComparisonRecord.equivalent",
        two_feature_sets_90,
        (),
        careful=True,
    )
    yield Case(
        "ratings across languages",
        "CrossLanguageRecord.p",
        across_languages,
        (0.3, 0.6),
        "r of the fitted model on new words",
        n_null=1000,
        n_planted=300,
    )
    yield Case(
        "category told from the others, ridge",
        "FeatureRecord.auc_p",
        membership,
        (0.7, 1.2),
        careful=True,
        n_planted=300,
    )
    yield Case(
        "AUC of 20 words among 200",
        "ReadingRecord, FeatureRecord",
        plain_auc,
        (0.5, 1.0),
        "AUC over the population of words",
        auc_truth,
    )
    rank, hit = (
        lambda values, label, strata, seed: stats.stratified_rank_sum(values, label, strata).p,
        lambda values, label, strata, seed: stats.stratified_rate_test(values, label, strata).p,
    )
    for test, name, field in (
        (rank, "rank sum", "features p"),
        (hit, "firing rates", "features p (rule rate)"),
    ):
        yield Case(
            f"{name} within strata, latents that fire on 10 to 60%",
            field,
            word_sets(test, (0.1, 0.6)),
            (1.0, 2.0),
            n_planted=300,
        )
        yield Case(
            f"{name} within strata, latents that fire on 1 to 5%",
            field,
            word_sets(test, (0.01, 0.05)),
            (1.0,),
            careful=True,
            n_planted=300,
        )
    yield Case(
        "largest rank sum of ten latents",
        "features p_max",
        word_sets(family_wise, (0.05, 0.6)),
        (1.0, 2.0),
        n_planted=300,
    )
    yield Case("direction of a scale (Welch)", "Direction.p", turned_scale, (0.5, 1.0), n_planted=300)
    yield Case(
        "ratings decoded from CEBRA", "Alignment.p (cebra_r2)", cebra, (2.0,), n_null=100, n_planted=20
    )
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
