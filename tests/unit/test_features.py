"""From concept-sets to features: the matched pool, the selection, what the dictionary holds, dense directions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import ks_2samp

from emospace.concepts import ConceptSets, load_concepts
from emospace.errors import EmospaceError
from emospace.features import (
    EFFECTS,
    FeatureDictionary,
    MatchedPool,
    dense_directions,
    matched_pool,
    select_features,
    shared_latents,
    shuffled_sets,
    specific_latents,
)
from emospace.features.transformer import ConceptFeatures
from emospace.lexicon import WordFrequencies, frequency_table, pool_words
from emospace.prediction.regressor import RatingRegressor

CATEGORIES = ("anger", "fear", "joy")
N_LATENTS, N_PLANTED = 40, 2


def concept_sets(words, language="en") -> ConceptSets:
    """Return sets from category -> words (or word -> weight)."""
    rows = [
        (language, category, word, members[word] if isinstance(members, dict) else 1.0)
        for category, members in words.items()
        for word in members
    ]
    return ConceptSets(
        pd.DataFrame(rows, columns=["language", "category", "word", "weight"]),
        {language: {category: (category,) for category in words}},
        {language: ("The word is {word}",)},
        "curated",
    )


def letters(words) -> np.ndarray:
    return np.array([len(word) for word in words], dtype=float)


def pool_of(concepts, n, n_strata=4) -> MatchedPool:
    """Return a pool of n words, concepts and pool dealt out over the strata in turn."""
    return MatchedPool(
        tuple(f"neutral{index}" for index in range(n)),
        np.arange(len(concepts)) % n_strata,
        np.arange(n) % n_strata,
        "length, frequency",
        0,
    )


def planted(seed=0, n_words=20, n_pool=90, noise=0.1):
    """Return codes in which latents 2c and 2c + 1 fire on 90% of category c's words, and all on 10% of all."""
    sets = concept_sets({name: [f"{name}{index}" for index in range(n_words)] for name in CATEGORIES})
    concepts = sets.words("en")
    pool = pool_of(concepts, n_pool)
    words = [*pool.words, *concepts, "unasked"]
    rng = np.random.default_rng(seed)
    codes = rng.exponential(size=(len(words), N_LATENTS)) * (rng.random((len(words), N_LATENTS)) < noise)
    for number, name in enumerate(CATEGORIES):
        rows = [words.index(word) for word in sets.words("en", name)]
        for latent in range(N_PLANTED * number, N_PLANTED * (number + 1)):
            codes[rows, latent] = rng.uniform(2, 5, len(rows)) * (rng.random(len(rows)) < 0.9)
    return sp.csr_matrix(codes, dtype=np.float32), words, sets, pool


def select(given, **options) -> FeatureDictionary:
    codes, words, sets, pool = given
    return select_features(codes, words, sets, "en", pool, **{"q": 0.001, "n_permutations": 99, **options})


# --- the matched pool -------------------------------------------------------------------------------------


def standardised_difference(a, b) -> float:
    return float(abs(np.mean(a) - np.mean(b)) / np.sqrt((np.var(a) + np.var(b)) / 2))


@pytest.fixture(scope="module")
def english():
    concepts = load_concepts(["en"]).words("en")
    frequencies = frequency_table("en")
    candidates = pool_words("en", concepts)
    return (
        concepts,
        candidates,
        frequencies,
        matched_pool(concepts, candidates, frequencies, token_counts=letters),
    )


def test_the_english_pool_has_the_concepts_length_and_frequency(english):
    concepts, candidates, frequencies, pool = english
    assert pool.matched_on == "length, frequency"
    assert len(pool.words) > len(concepts)
    for measure in (letters, frequencies.zipf):
        assert standardised_difference(measure(concepts), measure(pool.words)) < 0.1
        assert ks_2samp(measure(concepts), measure(pool.words)).statistic < 0.12
    # Unmatched they would not pass for balanced: the limit is a quarter of a standard deviation (Rubin, 2001).
    assert standardised_difference(frequencies.zipf(concepts), frequencies.zipf(candidates)) > 0.25


def test_a_pool_holds_no_concept_word_and_no_word_twice(english):
    concepts, candidates, frequencies, _ = english
    pool = matched_pool(
        concepts, [*candidates, *candidates[:50], *concepts], frequencies, token_counts=letters
    )
    assert not set(pool.words) & set(concepts)
    assert len(set(pool.words)) == len(pool.words)
    assert set(pool.words) <= set(candidates)


