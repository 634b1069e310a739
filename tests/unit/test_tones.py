"""Arithmetic of tones: how texts are read, and what sums and projections do to directions."""

from __future__ import annotations

import numpy as np
import pytest
from test_steering_bank import LAYERS, make_bank

from emospace.errors import EmospaceError, InvalidInput
from emospace.specs import WeightedTone, tone_of, weights_of
from emospace.steering.vector import orthogonal


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("joy", {"joy": 1}),
        ("joy - surprise", {"joy": 1, "surprise": -1}),
        ("joy -surprise", {"joy": 1, "surprise": -1}),
        ("joy + 0.5*love", {"joy": 1, "love": 0.5}),
        ("joy+love * 0.5", {"joy": 1, "love": 0.5}),
        ("-joy", {"joy": -1}),
        ("- 2*joy - fear", {"joy": -2, "fear": -1}),
        ("joy:0.7,surprise:0.3", {"joy": 0.7, "surprise": 0.3}),
        (" joy : 0.7 , fear : -0.3", {"joy": 0.7, "fear": -0.3}),
        ("joy:1e-1 - fear:+2e+0", {"joy": 0.1, "fear": -2}),
        ("self-pity - empathic pain", {"self-pity": 1, "empathic pain": -1}),
        ("valence:0.8,arousal:-0.3", {"valence": 0.8, "arousal": -0.3}),
    ],
)
def test_a_sum_is_read(text, weights):
    assert weights_of(text) == weights


def test_what_follows_a_bar_is_projected_out():
    tone = tone_of("anger + 0.5*disgust | fear | sadness - joy")
    assert tone == WeightedTone({"anger": 1, "disgust": 0.5}, ({"fear": 1}, {"sadness": 1, "joy": -1}))
    assert tone.names == ("anger", "disgust", "fear", "sadness", "joy")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no name"),
        ("joy +", "no name"),
        ("joy | ", "no name"),
        ("| fear", "no name"),
        ("0.5*", "no name"),
        ("joy*much", r"neither side of 'joy\*much' is a weight"),
        ("inf*joy", "no finite weight"),
        ("joy - joy", "nothing is left of it"),
        ("joy + joy", "stands there twice"),
    ],
)
def test_a_text_that_is_no_tone_is_refused_with_all_of_it(text, why):
    with pytest.raises(InvalidInput, match=why) as refused:
        tone_of(text, "--emotion")
    assert refused.value.what == f"--emotion {text}"


def test_a_text_stands_for_its_weights():
    bank = make_bank()
    by_text, by_weights = bank.tone("joy - surprise"), bank.mix({"joy": 1, "surprise": -1})
    assert by_text.name == by_weights.name == "joy:1,surprise:-1"
    assert by_text.dose() == by_weights.dose()
    for layer in LAYERS:
        np.testing.assert_array_equal(by_text.directions[layer], by_weights.directions[layer])


def test_a_projection_is_orthogonal_and_keeps_how_the_whole_acts():
    bank = make_bank()
    joy, others = bank.vector("joy"), ("sadness", "surprise")
    left = bank.tone("joy | sadness | surprise")
    assert left.name == "joy | sadness | surprise"
    assert (left.calibration, left.op, left.mode, left.layers, left.shares) == (
        *(joy.calibration, joy.op, joy.mode, joy.layers, joy.shares),
    )
    for layer in LAYERS:
        assert np.linalg.norm(left.directions[layer]) == pytest.approx(1)
        assert left.directions[layer] @ joy.directions[layer] > 0
        for name in others:
            assert abs(left.directions[layer] @ bank.vector(name).directions[layer]) < 1e-6
    assert bank.tone("joy | valence").name == "joy | valence 1, arousal 0"
    assert orthogonal(joy, ()) is joy


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("joy | gloom", "'gloom': there is no such emotion"),
        ("joy | joy", "nothing is left of 'joy' at layer 2"),
        ("2*joy + surprise | surprise | joy", "nothing is left"),
        ("joy | 0*surprise", "every weight is zero"),
        ("joy + valence", "both emotions and a point"),
    ],
)
def test_a_tone_that_has_no_direction_is_told(text, why):
    with pytest.raises(EmospaceError, match=why):
        make_bank().tone(text)


def test_vectors_that_share_no_layer_are_not_projected():
    bank = make_bank()
    with pytest.raises(EmospaceError, match=r"acts at layers \[3\], the other at \[2\]"):
        orthogonal(bank.vector("joy").at([2]), [bank.vector("sadness").at([3])])
