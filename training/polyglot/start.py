"""Where input embeddings start: token vectors of each language (PPMI, truncated SVD; Levy & Goldberg 2014), laid over
one another so that tokens which mean the same in two languages lie near (orthogonal Procrustes; Artetxe et al. 2018).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import sparse

from emospace.baselines import ppmi
from emospace.display import progress, say

WINDOW = 5
SMOOTHING = 0.75
SHARPNESS = 0.5
"""Power of the singular values: between whitened (0) and plain (1) vectors."""
PIVOTS: Mapping[str, str] = {"zh": "en", "fr": "en", "es": "en", "de": "en", "ja": "zh"}
"""Onto which language each other one is turned, in this order."""
FEWEST_SEED = 20
"""Occurrences in both languages that make a token they share a seed of their alignment."""
FEWEST_PAIRED = 3
"""Sentence pairs that two tokens must share to be each other's translation."""
N_COMMON = 6000
"""Commonest tokens of each language among which the alignment is refined."""
N_ROUNDS = 8
N_NEIGHBOURS = 10
APART = 0.3
"""Length of the direction all tokens of one language share, where token vectors are of length 1."""
COMMON = 0.3
"""Length, for each standard deviation of log frequency, of the direction that tells common tokens from rare ones."""


def cooccurrence(tokens: np.ndarray, n_vocab: int, chunk: int = 4_000_000) -> sparse.csr_matrix:
    """Return symmetric co-occurrence counts ``[n_vocab, n_vocab]``: a token at distance `k` counts ``1 / k``."""
    total = sparse.csr_matrix((n_vocab, n_vocab), dtype=np.float32)
    for start in range(0, len(tokens), chunk):
        part = np.asarray(tokens[start : start + chunk], np.int32)
        for distance in range(1, WINDOW + 1):
            left, right = part[:-distance], part[distance:]
            values = np.full(len(left), 1.0 / distance, np.float32)
            total = total + sparse.csr_matrix((values, (left, right)), shape=total.shape)
    return (total + total.T).tocsr()


def language_vectors(tokens: np.ndarray, n_vocab: int, d_model: int, seed: int = 0) -> np.ndarray:
    """Return vectors of one language's tokens, ``[n_vocab, d_model]``: centred, of length 1; 0 where it has none."""
    from sklearn.utils.extmath import randomized_svd

    left, strength, _ = randomized_svd(
        ppmi(cooccurrence(tokens, n_vocab), SMOOTHING), d_model, n_oversamples=16, n_iter=2, random_state=seed
    )
    vectors = unit_rows(left * strength**SHARPNESS)
    known = vectors.any(axis=1)
    vectors[known] -= vectors[known].mean(axis=0)
    return unit_rows(vectors)


def translations(pairs: np.ndarray, counts: Mapping[str, np.ndarray], left: str, right: str) -> np.ndarray:
    """Return tokens of two languages that are each other's best translation, ``[n, 2]``, by a corpus of pairs.

    Parameters
    ----------
    pairs
        Tokens of documents, each a sentence and its translation, with the document's end after each.
    counts
        Language -> occurrences ``[n_vocab]``; a token belongs to the language in which it is commoner.
    """
    n_vocab = len(counts[left])
    ends = pairs == np.bincount(pairs[-1:]).argmax()
    document = np.cumsum(ends) - ends
    side = counts[left] / counts[left].sum() >= counts[right] / counts[right].sum()
    seen = (
        sparse.csr_matrix(
            (np.ones(len(pairs), np.float32), (document, pairs)), shape=(document[-1] + 1, n_vocab)
        )
        .astype(bool)
        .astype(np.float32)
    )
    n_documents = np.asarray(seen.sum(axis=0)).ravel()
    shared = (seen[:, side].T @ seen[:, ~side]).tocoo()
    rows, columns = np.flatnonzero(side)[shared.row], np.flatnonzero(~side)[shared.col]
    dice = 2 * shared.data / (n_documents[rows] + n_documents[columns])
    kept = shared.data >= FEWEST_PAIRED
    table = sparse.csr_matrix((dice[kept], (rows[kept], columns[kept])), shape=(n_vocab, n_vocab))
    there = np.flatnonzero(table.getnnz(axis=1))
    best = np.asarray(table.argmax(axis=1)).ravel()
    back = np.asarray(table.argmax(axis=0)).ravel()
    mutual = there[back[best[there]] == there]
    return np.stack([mutual, best[mutual]], axis=1)


