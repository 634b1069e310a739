"""Hooks that look on: the states after some layers, kept of each pass for whoever reads them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class Watch:
    """Keeps the states after some layers of the last forward pass run while it is attached.

    Attributes
    ----------
    states
        Layer -> ``[rows, positions, d_model]``.
    """

    def __init__(self, blocks: Sequence[Any], layers: Collection[int]) -> None:
        self._blocks = {layer: blocks[layer - 1] for layer in layers}
        self.states: dict[int, torch.Tensor] = {}

    @contextmanager
    def attached(self) -> Iterator[Watch]:
        """Put hooks on the blocks of its layers; they change nothing."""
        if not self._blocks:
            yield self
            return
        with ExitStack() as hooks:
            for layer, block in self._blocks.items():
                hooks.callback(block.register_forward_hook(self._keep(layer)).remove)
            forget_compiled()
            hooks.callback(forget_compiled)
            yield self

    def _keep(self, layer: int) -> Callable[..., None]:
        def keep(_module: Any, _args: Any, output: Any) -> None:
            self.states[layer] = output[0] if isinstance(output, tuple) else output

        return keep


def forget_compiled() -> None:
    """Drop compiled graphs: by default they do not notice hooks that come and go."""
    import sys

    if "torch._dynamo" in sys.modules:
        import torch

        torch._dynamo.reset()
