"""Words of a study as states and codes: which words are run, in which carriers, at which layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emospace.activations import extract_words
from emospace.baselines import word_tokens
from emospace.features import MatchedPool, matched_pool
from emospace.lexicon import frequency_table, pool_words

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from emospace.concepts import ConceptSets
    from emospace.models import LanguageModel
    from emospace.sae import SparseAutoencoder


@dataclass(frozen=True)
class Encoded:
    """Words with their states at one layer and their codes, both averaged over carriers.

    Attributes
    ----------
    words
        Distinct words.
    states
        float32 ``[n_words, d_model]``.
    codes
        ``[n_words, n_latents]``; None without an SAE.
    """

    words: tuple[str, ...]
    states: np.ndarray
    codes: csr_matrix | None

    def rows(self, words: Sequence[str]) -> np.ndarray:
        """Return the row of each word."""
        row_of = {word: index for index, word in enumerate(self.words)}
        return np.array([row_of[word] for word in words], dtype=np.intp)


def usable(model: LanguageModel, words: Sequence[str]) -> np.ndarray:
    """Return which words have at least one token in the model's vocabulary, ``[n_words]``."""
    unknown = model.tokenizer.unk_token_id
    return np.array(
        [
            bool(ids) and not all(token == unknown for token in ids)
            for ids in word_tokens(model.tokenizer, words)
        ],
        dtype=bool,
    )


def encode_words(
    model: LanguageModel,
    sae: SparseAutoencoder | None,
    words: Sequence[str],
    carriers: Sequence[str],
    layer: int,
    store: Path,
    title: str,
) -> Encoded:
    """Run words at one layer in each carrier; average states and codes over carriers."""
    total = np.zeros((len(words), model.d_model), dtype=np.float32)
    codes = None
    for number, carrier in enumerate(carriers, 1):
        states = extract_words(
            model, words, carrier, [layer], store=store, title=f"{title} {number}/{len(carriers)}"
        ).layer(layer)
        total += states / len(carriers)
        if sae is not None:
            part = sae.encode(states) / len(carriers)
            codes = part if codes is None else codes + part
    return Encoded(tuple(words), total, codes.tocsr() if codes is not None else None)


def layer_states(
    model: LanguageModel,
    words: Sequence[str],
    carriers: Sequence[str],
    layers: Sequence[int],
    store: Path,
    title: str,
) -> np.ndarray:
    """Return states at many layers averaged over carriers, float32 ``[n_words, n_layers, d_model]``."""
    total: np.ndarray | None = None
    for number, carrier in enumerate(carriers, 1):
        states = extract_words(
            model, words, carrier, layers, store=store, title=f"{title} {number}/{len(carriers)}"
        ).states
        total = states / len(carriers) if total is None else total + states / len(carriers)
    assert total is not None
    return total


def neutral_pool(model: LanguageModel, sets: ConceptSets, language: str, seed: int) -> MatchedPool:
    """Draw the matched pool of a language from its lexicon."""
    concepts = sets.words(language)
    candidates = pool_words(language, concepts)
    kept = usable(model, candidates)
    return matched_pool(
        concepts,
        [word for word, good in zip(candidates, kept, strict=True) if good],
        frequency_table(language),
        token_counts=lambda words: np.array(
            [len(ids) for ids in word_tokens(model.tokenizer, words)], dtype=float
        ),
        seed=seed,
    )
