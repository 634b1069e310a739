"""repeng 0.4.0."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import numpy as np

from tools.folder import greedy, load_folder, plain

PACKAGES = ("repeng", "transformers", "torch", "numpy")
BATCHES = (8, 16, 32, 64, 128)
NOTES = {
    "words_last": "its last layer is the state after the final norm",
    "vector": "a first principal component (pca_center), not a mean difference",
}


class State(NamedTuple):
    """A model and its tokenizer."""

    model: Any
    tokenizer: Any


def load(folder: str, dtype: str, device: str) -> State:
    """Load by `transformers`."""
    return State(*load_folder(folder, dtype, device))


def words_last(state: State, words: Sequence[str], carrier: str, batch: int) -> np.ndarray:
    """`batched_get_hiddens` of the filled carriers."""
    return texts_last(state, [carrier.format(word=word) for word in words], batch)


def texts_last(state: State, texts: Sequence[str], batch: int) -> np.ndarray:
    """`batched_get_hiddens`."""
    from repeng.extract import batched_get_hiddens

    layers = list(range(state.model.config.num_hidden_layers))
    hidden = batched_get_hiddens(state.model, state.tokenizer, list(texts), layers, batch)
    return np.stack([hidden[layer] for layer in layers], axis=1)


def vector(state: State, positive: Sequence[str], negative: Sequence[str], batch: int) -> np.ndarray:
    """`ControlVector.train`."""
    from repeng import ControlVector, DatasetEntry

    entries = [DatasetEntry(p, n) for p, n in zip(positive, negative, strict=True)]
    layers = list(range(state.model.config.num_hidden_layers))
    made = ControlVector.train(
        state.model, state.tokenizer, entries, hidden_layers=layers, batch_size=batch, method="pca_center"
    )
    return np.stack([made.directions[layer] for layer in layers])


def unsteered(state: State) -> AbstractContextManager[Callable[..., Any]]:
    """The model before it is wrapped."""
    return plain(state.model, state.tokenizer)


@contextmanager
def steered(state: State, vectors: np.ndarray) -> Iterator[Callable[..., Any]]:
    """`ControlModel.set_control`; the blocks are unwrapped again afterwards."""
    from repeng import ControlModel, ControlVector

    wrapped = ControlModel(state.model, list(range(len(vectors))))
    wrapped.set_control(ControlVector(state.model.config.model_type, dict(enumerate(vectors))), 1.0)
    try:
        yield greedy(wrapped, state.tokenizer)
    finally:
        wrapped.unwrap()


def module(state: State) -> Any:
    """The causal language model."""
    return state.model
