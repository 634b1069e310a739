"""Causal language models of `transformers`: loaded from anywhere, their blocks found."""

from emospace.models.families import BLOCK_PATHS, find_blocks
from emospace.models.loading import (
    DTYPES,
    OURS,
    PACKAGES,
    LanguageModel,
    list_models,
    load_model,
    model_packages,
    shipped,
    wrap_model,
)
from emospace.models.packaged import EMBEDDED, PACKAGED, PackagedGGUF, packaged_model

__all__ = [
    "BLOCK_PATHS",
    "DTYPES",
    "EMBEDDED",
    "OURS",
    "PACKAGED",
    "PACKAGES",
    "LanguageModel",
    "PackagedGGUF",
    "find_blocks",
    "list_models",
    "load_model",
    "model_packages",
    "packaged_model",
    "shipped",
    "wrap_model",
]