def test_strata_are_named_alike_for_concepts_and_pool(english):
    concepts, _, _, pool = english
    assert (len(pool.concept_strata), len(pool.pool_strata)) == (len(concepts), len(pool.words))
    shared = np.isin(pool.concept_strata, pool.pool_strata)
    assert pool.n_unmatched == int((~shared).sum())
    for stratum in np.unique(pool.pool_strata):
        inside = letters(concepts)[pool.concept_strata == stratum]
        outside = letters(pool.words)[pool.pool_strata == stratum]
        # Inner bins are bounded by the concepts' own quantiles; the outer ones are open.
        assert inside.size and outside.size
        assert outside.min() <= inside.max() and inside.min() <= outside.max()


def test_a_pool_follows_its_seed(english):
    concepts, candidates, frequencies, pool = english
    same = matched_pool(concepts, candidates, frequencies, token_counts=letters)
    other = matched_pool(concepts, candidates, frequencies, token_counts=letters, seed=1)
    assert same.words == pool.words
    assert set(other.words) != set(pool.words)


def test_without_a_frequency_table_tokens_stand_in_and_it_is_said():
    rng = np.random.default_rng(0)
    tokens = {f"{'w' * rng.integers(3, 9)}{index}": float(rng.integers(1, 6)) for index in range(900)}
    words = list(tokens)
    concepts = [word for word in words[:300] if tokens[word] >= 3][:60]
    counted = []

    def token_counts(asked):
        counted.append(len(asked))
        return np.array([tokens[word] for word in asked])

    pool = matched_pool(concepts, words[300:], WordFrequencies("xx"), token_counts=token_counts)
    assert pool.matched_on == "length, tokens"
    assert counted
    all_of, some = [[tokens[word] for word in part] for part in (words[300:], pool.words)]
    wanted = [tokens[word] for word in concepts]
    assert standardised_difference(some, wanted) < 0.2 < standardised_difference(all_of, wanted)


def test_candidates_that_cannot_match_are_refused():
    concepts = [f"{'long' * 5}{index}" for index in range(20)]
    with pytest.raises(EmospaceError, match=r"5 candidates.*match the 20 concept words"):
        matched_pool(concepts, ["a", "b", "c", "d", "e"], WordFrequencies("xx"), token_counts=letters)


def test_concepts_in_cells_without_neutral_words_are_counted():
    concepts = [*[f"w{index}" for index in range(10, 30)], *[f"{'long' * 5}{index}" for index in range(10)]]
    frequencies = WordFrequencies("xx", "made", 10_000, {"w": 9})
    pool = matched_pool(concepts, [f"v{index}" for index in range(10, 99)], frequencies, token_counts=letters)
    assert pool.n_unmatched == 10
    assert len(pool.words) == 30


# --- the selection ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", EFFECTS)
def test_every_rule_finds_the_planted_latents_and_only_those(rule):
    dictionary = select(planted(), rule=rule)
    assert dictionary.settings["rule"] == rule
    assert set(dictionary.categories) == set(CATEGORIES)
    for number, name in enumerate(CATEGORIES):
        assert set(dictionary.for_category(name)) == {2 * number, 2 * number + 1}
    np.testing.assert_array_equal(dictionary.latents, np.arange(len(CATEGORIES) * N_PLANTED))


def matched(sets, pool, category):
    """The members of a set, their weights, and the pool's: as many pool words as members in every stratum."""
    stratum = dict(zip(sets.words("en"), pool.concept_strata, strict=True))
    members = list(sets.words("en", category))
    strata = np.array([stratum[word] for word in members])
    inside = np.isin(strata, pool.pool_strata).astype(float)
    shares = {
        cell: (strata == cell).sum() / (pool.pool_strata == cell).sum() for cell in set(pool.pool_strata)
    }
    return members, inside, np.array([shares[cell] for cell in pool.pool_strata])


