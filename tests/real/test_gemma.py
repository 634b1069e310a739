"""Gemma 3 270M from its packages: the real weights, the user's cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from emospace.activations import extract_words
from emospace.errors import EmospaceError
from emospace.models import PACKAGED, load_model
from emospace.sae import load_sae
from emospace.steering.bank import VectorBank

DERIVED = Path(__file__).parents[2] / "packages" / "gemma" / "src" / "emospace_gemma"

try:
    PACKAGED["gemma"].parts()
except EmospaceError as error:
    pytest.skip(str(error), allow_module_level=True)


@pytest.fixture(scope="module")
def gemma():
    return load_model("gemma")


def test_it_is_the_base_model_of_eighteen_blocks(gemma):
    assert (gemma.n_blocks, gemma.d_model, gemma.start_ids()) == (18, 640, (2,))
    assert gemma.identity["name"] == "gemma-3-270m"
    assert not gemma.tokenizer.chat_template


@pytest.mark.parametrize(("text", "pieces"), [("The capital of France is", 6), ("今天天气很好，我们", 6)])
def test_words_of_both_languages_are_whole_tokens(gemma, text, pieces):
    assert len(gemma.tokenizer(text)["input_ids"]) == pieces


@pytest.mark.parametrize(
    ("text", "word"), [("The capital of France is", "the"), ("我今天很高兴，因为", "我")]
)
def test_it_predicts_text_of_both_languages(gemma, text, word):
    ids = gemma.tokenizer(text, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        logits = gemma.model(ids).logits[0, -1].float()
    ranked = np.argsort(-logits.numpy())[:20]
    assert word in {gemma.tokenizer.decode([int(token)]).strip() for token in ranked}


@pytest.mark.parametrize("folder", sorted(DERIVED.glob("sae/*")), ids=lambda folder: folder.name)
def test_an_autoencoder_made_for_it_codes_its_words(gemma, folder):
    sae = load_sae(folder, gemma)
    assert sae.card["variance_explained"] > 0.5
    states = extract_words(gemma, ["joy", "grief", "桌子"], "{word}", [sae.layer])
    codes = sae.encode(states.layer(sae.layer))
    assert 0 < codes.nnz <= 3 * sae.k


@pytest.mark.parametrize("folder", sorted(DERIVED.glob("steering/*")), ids=lambda folder: folder.name)
def test_vectors_made_for_it_are_calibrated(gemma, folder):
    bank = VectorBank.load(folder)
    assert {"joy", "sadness", "anger", "fear"} <= set(bank.names)
    assert all(vector.model_hash == gemma.weights_hash for vector in bank.vectors.values())
