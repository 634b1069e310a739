"""Shards: so many words as are computed, written, resumed and sent to a worker as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.activations.capture import pooled_states
from emospace.activations.spans import Span
from emospace.engines import Held
from emospace.errors import EmospaceError
from emospace.specs import Pooling

if TYPE_CHECKING:
    from emospace.activations.forward import Head
    from emospace.models import LanguageModel


@dataclass(frozen=True)
class Shard:
    """Some spans, the row of the first, what is run of them, and where they are kept; no batch reaches over its ends."""

    low: int
    spans: Sequence[Span]
    layers: tuple[int, ...]
    pooling: Pooling
    token_budget: int
    path: Path | None


def shard_states(
    model: LanguageModel, shard: Shard, heads: dict[tuple[int, ...], Head]
) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Yield ``(indices [n], states [n, n_layers, d_model])`` of a shard, batch by batch, with `heads` of others."""
    return pooled_states(
        model, shard.spans, shard.layers, shard.pooling, token_budget=shard.token_budget, heads=heads
    )


def as_held(model: LanguageModel) -> Held[LanguageModel]:
    """Return a model together with how another process loads the same one."""
    ours = type(model.model).__module__, type(model.tokenizer).__module__
    loading = {
        "name": _findable(model.name),
        "dtype": model.identity.get("dtype"),
        "revision": model.identity.get("revision"),
        # Code that came with the model and runs here was allowed to.
        "trust_remote_code": any(module.startswith("transformers_modules") for module in ours),
    }
    loaded = "revision" in model.identity
    return Held(model, model.content_hash, partial(_load, loading, model.content_hash, loaded))


def _load(loading: dict[str, Any], key: str, loaded: bool, device: str) -> LanguageModel:
    """Load a model that another process has loaded, and make sure that it is the same."""
    from emospace.models import load_model

    if not loaded:
        raise EmospaceError(
            f"model '{loading['name']}'",
            "it was made in memory, where no other process can load it from",
            "Save it with save_pretrained and load it by its folder, or use engine 'local'.",
        )
    model = load_model(**loading, device=device)
    if model.content_hash != key:
        raise EmospaceError(
            f"model '{loading['name']}'",
            "its files differ from those of the session that asks",
            "Give all machines the same files, or name a hub id.",
        )
    return model


def _findable(name: str) -> str:
    """Return a model's name, absolute where it is a path: a worker starts in another folder."""
    from emospace.models import model_packages, packaged_model

    path = Path(name).expanduser()
    is_path = path.exists() and not packaged_model(name) and name not in model_packages()
    return str(path.resolve()) if is_path else name
