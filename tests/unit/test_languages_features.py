"""RDMs of one language, and the categories that shift between two, on sets small enough to compute by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from emospace.concepts import ConceptSets
from emospace.errors import EmospaceError
from emospace.languages import LanguageFeatures, category_shifts
from emospace.languages.shifts import places
from emospace.records import CategoryShiftRecord
from emospace.space import build_space, disjoint_rdm


def sets_of(language, members):
    rows = [
        (language, name, word, weight) for name, words in members.items() for word, weight in words.items()
    ]
    table = pd.DataFrame(rows, columns=["language", "category", "word", "weight"])
    labels = {language: {name: (name,) for name in members}}
    return ConceptSets(table, labels, {language: ("{word}",)}, "curated")


def planted(language, means, rng, n=12, noise=0.6):
    """A language whose sets scatter about the means; each set also holds a word of the next one."""
    members = {f"c{at:02d}": {f"{language}{at}-{word}": 1.0 for word in range(n)} for at in range(len(means))}
    words = tuple(word for part in members.values() for word in part)
    features = np.repeat(means, n, axis=0) + noise * rng.normal(size=(len(words), means.shape[1]))
    for at in range(len(means)):
        members[f"c{at:02d}"][f"{language}{(at + 1) % len(means)}-0"] = 0.5
    return LanguageFeatures(language, words, features, sets_of(language, members))


@pytest.fixture
def weighted():
    members = {
        "c0": {"a": 1.0, "b": 0.5, "x": 0.7, "unseen": 1.0},
        "c1": {"c": 0.4, "x": 1.0, "y": 0.2},
        "c2": {"d": 1.0, "y": 0.9, "e": 0.3},
        "c3": {"f": 0.6, "g": 1.0},
        "c4": {"h": 1.0, "a": 0.1},
    }
    words = (*"abcdefghxy", "neutral")
    features = np.random.default_rng(0).normal(size=(len(words), 7))
    sets = sets_of("xx", members)
    space = build_space(features, words, sets, "xx", kind="dense", scale="none")
    return LanguageFeatures("xx", words, features - space.matrix.mean(axis=0), sets)


def test_the_rdm_of_a_language_is_the_disjoint_one(weighted):
    rdm = weighted.rdm(weighted.categories)
    assert weighted.categories == ("c0", "c1", "c2", "c3", "c4")
    expected = disjoint_rdm(weighted.features, weighted.words, weighted.sets, "xx")
    assert np.allclose(rdm, expected)
    first = 0.4 * weighted.features[2] + weighted.features[8]
    other = weighted.features[3] + 0.3 * weighted.features[4]
    assert rdm[1, 2] == pytest.approx(1 - scipy.stats.pearsonr(first, other).statistic)


def test_fewer_categories_are_taken_less_their_own_mean(weighted):
    names = ("c3", "c0", "c2")
    rdm = weighted.rdm(names)
    means = np.stack(
        [
            np.average(weighted.features[[5, 6]], axis=0, weights=[0.6, 1.0]),
            np.average(weighted.features[[0, 1, 8]], axis=0, weights=[1.0, 0.5, 0.7]),
            np.average(weighted.features[[3, 9, 4]], axis=0, weights=[1.0, 0.9, 0.3]),
        ]
    )
    assert np.allclose(rdm, 1 - np.corrcoef(means - means.mean(axis=0)))


def test_words_counted_twice_are_words_listed_twice(weighted):
    counts = np.ones(len(weighted.words))
    counts[[0, 8]] = 2, 3
    rdm = weighted.weighted_rdms(weighted.categories, counts[None])[0]
    members = {}
    for name in weighted.categories:
        words, weights = weighted.sets.words("xx", name), weighted.sets.weights("xx", name)
        members[name] = {
            word: weight * counts[weighted.words.index(word)]
            for word, weight in zip(words, weights, strict=True)
            if word in weighted.words
        }
    again = LanguageFeatures("xx", weighted.words, weighted.features, sets_of("xx", members))
    assert np.allclose(rdm, again.rdm(weighted.categories))
    none = np.where(np.isin(np.arange(len(counts)), [5, 6]), 0.0, 1.0)
    gone = weighted.weighted_rdms(weighted.categories, none[None])[0]
    others = [0, 1, 2, 4]
    assert np.isnan(gone[3, others]).all()
    assert np.isfinite(gone[np.ix_(others, others)]).all()


def test_a_set_without_a_word_of_its_own_and_an_unknown_category_are_named():
    members = {"c0": {"a": 1.0, "b": 1.0}, "c1": {"a": 1.0}, "c2": {"c": 1.0}}
    features = LanguageFeatures(
        "xx", ("a", "b", "c"), np.random.default_rng(1).normal(size=(3, 5)), sets_of("xx", members)
    )
    missing = np.isnan(features.rdm(("c0", "c1", "c2")))
    assert missing[0, 1] and missing.sum() == 2
    with pytest.raises(EmospaceError, match="category 'c0' in xx: it has no word with features"):
        features.rdm(("c0", "c1"))
    silent = replace(features, silent=np.array([False, False, True]))
    with pytest.raises(EmospaceError, match="category 'c0' in xx"):
        silent.rdm(("c0", "c1", "c2"))
    with pytest.raises(EmospaceError, match="category of xx 'c9'"):
        features.rdm(("c0", "c9"))
    assert LanguageFeatures("xx", ("a", "b"), np.ones((2, 2)), sets_of("xx", members)).categories == (
        "c0",
        "c1",
    )


def test_places_are_ranks_whose_product_is_spearman():
    rng = np.random.default_rng(2)
    rdms = rng.random((2, 6, 6)).round(1)
    rdms = rdms + rdms.swapaxes(1, 2)
    ranks = places(rdms)
    others = [0, 1, 3, 4, 5]
    assert (ranks[0, 2] * ranks[1, 2]).sum() == pytest.approx(
        scipy.stats.spearmanr(rdms[0, 2, others], rdms[1, 2, others]).statistic
    )
    rdms[0, 3, 4] = np.nan
    gap = places(rdms)[0, 3]
    assert gap[3] == 0
    kept = scipy.stats.rankdata(rdms[0, 3, [0, 1, 2, 5]])
    assert np.allclose(gap[[0, 1, 2, 4]], (kept - 2.5) / np.linalg.norm(kept - 2.5))
    rdms[1, 3, :4] = np.nan
    assert np.isnan(places(rdms)[1, 3]).all()


def test_a_shift_is_one_less_spearman_of_the_rows_and_its_excess_the_rest_over_noise():
    rng = np.random.default_rng(3)
    means = rng.normal(size=(18, 3)) @ rng.normal(size=(3, 20))
    a, b = planted("aa", means, rng), planted("bb", means, rng)
    shifts = category_shifts(a, b, seed=0, n_bootstrap=60)
    assert len(shifts) == 18
    assert [row.excess for row in shifts] == sorted((row.excess for row in shifts), reverse=True)
    row = shifts[4]
    at = int(row.category[1:])
    others = np.arange(18) != at
    rows = [side.rdm(side.categories)[at, others] for side in (a, b)]
    assert row.value == pytest.approx(1 - scipy.stats.spearmanr(*rows).statistic)
    assert row.excess == pytest.approx(row.value - row.noise)
    assert row.ci_low < row.excess < row.ci_high
    assert (row.a, row.b, row.n, row.seed) == ("aa", "bb", 17, 0)
    for shift in shifts:
        CategoryShiftRecord.from_figure(shift, model="m", layer=3)
        assert 0 < shift.noise < 1
        assert shift.shifted == (shift.ci_low > 0)


def test_a_category_without_a_place_of_its_own_is_not_judged():
    rng = np.random.default_rng(8)
    means = rng.normal(size=(18, 3)) @ rng.normal(size=(3, 20))
    a, b = planted("aa", means, rng), planted("bb", means, rng)
    rows = [at for at, word in enumerate(b.words) if word.startswith("bb5-")]
    noise = b.features.copy()
    noise[rows] = 20 * rng.normal(size=(len(rows), 20))
    shifts = category_shifts(a, LanguageFeatures("bb", b.words, noise, b.sets), seed=0, n_bootstrap=20)
    lost = next(row for row in shifts if row.category == "c05")
    assert lost.shifted is None
    assert lost.value is not None
    assert lost.reason == "halves of its words do not agree on its place in bb"
    CategoryShiftRecord.from_figure(lost, model="m", layer=3)
    assert sum(row.shifted is None for row in shifts) < 4


def test_draws_are_made_once_a_language_and_seeded():
    rng = np.random.default_rng(4)
    means = rng.normal(size=(15, 8))
    a, b, c = (planted(name, means, rng, n=6) for name in ("aa", "bb", "cc"))
    first = category_shifts(a, b, seed=1, n_bootstrap=20)
    kept = set(a.kept)
    assert category_shifts(a, c, seed=1, n_bootstrap=20) != first
    assert set(a.kept) == kept
    assert category_shifts(a, b, seed=1, n_bootstrap=20) == first
    fresh = LanguageFeatures("aa", a.words, a.features, a.sets)
    assert category_shifts(fresh, b, seed=1, n_bootstrap=20) == first
    assert category_shifts(a, b, seed=2, n_bootstrap=20) != first


def test_the_same_words_in_both_languages_do_not_shift():
    rng = np.random.default_rng(5)
    a = planted("aa", rng.normal(size=(15, 8)), rng, n=6)
    shifts = category_shifts(a, a, seed=0, n_bootstrap=20)
    assert all(
        row.value == pytest.approx(0, abs=1e-12) and row.excess <= 0 and not row.shifted for row in shifts
    )


def test_few_shared_categories_give_a_reason():
    rng = np.random.default_rng(6)
    a, b = planted("aa", rng.normal(size=(15, 8)), rng, n=4), planted("bb", rng.normal(size=(9, 8)), rng, n=4)
    shifts = category_shifts(a, b, seed=0)
    assert [row.category for row in shifts] == [f"c{at:02d}" for at in range(9)]
    assert all(row.value is None and "share 9 categories" in row.reason for row in shifts)
    CategoryShiftRecord.from_figure(shifts[0], model="m", layer=3)


def test_a_category_of_one_word_has_no_halves_and_says_so():
    rng = np.random.default_rng(7)
    sides = []
    for name in ("aa", "bb"):
        side = planted(name, rng.normal(size=(16, 8)), rng, n=6)
        table = side.sets.table
        single = (table["category"] == "c03") & (table["word"] != f"{name}3-1")
        sides.append(
            LanguageFeatures(
                name,
                side.words,
                side.features,
                ConceptSets(
                    table[~single].reset_index(drop=True), side.sets.labels, side.sets.carriers, "curated"
                ),
            )
        )
    shifts = category_shifts(*sides, seed=0, n_bootstrap=20)
    assert shifts[-1].category == "c03"
    assert shifts[-1].value is None
    assert "too few" in shifts[-1].reason
    assert [row.value is None for row in shifts] == [False] * 15 + [True]
