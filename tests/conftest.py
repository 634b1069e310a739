"""Shared fixtures: tiny models with random weights and a tiny tokenizer, made here; nothing is downloaded."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
# Threads that spin while they wait take the processors from those that work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Workers that have more threads than processors wait for one another: a test of one second then takes fifty.
os.environ.setdefault(
    "OMP_NUM_THREADS",
    str(max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))),
)
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest

N_BLOCKS, D_MODEL, WINDOW = 3, 32, 4

TEXTS = (
    "The word is joy. The word is grief. The word for what they felt is calm.",
    "She laughed with joy and he wept with grief; the fear was gone and the anger too.",
    "the happiness of a quiet evening, the sadness of a long rain, the hope of spring",
    "这个词是快乐。这个词是悲伤。他们感到快乐。",
    "这个词是快乐。这个词是愤怒。我很快乐。",
)
WORDS = (
    "joy",
    "grief",
    "fearlessness",
    "calm",
    "anger",
    "hopelessly happy",
    "unaccountable",
    "rain",
    "a",
    "sad",
)
CARRIER = "The word for what they felt on that long evening is {word}"

_COMMON = {
    "hidden_size": D_MODEL,
    "num_hidden_layers": N_BLOCKS,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
_GATED = {**_COMMON, "intermediate_size": 48, "num_key_value_heads": 2}
_SLIDING = ["sliding_attention", "full_attention", "sliding_attention"]
_GEMMA = {**_GATED, "head_dim": 8}
_GEMMA3 = {**_GEMMA, "sliding_window": WINDOW, "layer_types": _SLIDING, "query_pre_attn_scalar": 8}

FAMILIES: dict[str, tuple[str, dict[str, object]]] = {
    "llama": ("LlamaConfig", _GATED),
    "qwen2": ("Qwen2Config", _GATED),
    "qwen3": ("Qwen3Config", {**_GATED, "head_dim": 8}),
    "gemma": ("GemmaConfig", _GEMMA),
    "gemma2": ("Gemma2Config", {**_GEMMA, "sliding_window": WINDOW, "query_pre_attn_scalar": 8}),
    "gemma3": ("Gemma3Config", {"text_config": _GEMMA3}),
    "gemma3_text": ("Gemma3TextConfig", _GEMMA3),
    "mistral": ("MistralConfig", {**_GATED, "sliding_window": WINDOW}),
    "phi": ("PhiConfig", {**_COMMON, "intermediate_size": 48}),
    "phi3": ("Phi3Config", {**_GATED, "sliding_window": WINDOW}),
    "gpt2": ("GPT2Config", {"n_embd": D_MODEL, "n_layer": N_BLOCKS, "n_head": 4, "n_positions": 256}),
    "gpt_neox": ("GPTNeoXConfig", {**_COMMON, "intermediate_size": 48}),
    "olmo2": ("Olmo2Config", _GATED),
    "bloom": ("BloomConfig", {"hidden_size": D_MODEL, "n_layer": N_BLOCKS, "n_head": 4}),
    "falcon": ("FalconConfig", {**_COMMON, "alibi": False, "new_decoder_architecture": False}),
    "falcon_alibi": ("FalconConfig", {**_COMMON, "alibi": True, "multi_query": False}),
    "falcon_grouped": (
        "FalconConfig",
        {**_COMMON, "alibi": False, "new_decoder_architecture": True, "num_kv_heads": 2},
    ),
}
"""Every listed family, and the variants of Falcon that keep position and keys in another way."""


@pytest.fixture(autouse=True)
def _own_cache(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Give each test module a cache of its own: `real` alone uses the user's, and no module finds another's vectors."""
    path = request.path.relative_to(Path(__file__).parent)
    if "real" not in path.parts:
        name = "-".join(path.with_suffix("").parts)
        monkeypatch.setenv("EMOSPACE_CACHE", str(tmp_path_factory.getbasetemp() / "emospace-cache" / name))


def make_sae(n_latents: int = 64):
    """Return a top-k autoencoder of the tiny models' layer 2 with random directions."""
    import numpy as np
    import torch

    from emospace.sae import SparseAutoencoder

    decoder = torch.tensor(np.random.default_rng(0).normal(size=(n_latents, D_MODEL)), dtype=torch.float32)
    return SparseAutoencoder(
        w_enc=decoder.T.clone(),
        b_enc=torch.zeros(n_latents),
        w_dec=decoder / decoder.norm(dim=1, keepdim=True),
        b_dec=torch.zeros(D_MODEL),
        architecture="topk",
        layer=2,
        k=8,
    )


@cache
def make_tokenizer(*, adds_bos: bool = False, bos: bool = True):
    """Return a byte-level BPE of a few hundred pieces in which Chinese pieces cross word boundaries."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 4, trainer)
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", bos_token="<s>" if bos else None
    )


def randomise(model, seed: int = 0) -> None:
    """Give every weight a size at which attention, positions and biases all matter."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.ndim == 1:
                weight.add_(0.2 * noise)
            else:
                weight.copy_(noise * 1.5 / weight.shape[-1] ** 0.5)


def make_hf_model(family: str, seed: int = 0, **settings: object):
    """Return a tiny `transformers` model of a family with random weights."""
    import torch
    import transformers

    config_name, given = FAMILIES[family]
    tokens = {"vocab_size": len(make_tokenizer()), "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    given = {**given, **settings}
    if family == "gemma3":
        given = {
            "text_config": {**given["text_config"], **tokens},
            "vision_config": {
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 28,
                "patch_size": 14,
            },
            "mm_tokens_per_image": 4,
        }
    config = getattr(transformers, config_name)(**given, **tokens)
    torch.manual_seed(seed)
    kind = (
        transformers.Gemma3ForConditionalGeneration
        if family == "gemma3"
        else transformers.AutoModelForCausalLM
    )
    model = kind(config) if family == "gemma3" else kind.from_config(config)
    randomise(model, seed)
    return model.eval()


@cache
def tiny(family: str = "llama", *, adds_bos: bool = False):
    """Return the family's tiny model as a `LanguageModel`; shared, so not to be changed."""
    from emospace.models import wrap_model

    return wrap_model(make_hf_model(family), make_tokenizer(adds_bos=adds_bos), name=f"tiny-{family}")


def with_chat_template(model):
    """Return a model as if it were a chat model: its tokenizer copied and given a chat template."""
    from copy import deepcopy

    from emospace.models import wrap_model

    tokenizer = deepcopy(model.tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    return wrap_model(model.model, tokenizer, name=model.name, identity=dict(model.identity))


def counting(done, name, inner):
    """Return a function that does what `inner` does and counts its calls in ``done[name]``."""

    def wrapped(*args, **options):
        done[name] += 1
        return inner(*args, **options)

    return wrapped


@pytest.fixture(scope="session")
def llama():
    """Return a tiny Llama."""
    return tiny("llama")
