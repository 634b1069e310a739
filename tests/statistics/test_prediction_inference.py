"""Prediction: nulls stay null at the nominal rate, nothing leaks, planted signal is found, draws are matched."""

from __future__ import annotations

import numpy as np

from emospace.prediction import (
    above_draws,
    compare_predictions,
    correlation,
    latent_profile,
    matched_draws,
    predict_draws,
    predict_ratings,
    score,
)


def test_null_ratings_give_r_around_zero_and_p_at_most_nominal():
    """Ten columns of noise at a time share one set of features: many of them, few, layers, more than words."""
    rng = np.random.default_rng(0)
    r, p = [], []
    for shape in [(200, 30), (200, 2), (200, 6, 4), (90, 150)] * 6:
        y = rng.standard_normal((shape[0], 10))
        names = [str(i) for i in range(10)]
        out = predict_ratings(
            rng.standard_normal(shape),
            y,
            np.arange(shape[0]),
            targets=names,
            n_bootstrap=10,
            penalties=(0.1, 1, 10),
        )
        r += [prediction.r for prediction in out]
        p += [prediction.p for prediction in out]
    assert abs(np.mean(r)) < 0.03
    assert np.mean(np.array(p) < 0.05) < 0.08
    assert np.mean(np.array(p) < 0.01) < 0.03


def test_duplicates_leak_only_where_groups_do_not_hold_them():
    """Each word twice, with features of its own that say nothing of its rating: the twin gives the rating away."""
    rng = np.random.default_rng(1)
    x = np.tile(rng.standard_normal((150, 200)), (2, 1))
    y = np.tile(rng.standard_normal((150, 1)), (2, 1))
    together = predict_ratings(x, y, np.tile(np.arange(150), 2), targets=["noise"])[0]
    apart = predict_ratings(x, y, np.arange(300), targets=["noise"])[0]
    assert apart.r > 0.5
    assert abs(together.r) < 0.2
    assert together.p > 0.01


def test_choosing_the_best_of_many_noise_layers_gains_nothing():
    rng = np.random.default_rng(2)
    best, nested = [], []
    for _ in range(10):
        layers, y = rng.standard_normal((150, 10, 4)), rng.standard_normal((150, 1))
        out = predict_ratings(layers, y, np.arange(150), targets=["noise"], n_bootstrap=10)[0]
        best.append(out.layer_r[:, 0].max())
        nested.append(out.r)
    assert np.mean(best) > np.mean(nested) + 0.08
    assert np.mean(nested) < 0.03


def test_planted_signal_and_its_layer_are_recovered():
    rng = np.random.default_rng(3)
    layers = rng.standard_normal((600, 5, 20))
    y = layers[:, 3] @ rng.standard_normal((20, 1))
    y = y / y.std() + 0.75 * rng.standard_normal((600, 1))
    out = predict_ratings(layers, y, np.arange(600), targets=["signal"])[0]
    assert set(out.layer) == {3}
    assert out.ci_low < 0.8 < out.ci_high + 0.03
    assert out.p < 1e-10
    assert out.layer_r[:, 0].argmax() == 3


def test_interval_covers_the_true_correlation():
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(150):
        y = np.repeat(rng.standard_normal(100), 2)
        p = 0.6 * y + 0.8 * np.repeat(rng.standard_normal(100), 2)
        result = score(p, y, np.repeat(np.arange(100), 2), np.zeros(200, dtype=int), n_bootstrap=200)
        covered += result.ci_low <= 0.6 <= result.ci_high
    assert 0.88 <= covered / 150 <= 0.99


def test_equivalence_is_rarely_claimed_at_the_margin():
    """Two predictors whose true r differ by exactly the margin pass as equivalent in about 5% of samples."""
    from dataclasses import replace

    rng = np.random.default_rng(5)
    template = predict_ratings(
        rng.standard_normal((1500, 2)), rng.standard_normal((1500, 1)), np.arange(1500), targets=["y"]
    )[0]
    claims = 0
    for _ in range(60):
        y, noise = rng.standard_normal(1500), rng.standard_normal(1500)
        a, b = (
            replace(template, observed=y, out_of_fold=r * y + np.sqrt(1 - r * r) * noise)
            for r in (0.70, 0.64)
        )
        claims += compare_predictions(a, b, margin=0.06, n_bootstrap=200).equivalent
    assert claims <= 8


