"""Train an autoencoder with SAELens' trainer on states captured from running text."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, redirect_stderr
from dataclasses import asdict, replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from emospace.artefacts import atomic_write, content_hash, read_json, write_json
from emospace.display import is_terminal, progress, say
from emospace.errors import EmospaceError
from emospace.sae.autoencoder import SparseAutoencoder
from emospace.sae.corpus import Corpus, token_windows
from emospace.sae.files import save_sae
from emospace.sae.quality import measure_quality
from emospace.sae.states import SHARD_TOKENS, capture_shards, is_whole

if TYPE_CHECKING:
    import torch

    from emospace.models import LanguageModel

log = logging.getLogger(__name__)

_MIXED_SHARDS = 8
_CHECKPOINT_STEPS = 200


class SaeSpec(BaseModel):
    """How an autoencoder is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: int = Field(ge=0, description="residual stream after this many blocks")
    n_latents: int = Field(default=4608, gt=0)
    k: int = Field(default=48, gt=0, description="latents kept for each state")
    n_tokens: int = Field(default=2_000_000, gt=0, description="distinct training tokens")
    passes: float = Field(default=1.0, gt=0, description="how often each is seen")
    n_heldout: int = Field(default=200_000, gt=0, description="tokens for the card's figures")
    batch: int = Field(default=1024, gt=0, le=SHARD_TOKENS)
    learning_rate: float = Field(default=8e-4, gt=0)
    aux_loss: float = Field(default=1.0, ge=0, description="weight of the loss that revives dead latents")
    seed: int = 0


def train_sae(
    model: LanguageModel,
    corpora: Sequence[Corpus],
    spec: SaeSpec,
    out: Path,
    *,
    command: str,
    dtype: str = "float16",
) -> SparseAutoencoder:
    """Train a top-k autoencoder of one layer and write it with its card.

    States are captured in bfloat16 matrix products around a float32 residual stream, first positions left
    out, into shards under ``out/states`` that an interrupted run finds again; the training itself goes on from
    its last checkpoint.

    Parameters
    ----------
    corpora
        Running text; never words in carriers.
    out
        Folder of the autoencoder; work in progress lies in ``out/states`` and ``out/checkpoint``.
    command
        The command line or call that does this, for the card.
    dtype
        Precision of the stored weights; the card's figures are measured after rounding to it.

    Raises
    ------
    EmospaceError
        If a corpus is too small, the layer does not exist, the tokens do not fill a batch, or the disk is full.
    """
    if spec.layer > model.n_blocks:
        raise EmospaceError(
            f"layer {spec.layer}", f"the model has layers 0 to {model.n_blocks}", "Name one of them."
        )
    windows = token_windows(model, corpora, spec.n_tokens + spec.n_heldout, spec.seed)
    heldout, training = _split(windows, spec.n_heldout)
    n_training = sum(len(window) - 1 for window in training)
    if min(n_training, int(spec.n_tokens * spec.passes)) < spec.batch:
        raise EmospaceError(
            f"{n_training:,} training tokens",
            f"they do not fill one batch of {spec.batch:,}",
            "Raise n_tokens or lower batch.",
        )
    shards = capture_shards(model, training, spec.layer, out / "states")
    weights = _fit(shards, model.d_model, spec, out / "checkpoint")
    sae = _finish(weights, spec, dtype)
    say(f"Training is over; measuring what the SAE keeps on {spec.n_heldout:,} held-out tokens")
    quality = measure_quality(model, sae, heldout)
    total = sum(corpus.share for corpus in corpora)
    card = {
        "model": model.identity.get("name"),
        "model_sha256": model.identity.get("sha256"),
        "quantisation": model.identity.get("quantisation"),
        "corpus": {corpus.name: round(corpus.share / total, 4) for corpus in corpora},
        "n_training_tokens": n_training,
        **spec.model_dump(),
        **asdict(quality),
        "command": command,
    }
    sae = replace(sae, card=card)
    save_sae(sae, out, model_name=str(model.identity.get("name")), dtype=dtype)
    say(
        f"SAE written to {out}: variance explained {quality.variance_explained:.3f}, loss recovered "
        f"{quality.loss_recovered:.3f}, dead {quality.dead_share:.1%}"
    )
    return sae


def _split(
    windows: Sequence[tuple[int, ...]], n_heldout: int
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    have = 0
    for index, window in enumerate(windows):
        have += len(window) - 1
        if have >= n_heldout:
            return list(windows[: index + 1]), list(windows[index + 1 :])
    return list(windows), []


def _batches(paths: Sequence[Path], batch: int, seed: int) -> Iterator[torch.Tensor]:
    """Yield endless batches, each mixed from several shards at once."""
    import torch
    from safetensors.numpy import load_file

    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(paths))
        for low in range(0, len(order), _MIXED_SHARDS):
            states = np.concatenate(
                [load_file(str(paths[index]))["states"] for index in order[low : low + _MIXED_SHARDS]]
            )
            rows = rng.permutation(len(states))
            for start in range(0, len(rows) - batch + 1, batch):
                yield torch.from_numpy(states[rows[start : start + batch]].astype(np.float32))


