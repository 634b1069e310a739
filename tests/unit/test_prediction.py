"""Prediction: equality with explicit scikit-learn loops, masks, draws, matching, comparison, transfer."""

from __future__ import annotations

import dataclasses
from functools import cache
from importlib import import_module
from typing import Literal

import numpy as np
import pytest
from scipy import sparse

from emospace.errors import EmospaceError
from emospace.prediction import (
    above_draws,
    assign_folds,
    compare_predictions,
    correlation,
    fit_ratings,
    latent_profile,
    matched_draws,
    predict_beside,
    predict_draws,
    predict_ratings,
    random_draws,
    read_ratings,
    ridge,
    score,
    top_firing,
    transfer,
)
from emospace.prediction.regressor import RatingRegressor

draws_module = import_module("emospace.prediction.draws")
GRID = (0.01, 0.1, 1.0, 10.0)


def planted(n: int, d: int, seed: int = 0, noise: float = 1.0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) * rng.uniform(0.1, 5, d) + rng.normal(0, 3, d)
    z = (x - x.mean(0)) / x.std(0)
    y = (
        z[:, :6] @ rng.standard_normal((z[:, :6].shape[1], 2))
        + noise * rng.standard_normal((n, 2))
        + [5.0, -2.0]
    )
    groups = rng.integers(0, int(n * 0.8), n)
    return x, y, groups


def explicit(layers, y, fold_of, trains, penalties):
    """Nested cross-validation as one would write it down: every loop, scikit-learn's scaler and ridge."""
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    @cache
    def predictions(layer, penalty, held_out):
        """All words, both targets, from the words outside the held-out folds."""
        train, x = ~np.isin(fold_of, held_out) & trains, layers[layer]
        scaler = StandardScaler().fit(x[train])
        model = Ridge(alpha=penalty * train.sum()).fit(scaler.transform(x[train]), y[train])
        return model.predict(scaler.transform(x))

    out = np.zeros_like(y)
    chosen = {}
    folds = range(5)
    for t in range(y.shape[1]):
        for outer in folds:
            errors = {}
            for layer in range(len(layers)):
                for penalty in penalties:
                    errors[layer, penalty] = 0.0
                    for inner in folds:
                        if inner != outer:
                            test = (fold_of == inner) & trains
                            pair = (min(inner, outer), max(inner, outer))
                            residual = y[test, t] - predictions(layer, penalty, pair)[test, t]
                            errors[layer, penalty] += float(residual @ residual)
            chosen[t, outer] = min(errors, key=lambda key: errors[key])
            test = fold_of == outer
            out[test, t] = predictions(*chosen[t, outer], (outer,))[test, t]
    return out, chosen


@pytest.mark.parametrize(("n", "d"), [(160, 12), (90, 120)], ids=["primal", "dual"])
def test_predictions_equal_explicit_nested_cross_validation(n, d):
    x, y, groups = planted(n, d, noise=2.0)
    rng = np.random.default_rng(1)
    layers = np.stack([x + 8 * rng.standard_normal(x.shape), x, rng.standard_normal(x.shape)], axis=1)
    trains = rng.random(n) > 0.1
    predicted = predict_ratings(
        layers, y, groups, penalties=GRID, train_mask=trains, layers=(3, 6, 9), seed=4
    )
    fold_of = assign_folds(groups, 5, seed=4)
    expected, chosen = explicit([layers[:, i] for i in range(3)], y, fold_of, trains, GRID)
    for t, prediction in enumerate(predicted):
        np.testing.assert_allclose(prediction.out_of_fold, expected[:, t], rtol=1e-6, atol=1e-6)
        assert prediction.layer == tuple((3, 6, 9)[chosen[t, fold][0]] for fold in range(5))
        assert prediction.penalty == pytest.approx(tuple(chosen[t, fold][1] for fold in range(5)))


