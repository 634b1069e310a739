"""Checkpoints that `transformers` loads as they are, with the optimiser beside the weights; each whole or absent."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emospace.artefacts import read_json, write_json
from emospace.errors import EmospaceError

if TYPE_CHECKING:
    import torch

KEPT = 2
_NAME = re.compile(r"step-(\d+)")


def latest(folder: Path) -> Path | None:
    """Return the newest whole checkpoint of a folder."""
    found = [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)]
    return max(found, key=lambda path: path.name, default=None)


def write_checkpoint(
    folder: Path,
    step: int,
    model: Any,
    optimizer: torch.optim.Optimizer,
    tokenizer: Path,
    state: dict[str, Any],
) -> Path:
    """Write model, tokenizer, optimiser and state, rename them into place at once and keep the last `KEPT`.

    There is nothing else to keep: batches and candidates are drawn from the seed and the step, and no other draws
    are made after the start.
    """
    from safetensors.torch import save_file

    place = folder / f"step-{step:07d}"
    temporary = folder / f".{place.name}"
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(tokenizer, temporary)
    model.save_pretrained(temporary)
    names = {parameter: name for name, parameter in model.named_parameters()}
    moments = {
        f"{names[parameter]}|{key}": value.contiguous().cpu()
        for parameter, held in optimizer.state.items()
        for key, value in held.items()
    }
    save_file(moments, temporary / "optimizer.safetensors")
    write_json(temporary / "state.json", state | {"step": step})
    temporary.rename(place)
    old = sorted(path for path in folder.glob("step-*") if _NAME.fullmatch(path.name))[:-KEPT]
    for path in old:
        shutil.rmtree(path)
    return place


def read_checkpoint(place: Path, model: Any, optimizer: torch.optim.Optimizer, settings: Any) -> int:
    """Load weights and optimiser into place and return the step.

    Raises
    ------
    EmospaceError
        If the checkpoint was made with other settings.
    """
    from safetensors.torch import load_file

    state = read_json(place / "state.json")
    if state["settings"] != settings:
        changed = sorted(key for key, value in settings.items() if state["settings"].get(key) != value)
        raise EmospaceError(
            str(place),
            f"it was trained with other settings ({', '.join(changed)})",
            "Give another --out, or the settings it was begun with.",
        )
    weights = load_file(place / "model.safetensors")
    missing, unexpected = model.load_state_dict(weights, strict=False)
    if unexpected or set(missing) - {"lm_head.weight"}:
        raise EmospaceError(
            str(place), f"its weights lack {missing}", "Remove it and run the same command again."
        )
    parameters = dict(model.named_parameters())
    device = next(iter(parameters.values())).device
    optimizer.state.clear()
    for name, value in load_file(place / "optimizer.safetensors").items():
        parameter, key = name.split("|")
        held = optimizer.state[parameters[parameter]]
        held[key] = value.to(device)
    return int(state["step"])
