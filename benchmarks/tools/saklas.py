"""saklas 5.3.0: the loop of its own fits over its batched capture, and its steering hook.

A session would render every text in the chat template and first run hundreds of neutral texts; its hot paths are
called directly instead, on the texts of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import numpy as np

from tools.folder import greedy, load_folder, plain

PACKAGES = ("saklas", "transformers", "torch", "numpy")
BATCHES = (8, 16, 32, 64, 128)
NOTES = {
    "words_last": "private functions, on plain texts; tokenised at once, sorted by length, hooks kept, as its fits do",
    "texts_mean": "its capture of whole states with the mean taken by hand",
    "vector": "mean difference by hand over its capture: its own vectors need chat turns and a whitener",
}


class State(NamedTuple):
    """A model, its tokenizer and its blocks."""

    model: Any
    tokenizer: Any
    blocks: Any


def load(folder: str, dtype: str, device: str) -> State:
    """Load by `transformers`."""
    model, tokenizer = load_folder(folder, dtype, device)
    return State(model, tokenizer, model.model.layers)


def words_last(state: State, words: Sequence[str], carrier: str, batch: int) -> np.ndarray:
    """The batched capture of the filled carriers."""
    return texts_last(state, [carrier.format(word=word) for word in words], batch)


def texts_last(state: State, texts: Sequence[str], batch: int) -> np.ndarray:
    """`_encode_and_capture_all_batch` over rows sorted by length, as `compute_manifold_node_stats` has it."""
    import torch
    from saklas.core.capture import _encode_and_capture_all_batch, _ReusablePooledCapture

    rendered = _rendered(state, texts)
    order = sorted(range(len(rendered)), key=lambda index: rendered[index][0].shape[1])
    layers = list(range(len(state.blocks)))
    states = np.empty((len(texts), len(layers), state.model.config.hidden_size), dtype=np.float32)
    with _ReusablePooledCapture(state.model, state.blocks, layers) as context:
        for low in range(0, len(order), batch):
            chosen = order[low : low + batch]
            hidden = _encode_and_capture_all_batch(
                state.model,
                state.tokenizer,
                [""] * len(chosen),
                [""] * len(chosen),
                state.blocks,
                state.model.device,
                layer_indices=layers,
                rendered=[rendered[index] for index in chosen],
                capture_context=context,
            )
            states[chosen] = torch.stack([hidden[layer].cpu() for layer in layers], 1).numpy()
    return states


def texts_mean(state: State, texts: Sequence[str], batch: int) -> np.ndarray:
    """`_capture_all_hidden_states` without an index gives whole states, of which the mean is taken."""
    import torch
    from saklas.core.capture import _capture_all_hidden_states

    rendered = _rendered(state, texts)
    order = sorted(range(len(rendered)), key=lambda index: rendered[index][0].shape[1])
    states = np.empty((len(texts), len(state.blocks), state.model.config.hidden_size), dtype=np.float32)
    device = state.model.device
    for low in range(0, len(order), batch):
        chosen = order[low : low + batch]
        rows = [rendered[index][0][0] for index in chosen]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        column = torch.arange(ids.shape[1], device=device)
        mask = (column < lengths[:, None]).long()
        weight = (mask * (column > 0)) / (lengths - 1)[:, None]
        hidden = _capture_all_hidden_states(state.model, state.blocks, ids, attention_mask=mask)
        pooled = [torch.einsum("bt,btd->bd", weight, hidden[i].float()) for i in range(len(state.blocks))]
        states[chosen] = torch.stack(pooled, 1).cpu().numpy()
    return states


def vector(state: State, positive: Sequence[str], negative: Sequence[str], batch: int) -> np.ndarray:
    """Mean difference of the states at the last tokens."""
    states = texts_last(state, [*positive, *negative], batch)
    return states[: len(positive)].mean(0) - states[len(positive) :].mean(0)


def unsteered(state: State) -> AbstractContextManager[Callable[..., Any]]:
    """The model as it is."""
    return plain(state.model, state.tokenizer)


@contextmanager
def steered(state: State, vectors: np.ndarray) -> Iterator[Callable[..., Any]]:
    """One `SteeringHook` a block with a pure push: its fastest path, one addition in place."""
    import torch
    from saklas.core.hooks import SteeringHook
    from saklas.core.manifold import CustomDomain, LayerSubspace
    from saklas.core.triggers import Trigger, TriggerContext

    hooks, context = [], TriggerContext()
    for block, row in zip(state.blocks, torch.as_tensor(vectors), strict=True):
        size = row.norm()
        subspace = LayerSubspace.affine(torch.zeros_like(row), (row / size)[None])
        entry = (subspace, CustomDomain(1), size[None], torch.zeros(1), 1.0, 0.0, 0.0, Trigger.BOTH)
        hook = SteeringHook()
        hook.recompose([entry], context, device=state.model.device, dtype=state.model.dtype)
        hook.attach(block)
        hooks.append(hook)
    try:
        yield greedy(state.model, state.tokenizer)
    finally:
        for hook in hooks:
            hook.detach()


def module(state: State) -> Any:
    """The causal language model."""
    return state.model


def _rendered(state: State, texts: Sequence[str]) -> list[tuple[Any, int]]:
    """Return token ids `[1, n]` and the place of the last token of each text."""
    import torch

    rows = state.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return [(torch.tensor([row]), len(row) - 1) for row in rows]
