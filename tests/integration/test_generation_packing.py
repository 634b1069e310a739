"""Weights laid out once for generating: the same numbers, nothing stale, nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest
import torch

from conftest import counting, make_hf_model, make_tokenizer
from emospace.generation import Sampling, generate, packing
from emospace.models import load_model, onednn, wrap_model

pytestmark = pytest.mark.skipif(not onednn.has_onednn(), reason="this torch has no oneDNN")

SAMPLING = Sampling(n_tokens=6, temperature=0.0, least_tokens=6)
PROMPTS = ["the day was", "a word", "she felt very much"]


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr(packing, "FEWEST_WEIGHTS", 1)
    return wrap_model(make_hf_model("llama"), make_tokenizer(), name="tiny")


@pytest.fixture
def products(monkeypatch):
    made = Counter()
    monkeypatch.setattr(packing, "product", counting(made, "product", onednn.product))
    return made


def logits(model):
    with torch.inference_mode(), packing.packed(model):
        return model.model(input_ids=torch.tensor([[1, 40, 41, 42]])).logits


def test_packed_products_are_those_of_the_layers(model, products):
    with torch.inference_mode():
        expected = model.model(input_ids=torch.tensor([[1, 40, 41, 42]])).logits
    assert torch.allclose(logits(model), expected, atol=1e-5)
    layers = [part for part in model.model.modules() if type(part) is torch.nn.Linear]
    assert products["product"] == len(layers)


def test_weights_are_packed_once(model, monkeypatch):
    packs = Counter()
    monkeypatch.setattr(packing, "_pack", counting(packs, "pack", packing._pack))
    generate(model, PROMPTS, sampling=SAMPLING)
    n = packs["pack"]
    generate(model, PROMPTS, sampling=SAMPLING)
    assert packs["pack"] == n > 0


def test_a_weight_that_was_written_to_is_packed_anew(model):
    before = logits(model)
    with torch.no_grad():
        model.blocks[0].mlp.up_proj.weight.mul_(3.0)
        model.blocks[1].mlp.down_proj.weight = torch.nn.Parameter(model.blocks[1].mlp.down_proj.weight * 2)
    after = logits(model)
    with torch.inference_mode():
        expected = model.model(input_ids=torch.tensor([[1, 40, 41, 42]])).logits
    assert not torch.allclose(after, before)
    assert torch.allclose(after, expected, atol=1e-5)


def test_nothing_is_left_on_the_model_though_the_pass_fails(model):
    with pytest.raises(ZeroDivisionError), packing.packed(model):
        raise ZeroDivisionError
    assert not any("forward" in vars(part) for part in model.model.modules())


def test_gradients_go_through_the_layers_themselves(model, products):
    with packing.packed(model):
        model.model(input_ids=torch.tensor([[1, 40]])).logits.sum().backward()
    assert not products
    assert model.blocks[0].mlp.up_proj.weight.grad is not None


def test_a_layer_that_became_another_runs_as_it_is(model, products):
    logits(model)
    n = products["product"]
    model.blocks[0].mlp.up_proj = torch.nn.Sequential(model.blocks[0].mlp.up_proj, torch.nn.Identity())
    model.model.to(torch.float64)
    assert logits(model).dtype == torch.float64
    assert products["product"] == n


def test_a_model_that_is_too_large_to_hold_twice_is_not_packed(model, products, monkeypatch):
    monkeypatch.setattr(packing, "MOST_BYTES", 1000)
    generate(model, PROMPTS, sampling=SAMPLING)
    assert not products


def test_without_the_operators_layers_run(model, products, monkeypatch):
    monkeypatch.setattr(packing, "has_onednn", lambda: False)
    generate(model, PROMPTS, sampling=SAMPLING)
    assert not products


ROWS = """
import torch
from emospace.models.onednn import has_onednn, product
assert has_onednn()
weight = torch.ops.mkldnn._reorder_linear_weight(torch.ones(24, 16), 8)
with torch.inference_mode():
    for n in [*range(1, 101), 1]:
        product(torch.ones(n, 16), weight)
"""


@pytest.mark.parametrize(("asked", "n_compiled"), [({}, 2), (dict.fromkeys(onednn.KEPT, "1000"), 1)])
def test_products_of_few_shapes_are_kept_compiled_unless_the_user_asks_for_more(asked, n_compiled):
    """Each shape takes half a megabyte, and a server sees hundreds."""
    environment = {name: value for name, value in os.environ.items() if name not in onednn.KEPT}
    environment |= {"ONEDNN_VERBOSE": "profile_create", **asked}
    done = subprocess.run(
        [sys.executable, "-c", ROWS], env=environment, capture_output=True, text=True, check=True
    )
    compiled = [
        line for line in done.stdout.splitlines() if "create:cache_miss" in line and "mb1ic16oc24" in line
    ]
    assert len(compiled) == n_compiled


def test_a_loaded_model_keeps_few_products_before_any_is_made(tmp_path, monkeypatch):
    make_hf_model("llama").save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    for name in onednn.KEPT:
        monkeypatch.delenv(name, raising=False)
    load_model(str(tmp_path), device="cpu")
    assert {name: os.environ[name] for name in onednn.KEPT} == onednn.KEPT
