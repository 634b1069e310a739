"""Banks of vectors: found by name, mixed, taken at a point of the circumplex, kept on disk, and refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from emospace.errors import EmospaceError
from emospace.models import LanguageModel
from emospace.steering import DoseRange, SteeringVector, bank
from emospace.steering.bank import VectorBank, bank_folder, load_vectors

D = 16
LAYERS = (2, 3)
HASH = "0123456789abcdef"


def make(name, mode="relative", seed=0, layers=LAYERS, dose=0.6, **given):
    rng = np.random.default_rng(seed)
    fields = {
        "name": name,
        "kind": "mix",
        "directions": {layer: rng.normal(size=D) for layer in layers},
        "medians": {layer: 10.0 * layer for layer in layers},
        "model": "tiny",
        "model_hash": HASH,
        "mode": mode,
        "op": "clamp" if mode == "relative" else "add",
        "calibration": {mode: DoseRange(dose, dose / 2, dose * 1.5)},
        "note": {"recipe": {"contrast": 0.5}},
    }
    return SteeringVector(**{**fields, **given})


def make_axis(name, mode, place, length):
    row = np.eye(D)[place]
    return make(
        name,
        mode,
        kind="axis",
        directions=dict.fromkeys(LAYERS, row),
        note={"relative_length": dict.fromkeys(LAYERS, length)},
    )


def make_bank(**given) -> VectorBank:
    vectors = {
        (name, mode): make(name, mode, seed=seed, dose=dose)
        for seed, (name, dose) in enumerate((("joy", 0.6), ("sadness", 0.8), ("surprise", 0.5)))
        for mode in ("relative", "constant")
    }
    vectors["pride", "relative"] = make("pride", seed=9)
    for mode in ("relative", "constant"):
        vectors["valence", mode] = make_axis("valence", mode, 0, 0.3)
        vectors["arousal", mode] = make_axis("arousal", mode, 1, 0.1)
    return VectorBank(
        vectors, {"joy": (0.9, 0.5), "sadness": (-0.8, -0.4)}, given.get("note", {"judge": "ngram"})
    )


@pytest.fixture(scope="module")
def made():
    return make_bank()


# --- by name


def test_names_are_the_emotions_once_each_without_the_axes(made):
    assert made.names == ("joy", "sadness", "surprise", "pride")


def test_an_emotion_has_a_vector_for_each_mode(made):
    assert made.vector("joy") is made.vectors["joy", "relative"]
    assert made.vector("joy", "constant") is made.vectors["joy", "constant"]
    assert made.vector("arousal").kind == "axis"


def test_an_unknown_emotion_is_told_its_neighbours(made):
    with pytest.raises(EmospaceError, match="sadness") as raised:
        made.vector("sadnes")
    assert "Did you mean sadness" in raised.value.hint
    with pytest.raises(EmospaceError, match="'gloom'"):
        made.mix({"joy": 1, "gloom": 1})


def test_a_mode_that_was_not_calibrated_is_said_to_be_that(made):
    with pytest.raises(EmospaceError, match="'pride' in mode 'constant': it was not calibrated in that mode"):
        made.vector("pride", "constant")


# --- mixed


def test_a_mix_is_the_weighted_sum_at_each_layer(made):
    mixed = made.mix({"joy": 0.7, "surprise": -0.3})
    for layer in LAYERS:
        row = 0.7 * made.vector("joy").directions[layer] - 0.3 * made.vector("surprise").directions[layer]
        np.testing.assert_allclose(mixed.directions[layer], row / np.linalg.norm(row), atol=1e-6)
    # |weights| sum to 1: the dose is their weighted mean.
    assert mixed.dose() == pytest.approx(0.7 * 0.6 + 0.3 * 0.5)
    assert (mixed.op, mixed.mode) == ("clamp", "relative")
    assert made.mix({"joy": 0.7, "surprise": 0.3}, mode="constant").mode == "constant"


@pytest.mark.parametrize(("weight", "part"), [(0.25, 0.25), (-0.25, 0.25), (1.0, 1.0), (3.0, 1.0)])
def test_a_small_weight_is_a_part_of_the_dose_and_a_large_one_no_more_than_all(made, weight, part):
    mixed, original = made.mix({"joy": weight}), made.vector("joy")
    assert mixed.dose() == pytest.approx(part * original.dose())
    assert mixed.calibration["relative"].high == original.calibration["relative"].high
    for layer in LAYERS:
        np.testing.assert_allclose(
            mixed.directions[layer], math.copysign(1, weight) * original.directions[layer], atol=1e-6
        )


@pytest.mark.parametrize("weight", [math.nan, math.inf])
def test_a_weight_that_is_no_number_is_named(made, weight):
    with pytest.raises(EmospaceError, match=r"'joy'.*no finite numbers"):
        made.mix({"joy": weight, "sadness": 0.5})


@pytest.mark.parametrize("weights", [{}, {"joy": 0.0}])
def test_nothing_cannot_be_mixed(made, weights):
    with pytest.raises(EmospaceError, match="no vector to mix"):
        made.mix(weights)


def test_emotions_that_cancel_each_other_vanish():
    opposite = VectorBank(
        {
            ("joy", "relative"): make("joy"),
            ("grief", "relative"): make(
                "grief", directions={layer: -row for layer, row in make("joy").directions.items()}
            ),
        }
    )
    with pytest.raises(EmospaceError, match="vanishes"):
        opposite.mix({"joy": 0.5, "grief": 0.5})


# --- as a point


@pytest.mark.parametrize("valence", [-0.8, 0.8])
@pytest.mark.parametrize("arousal", [-0.6, 0.6])
@pytest.mark.parametrize("mode", ["relative", "constant"])
def test_a_point_lies_in_its_quadrant(made, valence, arousal, mode):
    vector = made.point(valence, arousal, mode)
    for layer in LAYERS:
        along = [float(vector.directions[layer] @ np.eye(D)[place]) for place in (0, 1)]
        # An axis counts for as much as a unit of its rating moves a state.
        wanted = np.array([valence * 0.3, arousal * 0.1])
        np.testing.assert_allclose(along, wanted / np.linalg.norm(wanted), atol=1e-6)
    assert vector.kind == "axis"
    assert vector.mode == mode
    assert vector.name == f"valence {valence:g}, arousal {arousal:g}"


def test_a_point_on_an_axis_is_that_axis(made):
    np.testing.assert_allclose(made.point(0, -1).directions[2], -np.eye(D)[1], atol=1e-6)
    np.testing.assert_allclose(made.point(0.5, 0).directions[3], np.eye(D)[0], atol=1e-6)


@pytest.mark.parametrize(
    ("place", "part"), [((0.3, 0.4), 0.5), ((0, -0.1), 0.1), ((1, 1), 1.0), ((-1, 0), 1)]
)
def test_the_distance_from_the_centre_scales_the_dose(made, place, part):
    assert made.point(*place).dose() == pytest.approx(0.6 * part)


@pytest.mark.parametrize(
    ("place", "why"),
    [((0, 0), "no direction"), ((1.2, 0), "beyond"), ((0, -1.01), "beyond"), ((math.nan, 0), "beyond")],
)
def test_the_centre_and_what_lies_beyond_the_scale_are_refused(made, place, why):
    with pytest.raises(EmospaceError, match=why):
        made.point(*place)


def test_a_bank_without_axes_says_so():
    with pytest.raises(EmospaceError, match="'valence'"):
        VectorBank({("joy", "relative"): make("joy")}).point(1, 0)


def test_a_tone_is_weighted_emotions_or_a_point(made):
    assert made.tone({"joy": 0.5}).name == made.mix({"joy": 0.5}).name
    assert made.tone({"valence": 0.5, "arousal": -0.2}).name == made.point(0.5, -0.2).name
    assert made.tone({"arousal": 0.5}, "constant").name == made.point(0, 0.5).name
    with pytest.raises(ValueError, match="both emotions and a point"):
        made.tone({"joy": 0.5, "valence": 0.1})


# --- on disk


def test_what_is_saved_is_loaded(made, tmp_path):
    folder = made.save(tmp_path / "bank")
    loaded = VectorBank.load(folder)
    assert loaded.names == made.names
    assert set(loaded.vectors) == set(made.vectors)
    assert loaded.positions == made.positions
    assert loaded.note == made.note
    for key, vector in made.vectors.items():
        assert {**loaded.vectors[key].card(), "note": 0} == {**vector.card(), "note": 0}
        for layer, row in vector.directions.items():
            again = loaded.vectors[key].directions[layer]
            # Half precision on disk, unit length in use.
            np.testing.assert_allclose(again, row, atol=1e-3)
            assert np.linalg.norm(again) == pytest.approx(1, abs=1e-6)
    assert loaded.point(0.3, 0.4).dose() == made.point(0.3, 0.4).dose()
    assert loaded.vector("joy").note == made.vector("joy").note


def test_a_bank_on_disk_is_half_precision(made, tmp_path):
    from safetensors.numpy import load_file

    rows = load_file(made.save(tmp_path) / "vectors.safetensors")
    assert {row.dtype for row in rows.values()} == {np.dtype(np.float16)}
    assert len(rows) == len(made.vectors) * len(LAYERS)


def change(folder, **fields):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **fields}))


def without_a_field(folder, name):
    card = json.loads((folder / "card.json").read_text())
    del card[name]
    (folder / "card.json").write_text(json.dumps(card))


def without_a_layer(folder):
    from safetensors.numpy import load_file, save_file

    rows = load_file(folder / "vectors.safetensors")
    del rows["sadness/constant/3"]
    save_file(rows, folder / "vectors.safetensors")


def with_a_foreign_tensor(folder):
    from safetensors.numpy import save_file

    save_file({"weight": np.ones(D, dtype=np.float16)}, folder / "vectors.safetensors")


def test_a_card_of_format_1_keeps_no_bound_that_was_not_measured(made, tmp_path):
    made.save(tmp_path)
    assert VectorBank.load(tmp_path).vector("joy").calibration["relative"] == (0.6, 0.3, pytest.approx(0.9))
    change(tmp_path, format=1)
    old = VectorBank.load(tmp_path)
    dose = made.vector("joy").dose("relative")
    assert old.vector("joy").calibration["relative"] == (dose, dose, pytest.approx(1.5 * dose))
    dose = made.vector("joy", "constant").dose("constant")
    assert old.vector("joy", "constant").calibration["constant"] == (dose, dose, dose)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "card.json").unlink(),
        lambda folder: (folder / "vectors.safetensors").unlink(),
        lambda folder: (folder / "card.json").write_text("{"),
        lambda folder: (folder / "card.json").write_text("[]"),
        lambda folder: (folder / "vectors.safetensors").write_bytes(b"none"),
        lambda folder: change(folder, format=99),
        lambda folder: change(folder, vectors=[{"name": "joy"}]),
        lambda folder: change(folder, positions={"joy": [1]}),
        lambda folder: without_a_field(folder, "note"),
        without_a_layer,
        with_a_foreign_tensor,
    ],
)
def test_a_damaged_bank_says_what_to_do(made, tmp_path, damage):
    made.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(EmospaceError, match="emospace steer calibrate") as raised:
        VectorBank.load(tmp_path)
    assert str(tmp_path) in raised.value.what


def test_a_damaged_card_of_one_vector_names_the_emotion(made, tmp_path):
    made.save(tmp_path)
    card = json.loads((tmp_path / "card.json").read_text())
    card["vectors"][0]["card"]["format"] = 99
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(EmospaceError, match=r"joy has format 99"):
        VectorBank.load(tmp_path)


# --- of a model


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOSPACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(bank, "shipped", lambda kind: sorted((tmp_path / "bundled").glob("*")))
    return LanguageModel("tiny", None, None, (), {"sha256": "ab", "dtype": "float32"})


def of_model(model, judge):
    vectors = {
        key: replace(vector, model_hash=model.weights_hash) for key, vector in make_bank().vectors.items()
    }
    return VectorBank(vectors, note={"judge": judge})


def test_ones_own_vectors_come_before_the_bundled_ones(model, tmp_path):
    with pytest.raises(EmospaceError, match="no steering vectors were calibrated") as raised:
        load_vectors(model)
    assert raised.value.hint == "Make them: emospace steer calibrate --model tiny"
    make_bank().save(tmp_path / "bundled" / "another-mix")
    of_model(model, "bundled").save(tmp_path / "bundled" / "tiny-mix")
    assert load_vectors(model).note["judge"] == "bundled"
    of_model(model, "cached").save(bank_folder(model.weights_hash))
    assert load_vectors(model).note["judge"] == "cached"
    (bank_folder(model.weights_hash) / "vectors.safetensors").unlink()
    with pytest.raises(EmospaceError, match="could be read"):
        load_vectors(model)


def test_a_source_is_taken_at_its_word_and_else_the_first_there_is(model):
    of_model(model, "dense").save(bank_folder(model.weights_hash, "dense"))
    assert load_vectors(model).note["judge"] == "dense"
    with pytest.raises(EmospaceError, match="no sae steering vectors"):
        load_vectors(model, "sae")
    of_model(model, "mix").save(bank_folder(model.weights_hash, "mix"))
    assert load_vectors(model).note["judge"] == "mix"
    assert load_vectors(model, "dense").note["judge"] == "dense"


def test_vectors_of_the_language_asked_for_come_first_then_english_ones_then_any(model, tmp_path):
    of_model(model, "zh").save(bank_folder(model.weights_hash, "dense", "zh"))
    assert load_vectors(model).note["judge"] == "zh"
    of_model(model, "en").save(tmp_path / "bundled" / "tiny-mix")
    of_model(model, "es").save(tmp_path / "bundled" / "tiny-mix-es")
    languages = (None, "en", "zh", "es", "fr")
    assert [load_vectors(model, language=language).note["judge"] for language in languages] == [
        "en",
        "en",
        "zh",
        "es",
        "en",
    ]
    assert load_vectors(model, "mix", "zh").note["judge"] == "en"
    of_model(model, "here").save(bank_folder(model.weights_hash, "mix", "es"))
    assert load_vectors(model, language="es").note["judge"] == "here"


def test_vectors_serve_a_model_at_any_precision_but_no_other_weights(model):
    of_model(model, "own").save(bank_folder(model.weights_hash))
    half = replace(model, identity={**model.identity, "dtype": "bfloat16"})
    assert load_vectors(half).note["judge"] == "own"
    with pytest.raises(EmospaceError, match="no steering vectors"):
        load_vectors(replace(model, identity={**model.identity, "sha256": "cd"}))
