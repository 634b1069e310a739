"""What an autoencoder keeps: variance, the model's loss with its reconstruction in place, silent latents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from emospace.display import progress
from emospace.sae.scaling import outliers
from emospace.sae.states import window_states

if TYPE_CHECKING:
    import torch

    from emospace.models import LanguageModel
    from emospace.sae.autoencoder import SparseAutoencoder

Edit: TypeAlias = Callable[["torch.Tensor"], "torch.Tensor"]

LOSS_TOKENS = 20_000
BATCH_TOKENS = 1024
LOGITS = 2**25
"""Logits made at once (128 MB of float32): 128 positions of a vocabulary of 262,144."""


@dataclass(frozen=True)
class SaeQuality:
    """Figures on held-out text; first positions left out of all of them.

    Attributes
    ----------
    n_heldout_tokens, n_loss_tokens
        Tokens behind the first three figures, and behind the losses.
    variance_explained
        1 - (mean squared error) / (variance around the mean state).
    variance_explained_inliers, n_outlier_dimensions
        The same without the dimensions whose variance is more than `OUTLIER` times the median one's: where a few
        dimensions hold most of the variance, the first figure says little of the rest.
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
    variance_explained_inliers: float
    n_outlier_dimensions: int
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

    states = torch.from_numpy(window_states(model, windows, sae.layer))
    mean = states.mean(0)
    error, variance = np.zeros(states.shape[1]), np.zeros(states.shape[1])
    active = 0
    fired = torch.zeros(sae.n_latents, dtype=torch.bool)
    with (
        torch.inference_mode(),
        progress("Held-out states, rebuilt from latents", len(states), "tokens") as advance,
    ):
        for block in sae.row_blocks(len(states)):
            rows = states[block]
            activations = sae.activations(rows)
            error += (sae.reconstruct(rows, activations) - rows).square().sum(0).double().numpy()
            variance += (rows - mean).square().sum(0).double().numpy()
            on = activations > 0
            active += int(on.sum())
            fired |= on.any(0)
            advance(len(rows))
    sample, have = [], 0
    for window in windows:
        if have >= n_loss_tokens:
            break
        sample.append(window)
        have += len(window) - 1

    def rebuilt(hidden: torch.Tensor) -> torch.Tensor:
        rows = hidden.flatten(0, -2).float()
        blocks = [sae.reconstruct(rows[block]) for block in sae.row_blocks(len(rows))]
        return torch.cat(blocks).view_as(hidden).to(hidden)

    edits: dict[str, Edit] = {
        "reconstructed": rebuilt,
        "ablated": lambda hidden: mean.to(hidden).expand_as(hidden),
    }
    losses = next_token_losses(model, sample, sae.layer, edits)
    inliers = ~outliers(variance)
    gap = losses["ablated"] - losses["clean"]
    return SaeQuality(
        n_heldout_tokens=len(states),
        n_loss_tokens=have,
        variance_explained=round(1 - float(error.sum() / variance.sum()), 4),
        variance_explained_inliers=round(1 - float(error[inliers].sum() / variance[inliers].sum()), 4),
        n_outlier_dimensions=int((~inliers).sum()),
        mean_active=round(active / len(states), 2),
        dead_share=round(1 - float(fired.float().mean()), 4),
        loss_clean=round(losses["clean"], 4),
        loss_reconstructed=round(losses["reconstructed"], 4),
        loss_mean_ablated=round(losses["ablated"], 4),
        loss_recovered=round((losses["ablated"] - losses["reconstructed"]) / gap, 4) if gap else float("nan"),
    )


