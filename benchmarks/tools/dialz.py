"""dialz 1.1.4, which loads its models itself, always in half precision: here it is given the precision of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import numpy as np

from tools.folder import greedy, load_folder, plain

PACKAGES = ("dialz", "transformers", "torch", "numpy")
BATCHES = (8, 16, 32, 64, 128)
NOTES = {
    "words_last": "its last layer is the state after the final norm",
    "load": "float16 is written into its loader; the loader is replaced so that all tools have one precision",
}


class State(NamedTuple):
    """What dialz wraps: wrapped while steered, plain otherwise."""

    wrapped: Any
    tokenizer: Any
    folder: str


def load(folder: str, dtype: str, device: str) -> State:
    """Make a `SteeringModel` over a model loaded in `dtype`."""
    from dialz import vector as theirs

    model, tokenizer = load_folder(folder, dtype, device)

    class Loaded:
        @staticmethod
        def from_pretrained(*_: Any, **__: Any) -> Any:
            return model

    original, theirs.AutoModelForCausalLM = theirs.AutoModelForCausalLM, Loaded
    try:
        wrapped = theirs.SteeringModel(folder, list(range(model.config.num_hidden_layers)))
    finally:
        theirs.AutoModelForCausalLM = original
    wrapped.unwrap()
    return State(wrapped, tokenizer, folder)


def words_last(state: State, words: Sequence[str], carrier: str, batch: int) -> np.ndarray:
    """`batched_get_hiddens` of the filled carriers."""
    return texts_last(state, [carrier.format(word=word) for word in words], batch)


def texts_last(state: State, texts: Sequence[str], batch: int) -> np.ndarray:
    """`batched_get_hiddens`."""
    from dialz.vector import batched_get_hiddens

    layers = list(range(state.wrapped.config.num_hidden_layers))
    hidden = batched_get_hiddens(state.wrapped.model, state.tokenizer, list(texts), layers, batch)
    return np.stack([hidden[layer] for layer in layers], axis=1)


def vector(state: State, positive: Sequence[str], negative: Sequence[str], batch: int) -> np.ndarray:
    """`SteeringVector.train` by mean difference; it reads the tokenizer anew each time."""
    from dialz import Dataset, SteeringVector

    pairs = Dataset()
    for text, other in zip(positive, negative, strict=True):
        pairs.add_entry(text, other)
    layers = list(range(state.wrapped.config.num_hidden_layers))
    made = SteeringVector.train(
        state.wrapped, pairs, method="mean_diff", hidden_layers=layers, batch_size=batch
    )
    return np.stack([made.directions[layer] for layer in layers])


def unsteered(state: State) -> AbstractContextManager[Callable[..., Any]]:
    """The model before it is wrapped."""
    return plain(state.wrapped.model, state.tokenizer)


@contextmanager
def steered(state: State, vectors: np.ndarray) -> Iterator[Callable[..., Any]]:
    """`SteeringModel.set_control`."""
    from dialz import SteeringVector
    from dialz.vector import SteeringModule, model_layer_list

    wrapped = state.wrapped
    blocks = model_layer_list(wrapped)
    # As its constructor does it.
    for layer in wrapped.layer_ids:
        blocks[layer] = SteeringModule(blocks[layer])
    wrapped.set_control(SteeringVector(wrapped.config.model_type, dict(enumerate(vectors))), 1.0)
    try:
        yield greedy(wrapped, state.tokenizer)
    finally:
        wrapped.unwrap()


def module(state: State) -> Any:
    """The causal language model."""
    return state.wrapped.model