def align(
    vectors: np.ndarray, pivot: np.ndarray, seeds: np.ndarray, common: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Return the turn ``[d_model, d_model]`` that lays one language's vectors over another's.

    Parameters
    ----------
    vectors, pivot
        ``[n_vocab, d_model]`` of the language to turn, and of the one it is laid over.
    seeds
        Tokens of the two that should meet, ``[n, 2]``; they give the first turn only, being wrong at times.
    common
        Commonest tokens of each: those that are one another's nearest (CSLS; Conneau et al. 2018) give the next turn.
    """
    mine, theirs = common
    pairs = seeds
    for round_ in range(N_ROUNDS + 1):
        left, _, right = np.linalg.svd(vectors[pairs[:, 0]].T @ pivot[pairs[:, 1]])
        turn: np.ndarray = left @ right
        if round_ == N_ROUNDS:
            break
        near = (vectors[mine] @ turn) @ pivot[theirs].T
        near -= np.partition(near, -N_NEIGHBOURS, axis=1)[:, -N_NEIGHBOURS:].mean(axis=1, keepdims=True) / 2
        near -= np.partition(near, -N_NEIGHBOURS, axis=0)[-N_NEIGHBOURS:].mean(axis=0) / 2
        best, back = near.argmax(axis=1), near.argmax(axis=0)
        mutual = np.flatnonzero(back[best] == np.arange(len(mine)))
        pairs = np.stack([mine[mutual], theirs[best[mutual]]], axis=1)
    return turn


def start_vectors(
    streams: Mapping[str, np.ndarray],
    n_vocab: int,
    d_model: int,
    spread: float,
    pairs: Mapping[tuple[str, str], str] | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Return token vectors ``[n_vocab, d_model]`` float32, rows of norm about ``spread * sqrt(d_model)``.

    Each language has all dimensions to itself and is then turned onto its pivot, by tokens that both share and by
    `pairs`. A token of several languages is the mean of its vectors, by how often it occurs in each; tokens without
    co-occurrences get normal noise, as all would without this start. What all tokens of a language share is a random
    direction of its own (`APART`), so that the model can tell languages apart, and one direction holds log frequency
    (`COMMON`), which predictions need and vectors of meaning lack.

    Parameters
    ----------
    streams
        Stream -> ``[n_tokens]``.
    pairs
        Two languages -> the stream of sentences of the first beside their translation into the second.
    """
    rng = np.random.default_rng(seed)
    pairs = pairs or {}
    counts = {name: np.bincount(tokens, minlength=n_vocab) for name, tokens in streams.items()}
    spaces: dict[str, np.ndarray] = {}
    languages = [name for name in streams if name not in pairs.values()]
    with progress("token vectors", len(languages), "languages") as advance:
        for name in languages:
            spaces[name] = language_vectors(streams[name], n_vocab, d_model, seed)
            advance(1)
    for name, pivot in PIVOTS.items():
        if name not in spaces or pivot not in spaces:
            continue
        shared = np.flatnonzero(np.minimum(counts[name], counts[pivot]) >= FEWEST_SEED)
        seeds = np.stack([shared, shared], axis=1)
        if stream := pairs.get((pivot, name)):
            found = translations(streams[stream], counts, pivot, name)
            seeds = np.concatenate([seeds, found[:, ::-1]])
        common = (commonest(counts[name]), commonest(counts[pivot]))
        spaces[name] = spaces[name] @ align(spaces[name], spaces[pivot], seeds, common)
        say(f"{name} laid over {pivot} by {len(seeds):,} seeds")
    total = np.zeros((n_vocab, d_model))
    weight = np.zeros(n_vocab)
    for name, vectors in spaces.items():
        share = counts[name] / counts[name].sum() * vectors.any(axis=1)
        own = unit_rows(rng.standard_normal((1, d_model))) * APART
        total += share[:, None] * (vectors + own)
        weight += share
    noise = unit_rows(rng.standard_normal((n_vocab, d_model)))
    vectors = np.where(weight[:, None] > 0, unit_rows(total), noise)
    frequency = np.log(weight + 1 / sum(map(len, streams.values())))
    frequency = (frequency - frequency.mean()) / max(frequency.std(), 1e-9)
    vectors = vectors + COMMON * frequency[:, None] * unit_rows(rng.standard_normal((1, d_model)))
    turn, _ = np.linalg.qr(rng.standard_normal((d_model, d_model)))
    return np.asarray(vectors @ turn * spread * np.sqrt(d_model), np.float32)


def commonest(counts: np.ndarray) -> np.ndarray:
    """Return the commonest tokens, most frequent first."""
    order = np.argsort(-counts, kind="stable")[:N_COMMON]
    return order[counts[order] > 0]


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Return vectors of length 1; what is 0 stays so."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 1e-9, norms, 1.0))
