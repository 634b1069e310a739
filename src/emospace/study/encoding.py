"""Words of a study as states and codes: which words are run, in which carriers, at which layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emospace.activations import extract_words

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from emospace.activations import Pooling
    from emospace.models import LanguageModel
    from emospace.sae import SparseAutoencoder


@dataclass(frozen=True)
class Encoded:
    """A language's words with their states and codes, averaged over carriers.

    Attributes
    ----------
    words
        Distinct words, the normed ones first.
    states
        float32 ``[n_words, d_model]`` at the layer of the space.
    codes
        ``[n_words, n_latents]``; None without an SAE.
    normed_states
        float32 ``[n_normed, n_blocks + 1, d_model]``: the normed words at every layer.
    concept_states
        float32 ``[n_concepts, n_blocks + 1, d_model]``: the concepts at every layer, in the first carrier.
    """

    words: tuple[str, ...]
    states: np.ndarray
    codes: csr_matrix | None
    normed_states: np.ndarray
    concept_states: np.ndarray

    def rows(self, words: Sequence[str]) -> np.ndarray:
        """Return the row of each word."""
        row_of = {word: index for index, word in enumerate(self.words)}
        return np.array([row_of[word] for word in words], dtype=np.intp)


def encode_words(
    model: LanguageModel,
    sae: SparseAutoencoder | None,
    normed: Sequence[str],
    concepts: Sequence[str],
    pool: Sequence[str],
    carriers: Sequence[str],
    layer: int,
    store: Path,
    language: str,
    pooling: Pooling = "last",
) -> Encoded:
    """Run normed words through all layers and the others up to one; average states and codes over carriers.

    In the first carrier concepts go through all layers too: the space is followed through the depth there.
    """
    from scipy.sparse import csr_matrix

    every = range(model.n_blocks + 1)
    words = tuple(dict.fromkeys([*normed, *concepts, *pool]))
    rated = set(normed)
    felt = [word for word in dict.fromkeys(concepts) if word not in rated]
    others = list(words[len(normed) + len(felt) :])
    states = np.zeros((len(words), model.d_model), dtype=np.float32)
    normed_states = np.zeros((len(normed), model.n_blocks + 1, model.d_model), dtype=np.float32)
    codes = csr_matrix((len(words), sae.n_latents), dtype=np.float32) if sae else None
    concept_states = np.empty(0, dtype=np.float32)
    for number, carrier in enumerate(carriers, 1):
        count = f"{language}, carrier {number} of {len(carriers)}"
        deep = extract_words(
            model, normed, carrier, every, pooling=pooling, store=store, title=f"Normed words, {count}"
        )
        depth = every if number == 1 else [layer]
        middle = extract_words(
            model, felt, carrier, depth, pooling=pooling, store=store, title=f"Concepts, {count}"
        )
        flat = extract_words(
            model, others, carrier, [layer], pooling=pooling, store=store, title=f"Neutral words, {count}"
        )
        here = np.concatenate([part.layer(layer) for part in (deep, middle, flat)])
        normed_states += deep.states / len(carriers)
        states += here / len(carriers)
        if sae is not None:
            codes = codes + sae.encode(here) / len(carriers)
        if number == 1:
            row_of = {word: row for row, word in enumerate(words)}
            both = [deep.states, middle.states]
            concept_states = np.concatenate(both)[[row_of[word] for word in concepts]]
    return Encoded(words, states, codes, normed_states, concept_states)
