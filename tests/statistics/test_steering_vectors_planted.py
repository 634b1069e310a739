"""Vectors of concept states in which the directions are known, or in which there is nothing to find."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix

from emospace.concepts import ConceptSets
from emospace.errors import EmospaceError
from emospace.features import FeatureDictionary
from emospace.sae import SparseAutoencoder
from emospace.steering import mix
from emospace.steering.vectors import (
    ConceptStates,
    Recipe,
    TextStates,
    affect_axes,
    category_vectors,
    common_directions,
)

D, LAYERS = 96, (3, 5)
NAMES = ("anger", "disgust", "fear", "joy", "pride", "relief", "sadness", "surprise")
N_WORDS = 24
WEIGHTS = np.linspace(1.0, 0.3, N_WORDS)
MEDIANS = {3: 20.0, 5: 40.0}
TEXTS = {layer: TextStates(median, np.eye(D)[:, :1], rest=median / 4) for layer, median in MEDIANS.items()}


def make_sets() -> ConceptSets:
    rows = [
        ("en", name, f"{name} {number}", weight) for name in NAMES for number, weight in enumerate(WEIGHTS)
    ]
    return ConceptSets(
        pd.DataFrame(rows, columns=["language", "category", "word", "weight"]),
        {"en": {name: (name,) for name in NAMES}},
        {"en": ("{word}",)},
        "curated",
    )


SETS = make_sets()
CATEGORIES = SETS.categories


def make_states(felt, neutral=None, codes=None, neutral_code=None) -> ConceptStates:
    """Return states of the words of `SETS`; `felt` is ``[n_categories, N_WORDS, n_layers, D]``."""
    return ConceptStates(
        model="planted",
        model_hash="0",
        language="en",
        words=tuple(f"{name} {number}" for name in CATEGORIES for number in range(N_WORDS)),
        layers=LAYERS,
        felt=np.asarray(felt, dtype=np.float32).reshape(-1, len(LAYERS), D),
        neutral=np.zeros((len(LAYERS), D), np.float32) if neutral is None else neutral,
        felt_codes=codes,
        neutral_code=neutral_code,
        texts=TEXTS,
    )


def orthonormal(n, seed=0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(D, n)))[0].T


def noise(seed, scale=1.0) -> np.ndarray:
    return scale * np.random.default_rng(seed).normal(size=(len(CATEGORIES), N_WORDS, len(LAYERS), D))


DIRECTIONS = orthonormal(len(CATEGORIES) + 2)
SHARED, OFF = DIRECTIONS[-2], DIRECTIONS[-1]
DIRECTIONS = DIRECTIONS[:-2]


def planted(shared=6.0, weight=3.0, seed=1) -> ConceptStates:
    """Return a neutral state, an emotion that all categories share, and a direction of each category's own."""
    neutral = np.random.default_rng(seed).normal(size=(len(LAYERS), D)).astype(np.float32) * 5
    felt = neutral + shared * SHARED + weight * DIRECTIONS[:, None, None, :] + noise(seed, 0.3)
    return make_states(felt, neutral)


# --- categories


def test_a_category_s_own_direction_is_found_at_every_layer():
    vectors = category_vectors(planted(shared=0), SETS, Recipe(source="dense", contrast=0))
    assert tuple(vectors) == CATEGORIES
    for direction, (name, vector) in zip(DIRECTIONS, vectors.items(), strict=True):
        assert (vector.name, vector.kind, vector.layers) == (name, "dense", LAYERS)
        for layer in LAYERS:
            assert vector.directions[layer] @ direction > 0.95
            others = vector.directions[layer] @ DIRECTIONS[[name != other for other in CATEGORIES]].T
            assert np.abs(others).max() < 0.2


def test_contrast_takes_out_what_all_categories_share():
    states = planted()
    along = {
        contrast: np.array(
            [
                vector.directions[3] @ SHARED
                for vector in category_vectors(
                    states, SETS, Recipe(source="dense", contrast=contrast)
                ).values()
            ]
        )
        for contrast in (0.0, 0.5, 1.0)
    }
    np.testing.assert_allclose(along[0.0], 6 / np.hypot(6, 3), atol=0.03)
    assert (along[0.5] < along[0.0] - 0.1).all()
    np.testing.assert_allclose(along[1.0], 0, atol=0.1)
    whole = category_vectors(states, SETS, Recipe(source="dense", contrast=1.0))
    for direction, vector in zip(DIRECTIONS, whole.values(), strict=True):
        # The mean over eight orthogonal directions goes with the shared part.
        assert vector.directions[5] @ direction > 0.85


