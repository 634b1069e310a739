"""Train the autoencoder that ships with emospace-polyglot.

    python recipes/train_sae_polyglot.py --data DATA --layer 4

DATA is the folder of public corpora listed in ``docs/data.md``. The text is that of the model's own training, in its
proportions, without labelled texts.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from emospace.models import load_model
from emospace.sae import Corpus, SaeSpec, read_texts, train_sae
from train_sae_smollm2 import sentence_pairs

SHIPPED = Path(__file__).parent.parent / "packages" / "polyglot" / "src" / "emospace_polyglot" / "sae"
LIMIT_BYTES = 30_000_000


def corpora(data: Path) -> list[Corpus]:
    """Return the mixture."""
    pairs = sentence_pairs(data)
    shares = {"en": 0.29, "ja": 0.10, "fr": 0.10, "de": 0.09, "es": 0.10}
    fiction = [
        Corpus(
            f"fiction, public domain ({language})",
            read_texts(data / f"corpora/{language}_fiction.txt.xz", limit_bytes=LIMIT_BYTES),
            share,
        )
        for language, share in shares.items()
    ]
    return [
        *fiction,
        Corpus("Chinese prose", read_texts(data / "corpora/zh_prose.txt.xz", limit_bytes=LIMIT_BYTES), 0.29),
        Corpus("Tatoeba pairs", (pairs.en + " " + pairs.zh).tolist(), 0.03),
    ]


def main() -> None:
    """Parse, train, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--layer", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=2_000_000)
    parser.add_argument("--passes", type=float, default=1.0)
    parser.add_argument("--latents", type=int, default=2048)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--work", type=Path, default=Path("runs/sae-polyglot"))
    options = parser.parse_args()
    spec = SaeSpec(
        layer=options.layer,
        n_latents=options.latents,
        k=options.k,
        n_tokens=options.tokens,
        passes=options.passes,
        n_heldout=50_000,
    )
    command = (
        f"python recipes/train_sae_polyglot.py --data DATA --layer {options.layer} --tokens {options.tokens}"
    )
    out = options.work / f"polyglot-l{options.layer}"
    sae = train_sae(load_model("polyglot"), corpora(options.data), spec, out, command=command)
    sys.stdout.write(f"{out}: {sae.n_latents} latents; copy it to {SHIPPED}\n")


if __name__ == "__main__":
    main()
