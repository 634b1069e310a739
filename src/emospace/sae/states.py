"""States of running text, captured into shards that an interrupted run finds again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emospace.artefacts import content_hash, write_tensors
from emospace.display import progress
from emospace.errors import EmospaceError

if TYPE_CHECKING:
    from emospace.models import LanguageModel

log = logging.getLogger(__name__)

SHARD_TOKENS = 65_536


def capture_shards(
    model: LanguageModel, windows: Sequence[tuple[int, ...]], layer: int, folder: Path
) -> list[Path]:
    """Write the states of all tokens but each window's first in shards of float16, and return their paths.

    Raises
    ------
    EmospaceError
        If states are too large for float16, or the disk is full.
    """
    paths: list[Path] = []
    groups = _group(windows)
    with progress("States for the SAE", len(groups), "shards") as advance:
        for group in groups:
            key = content_hash(model.content_hash, layer, [list(window) for window in group])
            path = folder / f"{key}.safetensors"
            if not is_whole(path):
                write_tensors(path, {"states": window_states(model, group, layer)})
            paths.append(path)
            advance()
    return paths


def window_states(
    model: LanguageModel, windows: Sequence[tuple[int, ...]], layer: int, budget: int = 4096
) -> np.ndarray:
    """Return the states of all tokens but each window's first, float16 ``[n_tokens, d_model]``."""
    import torch

    from emospace.activations import token_states

    order = sorted(range(len(windows)), key=lambda index: len(windows[index]), reverse=True)
    parts: list[np.ndarray] = []
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
        with torch.autocast(model.device.type, torch.bfloat16):
            states = token_states(model, ids.to(model.device), layer)
        parts.append(states[inside.to(states.device)].to(torch.float16).cpu().numpy())
        if not np.isfinite(parts[-1]).all():
            raise EmospaceError(
                f"layer {layer} of '{model.name}'",
                "its states are too large for the float16 they are stored in",
                "Choose an earlier layer.",
            )
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
