"""Where each model family keeps its transformer blocks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emospace.errors import EmospaceError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

BLOCK_PATHS: Mapping[str, str] = {
    "bloom": "transformer.h",
    "falcon": "transformer.h",
    "gemma": "model.layers",
    "gemma2": "model.layers",
    "gemma3": "model.language_model.layers",
    "gemma3_text": "model.layers",
    "gpt2": "transformer.h",
    "gpt_neox": "gpt_neox.layers",
    "llama": "model.layers",
    "mistral": "model.layers",
    "olmo2": "model.layers",
    "phi": "model.layers",
    "phi3": "model.layers",
    "qwen2": "model.layers",
    "qwen3": "model.layers",
}
"""Where a model family (``config.model_type``) keeps its blocks; other families are searched for them."""


def find_blocks(model: Any) -> Sequence[torch.nn.Module]:
    """Return the transformer blocks of a causal language model, in order.

    Raises
    ------
    EmospaceError
        If the family is unknown and no list of modules has as many members as the config has layers.
    """
    import torch

    config = getattr(model.config, "text_config", model.config)
    for family in (model.config.model_type, config.model_type):
        if family in BLOCK_PATHS:
            try:
                return list(model.get_submodule(BLOCK_PATHS[family]))
            except AttributeError:
                continue
    lists = [
        (path, list(module))
        for path, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == config.num_hidden_layers
    ]
    if not lists:
        raise EmospaceError(
            f"model family '{model.config.model_type}'",
            "its transformer blocks were not found",
            "Add one entry to BLOCK_PATHS in emospace/models/families.py.",
        )
    path, blocks = min(lists, key=lambda item: item[0].count("."))
    log.info("family %s is not listed; taking its blocks at %s", model.config.model_type, path)
    return blocks
