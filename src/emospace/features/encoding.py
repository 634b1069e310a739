"""Words as a model and its autoencoder have them: states and codes averaged over carriers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emospace.activations import extract_words

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from emospace.models import LanguageModel
    from emospace.sae import SparseAutoencoder


def encode_words(
    model: LanguageModel,
    sae: SparseAutoencoder | None,
    words: Sequence[str],
    carriers: Sequence[str],
    layers: Sequence[int],
    *,
    store: Path | None = None,
    title: str = "Words",
) -> tuple[np.ndarray, csr_matrix | None]:
    """Return words in carriers as states ``[n_words, n_layers, d_model]`` and codes ``[n_words, n_latents]``.

    Parameters
    ----------
    sae
        None gives no codes.
    layers
        Ascending; that of the autoencoder is among them.
    store
        As in `extract_words`.
    """
    states = np.zeros((len(words), len(layers), model.d_model), dtype=np.float32)
    codes = None
    for number, carrier in enumerate(carriers, 1):
        counted = f"{title}, carrier {number} of {len(carriers)}"
        run = extract_words(model, words, carrier, layers, store=store, title=counted)
        states += run.states / len(carriers)
        if sae is not None:
            part = sae.encode(run.layer(sae.layer)) / len(carriers)
            codes = part if codes is None else codes + part
    return states, codes
