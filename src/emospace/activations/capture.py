"""The hot path: residual-stream states, pooled where they arise.

What makes it fast: the part of a carrier that all words share is run once and its keys and values are
reused; words and texts that begin alike share those tokens too, packed as trees into rows without padding; others are
sorted by length and batches filled to a token budget; pooling happens inside the hook, so that no full
``[batch, tokens, d_model]`` state outlives its block; the run stops after the last wanted block, the
language-model head never runs; each batch is copied to the host once. On a CPU batches run beside each other, each
on threads of its own, and blocks of the Llama kind in fewer passes over memory (`fused`).
"""

from __future__ import annotations

import logging
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.activations.forward import NO_HEAD, Forward, Head, capturing, run_head
from emospace.activations.packing import batches, pack, shared_budget, worth_packing
from emospace.activations.spans import Span
from emospace.engines import in_parallel, single_threaded
from emospace.errors import EmospaceError
from emospace.models import BLOCK_PATHS
from emospace.profiling import count, timed
from emospace.specs import Pooling

if TYPE_CHECKING:
    import torch

    from emospace.models import LanguageModel

log = logging.getLogger(__name__)

TOKEN_BUDGET = 2048
"""Tokens (padding included) that are run at a time, unless memory asks for fewer."""

_MOST_AT_ONCE = 8
"""Batches that run beside each other on a CPU; with more threads than these each has several."""

_ENOUGH_AT_ONCE = 256
"""Tokens that a batch beside others needs, so that reading the weights for it is worth it."""

_SHARED_HEAD_MIN = 4

_PACKED_MAX = 64
"""Longer texts are rows of their own: they share little, and attention over a packed row costs the more."""

_ENOUGH_TOKENS = 256
"""From so many on, matrix products are no slower for a batch of fewer tokens."""

_RECORDING = ("transformers.", "emospace.activations.")

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
    heads: dict[tuple[int, ...], Head] | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield ``(indices [n], states [n, n_layers, d_model])`` batch by batch.

    Spans that begin with the same tokens share one run over them (`share_heads`), in the families whose keys
    and values are all that a block keeps of what it has read; calls for the same layers of an unchanged model may
    share them too (`heads`, which are looked up and kept there by their tokens). Where batches run beside each other, torch keeps to
    their few threads until the last is taken, also for what the caller does between two.
    """
    share_heads = share_heads and _keeps_only_keys_and_values(model)
    n_at_once = _at_once(model, layers, sum(len(span.ids) - span.start for span in spans))
    with capturing(model, layers) as forward:
        heads = {} if heads is None else heads
        batches = _batches(model, forward, spans, share_heads, token_budget, n_at_once, heads)
        run = partial(_run_halving, model, forward, spans, layers, pooling)
        ran = in_parallel(run, batches, n_at_once) if n_at_once > 1 else map(run, batches)
        while True:
            with timed("blocks"):
                pieces = next(ran, None)
                for piece in pieces or ():
                    count("texts", len(piece.chosen))
                    count("tokens", piece.n_tokens)
                    count("bytes", piece.states.nbytes)
            if pieces is None:
                return
            for piece in pieces:
                yield piece.chosen, piece.states


@dataclass(frozen=True)
class _Batch:
    """Indices of spans that go through the blocks together, behind a head; packed as trees, or a row each."""

    chosen: np.ndarray
    head: Head
    packed: bool


@dataclass(frozen=True)
class _Ran:
    """States of spans, ``[n_spans, n_layers, d_model]``, and the tokens that were run for them."""

    chosen: np.ndarray
    states: np.ndarray
    n_tokens: int


def token_states(model: LanguageModel, ids: torch.Tensor, layer: int) -> torch.Tensor:
    """Return the state of every token of equally long rows, ``[n_rows, n_tokens, d_model]``, on the device."""
    check_layers(model, [layer])
    kept: list[torch.Tensor] = []

    def keep(_: int, hidden: torch.Tensor) -> None:
        kept.append(hidden)

    with capturing(model, (layer,)) as forward:
        forward({"input_ids": ids}, keep)
    return kept[0]


def token_figures(
    model: LanguageModel,
    rows: Sequence[Sequence[int]],
    layers: Sequence[int],
    figure: Callable[[torch.Tensor], torch.Tensor],
    *,
    token_budget: int = TOKEN_BUDGET,
) -> dict[int, list[np.ndarray]]:
    """Return for each layer a figure of every token, an array ``[n_tokens, ...]`` a row, in the order of the rows.

    Parameters
    ----------
    rows
        Token ids; rows of like length run together, once for all layers.
    figure
        Of float32 states ``[n_rows, n_tokens, d_model]``, a number or an array a token.
    """
    wanted = check_layers(model, layers)
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]), reverse=True)
    by_layer: dict[int, list[np.ndarray]] = {layer: [np.empty(0)] * len(rows) for layer in wanted}
    with capturing(model, wanted) as forward:
        for part in _rows([len(rows[index]) for index in order], token_budget, 1):
            chosen = order[part]

            def keep(layer: int, hidden: torch.Tensor, chosen: Sequence[int] = chosen) -> None:
                figures = figure(hidden.float()).cpu().numpy()
                for index, row in zip(chosen, figures, strict=True):
                    by_layer[layer][index] = row[: len(rows[index])]

            inputs, _, _ = _padded([tuple(rows[index]) for index in chosen])
            forward({name: value.to(model.device) for name, value in inputs.items()}, keep)
    return by_layer


def not_finite(model: LanguageModel, layer: int, ids: Sequence[int]) -> EmospaceError:
    """Return the error for a state that is no number, with the word or text that it is of."""
    text = str(model.tokenizer.decode(list(ids))).strip()
    dtype = str(model.model.dtype).removeprefix("torch.")
    return EmospaceError(
        f"layer {layer} of {model.name!r}",
        f"the state of {text[:80]!r} is not finite: its values are beyond what {dtype} holds, or its weights are damaged",
        "Use dtype bfloat16 or float32; `emospace models check` says how large its states are.",
    )


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

    Any forward hook on the embeddings, or in a block that the layers depend on, counts, but for those that record:
    of `transformers`, and ours, and for those that say they are idle.
    """
    modules = [model.model.get_input_embeddings()]
    for block in list(model.blocks)[: max(max(layers), 1)]:
        modules += block.modules()
    hooks = [
        hook
        for module in modules
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    ]
    return any(
        not str(getattr(hook, "__module__", "")).startswith(_RECORDING)
        and not getattr(hook, "is_idle", False)
        for hook in hooks
    )


