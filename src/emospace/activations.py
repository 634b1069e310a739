"""The hot path: residual-stream states of words and texts, pooled where they arise.

What makes it fast: the part of a carrier that all words share is run once and its keys and values are
reused; batches are sorted by length and filled to a token budget; pooling happens inside the hook, so that
no full ``[batch, tokens, d_model]`` state outlives its block; the run stops after the last wanted block, the
language-model head never runs; each batch is copied to the host once.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emospace.artefacts import content_hash, write_tensors
from emospace.display import progress
from emospace.errors import EmospaceError

if TYPE_CHECKING:
    import torch

    from emospace.models import LanguageModel

log = logging.getLogger(__name__)

Pooling = Literal["last", "mean"]

TOKEN_BUDGET = 4096
"""Tokens (padding included) in one forward pass, unless memory asks for fewer."""

SHARD_WORDS = 2048
"""Words in one shard of the store: the unit that is computed, written and resumed."""

_SHARED_HEAD_MIN = 4


@dataclass(frozen=True)
class Span:
    """The token ids up to the end of what is pooled, and where the pooled tokens are: ``ids[start:]``."""

    ids: tuple[int, ...]
    start: int


@dataclass(frozen=True)
class States:
    """Pooled residual-stream states.

    Attributes
    ----------
    texts
        The words or texts, in the order given.
    layers
        Layer `l` is the residual stream after `l` blocks; 0 is what enters the first.
    states
        float32 ``[n_texts, n_layers, d_model]``.
    """

    texts: tuple[str, ...]
    layers: tuple[int, ...]
    states: np.ndarray

    def layer(self, layer: int) -> np.ndarray:
        """Return the states of one layer, ``[n_texts, d_model]``."""
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
    carrier
        A sentence with ``{word}`` in it; ``"{word}"`` alone is the bare word after BOS. What follows the word
        is never run, since a causal model's states do not depend on it.
    layers
        Layers to capture, 0 to `n_blocks`.
    pooling
        ``last`` token of the word, or ``mean`` over its tokens.
    store
        Folder of a content-addressed store: shards found there are verified and reused, new ones are written
        whole or not at all, so an interrupted run goes on where it stopped.

    Returns
    -------
    States
        ``[n_words, n_layers, d_model]``, float32.

    Raises
    ------
    EmospaceError
        If the carrier has no place for the word, a layer does not exist, or words have no tokens.
    """
    wanted = _check_layers(model, layers)
    spans = word_spans(model, words, carrier)
    describe = [carrier, pooling, list(wanted)]
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

    Parameters and errors are those of `extract_words`; texts are cut after `max_tokens` tokens (logged).
    """
    wanted = _check_layers(model, layers)
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


def token_states(model: LanguageModel, ids: torch.Tensor, layer: int) -> torch.Tensor:
    """Return the state of every token of equally long rows, ``[n_rows, n_tokens, d_model]``, on the device."""
    kept: list[torch.Tensor] = []

    def keep(_: int, hidden: torch.Tensor) -> None:
        kept.append(hidden)

    _forward(model, {"input_ids": ids, "use_cache": False}, (layer,), keep)
    return kept[0]


def word_spans(model: LanguageModel, words: Sequence[str], carrier: str) -> list[Span]:
    """Tokenise each word in the carrier and find the tokens that overlap it; what follows them is cut off."""
    if carrier.count("{word}") != 1:
        raise EmospaceError(
            f"carrier '{carrier}'", "it must hold {word} exactly once", "For example: The word is {word}"
        )
    begin = carrier.index("{word}")
    texts = [carrier.replace("{word}", word) for word in words]
    spans: list[Span] = []
    empty: list[str] = []
    start_ids = model.start_ids()
    for word, (ids, offsets) in zip(words, _tokenise(model, texts), strict=True):
        end = begin + len(word)
        inside = [
            index for index, (low, high) in enumerate(offsets) if low < end and high > begin and low < high
        ]
        if not inside:
            empty.append(word)
            continue
        head = () if inside[0] else start_ids
        spans.append(Span((*head, *ids[: inside[-1] + 1]), inside[0] + len(head)))
    if empty:
        raise EmospaceError(
            f"{len(empty)} word(s), such as {', '.join(repr(word) for word in empty[:5])}",
            "the tokenizer makes nothing of them",
            "Leave them out, or use a model whose tokenizer knows the script.",
        )
    return spans


def text_spans(model: LanguageModel, texts: Sequence[str], max_tokens: int) -> list[Span]:
    """Tokenise texts; everything after the first position is pooled."""
    start_ids = model.start_ids()
    spans, cut = [], 0
    for text, (ids, _) in zip(texts, _tokenise(model, texts), strict=True):
        if not ids:
            raise EmospaceError(f"text {text!r}", "the tokenizer makes nothing of it", "Leave it out.")
        ids = ids if ids[0] == start_ids[0] else (*start_ids, *ids)
        cut += len(ids) > max_tokens
        spans.append(Span(ids[:max_tokens], min(1, len(ids) - 1)))
    if cut:
        log.warning("%d of %d texts were cut after %d tokens", cut, len(texts), max_tokens)
    return spans


def pooled_states(
    model: LanguageModel,
    spans: Sequence[Span],
    layers: Sequence[int],
    pooling: Pooling = "last",
    *,
    token_budget: int = TOKEN_BUDGET,
    share_heads: bool = True,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield ``(indices [n], states [n, n_layers, d_model])`` batch by batch, longest spans first.

    Spans that begin with the same tokens share one run over them (`share_heads`).
    """
    by_head: dict[tuple[int, ...], list[int]] = defaultdict(list)
    counts = Counter(span.ids[: span.start] for span in spans)
    for index, span in enumerate(spans):
        head = span.ids[: span.start]
        by_head[head if share_heads and counts[head] >= _SHARED_HEAD_MIN else ()].append(index)
    for head, members in by_head.items():
        prefix = _run_head(model, head, max(layers)) if head else None
        members.sort(key=lambda index: len(spans[index].ids), reverse=True)
        for batch in _batches([len(spans[index].ids) - len(head) for index in members], token_budget):
            chosen = np.array(members[batch])
            yield from _run_halving(model, spans, chosen, prefix, len(head), layers, pooling)


