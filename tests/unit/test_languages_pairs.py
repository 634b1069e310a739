"""Planes of two languages: a planted turn is found, undone and drawn; what cannot be fitted says why."""

from dataclasses import replace

import numpy as np
import pytest

from emospace.languages import circumplex_fit, common_plane
from emospace.records import LanguageRSARecord
from emospace.space import EmotionSpace

NAMES = tuple(f"c{at:02d}" for at in range(20))


@pytest.fixture
def space():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(20, 2)) * [3, 2]
    return EmotionSpace(
        "aa", NAMES, np.arange(30), plane @ rng.normal(size=(2, 30)) + 0.05 * rng.normal(size=(20, 30))
    )


def test_one_space_in_other_features_fits_itself(space):
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(30, 30)))[0]
    other = replace(space, language="bb", matrix=-4 * space.matrix @ turn + 7).select(NAMES[::-1])
    fit = circumplex_fit(space, other, seed=0, n_permutations=199, n_bootstrap=50)
    assert (fit.value, fit.ci_low, fit.ci_high) == pytest.approx((1, 1, 1))
    assert (fit.a, fit.b, fit.n, fit.p, fit.n_permutations) == ("aa", "bb", 20, 1 / 200, 199)
    LanguageRSARecord.from_figure(fit, model="m", layer=3)
    plane = common_plane(space, other)
    assert plane.categories == NAMES
    assert np.allclose(plane.a, plane.b)
    scores = space.pca(2).scores
    assert np.allclose(plane.a, scores / scores.std(axis=0))


def test_the_second_language_is_turned_onto_the_first(space):
    moved = space.matrix + 0.5 * np.random.default_rng(2).normal(size=space.matrix.shape)
    other = replace(space, language="bb", matrix=moved)
    fit = circumplex_fit(space, other, seed=0, n_permutations=199)
    assert fit.ci_low < fit.value < 1
    plane = common_plane(space, other)
    assert np.allclose(plane.a.std(axis=0), 1)
    both = np.linalg.norm(plane.a) * np.linalg.norm(plane.b)
    assert (plane.a * plane.b).sum() / both == pytest.approx(fit.value)
    backwards = circumplex_fit(other, space, seed=0, n_permutations=199)
    assert backwards.value == pytest.approx(fit.value)


def test_components_are_those_of_the_shared_categories(space):
    matrix = np.concatenate([space.matrix, 50 * np.random.default_rng(3).normal(size=(2, 30))])
    wider = EmotionSpace("bb", (*NAMES, "saudade", "han"), np.arange(30), matrix)
    assert circumplex_fit(space, wider, seed=0, n_permutations=9, n_bootstrap=9).value == pytest.approx(1)


def test_what_spans_no_plane_or_shares_too_little_gives_a_reason(space):
    line = replace(space, language="bb", matrix=np.outer(np.arange(20.0), np.ones(30)))
    fit = circumplex_fit(space, line, seed=0)
    assert (fit.value, fit.p, fit.ci_low) == (None, None, None)
    assert "do not span a plane" in fit.reason
    assert common_plane(space, line) is None
    few = circumplex_fit(space, space.select(NAMES[:7]), seed=0)
    assert few.reason == "the languages share 7 categories; at least 15 are needed"
    assert common_plane(space, space.select(NAMES[:7])) is None
    LanguageRSARecord.from_figure(few, model="m", layer=3)