def _at_once(model: LanguageModel, layers: Sequence[int], n_tokens: int) -> int:
    """Return how many batches to run beside each other: on a CPU a thread for each wastes none of them.

    Hooks may keep something from one pass to the next, and so may what brings weights from elsewhere; autocast is
    that of the caller's thread.
    """
    import torch

    alone = (
        model.device.type != "cpu"
        or hasattr(model.model, "hf_device_map")
        or is_changed(model, layers)
        or torch.is_autocast_enabled("cpu")
    )
    return 1 if alone else max(1, min(torch.get_num_threads(), _MOST_AT_ONCE, n_tokens // _ENOUGH_AT_ONCE))


def _batches(
    model: LanguageModel,
    forward: Forward,
    spans: Sequence[Span],
    share_heads: bool,
    token_budget: int,
    n_at_once: int,
    heads: dict[tuple[int, ...], Head],
) -> Iterator[_Batch]:
    """Yield batches, those behind the same head after each other, a new head run before the first of them."""
    limit = _most_packed(model) if share_heads else 0
    by_head: dict[tuple[int, ...], list[int]] = defaultdict(list)
    counts = Counter(span.ids[: span.start] for span in spans)
    for index, span in enumerate(spans):
        head = span.ids[: span.start]
        by_head[head if share_heads and counts[head] >= _SHARED_HEAD_MIN else ()].append(index)
    for ids, members in by_head.items():
        n_head = len(ids)
        if ids and ids not in heads:
            # On one thread, so that it is the same to the last bit whichever batches come first.
            with single_threaded():
                heads[ids] = run_head(model, forward, ids)
        shared = heads[ids] if ids else NO_HEAD
        short = [index for index in members if len(spans[index].ids) <= min(limit, n_head + _PACKED_MAX)]
        short.sort(key=lambda index: spans[index].ids)
        short = list(compress(short, worth_packing([spans[index].ids[n_head:] for index in short])))
        long = sorted(set(members) - set(short), key=lambda index: len(spans[index].ids), reverse=True)
        trees = batches([spans[index].ids[n_head:] for index in short], token_budget, n_at_once)
        rows = _rows([len(spans[index].ids) - n_head for index in long], token_budget, n_at_once)
        for order, runs, packed in ((short, trees, True), (long, rows, False)):
            for run in runs:
                yield _Batch(np.array(order[run]), shared, packed)


def _rows(lengths: Sequence[int], token_budget: int, n_at_once: int) -> Iterator[slice]:
    """Cut a list sorted from long to short into runs of at most their share of the budget, padding included.

    A run with work enough also ends where rows would be filled up by more than a quarter.
    """
    budget = shared_budget(sum(lengths), token_budget, n_at_once)
    low = 0
    while low < len(lengths):
        most = min(len(lengths), low + max(1, budget // lengths[low]))
        high = low + 1
        while high < most and (
            (high - low) * lengths[low] < _ENOUGH_TOKENS or 4 * lengths[high] >= 3 * lengths[low]
        ):
            high += 1
        yield slice(low, high)
        low = high


def _run_halving(
    model: LanguageModel,
    forward: Forward,
    spans: Sequence[Span],
    layers: Sequence[int],
    pooling: Pooling,
    batch: _Batch,
) -> list[_Ran]:
    """Run one batch; where memory runs out, run its halves."""
    import torch

    chosen = batch.chosen
    try:
        return [_run_batch(model, forward, spans, layers, pooling, batch)]
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
    halves = [replace(batch, chosen=half) for half in (chosen[:middle], chosen[middle:])]
    return [ran for half in halves for ran in _run_halving(model, forward, spans, layers, pooling, half)]


def _run_batch(
    model: LanguageModel,
    forward: Forward,
    spans: Sequence[Span],
    layers: Sequence[int],
    pooling: Pooling,
    batch: _Batch,
) -> _Ran:
    """Run spans through the blocks together and pool their states."""
    import torch

    n_head, device = batch.head.n_tokens, model.device
    inside = [spans[index] for index in batch.chosen]
    paths = [span.ids[n_head:] for span in inside]
    with timed("batches"):
        inputs, rows, columns = _packed(model, paths, n_head) if batch.packed else _padded(paths)
        starts = [span.start - n_head if pooling == "mean" else -1 for span in inside]
        pooled = [places[start:] for places, start in zip(columns, starts, strict=True)]
        where = np.zeros((len(paths), max(map(len, pooled))), dtype=np.int64)
        weights = np.zeros(where.shape, dtype=np.float32)
        for index, places in enumerate(pooled):
            where[index, : len(places)], weights[index, : len(places)] = places, 1 / len(places)
        row, column, weight = (
            torch.from_numpy(table).to(device) for table in (rows[:, None], where, weights)
        )
        inputs = {name: value.to(device) for name, value in inputs.items()}
        cache = batch.head.cache(len(inputs["input_ids"])) if n_head else None
        pooled_states = torch.empty(len(paths), len(layers), model.d_model, device=device)
        place = {layer: index for index, layer in enumerate(layers)}

    def keep(layer: int, hidden: torch.Tensor) -> None:
        states = hidden[row.to(hidden.device), column.to(hidden.device)].float()
        if pooling == "mean":
            states = torch.einsum("nk,nkd->nd", weight.to(hidden.device), states)[:, None]
        pooled_states[:, place[layer]] = states[:, 0].to(device)

    forward(inputs, keep, cache)
    with timed("copy to the host"):
        states: np.ndarray = pooled_states.cpu().numpy()
    broken = ~np.isfinite(states).all(axis=2)
    if broken.any():
        first = int(broken.any(axis=0).argmax())
        span = inside[int(broken[:, first].argmax())]
        raise not_finite(model, layers[first], span.ids[span.start :])
    return _Ran(batch.chosen, states, inputs["input_ids"].numel())


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


def _keeps_only_keys_and_values(model: LanguageModel) -> bool:
    """Return whether a head can be shared: in the listed families, whose parity is tested."""
    config = getattr(model.model.config, "text_config", model.model.config)
    kinds = set(getattr(config, "layer_types", None) or ())
    return config.model_type in BLOCK_PATHS and kinds <= {"full_attention", "sliding_attention"}


def _most_packed(model: LanguageModel) -> int:
    """Return how many tokens a text may have to be packed: none where the model cannot be given a tree.

    A mask of our own replaces that of a sliding window, so no text may be longer than it.
    """
    config = getattr(model.model.config, "text_config", model.model.config)
    if config.model_type in _POSITION_FROM_ROW or _attention(model) not in {"sdpa", "eager"}:
        return 0
    return int(getattr(config, "sliding_window", None) or sys.maxsize)


def _attention(model: LanguageModel) -> str:
    config = getattr(model.model.config, "text_config", model.model.config)
    return str(config._attn_implementation)