def test_a_row_says_what_was_found():
    codes, words, sets, pool = given = planted()
    dictionary = select(given)
    table = dictionary.table
    np.testing.assert_allclose(table.groupby("category").weight.sum(), 1)
    assert (table.effect > 0).all()
    assert ((table.q <= 0.001) & (table.p <= table.q) & (table.p_max <= 0.05)).all()
    dense = pd.DataFrame(codes.toarray(), index=words)
    for row in table.itertuples():
        members, weights_in, weights_out = matched(sets, pool, row.category)
        fires = dense[row.latent] > 0
        assert row.rate_in == pytest.approx(np.average(fires[members], weights=weights_in))
        assert row.rate_pool == pytest.approx(np.average(fires[list(pool.words)], weights=weights_out))
        asked = [*sets.words("en"), *pool.words]
        best = dense.loc[asked, row.latent].sort_values(ascending=False, kind="stable").index[:8]
        assert row.top_words.split(", ") == list(best)
    assert list(dictionary.for_category("joy")) == list(
        table[table.category == "joy"].sort_values("effect", ascending=False).latent
    )


def test_settings_tell_how_it_was_done():
    settings = select(planted(), q=0.01, seed=3).settings
    assert settings["matched_on"] == "length, frequency"
    assert (settings["q"], settings["seed"], settings["n_pool"]) == (0.01, 3, 90)
    assert (settings["n_permutations"], settings["n_unmatched"]) == (99, 0)
    assert settings["provenance"] == "curated"


def test_effects_of_the_rules_are_what_they_are_called():
    codes, words, sets, pool = given = planted(seed=1)
    by_rule = {rule: select(given, rule=rule).table.set_index(["category", "latent"]) for rule in EFFECTS}
    rows = [words.index(word) for word in sets.words("en", "joy")]
    neutral = [words.index(word) for word in pool.words]
    dense = codes.toarray().astype(float)
    inside, outside = dense[rows], dense[neutral]
    for latent in (4, 5):
        inner, outer = inside[:, latent], outside[:, latent]
        rank = by_rule["rank"].loc["joy", latent]
        chance = (np.greater.outer(inner, outer) + np.equal.outer(inner, outer) / 2).mean()
        assert rank.effect == pytest.approx(chance - 0.5, abs=0.03)  # that of the strata, pooled
        rate = by_rule["rate"].loc["joy", latent]
        assert rate.effect == pytest.approx(rate.rate_in - rate.rate_pool, abs=0.03)
        _, ours, theirs = matched(sets, pool, "joy")
        mean_in, mean_out = np.average(inner, weights=ours), np.average(outer, weights=theirs)
        variance_in = np.average((inner - mean_in) ** 2, weights=ours)
        variance_out = np.average((outer - mean_out) ** 2, weights=theirs)
        d = (mean_in - mean_out) / np.sqrt((variance_in + variance_out) / 2)
        assert by_rule["standardised"].loc["joy", latent].effect == pytest.approx(d, rel=1e-4)


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 6, 100])
def test_no_more_distinct_latents_than_allowed(most):
    dictionary = select(planted(), max_features=most)
    assert 1 <= len(dictionary.latents) <= most
    np.testing.assert_allclose(dictionary.table.groupby("category").weight.sum(), 1)
    if most >= len(CATEGORIES):
        depth = {len(dictionary.for_category(name)) for name in dictionary.categories}
        assert len(depth) == 1, "every category goes equally deep"
        assert len(dictionary.categories) == len(CATEGORIES)


def test_a_limit_keeps_the_strongest():
    everything, few = select(planted()), select(planted(), max_features=3)
    for name in CATEGORIES:
        assert list(few.for_category(name)) == list(everything.for_category(name)[:1])
    single = select(planted(), max_features=1)
    assert single.table.effect.max() == pytest.approx(everything.table.effect.max())


def test_a_latent_may_serve_several_categories_and_counts_once():
    codes, words, sets, pool = planted()
    dense = codes.toarray()
    dense[[words.index(word) for word in sets.words("en")], 30] = 4
    dictionary = select((sp.csr_matrix(dense), words, sets, pool))
    assert set(dictionary.table[dictionary.table.latent == 30].category) == set(CATEGORIES)
    assert len(dictionary.latents) == len(CATEGORIES) * N_PLANTED + 1
    assert len(select((sp.csr_matrix(dense), words, sets, pool), max_features=1).table) == len(CATEGORIES)


