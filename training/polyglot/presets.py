"""Sizes: what two cores train in some hours, and what a GPU trains in some minutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Preset:
    """Size of the model and of its steps.

    Parameters
    ----------
    n_candidates
        Tokens over which the loss is estimated; None for the whole vocabulary.
    rate, embedding_rate
        Peak learning rates of the blocks, and of the embeddings, which begin with what counting can tell: a fast rate
        would write noise over it.
    minutes
        How long a call trains unless told otherwise.
    """

    n_vocab: int = 65536
    d_model: int = 256
    n_layers: int = 6
    d_ff: int = 704
    d_head: int = 64
    context: int = 128
    batch: int = 32
    n_candidates: int | None = 4096
    rate: float = 2e-3
    embedding_rate: float = 1e-4
    warm_up: int = 100
    weight_decay: float = 0.1
    clip: float = 1.0
    minutes: float = 90.0


PRESETS: Mapping[str, Preset] = {
    "cpu": Preset(),
    "gpu": Preset(n_layers=12, context=256, batch=256, n_candidates=None, rate=3e-3, minutes=22.0),
}


def new_model(preset: Preset, bos: int, eos: int) -> Any:
    """Return an untrained Llama; what writes into the residual stream starts smaller by the root of its count."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    n_heads = preset.d_model // preset.d_head
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=preset.n_vocab,
            hidden_size=preset.d_model,
            intermediate_size=preset.d_ff,
            num_hidden_layers=preset.n_layers,
            num_attention_heads=n_heads,
            num_key_value_heads=n_heads,
            max_position_embeddings=preset.context,
            initializer_range=0.02,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            bos_token_id=bos,
            eos_token_id=eos,
            pad_token_id=eos,
            attn_implementation="sdpa",
        )
    )
    with torch.no_grad():
        for block in model.model.layers:
            block.self_attn.o_proj.weight /= (2 * preset.n_layers) ** 0.5
            block.mlp.down_proj.weight /= (2 * preset.n_layers) ** 0.5
    return model


def flops_per_token(preset: Preset, model: Any) -> float:
    """Return floating-point operations of one trained token: six per weight it meets, and attention's products."""
    blocks: int = sum(weight.numel() for weight in model.model.layers.parameters() if weight.ndim == 2)
    head = (preset.n_candidates or preset.n_vocab) * preset.d_model
    attention = preset.n_layers * preset.d_model * preset.context
    return 6.0 * (blocks + head + attention)
