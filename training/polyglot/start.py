"""Where input embeddings start: token vectors from co-occurrence (PPMI, truncated SVD; Levy & Goldberg 2014)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from scipy import sparse

from emospace.display import progress

WINDOW = 4
PAIR_WINDOW = 24
SMOOTHING = 0.75
SHARPNESS = 0.5
"""Power of the singular values: between whitened (0) and plain (1) vectors."""
FEWEST = 2.0
"""Co-occurrences a pair of tokens needs."""


def cooccurrence(
    streams: Mapping[str, np.ndarray], n_vocab: int, wide: Iterable[str] = (), chunk: int = 4_000_000
) -> sparse.csr_matrix:
    """Return symmetric co-occurrence counts of tokens, ``[n_vocab, n_vocab]``.

    Parameters
    ----------
    streams
        Stream -> ``[n_tokens]``.
    wide
        Streams where a document is a sentence and its translation: every token within `PAIR_WINDOW` counts whole,
        elsewhere the one at distance `k` of `WINDOW` counts ``1 / k``.
    """
    wide = set(wide)
    total = sparse.csr_matrix((n_vocab, n_vocab), dtype=np.float32)
    with progress("co-occurrences", sum(map(len, streams.values())), "tokens") as advance:
        for stream, tokens in streams.items():
            window = PAIR_WINDOW if stream in wide else WINDOW
            for start in range(0, len(tokens), chunk):
                part = np.asarray(tokens[start : start + chunk], np.int32)
                for distance in range(1, window + 1):
                    left, right = part[:-distance], part[distance:]
                    weight = 1.0 if stream in wide else 1.0 / distance
                    values = np.full(len(left), weight, np.float32)
                    total = total + sparse.csr_matrix((values, (left, right)), shape=total.shape)
                advance(len(part))
    return (total + total.T).tocsr()


def ppmi(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return positive pointwise mutual information, contexts smoothed by `SMOOTHING` (Levy, Goldberg & Dagan 2015)."""
    counts = counts.tocoo()
    kept = counts.data >= FEWEST
    row, column, count = counts.row[kept], counts.col[kept], counts.data[kept]
    words = np.bincount(row, count, counts.shape[0])
    contexts = np.bincount(column, count, counts.shape[1]) ** SMOOTHING
    information = np.log(count * contexts.sum() / (words[row] * contexts[column]))
    positive = information > 0
    return sparse.csr_matrix(
        (information[positive].astype(np.float32), (row[positive], column[positive])), shape=counts.shape
    )


def start_vectors(
    streams: Mapping[str, np.ndarray],
    n_vocab: int,
    d_model: int,
    spread: float,
    wide: Iterable[str] = (),
    seed: int = 0,
) -> np.ndarray:
    """Return token vectors ``[n_vocab, d_model]`` float32, every row of norm ``spread * sqrt(d_model)``.

    Tokens without co-occurrences get normal noise, as all would without this start. The axes are turned at random:
    no dimension is larger than another.
    """
    from sklearn.utils.extmath import randomized_svd

    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n_vocab, d_model)).astype(np.float32)
    left, strength, _ = randomized_svd(
        ppmi(cooccurrence(streams, n_vocab, wide)), d_model, n_oversamples=16, n_iter=2, random_state=seed
    )
    vectors = left * strength**SHARPNESS
    turn, _ = np.linalg.qr(rng.standard_normal((d_model, d_model)))
    vectors = (vectors @ turn).astype(np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.where(norms > 1e-6, vectors / np.maximum(norms, 1e-6) * np.sqrt(d_model), noise)
    return (vectors * spread).astype(np.float32)
