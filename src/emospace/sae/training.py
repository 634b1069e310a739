"""Train an autoencoder on states captured from running text, resumable at every step of the way."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emospace.artefacts import atomic_write, content_hash
from emospace.display import progress, say
from emospace.errors import EmospaceError
from emospace.sae.autoencoder import SparseAutoencoder
from emospace.sae.corpus import Corpus, token_windows
from emospace.sae.files import save_sae
from emospace.sae.quality import measure_quality
from emospace.sae.scaling import Scaling
from emospace.sae.states import capture_shards, is_whole
from emospace.sae.topk import Trainer
from emospace.specs import SaeSpec

if TYPE_CHECKING:
    import torch

    from emospace.models import LanguageModel

log = logging.getLogger(__name__)

_MIXED_SHARDS = 8
_CHECKPOINT_STEPS = 200


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

    States are captured, first positions left out, and standardised dimension by dimension into shards under
    ``out/states`` that an interrupted run finds again; the training goes on from its last checkpoint. The scaling is
    folded into the weights: the autoencoder reads raw states, and its codes are in standard deviations.

    Parameters
    ----------
    model
        The model whose residual stream is read.
    corpora
        Running text; never words in carriers.
    spec
        Layer (residual stream after ``spec.layer`` blocks; SAELens' ``blocks.{layer-1}.hook_resid_post``), number of
        latents, latents kept for each state, tokens and optimiser. Its seed decides the windows cut from the corpora,
        the initial weights and the order of batches.
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
    shards, scaling = capture_shards(model, training, spec.layer, out / "states")
    weights = _fit(shards, scaling, spec, out / "checkpoint", model.device)
    sae = _finish(weights, scaling, spec, dtype)
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


def _batches(paths: Sequence[Path], batch: int, seed: int, skip: int = 0) -> Iterator[torch.Tensor]:
    """Yield endless batches, each mixed from several shards at once, from the one after `skip` batches on."""
    import torch
    from safetensors import safe_open
    from safetensors.numpy import load_file

    def length(path: Path) -> int:
        with safe_open(str(path), framework="np") as file:
            return int(file.get_slice("states").get_shape()[0])

    lengths = [length(path) for path in paths]
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(paths))
        for low in range(0, len(order), _MIXED_SHARDS):
            mixed = order[low : low + _MIXED_SHARDS]
            rows = rng.permutation(sum(lengths[index] for index in mixed))
            starts = range(0, len(rows) - batch + 1, batch)
            if skip >= len(starts):
                skip -= len(starts)
                continue
            states = np.concatenate([load_file(str(paths[index]))["states"] for index in mixed])
            for start in starts[skip:]:
                yield torch.from_numpy(states[rows[start : start + batch]].astype(np.float32))
            skip = 0


def _fit(
    paths: Sequence[Path], scaling: Scaling, spec: SaeSpec, checkpoint: Path, device: torch.device
) -> dict[str, torch.Tensor]:
    """Return trained weights in standardised units, from the last checkpoint on; a finished training is kept."""
    from safetensors.torch import load_file, save_file

    from emospace.models.devices import faster_dtype

    key = content_hash(spec.model_dump(), scaling.content_hash, [path.name for path in paths])
    trained, unfinished = (checkpoint / f"{kind}-{key}.safetensors" for kind in ("trained", "unfinished"))
    if is_whole(trained):
        log.info("the training of %s had ended; its weights are kept", trained)
        kept: dict[str, torch.Tensor] = load_file(str(trained))
        return kept
    n_steps = int(spec.n_tokens * spec.passes) // spec.batch
    bfloat16 = faster_dtype(str(device)) == "bfloat16"
    trainer = Trainer.start(spec, len(scaling.mean), n_steps, device, bfloat16=bfloat16)
    if is_whole(unfinished):
        trainer.restore(load_file(str(unfinished)))
        log.info("going on from step %d", trainer.step)
    with progress("Training the SAE", n_steps, "steps") as advance:
        advance(trainer.step)

        def on_step() -> None:
            advance()
            if trainer.step % _CHECKPOINT_STEPS == 0:
                atomic_write(unfinished, partial(save_file, trainer.state()))

        trainer.run(_batches(paths, spec.batch, spec.seed, skip=trainer.step), on_step)
    weights = {name: tensor.cpu() for name, tensor in trainer.weights.items()}
    atomic_write(trained, partial(save_file, weights))
    unfinished.unlink(missing_ok=True)
    return weights


def _finish(
    weights: Mapping[str, torch.Tensor], scaling: Scaling, spec: SaeSpec, dtype: str
) -> SparseAutoencoder:
    """Return the autoencoder that reads raw states: the scaling folded into the weights, then rounded."""
    import torch

    mean, scale = torch.from_numpy(scaling.mean), torch.from_numpy(scaling.scale)
    folded = {
        "w_enc": (weights["w_enc"] / scale).T.contiguous(),
        "b_enc": weights["b_enc"],
        "w_dec": weights["w_dec"] * scale,
    }
    rounded = {name: tensor.to(getattr(torch, dtype)).float() for name, tensor in folded.items()}
    # Means may be thousands of times as large as what varies around them: rounded, they would shift every code.
    b_dec = mean + scale * weights["b_dec"]
    return SparseAutoencoder(**rounded, b_dec=b_dec, architecture="topk", layer=spec.layer, k=spec.k)
