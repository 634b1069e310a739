"""Exports held to the hook they state: each is read back and applied by its engine's own convention."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import D_MODEL, N_BLOCKS, make_hf_model, make_tokenizer, tiny
from emospace.artefacts import read_json
from emospace.errors import EmospaceError
from emospace.models import load_model, wrap_model
from emospace.steering import DoseRange, SteeringVector, steer
from emospace.steering.export import BIAS_SLOTS, EXPORTERS, export_vector

IDS = torch.tensor([[5, 17, 44, 9, 31, 60, 3, 8], [8, 3, 11, 70, 12, 13, 14, 2]])
DOSE = 0.4


def make_vector(layers=(2, 3), **given) -> SteeringVector:
    rng = np.random.default_rng(0)
    fields = {
        "name": "joy",
        "kind": "dense",
        "directions": {layer: rng.normal(size=D_MODEL) for layer in layers},
        "medians": {layer: 3.0 + layer for layer in layers},
        "shares": {layer: 1.0 / layer for layer in layers},
        "model": "tiny",
        "model_hash": "",
        "mode": "constant",
        "calibration": {"constant": DoseRange(DOSE, 0.1, 0.5)},
    }
    return SteeringVector(**{**fields, **given})


def logits_of(hf_model) -> torch.Tensor:
    with torch.no_grad():
        return hf_model(IDS).logits


def hooked(model, vector, dose=None, *, first_position=True) -> torch.Tensor:
    with steer(model, vector, dose, mode="constant", first_position=first_position):
        return logits_of(model.model)


def with_additions(hf_model, modules: dict, additions: dict) -> torch.Tensor:
    """Add a row to the output of each module, the way engines do: at every position."""

    def add(row):
        def hook(_module, _args, output):
            if isinstance(output, tuple):
                return (output[0] + row, *output[1:])
            return output + row

        return hook

    handles = [modules[key].register_forward_hook(add(row)) for key, row in additions.items()]
    try:
        return logits_of(hf_model)
    finally:
        for handle in handles:
            handle.remove()


def assert_close(actual, expected):
    assert float((actual - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


@pytest.mark.parametrize("dose", [None, -0.7])
def test_safetensors_and_card_hold_the_dose(llama, tmp_path, dose):
    vector = make_vector((1, 3))
    path = export_vector(vector, tmp_path / "joy", "safetensors", dose=dose)
    loaded = SteeringVector.load(path)
    assert loaded.dose() == (DOSE if dose is None else dose)
    with steer(llama, loaded):
        logits = logits_of(llama.model)
    assert torch.equal(logits, hooked(llama, vector, dose, first_position=False))


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "falcon"])
def test_a_control_vector_of_llama_cpp(family, tmp_path):
    from gguf import GGUFReader

    model, vector = tiny(family), make_vector()
    path = export_vector(vector, tmp_path / "joy", "gguf", model)
    assert path.name == "joy.gguf"
    reader = GGUFReader(str(path))
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.architecture"] == "controlvector"
    assert fields["controlvector.model_hint"] == model.model.config.model_type
    assert fields["controlvector.layer_count"] == 2
    assert all(tensor.tensor_type.name == "F32" and len(tensor.shape) == 1 for tensor in reader.tensors)
    rows = {
        int(tensor.name.removeprefix("direction.")): torch.tensor(tensor.data.copy())
        for tensor in reader.tensors
    }
    assert min(rows) >= 1, "the loader refuses index 0"
    # llama.cpp adds direction.N to the output of the block with index N, from 0.
    logits = with_additions(model.model, dict(enumerate(model.blocks)), rows)
    assert_close(logits, hooked(model, vector))
    assert float((logits - logits_of(model.model)).abs().max()) > 1e-2


def test_llama_cpp_has_no_place_for_the_first_block(llama, tmp_path):
    vector = make_vector((1, 2))
    with pytest.raises(EmospaceError, match="no place for the output of the first block"):
        export_vector(vector, tmp_path / "joy.gguf", "gguf", llama)
    assert export_vector(vector.at([2]), tmp_path / "joy.gguf", "gguf", llama).is_file()


@pytest.mark.parametrize("family", sorted(BIAS_SLOTS))
def test_a_baked_folder_is_the_hook_without_us(family, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, vector = tiny(family), make_vector((1, N_BLOCKS))
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    plain = logits_of(model.model)
    path = export_vector(vector, tmp_path / "baked", "baked", model, dose=-0.3)
    baked = AutoModelForCausalLM.from_pretrained(path).eval()
    assert_close(logits_of(baked), hooked(model, vector, -0.3))
    assert float((logits_of(baked) - plain).abs().max()) > 1e-2
    options = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0}
    with steer(model, vector, -0.3, first_position=True):
        expected = model.model.generate(IDS, **options)
    assert torch.equal(baked.generate(IDS, **options), expected)
    assert AutoTokenizer.from_pretrained(path)("joy")["input_ids"] == model.tokenizer("joy")["input_ids"]
    assert read_json(path / "steering.json")["calibration"]["constant"]["dose"] == -0.3
    assert [file.name for file in path.glob("*.safetensors")] == ["model.safetensors"]
    # The model it was made from is as it was, and the folder loads like any other.
    assert before.keys() == model.model.state_dict().keys()
    assert all(torch.equal(value, before[name]) for name, value in model.model.state_dict().items())
    assert not getattr(model.model.config, "mlp_bias", False)
    if family == "llama":
        assert_close(logits_of(load_model(str(path), device="cpu").model), logits_of(baked))
    with pytest.raises(EmospaceError, match="something is there already"):
        export_vector(vector, path, "baked", model)


def test_biases_and_tied_weights_of_a_llama_are_kept(tmp_path):
    model = wrap_model(
        make_hf_model("llama", mlp_bias=True, tie_word_embeddings=True), make_tokenizer(), identity={}
    )
    vector = make_vector((2,))
    path = export_vector(vector, tmp_path / "once", "baked", model)
    once = load_model(str(path), device="cpu")
    assert_close(logits_of(once.model), hooked(model, vector))
    twice = load_model(str(export_vector(vector, tmp_path / "twice", "baked", once)), device="cpu")
    assert_close(logits_of(twice.model), hooked(model, vector, 2 * DOSE))


@pytest.mark.parametrize("family", ["gemma2", "olmo2", "qwen2", "mistral"])
def test_families_without_the_slot_are_refused(family, tmp_path):
    with pytest.raises(EmospaceError, match=f"family '{family}'.*no bias that reaches the residual stream"):
        export_vector(make_vector(), tmp_path / "baked", "baked", tiny(family))
    assert not (tmp_path / "baked").exists()


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3", "bloom"])
def test_the_steer_file_of_lm_eval(family, tmp_path):
    model, vector = tiny(family), make_vector((1, 2, 3))
    path = export_vector(vector, tmp_path / "joy", "lm-eval", model)
    assert path.name == "joy.pt"
    steps = torch.load(path, weights_only=True)
    for step in steps.values():
        assert step.keys() == {"steering_vector", "steering_coefficient", "action", "bias", "head_index"}
        assert (step["action"], step["bias"], step["head_index"]) == ("add", None, None)
    # lm-eval looks hookpoints up below `base_model` and fails where one is not found.
    modules = {name: module for name, module in model.model.base_model.named_modules() if name in steps}
    assert modules.keys() == steps.keys()
    rows = {name: step["steering_coefficient"] * step["steering_vector"] for name, step in steps.items()}
    assert_close(with_additions(model.model, modules, rows), hooked(model, vector))


@pytest.mark.parametrize("form", sorted(EXPORTERS))
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mode": "relative"}, "mode 'relative'.*depends on each state"),
        ({"scope": "prompt"}, "scope 'prompt'.*does not tell prompt from answer"),
        ({"scope": "response"}, "scope 'response'"),
        ({"op": "clamp"}, "op 'clamp'.*only adds"),
        ({"op": "ablate"}, "op 'ablate'"),
        ({"window": (0, 8)}, "window"),
        ({"calibration": {}}, "no calibrated dose for mode 'constant'"),
    ],
)
def test_what_no_engine_can_hold_is_refused_with_the_reason(llama, tmp_path, form, change, said):
    with pytest.raises(EmospaceError, match=said):
        export_vector(replace(make_vector(), **change), tmp_path / "joy", form, llama)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", sorted(EXPORTERS))
def test_doses_and_models_that_do_not_fit_are_refused(llama, tmp_path, form):
    for dose in (0.0, float("nan"), float("inf")):
        with pytest.raises(EmospaceError, match="steers nothing"):
            export_vector(make_vector(), tmp_path / "joy", form, llama, dose)
    with pytest.raises(EmospaceError, match="acts at layers"):
        export_vector(make_vector((N_BLOCKS + 1,)), tmp_path / "joy", form, llama)
    if form != "safetensors":
        with pytest.raises(EmospaceError, match="Give model="):
            export_vector(make_vector(), tmp_path / "joy", form)
    assert not list(tmp_path.iterdir())


def test_unknown_forms_and_other_models_are_named(llama, tmp_path, caplog):
    with pytest.raises(EmospaceError, match="Did you mean gguf"):
        export_vector(make_vector(), tmp_path / "joy", "ggfu", llama)
    with caplog.at_level(logging.WARNING):
        export_vector(make_vector(model_hash=llama.weights_hash), tmp_path / "a", "gguf", llama)
        assert not caplog.records
        export_vector(make_vector(model_hash="another"), tmp_path / "b", "gguf", llama)
        assert "was made for tiny, not for tiny-llama" in caplog.text
