"""Selection of features: nothing is found where nothing is, and word frequency is not taken for emotion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import binom, kstest

from emospace.concepts import ConceptSets
from emospace.errors import EmospaceError
from emospace.features import MatchedPool, matched_pool, select_features
from emospace.lexicon import WordFrequencies

N_SETS, N_WORDS, N_POOL, N_STRATA, N_LATENTS = 5, 12, 90, 6, 60


def sets_of(concepts) -> ConceptSets:
    """Return concept-sets that deal the words out over the categories in turn."""
    names = [f"set{index % N_SETS}" for index in range(len(concepts))]
    table = pd.DataFrame({"language": "en", "category": names, "word": concepts, "weight": 1.0})
    labels = {name: (name,) for name in dict.fromkeys(names)}
    return ConceptSets(table, {"en": labels}, {"en": ("{word}",)}, "curated")


def null_data(seed):
    """Return codes whose latents fire by stratum, at rates from rare to common, and by nothing else."""
    rng = np.random.default_rng(seed)
    concepts = [f"concept{index}" for index in range(N_SETS * N_WORDS)]
    # Concepts crowd into the upper strata, where latents fire more: unstratified, they would stand out.
    strata = rng.choice(N_STRATA, len(concepts), p=np.arange(N_STRATA) / 15)
    pool = MatchedPool(
        tuple(f"neutral{index}" for index in range(N_POOL)),
        strata,
        np.arange(N_POOL) % N_STRATA,
        "length, frequency",
        0,
    )
    home = np.concatenate([strata, pool.pool_strata])
    rate = rng.beta(0.4, 2, N_LATENTS)
    slope = rng.uniform(0, 0.8, N_LATENTS)
    fires = rng.random((len(home), N_LATENTS)) < rate * (1 - slope) + slope * home[:, None] / N_STRATA
    codes = sp.csr_matrix(fires * rng.exponential(size=fires.shape) * (1 + home[:, None]))
    return codes, [*concepts, *pool.words], sets_of(concepts), pool


def found_in(data, **options):
    """Return the selection's table, empty when nothing passes."""
    codes, words, sets, pool = data
    try:
        return select_features(codes, words, sets, "en", pool, **options).table
    except EmospaceError as error:
        assert "no latent passes" in error.why
        return pd.DataFrame()


def within_binomial(hits: int, n: int, rate: float) -> bool:
    """Return whether a count is one that a rate of at most `rate` gives in 999 of 1,000 simulations."""
    return hits <= binom.ppf(0.999, n, rate)


def test_labels_at_random_within_strata_yield_a_selection_in_five_of_a_hundred():
    n = 100
    hits = sum(len(found_in(null_data(seed), n_permutations=0)) > 0 for seed in range(n))
    assert within_binomial(hits, n, 0.05)


def test_without_strata_the_same_data_would_yield_many():
    n, hits = 40, 0
    for seed in range(n):
        codes, words, sets, pool = null_data(seed)
        flat = replace(
            pool,
            concept_strata=np.zeros_like(pool.concept_strata),
            pool_strata=np.zeros_like(pool.pool_strata),
        )
        hits += len(found_in((codes, words, sets, flat), n_permutations=0)) > 0
    assert hits > n / 5


def test_p_values_of_a_null_are_uniform_enough():
    """q = 1 lets every latent through that leans towards the set: their p is then the lower half."""
    p = np.concatenate(
        [found_in(null_data(seed), q=1.0, max_features=N_LATENTS, n_permutations=0).p for seed in range(8)]
    )
    assert len(p) > 500
    for level in (0.01, 0.05, 0.1, 0.2):
        share = (p <= level).sum() / (8 * N_SETS * N_LATENTS)
        assert share <= level + 3 * np.sqrt(level * (1 - level) / (8 * N_SETS * N_LATENTS)) + 0.005
    assert (p <= 0.2).sum() / (8 * N_SETS * N_LATENTS) > 0.1


def test_p_max_of_a_null_is_uniform():
    """The smallest family-wise p of a category is itself uniform under the null."""
    least = []
    for seed in range(25):
        table = found_in(null_data(seed), q=1.0, max_features=N_LATENTS, n_permutations=199)
        least += table.groupby("category").p_max.min().tolist()
    assert len(least) == 25 * N_SETS
    assert kstest(least, "uniform").pvalue > 0.001
    assert within_binomial(int((np.array(least) <= 0.05).sum()), len(least), 0.05)


@pytest.mark.parametrize("rule", ["rank", "rate", "standardised"])
def test_a_planted_set_is_found_with_few_false_ones(rule):
    false, total = 0, 0
    for seed in range(10):
        codes, words, sets, pool = null_data(seed)
        rng = np.random.default_rng(seed)
        dense = codes.toarray()
        rows = [words.index(word) for word in sets.words("en", "set0")]
        dense[np.ix_(rows, range(10))] = rng.uniform(1, 9, (len(rows), 10)) * (
            rng.random((len(rows), 10)) < 0.9
        )
        dense[len(sets.words("en")) :, :10] *= rng.random((N_POOL, 10)) < 0.2
        table = found_in((sp.csr_matrix(dense), words, sets, pool), rule=rule, n_permutations=0)
        true = (table.category == "set0") & (table.latent < 10)
        assert true.sum() >= 8
        # The same latents may differ from the thinned pool in other sets' words: those are no false finds.
        others = table[table.latent >= 10]
        false, total = false + len(others), total + len(table)
    assert false / total <= 0.1


# --- word frequency as a confound -------------------------------------------------------------------------


def frequent_concepts(seed):
    """Return concept words more frequent than the candidates, and latents that fire by frequency alone."""
    rng = np.random.default_rng(seed)
    zipf = np.concatenate([rng.normal(4.5, 0.5, N_SETS * 20), rng.normal(3.6, 0.9, 3000)])
    words = [f"{index:05d}" for index in range(len(zipf))]
    counts = {word: round(10 ** (value - 9) * 1e9) for word, value in zip(words, zipf, strict=True)}
    frequencies = WordFrequencies("en", "made", 10**9, counts)
    chance = 1 / (1 + np.exp(-2 * (zipf[:, None] - 4.5)))
    fires = rng.random((len(words), N_LATENTS)) < chance * rng.uniform(0.3, 1, N_LATENTS)
    codes = sp.csr_matrix(fires * rng.exponential(size=fires.shape) * zipf[:, None])
    return codes, words, sets_of(words[: N_SETS * 20]), frequencies


def selected(codes, words, sets, pool) -> int:
    return len(found_in((codes, words, sets, pool), n_permutations=0))


def test_latents_of_frequent_words_are_no_features_of_a_matched_pool():
    matched_counts, unmatched_counts = [], []
    for seed in range(12):
        codes, words, sets, frequencies = frequent_concepts(seed)
        concepts, candidates = sets.words("en"), words[N_SETS * 20 :]
        pool = matched_pool(
            concepts, candidates, frequencies, token_counts=lambda asked: np.ones(len(asked)), seed=seed
        )
        at_random = np.random.default_rng(seed).choice(len(candidates), len(pool.words), replace=False)
        unmatched = MatchedPool(
            tuple(candidates[index] for index in at_random),
            np.zeros(len(concepts), dtype=int),
            np.zeros(len(at_random), dtype=int),
            "nothing",
            0,
        )
        matched_counts.append(selected(codes, words, sets, pool))
        unmatched_counts.append(selected(codes, words, sets, unmatched))
    assert min(unmatched_counts) > 10
    assert sum(count > 0 for count in matched_counts) <= 3
    assert sum(matched_counts) < 0.02 * sum(unmatched_counts)
