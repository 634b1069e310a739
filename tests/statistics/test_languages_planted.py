"""Comparisons of languages: nulls keep their level, planted differences and likenesses are found."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from emospace import stats
from emospace.concepts import ConceptSets
from emospace.features import FeatureDictionary
from emospace.languages import (
    LanguageFeatures,
    affect_weights,
    category_shifts,
    circumplex_fit,
    family_contrast,
    language_tree,
    universal_counts,
)
from emospace.space import EmotionSpace

N_CATEGORIES = 20


def nominal(p, alpha=0.05):
    """Whether no more p <= alpha than the level makes likely, and not so few that the test is asleep."""
    count = (np.asarray(p) <= alpha).sum()
    return binom.ppf(0.0005, len(p), alpha) <= count <= binom.ppf(0.9995, len(p), alpha)


def points_rdm(points):
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def language(name, means, rng, n, noise):
    """Words scatter about the means, some more than others; one in ten stands in a second set too."""
    members = {f"c{at:02d}": [f"{name}{at}-{word}" for word in range(n)] for at in range(len(means))}
    words = tuple(word for part in members.values() for word in part)
    spread = noise * np.exp(0.5 * rng.normal(size=(len(words), 1)))
    features = np.repeat(means, n, axis=0) + spread * rng.normal(size=(len(words), means.shape[1]))
    for word in rng.choice(words, len(words) // 10, replace=False):
        part = members[f"c{rng.integers(len(means)):02d}"]
        part += [] if word in part else [str(word)]
    rows = [(name, category, word, 1.0) for category, part in members.items() for word in part]
    table = pd.DataFrame(rows, columns=["language", "category", "word", "weight"])
    labels = {name: {category: (category,) for category in members}}
    return LanguageFeatures(name, words, features, ConceptSets(table, labels, {name: ("{word}",)}, "curated"))


def means_of(rng):
    return rng.normal(size=(N_CATEGORIES, 4)) @ rng.normal(size=(4, 30)) + 0.5 * rng.normal(
        size=(N_CATEGORIES, 30)
    )


@pytest.mark.parametrize(("noise_a", "noise_b"), [(2, 2), (2, 6), (30, 30)])
def test_categories_of_the_same_means_are_seldom_called_shifted(noise_a, noise_b):
    rng = np.random.default_rng(0)
    called, excess = [], []
    for seed in range(6):
        means = means_of(rng)
        a, b = language("aa", means, rng, 20, noise_a), language("bb", means, rng, 25, noise_b)
        shifts = category_shifts(a, b, seed=seed, n_bootstrap=100)
        called += [row.shifted for row in shifts]
        excess += [row.excess for row in shifts]
    assert len(called) == 120
    assert np.mean([bool(shifted) for shifted in called]) <= 0.05
    unjudged = np.mean([shifted is None for shifted in called])
    if noise_a == 30:
        assert unjudged > 0.9
    else:
        assert unjudged < 0.5
        assert abs(np.mean(excess)) < 0.1


def test_a_moved_category_is_first_and_called():
    rng = np.random.default_rng(1)
    first, called, others = [], [], []
    for seed in range(6):
        means = means_of(rng)
        moved = means.copy()
        moved[7] = means[points_rdm(means)[7].argmax()] + 0.5 * rng.normal(size=30)
        a, b = language("aa", means, rng, 25, 3), language("bb", moved, rng, 25, 3)
        shifts = category_shifts(a, b, seed=seed, n_bootstrap=100)
        first.append(shifts[0].category == "c07")
        called.append(bool(shifts[0].shifted))
        others += [row.excess for row in shifts[1:]]
    assert np.mean(first) > 0.8
    assert np.mean(called) > 0.8
    assert np.mean(others) < 0.2


def test_exchanged_features_agree_as_often_as_unrelated_ones():
    rng = np.random.default_rng(2)
    p = []
    for seed in range(80):
        # What fires in one language fires in the others too, which is no agreement about emotion.
        common = rng.lognormal(-4, 1.5, 600).clip(0, 1)
        rates = {name: (common * rng.lognormal(0, 0.2, 600)).round(2).clip(0, 1) for name in "abc"}
        dictionaries = {}
        for name, rate in rates.items():
            decile = np.digitize(rate, np.quantile(rate[rate > 0], np.arange(0.1, 1, 0.1)))
            chosen = rng.choice(
                600, 80, replace=False, p=(rate > 0) * 2.0**decile / ((rate > 0) * 2.0**decile).sum()
            )
            table = pd.DataFrame({"category": "joy", "latent": chosen, "effect": 1.0})
            dictionaries[name] = FeatureDictionary(name, table)
        p.append([row.p for row in universal_counts(dictionaries, rates, seed=seed, n_draws=99)])
    for column in np.array(p).T[1:]:
        assert (column <= 0.05).sum() <= binom.ppf(0.9995, 80, 0.05)
    assert np.mean(np.array(p)[:, 1] <= 0.5) > 0.3


def test_planted_universal_features_stand_out():
    rng = np.random.default_rng(3)
    rates = {name: rng.uniform(0.01, 0.5, 500) for name in "abcde"}
    planted = rng.choice(500, 20, replace=False)
    dictionaries = {}
    for name in rates:
        extra = rng.choice(np.setdiff1d(np.arange(500), planted), 40, replace=False)
        table = pd.DataFrame({"category": "joy", "latent": [*planted, *extra], "effect": 1.0})
        dictionaries[name] = FeatureDictionary(name, table)
    counts = universal_counts(dictionaries, rates, seed=0, n_draws=300)
    assert counts[4].n_latents >= 20
    assert [row.p for row in counts[2:]] == [1 / 301] * 3
    assert counts[4].expected_high < 3
    assert counts[0].n_latents < counts[0].expected_low


def test_a_weight_holds_its_level_beside_a_strong_and_related_one_and_is_found_where_planted():
    rng = np.random.default_rng(4)
    null, planted, covered = [], [], []
    for seed in range(150):
        valence = rng.uniform(-1, 1, 25)
        # Arousal follows |valence|, so the two distances are related.
        points = np.column_stack([valence, np.abs(valence) + 0.3 * rng.normal(size=25)])
        gap = [np.abs(column[:, None] - column[None]) for column in points.T]
        noise = points_rdm(rng.normal(size=(25, 3)))
        options = {"seed": seed, "n_permutations": 99, "n_bootstrap": 60}
        null.append(affect_weights(2 * gap[0] + 0.3 * noise, points, **options)[1].p)
        weight = affect_weights(gap[0] + 1.5 * gap[1] + 0.3 * noise, points, **options)[1]
        planted.append(weight.p)
        covered.append(weight.ci_low > 0)
    assert nominal(null)
    assert np.mean(np.array(planted) <= 0.05) > 0.9
    assert np.mean(covered) > 0.9


def test_planes_of_unrelated_languages_are_seldom_alike_and_turned_ones_are():
    rng = np.random.default_rng(5)
    names = tuple(f"c{at:02d}" for at in range(18))
    null, planted = [], []
    for seed in range(150):
        a, b = (EmotionSpace(name, names, np.arange(9), rng.normal(size=(18, 9))) for name in ("aa", "bb"))
        options = {"seed": seed, "n_permutations": 99, "n_bootstrap": 2}
        null.append(circumplex_fit(a, b, **options).p)
        plane = rng.normal(size=(18, 2)) * [4, 3]
        sides = (
            EmotionSpace(
                name, names, np.arange(9), plane @ rng.normal(size=(2, 9)) + rng.normal(size=(18, 9))
            )
            for name in ("aa", "bb")
        )
        planted.append(circumplex_fit(*sides, **options).p)
    assert nominal(null)
    assert np.mean(np.array(planted) <= 0.05) > 0.95


def test_clades_are_supported_where_planted_and_families_told_apart():
    rng = np.random.default_rng(6)
    families = ["x", "x", "x", "y", "y", "z"]
    support, unrelated, planted, null = [], [], [], []
    for seed in range(12):
        stem = rng.normal(size=(N_CATEGORIES, 5))
        branch = {family: rng.normal(size=(N_CATEGORIES, 5)) for family in "xyz"}
        rdms = {
            f"{family}{at}": points_rdm(stem + 2 * branch[family] + 0.5 * rng.normal(size=stem.shape))
            for at, family in enumerate(families)
        }
        tree = language_tree(rdms, seed=seed, n_bootstrap=100)
        by_members = {merge.members: merge.support for merge in tree.merges()}
        support += [by_members.get(("x0", "x1", "x2"), 0), by_members.get(("y3", "y4"), 0)]
        planted.append(family_contrast(tree.similarity, families, seed=seed, n_permutations=499))
        star = {name: points_rdm(stem + 0.5 * rng.normal(size=stem.shape)) for name in rdms}
        tree = language_tree(star, seed=seed, n_bootstrap=100)
        unrelated += [merge.support for merge in tree.merges()[1:-1]]
        null.append(family_contrast(tree.similarity, families, seed=seed, n_permutations=99).p)
    assert np.mean(support) > 0.9
    assert np.mean(unrelated) < 0.6
    # Sixty ways to make families of three, two and one of six.
    assert np.mean([row.p for row in planted]) < 0.03
    assert np.mean([row.value for row in planted]) > 0.3
    assert 0.2 < np.mean(null) < 0.8


def test_rsa_with_unknown_pairs_holds_its_level_with_and_without_controls():
    rng = np.random.default_rng(7)
    plain, partial, planted = [], [], []
    for seed in range(200):
        cause, a, b = (points_rdm(points) for points in rng.normal(size=(3, 10, 3)))
        mask = rng.random((10, 10)) > 0.3
        mask = mask & mask.T
        options = {"seed": seed, "n_permutations": 99, "mask": mask}
        plain.append(stats.mantel(a, b, **options).p)
        planted.append(stats.mantel(a, b + a, **options).p)
        partial.append(stats.mantel(a + cause, b + cause, partial=[cause], **options).p)
    assert nominal(plain)
    assert (np.array(partial) <= 0.05).sum() <= binom.ppf(0.9995, 200, 0.065)
    assert np.mean(np.array(planted) <= 0.05) > 0.8
