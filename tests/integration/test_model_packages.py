"""Packages that bring a model, its autoencoders and its steering vectors, found by an entry point."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from conftest import D_MODEL, WORDS, make_hf_model, make_tokenizer
from emospace.activations import extract_words
from emospace.artefacts import content_hash, file_hash, read_json
from emospace.errors import EmospaceError
from emospace.models import (
    PACKAGED,
    PACKAGES,
    LanguageModel,
    PackagedGGUF,
    list_models,
    load_model,
    loading,
    packaged,
    shipped,
)
from emospace.sae import bundled_sae, sae_for, save_sae
from emospace.steering import SteeringVector
from emospace.steering.bank import VectorBank, load_vectors
from emospace.study.inputs import load_inputs
from gguf_file import write_gguf
from small_study import make_study_files, random_sae

GEMMA = Path(__file__).parents[2] / "packages" / "gemma"


@pytest.fixture
def package(monkeypatch, tmp_path) -> Path:
    """An installed package that offers something for the model ``tiny``; it is never imported."""
    monkeypatch.setenv("EMOSPACE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "tiny_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise ImportError('never imported')")
    offered = EntryPoint(name="tiny", value=folder.name, group=PACKAGES)
    monkeypatch.setattr(packaged, "entry_points", lambda group: [offered] if group == PACKAGES else [])
    monkeypatch.syspath_prepend(tmp_path)
    return folder


@pytest.fixture
def weights(monkeypatch, package) -> PackagedGGUF:
    """A listed model whose weights a package of their own carries, and whose companion is that of `package`."""
    carrier = package.parent / "tiny_weights"
    carrier.mkdir()
    write_gguf(carrier / "tiny.gguf")
    digest = file_hash(carrier / "tiny.gguf")
    model = PackagedGGUF("tiny-1b", (carrier.name,), "tiny-gguf", "MIT", digest, companion="emospace-tiny")
    for module in (packaged, loading):
        monkeypatch.setattr(module, "PACKAGED", {"tiny": model})
    return model


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


def uninstall(monkeypatch) -> None:
    monkeypatch.setattr(packaged, "entry_points", lambda group: [])


def detail_of(name: str) -> str:
    return next(row["detail"] for row in list_models() if row["name"] == name)


# --- with its weights -------------------------------------------------------------------------------------


def test_a_package_brings_a_model_that_is_known_by_its_weights(package):
    write_weights(package / "model")
    model = load_model("tiny", device="cpu")
    assert model.name == model.identity["name"] == "tiny"
    assert model.weights_hash == load_model(str(package / "model"), device="cpu").weights_hash
    assert detail_of("tiny") == "tiny_package"


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


def test_a_package_without_weights_is_no_model(package):
    with pytest.raises(EmospaceError, match=r"'tiny'.*tiny_package brings no weights") as raised:
        load_model("tiny", device="cpu")
    assert "hub id" in raised.value.hint


# --- beside weights that another package carries ----------------------------------------------------------


def test_a_companion_brings_what_was_derived_from_weights_that_lie_elsewhere(weights, package):
    model = load_model("tiny", device="cpu")
    assert (model.identity["name"], model.identity["sha256"]) == ("tiny-1b", weights.sha256)
    write_derived(package, model)
    assert bundled_sae(model) == "tiny-l2"
    assert load_vectors(model).names == ("joy",)
    assert detail_of("tiny") == "tiny-1b; MIT; autoencoders and steering vectors: emospace-tiny"


def test_a_study_takes_the_companions_autoencoder_and_says_so(weights, package, tmp_path, capsys):
    write_derived(package, load_model("tiny", device="cpu"))
    spec = make_study_files(tmp_path / "study_files").spec(model="tiny", sae="auto")
    inputs = load_inputs(spec, tmp_path / "run")
    assert inputs.sae is not None
    assert inputs.layer == inputs.sae.layer == 2
    assert capsys.readouterr().err.count("SAE of 'tiny': tiny-l2, which ships for these weights.") == 1


def test_without_the_companion_a_study_is_dense_and_one_message_installs_it(
    weights, package, tmp_path, capsys, monkeypatch
):
    uninstall(monkeypatch)
    spec = make_study_files(tmp_path / "study_files").spec(model="tiny", sae="auto")
    capsys.readouterr()
    inputs = load_inputs(spec, tmp_path / "run")
    assert inputs.sae is None
    shown = capsys.readouterr().err
    assert shown.count("SAE") == shown.count("pip install ./packages/tiny") == 1
    assert "using dense directions" in shown
    with pytest.raises(EmospaceError) as raised:
        load_vectors(inputs.model)
    assert "pip install ./packages/tiny; or make them" in raised.value.hint
    assert "emospace-tiny, not installed (in a clone of emospace: pip install ./packages/tiny)" in detail_of(
        "tiny"
    )


def test_a_companion_is_not_asked_for_other_weights_or_when_it_is_installed(weights, package, monkeypatch):
    assert packaged.missing_companion(weights.sha256) is None
    uninstall(monkeypatch)
    assert "./packages/tiny" in packaged.missing_companion(weights.sha256)
    assert packaged.missing_companion("0" * 64) is None
    assert packaged.missing_companion(None) is None


# --- emospace-gemma ---------------------------------------------------------------------------------------


def test_emospace_gemma_is_the_companion_of_gemma():
    project = tomllib.loads((GEMMA / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    model = PACKAGED["gemma"]
    assert project["name"] == model.companion
    assert project["entry-points"][PACKAGES] == {"gemma": "emospace_gemma"}
    assert any(needed.startswith(model.requirement) for needed in project["dependencies"])


def test_emospace_gemma_carries_the_notice_of_the_terms_and_no_weights():
    notice = (GEMMA / "NOTICE").read_text(encoding="utf-8")
    assert (
        "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"
        in (notice)
    )
    assert "ai.google.dev/gemma/prohibited_use_policy" in notice
    assert str(PACKAGED["gemma"].sha256) in notice
    folder = GEMMA / "src" / "emospace_gemma"
    assert {path.name for path in folder.iterdir()} <= {"__init__.py", "__pycache__", "sae", "steering"}
    weights = [path for path in folder.rglob("*") if path.suffix in (".safetensors", ".gguf", ".bin")]
    assert {path.name for path in weights} <= {"sae_weights.safetensors", "vectors.safetensors"}


def test_what_emospace_gemma_holds_was_made_from_the_weights_gemma_is_loaded_from():
    folder, digest = GEMMA / "src" / "emospace_gemma", PACKAGED["gemma"].sha256
    for card in folder.glob("sae/*/card.json"):
        assert read_json(card)["model_sha256"] == digest
    for card in folder.glob("steering/*/card.json"):
        assert read_json(card)["model_hash"] == content_hash(digest)
