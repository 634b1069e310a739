"""steering-vectors 0.12.2."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import numpy as np

from tools.folder import greedy, load_folder, plain

PACKAGES = ("steering-vectors", "transformers", "torch", "numpy")
BATCHES = (8, 16, 32, 64, 128)
NOTES = {"words_last": "texts are read in pairs, so half of them go in as positive, half as negative"}


class State(NamedTuple):
    """A model and its tokenizer."""

    model: Any
    tokenizer: Any


def load(folder: str, dtype: str, device: str) -> State:
    """Load by `transformers`."""
    return State(*load_folder(folder, dtype, device))


def words_last(state: State, words: Sequence[str], carrier: str, batch: int) -> np.ndarray:
    """`extract_activations` of the filled carriers."""
    return texts_last(state, [carrier.format(word=word) for word in words], batch)


def texts_last(state: State, texts: Sequence[str], batch: int) -> np.ndarray:
    """`extract_activations`, two texts to a pair so that none is run for nothing."""
    import torch
    from steering_vectors import extract_activations

    if len(texts) % 2:
        raise ValueError("an even number of texts makes pairs")
    half = len(texts) // 2
    pairs = list(zip(texts[:half], texts[half:], strict=True))
    sides = extract_activations(state.model, state.tokenizer, pairs, batch_size=batch, move_to_cpu=True)
    stacked = [torch.stack([torch.cat(side[layer]) for layer in sorted(side)], 1) for side in sides]
    return torch.cat(stacked).float().numpy()


def vector(state: State, positive: Sequence[str], negative: Sequence[str], batch: int) -> np.ndarray:
    """`train_steering_vector` with its mean difference."""
    import torch
    from steering_vectors import mean_aggregator, train_steering_vector

    pairs = list(zip(positive, negative, strict=True))
    made = train_steering_vector(
        state.model, state.tokenizer, pairs, aggregator=mean_aggregator(), batch_size=batch, move_to_cpu=True
    )
    rows = made.layer_activations
    return torch.stack([rows[layer] for layer in sorted(rows)]).float().numpy()


def unsteered(state: State) -> AbstractContextManager[Callable[..., Any]]:
    """The model as it is."""
    return plain(state.model, state.tokenizer)


@contextmanager
def steered(state: State, vectors: np.ndarray) -> Iterator[Callable[..., Any]]:
    """`SteeringVector.apply`."""
    import torch
    from steering_vectors import SteeringVector

    like = {"device": state.model.device, "dtype": state.model.dtype}
    made = SteeringVector({layer: torch.as_tensor(row).to(**like) for layer, row in enumerate(vectors)})
    with made.apply(state.model, multiplier=1.0):
        yield greedy(state.model, state.tokenizer)


def module(state: State) -> Any:
    """The causal language model."""
    return state.model
