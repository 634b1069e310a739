"""`States` of words and texts, from a store that is content-addressed, verified and resumable."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.activations.capture import TOKEN_BUDGET, check_layers, is_changed
from emospace.activations.shards import Shard, as_held, shard_states
from emospace.activations.spans import Span, text_spans, word_spans
from emospace.artefacts import content_hash, write_tensors
from emospace.display import progress
from emospace.engines import LOCAL, current
from emospace.errors import EmospaceError
from emospace.specs import Pooling

if TYPE_CHECKING:
    from emospace.models import LanguageModel

log = logging.getLogger(__name__)

SHARD_WORDS = 2048
"""Words in one shard of the store: the unit that is computed, written and resumed."""


@dataclass(frozen=True)
class States:
    """Pooled residual-stream states.

    Attributes
    ----------
    texts
        The words or texts, in the order given.
    layers
        Layer `l` is the residual stream after `l` blocks (SAELens' ``blocks.{l-1}.hook_resid_post``); 0 is what enters
        the first.
    states
        float32 ``[n_texts, n_layers, d_model]``.
    """

    texts: tuple[str, ...]
    layers: tuple[int, ...]
    states: np.ndarray

    def layer(self, layer: int) -> np.ndarray:
        """Return the states of one layer, ``[n_texts, d_model]``.

        Parameters
        ----------
        layer
            One of `layers`: the residual stream after `layer` blocks.

        Raises
        ------
        EmospaceError
            If the layer was not captured.
        """
        if layer not in self.layers:
            raise EmospaceError(f"layer {layer}", "it was not captured", f"Captured: {list(self.layers)}.")
        return self.states[:, self.layers.index(layer)]


def extract_words(
    model: LanguageModel,
    words: Sequence[str],
    carrier: str,
    layers: Sequence[int],
    *,
    pooling: Pooling = "last",
    store: Path | None = None,
    token_budget: int = TOKEN_BUDGET,
    title: str = "States of words",
) -> States:
    """Return the states of words inside a carrier sentence.

    Parameters
    ----------
    model
        A loaded model, from `load_model` or `wrap_model`.
    words
        Words of any language, without markup.
    carrier
        A sentence with ``{word}`` in it; ``"{word}"`` alone is the bare word after BOS. What follows the word
        is never run, since a causal model's states do not depend on it.
    layers
        Layers to capture, 0 to ``model.n_blocks``: the residual stream after so many blocks; layer `l` is SAELens'
        ``blocks.{l-1}.hook_resid_post``. They are returned in ascending order, each once.
    pooling
        ``last`` token of the word, which has read the whole of it, or ``mean`` over its tokens.
    store
        Folder of a content-addressed store: shards found there are verified and reused, new ones are written
        whole or not at all, so an interrupted run goes on where it stopped. Left aside (logged) while hooks may
        change the model's states, as in `steer`: the key is that of its weights, and so are workers' models
        (`engines.running_on`), which get none of its shards then. None keeps nothing.
    token_budget
        Tokens, padding included, in one forward pass; the batch is halved where memory runs out.
    title
        Heading of the progress bar.

    Returns
    -------
    States
        ``[n_words, n_layers, d_model]``, float32.

    Raises
    ------
    EmospaceError
        If the carrier has no place for the word, a layer does not exist, words have no tokens, or one word
        alone does not fit into memory.
    """
    wanted, spans, describe = _asked(model, words, carrier, layers, pooling)
    return _extract(model, words, spans, wanted, pooling, describe, store, token_budget, title)


def extract(
    model: LanguageModel,
    texts: Sequence[str],
    layers: Sequence[int],
    *,
    pooling: Pooling = "mean",
    max_tokens: int = 512,
    store: Path | None = None,
    token_budget: int = TOKEN_BUDGET,
    title: str = "States of texts",
) -> States:
    """Return the states of whole texts, pooled over every position but the first.

    Parameters
    ----------
    model, layers, store, token_budget, title
        As in `extract_words`.
    texts
        Texts of any length; none may be empty.
    pooling
        ``mean`` over all positions but the first, or the ``last`` token alone.
    max_tokens
        A text is cut after so many tokens, or where the model's positions end (logged).

    Returns
    -------
    States
        ``[n_texts, n_layers, d_model]``, float32.

    Raises
    ------
    EmospaceError
        As in `extract_words`; also if `max_tokens` is below 2.
    """
    wanted = check_layers(model, layers)
    spans = text_spans(model, texts, max_tokens)
    return _extract(
        model,
        texts,
        spans,
        wanted,
        pooling,
        ["text", pooling, list(wanted), max_tokens],
        store,
        token_budget,
        title,
    )


def stream_words(
    model: LanguageModel,
    words: Sequence[str],
    carrier: str,
    layers: Sequence[int],
    *,
    pooling: Pooling = "last",
    store: Path | None = None,
    token_budget: int = TOKEN_BUDGET,
    title: str = "States of words",
) -> Iterator[States]:
    """Yield what `extract_words` returns shard by shard, for more words than memory holds.

    No more than a shard of `SHARD_WORDS` words is held: those found in the store come first, so `States.texts` says
    whose states each part has.

    Parameters
    ----------
    model, words, carrier, layers, pooling, store, token_budget, title
        As in `extract_words`.

    Yields
    ------
    States
        ``[n_words, n_layers, d_model]`` of up to `SHARD_WORDS` words, float32.

    Raises
    ------
    EmospaceError
        As in `extract_words`.
    """
    wanted, spans, describe = _asked(model, words, carrier, layers, pooling)
    parts = _shards(model, spans, wanted, pooling, describe, store, token_budget, title)
    for low, states in parts:
        yield States(tuple(words[low : low + len(states)]), wanted, states)
        del states


def _asked(
    model: LanguageModel, words: Sequence[str], carrier: str, layers: Sequence[int], pooling: Pooling
) -> tuple[tuple[int, ...], list[Span], list[Any]]:
    """Return the layers, the spans, and what identifies the shards of words in a carrier in the store."""
    wanted = check_layers(model, layers)
    return wanted, word_spans(model, words, carrier), [carrier, pooling, list(wanted)]


def _extract(
    model: LanguageModel,
    texts: Sequence[str],
    spans: list[Span],
    layers: tuple[int, ...],
    pooling: Pooling,
    describe: list[Any],
    store: Path | None,
    token_budget: int,
    title: str,
) -> States:
    states = np.empty((len(spans), len(layers), model.d_model), dtype=np.float32)
    for low, part in _shards(model, spans, layers, pooling, describe, store, token_budget, title, states):
        if not np.may_share_memory(part, states):
            states[low : low + len(part)] = part
    return States(tuple(texts), layers, states)


def _shards(
    model: LanguageModel,
    spans: list[Span],
    layers: tuple[int, ...],
    pooling: Pooling,
    describe: list[Any],
    store: Path | None,
    token_budget: int,
    title: str,
    whole: np.ndarray | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the first row and the states of each shard: those in the store, then the others as they are made.

    Those that are made lie in their rows of `whole`, if it is given: new memory costs as much as a copy.
    """
    engine = current()
    if (store or engine is not LOCAL) and is_changed(model, layers):
        log.warning(
            "%s: the model carries hooks (is it steered?), so it is run here and the store is left aside",
            title,
        )
        store, engine = None, LOCAL
    with progress(title, len(spans), "words") as advance:
        absent = []
        for low in range(0, len(spans), SHARD_WORDS):
            part = spans[low : low + SHARD_WORDS]
            path = _path(store, [model.content_hash, describe], part) if store else None
            states = _read_shard(path) if path else None
            if states is None:
                absent.append(Shard(low, part, layers, pooling, token_budget, path))
            else:
                advance(len(part))
                yield low, states
                del states
        work = partial(shard_states, heads={})
        for shard, batches in engine.spread(work, absent, as_held(model)):
            n = len(shard.spans)
            states = (
                np.empty((n, len(layers), model.d_model), dtype=np.float32)
                if whole is None
                else whole[shard.low : shard.low + n]
            )
            for indices, values in batches:
                states[indices] = values
                del values  # or it would be there beside the next
                advance(len(indices))
            if shard.path:
                write_tensors(shard.path, {"states": states}, {"checksum": content_hash(states)})
            yield shard.low, states
            del states


def _path(store: Path, describe: list[Any], spans: Sequence[Span]) -> Path:
    """Return where the states of spans are kept: their tokens in one array, which is hashed at once."""
    tokens = np.fromiter(chain.from_iterable(span.ids for span in spans), dtype=np.int64)
    ends = np.array([(len(span.ids), span.start) for span in spans], dtype=np.int64)
    key = content_hash(describe, tokens, ends)
    return store / key[:2] / f"{key}.safetensors"


def _read_shard(path: Path) -> np.ndarray | None:
    """Return a shard's states, or None where it is absent or damaged (then it is computed again)."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(str(path), framework="np") as file:
            states: np.ndarray = file.get_tensor("states")
            checksum = (file.metadata() or {}).get("checksum")
    except (SafetensorError, OSError) as error:
        log.warning("shard %s cannot be read (%s); computing it again", path.name, error)
        return None
    if checksum != content_hash(states):
        log.warning("shard %s is damaged; computing it again", path.name)
        return None
    return states
