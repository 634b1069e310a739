"""Many languages: universal features, weights of valence and arousal, the tree, families."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata, spearmanr

from emospace import stats
from emospace.errors import EmospaceError
from emospace.features import FeatureDictionary
from emospace.languages import (
    affect_weights,
    family_contrast,
    language_tree,
    universal_counts,
)
from emospace.languages.tree import clades
from emospace.languages.weights import standardised
from emospace.records import AlignmentRecord, UniversalRecord


def dictionary(language, latents):
    return FeatureDictionary(language, pd.DataFrame({"category": "joy", "latent": latents, "effect": 1.0}))


def test_latents_are_counted_by_the_languages_they_are_features_in():
    dictionaries = {
        "aa": dictionary("aa", [3, 5, 5, 9]),
        "bb": dictionary("bb", [5, 9, 1]),
        "cc": dictionary("cc", [9, 7]),
    }
    rates = dict.fromkeys(dictionaries, np.full(12, 0.1))
    counts = universal_counts(dictionaries, rates, seed=0, n_draws=200)
    assert [(row.k, row.n_latents) for row in counts] == [(1, 5), (2, 2), (3, 1)]
    for row in counts:
        UniversalRecord.from_figure(row, model="m", layer=3)
        assert row.expected_low <= row.expected <= row.expected_high
    # Three, three and two of twelve: all languages hold a latent with chance 1/4 * 1/4 * 1/6.
    assert counts[2].expected == pytest.approx(12 / 96, abs=0.08)
    assert sum(row.expected for row in counts) == pytest.approx(8)


def test_exchanged_latents_keep_their_decile_and_fire():
    rates = np.zeros(200)
    rates[100:] = np.repeat(np.arange(1, 11), 10) / 10
    # Latents 190..199 are the decile that fires most; both languages take all of it.
    dictionaries = {name: dictionary(name, list(range(190, 200))) for name in ("aa", "bb")}
    counts = universal_counts(dictionaries, dict.fromkeys(dictionaries, rates), seed=0, n_draws=50)
    assert [(row.n_latents, row.expected, row.p) for row in counts] == [(10, 10.0, 1.0), (10, 10.0, 1.0)]
    alone = universal_counts({"aa": dictionary("aa", [100, 150])}, {"aa": rates}, seed=0, n_draws=50)
    assert (alone[0].n_latents, alone[0].expected) == (2, 2.0)


def test_features_without_rates_are_named():
    with pytest.raises(EmospaceError, match="there is no language"):
        universal_counts({}, {}, seed=0)
    dictionaries = {"aa": dictionary("aa", [1, 2])}
    with pytest.raises(EmospaceError, match="features of 'aa': there are no firing rates"):
        universal_counts(dictionaries, {}, seed=0)
    with pytest.raises(EmospaceError, match=r"1 features of 'aa', such as \[2\]"):
        universal_counts(dictionaries, {"aa": np.array([0.1, 0.1, 0.0])}, seed=0)
    with pytest.raises(ValueError, match="different sizes"):
        universal_counts(
            dictionaries | {"bb": dictionary("bb", [1])},
            {"aa": np.full(5, 0.1), "bb": np.full(6, 0.1)},
            seed=0,
        )


def gaps(points):
    return [np.abs(column[:, None] - column[None]) for column in points.T]


def test_weights_are_those_of_least_squares_on_standardised_ranks():
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (18, 2))
    valence, arousal = gaps(points)
    rdm = valence + 0.4 * arousal + 0.3 * squareform(rng.random(153))
    weights = affect_weights(rdm, points, seed=0, n_permutations=199, n_bootstrap=200)
    upper = np.triu_indices(18, 1)
    columns = [rankdata(square[upper]) for square in (rdm, valence, arousal)]
    y, *design = ((column - column.mean()) / column.std() for column in columns)
    expected = np.linalg.lstsq(np.column_stack(design), y, rcond=None)[0]
    assert [row.value for row in weights] == pytest.approx(expected.tolist())
    assert [row.target for row in weights] == ["valence", "arousal"]
    assert [row.p for row in weights] == [1 / 200, 1 / 200]
    partial = stats.mantel(arousal, rdm, seed=0, n_permutations=199, partial=[valence])
    assert weights[1].p == partial.p
    for row in weights:
        assert row.ci_low < row.value < row.ci_high
        assert row.n == 18
        AlignmentRecord(
            model="m",
            layer=3,
            language="aa",
            against="valence_arousal",
            statistic="rdm_weight",
            **asdict(row),
        )


def test_weights_of_correlations_by_hand():
    r = np.array([[[1, 0.5, 0.4], [0.5, 1, 0.2], [0.4, 0.2, 1]], [[1, 0.5, 0.5], [0.5, 1, 1], [0.5, 1, 1]]])
    weights = standardised(r)
    assert weights[0] == pytest.approx([(0.5 - 0.08) / 0.96, (0.4 - 0.1) / 0.96])
    assert np.isnan(weights[1]).all()


def test_unrated_categories_leave_the_weights_and_too_few_say_so():
    rng = np.random.default_rng(1)
    points = rng.uniform(-1, 1, (20, 2))
    rdm = sum(gaps(points))
    holes = points.copy()
    holes[3, 1] = holes[7] = np.nan
    kept = np.setdiff1d(np.arange(20), [3, 7])
    options = {"seed": 0, "n_permutations": 99, "n_bootstrap": 50}
    assert affect_weights(rdm, holes, **options) == affect_weights(
        rdm[np.ix_(kept, kept)], points[kept], **options
    )
    few = affect_weights(rdm[:14, :14], points[:14], **options)
    assert few[0].value is None
    assert few[1].reason == "14 of 14 categories are rated; at least 15 are needed"
    twice = affect_weights(rdm, points[:, [0, 0]], **options)
    assert "both distances are one" in twice[0].reason
    rdm[2] = rdm[:, 2] = np.nan
    assert affect_weights(rdm, points, **options)[0].reason.startswith(
        "1 of 20 categories have no dissimilarity"
    )


def test_weights_leave_out_the_pairs_an_rdm_lacks():
    rng = np.random.default_rng(3)
    points = rng.uniform(-1, 1, (18, 2))
    rdm = sum(gaps(points)) + rng.random((18, 18))
    rdm = rdm + rdm.T
    rdm[2, 5] = rdm[5, 2] = np.nan
    weights = affect_weights(rdm, points, seed=0, n_permutations=99, n_bootstrap=50)
    known = np.isfinite(rdm[np.triu_indices(18, 1)])
    ranks = [scipy.stats.rankdata(part[np.triu_indices(18, 1)][known]) for part in (rdm, *gaps(points))]
    y, *x = [(rank - rank.mean()) / rank.std() for rank in ranks]
    expected = np.linalg.lstsq(np.column_stack(x), y, rcond=None)[0]
    assert [weight.value for weight in weights] == pytest.approx(expected)
    assert weights[0].reason.startswith("1 of 153 pairs are left out")


@pytest.fixture
def rdms():
    """Two clear pairs, and one language apart: aa with bb, cc with dd."""
    rng = np.random.default_rng(2)
    first, second, third = rng.random((3, 190))
    return {
        "aa": first,
        "cc": second + 0.3 * first,
        "bb": first + 0.2 * rng.random(190),
        "dd": second + 0.3 * first + 0.2 * rng.random(190),
        "ee": squareform(third),
    }


def test_the_tree_is_average_linkage_of_one_less_rsa(rdms):
    tree = language_tree(rdms, seed=0, n_bootstrap=100)
    rows = [rdms[name] if rdms[name].ndim == 1 else squareform(rdms[name]) for name in rdms]
    r = spearmanr(rows, axis=1).statistic
    distance = squareform(1 - r, checks=False)
    assert np.allclose(tree.similarity, r)
    assert np.allclose(tree.linkage, linkage(distance, method="average"))
    assert tree.cophenetic == pytest.approx(cophenet(tree.linkage, distance)[0])
    assert (tree.languages, tree.n, tree.n_bootstrap) == (("aa", "cc", "bb", "dd", "ee"), 20, 100)
    merges = {frozenset(merge.members): merge for merge in tree.merges()}
    assert merges[frozenset({"aa", "bb"})].support == 1
    assert merges[frozenset({"aa", "bb"})].height == pytest.approx(1 - r[0, 2])
    assert merges[frozenset({"cc", "dd"})].support == 1
    assert merges[frozenset(rdms)].support == 1
    assert tree.merges()[-1].members == tree.languages
    assert [merge.height for merge in tree.merges()] == sorted(merge.height for merge in tree.merges())
    again = language_tree(rdms, seed=0, n_bootstrap=100)
    assert np.array_equal(again.support, tree.support)


def test_the_clades_of_a_linkage():
    groups = clades(np.array([[0, 2, 0.1, 2], [1, 4, 0.3, 3], [3, 5, 0.9, 4]]))
    assert groups == [frozenset({0, 2}), frozenset({0, 1, 2}), frozenset({0, 1, 2, 3})]


def test_languages_that_cannot_be_clustered_are_named(rdms):
    with pytest.raises(EmospaceError, match="a tree of 2 languages"):
        language_tree({name: rdms[name] for name in ("aa", "bb")}, seed=0)
    with pytest.raises(EmospaceError, match="dissimilarities of cc: they do not vary"):
        language_tree(rdms | {"cc": np.ones(190)}, seed=0, n_bootstrap=5)
    with pytest.raises(EmospaceError, match="dissimilarities of ee"):
        language_tree(rdms | {"ee": np.full(190, np.nan)}, seed=0, n_bootstrap=5)


def test_family_contrast_counts_pairs_within_and_between():
    families = ["x", "x", "y", "y", "z"]
    r = np.full((5, 5), 0.2)
    r[0, 1] = r[1, 0] = 0.9
    r[2, 3] = r[3, 2] = 0.7
    r[2, 4] = r[4, 2] = 0.4
    contrast = family_contrast(r, families, seed=0, n_permutations=4999)
    assert contrast.within == pytest.approx(0.8)
    assert contrast.between == pytest.approx((7 * 0.2 + 0.4) / 8)
    assert contrast.value == pytest.approx(0.8 - 0.225)
    assert (contrast.n, contrast.n_within, contrast.n_families) == (5, 2, 3)
    # Of the 15 ways to choose two disjoint pairs of five, one is the best.
    assert contrast.p == pytest.approx(1 / 15, abs=0.02)
    r[0, 1] = r[1, 0] = np.nan
    assert family_contrast(r, families, seed=0, n_permutations=99).within == pytest.approx(0.7)


def test_families_without_a_contrast_say_why():
    r = np.full((3, 3), 0.5)
    assert family_contrast(r, ["x", "y", "z"], seed=0).reason == "no family has two languages"
    assert family_contrast(r, ["x", "x", "x"], seed=0).reason == "all languages are of one family"
    assert family_contrast(r, ["x", "x", "x"], seed=0).value is None
    with pytest.raises(ValueError, match="2 families"):
        family_contrast(r, ["x", "y"], seed=0)