def text_like(constant=200.0, outlier=40.0, rest=1.0, n=400, seed=5) -> np.ndarray:
    """Return states of running text: one constant direction, one outlier dimension, and noise."""
    rng = np.random.default_rng(seed)
    states = rest * rng.normal(size=(n, D))
    states[:, 7] += outlier * rng.normal(size=n)
    states[:, 3] += constant
    return states.astype(np.float32)


def test_common_directions_are_the_mean_and_the_outliers():
    text = common_directions(text_like())
    assert text.common.shape == (D, 2)
    np.testing.assert_allclose(text.common.T @ text.common, np.eye(2), atol=1e-6)
    within = np.linalg.norm(text.common, axis=1)
    assert within[[3, 7]].min() > 0.99
    assert text.rest == pytest.approx(np.sqrt(D - 2), rel=0.05)
    assert text.median == pytest.approx(200, rel=0.1)
    # Noise alike in all directions has no common direction but its mean.
    assert common_directions(text_like(outlier=0)).common.shape == (D, 1)


@pytest.mark.parametrize("source", ["dense", "axes"])
def test_cleaned_vectors_keep_the_emotion_and_lose_what_all_text_shares(source):
    states = planted(shared=0)
    text = common_directions(text_like())
    felt = states.felt.reshape(len(CATEGORIES), N_WORDS, len(LAYERS), D).copy()
    # Concepts differ from neutral words along the common directions more than by emotion.
    felt[..., 3] += 30
    felt[..., 7] -= 20
    states = replace(make_states(felt, states.neutral), texts=dict.fromkeys(LAYERS, text))
    ratings = {name: (np.cos(place), np.sin(place)) for place, name in enumerate(CATEGORIES)}
    for cleaned, along in ((False, 0.9), (True, 0.0)):
        recipe = Recipe(source="dense", contrast=0, cleaned=cleaned)
        made = category_vectors(states, SETS, recipe)
        if source == "axes":
            made = affect_axes(states, SETS, ratings, recipe)
            assert set(made) == {"valence", "arousal"}
        for vector in made.values():
            size = 1 if not cleaned else text.rest / text.median
            assert vector.shares == pytest.approx(dict.fromkeys(LAYERS, size / len(LAYERS)))
            common = np.linalg.norm(text.common.T @ vector.directions[3])
            assert common == pytest.approx(0, abs=1e-6) if cleaned else source == "axes" or common > along
    if source == "dense":
        for place, vector in enumerate(made.values()):
            assert vector.directions[5] @ DIRECTIONS[place] > 0.9
        blend = mix({made["joy"]: 0.5, made["pride"]: 0.5})
        assert sum(blend.shares.values()) == pytest.approx(text.rest / text.median)


def test_power_favours_core_words():
    # Core words carry the category, its causes and signs something else.
    part = ((1 - WEIGHTS) / 0.7)[:, None, None]
    felt = (1 - part) * DIRECTIONS[:, None, None, :] + part * OFF + noise(2, 0.02)
    states = make_states(felt)
    along = []
    for power in (0.0, 1.0, 4.0, 16.0):
        vector = category_vectors(states, SETS, Recipe(source="dense", contrast=0, power=power))["joy"]
        along.append(vector.directions[3] @ DIRECTIONS[CATEGORIES.index("joy")])
        weights = WEIGHTS**power / (WEIGHTS**power).sum()
        row = weights @ felt[CATEGORIES.index("joy"), :, 0]
        np.testing.assert_allclose(vector.directions[3], row / np.linalg.norm(row), atol=1e-5)
    assert (np.diff(along) > 0.02).all()
    assert along[0] < 0.8
    assert along[-1] > 0.98


def test_layers_are_those_asked_for():
    vectors = category_vectors(planted(), SETS, Recipe(source="dense"), layers=(5,))
    assert {vector.layers for vector in vectors.values()} == {(5,)}
    assert {dict(vector.medians)[5] for vector in vectors.values()} == {40.0}


# --- through a sparse autoencoder


