"""Which columns of a batch hold tokens, and where each of its rows begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def first_columns(mask: torch.Tensor | None) -> torch.Tensor | None:
    """Return the first real column of each row ``[rows, 1]`` of an attention mask ``[rows, columns]``."""
    return None if mask is None else mask.long().argmax(dim=1, keepdim=True)


def prompt_mask(root: Any, tokens: torch.Tensor, kwargs: Mapping[str, Any]) -> torch.Tensor | None:
    """Return the attention mask of a prompt given to `generate`, inferred from its padding where there is none."""
    mask = kwargs.get("attention_mask")
    if mask is not None or tokens.ndim != 2:
        return mask if mask is None or mask.ndim == 2 else None
    settings = kwargs.get("generation_config") or root.generation_config
    pad = kwargs.get("pad_token_id", settings.pad_token_id)
    ends = kwargs.get("eos_token_id", settings.eos_token_id)
    ends = ends if isinstance(ends, list | tuple) else [ends]
    # As `generate` itself infers it: padding that also ends an answer proves nothing.
    return (tokens != pad).long() if pad is not None and pad not in ends else None


def real_columns(
    mask: torch.Tensor | None, first: torch.Tensor | None, n_rows: int, columns: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first real column of each row ``[rows, 1]`` and which columns of the pass are no padding."""
    import torch

    if first is None:
        first = torch.zeros((n_rows, 1), dtype=torch.int64, device=columns.device)
    first = first.to(columns.device)
    if first.shape[0] != n_rows:  # beams and several answers to one prompt
        first = first.repeat_interleave(n_rows // first.shape[0], dim=0)
    if mask is None:
        return first, columns >= first
    return first, mask[:, columns.clamp(max=mask.shape[1] - 1)].bool().to(columns.device)
