"""Steer a batch whose rows each have a vector of their own: one hook per block for all of them.

A row gets what `steer` gives it when it runs alone: the same operation in the same arithmetic, row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from emospace.steering.operation import along, movement
from emospace.steering.positions import in_scope

if TYPE_CHECKING:
    import torch

    from emospace.models import LanguageModel
    from emospace.steering.hooks import Steering


class RowSteering:
    """The vectors of a batch, stacked by layer.

    Parameters
    ----------
    rows
        What `emospace.steering.steer` returned for each row, never entered; None leaves a row as it is.
    """

    def __init__(self, model: LanguageModel, rows: Sequence[Steering | None]) -> None:
        self.model = model
        self.rows = tuple(None if row is None or _is_nothing(row) else row for row in rows)
        layers = {layer for row in self.rows if row is not None for layer in row.vector.layers}
        self._layers = {layer: _Layer(layer, self.rows) for layer in layers}

    @contextmanager
    def on(self, answered: torch.Tensor, real: torch.Tensor) -> Iterator[list[int]]:
        """Steer the forward pass run inside; give back how many states of each row it changes (positions x layers).

        Parameters
        ----------
        answered
            ``[rows, positions]`` on the host: index of each position in its row's answer, negative in the prompt.
        real
            ``[rows, positions]``, bool: positions that may be steered, neither padding nor a row's first.
        """
        mask = self._mask(answered, real)
        counts = [
            0 if row is None else int(n) * len(row.vector.layers)
            for row, n in zip(self.rows, mask.sum(dim=1).tolist(), strict=True)
        ]
        if not any(counts):
            yield counts
            return
        blocks = self.model.blocks
        handles = [
            blocks[layer - 1].register_forward_hook(_after(stack, mask), prepend=True)
            for layer, stack in self._layers.items()
        ]
        try:
            yield counts
        finally:
            for handle in handles:
                handle.remove()

    def _mask(self, answered: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        import torch

        mask = torch.zeros_like(real)
        for index, row in enumerate(self.rows):
            if row is not None:
                mask[index] = real[index] & in_scope(answered[index], row.scope, row.window)
        return mask


class _Layer:
    """Directions, doses and operations of all rows at one layer, on the device of the block once it ran."""

    def __init__(self, layer: int, rows: Sequence[Steering | None]) -> None:
        import torch

        acting = {
            index: row for index, row in enumerate(rows) if row is not None and layer in row.vector.directions
        }
        width = next(iter(acting.values())).vector.d_model
        self.directions = torch.zeros(len(rows), 1, width)
        self.doses = torch.zeros(len(rows), 1, 1)
        self.constants = torch.zeros(len(rows), 1, 1)
        self.relative = torch.zeros(len(rows), 1, 1, dtype=torch.bool)
        self.groups: dict[Any, torch.Tensor] = {}
        for index, row in acting.items():
            self.directions[index, 0] = torch.tensor(row.vector.directions[layer])
            dose = row.dose * row.vector.shares[layer]
            self.doses[index] = dose
            self.constants[index] = dose * row.vector.medians[layer]
            self.relative[index] = row.mode == "relative"
            group = self.groups.setdefault(
                (row.op, row.dose >= 0), torch.zeros(len(rows), 1, 1, dtype=torch.bool)
            )
            group[index] = True
        self._placed: Any = None

    def change(self, state: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return what is added to states ``[rows, positions, d_model]``."""
        import torch

        directions, doses, constants, relative, groups = self._at(state)
        norm = torch.linalg.vector_norm(state, dim=-1, keepdim=True, dtype=torch.float32)
        size = torch.where(relative, doses * norm, constants).to(state.dtype)
        component = along(state, directions)
        moved = torch.zeros_like(component)
        for (op, raises), chosen in groups.items():
            moved = torch.where(chosen, movement(op, size, component, raises=raises), moved)
        return moved * directions * mask

    def _at(self, state: torch.Tensor) -> tuple[Any, ...]:
        if self._placed is None:
            to = {"device": state.device}
            self._placed = (
                self.directions.to(dtype=state.dtype, **to),
                self.doses.to(**to),
                self.constants.to(**to),
                self.relative.to(**to),
                {key: chosen.to(**to) for key, chosen in self.groups.items()},
            )
        return self._placed  # type: ignore[no-any-return]


def _after(layer: _Layer, mask: torch.Tensor) -> Callable[[Any, Any, Any], Any]:
    def hook(_module: Any, _args: Any, output: Any) -> Any:
        state = output[0] if isinstance(output, tuple) else output
        steered = state + layer.change(state, mask.unsqueeze(-1).to(device=state.device, dtype=state.dtype))
        return (steered, *output[1:]) if isinstance(output, tuple) else steered

    return hook


def _is_nothing(row: Steering) -> bool:
    return row.dose == 0 and row.op == "add"