@dataclass(frozen=True)
class _Prefix:
    """Keys and values of a shared head, one pair a block that ran."""

    keys_values: tuple[tuple[Any, Any], ...]


class _Enough(Exception):
    """Raised inside the last wanted block's hook: nothing after it needs to run."""


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
    with progress(title, len(spans), "words") as advance:
        for low in range(0, len(spans), SHARD_WORDS):
            part = slice(low, low + SHARD_WORDS)
            key = content_hash(model.content_hash, describe, [[span.ids, span.start] for span in spans[part]])
            path = store / key[:2] / f"{key}.safetensors" if store else None
            found = _read_shard(path) if path else None
            if found is not None:
                states[part] = found
                advance(len(found))
                continue
            for indices, values in pooled_states(
                model, spans[part], layers, pooling, token_budget=token_budget
            ):
                states[low + indices] = values
                advance(len(indices))
            if path:
                write_tensors(path, {"states": states[part]}, {"checksum": content_hash(states[part])})
    return States(tuple(texts), layers, states)


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


def _check_layers(model: LanguageModel, layers: Sequence[int]) -> tuple[int, ...]:
    wanted = tuple(sorted({int(layer) for layer in layers}))
    if not wanted or wanted[0] < 0 or wanted[-1] > model.n_blocks:
        raise EmospaceError(
            f"layers {list(layers)}",
            f"the model has layers 0 to {model.n_blocks}",
            "Name layers within that range.",
        )
    return wanted


def _tokenise(
    model: LanguageModel, texts: Sequence[str]
) -> Iterator[tuple[tuple[int, ...], list[tuple[int, int]]]]:
    """Yield ids and character offsets of each text, with the special tokens the tokenizer itself adds."""
    if not model.tokenizer.is_fast:
        raise EmospaceError(
            f"tokenizer of '{model.name}'",
            "it gives no character offsets",
            "Use the model's fast tokenizer (tokenizer.json).",
        )
    if not texts:
        return
    encoded = model.tokenizer(list(texts), return_offsets_mapping=True, return_attention_mask=False)
    for ids, offsets in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
        yield tuple(ids), offsets


