"""Steering in the files of other engines: what each can hold, written so that it equals its own hook.

What another engine adds is a constant at a block's output, at every position. So a vector leaves with mode
``constant``, scope ``all``, operation ``add`` and no window, or not at all. The first position, which `steer` leaves
alone, is steered too there: the hook that an export equals is ``steer(..., mode="constant", first_position=True)``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.artefacts import atomic_write, jsonable, write_json, write_tensors
from emospace.display import quiet_bars
from emospace.errors import DiskError, InvalidInput, unknown
from emospace.models import LanguageModel
from emospace.steering.plan import check_fit, warn_of_another_model
from emospace.steering.vector import DoseRange, SteeringVector

if TYPE_CHECKING:
    import torch

SAKLAS_FORMAT = 6
"""Version of the card of a saklas profile: that of saklas 5.3."""

BIAS_SLOTS: Mapping[str, str] = {
    "bloom": "mlp.dense_4h_to_h",
    "gpt2": "mlp.c_proj",
    "gpt_neox": "mlp.dense_4h_to_h",
    "llama": "mlp.down_proj",
    "phi": "mlp.fc2",
}
"""Family -> the linear map of a block whose output is added to the residual stream as it is.

It has a bias, or the config of the family can give it one (``mlp_bias``), so that an engine which reads the config
knows it. Where a norm stands between the two (Gemma, OLMo 2), a bias is something else than a steering vector.
"""


def export_vector(
    vector: SteeringVector,
    path: Path,
    format: str,  # noqa: A002
    model: LanguageModel | None = None,
    dose: float | None = None,
) -> Path:
    """Write a vector in the form of another engine and return where it lies.

    Parameters
    ----------
    vector
        One of mode ``constant``, scope ``all``, operation ``add`` and no window, which is all that other engines do.
    path
        A file, or a folder for ``baked``; the ending is added where it is missing.
    format
        ``safetensors`` (with a JSON card), ``gguf`` (control vector of llama.cpp and repeng), ``baked`` (a model folder),
        ``lm-eval`` (steer file of lm-evaluation-harness), ``saklas`` (a profile) or ``steering-vectors`` (its layers).
    model
        The model the vector was made for; needed for every form but ``safetensors``.
    dose
        In units of the median norm; the calibrated dose of mode ``constant`` unless given.

    Raises
    ------
    EmospaceError
        Where the form cannot hold the vector, with the reason.
    """
    if format not in EXPORTERS:
        raise unknown("export format", format, sorted(EXPORTERS))
    _check_constant(vector)
    dose = vector.dose("constant") if dose is None else float(dose)
    if not np.isfinite(dose) or dose == 0:
        raise InvalidInput(f"the dose {dose:g}", "it steers nothing", "Give a finite dose that is not zero.")
    if model is not None:
        check_fit(model.model, model.blocks, vector)
        warn_of_another_model(model, vector)
    elif format != "safetensors":
        raise InvalidInput(
            f"an export as {format}",
            "it is written for one model",
            "Give model=, the one the vector was made for.",
        )
    return EXPORTERS[format](vector, Path(path).expanduser(), model, dose)


def additions(vector: SteeringVector, dose: float) -> dict[int, np.ndarray]:
    """Return what is added at each layer, float32 ``[d_model]``: dose x share x median norm x unit direction."""
    return {
        layer: (dose * vector.shares[layer] * vector.medians[layer] * row.astype(np.float64)).astype(
            np.float32
        )
        for layer, row in vector.directions.items()
    }


def _check_constant(vector: SteeringVector) -> None:
    required = {
        "mode": (vector.mode, "constant", "the size of what it adds depends on each state"),
        "scope": (vector.scope, "all", "another engine does not tell prompt from answer"),
        "op": (vector.op, "add", "another engine only adds"),
        "guidance": (vector.guidance, None, "another engine reads each text once"),
        "window": (vector.window, (0, None), "another engine does not count the tokens of the answer"),
    }
    for name, (given, needed, why) in required.items():
        if given != needed:
            raise InvalidInput(
                f"the vector {vector.name!r} with {name} {given!r}",
                why,
                f"Export one with {name} {needed!r}: dataclasses.replace(vector, {name}={needed!r}).",
            )


def _with_dose(vector: SteeringVector, dose: float) -> SteeringVector:
    calibrated = vector.calibration.get("constant", DoseRange(dose, dose, dose))
    return replace(vector, calibration={"constant": calibrated._replace(dose=dose)})


def _safetensors(vector: SteeringVector, path: Path, _model: LanguageModel | None, dose: float) -> Path:
    """Write the vector, the dose in its card: ``steer(model, SteeringVector.load(path))`` applies it."""
    return _with_dose(vector, dose).save(path)


def _gguf(vector: SteeringVector, path: Path, model: LanguageModel | None, dose: float) -> Path:
    """Write a control vector of llama.cpp.

    Its ``direction.N`` is added to the output of the block with index `N`, counted from 0, that is at our layer
    ``N + 1``; index 0 is not allowed (llama.cpp: ``common_control_vector_load``, ``llama_adapter_cvec::apply``).
    """
    from gguf import GGUFWriter

    assert model is not None
    if 1 in vector.directions:
        raise InvalidInput(
            f"the vector {vector.name!r} at layer 1",
            "a control vector of llama.cpp has no place for the output of the first block",
            "Export its other layers: vector.at([...]).",
        )
    path = _ending(path, ".gguf")

    def write(temporary: Path) -> None:
        writer = GGUFWriter(str(temporary), "controlvector")
        writer.add_string("controlvector.model_hint", model.model.config.model_type)
        writer.add_uint32("controlvector.layer_count", len(vector.layers))
        for layer, row in additions(vector, dose).items():
            writer.add_tensor(f"direction.{layer - 1}", row)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    atomic_write(path, write)
    return path


def _baked(vector: SteeringVector, path: Path, model: LanguageModel | None, dose: float) -> Path:
    """Write the model with what is added as the bias of the last linear map of each steered block."""
    assert model is not None
    config = copy.deepcopy(model.model.config)
    slot = BIAS_SLOTS.get(config.model_type)
    if slot is None:
        raise InvalidInput(
            f"a baked model of the family {config.model_type!r}",
            "its blocks have no bias that reaches the residual stream as it is",
            f"Families that have one: {', '.join(BIAS_SLOTS)}. Otherwise export to gguf or lm-eval, or use `steer`.",
        )
    if getattr(config, "quantization_config", None) is not None:
        raise InvalidInput(
            f"a baked model of {model.name}",
            "its weights are quantised",
            "Load it in float32 or bfloat16.",
        )
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise InvalidInput(f"the folder {path}", "something is there already", "Name a new folder.")
    weights = dict(model.model.state_dict())
    if hasattr(config, "mlp_bias") and not config.mlp_bias:
        config.mlp_bias = True
        weights |= _zero_biases(model)
    for layer, row in additions(vector, dose).items():
        name = f"{_block_path(model.model, model.blocks[layer - 1])}.{slot}.bias"
        weights[name] = weights[name] + weights[name].new_tensor(row)
    try:
        with quiet_bars():
            model.model.save_pretrained(path, state_dict=weights)
            config.save_pretrained(path)
            model.tokenizer.save_pretrained(path)
    except OSError as error:
        raise DiskError(
            f"the folder {path}", f"it cannot be written ({error})", "Free some space, or choose another."
        ) from error
    # The card alone: engines take every .safetensors of a folder for weights.
    write_json(path / "steering.json", _with_dose(vector, dose).card())
    return path


def _zero_biases(model: LanguageModel) -> dict[str, torch.Tensor]:
    """Return a bias of zeros for each linear map of each block's MLP."""
    import torch

    return {
        f"{_block_path(model.model, block)}.mlp.{name}.bias": linear.weight.new_zeros(linear.out_features)
        for block in model.blocks
        for name, linear in block.get_submodule("mlp").named_children()
        if isinstance(linear, torch.nn.Linear)
    }