def test_float32_and_sparse_features_predict_as_dense_ones():
    x, y, groups = planted(120, 200)
    x[np.random.default_rng(0).random(x.shape) < 0.6] = 0
    whole = predict_ratings(x, y, groups)
    for features in (sparse.csr_matrix(x), x.astype(np.float32)):
        for a, b in zip(whole, predict_ratings(features, y, groups), strict=True):
            np.testing.assert_allclose(a.out_of_fold, b.out_of_fold, atol=1e-4)


def test_latents_silent_in_training_or_constant_get_no_weight():
    x, y, groups = planted(150, 8)
    fold_of = assign_folds(groups)
    rare = np.zeros((150, 2))
    rare[np.flatnonzero(fold_of == 2)[0]] = 100.0
    rare[np.flatnonzero(fold_of != 2)[:3], 1] = 0.01
    with_rare = predict_ratings(np.hstack([x, rare, np.full((150, 1), 7.0)]), y, groups)
    without = predict_ratings(x, y, groups)
    inside = fold_of == 2
    np.testing.assert_allclose(with_rare[0].out_of_fold[inside], without[0].out_of_fold[inside], atol=1e-6)
    assert with_rare[0].n_features == 11


def test_folds_keep_groups_together_and_are_balanced():
    groups = np.random.default_rng(0).integers(0, 300, 1000)
    fold_of = assign_folds(groups, 5, seed=1)
    assert all(len(set(fold_of[groups == group])) == 1 for group in np.unique(groups))
    sizes = np.bincount(fold_of)
    assert sizes.max() - sizes.min() <= 1
    assert (fold_of == assign_folds(groups, 5, seed=1)).all()
    assert (fold_of != assign_folds(groups, 5, seed=2)).any()


def test_scored_words_come_from_the_same_predictions():
    x, y, groups = planted(200, 10)
    scored = np.arange(200) % 4 > 0
    masked = predict_ratings(x, y, groups, scored=scored)[0]
    plain = predict_ratings(x, y, groups)[0]
    np.testing.assert_array_equal(masked.out_of_fold, plain.out_of_fold)
    assert masked.all_words == plain.all_words == plain.without_concepts
    assert masked.without_concepts.n == scored.sum()
    by_hand = correlation(plain.out_of_fold[scored], y[scored, 0], plain.folds[scored])
    assert masked.without_concepts.r == pytest.approx(float(by_hand))
    assert masked.layer_r.tolist() == [pytest.approx([masked.r, masked.without_concepts.r])]


def test_words_out_of_training_are_still_predicted():
    x, y, groups = planted(200, 10)
    trains = np.arange(200) % 5 > 0
    spoiled = y.copy()
    spoiled[~trains] += 1000
    kept, changed = (predict_ratings(x, ratings, groups, train_mask=trains)[0] for ratings in (y, spoiled))
    np.testing.assert_allclose(kept.out_of_fold, changed.out_of_fold, atol=1e-6)


def test_draws_are_predicted_as_spaces_are(monkeypatch):
    monkeypatch.setattr("emospace.prediction.draws._MOST_DRAWS", 2)
    x, y, groups = planted(180, 40)
    codes = np.maximum(x, 0)
    draws = random_draws(40, 9, 5, seed=2)
    scored = np.arange(180) % 3 > 0
    double = predict_draws(codes, draws, y, groups, scored=scored, precision="float64", seed=3)
    single = predict_draws(sparse.csr_matrix(codes), draws, y, groups, scored=scored, seed=3)
    assert double.shape == (5, 2, 2)
    np.testing.assert_allclose(single, double, atol=1e-3)
    for draw, r in zip(draws, double, strict=True):
        space = predict_ratings(codes[:, draw], y, groups, scored=scored, seed=3)
        expected = [[prediction.r, prediction.without_concepts.r] for prediction in space]
        np.testing.assert_allclose(r, expected, atol=1e-9)


