"""Train the autoencoder of Gemma 3 270M on text in thirteen languages.

    python recipes/train_sae_gemma.py --data DATA [--layer 7] [--tokens 6000000]

DATA is the folder of public corpora and labelled texts listed in ``docs/data.md``; labels are not used. Texts that
later validate readings (EmoBank, the test and validation splits) are left out. An interrupted run goes on where it
stopped.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from emospace.sae import Corpus, read_texts
from train_sae_smollm2 import sentence_pairs, train

FICTION = {"en": 0.17, "es": 0.09, "fr": 0.09, "de": 0.07, "ja": 0.10}
"""Share of each language's public-domain fiction."""

SUBTITLES = {
    "en": 0.02,
    "es": 0.015,
    "fi": 0.035,
    "fr": 0.01,
    "de": 0.007,
    "it": 0.0105,
    "nl": 0.008,
    "pl": 0.0125,
    "pt": 0.03,
    "id": 0.001,
    "zh": 0.003,
}
"""Share of each language of XED (OPUS subtitles)."""

POSTS = {"en": 0.008, "zh": 0.012, "es": 0.004, "de": 0.02, "pt": 0.014}
"""Share of each language of BRIGHTER (posts; training split)."""


def corpora(data: Path) -> list[Corpus]:
    """Return the mixture: prose in six languages, subtitles, posts and sentences in all thirteen."""
    goemotions = pd.read_parquet(data / "structure/goemotions/goemotions.parquet")
    kote = pd.read_parquet(data / "structure/kote_ko/kote_ko.parquet")
    xed = pd.read_parquet(data / "texts/xed/xed.parquet")
    brighter = pd.read_parquet(data / "texts/brighter_semeval2025/brighter_semeval2025.parquet")
    brighter = brighter[brighter.split == "train"]
    pairs = sentence_pairs(data)

    def prose(name: str) -> list[str]:
        return read_texts(data / f"corpora/{name}.txt.xz", limit_bytes=12_000_000)

    return [
        *(
            Corpus(f"Fiction ({language})", prose(f"{language}_fiction"), s)
            for language, s in FICTION.items()
        ),
        Corpus("Chinese prose", prose("zh_prose"), 0.17),
        Corpus("Tatoeba (en)", pairs.en.drop_duplicates().tolist(), 0.02),
        Corpus("Tatoeba (zh)", pairs.zh.drop_duplicates().tolist(), 0.026),
        Corpus("GoEmotions (train)", goemotions[goemotions.split == "train"].text.astype(str).tolist(), 0.06),
        Corpus("KOTE", kote.text.astype(str).tolist(), 0.04),
        *(
            Corpus(f"XED ({language})", xed[xed.language == language].text.astype(str).tolist(), s)
            for language, s in SUBTITLES.items()
        ),
        *(
            Corpus(f"BRIGHTER ({language})", brighter[brighter.language == language].text.tolist(), s)
            for language, s in POSTS.items()
        ),
    ]


if __name__ == "__main__":
    train(
        "train_sae_gemma",
        __doc__,
        "gemma",
        corpora,
        layer=7,
        tokens=6_000_000,
        passes=1.0,
        latents=16_384,
        k=64,
    )
