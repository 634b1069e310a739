"""The tiny Llama of the tests as a GGUF file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from conftest import make_hf_model, make_tokenizer


def write_gguf(path: Path, *, quantised: bool = False) -> None:
    """Write the tiny Llama as GGUF with its tokenizer, its weights in 8 bits where their rows fill whole blocks."""
    import gguf
    from gguf.quants import quantize

    hf, tokenizer = make_hf_model("llama"), make_tokenizer()
    config, heads = hf.config, {"q_proj": 4, "k_proj": 2}
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(8)
    writer.add_vocab_size(config.vocab_size)
    pieces = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(pieces)
    writer.add_token_types([3] * 3 + [1] * (len(pieces) - 3))
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    names = {
        "embed_tokens": "token_embd",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "q_proj": "attn_q",
        "k_proj": "attn_k",
        "v_proj": "attn_v",
        "o_proj": "attn_output",
        "gate_proj": "ffn_gate",
        "up_proj": "ffn_up",
        "down_proj": "ffn_down",
        "norm": "output_norm",
        "lm_head": "output",
    }
    for name, weight in hf.state_dict().items():
        parts = name.split(".")
        block = f"blk.{parts[2]}." if parts[1] == "layers" else ""
        array = weight.numpy()
        if parts[-2] in heads:
            # llama.cpp keeps the two halves of each head's rotary pairs interleaved.
            n = heads[parts[-2]]
            array = array.reshape(n, 2, array.shape[0] // n // 2, -1).swapaxes(1, 2).reshape(array.shape)
        array, kind = np.ascontiguousarray(array), None
        if quantised and array.ndim == 2 and array.shape[1] % 32 == 0:
            kind = gguf.GGMLQuantizationType.Q8_0
            array = quantize(array, kind)
        writer.add_tensor(f"{block}{names[parts[-2]]}.weight", array, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