def _batches(lengths: Sequence[int], token_budget: int) -> Iterator[slice]:
    """Cut a list sorted from long to short into runs of at most `token_budget` padded tokens."""
    low = 0
    while low < len(lengths):
        size = max(1, token_budget // lengths[low])
        yield slice(low, low + size)
        low += size


def _run_halving(
    model: LanguageModel,
    spans: Sequence[Span],
    chosen: np.ndarray,
    prefix: _Prefix | None,
    n_head: int,
    layers: Sequence[int],
    pooling: Pooling,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Run one batch; where memory runs out, run its halves."""
    import torch

    try:
        yield chosen, _run_batch(model, [spans[index] for index in chosen], prefix, n_head, layers, pooling)
        return
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        memory = isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)
        if not memory or len(chosen) == 1:
            raise
        log.warning("memory ran out at a batch of %d; halving it", len(chosen))
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(chosen) // 2
    for half in (chosen[:middle], chosen[middle:]):
        yield from _run_halving(model, spans, half, prefix, n_head, layers, pooling)


def _run_batch(
    model: LanguageModel,
    spans: Sequence[Span],
    prefix: _Prefix | None,
    n_head: int,
    layers: Sequence[int],
    pooling: Pooling,
) -> np.ndarray:
    import torch

    rows = [span.ids[n_head:] for span in spans]
    lengths = torch.tensor([len(row) for row in rows])
    width = int(lengths.max())
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
    column = torch.arange(width)
    inside = column < lengths[:, None]
    inputs: dict[str, Any] = {
        "input_ids": ids.to(model.device),
        "attention_mask": torch.cat([torch.ones(len(rows), n_head, dtype=torch.long), inside.long()], 1).to(
            model.device
        ),
        "position_ids": (n_head + column).expand(len(rows), -1).to(model.device),
        "use_cache": prefix is not None,
    }
    if prefix is not None:
        inputs["past_key_values"] = _repeat(model, prefix, len(rows))
    pooled: list[torch.Tensor] = []
    if pooling == "last":
        row, last = torch.arange(len(rows), device=model.device), (lengths - 1).to(model.device)

        def pool(_: int, hidden: torch.Tensor) -> None:
            pooled.append(hidden[row.to(hidden.device), last.to(hidden.device)].float())

    else:
        starts = torch.tensor([span.start - n_head for span in spans])
        weight = (inside & (column >= starts[:, None])).float()
        weight = (weight / weight.sum(1, keepdim=True)).to(model.device)

        def pool(_: int, hidden: torch.Tensor) -> None:
            pooled.append(torch.einsum("bt,btd->bd", weight.to(hidden.device), hidden.float()))

    _forward(model, inputs, layers, pool)
    return torch.stack([state.to(pooled[-1].device) for state in pooled], 1).cpu().numpy()


def _run_head(model: LanguageModel, head: tuple[int, ...], last_layer: int) -> _Prefix:
    """Run the shared beginning of many spans once, up to the last wanted block."""
    import torch
    from transformers import DynamicCache

    cache = DynamicCache(config=model.model.config)
    ids = torch.tensor([head], device=model.device)
    inputs = {"input_ids": ids, "past_key_values": cache, "use_cache": True}
    _forward(model, inputs, (last_layer,), lambda _layer, _hidden: None)
    filled = [layer for layer in cache.layers if getattr(layer, "keys", None) is not None]
    return _Prefix(tuple((layer.keys, layer.values) for layer in filled))


def _repeat(model: LanguageModel, prefix: _Prefix, n_rows: int) -> Any:
    """Return a fresh cache holding the prefix for each row."""
    from transformers import DynamicCache

    cache = DynamicCache(config=model.model.config)
    for block, (keys, values) in enumerate(prefix.keys_values):
        cache.update(keys.expand(n_rows, -1, -1, -1), values.expand(n_rows, -1, -1, -1), block)
    return cache


def _forward(model: LanguageModel, inputs: dict[str, Any], layers: Sequence[int], keep: Any) -> None:
    """Run the blocks up to the last wanted layer, handing each wanted state to ``keep(layer, hidden)``."""
    import torch

    with torch.inference_mode(), _hooks(model, layers, keep):
        try:
            model.backbone(**inputs)
        except _Enough:
            return
    raise RuntimeError("the last wanted block did not run")


@contextmanager
def _hooks(model: LanguageModel, layers: Sequence[int], keep: Any) -> Iterator[None]:
    last = max(layers)

    def before_first(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        keep(0, args[0] if args else kwargs["hidden_states"])
        if last == 0:
            raise _Enough

    def after(layer: int) -> Any:
        def hook(_module: Any, _args: Any, output: Any) -> None:
            keep(layer, output[0] if isinstance(output, tuple) else output)
            if layer == last:
                raise _Enough

        return hook

    with ExitStack() as stack:
        for layer in layers:
            if layer == 0:
                handle = model.blocks[0].register_forward_pre_hook(before_first, with_kwargs=True)
            else:
                handle = model.blocks[layer - 1].register_forward_hook(after(layer))
            stack.callback(handle.remove)
        yield


__all__ = [
    "Pooling",
    "Span",
    "States",
    "extract",
    "extract_words",
    "pooled_states",
    "text_spans",
    "token_states",
    "word_spans",
]
