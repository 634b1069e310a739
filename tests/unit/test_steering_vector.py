"""Steering vectors as objects: what they hold, how they are saved, mixed and refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from emospace.errors import EmospaceError
from emospace.steering import DoseRange, SteeringVector, mix

D = 8


def make(name: str = "joy", layers: tuple[int, ...] = (2, 3), seed: int = 0, **given) -> SteeringVector:
    rng = np.random.default_rng(seed)
    fields = {
        "name": name,
        "kind": "dense",
        "directions": {layer: rng.normal(size=D) for layer in layers},
        "medians": {layer: 10.0 * layer for layer in layers},
        "model": "tiny",
        "model_hash": "abc",
    }
    return SteeringVector(**{**fields, **given})


def test_directions_are_made_unit_and_cannot_be_changed():
    rows = {3: np.full(D, 2.0), 1: np.eye(D)[0] * -7}
    vector = make(directions=rows, medians={1: 1.0, 3: 2.0})
    assert vector.layers == (1, 3)
    assert vector.d_model == D
    np.testing.assert_allclose(vector.directions[1], -np.eye(D)[0])
    np.testing.assert_allclose(vector.directions[3], np.full(D, D**-0.5), rtol=1e-6)
    assert vector.directions[1].dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        vector.directions[1][0] = 5
    with pytest.raises(TypeError):
        vector.directions[1] = rows[1]


def test_shares_default_to_equal_parts_of_one():
    assert dict(make(layers=(1, 2, 3, 4)).shares) == dict.fromkeys((1, 2, 3, 4), 0.25)
    assert dict(make(layers=(2,)).shares) == {2: 1.0}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"directions": {}}, "no direction"),
        ({"directions": {2: np.zeros(D)}}, "is no direction"),
        ({"directions": {2: np.r_[np.nan, np.ones(D - 1)]}}, "is no direction"),
        ({"directions": {2: np.r_[np.inf, np.ones(D - 1)]}}, "is no direction"),
        ({"directions": {2: np.ones((2, D))}}, "is no direction"),
        ({"directions": {2: np.ones(D), 3: np.ones(D + 1)}}, "widths"),
        ({"medians": {2: 1.0}}, "lacks the median norm of layers \\[3\\]"),
        ({"medians": {2: 1.0, 3: np.nan}}, "median norm"),
        ({"medians": {2: 1.0, 3: -1.0}}, "median norm"),
        ({"shares": {2: np.inf}}, "share"),
        ({"window": (3, 3)}, "window"),
        ({"window": (-1, None)}, "window"),
        ({"window": 4}, "window"),
    ],
)
def test_what_cannot_steer_is_refused_by_name(given, said):
    with pytest.raises(EmospaceError, match=said):
        make(**given)


def test_the_calibrated_dose_is_asked_for_by_mode():
    vector = make(calibration={"constant": DoseRange(0.1, 0.05, 0.2)}, mode="constant")
    assert vector.dose() == 0.1
    with pytest.raises(EmospaceError, match="no calibrated dose for mode 'relative'"):
        vector.dose("relative")


def test_some_layers_carry_the_whole_dose():
    vector = make(layers=(1, 2, 3), shares={1: 0.2, 2: 0.3, 3: 0.5})
    kept = vector.at([3, 1, 1])
    assert kept.layers == (1, 3)
    assert kept.shares[1] == pytest.approx(0.2 / 0.7)
    assert sum(kept.shares.values()) == pytest.approx(1.0)
    for absent in ([4], []):
        with pytest.raises(EmospaceError, match="does not exist at layers"):
            vector.at(absent)


@pytest.mark.parametrize("name", ["joy", "joy.safetensors", "model-1.7B.layer.14"])
def test_saved_and_loaded_it_is_the_same(tmp_path, name):
    vector = make(
        calibration={"relative": DoseRange(0.1, 0.05, 0.2)},
        mode="constant",
        scope="response",
        op="clamp",
        window=(2, 9),
        note={"seed": np.int64(3), "words": ("a", "b")},
    )
    path = vector.save(tmp_path / name)
    assert path.name == f"{name.removesuffix('.safetensors')}.safetensors"
    loaded = SteeringVector.load(tmp_path / name)
    for layer in vector.layers:
        np.testing.assert_array_equal(loaded.directions[layer], vector.directions[layer])
    assert loaded.card() == {**vector.card(), "note": {"seed": 3, "words": ["a", "b"]}}


def test_a_damaged_file_or_card_is_a_named_error(tmp_path):
    with pytest.raises(EmospaceError, match="no steering vector could be read"):
        SteeringVector.load(tmp_path / "absent")
    path = make().save(tmp_path / "joy")
    card = path.with_suffix(".json")
    whole = json.loads(card.read_text())
    for broken, said in (
        ({**whole, "format": 99}, "format 99"),
        ({key: value for key, value in whole.items() if key != "medians"}, "damaged"),
        ({**whole, "medians": {"2": None, "3": 1}}, "damaged"),
        ({**whole, "window": None}, "damaged"),
        ({**whole, "calibration": {"relative": {"low": 1}}}, "damaged"),
    ):
        card.write_text(json.dumps(broken))
        with pytest.raises(EmospaceError, match=said):
            SteeringVector.load(path)
    card.write_text(json.dumps(whole))
    path.write_bytes(b"no safetensors")
    with pytest.raises(EmospaceError, match="no steering vector could be read"):
        SteeringVector.load(path)


def test_a_mix_is_the_weighted_sum_made_unit():
    joy, fear = (
        make("joy", (2, 3), 1, shares={2: 0.5, 3: 0.5}),
        make("fear", (3, 4), 2, shares={3: 0.25, 4: 0.75}),
    )
    mixed = mix([(joy, 0.7), (fear, -0.3)])
    sums = {
        2: 0.35 * joy.directions[2],
        3: 0.35 * joy.directions[3] - 0.075 * fear.directions[3],
        4: -0.225 * fear.directions[4],
    }
    lengths = {layer: np.linalg.norm(row) for layer, row in sums.items()}
    assert mixed.layers == (2, 3, 4)
    assert mixed.kind == "mix"
    assert mixed.name == "joy:0.7,fear:-0.3"
    for layer, row in sums.items():
        np.testing.assert_allclose(mixed.directions[layer], row / lengths[layer], atol=1e-6)
        assert mixed.shares[layer] == pytest.approx(lengths[layer] / sum(lengths.values()), rel=1e-5)
    assert mix({joy: 1.0}) is joy
    assert mix({joy: 0.7, fear: -0.3}).name == mixed.name


def test_a_mix_takes_the_dose_both_know():
    joy = make("joy", calibration={"relative": DoseRange(0.1, 0.0, 0.2), "constant": DoseRange(0.3, 0, 1)})
    fear = make("fear", seed=1, calibration={"relative": DoseRange(0.2, 0.1, 0.4)})
    mixed = mix([(joy, 0.75), (fear, 0.25)])
    assert set(mixed.calibration) == {"relative"}
    assert mixed.calibration["relative"] == pytest.approx((0.125, 0.025, 0.25))


def test_what_cannot_be_mixed_is_refused():
    joy, other = make("joy"), make("fear", model_hash="xyz", model="another")
    for parts, said in (
        ([], "no vector to mix"),
        ([(joy, 0.0)], "no vector to mix"),
        ([(joy, 1.0), (other, 1.0)], "made for tiny, the other for another"),
        ([(joy, 1.0), (joy, -1.0)], "vanishes"),
        ([(joy, 1.0), (make("fear", seed=1, op="ablate"), 1.0)], "differ in operation"),
    ):
        with pytest.raises(EmospaceError, match=said):
            mix(parts)
