"""Models that `accelerate` spreads over devices give the states of one device."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import CARRIER, N_BLOCKS, WORDS, make_hf_model, make_tokenizer
from emospace.activations import extract_words
from emospace.models import load_model, wrap_model

accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")

LAYERS = range(N_BLOCKS + 1)


@pytest.mark.parametrize(
    ("family", "root", "blocks"),
    [("llama", "model", "layers"), ("gemma2", "model", "layers"), ("gpt2", "transformer", "h")],
)
@pytest.mark.parametrize("away", [(0,), (1,), (N_BLOCKS - 1,), tuple(range(N_BLOCKS))], ids=str)
def test_blocks_that_are_kept_elsewhere_give_the_same_states(family, root, blocks, away, tmp_path):
    """Blocks on disk have no weights between runs, as those a GPU has no room for: they lie on `meta`."""
    from transformers import AutoModelForCausalLM

    make_hf_model(family).save_pretrained(tmp_path / "model")
    make_tokenizer().save_pretrained(tmp_path / "model")
    whole = load_model(str(tmp_path / "model"), device="cpu")
    places = {name: "cpu" for name, _ in whole.model.named_children() if name != root}
    for name, _ in whole.model.get_submodule(root).named_children():
        if name != blocks:
            places[f"{root}.{name}"] = "cpu"
    for block in range(N_BLOCKS):
        places[f"{root}.{blocks}.{block}"] = "disk" if block in away else "cpu"
    spread = wrap_model(
        AutoModelForCausalLM.from_pretrained(
            tmp_path / "model", device_map=places, offload_folder=tmp_path / "away"
        ),
        whole.tokenizer,
        identity={"sha256": "the same"},
    )
    assert {next(block.parameters()).device.type for block in spread.blocks} == (
        {"meta"} if len(away) == N_BLOCKS else {"meta", "cpu"}
    )
    assert spread.device.type == "cpu"
    for layers in (LAYERS, [0], [1]):
        expected = extract_words(whole, WORDS, CARRIER, layers).states
        # Twice: stopping after the last wanted block leaves the weights as they were.
        for _ in range(2):
            assert np.array_equal(extract_words(spread, WORDS, CARRIER, layers).states, expected)


def test_map_loads_and_gives_the_same_states(tmp_path):
    make_hf_model("llama").save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    expected = extract_words(load_model(str(tmp_path), device="cpu"), WORDS, CARRIER, LAYERS).states
    spread = load_model(str(tmp_path), device="map")
    states = extract_words(spread, WORDS, CARRIER, LAYERS).states
    if spread.device.type == "cpu":
        assert np.array_equal(states, expected)
    assert np.allclose(states, expected, atol=1e-3)
