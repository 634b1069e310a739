"""What words carry without a model's depth: static embeddings and surface features.

A result about a model's states says little unless these do worse. The bundled PPMI-SVD vectors are made by
``recipes/build_lexicon.py``; the card beside each file names its texts and settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from emospace.artefacts import file_hash, write_json, write_tensors
from emospace.errors import EmospaceError, unknown
from emospace.lexicon import base_language, frequency_table, spelling
from emospace.models.words import word_tokens

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

DATA = Path(__file__).parent / "data" / "baselines"


class StaticVectors(NamedTuple):
    """Static vectors of words, and which words have one.

    Attributes
    ----------
    vectors
        ``[n_words, d]`` float32, unit length; zeros for a word that has none.
    covered
        ``[n_words]``, whether the word has a vector; say how many have not.
    """

    vectors: NDArray[np.float32]
    covered: NDArray[np.bool_]


@dataclass(frozen=True)
class PpmiSettings:
    """Settings of PPMI-SVD vectors, the choices of Levy, Goldberg & Dagan (2015, TACL 3).

    They kept more dimensions; the bundled files spend their bytes on words instead.

    Attributes
    ----------
    window
        Words on each side that count as context.
    smoothing
        Power of the context distribution, which damps the pull of rare contexts.
    dims
        Dimensions kept.
    exponent
        Power of the singular values in the vectors.
    n_contexts
        The most frequent words that serve as contexts.
    seed
        Seed of the randomised SVD.
    """

    window: int = 5
    smoothing: float = 0.75
    dims: int = 100
    exponent: float = 0.5
    n_contexts: int = 20_000
    seed: int = 0


def input_embeddings(model: Any, words: Sequence[str]) -> NDArray[np.float32]:
    """Return the mean of the model's input embedding rows over each word's tokens, ``[n_words, d_model]``.

    Parameters
    ----------
    model
        A loaded model: ``.model`` with ``get_input_embeddings()`` and ``.tokenizer``.
    words
        The words, without markup.

    Raises
    ------
    EmospaceError
        If a word has no token in the model's tokenizer.
    """
    import torch

    pieces = word_tokens(model.tokenizer, words)
    lengths = np.array([len(ids) for ids in pieces], dtype=np.int64)
    if (lengths == 0).any():
        word = words[int(np.flatnonzero(lengths == 0)[0])]
        raise EmospaceError(
            f"word '{word}'", "the model's tokenizer has no token for it", "Leave the word out."
        )
    weight = model.model.get_input_embeddings().weight
    if not len(words):
        return np.zeros((0, weight.shape[1]), dtype=np.float32)
    flat = torch.tensor([token for ids in pieces for token in ids], device=weight.device)
    with torch.no_grad():
        rows = weight.index_select(0, flat).float().cpu().numpy()
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    sums = np.add.reduceat(rows, starts, axis=0)
    return np.asarray(sums / lengths[:, None], dtype=np.float32)


def vector_languages() -> tuple[str, ...]:
    """Return the languages that have bundled PPMI-SVD vectors."""
    return tuple(sorted(path.stem for path in DATA.glob("*.safetensors")))


def vectors_hash(language: str) -> str | None:
    """Return the hash of a language's PPMI-SVD vectors, or None where none are bundled."""
    path = DATA / f"{base_language(language)}.safetensors"
    return file_hash(path) if path.exists() else None


def ppmi_vectors(language: str, words: Sequence[str]) -> StaticVectors:
    """Return the bundled PPMI-SVD vectors of words: ``vectors [n_words, d]`` and ``covered [n_words]``.

    Positive pointwise mutual information of words and their neighbours, factorised (Levy & Goldberg 2014,
    NeurIPS 27). Trained on fiction and short texts, never on ratings or labels.

    Parameters
    ----------
    language
        ISO 639-1 code such as ``en``, one of `baselines.vector_languages`; script and region are left aside
        (``zh-Hant`` takes ``zh``).
    words
        The words, without markup; they are looked up in lower case.

    Raises
    ------
    EmospaceError
        If the language has no vectors (see `vector_languages`).
    """
    rows, vectors = _bundled(base_language(language))
    places = np.array([rows.get(spelling(word), -1) for word in words], dtype=np.int64)
    covered = places >= 0
    out = np.zeros((len(words), vectors.shape[1]), dtype=np.float32)
    out[covered] = vectors[places[covered]]
    return StaticVectors(out, covered)