def test_a_latent_that_avoids_the_concepts_is_no_feature():
    codes, words, sets, pool = planted()
    dense = codes.toarray()
    dense[:, 30] = 3
    dense[[words.index(word) for word in sets.words("en", "joy")], 30] = 0
    assert 30 not in select((sp.csr_matrix(dense), words, sets, pool)).for_category("joy")


def test_other_categories_words_are_not_neutral():
    """A latent of all emotion words is a feature of each, which it could not be if they were its pool."""
    codes, words, sets, pool = planted()
    dense = codes.toarray()
    dense[:, 30] = 0
    dense[[words.index(word) for word in sets.words("en")], 30] = 1
    table = select((sp.csr_matrix(dense), words, sets, pool), rule="rank").table
    row = table[(table.latent == 30) & (table.category == "joy")].iloc[0]
    assert (row.rate_in, row.rate_pool) == pytest.approx((1, 0))
    assert row.effect == pytest.approx(0.5)


@pytest.mark.parametrize("rule", EFFECTS)
def test_a_latent_that_never_varies_within_the_set_has_an_effect_all_the_same(rule):
    codes, words, sets, pool = planted()
    dense = codes.toarray()
    dense[:, 30] = 0
    dense[[words.index(word) for word in sets.words("en")], 30] = 0.1
    dictionary = select((sp.csr_matrix(dense, dtype=np.float32), words, sets, pool), rule=rule)
    assert set(dictionary.table[dictionary.table.latent == 30].category) == set(CATEGORIES)
    assert np.isfinite(dictionary.table.effect).all()


def test_nothing_found_is_an_error_that_names_the_language():
    codes, words, sets, pool = planted()
    silent = sp.csr_matrix(codes.shape, dtype=np.float32)
    with pytest.raises(EmospaceError, match=r"'en'.*no latent passes"):
        select((silent, words, sets, pool))


def test_words_without_codes_are_named():
    codes, words, sets, pool = planted()
    for missing in ("joy3", "neutral7"):
        kept = [index for index, word in enumerate(words) if word != missing]
        with pytest.raises(EmospaceError, match=missing):
            select((codes[kept], [words[index] for index in kept], sets, pool))


def test_an_unknown_rule_is_refused():
    with pytest.raises(EmospaceError, match="selection rule 'ranks'"):
        select(planted(), rule="ranks")


def test_the_order_of_the_rows_is_no_matter():
    codes, words, sets, pool = given = planted()
    order = np.random.default_rng(1).permutation(len(words))
    moved = (codes[order], [words[index] for index in order], sets, pool)
    pd.testing.assert_frame_equal(select(given).table, select(moved).table)


# --- dictionaries -----------------------------------------------------------------------------------------


def test_a_dictionary_comes_back_from_its_folder(tmp_path):
    dictionary = select(planted())
    dictionary.save(tmp_path / "dictionary")
    again = FeatureDictionary.load(tmp_path / "dictionary")
    assert again.language == "en"
    assert dict(again.settings) == dict(dictionary.settings)
    pd.testing.assert_frame_equal(again.table, dictionary.table)
    np.testing.assert_array_equal(again.latents, dictionary.latents)


def test_shared_and_specific_latents():
    def of(language, *latents):
        return FeatureDictionary(
            language, pd.DataFrame({"category": "joy", "latent": latents, "effect": 1.0})
        )

    three = {"en": of("en", 5, 1, 3), "zh": of("zh", 3, 5, 8), "de": of("de", 9, 5)}
    assert shared_latents(three).tolist() == [5]
    assert specific_latents(three, "en").tolist() == [1]
    assert specific_latents(three, "zh").tolist() == [8]
    assert shared_latents({"en": three["en"]}).tolist() == [1, 3, 5]
    assert specific_latents({"en": three["en"]}, "en").tolist() == [1, 3, 5]
    assert shared_latents({}).tolist() == []
    assert shared_latents({"a": of("a", 1), "b": of("b", 2)}).dtype == np.int64


# --- shuffled sets ----------------------------------------------------------------------------------------


def test_shuffled_sets_keep_their_sizes_where_the_pool_is_large():
    _, _, sets, _ = planted()
    pool = pool_of(sets.words("en"), 200)
    shuffled, left = shuffled_sets(sets, "en", pool, seed=0)
    assert [len(shuffled.words("en", name)) for name in CATEGORIES] == [20, 20, 20]
    drawn = shuffled.words("en")
    assert set(drawn) <= set(pool.words)
    assert set(drawn) | set(left.words) == set(pool.words)
    assert not set(drawn) & set(left.words)


