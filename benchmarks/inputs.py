"""What all tools are given: words, texts, pairs, matrices and model folders, made here and always the same."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from emospace.artefacts import read_json, write_json, write_text
from emospace.concepts import load_concepts
from emospace.lexicon import frequency_table

LANGUAGE = "en"
START = "<|im_start|>"
"""Start token of the tokenizer that all models share; it is written into the texts, and no mean counts it."""

PROMPT = f"{START}user\nTell me about your day.<|im_end|>\n{START}assistant\n"

LLAMA_12 = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 4,
    "intermediate_size": 2048,
    # A random model that shares them only repeats its last token.
    "tie_word_embeddings": False,
}
RANDOM: dict[str, tuple[str, str, dict[str, Any]]] = {
    "tiny": (
        "LlamaConfig",
        "float32",
        {**LLAMA_12, "hidden_size": 96, "num_hidden_layers": 3, "intermediate_size": 192},
    ),
    "llama-12": ("LlamaConfig", "float32", LLAMA_12),
    "llama-3-8b": (
        "LlamaConfig",
        "bfloat16",
        {
            "hidden_size": 4096,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "intermediate_size": 14336,
            "vocab_size": 128256,
            "rope_theta": 500000.0,
        },
    ),
    "gemma-2-9b": (
        "Gemma2Config",
        "bfloat16",
        {
            "hidden_size": 3584,
            "num_hidden_layers": 42,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 256,
            "intermediate_size": 14336,
            "vocab_size": 256000,
        },
    ),
}
"""Models with random weights: class of the config, precision, settings. Their tokenizer is that of SmolLM2."""


@dataclass(frozen=True)
class Sizes:
    """How much of each workload is run."""

    words: int = 5000
    stories: int = 2000
    pairs: int = 200
    new_tokens: int = 128
    served_tokens: int = 48
    batches: tuple[int, ...] = (1, 8, 32)
    permutations: int = 200_000
    bootstraps: int = 5000
    bootstraps_rsatoolbox: int = 100
    categories: tuple[int, ...] = (26, 171)
    ridge: tuple[int, int] = (6000, 2048)
    linear: tuple[int, ...] = (1000, 10_000, 100_000, 200_000)
    sample: int = 256
    product_seconds: float = 3.0

    def part(self, share: float) -> Sizes:
        """Return the same with a share of the words, stories and pairs, for a machine with little time."""
        return replace(
            self, **{name: round(getattr(self, name) * share) for name in ("words", "stories", "pairs")}
        )


QUICK = Sizes(
    words=48,
    stories=24,
    pairs=8,
    new_tokens=16,
    served_tokens=8,
    batches=(1, 2),
    permutations=2000,
    bootstraps=64,
    bootstraps_rsatoolbox=3,
    categories=(8,),
    ridge=(200, 24),
    linear=(32, 64),
    sample=16,
    product_seconds=0.05,
)
GPU = Sizes(words=20_000, sample=2048)


def carrier() -> str:
    """Return the package's first carrier sentence."""
    return load_concepts([LANGUAGE]).carriers[LANGUAGE][0]


def words(n: int) -> list[str]:
    """Return the most frequent ordinary words of the package's lexicon."""
    return list(frequency_table(LANGUAGE).pool[:n])


def many_words(n: int) -> list[str]:
    """Return distinct words and pairs of words in a random order, so that any beginning is like the whole."""
    single = list(frequency_table(LANGUAGE).counts)
    generator = np.random.default_rng(1)
    first, second = generator.permutation(15_000), generator.permutation(15_000)
    pool = frequency_table(LANGUAGE).pool
    joined = [
        f"{pool[(i + shift) % len(pool)]} {pool[j % len(pool)]}"
        for shift in range(15)
        for i, j in zip(first, second, strict=True)
    ]
    every = list(dict.fromkeys([*single, *joined]))
    return [every[index] for index in np.random.default_rng(2).permutation(len(every))[:n]]


def stories(n: int) -> list[str]:
    """Return texts of 5 to 120 lexicon words in sentences, with the start token before them."""
    pool, generator = frequency_table(LANGUAGE).pool[:4000], np.random.default_rng(3)
    lengths = np.clip(generator.lognormal(np.log(25), 0.7, n).astype(int), 5, 120)
    return [
        START + _sentences([pool[i] for i in generator.integers(0, len(pool), length)]) for length in lengths
    ]


def pairs(n: int) -> tuple[list[str], list[str]]:
    """Return texts that speak of joy and the same texts of sadness."""
    sets, generator = load_concepts([LANGUAGE]), np.random.default_rng(4)
    felt = [list(sets.words(LANGUAGE, name)) for name in ("joy", "sadness")]
    filler = stories(n)
    sides: tuple[list[str], list[str]] = ([], [])
    for text in filler:
        index = int(generator.integers(0, 1000))
        for side, known in zip(sides, felt, strict=True):
            side.append(f"{text} What I feel is {known[index % len(known)]}")
    return sides


