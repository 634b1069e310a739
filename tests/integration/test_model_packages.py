"""Packages that bring a model, its autoencoders and its steering vectors, found by an entry point."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from conftest import D_MODEL, WORDS, make_hf_model, make_tokenizer
from emospace.activations import extract_words
from emospace.models import PACKAGES, LanguageModel, list_models, load_model, loading, shipped
from emospace.sae import bundled_sae, sae_for, save_sae
from emospace.steering import SteeringVector
from emospace.steering.bank import VectorBank, load_vectors
from small_study import random_sae


@pytest.fixture
def package(monkeypatch, tmp_path) -> Path:
    """An installed package that offers the model ``tiny``; it is never imported."""
    monkeypatch.setenv("EMOSPACE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "tiny_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise ImportError('never imported')")
    offered = EntryPoint(name="tiny", value=folder.name, group=PACKAGES)
    monkeypatch.setattr(loading, "entry_points", lambda group: [offered] if group == PACKAGES else [])
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def write_weights(folder: Path) -> None:
    make_hf_model("llama").save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)


def write_derived(package: Path, model: LanguageModel) -> None:
    """Write an autoencoder and a steering vector of a model into a package."""
    sae = replace(random_sae(), card={"model_sha256": model.identity["sha256"]})
    save_sae(sae, package / "sae" / "tiny-l2", model_name="tiny")
    joy = SteeringVector(
        name="joy",
        kind="dense",
        directions={2: np.eye(D_MODEL)[0]},
        medians={2: 1.0},
        model="tiny",
        model_hash=model.weights_hash,
    )
    VectorBank({("joy", joy.mode): joy}).save(package / "steering" / "tiny-dense")


def test_a_package_brings_a_model_that_is_known_by_its_weights(package):
    write_weights(package / "model")
    model = load_model("tiny", device="cpu")
    assert model.name == model.identity["name"] == "tiny"
    assert model.weights_hash == load_model(str(package / "model"), device="cpu").weights_hash
    assert {"name": "tiny", "kind": "package", "detail": "tiny_package"} in list_models()


def test_a_package_brings_what_was_derived_from_these_very_weights(package):
    write_weights(package / "model")
    model = load_model("tiny", device="cpu")
    assert bundled_sae(model) is None
    write_derived(package, model)
    assert bundled_sae(model) == "tiny-l2"
    sae = sae_for(model)
    codes = sae.encode(extract_words(model, WORDS[:3], "The word is {word}", [2]).layer(2))
    assert codes.nnz == 3 * sae.k
    assert load_vectors(model).names == ("joy",)
    other = replace(model, identity={**model.identity, "sha256": "0" * 64})
    assert bundled_sae(other) is None


def test_a_kind_that_a_package_lacks_is_not_missed(package):
    (package / "sae" / "tiny-l2").mkdir(parents=True)
    assert shipped("sae")[-1] == package / "sae" / "tiny-l2"
    assert not [folder for folder in shipped("steering") if package in folder.parents]