def test_shuffled_sets_shrink_until_half_of_the_pool_is_neutral():
    _, _, sets, pool = planted()
    shuffled, left = shuffled_sets(sets, "en", pool, seed=0)
    assert (len(shuffled.words("en")), len(left.words)) == (45, 45)
    assert sum(len(shuffled.words("en", name)) for name in CATEGORIES) == 45


def test_shuffled_words_keep_their_strata():
    _, _, sets, _ = planted()
    pool = pool_of(sets.words("en"), 200)
    shuffled, left = shuffled_sets(sets, "en", pool, seed=2)
    home = dict(zip(pool.words, pool.pool_strata, strict=True))
    assert [home[word] for word in shuffled.words("en")] == left.concept_strata.tolist()
    assert [home[word] for word in left.words] == left.pool_strata.tolist()
    # No stratum is favoured: drawn words come from the whole pool, not from its beginning.
    assert {home[word] for word in shuffled.words("en")} == set(pool.pool_strata.tolist())
    assert max(pool.words.index(word) for word in shuffled.words("en")) > 150


def test_shuffled_sets_follow_their_seed_and_leave_the_real_ones_alone():
    _, _, sets, pool = planted()
    before = sets.content_hash
    first, second, same = (shuffled_sets(sets, "en", pool, seed=seed)[0] for seed in (0, 1, 0))
    assert first.words("en") == same.words("en")
    assert first.words("en") != second.words("en")
    assert sets.content_hash == before


def test_shuffled_sets_overlap_as_the_real_ones_do():
    sets = concept_sets({"joy": ["a", "b", "c"], "awe": ["c", "d", "e"]})
    shuffled, _ = shuffled_sets(sets, "en", pool_of(sets.words("en"), 40), seed=0)
    joy, awe = (set(shuffled.words("en", name)) for name in ("joy", "awe"))
    assert (len(joy), len(awe), len(joy & awe)) == (3, 3, 1)


def test_the_selection_runs_on_shuffled_sets():
    codes, words, sets, pool = planted()
    shuffled, left = shuffled_sets(sets, "en", pool, seed=0)
    with pytest.raises(EmospaceError, match="no latent passes"):
        select((codes, words, shuffled, left))
    dictionary = select((codes, words, shuffled, left), q=1.0, max_features=6)
    assert 0 < len(dictionary.latents) <= 6


# --- dense directions -------------------------------------------------------------------------------------


def dense_states(rng, sets, pool, directions, scale):
    """Return states whose categories are moved along known directions, in noise of unequal width."""
    words = [*pool.words, *sets.words("en")]
    states = rng.normal(size=(len(words), directions.shape[1])) * scale + 5
    for number, name in enumerate(CATEGORIES):
        rows = [words.index(word) for word in sets.words("en", name)]
        states[rows] += 3 * directions[number]
    return states.astype(np.float32), words


@pytest.mark.parametrize("kind", ["mean_difference", "lda"])
def test_dense_directions_recover_what_was_planted(kind):
    rng = np.random.default_rng(0)
    _, _, sets, _ = planted(n_words=60)
    pool = pool_of(sets.words("en"), 400)
    truth = np.linalg.qr(rng.normal(size=(16, 3)))[0].T
    states, words = dense_states(rng, sets, pool, truth, scale=np.full(16, 0.5))
    directions = dense_directions(states, words, sets, "en", pool, kind)
    assert directions.shape == (3, 16)
    assert directions.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, rtol=1e-5)
    cosines = directions @ truth.T
    assert (np.diag(cosines) > 0.95).all()
    assert np.abs(cosines - np.diag(np.diag(cosines))).max() < 0.2


