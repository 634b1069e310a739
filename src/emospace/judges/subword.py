"""Judge of learned subword embeddings: word vectors from hashed pieces, convolution, one attention per label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from emospace.judges.tokens import Tokens, gather, pair_hashes

if TYPE_CHECKING:
    import torch

KIND = "neural: learned embeddings of hashed subwords, convolution, attention per label"
WIDTH = 128


def start(
    n_rows: int, n_outputs: int, seed: int, d_embedding: int = 64, pairs: bool = False
) -> dict[str, torch.Tensor]:
    """Return the parameters before training, drawn from `seed`; with `pairs`, word pairs have vectors as well."""
    import torch

    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int, scale: float) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * scale

    return {
        "table": drawn(n_rows, d_embedding, scale=0.1),
        "convolution": drawn(WIDTH, d_embedding, 3, scale=(3 * d_embedding) ** -0.5),
        "convolution_bias": torch.zeros(WIDTH),
        "query": drawn(WIDTH, n_outputs, scale=WIDTH**-0.5),
        "out": drawn(n_outputs, WIDTH, scale=WIDTH**-0.5),
        "mean": torch.zeros(n_outputs, WIDTH),
        "bias": torch.zeros(n_outputs),
    } | ({"pairs": torch.ones(1)} if pairs else {})


def start_from(solution: Mapping[str, torch.Tensor], seed: int, typical: int = 50) -> dict[str, torch.Tensor]:
    """Return parameters that begin near a linear solution over single characters and their pairs.

    Its weights are the first dimensions of the table; two channels carry each, one for either sign, to the plain mean.
    All else is drawn from `seed`.

    Parameters
    ----------
    solution
        ``table`` ``[n_rows, n_outputs]`` and ``bias`` of `linear.solve`.
    typical
        Characters of a text for which the scores are those of the solution, which divides by the root of their number.
    """
    import torch

    weights = solution["table"]
    n_rows, n_outputs = weights.shape
    parameters = start(n_rows, n_outputs, seed, pairs=True)
    scale = 0.2 / float(weights[weights != 0].std())
    parameters["table"][:, :n_outputs] = scale * weights
    # A character counts twice in its vector, as a word and as the only piece of it.
    parameters["pairs"] = torch.full((1,), 2.0)
    convolution, mean = parameters["convolution"], parameters["mean"]
    convolution[: 2 * n_outputs] = 0
    for sign, first in ((1, 0), (-1, n_outputs)):
        places = torch.arange(n_outputs)
        convolution[first + places, places, 1] = sign
        mean[places, first + places] = sign * (typical / 2) ** 0.5 / (2 * scale)
    parameters["out"] *= 0.1
    parameters["bias"] = solution["bias"].clone()
    return parameters


def logits(
    parameters: Mapping[str, torch.Tensor],
    tokens: Tokens,
    words: np.ndarray,
    lengths: np.ndarray,
    drop: float = 0.0,
) -> torch.Tensor:
    """Return the scores ``[n_texts, n_outputs]`` of texts given as word numbers, text after text.

    A word's vector is that of its own hash plus the mean over its pieces, and with ``pairs`` that of its pair with the
    next word (where words are single characters, most meaning lies in pairs); a convolution over three words follows,
    and for each output a softmax attention over the text (label-wise attention: Mullenbach et al. 2018) beside the
    plain mean. In training a share `drop` of the words and channels is left out.
    """
    import torch
    from torch.nn.functional import conv1d, dropout, embedding, embedding_bag, gelu

    table = parameters["table"]
    distinct, place = np.unique(words, return_inverse=True)
    pieces, counts = gather(tokens.pieces, tokens.piece_starts, distinct)
    own = torch.from_numpy(tokens.pieces[tokens.piece_starts[distinct]] % len(table))
    offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)[:-1]]))
    vectors = embedding(own, table) + embedding_bag(
        torch.from_numpy(pieces % len(table)), table, offsets, mode="mean"
    )
    n_texts, longest = len(lengths), int(lengths.max())
    row = np.repeat(np.arange(n_texts), lengths)
    column = np.arange(len(words)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    cell = torch.from_numpy(row * longest + column)
    chosen = vectors.index_select(0, torch.from_numpy(place))
    if "pairs" in parameters:
        hashes = pair_hashes(tokens.pieces[tokens.piece_starts[words]]) % len(table)
        inside = torch.from_numpy(row[1:] == row[:-1])[:, None]
        of_pairs = embedding(torch.from_numpy(hashes), table) * inside * parameters["pairs"]
        chosen = torch.cat([chosen[:-1] + of_pairs, chosen[-1:]])
    if drop:
        kept = (torch.rand(len(words), 1) >= drop / 3).float()
        chosen = dropout(chosen * kept, drop / 2)
    padded = torch.zeros(n_texts * longest, table.shape[1]).index_copy(0, cell, chosen)
    states = conv1d(
        padded.view(n_texts, longest, -1).transpose(1, 2),
        parameters["convolution"],
        parameters["convolution_bias"],
        padding=1,
    )
    states = gelu(states).transpose(1, 2)
    if drop:
        states = dropout(states, drop)
    real = torch.zeros(n_texts * longest).index_fill(0, cell, 1.0).view(n_texts, longest, 1)
    attention = (states @ parameters["query"]).masked_fill(real == 0, -1e9).softmax(dim=1)
    pooled = attention.transpose(1, 2) @ states
    mean = (states * real).sum(1) / real.sum(1)
    return (pooled * parameters["out"]).sum(-1) + mean @ parameters["mean"].T + parameters["bias"]
