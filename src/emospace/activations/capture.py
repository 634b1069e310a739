"""The hot path: residual-stream states, pooled where they arise.

What makes it fast: the part of a carrier that all words share is run once and its keys and values are
reused; words and texts that begin alike share those tokens too, packed as trees into rows without padding; others are
sorted by length and batches filled to a token budget; pooling happens inside the hook, so that no full
``[batch, tokens, d_model]`` state outlives its block; the run stops after the last wanted block, the
language-model head never runs; each batch is copied to the host once.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from inspect import signature
from itertools import compress
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emospace.activations.packing import batches, pack, worth_packing
from emospace.activations.spans import Span
from emospace.errors import EmospaceError
from emospace.models import BLOCK_PATHS
from emospace.profiling import count, timed

if TYPE_CHECKING:
    import torch

    from emospace.models import LanguageModel

log = logging.getLogger(__name__)

Pooling = Literal["last", "mean"]

TOKEN_BUDGET = 2048
"""Tokens (padding included) in one forward pass, unless memory asks for fewer."""

_SHARED_HEAD_MIN = 4

_PACKED_MAX = 64
"""Longer texts are rows of their own: they share little, and attention over a packed row costs the more."""

_ENOUGH_TOKENS = 256
"""From so many on, matrix products are no slower for a batch of fewer tokens."""

_POSITION_FROM_ROW = ("bloom", "falcon")
"""Families that count positions along the row, where a tree's tokens do not stand in order."""