def _fit(paths: Sequence[Path], d_model: int, spec: SaeSpec, checkpoint: Path) -> dict[str, torch.Tensor]:
    """Run SAELens' trainer to the end, from the last checkpoint if there is one; a finished training is kept."""
    import torch
    from safetensors.torch import load_file, save_file

    key = content_hash(spec.model_dump(), [path.name for path in paths])
    trained = checkpoint / f"trained-{key}.safetensors"
    if is_whole(trained):
        log.info("the training of %s had ended; its weights are kept", trained)
        kept: dict[str, torch.Tensor] = load_file(str(trained))
        return kept
    from sae_lens import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    torch.manual_seed(spec.seed)
    sae = TopKTrainingSAE(
        TopKTrainingSAEConfig(
            d_in=d_model,
            d_sae=spec.n_latents,
            k=spec.k,
            aux_loss_coefficient=spec.aux_loss,
            normalize_activations="expected_average_only_in",
            device="cuda" if torch.cuda.is_available() else "cpu",
        )
    )
    samples = int(spec.n_tokens * spec.passes) // spec.batch * spec.batch
    steps = samples // spec.batch
    config = SAETrainerConfig(
        total_training_samples=samples,
        train_batch_size_samples=spec.batch,
        lr=spec.learning_rate,
        lr_end=spec.learning_rate / 10,
        lr_warm_up_steps=min(200, steps // 10),
        lr_decay_steps=steps // 4,
        dead_feature_window=max(20, min(300, steps // 10)),
        n_batches_for_norm_estimate=min(20, steps),
        device=str(sae.device),
        autocast=True,
    )
    trainer: Any = SAETrainer(config, sae, _batches(paths, spec.batch, spec.seed))
    progress_file, weights_file = checkpoint / "progress.json", checkpoint / "weights.safetensors"
    known = read_json(progress_file) if progress_file.is_file() else {}
    if known.get("key") == key:
        _restore(trainer, load_file(str(weights_file)), known)
        log.info("going on from step %d", trainer.n_training_steps)
    else:
        progress_file.unlink(missing_ok=True)
        with nullcontext() if is_terminal() else redirect_stderr(StringIO()):
            trainer.activation_scaler.estimate_scaling_factor(
                d_model, trainer.data_provider, config.n_batches_for_norm_estimate
            )
        # Starting at the mean state keeps its direction, which all tokens share, from claiming the latents.
        mean = load_file(str(paths[0]))["states"].float().mean(0)
        trainer.sae.b_dec.data.copy_(mean * trainer.activation_scaler.scaling_factor)
    with progress("Training the SAE", steps, "steps") as advance:
        advance(trainer.n_training_steps)
        while trainer.n_training_steps < steps:
            trainer.step(next(trainer.data_provider))
            trainer.n_training_steps += 1
            advance()
            if trainer.n_training_steps % _CHECKPOINT_STEPS == 0:
                state = _state(trainer)
                atomic_write(weights_file, partial(save_file, state))
                scale = trainer.activation_scaler.scaling_factor
                write_json(progress_file, {"key": key, "step": trainer.n_training_steps, "scale": scale})
    trainer.sae.fold_activation_norm_scaling_factor(trainer.activation_scaler.scaling_factor)
    weights = {name: tensor.detach().float().cpu() for name, tensor in trainer.sae.state_dict().items()}
    atomic_write(trained, partial(save_file, weights))
    return weights


def _state(trainer: Any) -> dict[str, torch.Tensor]:
    """Return all a resumed run needs: weights, Adam's moments, since when each latent is silent, the step.

    The step lies in the same file as the weights, so that a kill between two files cannot part them.
    """
    import torch

    tensors = {f"weight.{name}": tensor for name, tensor in trainer.sae.state_dict().items()}
    for index, moments in trainer.optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": tensor for name, tensor in moments.items()}
    tensors["silent"] = trainer.n_forward_passes_since_fired
    tensors["step"] = torch.tensor(trainer.n_training_steps)
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}


def _restore(trainer: Any, tensors: dict[str, torch.Tensor], known: dict[str, Any]) -> None:
    weights = {
        name.removeprefix("weight."): value for name, value in tensors.items() if name.startswith("weight.")
    }
    trainer.sae.load_state_dict(weights)
    optimizer = trainer.optimizer.state_dict()
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, index, moment = name.split(".", 2)
            optimizer["state"].setdefault(int(index), {})[moment] = value
    trainer.optimizer.load_state_dict(optimizer)
    trainer.n_forward_passes_since_fired = tensors["silent"].to(trainer.sae.device)
    trainer.activation_scaler.scaling_factor = known["scale"]
    step = int(tensors.get("step", known["step"]))
    for _ in range(trainer.cfg.n_batches_for_norm_estimate + step):
        next(trainer.data_provider)
    with warnings.catch_warnings():
        # torch warns of steps of the schedule that no step of the optimiser goes before.
        warnings.simplefilter("ignore")
        for _ in range(step):
            trainer.lr_scheduler.step()
    trainer.n_training_steps = step
    trainer.n_training_samples = step * trainer.cfg.train_batch_size_samples


def _finish(weights: dict[str, torch.Tensor], spec: SaeSpec, dtype: str) -> SparseAutoencoder:
    """Fold decoder norms into the encoder, so that codes are in units of the residual stream, and round."""
    import torch

    norms = weights["W_dec"].norm(dim=1)
    folded = {
        "w_enc": weights["W_enc"] * norms,
        "b_enc": weights["b_enc"] * norms,
        "w_dec": weights["W_dec"] / norms[:, None],
        "b_dec": weights["b_dec"],
    }
    rounded = {name: tensor.to(getattr(torch, dtype)).float() for name, tensor in folded.items()}
    return SparseAutoencoder(**rounded, architecture="topk", layer=spec.layer, k=spec.k)
