"""Words of a study as states and codes: which words are run, in which carriers, at which layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.activations import stream_words
from emospace.artefacts import content_hash
from emospace.baselines import input_embeddings, ppmi_vectors, surface_features, vectors_hash
from emospace.features import usable
from emospace.lexicon import table_hash
from emospace.profiling import timed
from emospace.study.stage import Deferred

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from emospace.models import LanguageModel
    from emospace.sae import SparseAutoencoder
    from emospace.specs import Pooling


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

    def all_layers(self, rows: np.ndarray) -> np.ndarray:
        """Return normed words' states at every layer, ``[n_rows, n_blocks + 1, d_model]``: no copy of words in a row."""
        in_a_row = len(rows) and (np.diff(rows) == 1).all()
        states: np.ndarray = self.normed_states[slice(rows[0], rows[-1] + 1) if in_a_row else rows]
        return states


@dataclass(frozen=True, eq=False)
class WordStates:
    """Some words of a language as the model has them; all arrays have one row a word, in their order.

    Attributes
    ----------
    states
        float32 ``[n_words, d_model]`` at the layer of the space, averaged over carriers.
    codes
        ``[n_words, n_latents]``, averaged over carriers; None without an SAE.
    static
        float32 ``[n_words, d_model]`` input embeddings.
    layers
        float32 ``[n_deep, n_blocks + 1, d_model]``: the first words at every layer. Rated words all are, averaged
        over carriers; of concepts and pool the concepts are, in the first carrier.
    """

    words: tuple[str, ...]
    states: np.ndarray
    codes: csr_matrix | None
    static: np.ndarray
    layers: np.ndarray


@dataclass(frozen=True, eq=False)
class Encoder:
    """All words of a language that a study runs, run together when the first of them are asked for.

    Attributes
    ----------
    normed
        The rated words; those the model has no tokens for are left out.
    sae_hash
        Content hash of `sae`, taken once for all languages.
    """

    model: LanguageModel
    sae: SparseAutoencoder | None
    sae_hash: str | None
    language: str
    normed: tuple[str, ...]
    concepts: tuple[str, ...]
    pool: tuple[str, ...]
    carriers: tuple[str, ...]
    layer: int
    pooling: Pooling
    store: Path

    @cached_property
    def concept_words(self) -> Deferred[WordStates]:
        """The concepts and, below them, the neutral pool."""

        def get() -> WordStates:
            return self._words((*self.concepts, *self.pool), self.encoded.concept_states)

        return Deferred(self._key("concepts", self.concepts, self.pool), cache(get))

    def rated_words(self, words: Sequence[str]) -> Deferred[WordStates]:
        """Return those of some normed words that the model has tokens for; not kept, since rows may be copied."""

        def get() -> WordStates:
            usable_words = self._usable(words)
            return self._words(usable_words, self.encoded.all_layers(self.encoded.rows(usable_words)))

        return Deferred(self._key("rated", words), get)

    def surface(self, words: Sequence[str]) -> Deferred[np.ndarray]:
        """Return what `rated_words` show from outside, ``[n_words, k]``."""

        def get() -> np.ndarray:
            return surface_features(self._usable(words), self.language, self.model.tokenizer).to_numpy()

        return Deferred(self._key("surface", table_hash(self.language), words), get)

    def corpus_vectors(self, words: Sequence[str]) -> Deferred[np.ndarray] | None:
        """Return the vectors of `rated_words` from running text, ``[n_words, k]``, or None where there are none."""
        if (version := vectors_hash(self.language)) is None:
            return None

        def get() -> np.ndarray:
            return ppmi_vectors(self.language, self._usable(words)).vectors

        return Deferred(self._key("corpus", version, words), get)

    def firing_rates(self) -> Deferred[np.ndarray]:
        """Return the share of all words that each latent fires on, ``[n_latents]``."""

        def get() -> np.ndarray:
            assert self.encoded.codes is not None
            return np.asarray((self.encoded.codes > 0).mean(axis=0)).ravel()

        return Deferred(self._key("rates", self.normed, self.concepts, self.pool), get)

    @cached_property
    @timed("encoding")
    def encoded(self) -> Encoded:
        """All words, each run once in each carrier; words of the same depth share what they begin with.

        Rated words go through all layers, and in the first carrier concepts, too: the space is followed through the depth
        there. The others go up to the layer of the space.
        """
        from scipy.sparse import csr_matrix

        model, sae, carriers = self.model, self.sae, self.carriers
        every = range(model.n_blocks + 1)
        usable_words = usable(model, self.normed)
        normed = [word for word, good in zip(self.normed, usable_words, strict=True) if good]
        words = tuple(dict.fromkeys([*normed, *self.concepts, *self.pool]))
        n_normed, n_felt = len(set(normed)), len({*normed, *self.concepts})
        row_of = {word: row for row, word in enumerate(words)}
        states = np.zeros((len(words), model.d_model), dtype=np.float32)
        normed_states = np.zeros((n_normed, len(every), model.d_model), dtype=np.float32)
        concept_states = np.empty((len(self.concepts), len(every), model.d_model), dtype=np.float32)
        concept_of = {row_of[word]: index for index, word in enumerate(self.concepts)}
        codes = csr_matrix((len(words), sae.n_latents), dtype=np.float32) if sae else None
        options: dict[str, Any] = {"pooling": self.pooling, "store": self.store}
        for number, carrier in enumerate(carriers, 1):
            count = f"{self.language}, carrier {number} of {len(carriers)}"
            here = np.empty_like(states)
            n_deep = n_felt if number == 1 else n_normed
            for part, depth, title in (
                (slice(n_deep), every, f"All layers, {count}"),
                (slice(n_deep, None), [self.layer], f"Layer {self.layer}, {count}"),
            ):
                # Neighbours in the alphabet begin alike, so a shard holds what can be shared.
                run = sorted(words[part])
                for shard in stream_words(model, run, carrier, depth, title=title, **options):
                    rows = np.array([row_of[word] for word in shard.texts], dtype=np.intp)
                    here[rows] = shard.layer(self.layer)
                    if depth is every:
                        for row, of_word in zip(rows, shard.states, strict=True):
                            if row < n_normed:
                                normed_states[row] += of_word * np.float32(1 / len(carriers))
                            if number == 1 and row in concept_of:
                                concept_states[concept_of[row]] = of_word
                        del of_word
                    del shard  # or it would be there beside the next
            states += here / len(carriers)
            if sae is not None:
                with timed("SAE encoding"):
                    codes = codes + sae.encode(here) / len(carriers)
        return Encoded(words, states, codes, normed_states, concept_states)

    def _usable(self, words: Sequence[str]) -> list[str]:
        encoded = set(self.encoded.words)
        return [word for word in words if word in encoded]

    def _words(self, words: Sequence[str], layers: np.ndarray) -> WordStates:
        rows, codes = self.encoded.rows(words), self.encoded.codes
        return WordStates(
            tuple(words),
            self.encoded.states[rows],
            None if codes is None else codes[rows],
            input_embeddings(self.model, words),
            layers,
        )

    def _key(self, *parts: Any) -> str:
        """Return the key of what is made of some words: how each is run has no part in which others are."""
        return content_hash(
            self.model.content_hash,
            self.sae_hash,
            self.language,
            self.carriers,
            self.layer,
            self.pooling,
            *parts,
        )
