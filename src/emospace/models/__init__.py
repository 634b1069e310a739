"""Causal language models of `transformers`: loaded from anywhere, their blocks found."""

from emospace.models.families import BLOCK_PATHS, find_blocks
from emospace.models.gguf import embedded_gguf
from emospace.models.loading import (
    DTYPES,
    EMBEDDED,
    OURS,
    PACKAGES,
    LanguageModel,
    list_models,
    load_model,
    model_packages,
    shipped,
    wrap_model,
)

__all__ = [
    "BLOCK_PATHS",
    "DTYPES",
    "EMBEDDED",
    "OURS",
    "PACKAGES",
    "LanguageModel",
    "embedded_gguf",
    "find_blocks",
    "list_models",
    "load_model",
    "model_packages",
    "shipped",
    "wrap_model",
]