def test_matched_draws_are_matched_where_random_latents_are_not():
    rng = np.random.default_rng(6)
    rates = np.exp(rng.normal(-3.5, 1, 1200)).clip(0.001, 0.6)
    codes = (rng.random((500, 1200)) < rates) * rng.gamma(4, 0.3, (500, 1200))
    profile = latent_profile(codes)
    space = rng.choice(1200, 60, replace=False, p=profile[:, 0] / profile[:, 0].sum())
    matched = matched_draws(space, profile, 200, seed=0)
    outside = np.setdiff1d(np.arange(1200), space)
    logged = np.log(profile[:, :2] + 1e-4)
    raw = (logged[outside].mean(0) - logged[space].mean(0)) / logged[space].std(0)
    assert (raw < -0.5).all()
    assert (np.abs(matched.imbalance) < 0.1).all()
    drawn = logged[matched.draws].mean(axis=(0, 1))
    assert (np.abs(drawn - logged[space].mean(0)) / logged[space].std(0) < 0.1).all()


def test_a_space_without_signal_is_not_above_its_draws_and_one_with_signal_is():
    rng = np.random.default_rng(7)
    rates = rng.uniform(0.05, 0.4, 300)
    codes = (rng.random((400, 300)) < rates) * rng.gamma(4, 0.3, (400, 300))
    y = codes[:, :15].sum(1, keepdims=True)
    y = y / y.std() + rng.standard_normal((400, 1))
    groups, profile = np.arange(400), latent_profile(codes)

    def standing(space):
        matched = matched_draws(space, profile, 60, exclude=np.arange(15))
        r = predict_draws(codes, matched.draws, y, groups)[:, 0, 0]
        space_r = predict_ratings(codes[:, space], y, groups, targets=["y"])[0].r
        return above_draws(space_r, r)

    assert standing(np.arange(15)).p < 0.02
    assert standing(np.arange(100, 115)).p > 0.02


def new_words_beside(rng, sets, y, n):
    """Return the predictions of the first n words from each set, and the r of the same models on all other words."""
    known, options = np.arange(len(y)) < n, {"penalties": (0.1, 1, 10), "n_bootstrap": 300}
    predictions = [
        predict_ratings(x, y, np.arange(len(y)), targets=["y"], scored=known, train_mask=known, **options)[0]
        for x in sets
    ]
    return predictions, [
        correlation(
            prediction.out_of_fold[~known], prediction.observed[~known], prediction.folds[~known]
        ).item()
        for prediction in predictions
    ]


def test_the_interval_of_cross_validated_r_covers_what_its_models_reach_on_new_words():
    """Of predictions that are taken as given it holds hardly more than 80%: every pair of words serves twice."""
    rng = np.random.default_rng(8)
    covered = []
    for _ in range(150):
        x, noise = rng.standard_normal((1150, 20)), rng.standard_normal((1150, 1))
        y = 0.4 * x @ rng.standard_normal((20, 1)) / np.sqrt(20) + 0.9 * noise
        (prediction,), (truth,) = new_words_beside(rng, [x], y, 150)
        covered.append(prediction.without_concepts.ci_low <= truth <= prediction.without_concepts.ci_high)
    assert 0.91 <= np.mean(covered) <= 0.995


def test_two_feature_sets_that_are_as_good_are_seldom_called_different():
    rng = np.random.default_rng(9)
    p, covered = [], []
    for seed in range(150):
        core = rng.standard_normal((1200, 8))
        y = core @ rng.standard_normal((8, 1)) / np.sqrt(8) + rng.standard_normal((1200, 1))
        sets = [core + rng.standard_normal(core.shape) for _ in range(2)]
        pair, truth = new_words_beside(rng, sets, y, 200)
        comparison = compare_predictions(*pair, without_concepts=True, n_bootstrap=300, seed=seed)
        p.append(comparison.p)
        covered.append(comparison.ci_low <= truth[0] - truth[1] <= comparison.ci_high)
    assert np.mean(np.array(p) <= 0.05) <= 0.09
    assert np.mean(covered) >= 0.91
