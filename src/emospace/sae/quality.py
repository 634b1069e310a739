"""What an autoencoder keeps: variance, the model's loss with its reconstruction in place, silent latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.display import progress

if TYPE_CHECKING:
    import torch

    from emospace.models import LanguageModel
    from emospace.sae.autoencoder import SparseAutoencoder

LOSS_TOKENS = 20_000


@dataclass(frozen=True)
class SaeQuality:
    """Figures on held-out text; first positions left out of all of them.

    Attributes
    ----------
    n_heldout_tokens, n_loss_tokens
        Tokens behind the first three figures, and behind the losses.
    variance_explained
        1 - (mean squared error) / (variance around the mean state).
    mean_active
        Latents active on a token.
    dead_share
        Part of the latents silent on every held-out token.
    loss_clean, loss_reconstructed, loss_mean_ablated
        Next-token cross-entropy in nats with the layer's states as they are, reconstructed, or all set to
        their mean.
    loss_recovered
        (ablated - reconstructed) / (ablated - clean).
    """

    n_heldout_tokens: int
    n_loss_tokens: int
    variance_explained: float
    mean_active: float
    dead_share: float
    loss_clean: float
    loss_reconstructed: float
    loss_mean_ablated: float
    loss_recovered: float


def measure_quality(
    model: LanguageModel,
    sae: SparseAutoencoder,
    windows: Sequence[tuple[int, ...]],
    n_loss_tokens: int = LOSS_TOKENS,
) -> SaeQuality:
    """Measure an autoencoder on windows of token ids it was not trained on."""
    import torch

    from emospace.sae.training import window_states

    states = torch.from_numpy(window_states(model, windows, sae.layer).astype(np.float32))
    mean = states.mean(0)
    error, variance, active = 0.0, 0.0, 0
    fired = torch.zeros(sae.n_latents, dtype=torch.bool)
    with torch.inference_mode():
        for rows in states.split(4096):
            activations = sae.activations(rows)
            error += float((sae.reconstruct(rows) - rows).square().sum())
            variance += float((rows - mean).square().sum())
            on = activations > 0
            active += int(on.sum())
            fired |= on.any(0)
    sample, have = [], 0
    for window in windows:
        if have >= n_loss_tokens:
            break
        sample.append(window)
        have += len(window) - 1
    edits: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "clean": lambda hidden: hidden,
        "reconstructed": lambda hidden: sae.reconstruct(hidden.float()).to(hidden),
        "ablated": lambda hidden: mean.to(hidden).expand_as(hidden),
    }
    losses = {name: _loss(model, sample, sae.layer, edit, name) for name, edit in edits.items()}
    gap = losses["ablated"] - losses["clean"]
    return SaeQuality(
        n_heldout_tokens=len(states),
        n_loss_tokens=have,
        variance_explained=round(1 - error / variance, 4),
        mean_active=round(active / len(states), 2),
        dead_share=round(1 - float(fired.float().mean()), 4),
        loss_clean=round(losses["clean"], 4),
        loss_reconstructed=round(losses["reconstructed"], 4),
        loss_mean_ablated=round(losses["ablated"], 4),
        loss_recovered=round((losses["ablated"] - losses["reconstructed"]) / gap, 4) if gap else float("nan"),
    )


def _loss(
    model: LanguageModel,
    windows: Sequence[tuple[int, ...]],
    layer: int,
    edit: Callable[[torch.Tensor], torch.Tensor],
    name: str,
) -> float:
    """Return the mean next-token loss with the states of one layer edited from the second position on."""
    import torch
    from torch.nn.functional import cross_entropy

    def replace(hidden: torch.Tensor) -> torch.Tensor:
        changed = hidden.clone()
        changed[:, 1:] = edit(hidden[:, 1:])
        return changed

    def hook(_module: Any, _args: Any, output: Any) -> Any:
        return (replace(output[0]), *output[1:]) if isinstance(output, tuple) else replace(output)

    def pre_hook(_module: Any, args: tuple[Any, ...]) -> Any:
        return (replace(args[0]), *args[1:])

    if layer == 0:
        handle = model.blocks[0].register_forward_pre_hook(pre_hook)
    else:
        handle = model.blocks[layer - 1].register_forward_hook(hook)
    total, count = 0.0, 0
    order = sorted(windows, key=len, reverse=True)
    try:
        with torch.inference_mode(), progress(f"Loss, {name}", len(order), "windows") as advance:
            low = 0
            while low < len(order):
                rows = order[low : low + max(1, 1024 // len(order[low]))]
                low += len(rows)
                ids = torch.zeros(len(rows), len(rows[0]), dtype=torch.long)
                targets = torch.full_like(ids, -100)
                for index, row in enumerate(rows):
                    ids[index, : len(row)] = torch.tensor(row)
                    targets[index, : len(row) - 1] = torch.tensor(row[1:])
                logits = model.model(input_ids=ids.to(model.device), use_cache=False).logits.float()
                total += float(
                    cross_entropy(logits.flatten(0, 1), targets.flatten().to(logits.device), reduction="sum")
                )
                count += int((targets >= 0).sum())
                advance(len(rows))
    finally:
        handle.remove()
    return total / count