def matrices(n_categories: int, n_humans: int = 8) -> dict[str, np.ndarray]:
    """Return a model's and several people's condensed dissimilarities, which share a structure."""
    generator = np.random.default_rng(5)
    points = generator.normal(size=(n_categories, 6))

    def seen(noise: float) -> np.ndarray:
        rows, columns = np.triu_indices(n_categories, 1)
        moved = points + noise * generator.normal(size=points.shape)
        return np.linalg.norm(moved[rows] - moved[columns], axis=1)

    return {"model": seen(1.0), "humans": np.stack([seen(0.7) for _ in range(n_humans)])}


def regression(n: int, d: int, n_targets: int = 2, n_alphas: int = 13) -> dict[str, np.ndarray]:
    """Return a regression whose features have mean 0 and variance 1 in each of five contiguous folds.

    Then standardisation on any union of folds changes nothing, and a ridge that standardises its training words
    (emospace) is the one that does not (`RidgeCV`): predictions can be held against one another to the last digits.
    """
    generator = np.random.default_rng(6)
    mixing = generator.normal(size=(d, d)) / np.sqrt(d) + 0.5 * np.eye(d)
    x = generator.normal(size=(n, d)) @ mixing
    for fold in np.array_split(np.arange(n), 5):
        x[fold] -= x[fold].mean(0)
        x[fold] /= x[fold].std(0)
    y = x @ generator.normal(size=(d, n_targets)) / np.sqrt(d) + generator.normal(size=(n, n_targets))
    test = generator.normal(size=(min(n, 500), d))
    return {"x": x, "y": y, "test": test, "alphas": np.geomspace(1e-2, 1e4, n_alphas) * n / 1000}


def write_inputs(folder: Path, sizes: Sizes) -> dict[str, Path]:
    """Write all inputs but the models; return their files."""
    said, all_words = carrier(), words(max(sizes.words, 256))
    texts, (positive, negative) = stories(sizes.stories), pairs(sizes.pairs)
    files: dict[str, dict[str, Any]] = {
        "words": {"words": all_words[: sizes.words], "carrier": said},
        "words_small": {"words": _spread(all_words[: sizes.words], sizes.sample), "carrier": said},
        "words_few": {"words": all_words[:16], "carrier": said},
        "stories": {"texts": texts},
        "stories_small": {"texts": _spread(texts, sizes.sample // 8)},
        "pairs": {"positive": positive, "negative": negative},
        "pairs_small": {"positive": positive[: sizes.sample], "negative": negative[: sizes.sample]},
        "norm_texts": {"texts": texts[:8]},
    }
    vocabulary = many_words(max(sizes.linear))
    files |= {f"linear_{n}": {"words": vocabulary[:n], "carrier": said} for n in sizes.linear}
    for name, value in files.items():
        write_json(folder / f"{name}.json", value)
    for n in sizes.categories:
        np.savez(folder / f"matrices_{n}.npz", **matrices(n))
    np.savez(folder / "regression.npz", **regression(*sizes.ridge))
    np.savez(folder / "regression_small.npz", **regression(50, 6))
    return {path.stem: path for path in folder.iterdir() if path.suffix in {".json", ".npz"}}


def model_folder(name: str, home: Path, device: str = "cpu") -> Path:
    """Return a model as a folder that every tool's `transformers` reads, making it where it is not there."""
    folder = home / name
    if (folder / "ready").is_file():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    source = _embedded_folder()
    if name == "smollm2":
        folder.mkdir(parents=True)
        for file in source.iterdir():
            (os.symlink if file.suffix == ".safetensors" else shutil.copy)(file, folder / file.name)
    elif name in RANDOM:
        _save_random(name, folder, source, device)
    else:
        raise ValueError(f"no model {name}: smollm2, {', '.join(RANDOM)}")
    _for_every_version(folder)
    write_text(folder / "ready", "")
    return folder


def _embedded_folder() -> Path:
    """Return the folder that emospace made of the embedded GGUF file."""
    from emospace.models import load_model

    return Path(load_model("embedded").model.config._name_or_path)


def _save_random(name: str, folder: Path, source: Path, device: str) -> None:
    import torch
    import transformers

    kind, dtype, settings = RANDOM[name]
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    settings = {"vocab_size": len(tokenizer), "max_position_embeddings": 8192, **settings}
    theta = settings.pop("rope_theta", 10000.0)
    config = getattr(transformers, kind)(
        **settings,
        rope_parameters={"rope_theta": theta, "rope_type": "default"},
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _for_every_version(folder: Path) -> None:
    """Say in the files of `transformers` 5 what older versions look for elsewhere."""
    path = folder / "config.json"
    config = read_json(path)
    config["rope_theta"] = config["rope_parameters"]["rope_theta"]
    config["torch_dtype"] = config["dtype"]
    write_text(path, json.dumps(config, indent=2))
    path = folder / "tokenizer_config.json"
    settings = read_json(path)
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    write_text(path, json.dumps(settings, indent=2))


def _sentences(chosen: Sequence[str]) -> str:
    """Return words as sentences of nine."""
    parts = [" ".join(chosen[low : low + 9]) for low in range(0, len(chosen), 9)]
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in parts)


def _spread(items: Sequence[str], n: int) -> list[str]:
    """Return about `n` items, an even number, from all over a list."""
    chosen = list(items[:: max(1, len(items) // n)])[:n]
    return chosen[: len(chosen) // 2 * 2]