def pooled_states(
    model: LanguageModel,
    spans: Sequence[Span],
    layers: Sequence[int],
    pooling: Pooling = "last",
    *,
    token_budget: int = TOKEN_BUDGET,
    share_heads: bool = True,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield ``(indices [n], states [n, n_layers, d_model])`` batch by batch.

    Spans that begin with the same tokens share one run over them (`share_heads`), in the families whose keys
    and values are all that a block keeps of what it has read.
    """
    share_heads = share_heads and _keeps_only_keys_and_values(model)
    limit = _most_packed(model) if share_heads else 0
    by_head: dict[tuple[int, ...], list[int]] = defaultdict(list)
    counts = Counter(span.ids[: span.start] for span in spans)
    for index, span in enumerate(spans):
        head = span.ids[: span.start]
        by_head[head if share_heads and counts[head] >= _SHARED_HEAD_MIN else ()].append(index)
    for head, members in by_head.items():
        prefix = _run_head(model, head, max(layers)) if head else _Prefix(0, ())
        short = [index for index in members if len(spans[index].ids) <= min(limit, len(head) + _PACKED_MAX)]
        short.sort(key=lambda index: spans[index].ids)
        short = list(compress(short, worth_packing([spans[index].ids[len(head) :] for index in short])))
        long = sorted(set(members) - set(short), key=lambda index: len(spans[index].ids), reverse=True)
        trees = batches([spans[index].ids[len(head) :] for index in short], token_budget)
        rows = _batches([len(spans[index].ids) - len(head) for index in long], token_budget)
        for order, runs, packed in ((short, trees, True), (long, rows, False)):
            for run in runs:
                chosen = np.array(order[run])
                yield from _run_halving(model, spans, chosen, prefix, layers, pooling, packed)


@dataclass(frozen=True)
class _Prefix:
    """Keys and values of a shared head of `n_tokens`, one pair a block that ran."""

    n_tokens: int
    keys_values: tuple[tuple[Any, Any], ...]


class _Enough(Exception):
    """Raised inside the last wanted block's hook: nothing after it needs to run."""


def token_states(model: LanguageModel, ids: torch.Tensor, layer: int) -> torch.Tensor:
    """Return the state of every token of equally long rows, ``[n_rows, n_tokens, d_model]``, on the device."""
    check_layers(model, [layer])
    kept: list[torch.Tensor] = []

    def keep(_: int, hidden: torch.Tensor) -> None:
        kept.append(hidden)

    _forward(model, {"input_ids": ids, "use_cache": False}, (layer,), keep)
    return kept[0]


def check_layers(model: LanguageModel, layers: Sequence[int]) -> tuple[int, ...]:
    """Return the layers sorted and once each, all of them the model's own."""
    wanted = tuple(sorted({int(layer) for layer in layers}))
    if not wanted or wanted[0] < 0 or wanted[-1] > model.n_blocks:
        raise EmospaceError(
            f"layers {list(layers)}",
            f"the model has layers 0 to {model.n_blocks}",
            "Name layers within that range.",
        )
    return wanted


def is_changed(model: LanguageModel, layers: Sequence[int]) -> bool:
    """Return whether hooks may change the states of layers, so that they are not those of the weights alone.

    Any forward hook on the embeddings, or in a block that the layers depend on, counts, but for those of
    `transformers`, which record.
    """
    modules = [model.model.get_input_embeddings()]
    for block in list(model.blocks)[: max(max(layers), 1)]:
        modules += block.modules()
    hooks = [
        hook
        for module in modules
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    ]
    return any(not str(getattr(hook, "__module__", "")).startswith("transformers.") for hook in hooks)


def _batches(lengths: Sequence[int], token_budget: int) -> Iterator[slice]:
    """Cut a list sorted from long to short into runs of at most `token_budget` tokens, padding included.

    A run with work enough also ends where rows would be filled up by more than a quarter.
    """
    low = 0
    while low < len(lengths):
        most = min(len(lengths), low + max(1, token_budget // lengths[low]))
        high = low + 1
        while high < most and (
            (high - low) * lengths[low] < _ENOUGH_TOKENS or 4 * lengths[high] >= 3 * lengths[low]
        ):
            high += 1
        yield slice(low, high)
        low = high


def _run_halving(
    model: LanguageModel,
    spans: Sequence[Span],
    chosen: np.ndarray,
    prefix: _Prefix,
    layers: Sequence[int],
    pooling: Pooling,
    packed: bool,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Run one batch; where memory runs out, run its halves."""
    import torch

    try:
        batch = [spans[index] for index in chosen]
        yield chosen, _run_batch(model, batch, prefix, layers, pooling, packed)
        return
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        memory = isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)
        if not memory:
            raise
        if len(chosen) == 1:
            raise EmospaceError(
                f"a text of {len(spans[chosen[0]].ids)} tokens",
                "memory runs out even when it is run alone",
                "Cut it (max_tokens), use dtype bfloat16, a smaller model or a device with more memory.",
            ) from error
        log.warning("memory ran out at a batch of %d; halving it", len(chosen))
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(chosen) // 2
    for half in (chosen[:middle], chosen[middle:]):
        yield from _run_halving(model, spans, half, prefix, layers, pooling, packed)


def _run_batch(
    model: LanguageModel,
    spans: Sequence[Span],
    prefix: _Prefix,
    layers: Sequence[int],
    pooling: Pooling,
    packed: bool,
) -> np.ndarray:
    """Return the pooled states of spans that go through the blocks together, ``[n_spans, n_layers, d_model]``."""
    import torch

    n_head, device = prefix.n_tokens, model.device
    paths = [span.ids[n_head:] for span in spans]
    with timed("batches"):
        inputs, rows, columns = _packed(model, paths, n_head) if packed else _padded(paths)
        starts = [span.start - n_head if pooling == "mean" else -1 for span in spans]
        pooled = [places[start:] for places, start in zip(columns, starts, strict=True)]
        where = np.zeros((len(spans), max(map(len, pooled))), dtype=np.int64)
        weights = np.zeros(where.shape, dtype=np.float32)
        for index, places in enumerate(pooled):
            where[index, : len(places)], weights[index, : len(places)] = places, 1 / len(places)
        row, column, weight = (
            torch.from_numpy(table).to(device) for table in (rows[:, None], where, weights)
        )
        inputs = {name: value.to(device) for name, value in inputs.items()} | {"use_cache": n_head > 0}
        if n_head:
            inputs["past_key_values"] = _repeat(prefix, len(inputs["input_ids"]))
        found = torch.empty(len(spans), len(layers), model.d_model, device=device)
        place = {layer: index for index, layer in enumerate(layers)}

    def keep(layer: int, hidden: torch.Tensor) -> None:
        states = hidden[row.to(hidden.device), column.to(hidden.device)].float()
        if pooling == "mean":
            states = torch.einsum("nk,nkd->nd", weight.to(hidden.device), states)[:, None]
        found[:, place[layer]] = states[:, 0].to(device)

    with timed("blocks"):
        _forward(model, inputs, layers, keep)
        count("texts", len(spans))
        count("tokens", inputs["input_ids"].numel())
    with timed("copy to the host"):
        count("bytes", found.nbytes)
        states: np.ndarray = found.cpu().numpy()
    return states


def _packed(
    model: LanguageModel, paths: Sequence[tuple[int, ...]], n_head: int
) -> tuple[dict[str, Any], np.ndarray, Sequence[Sequence[int]]]:
    """Return the inputs of texts packed as trees, and the row and the columns of each text's tokens."""
    import torch

    rows = pack(paths)
    end = torch.from_numpy(rows.end).to(model.device)
    column = torch.arange(end.shape[1], device=model.device)
    sees = (column <= column[:, None]) & (column[:, None] < end[:, None, :])
    sees = torch.cat([sees.new_ones(*end.shape, n_head), sees], dim=2)[:, None]
    if _attention(model) == "eager":
        dtype = next(model.blocks[0].parameters()).dtype
        sees = torch.zeros(sees.shape, dtype=dtype, device=sees.device).masked_fill(
            ~sees, torch.finfo(dtype).min
        )
    inputs = {
        "input_ids": torch.from_numpy(rows.ids),
        "attention_mask": sees,
        "position_ids": torch.from_numpy(n_head + rows.depth),
    }
    return inputs, rows.row, rows.nodes


def _padded(
    paths: Sequence[tuple[int, ...]],
) -> tuple[dict[str, Any], np.ndarray, Sequence[Sequence[int]]]:
    """Return the inputs of texts with a row each, and the row and the columns of each text's tokens.

    Nothing before it depends on what fills a row at its end, so there is no mask.
    """
    import torch

    ids = np.zeros((len(paths), max(map(len, paths))), dtype=np.int64)
    for index, path in enumerate(paths):
        ids[index, : len(path)] = path
    columns = [range(len(path)) for path in paths]
    return {"input_ids": torch.from_numpy(ids)}, np.arange(len(paths)), columns


@timed("shared heads")
def _run_head(model: LanguageModel, head: tuple[int, ...], last_layer: int) -> _Prefix:
    """Run the shared beginning of many spans once, up to the last wanted block."""
    import torch
    from transformers import DynamicCache

    cache = DynamicCache()
    ids = torch.tensor([head], device=model.device)
    inputs = {"input_ids": ids, "past_key_values": cache, "use_cache": True}
    _forward(model, inputs, (last_layer,), lambda _layer, _hidden: None)
    count("tokens", len(head))
    return _Prefix(len(head), tuple((layer.keys, layer.values) for layer in cache.layers))


def _keeps_only_keys_and_values(model: LanguageModel) -> bool:
    """Return whether a head can be shared: in the listed families, whose parity is tested."""
    config = getattr(model.model.config, "text_config", model.model.config)
    kinds = set(getattr(config, "layer_types", None) or ())
    return config.model_type in BLOCK_PATHS and kinds <= {"full_attention", "sliding_attention"}


def _most_packed(model: LanguageModel) -> int:
    """Return how many tokens a text may have to be packed: none where a tree cannot be told to the model.

    A mask of our own replaces that of a sliding window, so no text may be longer than it.
    """
    config = getattr(model.model.config, "text_config", model.model.config)
    if config.model_type in _POSITION_FROM_ROW or _attention(model) not in {"sdpa", "eager"}:
        return 0
    return int(getattr(config, "sliding_window", None) or sys.maxsize)


def _attention(model: LanguageModel) -> str:
    config = getattr(model.model.config, "text_config", model.model.config)
    return str(config._attn_implementation)


def _repeat(prefix: _Prefix, n_rows: int) -> Any:
    """Return a fresh cache holding the prefix for each row.

    Without the config the cache keeps every key; a sliding-window one would drop those of a long head.
    """
    from transformers import DynamicCache

    cache = DynamicCache()
    for block, (keys, values) in enumerate(prefix.keys_values):
        cache.update(keys.expand(n_rows, -1, -1, -1), values.expand(n_rows, -1, -1, -1), block)
    return cache


def _forward(model: LanguageModel, inputs: dict[str, Any], layers: Sequence[int], keep: Any) -> None:
    """Run the blocks up to the last wanted layer, handing each wanted state to ``keep(layer, hidden)``."""
    import torch

    backbone = model.backbone
    taken = signature(backbone.forward).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        inputs = {name: value for name, value in inputs.items() if name in taken}
    with torch.inference_mode(), _hooks(model, layers, keep):
        try:
            backbone(**inputs)
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