N_LATENTS = 40


def make_sae(layer=3, seed=3) -> SparseAutoencoder:
    decoder = torch.tensor(np.random.default_rng(seed).normal(size=(N_LATENTS, D)), dtype=torch.float32)
    decoder /= decoder.norm(dim=1, keepdim=True)
    return SparseAutoencoder(
        w_enc=decoder.T.clone(),
        b_enc=torch.zeros(N_LATENTS),
        w_dec=decoder,
        b_dec=torch.zeros(D),
        architecture="topk",
        layer=layer,
        k=4,
    )


def with_codes():
    """Return states in which a category's first two latents rise, its third falls, and one rises for all."""
    rng = np.random.default_rng(4)
    codes = rng.random((len(CATEGORIES), N_WORDS, N_LATENTS)) * 0.05
    neutral = np.full(N_LATENTS, 0.5)
    neutral[-1] = 0.0
    for place in range(len(CATEGORIES)):
        codes[place, :, [4 * place, 4 * place + 1]] += np.array([[3.0], [1.5]])
    codes[:, :, -1] += 2.0
    states = planted()
    flat = csr_matrix(codes.reshape(-1, N_LATENTS).astype(np.float32))
    rows = [
        {"category": name, "latent": latent, "effect": effect, "weight": weight}
        for place, name in enumerate(CATEGORIES)
        if name != "relief"
        for latent, effect, weight in zip(
            (4 * place, 4 * place + 1, 4 * place + 2, N_LATENTS - 1),
            (3.0, 2.0, 1.5, 1.0),
            (0.4, 0.3, 0.2, 0.1),
            strict=True,
        )
    ]
    return make_states(states.felt, states.neutral, flat, neutral), FeatureDictionary(
        "en", pd.DataFrame(rows)
    )


def weights_of(row, latents, sae) -> np.ndarray:
    """Return how a direction is made of decoder rows; fails where it is not."""
    decoder = sae.w_dec.numpy()[latents].astype(float)
    weights, *_ = np.linalg.lstsq(decoder.T, row, rcond=None)
    np.testing.assert_allclose(weights @ decoder, row, atol=1e-5)
    return weights


@pytest.mark.parametrize("contrast", [0.0, 1.0])
def test_the_sae_s_part_is_a_positive_sum_of_the_category_s_features(contrast):
    (states, features), sae = with_codes(), make_sae()
    vectors = category_vectors(
        states, SETS, Recipe(source="sae", contrast=contrast), sae=sae, features=features
    )
    assert tuple(vectors) == tuple(name for name in CATEGORIES if name != "relief")
    for name, vector in vectors.items():
        assert vector.layers == (3,)
        assert vector.kind == "sae"
        weights = weights_of(vector.directions[3], features.for_category(name), sae)
        assert weights.min() > -1e-5
        assert weights[0] > weights[1] > 0.1
        # Quieter for the category than for neutral words: no part of it.
        assert weights[2] == pytest.approx(0, abs=0.01 if contrast else 1e-5)
        # What rises for all is taken out with the shared part.
        assert (weights[3] > 0.3) == (contrast == 0)


def test_a_mix_is_dense_where_there_is_no_sae():
    (states, features), sae = with_codes(), make_sae()
    given = {"sae": sae, "features": features}
    mixed = category_vectors(states, SETS, Recipe(source="mix"), **given)
    dense = category_vectors(states, SETS, Recipe(source="dense"))
    alone = category_vectors(states, SETS, Recipe(source="sae"), **given)
    assert mixed["joy"].layers == LAYERS
    np.testing.assert_allclose(mixed["joy"].directions[5], dense["joy"].directions[5], atol=1e-6)
    np.testing.assert_allclose(mixed["joy"].directions[3], alone["joy"].directions[3], atol=1e-6)
    assert mixed["relief"].layers == (5,)
    assert mixed["joy"].note["sae_layer"] == 3


def test_features_alone_are_weighted_by_their_effect():
    (states, features), sae = with_codes(), make_sae()
    vectors = category_vectors(states, SETS, Recipe(source="features"), sae=sae, features=features)
    assert "relief" not in vectors
    for name, vector in vectors.items():
        assert (vector.layers, vector.kind) == ((3,), "sae")
        weights = weights_of(vector.directions[3], features.for_category(name), sae)
        np.testing.assert_allclose(weights / weights.sum(), (0.4, 0.3, 0.2, 0.1), atol=1e-4)


