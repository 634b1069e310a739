"""States of running text, captured into shards that an interrupted run finds again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from emospace.artefacts import content_hash, write_tensors
from emospace.display import progress
from emospace.sae.scaling import Scaling
from emospace.specs import SHARD_TOKENS

if TYPE_CHECKING:
    from emospace.models import LanguageModel

log = logging.getLogger(__name__)


def capture_shards(
    model: LanguageModel, windows: Sequence[tuple[int, ...]], layer: int, folder: Path
) -> tuple[list[Path], Scaling]:
    """Write the states of all tokens but each window's first, standardised, in shards of float16.

    Returns
    -------
    tuple
        The shards' paths, and the scaling measured on the first shard's states and used for all.
    """
    from safetensors.numpy import load_file

    groups = _group(windows)
    paths: list[Path] = []
    with progress("States for the SAE", len(groups), "shards") as advance:
        first: npt.NDArray[np.float32] | None = None
        kept = folder / f"scaling-{_key(model, groups[0], layer)}.safetensors"
        if is_whole(kept):
            scaling = Scaling(**load_file(str(kept)))
        else:
            first = window_states(model, groups[0], layer)
            scaling = Scaling.measured(first)
            write_tensors(kept, {"mean": scaling.mean, "scale": scaling.scale})
        for group in groups:
            path = folder / f"{_key(model, group, layer, scaling.content_hash)}.safetensors"
            if not is_whole(path):
                states = window_states(model, group, layer) if first is None else first
                write_tensors(path, {"states": scaling.standardise(states)})
            first = None
            paths.append(path)
            advance()
    return paths, scaling


def _key(model: LanguageModel, group: Sequence[tuple[int, ...]], layer: int, *more: str) -> str:
    return content_hash(model.content_hash, layer, [list(window) for window in group], *more)


def window_states(
    model: LanguageModel, windows: Sequence[tuple[int, ...]], layer: int, budget: int = 4096
) -> npt.NDArray[np.float32]:
    """Return the states of all tokens but each window's first, float32 ``[n_tokens, d_model]``, longest windows first.

    Matrix products are made in bfloat16 around a float32 residual stream where the device multiplies it faster.

    Raises
    ------
    EmospaceError
        If a state is not finite.
    """
    import torch

    from emospace.activations import not_finite, token_states
    from emospace.models.devices import faster_dtype

    faster = faster_dtype(str(model.device)) == "bfloat16"
    order = sorted(range(len(windows)), key=lambda index: len(windows[index]), reverse=True)
    parts: list[npt.NDArray[np.float32]] = []
    low = 0
    while low < len(order):
        width = len(windows[order[low]])
        rows = [windows[index] for index in order[low : low + max(1, budget // width)]]
        low += len(rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        inside = torch.zeros(len(rows), width, dtype=torch.bool)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row)
            inside[index, 1 : len(row)] = True
        # Right padding changes nothing before it in a causal model, so no mask is needed.
        with torch.autocast(model.device.type, torch.bfloat16, enabled=faster):
            states = token_states(model, ids.to(model.device), layer)
        parts.append(states[inside.to(states.device)].float().cpu().numpy())
        broken = ~np.isfinite(parts[-1]).all(axis=1)
        if broken.any():
            raise not_finite(model, layer, rows[int(inside.nonzero()[broken.argmax(), 0])])
    return np.concatenate(parts)


def is_whole(path: Path) -> bool:
    """Return whether a safetensors file is there and as long as its header says."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return False
    try:
        with safe_open(str(path), framework="np"):
            return True
    except SafetensorError as error:
        log.warning("%s is damaged (%s); computing it again", path.name, error)
        return False


def _group(windows: Sequence[tuple[int, ...]]) -> list[list[tuple[int, ...]]]:
    groups: list[list[tuple[int, ...]]] = [[]]
    have = 0
    for window in windows:
        groups[-1].append(window)
        have += len(window) - 1
        if have >= SHARD_TOKENS:
            groups.append([])
            have = 0
    return [group for group in groups if group]