def principal_components(vectors: NDArray[np.floating[Any]], n: int) -> NDArray[np.float64]:
    """Return the scores of words on the first principal components of their vectors, ``[n_words, k]``.

    The components are those of these words, no rating consulted; there are `n` of them, or as many as the vectors have
    dimensions or the words less one.

    Parameters
    ----------
    vectors
        ``[n_words, d]``.
    """
    from scipy.linalg import eigh

    centred = np.asarray(vectors, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    n_words, d = centred.shape
    k = min(n, d, n_words - 1)
    _, directions = eigh(centred.T @ centred, subset_by_index=(d - k, d - 1))
    return np.asarray(centred @ directions[:, ::-1])


def surface_features(words: Sequence[str], language: str, tokenizer: Any = None) -> pd.DataFrame:
    """Return what a word shows from outside, ``[n_words, k]``, one named column each.

    ``length`` in characters; ``zipf``, the base-10 logarithm of occurrences per billion words, where the language
    has a frequency table; ``n_tokens`` where a tokenizer is given.

    Parameters
    ----------
    words
        The words, without markup.
    language
        ISO 639-1 code such as ``en``; without a table of that language (`frequency_table`) there is no ``zipf``.
    tokenizer
        That of a model (``model.tokenizer``); None leaves ``n_tokens`` out.
    """
    import pandas as pd

    columns: dict[str, Any] = {"length": [float(len(spelling(word))) for word in words]}
    zipf = frequency_table(language).zipf(words)
    if zipf is not None:
        columns["zipf"] = zipf
    if tokenizer is not None:
        columns["n_tokens"] = [float(len(ids)) for ids in word_tokens(tokenizer, words)]
    return pd.DataFrame(columns, dtype=float)


def cooccurrences(tokens: NDArray[np.int64], n_words: int, n_contexts: int, window: int) -> csr_matrix:
    """Count how often words and contexts stand within `window` places of each other, ``[n_words, n_contexts]``.

    `tokens` are word numbers in running order, contexts being the numbers below `n_contexts`. A negative
    number is a place without a known word; `window` of them separate texts.
    """
    from scipy.sparse import csr_matrix

    counts = csr_matrix((n_words, n_contexts), dtype=np.float32)
    for distance in range(1, window + 1):
        left, right = tokens[:-distance], tokens[distance:]
        known = (left >= 0) & (right >= 0)
        left, right = left[known], right[known]
        for word, context in ((left, right), (right, left)):
            kept = context < n_contexts
            ones = np.ones(int(kept.sum()), dtype=np.float32)
            counts = counts + csr_matrix((ones, (word[kept], context[kept])), shape=counts.shape)
    return counts


def ppmi(counts: csr_matrix, smoothing: float) -> csr_matrix:
    """Return the positive pointwise mutual information of a count matrix, contexts raised to `smoothing`."""
    from scipy.sparse import csr_matrix

    pairs = counts.tocoo()
    words = np.asarray(counts.sum(axis=1), dtype=float).ravel()
    contexts = np.asarray(counts.sum(axis=0), dtype=float).ravel() ** smoothing
    values = np.log(pairs.data * (contexts.sum() / (words[pairs.row] * contexts[pairs.col])))
    kept = values > 0
    return csr_matrix(
        (values[kept].astype(np.float32), (pairs.row[kept], pairs.col[kept])), shape=counts.shape
    )


def train_ppmi_svd(tokens: NDArray[np.int64], n_words: int, settings: PpmiSettings) -> NDArray[np.float32]:
    """Train PPMI-SVD vectors on numbered running words, ``[n_words, dims]``, rows of unit length (or zero)."""
    from sklearn.utils.extmath import randomized_svd

    counts = cooccurrences(tokens, n_words, min(settings.n_contexts, n_words), settings.window)
    left, singular, _ = randomized_svd(
        ppmi(counts, settings.smoothing), settings.dims, n_iter=4, random_state=settings.seed
    )
    vectors = left * singular**settings.exponent
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)
    return unit


def write_vectors(
    path: Path,
    words: Sequence[str],
    vectors: NDArray[np.float32],
    settings: PpmiSettings,
    card: Mapping[str, Any],
) -> None:
    """Write vectors as 8-bit integers with one scale a row (safetensors) and their card (JSON)."""
    scale = np.abs(vectors).max(axis=1) / 127
    codes = np.round(vectors / np.where(scale > 0, scale, 1)[:, None]).astype(np.int8)
    text = np.frombuffer("\n".join(words).encode(), dtype=np.uint8)
    write_tensors(path, {"codes": codes, "scale": scale.astype(np.float32), "words": text})
    n_words, dims = vectors.shape
    write_json(
        path.with_suffix(".json"),
        {**card, "n_words": n_words, "settings": {**asdict(settings), "dims": dims}},
    )


@lru_cache(maxsize=8)
def _bundled(language: str) -> tuple[dict[str, int], NDArray[np.float32]]:
    path = DATA / f"{language}.safetensors"
    if not path.exists():
        raise unknown("language with static vectors", language, vector_languages())
    from safetensors.numpy import load_file

    tensors = load_file(str(path))
    words = tensors["words"].tobytes().decode().split("\n")
    vectors = tensors["codes"].astype(np.float32) * tensors["scale"][:, None]
    return {word: row for row, word in enumerate(words)}, vectors