def next_token_losses(
    model: LanguageModel, windows: Sequence[tuple[int, ...]], layer: int, edits: Mapping[str, Edit]
) -> dict[str, float]:
    """Return mean next-token losses with the states of a layer as they are (``clean``) and edited.

    The blocks below the layer run once for all of them, and no more than `LOGITS` logits are made at a time.

    Parameters
    ----------
    windows
        Token ids; states are edited from the second position on.
    edits
        Name -> new states for states ``[n_rows, n_tokens, d_model]``.

    Returns
    -------
    dict
        Nats for ``clean`` and each name of `edits`.
    """
    import torch

    totals, count, low = dict.fromkeys(("clean", *edits), 0.0), 0, 0
    order = sorted(windows, key=len, reverse=True)
    as_tuple = _return_tuples(model)
    title = f"Loss with layer {layer} {', '.join(totals)}"
    with torch.inference_mode(), progress(title, len(order), "windows") as advance:
        while low < len(order):
            rows = order[low : low + max(1, BATCH_TOKENS // len(order[low]))]
            low += len(rows)
            ids = torch.zeros(len(rows), len(rows[0]), dtype=torch.long)
            targets = torch.full_like(ids, -100)
            for index, row in enumerate(rows):
                ids[index, : len(row)] = torch.tensor(row)
                targets[index, : len(row) - 1] = torch.tensor(row[1:])
            count += int((targets >= 0).sum())
            for name, states in _last_states(model, ids.to(model.device), layer, edits, as_tuple):
                totals[name] += _summed_loss(model, states, targets.to(states.device), as_tuple)
            advance(len(rows))
    return {name: total / count for name, total in totals.items()}


def _last_states(
    model: LanguageModel, ids: torch.Tensor, layer: int, edits: Mapping[str, Edit], as_tuple: bool
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the states after the last block ``[n_rows, n_tokens, d_model]``: clean, and with a layer edited."""
    from emospace.activations.forward import capturing

    reached: dict[int, torch.Tensor] = {}
    inputs = {"input_ids": ids, "use_cache": False}
    with capturing(model, sorted({layer, model.n_blocks})) as forward:
        forward(inputs, reached.__setitem__)
    yield "clean", reached[model.n_blocks]
    for name, edit in edits.items():
        changed = reached[layer].clone()
        changed[:, 1:] = edit(reached[layer][:, 1:])
        if layer < model.n_blocks:
            last: dict[int, torch.Tensor] = {}
            with (
                _starting_from(model, layer, changed, as_tuple),
                capturing(model, [model.n_blocks]) as forward,
            ):
                forward(inputs, last.__setitem__)
            changed = last[model.n_blocks]
        yield name, changed


def _summed_loss(model: LanguageModel, states: torch.Tensor, targets: torch.Tensor, as_tuple: bool) -> float:
    """Return the summed cross-entropy of targets (-100 for none) given the states after the last block."""
    import torch
    from torch.nn.functional import cross_entropy

    wanted = targets >= 0
    config = model.model.config
    step = max(1, LOGITS // getattr(config, "text_config", config).vocab_size)
    total = 0.0
    for rows, words in zip(states[wanted].split(step), targets[wanted].split(step), strict=True):
        # Each position by itself: norm, head and what a family does to its logits know no other position.
        ids = torch.zeros(len(rows), 1, dtype=torch.long, device=model.device)
        with _starting_from(model, model.n_blocks, rows[:, None], as_tuple):
            logits = model.model(input_ids=ids, use_cache=False).logits[:, 0]
        total += float(cross_entropy(logits.float(), words.to(logits.device), reduction="sum"))
    return total


def _return_tuples(model: LanguageModel) -> bool:
    """Return whether a model's blocks return tuples, seen on one token that runs through the first."""
    import torch

    from emospace.activations import token_states

    kinds: list[bool] = []
    with ExitStack() as stack:
        handle = model.blocks[0].register_forward_hook(
            lambda _module, _args, output: kinds.append(isinstance(output, tuple))
        )
        stack.callback(handle.remove)
        token_states(model, torch.zeros(1, 1, dtype=torch.long, device=model.device), 1)
    return kinds[0]


@contextmanager
def _starting_from(model: LanguageModel, layer: int, states: torch.Tensor, as_tuple: bool) -> Iterator[None]:
    """Let passes begin with states at a layer: the blocks below it do not run."""

    def given(*_args: Any, **_kwargs: Any) -> Any:
        return (states,) if as_tuple else states

    def before_first(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return ((states, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": states})

    with ExitStack() as stack:
        for block in model.blocks[:layer]:
            original = vars(block).get("forward")
            block.forward = given
            stack.callback(setattr, block, "forward", original) if original else stack.callback(
                delattr, block, "forward"
            )
        if layer == 0:
            handle = model.blocks[0].register_forward_pre_hook(before_first, with_kwargs=True)
            stack.callback(handle.remove)
        yield
