"""Readings of planted truths and nulls: ridge finds what is there, and nothing where nothing is."""

from __future__ import annotations

import numpy as np
import pytest

from emospace.reading import fit_ridge
from emospace.reading.reader import pool_tokens
from emospace.stats import pearson


def planted(n: int, signal: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 30))
    return x, (signal * x[:, :3].sum(axis=1) / 3**0.5 + rng.normal(size=n))[:, None]


def test_ridge_reaches_the_planted_correlation():
    x, y = planted(2000, 1.0, seed=0)
    fitted = fit_ridge(x[:1000], y[:1000])
    assert pearson(fitted.predict(x[1000:])[:, 0], y[1000:, 0]) == pytest.approx(0.5**0.5, abs=0.05)


def test_ridge_finds_nothing_in_noise():
    correlations = []
    for seed in range(20):
        x, y = planted(400, 0.0, seed)
        fitted = fit_ridge(x[:200], y[:200], seed=seed)
        correlations.append(pearson(fitted.predict(x[200:])[:, 0], y[200:, 0]))
    assert abs(np.mean(correlations)) < 0.05
    assert np.mean(np.abs(correlations) > 0.14) <= 0.2


def test_the_penalty_is_chosen_for_each_target():
    x, y = planted(600, 3.0, seed=1)
    _, noise = planted(600, 0.0, seed=2)
    chosen = fit_ridge(x, np.concatenate([y, noise], axis=1)).penalty
    assert chosen[0] < chosen[1]


def test_a_few_strong_tokens_are_seen_better_than_by_the_mean():
    rng = np.random.default_rng(3)
    n, length = 600, 20
    labels = rng.random(n) < 0.5
    tokens = rng.normal(size=(n, length, 1))
    tokens[labels, 0] += 4.0
    soft = np.array([pool_tokens(text, 1)[0] for text in tokens])
    mean = tokens.mean(axis=1)[:, 0]

    def auroc(scores: np.ndarray) -> float:
        return float((scores[labels][:, None] > scores[~labels][None]).mean())

    assert auroc(soft) > auroc(mean) + 0.05
    assert auroc(soft) > 0.9


def test_pooling_does_not_grow_with_the_length_of_noise():
    rng = np.random.default_rng(4)
    short, long = (
        np.mean([pool_tokens(rng.normal(size=(length, 1)), 1)[0] for _ in range(400)]) for length in (20, 200)
    )
    assert abs(long - short) < 0.15
