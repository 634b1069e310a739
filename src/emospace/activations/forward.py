"""Forward passes that stop after the last wanted block, and beginnings that are run once for many texts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any, Protocol

from emospace.activations.fused import fused
from emospace.models import cache_argument, check_cached
from emospace.profiling import count, timed

if TYPE_CHECKING:
    import torch

    from emospace.models import LanguageModel

Keep = Callable[[int, "torch.Tensor"], None]
"""What is given each wanted layer and its states ``[n_rows, n_tokens, d_model]``, on the device."""


class Forward(Protocol):
    """A pass over inputs that hands each wanted state to `keep`; passes in several threads do not meet."""

    def __call__(self, inputs: dict[str, Any], keep: Keep, cache: Any = None) -> None:
        """Run the pass; it goes on from what a key-value cache holds, and adds to it."""


class _Enough(Exception):
    """Raised inside the last wanted block's hook: nothing after it needs to run."""


@contextmanager
def capturing(model: LanguageModel, layers: Sequence[int]) -> Iterator[Forward]:
    """Give a function that runs the blocks up to the last wanted layer; no hook is left on them afterwards."""
    import torch

    backbone, last = model.backbone, max(layers)
    taken = signature(backbone.forward).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values())
    # Each thread's own; where there is none, it is a pass of somebody else.
    here = threading.local()

    def forward(inputs: dict[str, Any], keep: Keep, cache: Any = None) -> None:
        inputs = inputs | {"use_cache": cache is not None}
        inputs = {name: value for name, value in inputs.items() if takes_all or name in taken}
        if cache is not None:
            inputs[cache_argument(taken, model.name)] = cache
            n_read = cache.get_seq_length() + inputs["input_ids"].shape[1]
        here.keep = keep
        try:
            with torch.inference_mode():
                backbone(**inputs)
        except _Enough:
            if cache is not None and last > 0:
                check_cached(cache, n_read, model.name)
            return
        finally:
            del here.keep
        raise RuntimeError("the last wanted block did not run")

    def reached(layer: int, hidden: torch.Tensor) -> None:
        keep = getattr(here, "keep", None)
        if keep is not None:
            keep(layer, hidden)
            if layer == last:
                raise _Enough

    def before_first(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        reached(0, args[0] if args else kwargs["hidden_states"])

    def after(layer: int) -> Any:
        def hook(_module: Any, _args: Any, output: Any) -> None:
            reached(layer, output[0] if isinstance(output, tuple) else output)

        return hook

    with ExitStack() as stack:
        stack.enter_context(fused(model, last))
        for layer in layers:
            if layer == 0:
                handle = model.blocks[0].register_forward_pre_hook(before_first, with_kwargs=True)
            else:
                handle = model.blocks[layer - 1].register_forward_hook(after(layer))
            stack.callback(handle.remove)
        yield forward


@dataclass(frozen=True)
class Head:
    """Keys and values of a shared beginning of `n_tokens`, one pair a block that ran."""

    n_tokens: int
    keys_values: tuple[tuple[Any, Any], ...]

    def cache(self, n_rows: int) -> Any:
        """Return a fresh cache holding the beginning for each row.

        Without the config the cache keeps every key; a sliding-window one would drop those of a long head.
        """
        from transformers import DynamicCache

        cache = DynamicCache()
        for block, (keys, values) in enumerate(self.keys_values):
            cache.update(keys.expand(n_rows, -1, -1, -1), values.expand(n_rows, -1, -1, -1), block)
        return cache


NO_HEAD = Head(0, ())


@timed("shared heads")
def run_head(model: LanguageModel, forward: Forward, ids: tuple[int, ...]) -> Head:
    """Run the shared beginning of many spans once, up to the last wanted block."""
    import torch
    from transformers import DynamicCache

    cache = DynamicCache()
    inputs = {"input_ids": torch.tensor([ids], device=model.device)}
    forward(inputs, lambda _layer, _hidden: None, cache)
    count("tokens", len(ids))
    return Head(len(ids), tuple((layer.keys, layer.values) for layer in cache.layers))
