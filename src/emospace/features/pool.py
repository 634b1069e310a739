"""Neutral words matched to concept words on length and frequency: what features are tested against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emospace.errors import InvalidInput
from emospace.lexicon import frequency_table, pool_words
from emospace.models.words import word_tokens

if TYPE_CHECKING:
    from emospace.concepts import ConceptSets
    from emospace.lexicon import WordFrequencies
    from emospace.models import LanguageModel

_LENGTH_BINS, _FREQUENCY_BINS = 4, 5


@dataclass(frozen=True)
class MatchedPool:
    """Neutral words drawn to match concept words on length and frequency, and the strata of both.

    Attributes
    ----------
    words
        The pool.
    concept_strata, pool_strata
        int ``[n_concept_words]`` and ``[n_pool_words]``: the cell of length x frequency each lies in.
    matched_on
        ``length, frequency``; ``length, tokens`` for a language without a frequency table.
    n_unmatched
        Concept words in cells where the pool has no word; they inform no test.
    """

    words: tuple[str, ...]
    concept_strata: np.ndarray
    pool_strata: np.ndarray
    matched_on: str
    n_unmatched: int


def matched_pool(
    concept_words: Sequence[str],
    candidates: Sequence[str],
    frequencies: WordFrequencies,
    *,
    token_counts: Callable[[Sequence[str]], np.ndarray],
    ratio: float = 1.5,
    seed: int = 0,
) -> MatchedPool:
    """Draw neutral words that match concept words on length and frequency alone.

    Both are cut at the concept words' quantiles; each cell gives `ratio` pool words for each of its concept
    words, or all it has. No rating is consulted, and no concept word is in the pool.

    Parameters
    ----------
    concept_words
        The words of all categories of a language, such as `ConceptSets.words` returns.
    candidates
        Words that may be drawn, such as those of `pool_words`; concept words among them are left out.
    frequencies
        From `frequency_table`. Where it has no corpus, words are matched on their number of tokens instead.
    token_counts
        Words -> number of tokens of each, ``[n_words]``; called only without a corpus.
    ratio
        Pool words for each concept word of a cell, rounded up; a cell with fewer candidates gives all it has.
    seed
        Decides which words of a cell are drawn.

    Raises
    ------
    EmospaceError
        If fewer than half as many pool words as concept words can be found.
    """
    concepts, taken = list(concept_words), set(concept_words)
    pool = [word for word in dict.fromkeys(candidates) if word not in taken]
    by_frequency = frequencies.corpus is not None
    second = frequencies.zipf if by_frequency else token_counts
    lengths = [np.array([len(word) for word in words], dtype=float) for words in (concepts, pool)]
    others = [np.asarray(second(words), dtype=float) for words in (concepts, pool)]
    cells = _cells(lengths, _LENGTH_BINS) * _FREQUENCY_BINS * 10 + _cells(others, _FREQUENCY_BINS)
    concept_cells, pool_cells = cells[: len(concepts)], cells[len(concepts) :]
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for cell, count in zip(*np.unique(concept_cells, return_counts=True), strict=True):
        members = np.flatnonzero(pool_cells == cell)
        take = min(len(members), int(np.ceil(count * ratio)))
        chosen += sorted(rng.choice(members, take, replace=False)) if take else []
    if len(chosen) < len(concepts) / 2:
        raise InvalidInput(
            f"the neutral pool ({len(candidates):,} candidates)",
            f"only {len(chosen)} of them match the {len(concepts)} concept words on length and frequency",
            "Give more ordinary words of that language.",
        )
    unmatched = int(np.sum(~np.isin(concept_cells, pool_cells)))
    return MatchedPool(
        tuple(pool[index] for index in chosen),
        concept_cells,
        pool_cells[chosen],
        "length, frequency" if by_frequency else "length, tokens",
        unmatched,
    )


def neutral_pool(model: LanguageModel, sets: ConceptSets, language: str, seed: int = 0) -> MatchedPool:
    """Draw the matched pool of a language from its lexicon, of words the model has tokens for.

    Parameters
    ----------
    model
        A loaded model; its tokenizer decides which words it can read.
    sets
        Concept-sets that hold the language; all of its concept words are matched, and no inflection of one is drawn.
    language
        ISO 639-1 code such as ``en``, of a language with concept-sets and a frequency table.
    seed
        Decides which words are drawn.

    Raises
    ------
    EmospaceError
        If the language has no lexicon or no concept-sets, or too few words match.
    """
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


def usable(model: LanguageModel, words: Sequence[str]) -> np.ndarray:
    """Return which words have at least one token in the model's vocabulary, ``[n_words]``."""
    unknown = model.tokenizer.unk_token_id
    return np.array(
        [any(token != unknown for token in ids) for ids in word_tokens(model.tokenizer, words)], dtype=bool
    )


def _cells(columns: Sequence[np.ndarray], n_bins: int) -> np.ndarray:
    """Return the quantile bin, by the first column's quantiles, of the values of all columns in order."""
    edges = np.unique(np.quantile(columns[0], np.linspace(0, 1, n_bins + 1)[1:-1]))
    return np.asarray(np.digitize(np.concatenate(columns), edges))
