"""emospace-polyglot as it is shipped: weights, card, autoencoder and vectors belong together."""

from __future__ import annotations

import numpy as np
import pytest

from emospace.activations import extract_words
from emospace.artefacts import read_json
from emospace.models import load_model, model_packages
from emospace.sae import bundled_sae, load_sae
from emospace.steering.bank import load_vectors

LIMIT_BYTES = 60_000_000
OPENINGS = {
    "en": "The old man looked at",
    "zh": "他站起来，看着",
    "ja": "彼は黙って",
    "fr": "Il regarda la",
    "de": "Er ging in das",
    "es": "El hombre miró",
}


@pytest.fixture(scope="module")
def model():
    return load_model("polyglot")


@pytest.fixture(scope="module")
def card():
    return read_json(model_packages()["polyglot"] / "card.json")


def test_the_package_is_small_enough_to_travel():
    folder = model_packages()["polyglot"]
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) <= LIMIT_BYTES


def test_the_card_tells_the_model_that_is_there(model, card):
    assert card["n_parameters"] == sum(weight.numel() for weight in model.model.parameters())
    assert (card["n_layers"], card["d_model"]) == (model.n_blocks, model.d_model)
    assert card["n_trained"] == card["steps"] * card["settings"]["batch"] * card["settings"]["context"]


@pytest.mark.parametrize("language", OPENINGS)
def test_it_goes_on_in_the_language_it_is_given(model, language):
    import torch

    ids = model.tokenizer(OPENINGS[language], return_tensors="pt").input_ids
    assert model.tokenizer.decode(ids[0], skip_special_tokens=True) == OPENINGS[language]
    with torch.no_grad():
        own = model.model(ids, labels=ids).loss.item()
        mixed = torch.cat([ids[:, :1], ids[:, 1:].flip(1)], dim=1)
        assert own < model.model(mixed, labels=mixed).loss.item()


def test_its_states_are_those_of_single_runs(model):
    import torch

    words = ["joy", "grief", "快乐", "colère", "寂しい", "Freude"]
    states = extract_words(model, words, "{word}", range(model.n_blocks + 1)).states
    for word, found in zip(words, states, strict=True):
        ids = model.tokenizer(word, return_tensors="pt").input_ids
        with torch.no_grad():
            alone = model.model(ids, output_hidden_states=True).hidden_states
        np.testing.assert_allclose(found[-2], alone[-2][0, -1].numpy(), atol=1e-4)


def test_its_autoencoder_is_of_these_very_weights(model):
    name = bundled_sae(model)
    assert name is not None
    sae = load_sae(name, model)
    assert sae.card["model_sha256"] == model.identity["sha256"]
    assert sae.card["variance_explained"] > 0.5
    states = extract_words(model, ["joy", "grief", "table"], "The word is {word}", [sae.layer])
    codes = sae.encode(states.layer(sae.layer))
    assert 0 < codes.nnz <= 3 * sae.k


def test_its_vectors_are_calibrated(model):
    bank = load_vectors(model)
    assert {"joy", "sadness", "anger", "fear"} <= set(bank.names)
