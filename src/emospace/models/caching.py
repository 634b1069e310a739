"""The key-value cache of a forward pass, under whichever name a model takes it.

Versions of `transformers` differ in the name (``past_key_values`` until 5.23, ``cache`` from 5.24), and a model
swallows an argument it does not know. So a cache is given under the name that the model's own signature has, and found
among arguments and outputs by what it is.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

from emospace.errors import EmospaceError

_NAMES = ("cache", "past_key_values")


def cache_argument(arguments: Container[str], model: str) -> str:
    """Return which of a forward pass's arguments takes the cache.

    Raises
    ------
    EmospaceError
        If none does.
    """
    for name in _NAMES:
        if name in arguments:
            return name
    raise EmospaceError(
        f"the model {model!r}",
        f"its forward pass takes no key-value cache ({' or '.join(_NAMES)})",
        "Use a causal language model of transformers, in a version that emospace supports.",
    )


def find_cache(values: Iterable[Any]) -> Any:
    """Return the key-value cache among the arguments or the outputs of a forward pass, None without one."""
    from transformers.cache_utils import Cache

    for value in values:
        if isinstance(value, Cache):
            return value
    return None


def check_cached(cache: Any, n_tokens: int, model: str) -> None:
    """Raise `EmospaceError` where a cache given to a forward pass does not hold all `n_tokens` read so far."""
    try:
        length = int(cache.get_seq_length())
    except ValueError:  # of recurrent blocks alone: they keep a state, which has no length
        return
    if length != n_tokens:
        raise EmospaceError(
            f"the model {model!r}",
            f"after {n_tokens} tokens its key-value cache holds {length}, so the next pass would not go on from them",
            "Use a version of transformers that emospace supports, and report which model and version did this.",
        )
