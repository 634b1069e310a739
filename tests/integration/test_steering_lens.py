"""What a vector says: promoted tokens, nearest latents, nearest vectors, on directions planted in tiny models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conftest import D_MODEL, N_BLOCKS, tiny
from emospace.errors import EmospaceError
from emospace.steering import SteeringVector
from emospace.steering.lens import nearest_latents, nearest_vectors, promoted_tokens
from small_study import random_sae


def vector_of(directions, name="planted"):
    layers = dict.fromkeys(directions, 1.0)
    return SteeringVector(name, "dense", directions, layers, "tiny", "hash")


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3_text", "gpt_neox"])
def test_the_token_whose_unembedding_is_planted_is_promoted_most(family):
    model = tiny(family)
    rows = model.model.get_output_embeddings().weight.detach().float().numpy()
    token = int(model.tokenizer("joy", add_special_tokens=False)["input_ids"][0])
    vector = vector_of({1: rows[token], N_BLOCKS: -rows[token]})
    promoted = promoted_tokens(model, vector, 3)
    assert list(promoted) == [1, N_BLOCKS]
    assert promoted[1][0][0] == model.tokenizer.decode([token])
    assert promoted[1][0][1] > 3
    assert [z for _, z in promoted[1]] == sorted((z for _, z in promoted[1]), reverse=True)
    suppressed = promoted_tokens(model, vector, 3, suppressed=True)
    assert suppressed[N_BLOCKS][0][0] == model.tokenizer.decode([token])
    assert suppressed[N_BLOCKS][0][1] < -3


def test_a_vector_of_another_width_is_refused():
    with pytest.raises(EmospaceError, match="width"):
        promoted_tokens(tiny("llama"), vector_of({1: np.ones(D_MODEL + 1)}))


def test_the_latent_whose_decoder_row_is_planted_is_nearest():
    sae = random_sae()
    rows = sae.w_dec.numpy()
    vector = vector_of({sae.layer: rows[7] + 0.9 * rows[11]})
    (first, cosine), (second, _) = nearest_latents(vector, sae, 2)
    assert (first, second) == (7, 11)
    assert cosine == pytest.approx(float(vector.directions[sae.layer] @ rows[7]), abs=1e-5)
    assert nearest_latents(replace(vector, directions={1: rows[7]}, shares={}, medians={1: 1.0}), sae) == []


def test_vectors_are_compared_at_the_layers_they_share():
    x, y = np.eye(D_MODEL)[:2]
    others = {
        "alike": vector_of({1: x, 2: x}),
        "half": vector_of({1: x, 2: y, 3: y}),
        "opposite": vector_of({2: -x}),
        "elsewhere": vector_of({3: x}),
    }
    assert nearest_vectors(vector_of({1: x, 2: x}), others) == [
        ("alike", 1.0),
        ("half", 0.5),
        ("opposite", -1.0),
    ]
