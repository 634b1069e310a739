"""Weights laid out once as oneDNN multiplies by them, while a model generates on a CPU.

Torch lays a weight out anew in every product of a few rows, which costs as much as the product itself. Laid out once,
a step of 2 to 8 rows takes little longer than a step of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from emospace.models.onednn import dtypes_of_products, has_onednn, product

if TYPE_CHECKING:
    import torch

    from emospace.models import LanguageModel

FEWEST_WEIGHTS = 1 << 16
"""Weights from which a layer is packed: in a smaller one calls cost more than products."""

MOST_BYTES = 4 << 30
"""Bytes of weights up to which a model is packed, for they are held twice."""

ROWS = 8
"""Rows of a product that the layout is chosen for."""


@dataclass(frozen=True)
class _Packed:
    """A layer's weight as oneDNN wants it, and the weight it was made of, kept so that no other takes its address."""

    layer: torch.nn.Linear
    weight: torch.Tensor
    source: torch.Tensor
    version: int

    @property
    def is_current(self) -> bool:
        """Whether the layer's weight is still the one that was packed."""
        weight = self.layer.weight
        return (weight.data_ptr(), int(weight._version)) == (self.source.data_ptr(), self.version)

    def product(self, rows: torch.Tensor) -> torch.Tensor:
        """Return what the layer's own forward returns, but for rounding."""
        import torch

        # Such a product knows neither gradients nor autocast.
        if (
            torch.is_grad_enabled()
            or torch.is_autocast_enabled("cpu")
            or rows.dtype != self.layer.weight.dtype
        ):
            return type(self.layer).forward(self.layer, rows)
        return product(rows, self.weight, self.layer.bias)


_PACKED: WeakKeyDictionary[Any, list[_Packed]] = WeakKeyDictionary()


@contextmanager
def packed(model: LanguageModel) -> Iterator[None]:
    """Let the large linear layers of a model multiply by packed weights within, where that gives the same numbers.

    A layer that is hooked, adapted, quantised or compiled, on another device or of a dtype that oneDNN does not
    multiply here runs as it is, as does a model of more than `MOST_BYTES`. Where a weight has changed, all are packed anew.
    """
    packs = _PACKED.get(model.model)
    if packs is None or not all(pack.is_current for pack in packs):
        packs = _PACKED[model.model] = [_pack(layer) for layer in _packable(model.model)]
    for pack in packs:
        vars(pack.layer)["forward"] = pack.product
    try:
        yield
    finally:
        for pack in packs:
            vars(pack.layer).pop("forward", None)


def _packable(root: torch.nn.Module) -> Iterator[torch.nn.Linear]:
    """Yield the layers of a model that are packed."""
    import torch

    if not has_onednn():
        return
    dtypes = dtypes_of_products()
    layers = [
        layer
        for layer in root.modules()
        if type(layer) is torch.nn.Linear
        and layer.weight.device.type == "cpu"
        and layer.weight.dtype in dtypes
        and layer.weight.numel() >= FEWEST_WEIGHTS
        and not layer.weight.is_inference()
        and "forward" not in vars(layer)
    ]
    if sum(layer.weight.nbytes for layer in layers) <= MOST_BYTES:
        yield from layers


def _pack(layer: torch.nn.Linear) -> _Packed:
    import torch

    source = layer.weight.detach()
    weight = torch.ops.mkldnn._reorder_linear_weight(source, ROWS)
    return _Packed(layer, weight, source, source._version)