def _block_path(root: Any, block: Any) -> str:
    name: str = next(name for name, module in root.named_modules() if module is block)
    return name


def _lm_eval(vector: SteeringVector, path: Path, model: LanguageModel | None, dose: float) -> Path:
    """Write the steer file of lm-evaluation-harness (``--model steered``): plain tensors and numbers in a ``.pt``.

    Its hookpoints are names below ``model.base_model``.
    """
    import torch

    assert model is not None
    path = _ending(path, ".pt")
    base = model.model.base_model
    steps = {
        _block_path(base, model.blocks[layer - 1]): {
            "steering_vector": torch.tensor(row),
            "steering_coefficient": dose * vector.shares[layer] * vector.medians[layer],
            "action": "add",
            "bias": None,
            "head_index": None,
        }
        for layer, row in vector.directions.items()
    }
    atomic_write(path, lambda temporary: torch.save(steps, temporary))
    return path


def _saklas(vector: SteeringVector, path: Path, _model: LanguageModel | None, dose: float) -> Path:
    """Write a profile of saklas: ``layer_N`` acts on the output of the block with index `N`, counted from 0."""
    path = _ending(path, ".safetensors")
    write_tensors(path, {f"layer_{layer - 1}": row for layer, row in additions(vector, dose).items()})
    card = {
        "format_version": SAKLAS_FORMAT,
        "saklas_version": f"emospace {version('emospace')}",
        "method": "profile",
        "tensor_sha256": sha256(path.read_bytes()).hexdigest(),
        "provenance": jsonable(_with_dose(vector, dose).card()),
    }
    write_json(path.with_suffix(".json"), card)
    return path


def _steering_vectors(vector: SteeringVector, path: Path, _model: LanguageModel | None, dose: float) -> Path:
    """Write the fields of a ``SteeringVector`` of steering-vectors, which has no form of file of its own."""
    import torch

    path = _ending(path, ".pt")
    layers = {layer - 1: torch.tensor(row) for layer, row in additions(vector, dose).items()}
    held = {"layer_activations": layers, "layer_type": "decoder_block"}
    atomic_write(path, lambda temporary: torch.save(held, temporary))
    return path


def _ending(path: Path, ending: str) -> Path:
    return path if path.suffix == ending else path.with_name(path.name + ending)


Exporter = Callable[[SteeringVector, Path, LanguageModel | None, float], Path]
EXPORTERS: Mapping[str, Exporter] = {
    "baked": _baked,
    "gguf": _gguf,
    "lm-eval": _lm_eval,
    "safetensors": _safetensors,
    "saklas": _saklas,
    "steering-vectors": _steering_vectors,
}
"""Name of a form -> the function that writes it."""
