"""Causal language models of `transformers`: loaded from anywhere, their blocks found."""

from emospace.models.caching import cache_argument, check_cached, find_cache
from emospace.models.chat import Turns, turns_of
from emospace.models.families import BLOCK_PATHS, find_blocks
from emospace.models.loading import (
    DTYPES,
    LanguageModel,
    list_models,
    load_model,
    load_tokenizer,
    wrap_model,
)
from emospace.models.packaged import (
    EMBEDDED,
    PACKAGED,
    PACKAGES,
    PackagedGGUF,
    missing_companion,
    model_packages,
    packaged_model,
    shipped,
)

__all__ = [
    "BLOCK_PATHS",
    "DTYPES",
    "EMBEDDED",
    "PACKAGED",
    "PACKAGES",
    "LanguageModel",
    "PackagedGGUF",
    "Turns",
    "cache_argument",
    "check_cached",
    "find_blocks",
    "find_cache",
    "list_models",
    "load_model",
    "load_tokenizer",
    "missing_companion",
    "model_packages",
    "packaged_model",
    "shipped",
    "turns_of",
    "wrap_model",
]
