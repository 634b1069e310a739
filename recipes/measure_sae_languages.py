"""Measure the autoencoder of Gemma 3 270M on its held-out tokens, language by language, and write it into its card.

    python recipes/measure_sae_languages.py --data DATA [--loss-tokens 600]

DATA is that of ``recipes/train_sae_gemma.py``: the same windows are cut from it as for the training, and those that were
held out are told apart by their corpus. About seven minutes on two cores.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from emospace.artefacts import read_json, write_json
from emospace.display import say, table
from emospace.models import load_model
from emospace.sae import load_sae
from emospace.sae.corpus import cut_windows
from emospace.sae.quality import measure_quality
from train_sae_gemma import corpora

FOLDER = Path(__file__).parent.parent / "packages/gemma/src/emospace_gemma/sae/gemma-3-270m-l7"
LANGUAGES = {"Chinese prose": "zh", "GoEmotions (train)": "en", "KOTE": "ko"}
"""Corpora that do not name their language."""

SHOWN = (
    "n_heldout_tokens",
    "variance_explained",
    "variance_explained_inliers",
    "loss_clean",
    "loss_recovered",
)


def language_of(corpus: str) -> str:
    """Return the language of a corpus by its name, such as ``XED (fi)``."""
    named = re.search(r"\((\w\w)\)$", corpus)
    return named[1] if named else LANGUAGES[corpus]


def main() -> None:
    """Cut the windows anew, keep those held out, measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--loss-tokens", type=int, default=600, help="tokens of a language whose loss is taken"
    )
    options = parser.parse_args()
    card = read_json(FOLDER / "card.json")
    model, sae = load_model("gemma", dtype="auto"), load_sae(str(FOLDER))
    windows = cut_windows(model, corpora(options.data), card["n_tokens"] + card["n_heldout"], card["seed"])
    heldout: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    n_tokens = 0
    for corpus, window in windows:
        if n_tokens >= card["n_heldout"]:
            break
        heldout[language_of(corpus)].append(window)
        n_tokens += len(window) - 1
    rows = {}
    for language in sorted(heldout):
        quality = measure_quality(model, sae, heldout[language], options.loss_tokens)
        rows[language] = {name: getattr(quality, name) for name in SHOWN}
        say(f"{language}: {rows[language]}")
    table(
        "Held-out tokens by language",
        ("language", *SHOWN),
        [(name, *row.values()) for name, row in rows.items()],
    )
    say(f"lowest loss recovered: {np.min([row['loss_recovered'] for row in rows.values()]):.3f}")
    write_json(FOLDER / "card.json", card | {"languages": rows})


if __name__ == "__main__":
    main()
