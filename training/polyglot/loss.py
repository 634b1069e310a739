"""Next-token loss: over the whole vocabulary, or over a sample of it whose sum stands for the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


def draw_candidates(
    labels: np.ndarray, n_vocab: int, n_candidates: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return tokens that stand for the vocabulary: all labels of a batch, and others at random.

    Parameters
    ----------
    labels
        ``[n]`` tokens to predict.
    n_vocab, n_candidates
        Tokens there are, and tokens to return (more where there are more labels).

    Returns
    -------
    candidates, log_inclusion, places
        ``[n_candidates]`` tokens, the labels first; the logarithm of each one's probability of being there, which
        makes a sum over them an unbiased sum over all (Horvitz & Thompson 1952); ``[n]`` where each label stands.
    """
    own = np.unique(labels)
    others = np.setdiff1d(np.arange(n_vocab), own, assume_unique=True)
    n_drawn = min(max(n_candidates - len(own), 0), len(others))
    drawn = np.random.default_rng(seed).choice(others, n_drawn, replace=False)
    log_inclusion = np.zeros(len(own) + n_drawn, np.float32)
    log_inclusion[len(own) :] = np.log(max(1, n_drawn) / max(1, len(others)))
    return np.concatenate([own, drawn]), log_inclusion, np.searchsorted(own, labels)


def sampled_loss(
    model: Any,
    inputs: torch.Tensor,
    candidates: torch.Tensor,
    log_inclusion: torch.Tensor,
    places: torch.Tensor,
) -> torch.Tensor:
    """Return the mean loss of ``[batch, context]`` inputs, the softmax's sum estimated from candidates."""
    from torch.nn.functional import cross_entropy

    states = model.model(input_ids=inputs, use_cache=False).last_hidden_state.flatten(0, 1)
    logits = (states @ model.lm_head.weight[candidates].T).float()
    return cross_entropy(logits - log_inclusion, places)


def whole_loss(model: Any, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean loss of ``[batch, context]`` inputs over the whole vocabulary."""
    from torch.nn.functional import cross_entropy

    states = model.model(input_ids=inputs, use_cache=False).last_hidden_state.flatten(0, 1)
    return cross_entropy((states @ model.lm_head.weight.T).float(), labels.flatten())


def held_out_loss(model: Any, rows: torch.Tensor, batch: int = 8) -> float:
    """Return the mean loss, nats a token, of ``[n_rows, context + 1]`` over the whole vocabulary."""
    losses = [float(whole_loss(model, part[:, :-1], part[:, 1:])) * len(part) for part in rows.split(batch)]
    return sum(losses) / len(rows)