@pytest.mark.parametrize("source", ["mix", "sae", "features"])
def test_a_source_that_needs_an_sae_is_refused_without_one(source):
    with pytest.raises(EmospaceError, match="no sparse autoencoder"):
        category_vectors(planted(), SETS, Recipe(source=source))


# --- axes


def correlated_ratings(seed=5) -> dict[str, tuple[float, float]]:
    """Return ratings in which pleasant categories are excited ones too."""
    rng = np.random.default_rng(seed)
    valence = np.linspace(-0.9, 0.9, len(CATEGORIES))
    arousal = np.clip(0.8 * valence + 0.25 * rng.normal(size=len(CATEGORIES)), -1, 1)
    return {name: (float(v), float(a)) for name, v, a in zip(CATEGORIES, valence, arousal, strict=True)}


def test_axes_are_found_though_valence_and_arousal_go_together():
    ratings = correlated_ratings()
    values = np.array(list(ratings.values()))
    assert np.corrcoef(values.T)[0, 1] > 0.8
    rated = values[:, :1] * 6 * SHARED + values[:, 1:] * 3 * OFF
    felt = 7 * DIRECTIONS[0] + rated[:, None, None, :] + noise(6, 0.1)
    axes = affect_axes(make_states(felt), SETS, ratings, Recipe(contrast=0.5))
    assert set(axes) == {"valence", "arousal"}
    for layer in LAYERS:
        assert axes["valence"].directions[layer] @ SHARED > 0.97
        assert axes["arousal"].directions[layer] @ OFF > 0.97
        # A plain mean difference would hold much of the other axis.
        plain = (values[:, 0] @ rated) / np.linalg.norm(values[:, 0] @ rated)
        assert plain @ OFF > 0.3
        assert abs(axes["valence"].directions[layer] @ OFF) < 0.15
        assert abs(axes["arousal"].directions[layer] @ SHARED) < 0.2
        # A unit of the rating moves a state that far, in units of its norm.
        assert axes["valence"].note["relative_length"][layer] == pytest.approx(6 / MEDIANS[layer], rel=0.08)
        assert axes["arousal"].note["relative_length"][layer] == pytest.approx(3 / MEDIANS[layer], rel=0.15)


def test_axes_take_the_rated_categories_only_and_four_at_least():
    ratings = correlated_ratings()
    some = {name: ratings[name] for name in CATEGORIES[:5]}
    felt = np.array(list(ratings.values()))[:, None, None, :1] * 4 * SHARED + noise(7, 0.1)
    felt[5:] += 50 * OFF
    axes = affect_axes(make_states(felt), SETS, some, Recipe())
    assert axes["valence"].note["n_categories"] == 5
    assert abs(axes["valence"].directions[3] @ OFF) < 0.2
    with pytest.raises(EmospaceError, match="axes from 3 rated categories"):
        affect_axes(make_states(felt), SETS, dict(list(some.items())[:3]), Recipe())


# --- nothing to find


@pytest.mark.parametrize("contrast", [0.0, 0.5, 1.0])
def test_where_nothing_is_planted_no_direction_is_preferred(contrast):
    along = np.array(
        [
            DIRECTIONS @ vector.directions[layer]
            for seed in range(8)
            for vector in category_vectors(
                make_states(noise(100 + seed)), SETS, Recipe(source="dense", contrast=contrast)
            ).values()
            for layer in LAYERS
        ]
    )
    # A random unit vector's component: mean 0, variance 1 / D.
    assert abs(along.mean()) < 4 / np.sqrt(along.size * D)
    assert along.var() * D == pytest.approx(1, abs=0.25)


def test_where_nothing_is_planted_axes_prefer_no_direction():
    ratings = correlated_ratings()
    draws = [affect_axes(make_states(noise(300 + seed)), SETS, ratings, Recipe()) for seed in range(16)]
    for axis in ("valence", "arousal"):
        along = np.array([DIRECTIONS @ draw[axis].directions[layer] for draw in draws for layer in LAYERS])
        assert abs(along.mean()) < 4 / np.sqrt(along.size * D)
        assert along.var() * D == pytest.approx(1, abs=0.35)
