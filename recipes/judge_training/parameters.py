"""Parameters of the two judges before training, and how trained ones are stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

Parameters = dict[str, torch.Tensor]

WIDTH = 128


def ngram_start(n_rows: int, n_outputs: int, seed: int) -> Parameters:
    """Return the parameters before training: one row of weights a feature, all zero (`seed` is not needed)."""
    del seed
    return {"table": torch.zeros(n_rows, n_outputs), "bias": torch.zeros(n_outputs)}


def subword_start(
    n_rows: int, n_outputs: int, seed: int, d_embedding: int = 64, pairs: bool = False
) -> Parameters:
    """Return the parameters before training, drawn from `seed`; with `pairs`, word pairs have vectors as well."""
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


def start_from(solution: Mapping[str, torch.Tensor], seed: int, typical: int = 50) -> Parameters:
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
    weights = solution["table"]
    n_rows, n_outputs = weights.shape
    parameters = subword_start(n_rows, n_outputs, seed, pairs=True)
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


STARTS: dict[str, Callable[[int, int, int], Parameters]] = {"ngram": ngram_start, "subword": subword_start}
"""Judge -> its parameters before training, from the numbers of rows and outputs and a seed."""


def pack(blocks: Mapping[str, Parameters]) -> dict[str, np.ndarray]:
    """Return the tensors to store: tables as int8 with a float16 scale a row, everything else float16."""
    stored = {}
    for block, parameters in blocks.items():
        for name, tensor in parameters.items():
            value = tensor.numpy()
            if name == "table":
                scale = (np.abs(value).max(axis=1, keepdims=True) / 127).astype(np.float16).clip(1e-7)
                stored[f"{block}.scale"] = scale
                value = np.rint(value / scale.astype(np.float32)).clip(-127, 127).astype(np.int8)
            else:
                value = value.astype(np.float16)
            stored[f"{block}.{name}"] = value
    return stored
