"""Vectors of a latent's number and of any file: read, checked against the model, and applied as any other."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from safetensors.numpy import save_file
from test_server_api import HERE
from typer.testing import CliRunner

from conftest import D_MODEL, N_BLOCKS, make_sae, tiny
from emospace.cli import app
from emospace.errors import EmospaceError
from emospace.generation import Sampling, generate
from emospace.server import create_app
from emospace.steering import SteeringVector, plan_steering
from emospace.steering.directions import latent_vector, read_direction
from emospace.steering.export import export_vector
from served import make_engine

PROMPT = "Tell me about your day."
SHORT = Sampling(n_tokens=6, temperature=0)
ROWS = np.random.default_rng(3).normal(size=(2, D_MODEL)).astype(np.float32)


@pytest.fixture(scope="module")
def llama():
    return tiny("llama")


def test_a_latent_steers_along_its_decoder(llama):
    sae = make_sae()
    vector = latent_vector(llama, sae, 5)
    np.testing.assert_allclose(vector.directions[2], sae.w_dec[5].numpy(), atol=1e-6)
    assert (vector.layers, vector.mode, vector.op, vector.scope) == ((2,), "relative", "add", "all")
    assert vector.calibration == {}
    # The dose is a part of each state's norm, as of any vector.
    state = torch.randn(1, 3, D_MODEL)
    plan = plan_steering(llama, vector, 0.5)
    moved = plan.dose_at(2) * state.norm(dim=-1)
    assert plan.dose_at(2) == 0.5
    assert moved.shape == (1, 3)
    with pytest.raises(EmospaceError, match="Give a dose"):
        plan_steering(llama, vector)
    assert generate(llama, [PROMPT], vector, dose=0.0, sampling=SHORT).texts == (
        generate(llama, [PROMPT], sampling=SHORT).texts
    )


@pytest.mark.parametrize("latent", [-1, 64])
def test_a_latent_that_is_not_there_is_told_the_range(llama, latent):
    with pytest.raises(EmospaceError, match="the latents 0 to 63"):
        latent_vector(llama, make_sae(), latent)


def test_a_latent_that_writes_nothing_is_no_direction(llama):
    sae = make_sae()
    dead = replace(sae, w_dec=sae.w_dec.index_fill(0, torch.tensor([3]), 0.0))
    with pytest.raises(EmospaceError, match=r"'latent 3' at layer 2 is no direction"):
        latent_vector(llama, dead, 3)


def test_plain_arrays_act_at_the_layers_that_are_named(llama, tmp_path):
    np.save(tmp_path / "tone.npy", ROWS[0])
    save_file({"direction": ROWS[0]}, tmp_path / "tone.safetensors")
    np.save(tmp_path / "two.npy", ROWS)
    unit = ROWS[0] / np.linalg.norm(ROWS[0])
    for name in ("tone.npy", "tone.safetensors"):
        vector = read_direction(tmp_path / name, llama, (1, 3))
        assert (vector.name, vector.layers) == ("tone", (1, 3))
        np.testing.assert_allclose(vector.directions[3], unit, atol=1e-6)
    two = read_direction(tmp_path / "two.npy", llama, (1, 3), "constant")
    np.testing.assert_allclose(two.directions[3] @ ROWS[1], np.linalg.norm(ROWS[1]), rtol=1e-5)
    assert two.mode == "constant"


def test_named_tensors_say_their_layers_and_keep_the_proportions_of_their_lengths(llama, tmp_path):
    save_file({"layer.1": ROWS[0], "layer.3": 3 * ROWS[1]}, tmp_path / "tone.safetensors")
    vector = read_direction(tmp_path / "tone.safetensors", llama, mode="constant")
    added = {layer: vector.shares[layer] * vector.medians[layer] for layer in vector.layers}
    lengths = np.linalg.norm(ROWS, axis=1)
    assert added[3] / added[1] == pytest.approx(3 * lengths[1] / lengths[0])
    assert sum(vector.shares.values()) == pytest.approx(1)
    assert read_direction(tmp_path / "tone.safetensors", llama, (3,)).layers == (3,)


def test_what_was_exported_is_read_again(llama, tmp_path):
    vector = SteeringVector(
        name="joy",
        kind="dense",
        directions={2: ROWS[0], 3: ROWS[1]},
        shares={2: 0.3, 3: 0.7},
        medians=read_medians(llama, tmp_path),
        model=llama.name,
        model_hash=llama.weights_hash,
        mode="constant",
    )
    path = export_vector(vector, tmp_path / "joy", "gguf", llama, 0.8)
    again = read_direction(path, llama, mode="constant")
    assert again.layers == (2, 3)
    for layer in again.layers:
        assert again.shares[layer] == pytest.approx(vector.shares[layer], rel=1e-4)
        np.testing.assert_allclose(again.directions[layer], vector.directions[layer], atol=1e-6)
    saved = read_direction(vector.save(tmp_path / "saved.safetensors"), llama)
    assert (saved.name, saved.mode, dict(saved.shares)) == ("joy", "constant", dict(vector.shares))


def read_medians(model, folder):
    np.save(folder / "any.npy", ROWS[0])
    return dict(read_direction(folder / "any.npy", model, (2, 3)).medians)


@pytest.mark.parametrize(
    ("name", "tensors", "layers", "why"),
    [
        ("a.npy", ROWS[0], (), f"does not say at which layer it acts. Give layers, as --layers 1: 1 to {N_BLOCKS}"),
        ("a.npy", ROWS[0], (9,), f"layers 1 to {N_BLOCKS} of this model"),
        ("a.npy", ROWS[0, :7], (1,), rf"its shape is \[7\].* width {D_MODEL}"),
        ("a.npy", ROWS, (1,), r"2 rows for the 1 layers \[1\]"),
        ("a.npy", np.zeros(D_MODEL), (1,), "is no direction"),
        ("a.npy", np.full(D_MODEL, np.nan), (1,), "is no direction|lacks|finite"),
        ("a.npy", np.array(["joy"]), (1,), "no direction could be read"),
        ("a.safetensors", {"x": ROWS[0], "y": ROWS[1]}, (1,), "it holds the tensors x, y"),
        ("a.safetensors", {"layer.1": ROWS[0]}, (2,), r"it has the layers \[1\]"),
        ("a.safetensors", {}, (1,), r"it holds the tensors \(none\)"),
        ("a.bin", None, (1,), "ends in .safetensors, .npy, .gguf, .pt"),
        ("a.pt", None, (1,), "other objects than tensors and numbers"),
        ("a.gguf", None, (1,), "no direction could be read"),
        ("a.npy", None, (1,), "no direction could be read"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_told_what_would(llama, tmp_path, name, tensors, layers, why):
    path = tmp_path / name
    if isinstance(tensors, dict):
        save_file(tensors, path)
    elif tensors is not None:
        np.save(path, tensors)
    else:
        path.write_bytes(b"nothing of the kind")
    with pytest.raises(EmospaceError, match=why):
        read_direction(path, llama, layers)


def test_a_file_that_is_not_there_is_told(llama, tmp_path):
    for name in ("absent.npy", "absent.gguf", "absent.safetensors"):
        with pytest.raises(EmospaceError, match="no direction could be read"):
            read_direction(tmp_path / name, llama, (1,))


# --- the command line


@pytest.fixture
def run(monkeypatch, llama):
    import emospace.models
    import emospace.sae
    import emospace.steering.bank

    def nothing(*_):
        raise EmospaceError("the model", "it has no vectors", "Make them: emospace steer calibrate")

    monkeypatch.setattr(emospace.models, "load_model", lambda *_, **__: llama)
    monkeypatch.setattr(emospace.steering.bank, "load_vectors", nothing)
    monkeypatch.setattr(emospace.sae, "sae_for", lambda *_: make_sae())
    return lambda *arguments: CliRunner().invoke(app, ["steer", *map(str, arguments)])


def test_latents_and_files_need_no_calibrated_vectors_and_say_so(run, llama, tmp_path):
    done = run("--latent", 5, "--dose", 0.4, "--n-tokens", 6, PROMPT, "--json")
    assert done.exit_code == 0, done.output
    steered = json.loads(done.stdout)["steered"]
    assert (steered["vector"], steered["layers"], steered["dose"]) == ("latent 5", [2], 0.4)
    assert steered["calibrated"] is False
    np.save(tmp_path / "tone.npy", ROWS[0])
    done = run(*("--direction", tmp_path / "tone.npy", "--layers", 1, "--dose", 0.4, "--n-tokens", 6, PROMPT))
    assert done.exit_code == 0, done.output
    assert "tone (dense) · relative dose 0.4 (no calibrated range) · layers 1" in done.output
    shown = run("show", "--latent", 5, "--top", 3)
    assert shown.exit_code == 0, shown.output
    assert "latent 5" in shown.output
    exported = run(
        "export", "--latent", 5, "--dose", 0.4, "--format", "gguf", "--out", tmp_path / "five.gguf"
    )
    assert exported.exit_code == 0, exported.output
    assert read_direction(tmp_path / "five.gguf", llama).layers == (2,)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--latent", 64, "--dose", 0.4, PROMPT), "the latents 0 to 63"),
        (("--latent", 5, PROMPT), "Give a dose"),
        (("--latent", 5, "--emotion", "joy", PROMPT), "--emotion joy and --latent 5: both name the tone"),
        (("--latent", 5, "--direction", "a.npy", PROMPT), "both name the tone"),
        (("--latent", 5, "--dose", 0.4, "--layers", 1, PROMPT), "does not exist at layers [1]"),
    ],
)
def test_what_cannot_be_is_one_message(run, arguments, why):
    done = run(*arguments)
    assert done.exit_code == 2
    assert why in done.stderr


def test_a_model_without_an_autoencoder_says_where_to_name_one(run, monkeypatch):
    import emospace.sae

    monkeypatch.setattr(emospace.sae, "sae_for", lambda *_: None)
    done = run("--latent", 5, "--dose", 0.4, PROMPT)
    assert done.exit_code == 2
    assert "--sae FOLDER" in done.stderr


# --- the server


def test_the_server_steers_by_latents():
    engine = make_engine()
    engine.reader = replace(engine.reader, sae=make_sae())
    with TestClient(create_app(engine), base_url=HERE) as client:

        def ask(**given):
            body = {"prompt": PROMPT, "max_tokens": 6, "temperature": 0, **given}
            return client.post("/v1/completions", json=body)

        answer = ask(latent=5, dose=0.9).json()
        assert answer["steering"]["vector"] == "latent 5"
        assert answer["steering"]["calibrated_dose"] is None
        vector = latent_vector(engine.model, make_sae(), 5)
        alone = generate(engine.model, [PROMPT], vector, dose=0.9, sampling=SHORT)
        assert answer["choices"][0]["text"] == alone.texts[0]
        assert answer["steering"]["applications"] == alone.applications
        assert ask(latent=5, dose=0).json()["steering"] is None
        for given, why in (
            ({"latent": 64, "dose": 1}, "the latents 0 to 63"),
            ({"latent": 5}, "no calibrated dose"),
            ({"latent": 5, "emotion": "joy"}, "both name the tone"),
        ):
            refused = ask(**given)
            assert refused.status_code == 400
            assert (refused.json()["error"]["param"], why in refused.json()["error"]["message"]) == (
                "latent",
                True,
            )
        engine.reader = None
        assert "no autoencoder" in ask(latent=5, dose=1).json()["error"]["message"]
