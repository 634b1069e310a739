"""Vectors in the files of other libraries: out, and in again; with the libraries themselves where they are installed."""

from __future__ import annotations

import json
from hashlib import sha256

import numpy as np
import pytest
import torch
from test_steering_exports import DOSE, IDS, assert_close, hooked, logits_of, make_vector

from conftest import D_MODEL, tiny
from emospace.errors import EmospaceError
from emospace.steering.directions import read_direction
from emospace.steering.export import additions, export_vector

FORMS = {"gguf": "gguf", "lm-eval": "pt", "saklas": "safetensors", "steering-vectors": "pt"}


@pytest.fixture(scope="module")
def llama():
    return tiny("llama")


@pytest.mark.parametrize("form", FORMS)
def test_what_leaves_in_the_form_of_another_library_comes_in_again(llama, tmp_path, form):
    vector = make_vector()
    path = export_vector(vector, tmp_path / "joy", form, llama)
    assert path.name == f"joy.{FORMS[form]}"
    read = read_direction(path, llama, mode="constant")
    written, given = additions(vector, DOSE), additions(read, 1.0)
    assert read.layers == vector.layers
    # The lengths of a file decide how the dose is shared; their common factor is the dose, which no file states.
    factors = [np.linalg.norm(written[layer]) / np.linalg.norm(given[layer]) for layer in read.layers]
    assert factors == pytest.approx([factors[0]] * len(factors), rel=1e-4)
    for layer in read.layers:
        np.testing.assert_allclose(written[layer], factors[0] * given[layer], rtol=1e-3, atol=1e-5)
    assert_close(hooked(llama, read, factors[0]), hooked(llama, vector))


def test_a_saklas_profile_has_the_card_that_it_asks_for(llama, tmp_path):
    path = export_vector(make_vector(), tmp_path / "joy", "saklas", llama)
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert set(card) == {"format_version", "saklas_version", "method", "tensor_sha256", "provenance"}
    assert card["tensor_sha256"] == sha256(path.read_bytes()).hexdigest()
    assert card["provenance"]["name"] == "joy"


@pytest.mark.parametrize(
    ("held", "why"),
    [
        ({"layer_activations": {1: torch.zeros(D_MODEL)}, "layer_type": "mlp"}, "only the output of blocks"),
        ({1: "text"}, "no direction could be read"),
        ({"weights": torch.zeros(3), "bias": torch.zeros(3)}, "it holds the tensors"),
        (torch.nn.Linear(2, 2), "no direction could be read"),
    ],
)
def test_files_of_torch_with_anything_else_are_refused(llama, tmp_path, held, why):
    torch.save(held, tmp_path / "vector.pt")
    with pytest.raises(EmospaceError, match=why):
        read_direction(tmp_path / "vector.pt", llama)


def test_steering_vectors_applies_ours(llama, tmp_path):
    library = pytest.importorskip("steering_vectors", reason="steering-vectors is not installed")
    vector = make_vector()
    path = export_vector(vector, tmp_path / "joy", "steering-vectors", llama)
    theirs = library.SteeringVector(**torch.load(path, weights_only=True))
    with theirs.apply(llama.model):
        logits = logits_of(llama.model)
    assert_close(logits, hooked(llama, vector))
    assert IDS.shape == logits.shape[:2]
