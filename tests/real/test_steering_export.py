"""Exports of a vector for the embedded model: equal to their hook, and how far that is from the default one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from emospace.activations import extract_words, token_states
from emospace.errors import EmospaceError
from emospace.models import EMBEDDED, PACKAGED, load_model
from emospace.steering import DoseRange, SteeringVector, steer
from emospace.steering.export import export_vector

try:
    PACKAGED[EMBEDDED].parts()
except EmospaceError as error:
    pytest.skip(str(error), allow_module_level=True)

LAYERS = (12, 18)
DOSE = 0.1
PROMPTS = ("Tell me about your day.", "How do I boil an egg?", "What is a bicycle made of?")
JOY = ("joy", "delight", "happiness", "cheer", "bliss")
PLAIN = ("table", "river", "paper", "engine", "window")


@pytest.fixture(scope="module")
def model():
    return load_model("embedded", device="cpu")


@pytest.fixture(scope="module")
def prompts(model):
    return [torch.tensor([model.tokenizer(model.render_chat(text))["input_ids"]]) for text in PROMPTS]


@pytest.fixture(scope="module")
def vector(model, prompts):
    joy, plain = (extract_words(model, words, "The word is {word}", LAYERS).states for words in (JOY, PLAIN))
    norms = {
        layer: float(
            np.median(
                np.concatenate([token_states(model, ids, layer)[0, 1:].norm(dim=-1) for ids in prompts])
            )
        )
        for layer in LAYERS
    }
    return SteeringVector(
        name="joy",
        kind="dense",
        directions=dict(zip(LAYERS, (joy.mean(0) - plain.mean(0)), strict=True)),
        medians=norms,
        model=model.name,
        model_hash=model.weights_hash,
        mode="constant",
        calibration={"constant": DoseRange(DOSE, 0.05, 0.15)},
    )


def logits_of(hf_model, prompts) -> list[torch.Tensor]:
    with torch.no_grad():
        return [hf_model(ids).logits[0] for ids in prompts]


def apart(actual, expected) -> float:
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(actual, expected, strict=True))


@pytest.fixture(scope="module")
def hooked(model, vector, prompts):
    with steer(model, vector, first_position=True):
        return logits_of(model.model, prompts)


def test_a_baked_model_equals_its_hook(model, vector, prompts, hooked, tmp_path):
    from transformers import AutoModelForCausalLM

    path = export_vector(vector, tmp_path / "baked", "baked", model)
    baked = AutoModelForCausalLM.from_pretrained(path).eval()
    assert apart(logits_of(baked, prompts), hooked) <= 1e-5


@pytest.mark.parametrize("form", ["gguf", "lm-eval"])
def test_additions_of_other_engines_equal_their_hook(model, vector, prompts, hooked, tmp_path, form):
    from gguf import GGUFReader

    path = export_vector(vector, tmp_path / "joy", form, model)
    if form == "gguf":
        rows = {
            model.blocks[int(tensor.name.removeprefix("direction."))]: torch.tensor(tensor.data.copy())
            for tensor in GGUFReader(str(path)).tensors
        }
    else:
        rows = {
            model.model.base_model.get_submodule(name): step["steering_coefficient"] * step["steering_vector"]
            for name, step in torch.load(path, weights_only=True).items()
        }
    assert len(rows) == len(LAYERS)
    handles = [
        block.register_forward_hook(lambda _module, _args, output, row=row: output + row)
        for block, row in rows.items()
    ]
    try:
        logits = logits_of(model.model, prompts)
    finally:
        for handle in handles:
            handle.remove()
    assert apart(logits, hooked) <= 1e-5


def test_the_first_position_makes_a_difference_that_is_small_beside_steering(model, vector, prompts, hooked):
    """Figures of docs/steering-export.md."""
    plain = logits_of(model.model, prompts)
    with steer(model, vector):
        default = logits_of(model.model, prompts)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(default, plain, strict=True))
    cost, effect = (
        apart([a[1:] for a in x], [b[1:] for b in y]) for x, y in ((hooked, default), (default, plain))
    )
    assert 0 < cost < 0.1 * effect
