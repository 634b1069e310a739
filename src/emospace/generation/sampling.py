"""How the tokens of an answer are sampled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    from emospace.specs import Sampling


def uniforms(sampling: Sampling, index: int) -> np.ndarray:
    """Return one number ``[n_tokens]`` in 0..1 for each token of the answer with this number."""
    return np.random.default_rng([sampling.seed, index]).random(sampling.n_tokens, dtype=np.float32)


def draw(logits: torch.Tensor, uniform: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Return one token per row of ``[n_rows, n_vocabulary]``: the inverse of the cumulative distribution."""
    import torch

    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    n = logits.shape[-1]
    values, tokens = torch.topk(logits, min(sampling.top_k or n, n), dim=-1)
    share = torch.softmax(values / sampling.temperature, dim=-1)
    total = share.cumsum(dim=-1)
    if sampling.top_p < 1:
        share = share.masked_fill(total - share >= sampling.top_p, 0)
        total = share.cumsum(dim=-1)
    # The first token whose cumulated share exceeds the number; never one without a share.
    place = (total <= uniform.unsqueeze(1) * total[:, -1:]).sum(dim=-1, keepdim=True)
    last = (share > 0).sum(dim=-1, keepdim=True) - 1
    return tokens.gather(1, torch.minimum(place, last)).squeeze(1)
