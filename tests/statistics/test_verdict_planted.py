"""The three answers on planted cases, through the prediction stage and the alignment functions themselves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from emospace.alignment import rsa_affect
from emospace.concepts import ConceptSets
from emospace.features import MatchedPool
from emospace.norms import WordNorms
from emospace.prediction import compare_predictions, predict_beside, predict_ratings
from emospace.records import QUESTIONS, AlignmentRecord, verdicts
from emospace.records.verdict import SMALLEST
from emospace.space import EmotionSpace
from emospace.structure import CategoryRatings
from emospace.study.concepts import LanguageConcepts
from emospace.study.encoding import WordStates
from emospace.study.predicting import Latents, predict

N_CATEGORIES, N_CONCEPTS, N_POOL, N_RATED, D, N_LATENTS = 8, 25, 400, 400, 64, 200
YES, PARTLY, NOT_SHOWN = "yes", "partly", "not shown"
ABSENT = (NOT_SHOWN, NOT_SHOWN, NOT_SHOWN)
CATEGORIES = tuple(f"c{place}" for place in range(N_CATEGORIES))
LETTERS = "bdfgklmnprstvz"


def invented(n: int) -> list[str]:
    """Return words of no language, each with a stem of its own."""
    syllables = [f"{a}{vowel}{b}" for a in LETTERS for vowel in "aou" for b in LETTERS]
    return [
        f"{syllables[i % len(syllables)]}{syllables[(7 * i + i // len(syllables)) % len(syllables)]}"
        for i in range(n)
    ]


@dataclass(frozen=True)
class Planted:
    """Words with a rating, of which embeddings and states hold shares.

    Attributes
    ----------
    in_embeddings, in_depth
        Weight of the rating in the input embeddings, and in what the states have beside these.
    by_category
        Whether the concepts of a category share their rating; else the space has no more to do with it than any features.
    """

    in_embeddings: float
    in_depth: float
    by_category: bool = True

    def words(self, seed: int) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
        """Return concepts, pool and rated words in this order, their rating, embeddings and states by layer."""
        rng = np.random.default_rng(seed)
        n = N_CATEGORIES * N_CONCEPTS + N_POOL + N_RATED
        rating = rng.normal(size=n)
        if self.by_category:
            centres = np.repeat(np.linspace(-1.5, 1.5, N_CATEGORIES), N_CONCEPTS)
            rating[: len(centres)] = centres + 0.3 * rng.normal(size=len(centres))
        # Categories differ in much that is no rating.
        topic = np.zeros((n, D))
        topic[: N_CATEGORIES * N_CONCEPTS] = np.repeat(rng.normal(size=(N_CATEGORIES, D)), N_CONCEPTS, axis=0)

        def unit() -> np.ndarray:
            way = rng.normal(size=D)
            return way / np.linalg.norm(way)

        spectrum = np.linspace(1.4, 0.6, D)
        static = (
            rng.normal(size=(n, D)) * spectrum + 0.3 * topic + self.in_embeddings * np.outer(rating, unit())
        )
        turn = np.linalg.qr(rng.normal(size=(D, D)))[0]
        beside = np.outer(rating, unit())
        layers = [
            static @ turn + share * (self.in_depth * beside + 0.5 * rng.normal(size=(n, D)))
            for share in (0.0, 0.5, 1.0)
        ]
        return invented(n), rating, static.astype(np.float32), np.stack(layers, 1).astype(np.float32)


def sets_of(words: list[str]) -> ConceptSets:
    table = pd.DataFrame(
        {
            "language": "en",
            "category": np.repeat(CATEGORIES, N_CONCEPTS),
            "word": words[: N_CATEGORIES * N_CONCEPTS],
            "weight": 1.0,
        }
    )
    labels = {"en": {name: (words[N_CONCEPTS * place],) for place, name in enumerate(CATEGORIES)}}
    return ConceptSets(table, labels, {"en": ()}, "curated")


def answers(planted: Planted, seed: int, *, latents: bool = False) -> tuple[str | None, ...]:
    """Return the three answers about the rating of a planted study, without an SAE or with one."""
    words, rating, static, layers = planted.words(seed)
    n_concepts = N_CATEGORIES * N_CONCEPTS
    codes, chosen = None, None
    if latents:
        # Latents read the states at random; those of the space are the ones their categories differ on most.
        ways = np.random.default_rng(seed).normal(size=(D, N_LATENTS)) / np.sqrt(D)
        codes = csr_matrix(np.maximum(layers[:, -1] @ ways - 0.5, 0).astype(np.float32))
        means = codes[:n_concepts].toarray().reshape(N_CATEGORIES, N_CONCEPTS, -1).mean(1)
        trend = np.abs(np.corrcoef(np.linspace(-1, 1, N_CATEGORIES), means.T)[0, 1:])
        chosen = np.sort(np.argsort(-np.nan_to_num(trend))[:20])

    def part(rows: slice) -> WordStates:
        return WordStates(
            tuple(words[rows]),
            layers[rows, -1],
            None if codes is None else codes[rows],
            static[rows],
            layers[rows],
        )

    known, rated = slice(0, n_concepts + N_POOL), slice(n_concepts + N_POOL, None)
    pool = MatchedPool(
        tuple(words[n_concepts : n_concepts + N_POOL]),
        np.zeros(n_concepts, int),
        np.zeros(N_POOL, int),
        "nothing",
        0,
    )
    people = pd.DataFrame(
        {
            "word": words[rated],
            "valence": rating[rated] + 0.5 * np.random.default_rng(seed + 1).normal(size=N_RATED),
        }
    )
    result = predict(
        model="planted",
        layer=2,
        norms=WordNorms("planted", "en", people, {"valence": (-5, 5)}, ("valence",)),
        concepts=LanguageConcepts(
            "en", sets_of(words), pool, part(known), chosen, "planted" if latents else None
        ),
        words=part(rated),
        surface=np.random.default_rng(seed + 2).normal(size=(N_RATED, 2)),
        corpus=None,
        latents=Latents(None, None, chosen, "standardised", 50) if latents else None,
        n_shuffled=0 if latents else 25,
        folds=4,
        seed=seed,
    )
    return of_records(
        "valence", prediction=result.records["prediction"], comparison=result.records["comparison"]
    )


def of_records(about: str, prediction=(), comparison=(), alignment=()) -> tuple[str | None, ...]:
    by_question = {
        entry.question: entry.answer
        for entry in verdicts(["en"], prediction, comparison, alignment)
        if entry.about == about
    }
    return tuple(by_question[question] for question in QUESTIONS)


CASES = {
    "in the space": (Planted(0, 2.0), (YES, YES, YES)),
    "in the embeddings alone": (Planted(2.0, 0), (YES, NOT_SHOWN, NOT_SHOWN)),
    "in depth, not in the space": (Planted(0, 2.0, by_category=False), (PARTLY, NOT_SHOWN, YES)),
    "nowhere": (Planted(0, 0), ABSENT),
}


@pytest.mark.parametrize(("case", "seed"), [(case, seed) for case in CASES for seed in range(3)])
def test_directions_get_the_right_three_answers(case, seed):
    planted, expected = CASES[case]
    assert answers(planted, seed) == expected


@pytest.mark.parametrize(("case", "seed"), [(case, seed) for case in CASES for seed in range(2)])
def test_latents_get_the_right_three_answers(case, seed):
    planted, expected = CASES[case]
    assert answers(planted, seed, latents=True) == expected


def test_where_nothing_is_planted_little_is_ever_shown():
    given = Counter(answer for seed in range(10, 18) for answer in answers(Planted(0, 0), seed))
    assert given[YES] == 0
    assert given[NOT_SHOWN] >= 22


def test_states_that_are_the_embeddings_turned_add_nothing():
    """Ridge weighs the same information otherwise along other axes: a difference, and significant at times, but small."""
    lows = []
    for seed in range(16):
        rng = np.random.default_rng(seed)
        rating = rng.normal(size=(420, 1))
        static = rng.normal(size=(420, 40)) * np.linspace(1.4, 0.6, 40) + 0.3 * rating * rng.normal(size=40)
        states = static @ np.linalg.qr(rng.normal(size=(40, 40)))[0]
        groups, options = np.arange(420), {"targets": ["rating"], "folds": 4, "n_bootstrap": 10}
        ratings = rating + 0.5 * rng.normal(size=(420, 1))
        alone = predict_ratings(states, ratings, groups, **options)
        embeddings = predict_ratings(static, ratings, groups, **options)
        joined = predict_beside(states, static, alone, n_bootstrap=10)
        lows.append(compare_predictions(joined[0], embeddings[0], seed=seed, n_bootstrap=500).ci_low)
    assert max(lows) < SMALLEST


# --- the arrangement of categories ------------------------------------------------------------------------


def arranged(in_embeddings: float, in_depth: float, seed: int) -> tuple[str | None, ...]:
    """Return the three answers about the arrangement of 41 categories.

    Embeddings hold people's plane with a weight, the states what the embeddings do, turned, and the plane with another.
    """
    rng = np.random.default_rng(seed)
    names = tuple(f"c{place}" for place in range(41))
    plane = rng.uniform(-0.8, 0.8, size=(41, 2))

    def beside(points: np.ndarray, weight: float) -> np.ndarray:
        return points + weight * plane @ rng.normal(size=(2, 40)) + rng.normal(size=points.shape)

    static = beside(np.zeros((41, 40)), in_embeddings)
    states = beside(static @ np.linalg.qr(rng.normal(size=(40, 40)))[0], in_depth)
    space, embeddings = (
        EmotionSpace("en", names, np.arange(40), points - points.mean(axis=0), kind)
        for points, kind in ((states, "dense"), (static, "static"))
    )
    table = pd.DataFrame(
        {"category": names, "valence": plane[:, 0], "arousal": plane[:, 1], "source": "label"}
        | {f"{target}_{what}": np.nan for target in ("valence", "arousal") for what in ("sd", "n")}
    )
    people = CategoryRatings("en", "planted", table, ("valence", "arousal"))
    both = (space.rdm() + embeddings.rdm()) / 2
    options = {"seed": seed, "n_permutations": 199, "beside": embeddings.rdm()}
    figures = [
        rsa_affect(space, people, **options),
        rsa_affect(replace(space, kind="dense_static"), people, rdm=both, **options),
    ]
    records = [AlignmentRecord.from_figure(figure, model="planted", layer=2) for figure in figures]
    return of_records("valence_arousal", alignment=records)


@pytest.mark.parametrize(
    ("in_embeddings", "in_depth", "expected"),
    [(0, 2.5, (YES, YES, YES)), (2.5, 0, (YES, NOT_SHOWN, NOT_SHOWN)), (0, 0, ABSENT)],
    ids=["in depth", "in the embeddings alone", "nowhere"],
)
def test_the_arrangement_gets_the_right_three_answers(in_embeddings, in_depth, expected):
    given = [arranged(in_embeddings, in_depth, seed) for seed in range(30)]
    for place, answer in enumerate(expected):
        right = sum(triple[place] == answer for triple in given)
        assert right >= 27, (place, Counter(triple[place] for triple in given))
