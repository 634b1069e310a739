"""A study of a tiny random model: concepts, ratings and an autoencoder of a size that runs in a second."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from conftest import D_MODEL, make_hf_model, make_tokenizer
from emospace.lexicon import pool_words
from emospace.sae import SparseAutoencoder, save_sae
from emospace.study import StudySpec

N_LATENTS, N_NORMED = 192, 150
# A random model tells words apart by their last letters, so every category has an ending of its own.
ENGLISH = {
    "joy": "joyful cheerful hopeful delightful gleeful playful blissful thankful",
    "fear": "scared frightened alarmed panicked startled terrified spooked shaken",
    "anger": "raging fuming seething hating fighting yelling storming snarling",
    "sadness": "sadness gloominess loneliness emptiness bleakness weariness hopelessness sickness",
    "disgust": "nasty filthy slimy sticky yucky mouldy smelly dirty",
    "surprise": "amazement astonishment bewilderment wonderment puzzlement bafflement bedazzlement excitement",
}
CHINESE = {
    "joy": "快乐 欢乐 喜乐 安乐 享乐 极乐 可乐 和乐",
    "fear": "恐怕 害怕 惧怕 可怕 生怕 只怕 后怕 哪怕",
    "anger": "愤怒 发怒 恼怒 震怒 激怒 大怒 狂怒 动怒",
    "sadness": "悲伤 忧伤 哀伤 感伤 创伤 受伤 损伤 重伤",
    "disgust": "恶心 烦心 伤心 痛心 寒心 灰心 糟心 堵心",
    "surprise": "吃惊 震惊 惊惊 大惊 心惊 受惊 虚惊 一惊",
}


def write_concepts(path: Path, language: str, sets: dict[str, str]) -> None:
    lines = [f'language = "{language}"', 'carriers = ["The word is {word}", "One says {word}"]']
    for name, words in sets.items():
        listed = json.dumps(words.split(), ensure_ascii=False)
        lines += [f'["{name}"]', f'labels = ["{words.split()[0]}"]', f"words = {listed}"]
    path.write_text("\n".join(lines), encoding="utf-8")


def write_norms(path: Path, language: str, sets: dict[str, str], seed=0, n=N_NORMED) -> None:
    """Write ratings that follow the last letter, with rater SD and n, and the card that tells the scale."""
    concepts = [word for words in sets.values() for word in words.split()]
    words = [*concepts, *pool_words(language, concepts)[: n - len(concepts)]]
    rng = np.random.default_rng(seed)
    last = {word: sum(map(ord, word[-1:])) for word in words}
    ratings = {"valence": 17, "arousal": 29}
    columns: dict[str, object] = {"word": words}
    for target, step in ratings.items():
        mean = 2 + 6 * (np.array([last[word] * step % 31 for word in words]) / 31) + rng.normal(0, 0.4, n)
        columns |= {target: mean.clip(1, 9).round(3), f"{target}_sd": 1.5, f"{target}_n": 20}
    pd.DataFrame(columns).to_csv(path, index=False)
    card = f'language = "{language}"\nscale = [1, 9]\nreversed = []\n'
    path.with_name(path.name + ".toml").write_text(card, encoding="utf-8")


def random_sae(d_model=D_MODEL) -> SparseAutoencoder:
    generator = torch.Generator().manual_seed(5)
    weights = torch.randn(N_LATENTS, d_model, generator=generator)
    weights /= weights.norm(dim=1, keepdim=True)
    return SparseAutoencoder(
        w_enc=weights.T.contiguous(),
        b_enc=torch.zeros(N_LATENTS),
        w_dec=weights,
        b_dec=torch.zeros(d_model),
        architecture="topk",
        layer=2,
        k=12,
        card={"seed": 7, "n_training_tokens": 0},
    )


@dataclass(frozen=True)
class StudyFiles:
    """Everything a study names, in one folder."""

    folder: Path

    def spec(self, **changes) -> StudySpec:
        given = {
            "model": str(self.folder / "model"),
            "languages": ("en",),
            "norms": (str(self.folder / "small_en.csv"),),
            "concepts": self.folder / "en.toml",
            "sae": str(self.folder / "sae"),
            "device": "cpu",
            "dtype": "float32",
            "n_carriers": 2,
            "q": 0.5,
            "max_features": 24,
            "n_draws": 8,
            "n_shuffled": 2,
            "n_permutations": 49,
            "folds": 3,
            "cebra": False,
            "seed": 3,
        }
        return StudySpec(**{**given, **changes})

    def both(self, **changes) -> StudySpec:
        norms = tuple(str(self.folder / f"small_{language}.csv") for language in ("en", "zh"))
        given = {"languages": ("en", "zh"), "norms": norms, "concepts": self.folder / "concepts"}
        return self.spec(**{**given, **changes})


def make_study_files(folder: Path) -> StudyFiles:
    """Write model, autoencoders, concepts and ratings into a folder."""
    make_hf_model("llama").save_pretrained(folder / "model")
    make_tokenizer().save_pretrained(folder / "model")
    save_sae(random_sae(), folder / "sae", model_name="tiny")
    save_sae(random_sae(D_MODEL + 8), folder / "wide", model_name="tiny")
    (folder / "concepts").mkdir()
    for language, sets in (("en", ENGLISH), ("zh", CHINESE)):
        write_concepts(folder / "concepts" / f"{language}.toml", language, sets)
        write_norms(folder / f"small_{language}.csv", language, sets)
    write_concepts(folder / "en.toml", "en", ENGLISH)
    return StudyFiles(folder)
