"""Train the autoencoder that ships for SmolLM2-135M-Instruct.

    python recipes/train_sae_smollm2.py --data DATA [--tokens 2200000] [--passes 1.25]

DATA is the folder of public corpora and labelled texts listed in ``docs/data.md``; labels are not used. Texts
that later validate readings (EmoBank, the test and validation splits) are left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from emospace.models import load_model
from emospace.sae import Corpus, SaeSpec, read_texts, train_sae


def sentence_pairs(data: Path) -> pd.DataFrame:
    """Return Tatoeba's sentences beside their translations: ``[en, zh]``."""
    return pd.read_csv(
        data / "corpora/tatoeba_en_zh.tsv",
        sep="\t",
        names=["en", "zh"],
        quoting=3,
        keep_default_na=False,
        dtype=str,
    )


def corpora(data: Path) -> list[Corpus]:
    """Return the mixture: mostly English in three registers, a fifth Chinese."""
    goemotions = pd.read_parquet(data / "structure/goemotions/goemotions.parquet")
    xed = pd.read_parquet(data / "texts/xed/xed.parquet")
    brighter = pd.read_parquet(data / "texts/brighter_semeval2025/brighter_semeval2025.parquet")
    pairs = sentence_pairs(data)
    short = {
        "GoEmotions (train)": goemotions[goemotions.split == "train"].text,
        "XED (en)": xed[xed.language == "en"].text,
        "BRIGHTER (en, zh; train)": brighter[
            brighter.language.isin(["en", "zh"]) & (brighter.split == "train")
        ].text,
        "RepE scenarios": pd.read_parquet(data / "texts/repe_emotions/repe_emotions.parquet").text,
        "Tatoeba (en)": pairs.en.drop_duplicates(),
    }
    sizes = {name: texts.astype(str).str.len().sum() for name, texts in short.items()}
    total = sum(sizes.values())
    return [
        Corpus(
            "English fiction (public domain)",
            read_texts(data / "corpora/en_fiction.txt.xz", limit_bytes=30_000_000),
            0.50,
        ),
        *[Corpus(name, list(texts.astype(str)), 0.30 * sizes[name] / total) for name, texts in short.items()],
        Corpus("Chinese prose", read_texts(data / "corpora/zh_prose.txt.xz", limit_bytes=6_000_000), 0.15),
        Corpus("Tatoeba (zh)", pairs.zh.drop_duplicates().tolist(), 0.05),
    ]


def train(
    recipe: str,
    description: str | None,
    model: str,
    corpora: Callable[[Path], list[Corpus]],
    *,
    layer: int,
    tokens: int,
    passes: float,
    latents: int,
    k: int,
) -> None:
    """Parse the command line of a recipe, whose defaults are given, train, and write.

    Parameters
    ----------
    recipe
        Its file, named in the card's command.
    model
        As `load_model` takes it.
    corpora
        What makes the mixture of texts from the data folder.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--out", type=Path, default=Path("runs") / recipe.removeprefix("train_").replace("_", "-")
    )
    defaults = {"layer": layer, "tokens": tokens, "passes": passes, "latents": latents, "k": k}
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    options = parser.parse_args()
    spec = SaeSpec(
        layer=options.layer,
        n_latents=options.latents,
        k=options.k,
        n_tokens=options.tokens,
        passes=options.passes,
    )
    settings = " ".join(f"--{name} {getattr(options, name)}" for name in defaults)
    command = f"python recipes/{recipe}.py --data DATA {settings}"
    train_sae(load_model(model), corpora(options.data), spec, options.out, command=command)
    sys.stdout.write(f"{options.out}\n")


if __name__ == "__main__":
    train(
        "train_sae_smollm2",
        __doc__,
        "embedded",
        corpora,
        layer=18,
        tokens=2_200_000,
        passes=1.25,
        latents=4608,
        k=48,
    )
