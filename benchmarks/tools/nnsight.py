"""nnsight 0.8.1: tracing, with the pooling written into the trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import numpy as np

from tools.folder import load_folder, plain

PACKAGES = ("nnsight", "transformers", "torch", "numpy")
BATCHES = (8, 16, 32, 64, 128)
NOTES = {
    "words_last": "the trace is stopped after the last block, so that the head is never run",
    "texts_mean": "the mean is written into the trace by hand",
    "vector": "mean difference by hand",
}


class State(NamedTuple):
    """The traced model, and what it wraps."""

    traced: Any
    model: Any
    tokenizer: Any


def load(folder: str, dtype: str, device: str) -> State:
    """Wrap a model loaded by `transformers`."""
    from nnsight import LanguageModel

    model, tokenizer = load_folder(folder, dtype, device)
    tokenizer.padding_side = "left"
    return State(LanguageModel(model, tokenizer=tokenizer), model, tokenizer)


def words_last(state: State, words: Sequence[str], carrier: str, batch: int) -> np.ndarray:
    """Save the last column of each block of the filled carriers, padded on the left."""
    return texts_last(state, [carrier.format(word=word) for word in words], batch)


def texts_last(state: State, texts: Sequence[str], batch: int) -> np.ndarray:
    """Save the last column of each block."""
    import torch

    traced, n_blocks = state.traced, state.model.config.num_hidden_layers
    parts = []
    for low in range(0, len(texts), batch):
        with torch.no_grad(), traced.trace(list(texts[low : low + batch])) as tracer:
            states = torch.stack([traced.model.layers[i].output[:, -1] for i in range(n_blocks)], 1).save()
            tracer.stop()
        parts.append(states.float().cpu().numpy())
    return np.concatenate(parts)


def texts_mean(state: State, texts: Sequence[str], batch: int) -> np.ndarray:
    """Save a weighted sum over the columns of each block."""
    import torch

    traced, n_blocks = state.traced, state.model.config.num_hidden_layers
    parts = []
    for low in range(0, len(texts), batch):
        encoded = state.tokenizer(list(texts[low : low + batch]), return_tensors="pt", padding=True)
        kept = encoded["attention_mask"].float()
        kept = kept * (kept.cumsum(1) > 1)
        weight = (kept / kept.sum(1, keepdim=True)).to(state.model.device)
        with torch.no_grad(), traced.trace(dict(encoded)) as tracer:
            states = torch.stack(
                [
                    torch.einsum("bt,btd->bd", weight, traced.model.layers[i].output.float())
                    for i in range(n_blocks)
                ],
                1,
            ).save()
            tracer.stop()
        parts.append(states.cpu().numpy())
    return np.concatenate(parts)


def vector(state: State, positive: Sequence[str], negative: Sequence[str], batch: int) -> np.ndarray:
    """Mean difference of the states at the last tokens."""
    states = texts_last(state, [*positive, *negative], batch)
    return states[: len(positive)].mean(0) - states[len(positive) :].mean(0)


def unsteered(state: State) -> AbstractContextManager[Callable[..., Any]]:
    """The model that is wrapped."""
    return plain(state.model, state.tokenizer)


@contextmanager
def steered(state: State, vectors: np.ndarray) -> Iterator[Callable[..., Any]]:
    """Add to each block in every step of a traced generation."""
    import torch

    traced = state.traced
    like = {"device": state.model.device, "dtype": state.model.dtype}
    rows = [torch.as_tensor(row).to(**like) for row in vectors]

    def generate(texts: Sequence[str], n_tokens: int, **options: Any) -> np.ndarray:
        settings = {
            "max_new_tokens": n_tokens,
            "min_new_tokens": n_tokens,
            "do_sample": False,
            "pad_token_id": 0,
            **options,
        }
        with torch.no_grad(), traced.generate(list(texts), **settings) as tracer:
            # Bounded, since nothing after an unbounded loop is reached.
            for _ in tracer.iter[0:n_tokens]:
                for block, row in zip(traced.model.layers, rows, strict=True):
                    block.output[:] += row
            tokens = tracer.result.save()
        return tokens.cpu().numpy()

    yield generate


def module(state: State) -> Any:
    """The causal language model."""
    return state.model