def test_lda_turns_away_from_noise_that_the_mean_difference_follows():
    """The planted shift is along e0 + e1, the noise wide along e1: whitening leaves e0."""
    rng = np.random.default_rng(0)
    _, _, sets, _ = planted(n_words=60)
    pool = pool_of(sets.words("en"), 400)
    shift = np.zeros((3, 8))
    shift[:, :2] = 1 / np.sqrt(2)
    states, words = dense_states(rng, sets, pool, shift, scale=np.array([1, 6, 1, 1, 1, 1, 1, 1.0]))
    plain = dense_directions(states, words, sets, "en", pool, "mean_difference")
    lda = dense_directions(states, words, sets, "en", pool)
    assert (lda[:, 0] > 0.9).all()
    assert (np.abs(lda[:, 1]) < 0.2).all()
    assert (plain[:, 0] < 0.9).all()


@pytest.mark.parametrize("factor", [1, 1e4])
def test_directions_do_not_follow_a_dimension_of_large_variance(factor):
    """One dimension holds all the variance, as massive activations do; projections tell the categories all the same."""
    rng = np.random.default_rng(3)
    _, _, sets, _ = planted(n_words=60)
    pool = pool_of(sets.words("en"), 400)
    shift = np.eye(3, 16, k=1)
    states, words = dense_states(rng, sets, pool, shift, scale=np.full(16, 0.5))
    rescaled = states * np.array([factor, *[1] * 15], dtype=np.float32)
    read = rescaled @ dense_directions(rescaled, words, sets, "en", pool).T
    same = states @ dense_directions(states, words, sets, "en", pool).T
    for column, reference in zip(read.T, same.T, strict=True):
        assert np.corrcoef(column, reference)[0, 1] > 0.999


def test_dense_directions_weigh_concepts():
    sets = concept_sets({"joy": {"glad": 1.0, "party": 0.25}})
    pool = pool_of(sets.words("en"), 2)
    states = np.array([[4, 0], [0, 4], [0, 0], [0, 0]], dtype=np.float32)
    directions = dense_directions(states, ["glad", "party", *pool.words], sets, "en", pool, "mean_difference")
    np.testing.assert_allclose(directions[0], np.array([4, 1]) / np.sqrt(17), rtol=1e-6)


# --- the transformer ----------------------------------------------------------------------------------------


def test_the_transformer_selects_as_the_function_does_and_returns_those_columns():
    from sklearn.base import clone
    from sklearn.pipeline import make_pipeline

    frozen = pytest.importorskip("sklearn.frozen", reason="scikit-learn 1.6")
    codes, words, sets, pool = planted()
    features = ConceptFeatures(sets, pool, q=0.001, n_permutations=99).fit(codes, words=words)
    expected = select((codes, words, sets, pool))
    pd.testing.assert_frame_equal(features.dictionary_.table, expected.table)
    assert features.latents_.tolist() == expected.latents.tolist()
    chosen = codes.toarray()[:, expected.latents].astype(float)
    np.testing.assert_allclose(features.transform(codes), np.log1p(chosen))
    np.testing.assert_array_equal(features.transform(codes.toarray()), features.transform(codes))
    raw = clone(features).set_params(log1p=False).fit(codes, words=words)
    np.testing.assert_array_equal(raw.transform(codes[:5]), chosen[:5])
    assert features.get_feature_names_out().tolist() == [f"latent{latent}" for latent in expected.latents]
    named = features.get_feature_names_out([f"l{latent}" for latent in range(N_LATENTS)])
    assert named[0] == f"l{expected.latents[0]}"
    y = np.random.default_rng(0).normal(size=codes.shape[0])
    rows = [0, 5, 9]
    pipe = make_pipeline(frozen.FrozenEstimator(features), RatingRegressor()).fit(codes, y)
    assert pipe.predict(codes[rows]).shape == (3,)
    assert (
        features.set_output(transform="pandas").transform(codes).columns[0] == f"latent{expected.latents[0]}"
    )


def test_the_transformer_names_what_it_lacks():
    codes, words, sets, pool = planted()
    features = ConceptFeatures(sets, pool, n_permutations=0)
    with pytest.raises(ValueError, match="words are named"):
        features.fit(codes, words=words[:-1])
    with pytest.raises(ValueError, match="they have no codes"):
        features.fit(codes[1:], words=words[1:])
    with pytest.raises(ValueError, match="codes of 39 latents"):
        features.fit(codes, words=words).transform(codes[:, 1:])


def test_the_former_name_of_a_categorys_latents_warns():
    dictionary = select(planted())
    with pytest.warns(DeprecationWarning, match="for_category"):
        assert list(dictionary.of("joy")) == list(dictionary.for_category("joy"))
