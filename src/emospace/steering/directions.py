"""Steering vectors of any direction: a latent of the autoencoder by its number, or a file that others wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import numpy as np

from emospace.artefacts import read_object
from emospace.errors import EmospaceError, InvalidInput
from emospace.specs import Mode
from emospace.steering.plan import check_fit, root_of
from emospace.steering.vector import Kind, SteeringVector
from emospace.steering.vectors import text_states

if TYPE_CHECKING:
    from emospace.models import LanguageModel
    from emospace.sae import SparseAutoencoder

SUFFIXES = (".safetensors", ".npy", ".gguf", ".pt")
TEXTS = (
    "Describe a street.",
    "What do people do on a Sunday?",
    "Explain how a bicycle works.",
    "Tell me about the history of paper.",
    "Write about a kitchen.",
    "How is bread made?",
    "What happens at a railway station?",
    "Give directions to the town hall.",
)
"""What the median norm of a block is measured in, each as the model is asked it."""

NAMES: tuple[tuple[re.Pattern[str], int], ...] = (
    (re.compile(r"layer\.(\d+)"), 0),
    # The others count blocks from 0 and act on their output: llama.cpp and repeng, saklas, steering-vectors, lm-eval.
    (re.compile(r"direction\.(\d+)"), 1),
    (re.compile(r"layer_(\d+)"), 1),
    (re.compile(r"block (\d+)"), 1),
    (re.compile(r"(?:\w+\.)*(?:layers|h|blocks|block)\.(\d+)"), 1),
)
"""Names of a file's tensors, and how many layers lie below the number in them. The first that all names fit is taken."""


def latent_vector(
    model: LanguageModel,
    sae: SparseAutoencoder,
    latent: int,
    mode: Mode = "relative",
    medians: Mapping[int, float] | None = None,
) -> SteeringVector:
    """Return the vector of one latent: the direction its decoder writes, at the layer the autoencoder reads.

    Parameters
    ----------
    model
        The model whose residual stream the autoencoder reads.
    sae
        The autoencoder.
    latent
        Number of the latent, from 0.
    mode
        In which unit its dose is counted, as in `steer`; it has no calibrated one.
    medians
        Layer -> median norm of the residual stream; None measures it.

    Raises
    ------
    EmospaceError
        If there is no such latent, or it writes nothing.
    """
    if not 0 <= latent < sae.n_latents:
        raise InvalidInput(
            f"latent {latent}",
            f"this autoencoder has the latents 0 to {sae.n_latents - 1}",
            "Name one of these.",
        )
    row = sae.w_dec[latent].float().cpu().numpy()
    note = {"latent": latent, "sae": sae.content_hash, "sae_layer": sae.layer}
    return _vector(model, f"latent {latent}", "sae", {sae.layer: row}, mode, note, medians)


def read_direction(
    path: Path, model: LanguageModel, layers: Sequence[int] = (), mode: Mode = "relative"
) -> SteeringVector:
    """Return the vector of a file, made unit; what it says of its layers' lengths is kept as their shares of the dose.

    Parameters
    ----------
    path
        ``.safetensors`` (as `SteeringVector.save` writes it, with everything it knows; saklas' ``layer_N``, which acts at
        layer ``N + 1``; else tensors ``layer.N``, or a single one), ``.npy`` (``[d_model]``, or ``[n_layers,
        d_model]``), ``.gguf`` (a control vector of llama.cpp or repeng, whose ``direction.N`` acts at layer ``N + 1``)
        or ``.pt`` (the layers of steering-vectors, or a steer file of lm-evaluation-harness; tensors and numbers alone).
    model
        The model it is for.
    layers
        Where it acts, for a file that does not say so: the residual stream after so many blocks. One direction acts at
        all of them; of several each at its own. For a file that says so: some of its layers.
    mode
        In which unit its dose is counted; a vector that was saved has its own.

    Raises
    ------
    EmospaceError
        If the file is absent, damaged or of another kind, has another width than the model, or the layers are not said
        or are no layers of it.
    """
    path = Path(path).expanduser()
    if path.suffix not in SUFFIXES:
        raise InvalidInput(
            f"the direction {path}",
            "its ending names none of the forms that are read",
            f"Give a file that ends in {', '.join(SUFFIXES)}.",
        )
    if path.suffix == ".safetensors" and _has_our_card(path):
        saved = SteeringVector.load(path)
        check_fit(root_of(model), model.blocks, saved)
        return saved.at(layers) if layers else saved
    rows = _layered(path, _read(path), layers, model)
    wrong = sorted({row.shape for row in rows.values() if row.shape != (model.d_model,)})
    if wrong:
        raise InvalidInput(
            f"the direction {path}",
            f"its shape is {list(wrong[0])}, and the residual stream of {model.name} has width {model.d_model}",
            "Give a direction made for this model.",
        )
    outside = [layer for layer in rows if not 1 <= layer <= model.n_blocks]
    if outside:
        raise InvalidInput(
            f"the direction {path} at layers {outside}",
            f"steering reaches layers 1 to {model.n_blocks} of this model",
            "Name layers among these.",
        )
    return _vector(model, path.stem, "dense", rows, mode, {"file": path.name})


DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    EOFError,
    RuntimeError,
    AttributeError,
    UnpicklingError,
)


def _has_our_card(path: Path) -> bool:
    """Return whether the card beside a file is one of ours: saklas has one of the same name."""
    card = path.with_suffix(".json")
    return card.is_file() and "saklas_version" not in read_object(
        card, hint="Put the card there that was saved with the vector."
    )


def _of_torch(path: Path) -> dict[str, np.ndarray]:
    """Return name -> direction of a file of torch; one that holds other objects than tensors and numbers is refused."""
    import torch

    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ValueError("it is damaged, or holds other objects than tensors and numbers") from error
    if isinstance(held, torch.Tensor):
        return {"": held.float().numpy()}
    if "layer_activations" in held:
        if held.get("layer_type", "decoder_block") != "decoder_block":
            raise ValueError(f"it acts on {held['layer_type']}, and only the output of blocks is steered")
        held = held["layer_activations"]
    rows = {}
    for name, value in held.items():
        if isinstance(value, Mapping):
            value = value["steering_vector"] * value["steering_coefficient"]
        rows[f"block {name}" if isinstance(name, int) else name] = value.float().numpy()
    return rows


def _read(path: Path) -> dict[str, np.ndarray]:
    """Return name -> tensor of a file; that of a single one without a name is empty."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        if path.suffix == ".npy":
            tensors = {"": np.load(path, allow_pickle=False)}
        elif path.suffix == ".safetensors":
            tensors = dict(load_file(path))
        elif path.suffix == ".pt":
            tensors = _of_torch(path)
        else:
            from gguf import GGUFReader

            tensors = {tensor.name: np.array(tensor.data) for tensor in GGUFReader(path).tensors}
        return {name: np.asarray(tensor, dtype=np.float64) for name, tensor in tensors.items()}
    # Each format has errors of its own for a file that is damaged or not what its ending says.
    except (*DAMAGED, SafetensorError) as error:
        raise EmospaceError(
            f"no direction could be read from {path}", str(error), "Check the path, or write the file again."
        ) from error


def _numbered(tensors: Mapping[str, np.ndarray]) -> dict[int, np.ndarray]:
    """Return layer -> direction of tensors whose names say it, empty where they do not."""
    for pattern, below in NAMES:
        matches = {name: match for name in tensors if (match := pattern.fullmatch(name))}
        if matches and len(matches) == len(tensors):
            return {int(match[1]) + below: np.ravel(tensors[name]) for name, match in matches.items()}
    return {}


def _layered(
    path: Path, tensors: Mapping[str, np.ndarray], layers: Sequence[int], model: LanguageModel
) -> dict[int, np.ndarray]:
    """Return layer -> direction, from the names of the tensors or the layers that were named."""
    if rows := _numbered(tensors):
        absent = sorted(set(layers) - set(rows))
        if absent:
            raise InvalidInput(
                f"the direction {path} at layers {absent}",
                f"it has the layers {sorted(rows)}",
                "Name layers among these.",
            )
        return {layer: rows[layer] for layer in layers} if layers else rows
    if len(tensors) != 1:
        raise InvalidInput(
            f"the direction {path}",
            f"it holds the tensors {', '.join(sorted(tensors)[:5]) or '(none)'}",
            "Name them layer.N (in .gguf direction.N), or keep a single one.",
        )
    (tensor,) = tensors.values()
    if not layers:
        raise InvalidInput(
            f"the direction {path}",
            "it does not say at which layer it acts",
            f"Give layers, as --layers {max(model.n_blocks // 2, 1)}: 1 to {model.n_blocks} of this model.",
        )
    several = tensor.ndim == 2
    if several and len(tensor) != len(layers):
        raise InvalidInput(
            f"the direction {path}",
            f"it has {len(tensor)} rows for the {len(layers)} layers {list(layers)}",
            "Name one layer a row, or give one row.",
        )
    return dict(zip(layers, tensor, strict=True)) if several else dict.fromkeys(layers, tensor)


def _vector(
    model: LanguageModel,
    name: str,
    kind: Kind,
    rows: Mapping[int, np.ndarray],
    mode: Mode,
    note: Mapping[str, object],
    medians: Mapping[int, float] | None = None,
) -> SteeringVector:
    """Return the vector of directions without a calibrated dose, added at all tokens."""
    if medians is None:
        texts = [model.render_chat(text) for text in TEXTS]
        medians = {layer: text.median for layer, text in text_states(model, texts, list(rows)).items()}
    # In mode constant a layer gets share x median of a dose: the lengths of the file stand in their proportions.
    lengths = {layer: float(np.linalg.norm(row)) / medians[layer] for layer, row in rows.items()}
    total = sum(lengths.values()) or 1.0
    return SteeringVector(
        name=name,
        kind=kind,
        directions=rows,
        medians=medians,
        shares={layer: length / total for layer, length in lengths.items()} if np.isfinite(total) else {},
        model=model.name,
        model_hash=model.weights_hash,
        mode=mode,
        note=note,
    )
