"""The embedded model and, once it is shipped, its autoencoder: the real weights, the user's cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import emospace
from emospace.activations import pooled_states, word_spans
from emospace.errors import EmospaceError
from emospace.models import EMBEDDED, PACKAGED, load_model
from emospace.sae import bundled_sae, load_sae

try:
    PACKAGED[EMBEDDED].parts()
except EmospaceError as error:
    pytest.skip(str(error), allow_module_level=True)

CARRIER = "The word is {word}"
WORDS = [
    "joy",
    "grief",
    "fear",
    "calm",
    "anger",
    "rage",
    "delight",
    "sorrow",
    "love",
    "hate",
    "disgust",
    "awe",
    "pride",
    "shame",
    "guilt",
    "hope",
    "envy",
    "table",
    "river",
    "stone",
    "window",
    "engine",
    "paper",
    "seven",
    "quickly",
    "because",
    "null",
    "nan",
    "unaccountable",
    "extraordinarily",
    "heartbroken",
    "bittersweet",
    "melancholy",
    "快乐",
    "悲伤",
    "愤怒",
    "café",
    "naïve",
    "schadenfreude",
    "lovesick",
]
BUNDLED = Path(emospace.__file__).parent / "data" / "sae"


@pytest.fixture(scope="module")
def model():
    return load_model(device="cpu")


def test_the_embedded_model_loads(model):
    assert (model.n_blocks, model.d_model) == (30, 576)
    assert model.identity["name"] == "SmolLM2-135M-Instruct"
    assert model.identity["quantisation"] == "Q4_1"
    assert len(model.identity["sha256"]) == 64
    assert model.model.dtype == torch.float32
    assert "<|im_start|>" in model.render_chat("How are you?")


def test_it_reads(model):
    ids = model.tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        best = int(model.model(ids).logits[0, -1].argmax())
    assert model.tokenizer.decode([best]).strip() == "Paris"


def test_the_span_is_the_word(model):
    for word, span in zip(WORDS, word_spans(model, WORDS, CARRIER), strict=True):
        assert model.tokenizer.decode(span.ids[span.start :]).strip() == word


def test_shared_carrier_states_equal_single_runs_at_all_31_layers(model):
    assert len(WORDS) == 40
    spans = word_spans(model, WORDS, CARRIER)
    layers = range(31)
    shared = np.empty((40, 31, 576), dtype=np.float32)
    for indices, values in pooled_states(model, spans, layers):
        shared[indices] = values
    norm, model.backbone.norm = model.backbone.norm, torch.nn.Identity()
    try:
        with torch.inference_mode():
            single = [
                torch.stack(
                    model.backbone(torch.tensor([span.ids]), output_hidden_states=True).hidden_states
                )[:, 0, -1]
                for span in spans
            ]
    finally:
        model.backbone.norm = norm
    reference = torch.stack(single).numpy()
    error = np.linalg.norm(shared - reference, axis=-1) / np.linalg.norm(reference, axis=-1)
    assert error.max() <= 1e-5, error.max(axis=0)


def test_the_first_position_is_an_outlier_and_so_is_never_pooled(model):
    ids = model.tokenizer("The word is joy", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        norms = model.model(ids, output_hidden_states=True).hidden_states[18][0].norm(dim=-1)
    assert norms[0] > 5 * norms[1:].max()


@pytest.fixture(scope="module")
def shipped(model):
    name = bundled_sae(model)
    if name is None:
        folders = sorted(path.name for path in BUNDLED.iterdir()) if BUNDLED.is_dir() else []
        assert not folders, f"{folders} are shipped, but none is for the embedded model's weights"
        pytest.skip("no autoencoder is shipped in src/emospace/data/sae yet")
    return BUNDLED / name


def test_the_shipped_autoencoder_loads_with_saelens_and_gives_the_same_codes(model, shipped):
    from sae_lens import SAE

    sae = load_sae(shipped.name, model)
    peer = SAE.load_from_disk(shipped, device="cpu")
    states = np.concatenate(
        [values for _, values in pooled_states(model, word_spans(model, WORDS, CARRIER), [sae.layer])]
    )[:, 0]
    with torch.inference_mode():
        codes = peer.encode(torch.from_numpy(states)).float().numpy()
    ours = sae.encode(states).toarray()
    assert ours.shape == (40, sae.n_latents)
    np.testing.assert_allclose(ours, codes, rtol=1e-3, atol=1e-2 * ours.max())
    assert peer.cfg.metadata.hook_name == f"blocks.{sae.layer - 1}.hook_resid_post"


def test_the_shipped_autoencoders_card_reaches_its_figures(shipped, model):
    assert sum(path.stat().st_size for path in shipped.rglob("*") if path.is_file()) <= 16_000_000
    card = load_sae(shipped.name, model).card
    assert card["n_training_tokens"] >= 2_000_000
    assert card["n_heldout_tokens"] >= 100_000
    assert card["loss_recovered"] >= 0.90
    assert card["dead_share"] <= 0.10
    assert 0.5 < card["variance_explained"] < 1
    assert card["loss_clean"] <= card["loss_reconstructed"] < card["loss_mean_ablated"]
    assert abs(sum(card["corpus"].values()) - 1) < 1e-3
    assert {"layer", "n_latents", "k", "seed", "command", "mean_active"} <= set(card)