def sparse_codes(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Return codes `[n, d]` that are mostly zero, their columns of many sizes."""
    rng = np.random.default_rng(seed)
    fires = rng.random((n, d)) < rng.uniform(0.1, 0.9, d)
    return (fires * rng.gamma(2, 1, (n, d)) * rng.uniform(0.1, 5, d)).astype(np.float32)


def test_sparse_features_wider_than_words_are_predicted_as_dense_ones_are(monkeypatch):
    monkeypatch.setattr(ridge, "_BLOCK", 1000)
    _, y, groups = planted(120, 10)
    codes = sparse_codes(120, 300)
    dense = predict_ratings(codes, y, groups, n_bootstrap=10)
    thin = predict_ratings(sparse.csr_matrix(codes), y, groups, n_bootstrap=10)
    for prediction, other in zip(thin, dense, strict=True):
        np.testing.assert_allclose(prediction.out_of_fold, other.out_of_fold, atol=1e-4)
        assert prediction.penalty == other.penalty
    fitted = fit_ratings(sparse.csr_matrix(codes), y, groups)[0].predict(codes)
    np.testing.assert_allclose(fitted, fit_ratings(codes, y, groups)[0].predict(codes), atol=1e-4)


def test_draws_of_more_latents_than_training_words_are_predicted_as_spaces_are():
    _, y, groups = planted(60, 10)
    codes = sparse_codes(60, 200)
    draws = random_draws(200, 80, 3, seed=2)
    r = predict_draws(sparse.csr_matrix(codes), draws, y, groups, seed=3)
    for draw, row in zip(draws, r, strict=True):
        space = predict_ratings(codes[:, np.sort(draw)], y, groups, n_bootstrap=10, seed=3)
        np.testing.assert_allclose(row[:, 0], [prediction.r for prediction in space], atol=1e-4)


def test_moments_of_sparse_columns_are_those_of_dense_ones():
    codes = sparse_codes(50, 20)
    codes[:, 3], codes[:, 4] = 0, 1e4 + np.arange(50) * 1e-3
    for actual, expected in zip(ridge.moments(sparse.csr_matrix(codes)), ridge.moments(codes), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


def skewed_profile(n_latents: int = 800, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rate = np.exp(rng.normal(-4, 1.2, n_latents)).clip(0, 1)
    size = np.exp(rng.normal(0, 0.5, n_latents)) * (1 + rate)
    rate[:100] = 0
    return np.stack([rate, rate * size, np.where(rate > 0, size, 0)], axis=1)


def test_latent_profile_reads_dense_and_sparse_codes():
    codes = np.array([[0.0, 2.0, 0.0], [0.0, 4.0, 1.0]])
    expected = [[0, 0, 0], [1, 3, 3], [0.5, 0.5, 1]]
    np.testing.assert_allclose(latent_profile(codes), expected)
    np.testing.assert_allclose(latent_profile(sparse.csr_matrix(codes)), expected)


def test_neighbours_are_those_of_all_distances_ranked():
    rng = np.random.default_rng(0)
    points = np.round(rng.normal(size=(300, 3)), 1)  # many ties
    points[:100] = 0
    gaps = ((points[:20, None] - points[None]) ** 2).sum(axis=2)
    expected = np.argsort(gaps, axis=1, kind="stable")[:, :40]
    np.testing.assert_array_equal(draws_module._neighbours(points[:20], points, 40), expected)


def test_matched_draws_stay_outside_and_never_repeat():
    profile = skewed_profile()
    space = np.setdiff1d(np.argsort(-profile[:, 0])[10:120:2], [700, 701])[:50]
    matched = matched_draws(space, profile, 60, exclude=[700, 701], seed=1)
    assert matched.draws.shape == (60, 50)
    assert not np.isin(matched.draws, np.concatenate([space, [700, 701]])).any()
    assert all(len(set(draw)) == 50 for draw in matched.draws)
    assert len({tuple(draw) for draw in matched.draws}) == 60
    np.testing.assert_array_equal(
        matched.draws, matched_draws(space, profile, 60, exclude=[700, 701], seed=1).draws
    )
    assert not matched.scarce
    assert (matched.n_outside, matched.n_used) == (800 - 50 - 2, len(np.unique(matched.draws)))


def test_scarce_outside_is_said():
    profile = skewed_profile()
    active = np.flatnonzero(profile[:, 0] > 0)
    matched = matched_draws(active[:400], profile, 5)
    assert matched.scarce
    assert matched.n_active == len(active) - 400
    assert matched.imbalance[0] < -0.1
    assert matched.beyond_caliper > 0.2
    with pytest.raises(EmospaceError, match="only 300 outside"):
        matched_draws(np.arange(500), profile, 5)


def test_top_firing_and_random_draws_respect_exclusion():
    profile = np.array([[0.5, 1, 2], [0.9, 1, 1], [0.5, 3, 6], [0.1, 9, 90]])
    assert top_firing(profile, 2).tolist() == [1, 2]
    assert top_firing(profile, 2, exclude=[1]).tolist() == [2, 0]
    draws = random_draws(30, 20, 40, exclude=np.arange(5))
    assert draws.min() >= 5
    assert all(len(set(draw)) == 20 for draw in draws)
    with pytest.raises(EmospaceError):
        top_firing(profile, 5)


def test_compare_tells_equal_from_worse():
    x, y, groups = planted(600, 10, noise=0.5)
    good = predict_ratings(x, y, groups)[0]
    poor = predict_ratings(x[:, 4:], y, groups)[0]
    same = compare_predictions(good, good)
    assert (same.difference, same.equivalent, same.p) == (0, True, 1)
    worse = compare_predictions(poor, good)
    assert worse.difference == pytest.approx(poor.r - good.r)
    assert worse.ci_high < 0
    assert worse.p < 0.01
    assert not worse.equivalent
    assert worse.ci_low < worse.equivalence_low < worse.equivalence_high < worse.ci_high
    other = dataclasses.replace(poor, observed=poor.observed[::-1])
    with pytest.raises(EmospaceError, match="different words"):
        compare_predictions(good, other)


def test_above_draws_counts_ties_against_the_value():
    assert above_draws(0.5, np.array([0.1, 0.5, 0.7, 0.2])) == (0.5, 3 / 5, 4)


def test_duplicated_words_do_not_narrow_the_interval():
    rng = np.random.default_rng(0)
    y = rng.standard_normal(300)
    p, groups, folds = y + rng.standard_normal(300), np.arange(300), np.arange(300) % 5
    once = score(p, y, groups, folds)
    thrice = score(*(np.tile(v, 3) for v in (p, y, groups, folds)))
    assert (thrice.n, thrice.n_groups) == (900, 300)
    assert thrice.ci_high - thrice.ci_low == pytest.approx(once.ci_high - once.ci_low, rel=0.01)
    assert thrice.p == pytest.approx(once.p)


def test_disattenuated_r_divides_by_the_root_of_the_reliability():
    result = score(
        np.arange(20.0), np.arange(20.0) + np.tile([0, 3], 10), np.arange(20), np.zeros(20, dtype=int)
    )
    assert result.disattenuated(0.81) == pytest.approx(result.r / 0.9)
    assert result.disattenuated(None) is None


def test_constant_predictions_score_zero():
    result = score(np.ones(30), np.random.default_rng(0).random(30), np.arange(30), np.arange(30) % 5)
    assert result.r == 0
    assert np.isnan(result.ci_low)
    assert result.p == pytest.approx(0.5)


@pytest.mark.parametrize("d", [8, 200], ids=["primal", "dual"])
def test_transfer_fits_on_one_language_and_predicts_another(d):
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    x, y, groups = planted(400, d)
    rng = np.random.default_rng(5)
    train, test = np.arange(400) < 150, np.arange(400) >= 150
    layers = np.stack([rng.standard_normal(x.shape), x], axis=1)
    out = transfer(
        layers[train],
        y[train],
        groups[train],
        layers[test],
        y[test],
        groups[test],
        layers=(0, 7),
        penalties=GRID,
    )[0]
    scaler = StandardScaler().fit(x[train])
    model = Ridge(alpha=out.penalty * train.sum()).fit(scaler.transform(x[train]), y[train, 0])
    np.testing.assert_allclose(out.predicted, model.predict(scaler.transform(x[test])), atol=1e-6)
    assert out.layer == 7
    assert out.score.r == pytest.approx(np.corrcoef(out.predicted, y[test, 0])[0, 1])


def test_transfer_from_permuted_ratings_is_the_null():
    x, y, groups = planted(300, 8)
    train, test = np.arange(300) < 200, np.arange(300) >= 200
    out = transfer(
        x[train], y[train], groups[train], x[test], y[test], groups[test], n_permutations=99, seed=1
    )[0]
    assert out.p == pytest.approx(0.01)
    assert out.permuted_low is not None and out.permuted_high is not None
    assert out.permuted_low < 0 < out.permuted_high < out.score.r
    noise = np.random.default_rng(2).standard_normal(x.shape)
    nothing = transfer(
        noise[train], y[train], groups[train], noise[test], y[test], groups[test], n_permutations=99, seed=1
    )[0]
    assert nothing.p is not None and nothing.p > 0.05


def test_a_fitted_ridge_is_read_on_any_words_and_its_first_column_is_the_transfer():
    x, y, groups = planted(300, 8)
    fitted = fit_ratings(x[:200], y[:200], groups[:200], n_permutations=3, seed=1)[1]
    assert fitted.predict(x[200:]).shape == (100, 4)
    read = read_ratings(fitted, x[200:], y[200:, 1], groups[200:])
    whole = transfer(x[:200], y[:200], groups[:200], x[200:], y[200:], groups[200:], seed=1)[1]
    np.testing.assert_allclose(read.predicted, whole.predicted, atol=1e-9)


def test_bad_input_is_named():
    x, y, groups = planted(60, 4)
    with pytest.raises(EmospaceError, match="features of 59 words"):
        predict_ratings(x[:-1], y, groups)
    with pytest.raises(EmospaceError, match="not finite"):
        predict_ratings(x, np.where(y > 5, np.nan, y), groups)
    with pytest.raises(EmospaceError, match="word groups, too few"):
        predict_ratings(x, y, np.zeros(60, dtype=int))
    with pytest.raises(EmospaceError, match="are named"):
        predict_ratings(x, y, groups, targets=("valence",))
    with pytest.raises(EmospaceError, match="the training features are"):
        transfer(x, y, groups, x[:, :3], y, groups)


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_positive_system_is_solved_and_one_that_is_not_is_nan(kind: str, order: Literal["C", "F"]) -> None:
    from emospace.prediction.ridge import solve_positive

    rng = np.random.default_rng(0)
    factor = rng.normal(size=(40, 12))
    matrix = np.array(factor.T @ factor, dtype=kind, order=order)
    right = rng.normal(size=(12, 3)).astype(kind)
    wanted = np.linalg.solve(matrix.astype(float), right)
    rows = np.ascontiguousarray(right.T)
    solve_positive(matrix.copy(order=order), rows)
    assert rows.dtype == kind
    assert np.allclose(rows.T, wanted, rtol=0, atol=1e-5)
    # In Fortran order the lower triangle is enough.
    rows = np.ascontiguousarray(right.T)
    solve_positive(np.asfortranarray(np.tril(matrix)), rows)
    assert np.allclose(rows.T, wanted, rtol=0, atol=1e-5)
    solve_positive(-matrix, rows)
    assert np.isnan(rows).all()


# --- joined features --------------------------------------------------------------------------------------


def test_features_beside_others_are_predicted_from_as_if_they_were_one_set():
    x, y, groups = planted(150, 8)
    beside = np.random.default_rng(1).standard_normal((150, 5)) * 30
    scored = np.arange(150) % 4 > 0
    options = {"scored": scored, "penalties": GRID, "seed": 3}
    alone = predict_ratings(x, y, groups, **options)
    joined = predict_beside(x, beside, alone, penalties=GRID, seed=3)
    together = predict_ratings(np.hstack([x, beside]), y, groups, **options)
    for prediction, other in zip(joined, together, strict=True):
        assert np.allclose(prediction.out_of_fold, other.out_of_fold)
        assert (prediction.target, prediction.n_features, prediction.penalty) == (
            other.target,
            13,
            other.penalty,
        )
        assert prediction.without_concepts == other.without_concepts
    compare_predictions(joined[0], alone[0])


def test_features_beside_layers_keep_the_layer_of_each_fold():
    rng = np.random.default_rng(2)
    layers = rng.standard_normal((150, 4, 6))
    y = np.stack([layers[:, 1, 0] + layers[:, 3, 0], layers[:, 2, 0]], 1) + rng.standard_normal((150, 2))
    beside, groups = rng.standard_normal((150, 3)), np.arange(150)
    names = [10, 11, 12, 13]
    alone = predict_ratings(layers, y, groups, layers=names, penalties=GRID)
    joined = predict_beside(layers, beside, alone, penalties=GRID)
    assert len(set(alone[0].layer) | set(alone[1].layer)) > 1
    by_layer = {
        name: predict_ratings(np.hstack([layers[:, at], beside]), y, groups, penalties=GRID)
        for at, name in enumerate(names)
    }
    for t, (prediction, first) in enumerate(zip(joined, alone, strict=True)):
        assert prediction.layer == first.layer
        for fold, layer in enumerate(prediction.layer):
            rows = prediction.folds == fold
            assert np.allclose(prediction.out_of_fold[rows], by_layer[layer][t].out_of_fold[rows])


# --- the estimator ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("shape", [(120, 12), (60, 80)])
def test_the_estimator_is_ridge_at_the_penalty_it_chose(form, shape):
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    x, y, groups = planted(*shape)
    both = RatingRegressor(penalties=GRID).fit(form(x), y, groups)
    assert both.predict(form(x)).shape == y.shape
    assert both.coef_.shape == (2, x.shape[1])
    z = StandardScaler().fit_transform(x)
    for t, fitted in enumerate(fit_ratings(form(x), y, groups, penalties=GRID)):
        single = RatingRegressor(penalties=GRID).fit(form(x), y[:, t], groups)
        assert single.penalty_ == both.penalty_[t] == fitted.penalty
        expected = Ridge(alpha=single.penalty_ * len(x)).fit(z, y[:, t]).predict(z)
        np.testing.assert_allclose(single.predict(form(x)), expected, atol=1e-6)
        np.testing.assert_allclose(both.predict(form(x))[:, t], expected, atol=1e-6)
        np.testing.assert_allclose(x @ single.coef_ + single.intercept_, expected, atol=1e-6)


def test_the_estimator_works_as_others_of_scikit_learn_do():
    from sklearn.base import clone
    from sklearn.decomposition import PCA
    from sklearn.metrics import r2_score
    from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    x, y, groups = planted(120, 12)
    pipe = make_pipeline(PCA(6), RatingRegressor(penalties=GRID))
    parts = KFold(4)
    predicted = cross_val_predict(pipe, x, y[:, 0], cv=parts)
    train, test = next(iter(parts.split(x)))
    expected = clone(pipe).fit(x[train], y[train, 0]).predict(x[test])
    np.testing.assert_allclose(predicted[test], expected, atol=1e-9)
    fitted = pipe.fit(x, y[:, 0], ratingregressor__groups=groups)
    assert fitted.score(x, y[:, 0]) == pytest.approx(r2_score(y[:, 0], fitted.predict(x)))
    search = GridSearchCV(RatingRegressor(penalties=GRID), {"folds": [3, 5]}, cv=3).fit(x, y)
    assert search.best_params_["folds"] in (3, 5)
    random = np.random.RandomState(1)
    assert RatingRegressor(random_state=random).fit(x, y).predict(x).shape == y.shape


def test_the_estimator_refuses_with_errors_that_scikit_learn_knows():
    from sklearn.exceptions import NotFittedError

    x, y, groups = planted(60, 8)
    with pytest.raises(NotFittedError):
        RatingRegressor().predict(x)
    with pytest.raises(ValueError, match="7 features"):
        RatingRegressor().fit(x, y).predict(x[:, :7])
    with pytest.raises(ValueError, match="groups of 59 words"):
        RatingRegressor().fit(x, y, groups[:-1])
    with pytest.raises(EmospaceError, match="too few"):
        RatingRegressor(folds=40).fit(x, y)
