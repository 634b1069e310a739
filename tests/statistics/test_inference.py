"""Nulls are rejected at the nominal rate and planted effects are found."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import binom

from emospace import stats

N = 200


def nominal(p, alpha=0.05, slack=0.0):
    """Whether the count of p <= alpha is one that the nominal rate (times 1 + slack) makes likely."""
    p = np.asarray(p)
    count = (p <= alpha).sum()
    return binom.ppf(0.0005, len(p), alpha) <= count <= binom.ppf(0.9995, len(p), alpha * (1 + slack))


def points_rdm(points):
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def test_mantel_holds_its_level_and_finds_a_planted_likeness():
    rng = np.random.default_rng(0)
    null, planted = [], []
    for seed in range(N):
        a, b = rng.normal(size=(2, 20, 3))
        null.append(stats.mantel(points_rdm(a), points_rdm(b), seed=seed, n_permutations=199).p)
        planted.append(stats.mantel(points_rdm(a), points_rdm(a + b), seed=seed, n_permutations=199).p)
    assert nominal(null)
    assert np.mean(np.array(planted) <= 0.05) > 0.95


def test_partial_mantel_is_not_fooled_by_a_common_cause_and_finds_what_goes_beyond_it():
    rng = np.random.default_rng(1)
    plain, partial, beyond = [], [], []
    upper = np.triu_indices(20, 1)
    for seed in range(N):
        cause, extra = (
            points_rdm(rng.normal(size=(20, 3)))[upper],
            points_rdm(rng.normal(size=(20, 3)))[upper],
        )
        a, b = (cause + points_rdm(rng.normal(size=(20, 3)))[upper] for _ in range(2))
        plain.append(stats.mantel(a, b, seed=seed, n_permutations=199).p)
        partial.append(stats.mantel(a, b, seed=seed, n_permutations=199, partial=[cause]).p)
        beyond.append(stats.mantel(a + extra, b + extra, seed=seed, n_permutations=199, partial=[cause]).p)
    assert np.mean(np.array(plain) <= 0.05) > 0.9
    assert nominal(partial, slack=0.3)
    assert np.mean(np.array(beyond) <= 0.05) > 0.8


def test_bootstrap_interval_of_an_rdm_correlation_covers_the_population():
    rng = np.random.default_rng(2)

    def draw(n):
        a = rng.normal(size=(n, 3))
        return points_rdm(a), points_rdm(a + rng.normal(size=(n, 3)))

    truth = stats.rdm_correlation(*draw(600))
    covered = []
    for seed in range(150):
        interval = stats.bootstrap_rdm(*draw(30), seed=seed, n=200)
        covered.append(interval.low <= truth <= interval.high)
    assert 0.88 <= np.mean(covered) <= 0.995


def test_a_difference_of_two_rdm_correlations_is_rarely_found_where_there_is_none():
    """Two RDMs as like the third as each other, with noise of their own and noise they share; and one that is liker."""
    rng = np.random.default_rng(4)
    null, planted = [], []
    for seed in range(N):
        people, shared = rng.normal(size=(24, 2)), 0.5 * rng.normal(size=(24, 5))

        def like(noise, people=people, shared=shared):
            return points_rdm(np.hstack([people, shared, noise * rng.normal(size=(24, 5))]))

        third = points_rdm(people)
        null.append(stats.rdm_difference(like(0.5), like(0.5), third, seed=seed, n=200).p)
        planted.append(stats.rdm_difference(like(0.2), like(1.2), third, seed=seed, n=200))
    assert np.mean(np.array(null) <= 0.05) < 0.08
    assert np.mean([difference.p <= 0.05 and difference.low > 0 for difference in planted]) > 0.9


def test_the_best_component_is_tested_as_a_maximum():
    rng = np.random.default_rng(3)
    best, naive, planted = [], [], []
    for seed in range(N):
        scores, y = rng.normal(size=(41, 5)), rng.normal(size=41)
        result = stats.best_of_components(scores, y, seed=seed, n_permutations=199, n_bootstrap=10)
        best.append(result.p)
        chosen = scores[:, [result.component]]
        naive.append(stats.best_of_components(chosen, y, seed=seed, n_permutations=199, n_bootstrap=10).p)
        y = scores[:, 2] + y
        planted.append(stats.best_of_components(scores, y, seed=seed, n_permutations=199, n_bootstrap=10))
    assert nominal(best)
    assert not nominal(naive)
    assert np.mean([result.p <= 0.05 and result.component == 2 for result in planted]) > 0.95


def test_paired_bootstrap_holds_its_level_when_words_come_in_groups():
    rng = np.random.default_rng(4)
    grouped, ignored, covered = [], [], []
    groups = np.repeat(np.arange(100), 4)
    for seed in range(N):
        y, a, b = rng.normal(size=(3, 100))[:, groups] + 0.3 * rng.normal(size=(3, 400))
        difference = stats.paired_bootstrap(y + a, y + b, y, groups, seed=seed, n=299)
        grouped.append(difference.p)
        ignored.append(stats.paired_bootstrap(y + a, y + b, y, seed=seed, n=299).p)
        covered.append(difference.low90 <= 0 <= difference.high90)
    assert nominal(grouped, slack=0.5)
    assert not nominal(ignored, slack=0.5)
    assert 0.85 <= np.mean(covered) <= 0.95


def test_equivalence_is_seldom_declared_at_the_margin_and_mostly_at_zero():
    rng = np.random.default_rng(5)
    same, apart = [], []
    for seed in range(60):
        y, noise = rng.normal(size=(2, 3000))
        good = y + noise
        same.append(
            stats.equivalent(
                stats.paired_bootstrap(good, good + 0.2 * rng.normal(size=3000), y, seed=seed, n=199)
            )
        )
        worse = y + np.sqrt(1 / (np.sqrt(0.5) - 0.03) ** 2 - 1) * rng.normal(size=3000)
        apart.append(stats.equivalent(stats.paired_bootstrap(good, worse, y, seed=seed, n=199)))
    assert np.mean(same) > 0.95
    assert np.mean(apart) <= 0.12


def test_simulated_ceilings_are_what_a_perfect_model_reaches():
    rng = np.random.default_rng(6)
    ceilings, reached = [], []
    for seed in range(100):
        true = rng.normal(size=41) * 0.5
        sd, n = rng.uniform(0.5, 1.0, 41), rng.integers(10, 30, 41)
        observed = true + sd / np.sqrt(n) * rng.normal(size=41)
        ceilings.append(stats.rating_ceiling(observed, sd, n, seed=seed, n_simulations=50))
        reached.append(np.corrcoef(true, observed)[0, 1])
    assert np.mean(ceilings) == pytest.approx(np.mean(reached), abs=0.01)


def sparse_words(rng, n_words=1200, n_latents=600):
    """Mostly silent latents whose firing rises with the stratum, as frequency does with words."""
    strata = rng.integers(0, 12, n_words)
    rates = np.exp(rng.uniform(np.log(0.001), np.log(0.5), n_latents))
    chance = rates * (0.3 + 1.4 * strata[:, None] / 12)
    return (rng.random((n_words, n_latents)) < chance) * rng.gamma(2, 1, (n_words, n_latents)), strata, rates


def sets_by_frequency(rng, strata, n_sets=20, size=40):
    """Sets that prefer high strata: a test that ignores strata must fail on them."""
    labels = np.zeros((n_sets, len(strata)), dtype=bool)
    for row in labels:
        row[rng.choice(len(strata), size, replace=False, p=(1 + strata) / (1 + strata).sum())] = True
    return labels


@pytest.mark.parametrize("test", [stats.stratified_rank_sum, stats.stratified_rate_test])
def test_word_set_tests_hold_their_level_at_every_firing_rate(test):
    rng = np.random.default_rng(7)
    values, strata, rates = sparse_words(rng)
    labels = sets_by_frequency(rng, strata)
    p = test(sp.csr_array(values), labels, strata).p
    # Latents that fire on one to ten words have few possible outcomes, so a smooth tail errs a little there.
    for low, high, most in ((0.0, 0.01, 0.075), (0.01, 0.1, 0.06), (0.1, 1.0, 0.06)):
        part = p[:, (rates >= low) & (rates < high)]
        assert (part <= 0.05).mean() < most
        assert (part <= 0.001).mean() < 0.0025
    busy = p[:, rates > 0.1]
    assert (busy <= 0.05).mean() > 0.035
    blind = test(sp.csr_array(values), labels, np.zeros_like(strata)).p[:, rates > 0.1]
    assert (blind <= 0.05).mean() > 0.1


def test_word_set_tests_find_planted_latents_and_fdr_holds():
    rng = np.random.default_rng(8)
    values, strata, _ = sparse_words(rng)
    labels = sets_by_frequency(rng, strata)
    planted = np.zeros((20, 600), dtype=bool)
    for row, label in enumerate(labels):
        for latent in rng.choice(600, 10, replace=False):
            planted[row, latent] = True
            values[label, latent] = np.maximum(
                values[label, latent], rng.gamma(4, 1, label.sum()) * (rng.random(label.sum()) < 0.5)
            )
    for test in (stats.stratified_rank_sum, stats.stratified_rate_test):
        selection = stats.fdr_bh(test(sp.csr_array(values), labels, strata).p) <= 0.05
        assert selection[planted].mean() > 0.85
        # Planting in one set also lifts the words it shares with others, hence a little above 5%.
        assert (selection & ~planted).sum() / selection.sum() < 0.15


@pytest.mark.parametrize("n_latents", [3, 400])
def test_max_t_passes_over_small_values_only(n_latents, monkeypatch):
    rng = np.random.default_rng(5)
    rates = rng.choice([0.02, 0.1, 0.5, 0.9], n_latents)
    values = sp.csr_array((rng.random((120, n_latents)) < rates) * rng.gamma(1.0, size=(120, n_latents)))
    labels, cells = rng.random((2, 120)) < 0.2, rng.integers(0, 4, 120)
    quick = stats.max_t_strata(values, labels, cells, seed=1, n_permutations=300)
    monkeypatch.setattr("emospace.stats.strata._LARGE", 1e-6)
    np.testing.assert_array_equal(
        quick, stats.max_t_strata(values, labels, cells, seed=1, n_permutations=300)
    )


def test_max_t_holds_the_family_wise_level():
    rng = np.random.default_rng(9)
    rejected = []
    for seed in range(120):
        values, strata, _ = sparse_words(rng, n_words=300, n_latents=60)
        label = sets_by_frequency(rng, strata, n_sets=1, size=25)[0]
        p = stats.max_t_strata(sp.csr_array(values), label, strata, seed=seed, n_permutations=99)
        rejected.append(p.min())
    assert nominal(rejected)
    values[label, 5] += 2 * rng.random(label.sum())
    assert stats.max_t_strata(values, label, strata, seed=0, n_permutations=199)[5] == 1 / 200


@pytest.mark.parametrize("n", [15, 24])
def test_intervals_over_few_categories_cover_the_correlation(n):
    """Plain percentiles cover 91% of 15: they lack the factor of Student's t, and that of n over n - 1."""
    rng = np.random.default_rng(10)
    component, plane = [], []
    for seed in range(2000):
        x = rng.normal(size=(n, 2))
        y = 0.7 * x + np.sqrt(1 - 0.7**2) * rng.normal(size=(n, 2))
        best = stats.best_of_components(x[:, :1], y[:, 0], seed=seed, n_permutations=1, n_bootstrap=1000)
        component.append(best.low <= 0.7 <= best.high)
        if seed >= 600:
            continue
        fit = stats.procrustes_fit(x, y, seed=seed, n_permutations=1, n_bootstrap=500)
        plane.append(fit.low <= 0.7 <= fit.high)
    for covered in (component, plane):
        # Two standard errors of the simulation, as docs/reliability.md allows.
        error = 2 * np.sqrt(0.93 * 0.07 / len(covered))
        assert 0.93 - error <= np.mean(covered) <= 0.97 + error


def test_a_percentile_interval_of_many_is_the_plain_one():
    draws = np.random.default_rng(11).normal(size=5000)
    assert stats.percentile_interval(draws, 10**7) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))
    assert all(np.isnan(stats.percentile_interval(np.full(3, np.nan), 9)))
